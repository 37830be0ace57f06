//! Incoming bytes, cut into requests: a length of four bytes, then that many.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes asked of the socket at once while the length of the next request is not known.
pub(crate) const CHUNK: usize = 256 << 10;

/// The same of a connection that has been quiet, as long as its requests are small: one that sends a heartbeat every few seconds would
/// otherwise map a whole chunk for each, touch its first page, and unmap it.
pub(crate) const FIRST: usize = 4 << 10;

/// While this much room is left, a receive buffer is not grown: growing copies it with all its unused room, which only then
/// becomes resident. A thousand connections that begin a large request and stop would hold a thousand chunks.
const ENOUGH_ROOM: usize = 64 << 10;

/// A receive buffer larger than this is given back once it is empty.
const KEEP_AT_MOST: usize = 2 << 20;

/// The receive buffer of one connection.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: BytesMut,
    max_frame: usize,
    /// A read has found more than [`FIRST`] since the memory was last given back.
    busy: bool,
}

/// A length that no request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a request of negative length {0}")]
    Negative(i32),
    #[error("a request of {length} bytes: socket.request.max.bytes allows {allowed}")]
    TooLarge { length: usize, allowed: usize },
}

impl FrameBuffer {
    pub(crate) fn new(max_frame: usize) -> Self {
        // Nothing is allocated before the first byte comes: most connections idle.
        Self { bytes: BytesMut::new(), max_frame, busy: false }
    }

