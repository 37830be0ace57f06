//! Reading without a lock: a [`LogView`] is what the log was at one moment, and stays true. Bytes it points at never
//! become other bytes: a segment that is cut or removed is retired first, and its name then means nothing to old views.

use std::io;
use std::sync::Arc;

use ottla_record::Offset;
use ottla_record::header::{BatchHeader, HEADER_LEN};

use crate::disk::File;
use crate::error::ReadError;
use crate::file_names::FileKind;
use crate::index_file::is_damage;
use crate::offset_index::OffsetEntry;
use crate::scan::{BatchScan, Check, Scanned};
use crate::segment::Segment;
use crate::time_index::TimeEntry;

/// An immutable view of a log. Cheap to clone; no lock is held while it reads.
#[derive(Clone, Debug)]
pub struct LogView {
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// Bytes of batches in the last segment.
    pub(crate) active_end: u64,
    pub(crate) active_max_timestamp: Option<TimeEntry>,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
}

/// Whole batches of one segment, to be read or sent from the file.
#[derive(Clone, Debug)]
pub struct ReadSlice {
    /// The `.log` file. It stays readable as long as this is kept, even if the segment is deleted; if the log is cut
    /// below the slice's end meanwhile, the file ends early and the reader must close the connection.
    pub file: Arc<dyn File>,
    /// Where the first batch starts.
    pub position: u64,
    /// Bytes; at least one batch.
    pub len: usize,
    /// Base offset of the first batch, which may be below the offset asked for.
    pub base_offset: Offset,
    /// Every record in the slice lies below this, every later one at or above.
    pub end_offset: Offset,
}

impl ReadSlice {
    /// The bytes themselves, for a reader that cannot send from the file.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        let read = self.file.read_full_at(&mut bytes, self.position)?;
        if read < self.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log was cut while it was read"));
        }
        Ok(bytes)
    }

    /// True if compaction has left nothing of these batches but their headers. Reads the file only where the length allows it, and no
    /// further than to the first record.
    fn holds_no_record(&self) -> io::Result<bool> {
        if !self.len.is_multiple_of(HEADER_LEN) {
            return Ok(false);
        }
        let is_bare =
            |header: &[u8]| BatchHeader::parse(header).is_ok_and(|header| header.len() == HEADER_LEN);
        let (mut looked, mut block) = (0, HEADER_LEN);
        while looked < self.len {
            let (position, len) = (self.position + looked as u64, block.min(self.len - looked));
            let bytes = Self { position, len, ..self.clone() }.read()?;
            if !bytes.chunks(HEADER_LEN).all(is_bare) {
                return Ok(false);
            }
            (looked, block) = (looked + len, BARE_HEADERS_AT_ONCE * HEADER_LEN);
        }
        Ok(true)
    }
}

/// How many headers are read with one call, once the first was found bare. Compaction keeps a few for each producer.
const BARE_HEADERS_AT_ONCE: usize = 256;

impl LogView {
    /// The first offset that can be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Number of segments, at least one.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The end of the log when the view was taken.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Whole batches from the one that holds `from` on, all in one segment: at most `max_bytes` (but with `min_one` at
    /// least one batch, however large), and none that begins at or above `upper`. `None` if there is nothing to read.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        upper: Offset,
        min_one: bool,
    ) -> Result<Option<ReadSlice>, ReadError> {
        if from < self.log_start || from > self.log_end {
            let (log_start, log_end) = (self.log_start, self.log_end);
            return Err(ReadError::OffsetOutOfRange { requested: from, log_start, log_end });
        }
        let upper = upper.min(self.log_end);
        if from >= upper {
            return Ok(None);
        }
        // Compaction may leave a segment without a batch at or above `from`; the next one then has it.
        let first = self.segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
        for number in first..self.segments.len() {
            let Some(segment) = self.segments.get(number) else { break };
            let end = self.end_of(number);
            if segment.base() >= upper {
                break;
            }
            if let Some(found) = segment.find(from, end)? {
                if found.header.base_offset() >= upper {
                    break;
                }
                return self.slice(number, &found, max_bytes, upper, min_one);
            }
        }
        Ok(None)
    }

    /// The same for a consumer: a slice without a single record is passed over if there is one with records behind it. Clients of
    /// librdkafka take an answer that holds batches and no record for one that their buffer cut short, and give up.
    pub fn read_records(
        &self,
        from: Offset,
        max_bytes: usize,
        upper: Offset,
        min_one: bool,
    ) -> Result<Option<ReadSlice>, ReadError> {
        let first = self.read(from, max_bytes, upper, min_one)?;
        let mut slice = first.clone();
        while let Some(bare) = slice {
            match bare.holds_no_record() {
                Ok(true) => slice = self.read(bare.end_offset, max_bytes, upper, min_one)?,
                // What cannot be read now is said by whoever reads it for the client.
                Ok(false) | Err(_) => return Ok(Some(bare)),
            }
        }
        Ok(first)
    }

    fn slice(
        &self,
        number: usize,
        found: &Found,
        max_bytes: usize,
        upper: Offset,
        min_one: bool,
    ) -> Result<Option<ReadSlice>, ReadError> {
        let Some(segment) = self.segments.get(number) else { return Ok(None) };
        let end = self.end_of(number);
        let first_len = found.header.len() as u64;
        let budget = if min_one { (max_bytes as u64).max(first_len) } else { max_bytes as u64 };
        if first_len > budget {
            return Ok(None);
        }
        let limit = found.position.saturating_add(budget);
        let segment_end = self.segments.get(number + 1).map_or(self.log_end, |next| next.base());
        // Usually everything up to the end is wanted; otherwise the end of the last batch that fits is looked for.
        let stop = if limit >= end && upper >= segment_end {
            Boundary { position: end, offset: segment_end }
        } else {
            segment.boundary(found, limit.min(end), end, upper)?
        };
        Ok(Some(ReadSlice {
            file: Arc::clone(&found.file),
            position: found.position,
            len: usize::try_from(stop.position - found.position).unwrap_or(usize::MAX),
            base_offset: found.header.base_offset(),
            end_offset: stop.offset,
        }))
    }

    /// Bytes of batches in a segment.
    pub(crate) fn end_of(&self, number: usize) -> u64 {
        if number + 1 == self.segments.len() {
            self.active_end
        } else {
            self.segments.get(number).map_or(0, |segment| segment.size())
        }
    }
}

