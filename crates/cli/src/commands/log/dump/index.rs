//! The three indexes of a segment, and whether they say of the log beside them what is true.
//!
//! The comparison walks the log and the index once, side by side: both are in the order of offsets.

use std::io;
use std::path::Path;

use ottla_record::header::BatchHeader;
use ottla_record::{BatchView, ControlType, EndTransactionMarker};
use ottla_storage::scan::{BatchScan, Check, Scanned};
use ottla_storage::{AbortedTransaction, OffsetEntry, SegmentReader, TimeEntry, offline};

use super::item::Item;
use super::{Report, Trouble};

pub(super) fn offsets(path: &Path, verify: bool, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let log = log_beside(path, verify, report)?;
    let mut walk = log.as_ref().map(Walk::new);
    let mut last: Option<OffsetEntry> = None;
    let mut entries = Entries::new(offline::offset_index(path).map_err(Trouble::Read)?, 8);
    while let Some((position, entry)) = entries.next(report)? {
        let base = offline::segment_file(path).map(|name| name.base);
        if last.is_some() && entry.position == 0 && Some(entry.last_offset) == base {
            return unwritten(path, position, report);
        }
        report.item(Item::OffsetEntry { last_offset: entry.last_offset.get(), position: entry.position })?;
        if last.is_some_and(|last| entry.last_offset <= last.last_offset || entry.position <= last.position) {
            report.damage(Some(position), "the entry is not above the one before it")?;
        }
        last = Some(entry);
        if let Some(walk) = &mut walk {
            let at = u64::from(entry.position);
            match walk.until(|position, _| position >= at)? {
                Some((position, header)) if position == at && header.last_offset() == entry.last_offset => {}
                Some((position, header)) if position == at => {
                    let there = header.last_offset();
                    report.damage(
                        Some(position),
                        format!(
                            "the batch at byte {at} of the log ends at offset {there}, not {}",
                            entry.last_offset
                        ),
                    )?;
                }
                _ => report.damage(Some(position), format!("no batch starts at byte {at} of the log"))?,
            }
        }
    }
    Ok(())
}

pub(super) fn times(path: &Path, verify: bool, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let log = log_beside(path, verify, report)?;
    let mut walk = log.as_ref().map(Walk::new);
    let mut last: Option<TimeEntry> = None;
    let mut entries = Entries::new(offline::time_index(path).map_err(Trouble::Read)?, 12);
    while let Some((position, entry)) = entries.next(report)? {
        let base = offline::segment_file(path).map(|name| name.base);
        if last.is_some() && entry.timestamp.millis() == 0 && Some(entry.last_offset) == base {
            return unwritten(path, position, report);
        }
        let (timestamp, last_offset) = (entry.timestamp.millis(), entry.last_offset.get());
        report.item(Item::TimeEntry { timestamp, last_offset })?;
        if last.is_some_and(|last| entry.timestamp < last.timestamp || entry.last_offset < last.last_offset) {
            report.damage(Some(position), "the entry is below the one before it")?;
        }
        last = Some(entry);
        if let Some(walk) = &mut walk {
            match walk.until(|_, header| header.last_offset() >= entry.last_offset)? {
                Some((_, header)) if header.base_offset() > entry.last_offset => {
                    report.damage(Some(position), format!("no batch of the log has offset {last_offset}"))?;
                }
                Some((_, header)) if header.max_timestamp() != Some(entry.timestamp) => {
                    let reason =
                        format!("the latest timestamp of the batch with offset {last_offset} is another");
                    report.damage(Some(position), reason)?;
                }
                Some(_) => {}
                None => report.damage(Some(position), format!("the log ends before offset {last_offset}"))?,
            }
        }
    }
    Ok(())
}

