//! Taking a cleaned segment into the log in place of those it was made from, so that a crash at any moment leaves the one
//! or the other, whole.
//!
//! | step | done by | what a start makes of a crash after it |
//! |---|---|---|
//! | `.cleaned` files written and synced, indexes renamed to `.swap`, directory synced | the pass | all removed |
//! | `.log.cleaned` renamed to `.log.swap`, directory synced: **from here on the cleaned segment counts** | here | the steps below are done |
//! | the files it replaces renamed to `.deleted`, directory synced | here | the same |
//! | `.swap` files of the indexes renamed to their names, directory synced | here | the same |
//! | `.log.swap` renamed to its name, directory synced | here | it is done |
//!
//! Each step's names are durable before the next begins: so nothing of the old segments is missing while the new one does
//! not count, and none of them is back once it has its name (it would lie among what the new one covers).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Now, Offset};

use super::cleaned::CleanedSegment;
use super::filter::{LastOfProducer, LastOfProducers};
use crate::disk::Disk;
use crate::error::{AtPath, StorageError};
use crate::file_names::{CLEANED_SUFFIX, FileKind, FileName, SWAP_SUFFIX, with_suffix};
use crate::log::Log;
use crate::producer_state::RECENT_BATCHES;
use crate::retention::{DeletedSegment, contains};
use crate::segment::Segment;

/// Gives the `.swap` files of a segment their names, durably: the indexes first, for a `.log` file without them would have
/// them built anew from what compaction has left of the transactions.
pub(crate) fn take_final_names(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<(), StorageError> {
    let take = |kind| {
        let path = dir.join(FileName { base, kind }.to_string());
        disk.rename(&with_suffix(&path, SWAP_SUFFIX), &path).at(path)
    };
    for kind in [FileKind::TransactionIndex, FileKind::TimeIndex, FileKind::OffsetIndex] {
        match take(kind) {
            Err(error) if error.is_not_found() => {}
            taken => taken?,
        }
    }
    disk.sync_dir(dir).at(dir)?;
    take(FileKind::Log)?;
    disk.sync_dir(dir).at(dir)
}

/// Why a cleaned segment was not taken into the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// What it replaces is not in the log any more: cut, deleted, or replaced meanwhile. The log is as it was, and the
    /// cleaned segment has been given up.
    #[error("the log changed while it was compacted")]
    Stale,
    /// An earlier write or flush failed.
    #[error("the log is offline since a write or flush failed")]
    Poisoned,
    /// The disk failed. The log is poisoned.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Log {
    /// Puts a cleaned segment in the place of those it was made from; returns those. Durable when it returns.
    /// Readers of old views go on with the files they have open.
    ///
    /// # Errors
    /// Any [`SwapError`].
    pub fn swap_cleaned(
        &mut self,
        cleaned: CleanedSegment,
        now: Now,
    ) -> Result<Vec<DeletedSegment>, SwapError> {
        if self.poisoned {
            cleaned.discard();
            return Err(SwapError::Poisoned);
        }
        let Some(at) = self.place_of(&cleaned.sources) else {
            cleaned.discard();
            return Err(SwapError::Stale);
        };
        let result = self.try_swap(&cleaned, at, now);
        self.poisoned |= result.is_err();
        self.debug_check();
        Ok(result?)
    }

    /// Of every producer that is still known, the last batches with a sequence: what compaction must not take from the log.
    pub fn last_of_producers(&self) -> LastOfProducers {
        let last = self.producers.iter().map(|(id, producer)| {
            let mut recent = [None; RECENT_BATCHES];
            for (place, batch) in recent.iter_mut().zip(&producer.recent) {
                *place = Some(batch.last_offset);
            }
            (id, LastOfProducer { recent, epoch: producer.epoch })
        });
        last.collect()
    }

    /// Where the sources stand in the log, one behind the other and none of them active.
    fn place_of(&self, sources: &[Arc<Segment>]) -> Option<usize> {
        let first = sources.first()?;
        let at = self.segments.iter().position(|segment| Arc::ptr_eq(segment, first))?;
        let end = at + sources.len();
        let same =
            self.segments.get(at..end)?.iter().zip(sources).all(|(ours, theirs)| Arc::ptr_eq(ours, theirs));
        (same && end < self.segments.len()).then_some(at)
    }

    fn try_swap(
        &mut self,
        cleaned: &CleanedSegment,
        at: usize,
        now: Now,
    ) -> Result<Vec<DeletedSegment>, StorageError> {
        // That the log may have gaps is durable before it has one.
        if self.root.cleaned_to(&self.name).is_none() {
            self.root.store_cleaned_to(&self.name, self.log_start)?;
        }
        let CleanedSegment { segment, sources } = cleaned;
        let disk = Arc::clone(self.root.disk());
        let log = segment.files.final_path(FileKind::Log);
        disk.rename(&with_suffix(&log, CLEANED_SUFFIX), &with_suffix(&log, SWAP_SUFFIX)).at(&log)?;
        disk.sync_dir(&self.dir).at(&*self.dir)?;
        let due = now.monotonic + Duration::from_millis(self.config.file_delete_delay_ms);
        let mut deleted = Vec::with_capacity(sources.len());
        for source in sources {
            let files = self.rename_away(source, &FileKind::OF_SEGMENT)?;
            deleted.push(DeletedSegment { files, bytes: source.size(), due });
        }
        disk.sync_dir(&self.dir).at(&*self.dir)?;
        take_final_names(&*disk, &self.dir, segment.base())?;
        segment.files.take_final_names();
        let mut segments = self.segments.to_vec();
        segments.splice(at..at + sources.len(), [Arc::clone(segment)]);
        self.replace_segments(segments);
        // What stands in their place is durable, indexes included.
        self.unflushed.retain(|unflushed| !contains(sources, &unflushed.segment));
        self.unsynced_indexes.retain(|segment| !contains(sources, segment));
        Ok(deleted)
    }
}
