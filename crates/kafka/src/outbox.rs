//! Outgoing bytes: encoded answers and file ranges, in order, sent without copying the files.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use ottla_node::storage::{File, ReadSlice};
use ottla_wire::Writer;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Bytes of a file range that are made resident at once before they are sent.
const WARM_STEP: u64 = 1 << 20;

/// An encoded answer, its length included, with the file ranges that belong into its holes.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The message; a hole's key is an index into `ranges`.
    pub(crate) message: Writer,
    /// What fills the holes.
    pub(crate) ranges: Vec<ReadSlice>,
}

/// What waits to be sent on one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Part>,
    /// Small answers that came one after the other leave in one send.
    tail: Vec<u8>,
    queued_bytes: u64,
}

#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    Range(FileRange),
}

#[derive(Debug)]
struct FileRange {
    file: Arc<dyn File>,
    position: u64,
    end: u64,
    /// Up to here the page cache held the file when it was looked at.
    resident_to: u64,
    warming: Option<JoinHandle<io::Result<()>>>,
}

impl Outbox {
    pub(crate) fn push(&mut self, frame: Frame) {
        let (bytes, holes) = frame.message.into_parts();
        self.queued_bytes += bytes.len() as u64;
        if holes.is_empty() && self.tail.is_empty() {
            self.tail = bytes;
            return;
        }
        let mut rest = bytes.as_slice();
        let mut taken = 0;
        // Holes and ranges come in one order: the encoder opens the holes as it walks the partitions.
        for (hole, slice) in holes.into_iter().zip(frame.ranges) {
            let Some((before, after)) = rest.split_at_checked(hole.at - taken) else { break };
            self.tail.extend_from_slice(before);
            (rest, taken) = (after, hole.at);
            self.close_tail();
            self.queued_bytes += slice.len as u64;
            self.queue.push_back(Part::Range(FileRange::new(slice)));
        }
        self.tail.extend_from_slice(rest);
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued_bytes == 0
    }

    /// Sends until all is sent or the socket takes no more. `Ready(Ok)` means all is sent.
    pub(crate) fn poll_send(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close_tail();
        while let Some(part) = self.queue.front_mut() {
            if let Part::Range(range) = part {
                ready!(range.poll_resident(cx))?;
            }
            ready!(stream.poll_write_ready(cx))?;
            let more = self.queue.len() > 1;
            let Some(part) = self.queue.front_mut() else { break };
            match part.send(stream, more) {
                Ok(sent) => {
                    self.queued_bytes = self.queued_bytes.saturating_sub(sent);
                    if part.is_sent() {
                        self.queue.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queue.push_back(Part::Bytes(Bytes::from(std::mem::take(&mut self.tail))));
        }
    }
}

impl Part {
    fn is_sent(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Range(range) => range.position >= range.end,
        }
    }

    fn send(&mut self, stream: &TcpStream, more: bool) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => {
                // With more to come the kernel keeps a partial segment back, so that an answer's head travels with its records.
                let flags = if more { SendFlags::MORE | SendFlags::NOSIGNAL } else { SendFlags::NOSIGNAL };
                let sent =
                    stream.try_io(Interest::WRITABLE, || Ok(rustix::net::send(stream, bytes, flags)?))?;
                bytes.advance(sent);
                Ok(sent as u64)
            }
            Self::Range(range) => {
                let count = usize::try_from(range.resident_to - range.position).unwrap_or(usize::MAX);
                let mut position = range.position;
                let descriptor = range.file.descriptor().ok_or(io::ErrorKind::Unsupported)?;
                let sent = stream.try_io(Interest::WRITABLE, || {
                    Ok(rustix::fs::sendfile(stream.as_fd(), descriptor, Some(&mut position), count)?)
                })?;
                if sent == 0 {
                    // The length is promised already: the reader must not take what follows for these records.
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the log was cut below a range being sent",
                    ));
                }
                range.position = position;
                Ok(sent as u64)
            }
        }
    }
}

impl FileRange {
    fn new(slice: ReadSlice) -> Self {
        let ReadSlice { file, position, len, .. } = slice;
        Self { file, position, end: position + len as u64, resident_to: position, warming: None }
    }

    /// Waits until the next bytes are in the page cache, so that `sendfile` does not block the worker on the disk.
    fn poll_resident(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(warming) = &mut self.warming {
            let joined = ready!(Pin::new(warming).poll(cx));
            self.warming = None;
            joined.map_err(io::Error::other)??;
            self.resident_to = self.end.min(self.position + WARM_STEP);
        }
        if self.position < self.resident_to {
            return Poll::Ready(Ok(()));
        }
        if self.is_resident()? {
            self.resident_to = self.end;
            return Poll::Ready(Ok(()));
        }
        let (file, from) = (Arc::clone(&self.file), self.position);
        let to = self.end.min(from + WARM_STEP);
        self.warming = Some(tokio::task::spawn_blocking(move || warm(&*file, from, to)));
        self.poll_resident(cx)
    }

    /// Looks at the first and the last byte: what lies between was written and read in one go with them.
    fn is_resident(&self) -> io::Result<bool> {
        let Some(descriptor) = self.file.descriptor() else { return Ok(true) };
        for position in [self.position, self.end.saturating_sub(1)] {
            let mut byte = [0u8; 1];
            let mut slices = [io::IoSliceMut::new(&mut byte)];
            match rustix::io::preadv2(descriptor, &mut slices, position, ReadWriteFlags::NOWAIT) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(false),
                // A file system that cannot tell: send as if it were there.
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

fn warm(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0u8; 64 << 10];
    let mut position = from;
    while position < to {
        match file.read_full_at(&mut buffer, position)? {
            0 => break,
            read => position += read as u64,
        }
    }
    Ok(())
}
