//! Building the state of the producers anew, after a start or a truncation: from the newest snapshot that is sound, and
//! the headers of the batches behind it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ottla_record::header::{BatchHeader, HEADER_LEN};
use ottla_record::{EndTransactionMarker, Offset};

use crate::disk::{Disk, File, OpenMode};
use crate::error::{AtPath, OpenError, StorageError};
use crate::file_names::{FileKind, FileName};
use crate::log::marker_of;
use crate::producer_snapshot;
use crate::producer_state::ProducerStates;
use crate::scan::{BatchScan, Check, Scanned, read_batch};
use crate::segment::Segment;
use crate::whole_file;

/// What the rebuilt state must cover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RebuildBounds {
    /// Where the first segment begins, be it below the log start: what producers did there counts.
    pub(crate) first_base: Offset,
    pub(crate) log_end: Offset,
    /// From this offset on, the transaction indexes are to be built anew too.
    pub(crate) transactions_from: Option<Offset>,
}

/// The state, and what was written on the way.
pub(crate) struct Rebuilt {
    pub(crate) states: ProducerStates,
    pub(crate) changed: Vec<Arc<dyn File>>,
}

/// Rebuilds the state at the log end. Snapshots beyond it, and damaged ones, are removed from the directory and from
/// `snapshots`, and segments that are gone through get new ones; the segments' sizes must be set.
pub(crate) fn rebuild_producers(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[Arc<Segment>],
    snapshots: &mut BTreeSet<Offset>,
    bounds: RebuildBounds,
) -> Result<Rebuilt, OpenError> {
    let RebuildBounds { first_base, log_end, transactions_from } = bounds;
    let path = |base| dir.join(FileName { base, kind: FileKind::ProducerSnapshot }.to_string());
    // One beyond the end describes records that are gone; another may be written there under its name.
    for offset in snapshots.split_off(&log_end.next()) {
        whole_file::remove(disk, &path(offset)).at(path(offset))?;
    }
    let mut rebuilt = Rebuilt { states: ProducerStates::default(), changed: Vec::new() };
    let mut from = first_base;
    // An abort marker is understood only with the start of its transaction, which may lie in an older segment.
    let newest_usable = transactions_from.unwrap_or(log_end).max(first_base);
    while let Some(offset) = snapshots.range(first_base..=newest_usable).next_back().copied() {
        let path = path(offset);
        let bytes = whole_file::read(disk, &path).at(&path)?.unwrap_or_default();
        match producer_snapshot::decode(&bytes) {
            Ok(states) => {
                (rebuilt.states, from) = (states, offset);
                break;
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a damaged producer snapshot is not used");
                snapshots.remove(&offset);
                whole_file::remove(disk, &path).at(&path)?;
            }
        }
    }
    if from == log_end {
        return Ok(rebuilt);
    }
    let first = segments.partition_point(|segment| segment.base() <= from).saturating_sub(1);
    for segment in segments.get(first..).unwrap_or_default() {
        let base = segment.base();
        if base > log_end {
            break;
        }
        if base > from && rebuilt.states.iter().len() > 0 {
            // One that is there was not looked at, and may be torn. Once the segments before it are deleted, nothing else tells of those
            // that wrote in them only.
            snapshots.insert(base);
            rebuilt.changed.push(write_snapshot(disk, &path(base), &rebuilt.states)?);
        }
        let states = &mut rebuilt.states;
        walk(segment, log_end, |file, position, header| {
            let counts = from <= header.last_offset() && header.base_offset() < log_end;
            if !counts || header.producer().is_none() {
                return Ok(());
            }
            let ended = states.apply(header, read_marker(file, position, header)?.as_ref());
            if let Some(aborted) = ended.and_then(|ended| ended.aborted())
                && segment.aborted.last().is_none_or(|last| last < aborted)
            {
                segment.aborted.push(aborted);
            }
            Ok(())
        })?;
        if segment.aborted.buffered() > 0 {
            let path = segment.files.path(FileKind::TransactionIndex);
            segment.aborted.write_out(&segment.files).at(&path)?;
            rebuilt.changed.push(segment.files.get(FileKind::TransactionIndex).at(&path)?);
        }
    }
    Ok(rebuilt)
}

/// Writes the states to a file, which is durable once it and its directory are synced. Not by a rename: a torn snapshot is known by its
/// CRC, and an older one is used instead.
pub(crate) fn write_snapshot(
    disk: &dyn Disk,
    path: &Path,
    states: &ProducerStates,
) -> Result<Arc<dyn File>, StorageError> {
    let bytes = producer_snapshot::encode(states);
    let file = disk.open(path, OpenMode::Truncate).at(path)?;
    file.write_at(&[io::IoSlice::new(&bytes)], 0).at(path)?;
    Ok(file)
}

fn read_marker(
    file: &dyn File,
    position: u64,
    header: &BatchHeader,
) -> io::Result<Option<EndTransactionMarker>> {
    if !header.attributes().is_control() {
        return Ok(None);
    }
    let bytes = read_batch(file, position, header)?;
    let records = bytes.get(HEADER_LEN..).unwrap_or_default();
    // A control batch that cannot be read as a marker means nothing to producers.
    Ok(marker_of(header, records).unwrap_or_default())
}

/// Hands over the header of every batch of a segment whose size is known.
pub(crate) fn walk(
    segment: &Segment,
    log_end: Offset,
    mut visit: impl FnMut(&dyn File, u64, &BatchHeader) -> io::Result<()>,
) -> Result<(), OpenError> {
    let path = segment.files.path(FileKind::Log);
    let file = segment.log_file().at(&path)?;
    let mut scan = BatchScan::new(&*file, 0, segment.size());
    let mut next = segment.base();
    loop {
        let at = scan.position();
        let reason = match scan.next(Check::Header).at(&path)? {
            Scanned::Batch { position, header } => {
                visit(&*file, position, &header).at(&path)?;
                next = header.last_offset().next();
                continue;
            }
            Scanned::End => return Ok(()),
            Scanned::Unwritten => "zeros where a batch should be".to_owned(),
            Scanned::Invalid(error) => error.to_string(),
        };
        return Err(OpenError::Corrupt { path, position: at, offset: next, recovery_point: log_end, reason });
    }
}