    /// Takes the next whole request, without its length.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.frame_length()? else { return Ok(None) };
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        self.bytes.advance(4);
        let frame = self.bytes.split_to(length).freeze();
        if self.bytes.is_empty() && length > KEEP_AT_MOST {
            // Its memory goes with the request.
            self.bytes = BytesMut::new();
        }
        Ok(Some(frame))
    }

    /// Bytes that lie here.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Memory that counts: what lies here, and all of a buffer that has grown.
    pub(crate) fn held(&self) -> usize {
        if self.bytes.capacity() > CHUNK { self.bytes.capacity() } else { self.bytes.len() }
    }

    /// True if there is anything to give back.
    pub(crate) fn has_memory(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// True if bytes of another request lie here.
    pub(crate) fn has_more(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Room for the next read, of so many bytes at most.
    ///
    /// Once the length is known that is exactly what is missing, so that the request after it starts a buffer of its own
    /// and need not be moved. It grows with what has arrived, never by what a length claims.
    pub(crate) fn room(&mut self, allowed: usize) -> Limit<&mut BytesMut> {
        // What lies here and is not whole did not fit into the read before.
        self.busy |= !self.bytes.is_empty();
        if !self.busy {
            if !self.bytes.try_reclaim(FIRST) {
                self.bytes = BytesMut::with_capacity(FIRST);
            }
            return (&mut self.bytes).limit(FIRST.min(allowed).max(1));
        }
        let missing = match self.frame_length() {
            Ok(Some(length)) => (4 + length).saturating_sub(self.bytes.len()),
            _ => CHUNK,
        };
        let wanted = missing.min(CHUNK.max(self.bytes.len())).min(allowed).max(1);
        if self.bytes.is_empty() {
            if self.bytes.capacity() > KEEP_AT_MOST {
                self.bytes = BytesMut::new();
            } else {
                // Starts over where the last request lay, if it is gone: a connection of small requests need not touch, and
                // make resident, every page of its chunk.
                let _ = self.bytes.try_reclaim(CHUNK);
            }
        }
        if self.bytes.capacity() - self.bytes.len() < wanted.min(ENOUGH_ROOM) {
            // A chunk in all takes the place of a first small buffer; what has outgrown a chunk grows by what is wanted.
            let more = CHUNK.checked_sub(self.bytes.len()).filter(|_| self.bytes.capacity() < CHUNK);
            self.bytes.reserve(more.filter(|more| *more > 0).unwrap_or_else(|| wanted.max(CHUNK)));
        }
        let room = self.bytes.capacity() - self.bytes.len();
        (&mut self.bytes).limit(wanted.min(room))
    }

    /// Gives the memory back if nothing is in it and it is little: to take it again costs less than to be woken later to give it back.
    pub(crate) fn release_small(&mut self) {
        if !self.busy {
            self.release();
        }
    }

    /// Gives the memory back if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.busy = false;
        }
    }

    fn frame_length(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let claimed = i32::from_be_bytes(*prefix);
        let length = usize::try_from(claimed).map_err(|_| FrameError::Negative(claimed))?;
        if length > self.max_frame {
            return Err(FrameError::TooLarge { length, allowed: self.max_frame });
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(buffer: &mut FrameBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut room = buffer.room(usize::MAX);
            let n = room.remaining_mut().min(bytes.len());
            room.put_slice(&bytes[..n]);
            bytes = &bytes[n..];
        }
    }

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut buffer = FrameBuffer::new(100);
        feed(&mut buffer, &[0, 0, 0, 2, 7]);
        assert_eq!(buffer.next_frame(), Ok(None));
        feed(&mut buffer, &[8, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(buffer.next_frame().unwrap().unwrap(), &[7, 8][..]);
        assert_eq!(buffer.next_frame().unwrap().unwrap(), &[][..]);
        assert_eq!(buffer.next_frame(), Ok(None));
        feed(&mut buffer, &[9]);
        assert_eq!(buffer.next_frame().unwrap().unwrap(), &[9][..]);
        assert!(!buffer.has_more());
    }

    #[test]
    fn a_claimed_length_reserves_nothing() {
        let mut buffer = FrameBuffer::new(1 << 30);
        feed(&mut buffer, &(1i32 << 30).to_be_bytes());
        assert!(buffer.room(usize::MAX).remaining_mut() <= CHUNK);
        assert!(buffer.bytes.capacity() <= CHUNK);
    }

    #[test]
    fn impossible_lengths_are_errors() {
        let mut buffer = FrameBuffer::new(100);
        feed(&mut buffer, &[0x80, 0, 0, 0]);
        assert_eq!(buffer.next_frame(), Err(FrameError::Negative(i32::MIN)));
        let mut buffer = FrameBuffer::new(100);
        feed(&mut buffer, &[0x7f, 0xff, 0xff, 0xff]);
        let error = FrameError::TooLarge { length: 0x7fff_ffff, allowed: 100 };
        assert_eq!(buffer.next_frame(), Err(error));
    }

    #[test]
    fn the_rest_of_a_known_frame_is_read_exactly() {
        let mut buffer = FrameBuffer::new(1 << 20);
        feed(&mut buffer, &[0, 0, 0, 10, 1, 2]);
        assert_eq!(buffer.room(usize::MAX).remaining_mut(), 8);
        assert_eq!(buffer.room(3).remaining_mut(), 3);
    }

    #[test]
    fn small_requests_one_after_the_other_lie_in_the_same_place() {
        let mut buffer = FrameBuffer::new(100);
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            feed(&mut buffer, &[0, 0, 0, 3, 1, 2, 3]);
            places.insert(buffer.next_frame().unwrap().unwrap().as_ptr());
        }
        assert_eq!(places.len(), 1, "each request was gone when the next one came");
    }

    #[test]
    fn a_chunk_is_taken_only_for_requests_that_need_it_and_until_the_next_pause() {
        let mut buffer = FrameBuffer::new(1 << 20);
        let small = |buffer: &mut FrameBuffer| {
            feed(buffer, &[0, 0, 0, 3, 1, 2, 3]);
            assert_eq!(buffer.next_frame().unwrap().unwrap(), &[1, 2, 3][..]);
            buffer.bytes.capacity()
        };
        for _ in 0..3 {
            assert!(small(&mut buffer) <= FIRST);
        }
        let large = vec![7; 10_000];
        feed(&mut buffer, &10_000_i32.to_be_bytes());
        feed(&mut buffer, &large);
        assert_eq!(buffer.next_frame().unwrap().unwrap(), large);
        assert!(small(&mut buffer) > FIRST);
        buffer.release();
        assert!(small(&mut buffer) <= FIRST);
    }

    #[test]
    fn what_has_grown_counts_whole_until_it_is_given_back() {
        let mut buffer = FrameBuffer::new(100 << 20);
        feed(&mut buffer, &(80i32 << 20).to_be_bytes());
        assert_eq!(buffer.held(), 4);
        feed(&mut buffer, &vec![0; CHUNK + 1]);
        assert!(buffer.held() > CHUNK + 5, "{}", buffer.held());
        feed(&mut buffer, &vec![0; (80 << 20) - CHUNK - 1]);
        assert!(buffer.next_frame().unwrap().is_some());
        assert_eq!((buffer.held(), buffer.has_memory()), (0, false), "the memory is the request's");
    }
}