pub(super) fn transactions(path: &Path, verify: bool, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let log = log_beside(path, verify, report)?;
    let mut walk = log.as_ref().map(Walk::new);
    let mut last: Option<AbortedTransaction> = None;
    let mut entries = Entries::new(offline::transaction_index(path).map_err(Trouble::Read)?, 34);
    while let Some((position, entry)) = entries.next(report)? {
        report.item(Item::AbortedTransaction {
            producer_id: entry.producer.get(),
            first_offset: entry.first_offset.get(),
            last_offset: entry.last_offset.get(),
            last_stable_offset: entry.last_stable_offset.get(),
        })?;
        if last.is_some_and(|last| entry.last_offset <= last.last_offset) {
            report.damage(Some(position), "the entry is not above the one before it")?;
        }
        last = Some(entry);
        if let (Some(walk), Some(log)) = (&mut walk, &log) {
            let at = walk.until(|_, header| header.last_offset() >= entry.last_offset)?;
            let is_marker = match at {
                Some((at, header)) => is_abort(log, at, &header, &entry).map_err(Trouble::Read)?,
                None => false,
            };
            if !is_marker {
                let AbortedTransaction { producer, last_offset, .. } = entry;
                let reason =
                    format!("the log has no abort marker of producer {producer} at offset {last_offset}");
                report.damage(Some(position), reason)?;
            }
        }
    }
    Ok(())
}

fn is_abort(
    log: &SegmentReader,
    position: u64,
    header: &BatchHeader,
    entry: &AbortedTransaction,
) -> io::Result<bool> {
    let of_producer = header.producer().is_some_and(|stamp| stamp.id == entry.producer);
    // A marker is small; whatever else calls itself control is not read.
    if !header.attributes().is_control() || !of_producer || header.len() > 4096 {
        return Ok(false);
    }
    let bytes = log.read(position, header.len())?;
    let Ok(records) = BatchView::parse(&bytes).and_then(|view| view.records(4096)) else { return Ok(false) };
    // Compaction keeps the batch when it takes the marker out of it.
    let mut markers = records.iter().flatten().filter_map(|record| EndTransactionMarker::parse(&record));
    Ok(header.record_count() == 0 || markers.any(|marker| marker.control == ControlType::Abort))
}

/// The rest of an index that was reserved as a whole and never cut, as Kafka leaves it after a crash.
fn unwritten(path: &Path, position: u64, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let size = std::fs::metadata(path).map_err(Trouble::Read)?.len();
    Ok(report.item(Item::Unwritten { position, bytes: size.saturating_sub(position) })?)
}

/// The log that an index belongs to, if it is asked for.
fn log_beside(
    path: &Path,
    verify: bool,
    report: &mut Report<'_, '_>,
) -> Result<Option<SegmentReader>, Trouble> {
    if !verify {
        return Ok(None);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (base, kind) = name.split_once('.').unwrap_or((name, ""));
    // `….index.deleted` belongs to `….log.deleted`.
    let suffix = kind.split_once('.').map(|(_, suffix)| format!(".{suffix}")).unwrap_or_default();
    match SegmentReader::open(&path.with_file_name(format!("{base}.log{suffix}"))) {
        Ok(log) => Ok(Some(log)),
        Err(error) => {
            report.damage(None, format!("the log beside it cannot be read: {error}"))?;
            Ok(None)
        }
    }
}

/// The entries of an index with their places. The first that cannot be read is told, and ends it.
struct Entries<I> {
    entries: I,
    size: u64,
    position: u64,
}

impl<E, I: Iterator<Item = io::Result<E>>> Entries<I> {
    fn new(entries: I, size: u64) -> Self {
        Self { entries, size, position: 0 }
    }

    fn next(&mut self, report: &mut Report<'_, '_>) -> Result<Option<(u64, E)>, Trouble> {
        match self.entries.next() {
            Some(Ok(entry)) => {
                let position = self.position;
                self.position += self.size;
                Ok(Some((position, entry)))
            }
            Some(Err(error)) => {
                report.damage(None, error)?;
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

/// A walk over the batches of a log that remembers where it stands.
struct Walk<'a> {
    scan: BatchScan<'a>,
    at: Option<(u64, BatchHeader)>,
}

impl<'a> Walk<'a> {
    fn new(log: &'a SegmentReader) -> Self {
        Self { scan: log.batches(), at: None }
    }

    /// The batch it stands at, or the next one, for which `found` holds.
    fn until(
        &mut self,
        found: impl Fn(u64, &BatchHeader) -> bool,
    ) -> Result<Option<(u64, BatchHeader)>, Trouble> {
        loop {
            if let Some((position, header)) = &self.at
                && found(*position, header)
            {
                return Ok(self.at);
            }
            match self.scan.next(Check::Header).map_err(Trouble::Read)? {
                Scanned::Batch { position, header } => self.at = Some((position, header)),
                _ => {
                    self.at = None;
                    return Ok(None);
                }
            }
        }
    }
}
