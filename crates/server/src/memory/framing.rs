//! Where frames and messages end in what a client sends, without a look at what is in them.
//!
//! hyper and tonic hold what has come of a frame or a message until it is whole, and tell nobody. So both framings are followed
//! beside them, which costs a few bytes of each.

use std::collections::VecDeque;

/// An HTTP/2 frame's kind that carries what a request is made of (RFC 9113, section 6.1).
const DATA: u8 = 0;
/// Length (three bytes), kind, flags, stream (four).
const FRAME_HEADER: u8 = 9;
/// Compressed or not, and length (four bytes): gRPC's PROTOCOL-HTTP2.
const MESSAGE_HEADER: u8 = 5;

/// HTTP/2's frames in a connection's bytes, from behind the preface on.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes of the next frame's header that have come.
    header: u8,
    length: u32,
    kind: u8,
    /// Bytes of the frame that have not come.
    missing: usize,
    /// Bytes of the frame that have, while some are missing.
    partial: usize,
}

impl Frames {
    /// Takes bytes that have come. Returns how many of them are DATA.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> usize {
        let mut data = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.missing > 0 {
                let (taken, rest) = bytes.split_at(self.missing.min(bytes.len()));
                self.missing -= taken.len();
                self.partial = if self.missing > 0 { self.partial + taken.len() } else { 0 };
                if self.kind == DATA {
                    data += taken.len();
                }
                bytes = rest;
                continue;
            }
            match self.header {
                0..=2 => self.length = self.length << 8 | u32::from(byte),
                3 => self.kind = byte,
                _ => {}
            }
            self.header += 1;
            if self.header == FRAME_HEADER {
                self.missing = self.length as usize;
                (self.header, self.length) = (0, 0);
            }
            bytes = rest;
        }
        data
    }

    /// Bytes that have come of a frame that is not whole and no DATA.
    pub(super) fn partial_other(&self) -> usize {
        if self.kind == DATA { 0 } else { self.partial }
    }

    /// The same of DATA. hyper hands it on when the frame is whole.
    pub(super) fn partial_data(&self) -> usize {
        if self.kind == DATA { self.partial } else { 0 }
    }
}

/// gRPC's messages in the DATA of one request.
#[derive(Debug, Default)]
pub(super) struct Messages {
    header: u8,
    length: u32,
    missing: usize,
    /// Bytes that have come of the message that is not whole.
    partial: usize,
    /// Sizes of those that are whole and that nobody has asked for. Never more bytes here than in the messages themselves.
    whole: VecDeque<u32>,
}

impl Messages {
    /// Takes bytes that have come. Returns how many bytes of messages have become whole by them.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> usize {
        let mut whole = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.missing > 0 {
                let (taken, rest) = bytes.split_at(self.missing.min(bytes.len()));
                self.missing -= taken.len();
                self.partial += taken.len();
                bytes = rest;
            } else {
                if self.header > 0 {
                    self.length = self.length << 8 | u32::from(byte);
                }
                self.header += 1;
                self.partial += 1;
                bytes = rest;
                if self.header < MESSAGE_HEADER {
                    continue;
                }
                self.missing = self.length as usize;
                (self.header, self.length) = (0, 0);
            }
            if self.missing == 0 {
                whole += self.partial;
                self.whole.push_back(u32::try_from(self.partial).unwrap_or(u32::MAX));
                self.partial = 0;
            }
        }
        whole
    }

    /// The size of the next whole message.
    pub(super) fn next(&mut self) -> Option<usize> {
        self.whole.pop_front().map(|size| size as usize)
    }

    /// Bytes that have come of a message that is not whole.
    pub(super) fn partial(&self) -> usize {
        self.partial
    }

    /// Bytes of messages that are whole and that nobody has asked for.
    pub(super) fn unasked(&self) -> usize {
        self.whole.iter().map(|size| *size as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0, (length >> 8) as u8, length as u8, kind, 0, 0, 0, 0, 1];
        frame.resize(9 + length, 0xee);
        frame
    }

    #[test]
    fn data_is_told_from_other_frames_wherever_the_bytes_are_cut() {
        let bytes = [frame(1, 300), frame(0, 700), frame(8, 4), frame(0, 0), frame(0, 5)].concat();
        for step in [1, 2, 3, 7, 9, 100, bytes.len()] {
            let mut frames = Frames::default();
            let data: usize = bytes.chunks(step).map(|chunk| frames.push(chunk)).sum();
            assert_eq!(
                (data, frames.partial_data(), frames.partial_other()),
                (705, 0, 0),
                "cut every {step} bytes"
            );
        }
        let mut frames = Frames::default();
        assert_eq!((frames.push(&bytes[..200]), frames.partial_data(), frames.partial_other()), (0, 0, 191));
        assert_eq!(
            (frames.push(&bytes[200..400]), frames.partial_data(), frames.partial_other()),
            (82, 82, 0)
        );
    }

    #[test]
    fn messages_are_counted_with_their_prefix_wherever_the_bytes_are_cut() {
        let message = |length: u32| {
            let mut message = vec![0];
            message.extend(length.to_be_bytes());
            message.resize(5 + length as usize, 0xee);
            message
        };
        let bytes = [message(300), message(0), message(7), message(70)].concat();
        for step in [1, 2, 4, 5, 6, 100, bytes.len()] {
            let mut messages = Messages::default();
            let whole: usize = bytes.chunks(step).map(|chunk| messages.push(chunk)).sum();
            assert_eq!((whole, messages.partial(), messages.unasked()), (397, 0, 397), "cut every {step}");
            let sizes: Vec<_> = std::iter::from_fn(|| messages.next()).collect();
            assert_eq!(sizes, [305, 5, 12, 75]);
        }
        let mut messages = Messages::default();
        assert_eq!((messages.push(&bytes[..307]), messages.partial()), (305, 2));
    }
}
