//! The batches of a sealed segment, whole and checked, read through one buffer.

use std::sync::Arc;

use ottla_record::header::BatchHeader;
use ottla_record::{BatchError, BatchView, HEADER_LEN};

use super::pass::{Pace, PassError, spend};
use crate::disk::File;
use crate::segment::Segment;

/// A buffer of less would be filled many times for one batch.
const MIN_BUFFER_BYTES: usize = 16 << 10;

/// Reads one segment after the other. A batch larger than the buffer gets a larger one for as long as it takes: what a
/// broker has accepted must be readable, whatever its limits are today.
#[derive(Debug)]
pub(super) struct BatchReader {
    size: usize,
    buffer: Vec<u8>,
    /// What of the buffer has been given out.
    taken: usize,
}

/// A segment that is being read.
#[derive(Debug)]
pub(super) struct OpenSegment<'a> {
    segment: &'a Segment,
    file: Arc<dyn File>,
    /// Where the next batch starts.
    position: u64,
    /// Bytes of batches in the file.
    end: u64,
}

impl BatchReader {
    pub(super) fn new(size: usize) -> Self {
        Self { size: size.max(MIN_BUFFER_BYTES), buffer: Vec::new(), taken: 0 }
    }

    /// Begins a segment at a position where a batch starts.
    pub(super) fn open<'a>(
        &mut self,
        segment: &'a Segment,
        position: u64,
    ) -> Result<OpenSegment<'a>, PassError> {
        let file = segment.log_file().map_err(|error| PassError::of_segment(segment, error))?;
        self.buffer.clear();
        self.taken = 0;
        Ok(OpenSegment { segment, file, position, end: segment.size() })
    }

    /// The next batch, its CRC checked, and whether it is the segment's last; `None` at the end.
    pub(super) fn next(
        &mut self,
        open: &mut OpenSegment<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<(BatchView<'_>, bool)>, PassError> {
        let (position, left) = (open.position, open.end.saturating_sub(open.position));
        if left == 0 {
            return Ok(None);
        }
        let damaged = |error: BatchError| PassError::damaged(open.segment, position, error);
        self.provide(open, HEADER_LEN.min(usize::try_from(left).unwrap_or(HEADER_LEN)), pace)?;
        let header = BatchHeader::parse(self.rest()).map_err(damaged)?;
        let need = header.len();
        if need as u64 > left {
            let have = usize::try_from(left).unwrap_or(usize::MAX);
            return Err(damaged(BatchError::Torn { need, have }));
        }
        self.provide(open, need, pace)?;
        let batch = self.taken..self.taken + need;
        self.taken = batch.end;
        let bytes = self.buffer.get(batch).unwrap_or_default();
        let batch = BatchView::parse(bytes).map_err(damaged)?;
        batch.verify_crc().map_err(damaged)?;
        open.position += need as u64;
        Ok(Some((batch, open.position >= open.end)))
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }

    /// Sees to it that `need` bytes from the current position are in the buffer.
    fn provide(&mut self, open: &OpenSegment<'_>, need: usize, pace: &mut Pace<'_>) -> Result<(), PassError> {
        let have = self.rest().len();
        if have >= need {
            return Ok(());
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if need <= self.size && self.buffer.capacity() > 2 * self.size {
            self.buffer.shrink_to(self.size);
        }
        let left = usize::try_from(open.end - open.position).unwrap_or(usize::MAX);
        self.buffer.resize(self.size.max(need).min(left), 0);
        let room = self.buffer.get_mut(have..).unwrap_or_default();
        let read = open.file.read_full_at(room, open.position + have as u64);
        let read = read.map_err(|error| PassError::of_segment(open.segment, error))?;
        self.buffer.truncate(have + read);
        if self.buffer.len() < need {
            let torn = BatchError::Torn { need, have: self.buffer.len() };
            return Err(PassError::damaged(open.segment, open.position, torn));
        }
        spend(pace, read as u64)
    }
}
