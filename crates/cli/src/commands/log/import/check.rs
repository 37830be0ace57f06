//! Is a copied partition what its indexes and checkpoints say? Every byte of the log is checked by its CRCs, and every index
//! entry against the batch it names. Indexes of offsets and times that are wrong are removed: the log builds them anew when it is
//! opened. Nothing stands in for a batch or an aborted transaction, so damage there ends the import.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ottla_record::header::BatchHeader;
use ottla_record::{LeaderEpoch, Offset};
use ottla_storage::file_names::{FileKind, FileName};
use ottla_storage::scan::{Check, Scanned};
use ottla_storage::{AbortedTransaction, OffsetEntry, SegmentReader, TimeEntry, offline};

use super::plan::{PlannedPartition, PlannedTopic};
use crate::failure::Failure;

/// What the check found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Behind the last batch.
    pub(super) end: Offset,
    /// Of all batches.
    pub(super) latest_epoch: Option<LeaderEpoch>,
    /// The largest id of a producer.
    pub(super) latest_producer: Option<i64>,
    /// Segments whose indexes were removed.
    pub(super) dropped_indexes: usize,
}

/// Checks the copy in `dir`. Below `whole_to`, everything must be there.
pub(super) fn partition(
    dir: &Path,
    topic: &PlannedTopic,
    partition: &PlannedPartition,
    is_clean: bool,
) -> Result<Checked, Failure> {
    let names = partition.files.iter().filter_map(|(name, _)| FileName::parse(name));
    let mut bases: Vec<Offset> =
        names.filter(|name| name.kind == FileKind::Log).map(|name| name.base).collect();
    bases.sort_unstable();
    let mut checked = Checked { end: bases.first().copied().unwrap_or(Offset::ZERO), ..Checked::default() };
    for (at, base) in bases.iter().enumerate() {
        let is_last = at + 1 == bases.len();
        let path = |kind| dir.join(FileName { base: *base, kind }.to_string());
        if *base != checked.end && !topic.is_compacted() {
            return Err(gap(&path(FileKind::Log), checked.end, *base));
        }
        // Only the tail of a log that was not closed may be torn.
        let whole_to = if is_clean || !is_last { None } else { Some(partition.source.recovery_point) };
        let mut indexes = Indexes::open(&path)?;
        segment(&path(FileKind::Log), topic, whole_to, &mut checked, &mut indexes)?;
        if indexes.finish()? {
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
                remove(&path(kind))?;
            }
            checked.dropped_indexes += 1;
        }
    }
    Ok(checked)
}

fn segment(
    path: &Path,
    topic: &PlannedTopic,
    whole_to: Option<Offset>,
    checked: &mut Checked,
    indexes: &mut Indexes,
) -> Result<(), Failure> {
    let failure = |error: io::Error| Failure::with(path.display(), error);
    let log = SegmentReader::open(path).map_err(failure)?;
    let mut scan = log.batches();
    checked.end = checked.end.max(log.base());
    loop {
        let position = scan.position();
        let (position, header) = match scan.next(Check::Crc).map_err(failure)? {
            Scanned::Batch { position, header } => (position, header),
            Scanned::End => return Ok(()),
            Scanned::Unwritten if whole_to.is_some() => return Ok(()),
            Scanned::Invalid(_) if whole_to.is_some_and(|whole_to| checked.end >= whole_to) => return Ok(()),
            Scanned::Invalid(error) => return Err(damaged(path, position, checked.end, error)),
            Scanned::Unwritten => {
                return Err(damaged(path, position, checked.end, "zeros where a batch should be"));
            }
        };
        if header.base_offset() < checked.end {
            return Err(damaged(path, position, checked.end, "the offsets go back"));
        }
        if header.base_offset() > checked.end && !topic.is_compacted() {
            return Err(gap(path, checked.end, header.base_offset()));
        }
        checked.end = header.last_offset().next();
        checked.latest_epoch = checked.latest_epoch.max(header.partition_leader_epoch());
        checked.latest_producer = checked.latest_producer.max(header.producer().map(|stamp| stamp.id.get()));
        indexes.compare(position, &header)?;
    }
}

fn damaged(path: &Path, position: u64, offset: Offset, why: impl std::fmt::Display) -> Failure {
    Failure::with(
        path.display(),
        format!(
            "the log is damaged at byte {position} (offset {offset}): {why}; nothing was imported. Repair the source (let \
             another replica replace it), or leave the topic out with --topic"
        ),
    )
}

