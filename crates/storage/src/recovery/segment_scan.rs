//! Loading one segment: what its indexes are worth, where its scan begins, what of it stays.

use std::io;
use std::sync::Arc;

use ottla_record::Offset;
use ottla_record::error::BatchError;
use ottla_record::header::BatchHeader;

use super::Loader;
use crate::disk::File;
use crate::error::{AtPath, OpenError};
use crate::file_names::FileKind;
use crate::handles::SegmentFiles;
use crate::index_file::{IndexEntry, IndexFile, is_damage};
use crate::scan::{BatchScan, Check, Scanned, rewrite, written_end};
use crate::segment::{Indexer, Segment};

/// Where a scan of a segment ended.
pub(super) struct SegmentEnd {
    /// Bytes of batches.
    pub(super) size: u64,
    /// The offset after the last batch.
    pub(super) next: Offset,
    pub(super) indexer: Indexer,
    /// False if bytes had to be cut off behind the batches: what follows in other segments is behind a hole.
    pub(super) complete: bool,
}

impl Loader<'_> {
    /// Loads one segment; `next` is the base of the one after it.
    pub(super) fn load_segment(
        &mut self,
        base: Offset,
        next: Option<Offset>,
    ) -> Result<SegmentEnd, OpenError> {
        let files = SegmentFiles::new(
            Arc::clone(self.root.disk()),
            Arc::clone(self.root.handles()),
            Arc::clone(&self.dir),
            base,
        );
        let files = Arc::new(files);
        let path = files.path(FileKind::Log);
        let file = files.get(FileKind::Log).at(&path)?;
        let len = file.len().at(&path)?;
        let (offsets, offsets_lost) = load_index(&files)?;
        let (times, times_lost) = load_index(&files)?;
        let (aborted, aborted_lost) = load_index(&files)?;
        let segment = Arc::new(Segment::of(files, offsets, times, aborted));
        // Few transactions are aborted, so a missing transaction index is nothing unusual; a damaged one is.
        let lost = offsets_lost != Lost::No || times_lost != Lost::No || aborted_lost == Lost::Damaged;
        let outside = |offset| offset < base || next.is_some_and(|next| offset >= next);
        let implausible = segment.offsets.last().is_some_and(|entry| outside(entry.last_offset))
            || segment.times.last().is_some_and(|entry| outside(entry.last_offset))
            || segment.aborted.last().is_some_and(|entry| outside(entry.last_offset));
        let rebuild = (lost || implausible) && len > 0;
        let end = self.scan(&segment, &file, len, next, rebuild)?;
        segment.set_size(end.size);
        self.segments.push(segment);
        Ok(end)
    }

    /// Walks a segment from the last index entry below the recovery point (or from its start, if the indexes must be
    /// built anew): below the recovery point to see that all of it is there, from it on to see what is there.
    fn scan(
        &mut self,
        segment: &Arc<Segment>,
        file: &Arc<dyn File>,
        len: u64,
        next_base: Option<Offset>,
        rebuild: bool,
    ) -> Result<SegmentEnd, OpenError> {
        let base = segment.base();
        let path = segment.files.path(FileKind::Log);
        let flushed = self.start.recovery_point;
        let resume = if rebuild { None } else { self.resume_at(segment, file, len)? };
        let (mut indexer, mut next) = match &resume {
            Some((_, header)) => (Indexer::starting(segment.times.last()), header.base_offset()),
            None => {
                segment.clear_indexes().at(&path)?;
                self.report.rebuilt_indexes += usize::from(rebuild);
                self.transactions_from = self.transactions_from.or(Some(base));
                (Indexer::starting(None), base)
            }
        };
        let mut scan = BatchScan::new(&**file, resume.as_ref().map_or(0, |(position, _)| *position), len);
        let mut has_entry = resume.is_some();
        let mut rewritten = None;
        let (size, stopped) = loop {
            let at = scan.position();
            if next >= flushed && rewritten.is_none() {
                // What is read from here on may be in the page cache alone, and called clean there (a sync that failed
                // before this start): written again, it is dirty, and the sync at the end of recovery means it.
                let written = written_end(&**file, at, len).at(&path)?;
                rewrite(&**file, at, written).at(&path)?;
                rewritten = Some(written);
                // Nothing that was read before counts: what has been written is what is checked.
                scan = BatchScan::new(&**file, at, len);
            }
            // Also below the recovery point: it is little, and a wrong offset in the last batch would move the log end.
            let (position, header) = match scan.next(Check::Crc).at(&path)? {
                Scanned::Batch { position, header } => (position, header),
                stopped => break (at, stopped),
            };
            // No CRC covers the base offset. It never goes back, nor into the next segment; only compaction leaves gaps.
            let gap = header.base_offset() > next && !self.compacted;
            let overlap = next_base.is_some_and(|base| header.last_offset() >= base);
            if header.base_offset() < next || gap || overlap {
                let (base_offset, last_offset_delta) =
                    (header.base_offset().get(), header.last_offset_delta());
                break (at, Scanned::Invalid(BatchError::OffsetRange { base_offset, last_offset_delta }));
            }
            if std::mem::take(&mut has_entry) {
                indexer.skip(&header);
            } else {
                indexer.note(segment, &header, position, self.interval);
            }
            if next >= flushed && header.attributes().is_control() {
                // Its entry in the transaction index was cut off, if it ever got there. A snapshot from behind it would
                // know the transaction as ended and bring no entry back.
                self.transactions_from = self.transactions_from.or(Some(flushed));
            }
            if next >= flushed || rebuild {
                self.note_epoch(&header);
                self.report.scanned_bytes += header.len() as u64;
            }
            next = header.last_offset().next();
        };
        if next > flushed {
            // The transactions that ended behind the recovery point have no entries that can be trusted; a snapshot taken
            // later knows nothing of them.
            self.transactions_from = self.transactions_from.or(Some(flushed.max(base)));
        }
        let complete = stopped == Scanned::End || next_base == Some(next);
        let expected = next_base.map_or(flushed, |base| base.min(flushed));
        // A compacted segment may end before the next one begins; a file that was cut short is not told from that.
        // The name of a deleted segment may be back without those behind it. If it is whole, nothing is missed below the
        // log start; damage there is damage, for it hides what follows.
        let is_whole = stopped == Scanned::End && next_base.is_none();
        let log_start = self.start.log_start.filter(|_| is_whole).unwrap_or(Offset::ZERO);
        let lost = next.max(log_start) < expected
            && !(stopped == Scanned::End && next_base.is_some() && self.compacted);
        if lost {
            let reason = match stopped {
                Scanned::Invalid(error) => error.to_string(),
                Scanned::End => "the file ends here".to_owned(),
                _ => "zeros where a batch should be".to_owned(),
            };
            return Err(self.corrupt(base, size, next, reason));
        }
        let written = match rewritten {
            Some(written) => written,
            None => written_end(&**file, size, len).at(&path)?,
        };
        // A batch may end in zeros.
        rewrite(&**file, written, size).at(&path)?;
        if size < len {
            self.report.truncated_bytes += written.saturating_sub(size);
            file.set_len(size).at(&path)?;
        }
        if next_base.is_some() {
            indexer.note_max_timestamp(segment);
        }
        // At the recovery point itself, a truncation may have cut the file and died before it was synced.
        let unsynced = next > flushed || (next == flushed && !self.start.clean);
        if size < len || unsynced || rebuild {
            segment.write_indexes().at(&path)?;
            self.changed.push(Arc::clone(file));
            self.changed.extend(segment.index_files().at(&path)?);
        }
        Ok(SegmentEnd { size, next, indexer, complete })
    }

    /// The last index entry below the recovery point whose batch is where it says, with what lies behind it cut off all
    /// three indexes.
    fn resume_at(
        &self,
        segment: &Segment,
        file: &Arc<dyn File>,
        len: u64,
    ) -> Result<Option<(u64, BatchHeader)>, OpenError> {
        let (files, flushed) = (&segment.files, self.start.recovery_point);
        let path = files.path(FileKind::OffsetIndex);
        segment.offsets.keep_while(files, |entry| entry.last_offset < flushed).at(&path)?;
        let Some(entry) = segment.offsets.last() else { return Ok(None) };
        let position = u64::from(entry.position);
        let found = BatchScan::short(&**file, position, len).next(Check::Header).at(&path)?;
        let Scanned::Batch { header, .. } = found else { return Ok(None) };
        if header.last_offset() != entry.last_offset {
            return Ok(None);
        }
        segment.times.keep_while(files, |time| time.last_offset < flushed).at(&path)?;
        if !last_time_is_true(segment, &**file, len).at(&path)? {
            return Ok(None);
        }
        segment.aborted.keep_while(files, |aborted| aborted.last_offset < flushed).at(&path)?;
        Ok(Some((position, header)))
    }
}

