//! Finishing what a crash has interrupted when it hit while a compacted segment took the place of others (see
//! [`compaction`](crate::compaction); Kafka's `LogLoader` does the same with the same names).

use ottla_record::Offset;

use super::Loader;
use crate::compaction::take_final_names;
use crate::disk::{EntryKind, OpenMode};
use crate::error::{AtPath, OpenError};
use crate::file_names::{FileKind, FileName, SWAP_SUFFIX, with_suffix};
use crate::scan::{BatchScan, Check, Scanned};

impl Loader<'_> {
    /// Brings every segment whose `.log.swap` is there into its place: the name says that it was complete and durable.
    /// Indexes that wait for a `.log.swap` that is not there belong to a swap that never began, and are removed with the
    /// other leftovers.
    pub(super) fn finish_swaps(&self) -> Result<(), OpenError> {
        let entries = self.disk().list(&self.dir).at(&*self.dir)?;
        let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
        let bases: Vec<Offset> = files
            .filter_map(|entry| FileName::parse(entry.name.strip_suffix(SWAP_SUFFIX)?))
            .filter(|name| name.kind == FileKind::Log)
            .map(|name| name.base)
            .collect();
        for base in bases {
            tracing::info!(dir = %self.dir.display(), %base, "a compacted segment is brought into its place, which a crash had interrupted");
            self.finish_swap(base)?;
        }
        Ok(())
    }

    fn finish_swap(&self, base: Offset) -> Result<(), OpenError> {
        let end = self.end_of_swap(base)?;
        // What lies inside has been compacted into it. The indexes of its own base may be its own already.
        for entry in self.disk().list(&self.dir).at(&*self.dir)? {
            if let Some(name) = FileName::parse(&entry.name)
                && FileKind::OF_SEGMENT.contains(&name.kind)
                && name.base > base
                && name.base < end
            {
                self.remove(&entry.name)?;
            }
        }
        self.disk().sync_dir(&self.dir).at(&*self.dir)?;
        Ok(take_final_names(self.disk(), &self.dir, base)?)
    }

    /// The end of the offsets in a compacted segment that waits for its place. It was synced before it got this name: what
    /// cannot be read is damage, and what it has replaced may be gone.
    fn end_of_swap(&self, base: Offset) -> Result<Offset, OpenError> {
        let path =
            with_suffix(&self.dir.join(FileName { base, kind: FileKind::Log }.to_string()), SWAP_SUFFIX);
        let file = self.disk().open(&path, OpenMode::Read).at(&path)?;
        let len = file.len().at(&path)?;
        let mut scan = BatchScan::new(&*file, 0, len);
        let mut end = base;
        loop {
            let position = scan.position();
            let reason = match scan.next(Check::Header).at(&path)? {
                Scanned::Batch { header, .. } => {
                    end = header.last_offset().next();
                    continue;
                }
                Scanned::End => return Ok(end),
                Scanned::Unwritten => "zeros where a batch should be".to_owned(),
                Scanned::Invalid(error) => error.to_string(),
            };
            let recovery_point = self.start.recovery_point;
            let path = self.disk().root().unwrap_or_default().join(path);
            return Err(OpenError::Corrupt { path, position, offset: end, recovery_point, reason });
        }
    }
}