fn gap(path: &Path, end: Offset, next: Offset) -> Failure {
    Failure::with(
        path.display(),
        format!(
            "offsets {end} to {next} are missing, as after compaction, but cleanup.policy=compact is not set on the topic \
             itself: set it there (kafka-configs.sh) and stop the broker again, or leave the topic out with --topic"
        ),
    )
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::with(path.display(), error)),
        _ => Ok(()),
    }
}

type Entries<E> = std::iter::Peekable<Box<dyn Iterator<Item = io::Result<E>>>>;

/// The indexes of one segment, read beside its log.
struct Indexes {
    offsets: Option<Entries<OffsetEntry>>,
    times: Option<Entries<TimeEntry>>,
    aborted: Option<Entries<AbortedTransaction>>,
    aborted_path: PathBuf,
    /// An index of offsets or times is missing or not true.
    wrong: bool,
}

impl Indexes {
    fn open(path: &impl Fn(FileKind) -> PathBuf) -> Result<Self, Failure> {
        let aborted_path = path(FileKind::TransactionIndex);
        let offsets = optional(offline::offset_index(&path(FileKind::OffsetIndex)))?;
        let times = optional(offline::time_index(&path(FileKind::TimeIndex)))?;
        let aborted = optional(offline::transaction_index(&aborted_path))?;
        let wrong = offsets.is_none() || times.is_none();
        Ok(Self { offsets, times, aborted, aborted_path, wrong })
    }

    /// Compares the entries that name this batch.
    fn compare(&mut self, position: u64, header: &BatchHeader) -> Result<(), Failure> {
        if let Some(entries) = &mut self.offsets {
            // An entry that was passed over named no batch.
            while let Some(entry) = entries.next_if(|e| up_to(e, |e| e.last_offset <= header.last_offset())) {
                self.wrong |= !entry.is_ok_and(|entry| {
                    entry.last_offset == header.last_offset() && u64::from(entry.position) == position
                });
            }
        }
        if let Some(entries) = &mut self.times {
            while let Some(entry) = entries.next_if(|e| up_to(e, |e| e.last_offset <= header.last_offset())) {
                // Older Kafkas name the record with the timestamp, not the last one of its batch.
                self.wrong |= !entry.is_ok_and(|entry| {
                    entry.last_offset == header.last_offset()
                        && Some(entry.timestamp) == header.max_timestamp()
                });
            }
        }
        if let Some(entries) = &mut self.aborted {
            while let Some(entry) = entries.next_if(|e| up_to(e, |e| e.last_offset <= header.last_offset())) {
                let of_producer = |entry: &AbortedTransaction| {
                    entry.last_offset >= header.base_offset()
                        && header.attributes().is_control()
                        && header.producer().is_some_and(|stamp| stamp.id == entry.producer)
                };
                if !entry.is_ok_and(|entry| of_producer(&entry)) {
                    return Err(self.aborted_damage());
                }
            }
        }
        Ok(())
    }

    /// True if offsets and times must be indexed anew.
    fn finish(mut self) -> Result<bool, Failure> {
        let left = self.offsets.as_mut().is_some_and(|entries| entries.peek().is_some())
            || self.times.as_mut().is_some_and(|entries| entries.peek().is_some());
        if self.aborted.as_mut().is_some_and(|entries| entries.peek().is_some()) {
            return Err(self.aborted_damage());
        }
        Ok(self.wrong || left)
    }

    fn aborted_damage(&self) -> Failure {
        let why = "an entry names no end of a transaction in the log: let Kafka rebuild it (remove the file, and start and \
                   stop the broker), or leave the topic out with --topic";
        Failure::with(self.aborted_path.display(), why)
    }
}

fn up_to<E>(entry: &io::Result<E>, holds: impl Fn(&E) -> bool) -> bool {
    entry.as_ref().map_or(true, holds)
}

fn optional<E: 'static>(
    opened: io::Result<impl Iterator<Item = io::Result<E>> + 'static>,
) -> Result<Option<Entries<E>>, Failure> {
    match opened {
        Ok(entries) => {
            let entries: Box<dyn Iterator<Item = io::Result<E>>> = Box::new(entries);
            Ok(Some(entries.peekable()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}