/// True if the last time entry is that of the batch it names, and no batch up to the last offset entry is newer. What a
/// power cut left behind the durable entries can look like anything, an entry below the recovery point included; and a
/// start that was cut short may have emptied this index and not the other.
fn last_time_is_true(segment: &Segment, file: &dyn File, len: u64) -> io::Result<bool> {
    let time = segment.times.last();
    let ends = [segment.offsets.last().map(|entry| entry.last_offset), time.map(|time| time.last_offset)];
    let Some(end) = ends.into_iter().max().flatten() else { return Ok(true) };
    let near = match time {
        Some(time) => {
            segment.offsets.last_where(&segment.files, |entry| entry.last_offset <= time.last_offset)?
        }
        None => None,
    };
    let mut named = time.is_none();
    let mut scan = BatchScan::short(file, near.map_or(0, |entry| u64::from(entry.position)), len);
    while let Scanned::Batch { header, .. } = scan.next(Check::Header)? {
        match time {
            Some(time) if header.last_offset() == time.last_offset => {
                named = header.max_timestamp() == Some(time.timestamp);
            }
            _ if header.max_timestamp() > time.map(|time| time.timestamp) => return Ok(false),
            _ => {}
        }
        if header.last_offset() >= end {
            return Ok(named);
        }
    }
    Ok(false)
}

/// What was wrong with an index file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    No,
    Missing,
    Damaged,
}

fn load_index<E: IndexEntry>(files: &Arc<SegmentFiles>) -> Result<(IndexFile<E>, Lost), OpenError> {
    match IndexFile::load(files) {
        Ok(Some(index)) => Ok((index, Lost::No)),
        Ok(None) => Ok((IndexFile::empty(), Lost::Missing)),
        Err(error) if is_damage(&error) => {
            tracing::warn!(%error, "a damaged index is built anew");
            Ok((IndexFile::empty(), Lost::Damaged))
        }
        Err(error) => Err(error).at(files.path(E::KIND))?,
    }
}
