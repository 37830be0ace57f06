//! Walking the batches of a `.log` file: for recovery, for lookups, and offline for a dump.
//!
//! Nothing that stands in the file is believed: a claimed length is compared with the file before anything is read,
//! and a batch larger than the window is checksummed piece by piece, so that damage never costs memory.

use std::io::{self, IoSlice};

use ottla_record::error::BatchError;
use ottla_record::header::{BatchHeader, HEADER_LEN, LENGTH_PREFIX};

use crate::disk::File;

/// Bytes read at once by a scan.
const SCAN_WINDOW_BYTES: usize = 256 << 10;
/// Bytes read at once by a lookup, in which the next index entry is at most about one interval away.
const LOOKUP_WINDOW_BYTES: usize = 4 << 10;
/// Where the bytes that a batch's CRC covers begin.
const CRC_FROM: u64 = 21;

/// How much of each batch is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The header, and that the batch ends inside the file.
    Header,
    /// Every byte, by its CRC.
    Crc,
}

/// What stands at the position of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// A batch; the scan has moved behind it.
    Batch {
        /// Where it starts.
        position: u64,
        /// Its header.
        header: BatchHeader,
    },
    /// The end of the bytes that were to be scanned.
    End,
    /// Space that was reserved and never written: a length of zero.
    Unwritten,
    /// Bytes that are no whole, intact batch.
    Invalid(BatchError),
}

/// A walk over the batches of one file.
#[derive(Debug)]
pub struct BatchScan<'a> {
    window: Window<'a>,
    position: u64,
}

impl<'a> BatchScan<'a> {
    /// Starts at `position` (which must be the start of a batch) and goes on to `end`, a size in bytes.
    pub fn new(file: &'a dyn File, position: u64, end: u64) -> Self {
        Self { window: Window::new(file, end, SCAN_WINDOW_BYTES), position }
    }

    /// The same for a few batches: reads less at once.
    pub(crate) fn short(file: &'a dyn File, position: u64, end: u64) -> Self {
        Self { window: Window::new(file, end, LOOKUP_WINDOW_BYTES), position }
    }

    /// Where the scan stands.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next batch. The scan moves on only over a batch.
    pub fn next(&mut self, check: Check) -> io::Result<Scanned> {
        let left = self.window.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(Scanned::End);
        }
        let bytes = self.window.bytes(self.position, HEADER_LEN)?;
        if bytes.get(..LENGTH_PREFIX.min(bytes.len())).is_some_and(|prefix| prefix.iter().all(|b| *b == 0)) {
            return Ok(Scanned::Unwritten);
        }
        let header = match BatchHeader::parse(bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Scanned::Invalid(error)),
        };
        let len = header.len() as u64;
        if len > left {
            let have = usize::try_from(left).unwrap_or(usize::MAX);
            return Ok(Scanned::Invalid(BatchError::Torn { need: header.len(), have }));
        }
        if check == Check::Crc {
            let computed = self.window.crc32c(self.position + CRC_FROM, self.position + len)?;
            if computed != header.crc() {
                return Ok(Scanned::Invalid(BatchError::CorruptCrc { stored: header.crc(), computed }));
            }
        }
        let position = self.position;
        self.position += len;
        Ok(Scanned::Batch { position, header })
    }
}

/// Reads the bytes of one batch whose header has been read from there; shorter if the file has been cut since.
pub(crate) fn read_batch(file: &dyn File, position: u64, header: &BatchHeader) -> io::Result<Vec<u8>> {
    // A scan has compared the length with the file's size.
    let mut bytes = vec![0; header.len()];
    let read = file.read_full_at(&mut bytes, position)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The end of the last byte at or after `position` that is not zero; `position` if there is none.
pub(crate) fn written_end(file: &dyn File, position: u64, end: u64) -> io::Result<u64> {
    let mut window = Window::new(file, end, SCAN_WINDOW_BYTES);
    let (mut at, mut written) = (position, position);
    loop {
        let bytes = window.bytes(at, SCAN_WINDOW_BYTES)?;
        if bytes.is_empty() {
            return Ok(written);
        }
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            written = at + last as u64 + 1;
        }
        at += bytes.len() as u64;
    }
}

/// Writes the bytes from `from` to `to` once more, as they are read: they are to be synced whatever the page cache
/// thinks of them.
pub(crate) fn rewrite(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut at = from;
    while at < to {
        let left = usize::try_from(to - at).unwrap_or(usize::MAX);
        buffer.resize(SCAN_WINDOW_BYTES.min(left), 0);
        let read = file.read_full_at(&mut buffer, at)?;
        let bytes = buffer.get(..read).filter(|bytes| !bytes.is_empty());
        let Some(bytes) = bytes else { break };
        file.write_at(&[IoSlice::new(bytes)], at)?;
        at += read as u64;
    }
    Ok(())
}

/// A part of a file in memory, which moves forward.
#[derive(Debug)]
struct Window<'a> {
    file: &'a dyn File,
    /// Nothing is read at or above this.
    end: u64,
    start: u64,
    buffer: Vec<u8>,
    size: usize,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn File, end: u64, size: usize) -> Self {
        Self { file, end, start: 0, buffer: Vec::new(), size }
    }

    /// `len` bytes (at most the window's size) from `position`, fewer at the end.
    fn bytes(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let inside = position >= self.start
            && position + len as u64 <= self.start.saturating_add(self.buffer.len() as u64);
        if !inside {
            self.buffer.resize(self.size.min(left), 0);
            let read = self.file.read_full_at(&mut self.buffer, position)?;
            self.buffer.truncate(read);
            self.start = position;
        }
        let from = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }

    fn crc32c(&mut self, from: u64, to: u64) -> io::Result<u32> {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut at = from;
        while at < to {
            let want = usize::try_from(to - at).unwrap_or(usize::MAX).min(self.size);
            let bytes = self.bytes(at, want)?;
            if bytes.is_empty() {
                break;
            }
            digest.update(bytes);
            at += bytes.len() as u64;
        }
        // The algorithm is 32 bits wide; crc-fast answers all widths as u64.
        Ok(digest.finalize() as u32)
    }
}