/// A batch that was looked up.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: Arc<dyn File>,
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

/// A place between two batches.
#[derive(Clone, Copy, Debug)]
struct Boundary {
    position: u64,
    /// Between the offsets of what comes before and of what follows.
    offset: Offset,
}

impl Segment {
    /// The first batch whose last offset is `from` or above.
    pub(crate) fn find(&self, from: Offset, end: u64) -> Result<Option<Found>, ReadError> {
        let file = self.log_file().map_err(|error| self.read_error(error))?;
        let near = self.near(&file, end, |entry| entry.last_offset <= from)?;
        let start = near.map_or(0, |near| near.position);
        let mut scan = BatchScan::short(&*file, start, end);
        while let Some((position, header)) = self.step(&mut scan)? {
            if header.last_offset() >= from {
                drop(scan);
                return Ok(Some(Found { file, position, header }));
            }
        }
        Ok(None)
    }

    /// Where the batch of the last index entry begins for which `holds` is true. An entry counts only if its batch is
    /// where it says: an index is never checked as a whole, and one wrong entry must not make a reader skip records.
    fn near(
        &self,
        file: &Arc<dyn File>,
        end: u64,
        holds: impl Fn(&OffsetEntry) -> bool,
    ) -> Result<Option<Boundary>, ReadError> {
        let entry = match self.offsets.last_where(&self.files, holds) {
            Ok(entry) => entry,
            // Rebuilt at the next start; until then the walk is longer.
            Err(error) if is_damage(&error) && !self.files.is_retired() => None,
            Err(error) => return Err(self.read_error(error)),
        };
        let Some(entry) = entry else { return Ok(None) };
        let position = u64::from(entry.position);
        let mut scan = BatchScan::short(&**file, position, end);
        match scan.next(Check::Header).map_err(|error| self.read_error(error))? {
            Scanned::Batch { header, .. } if header.last_offset() == entry.last_offset => {
                Ok(Some(Boundary { position, offset: header.base_offset() }))
            }
            _ => Ok(None),
        }
    }

    /// The end of the last batch that ends at or below `limit` and begins below `upper`; at least that of `found`.
    fn boundary(&self, found: &Found, limit: u64, end: u64, upper: Offset) -> Result<Boundary, ReadError> {
        let position = found.position + found.header.len() as u64;
        let first = Boundary { position, offset: found.header.last_offset().next() };
        let near = self.near(&found.file, end, |entry| {
            u64::from(entry.position) <= limit && entry.last_offset < upper
        })?;
        let mut stop = near.filter(|near| near.position > first.position).unwrap_or(first);
        let mut scan = BatchScan::short(&*found.file, stop.position, end);
        while let Some((position, header)) = self.step(&mut scan)? {
            let batch_end = position + header.len() as u64;
            if batch_end > limit || header.base_offset() >= upper {
                break;
            }
            stop = Boundary { position: batch_end, offset: header.last_offset().next() };
        }
        Ok(stop)
    }

    /// The next batch of a scan below the segment's end, where nothing but batches can be.
    pub(crate) fn step(&self, scan: &mut BatchScan<'_>) -> Result<Option<(u64, BatchHeader)>, ReadError> {
        let at = scan.position();
        let reason = match scan.next(Check::Header).map_err(|error| self.read_error(error))? {
            Scanned::Batch { position, header } => return Ok(Some((position, header))),
            Scanned::End => return Ok(None),
            Scanned::Unwritten => "zeros where a batch should be".to_owned(),
            Scanned::Invalid(error) => error.to_string(),
        };
        // The file may have been cut under us.
        if self.files.is_retired() {
            return Err(ReadError::Stale);
        }
        Err(ReadError::Corrupt { path: self.files.path(FileKind::Log), position: at, reason })
    }

    pub(crate) fn read_error(&self, source: io::Error) -> ReadError {
        if self.files.is_retired() {
            return ReadError::Stale;
        }
        ReadError::Io { path: self.files.path(FileKind::Log), source }
    }
}
