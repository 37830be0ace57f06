//! What the offset, time and transaction index of a segment have in common: a file of entries of one size, appended to
//! in order, and searched by halving.
//!
//! The newest entries wait in memory and go to the file in one write (when many have gathered, at a checkpoint, at a
//! roll). Readers search while the owner appends: the lock guards memory only and is never held across I/O.

use std::io::{self, IoSlice};
use std::sync::Arc;

use ottla_record::Offset;
use parking_lot::RwLock;

use crate::file_names::FileKind;
use crate::handles::SegmentFiles;

/// Entries that may wait in memory before they are written: 4 to 20 KiB a partition that is being written to.
pub(crate) const BUFFERED_ENTRIES: usize = 512;
/// Entries read at once at the end of a search on disk.
const BLOCK_ENTRIES: u32 = 128;
/// Size of the largest entry (an aborted transaction).
const MAX_ENTRY_SIZE: usize = 34;

/// One entry of an index file.
pub(crate) trait IndexEntry: Copy + Ord + std::fmt::Debug {
    /// Which file of the segment.
    const KIND: FileKind;
    /// Bytes in the file.
    const SIZE: usize;

    /// Appends the entry's bytes. `base` is the segment's base offset, to which offsets in the file are relative.
    fn encode(&self, base: Offset, out: &mut Vec<u8>);

    /// True if `next` may follow this entry in an index: every column rises.
    fn precedes(&self, next: &Self) -> bool;

    /// Reads an entry of [`Self::SIZE`] bytes.
    fn decode(base: Offset, bytes: &[u8]) -> Option<Self>;
}

/// The index of one segment.
#[derive(Debug)]
pub(crate) struct IndexFile<E> {
    entries: RwLock<Entries<E>>,
}

#[derive(Debug)]
struct Entries<E> {
    /// Entries in the file.
    written: u32,
    /// Entries after them.
    buffered: Vec<E>,
    last: Option<E>,
}

impl<E: IndexEntry> IndexFile<E> {
    /// An index without entries, whose file may not exist yet.
    pub(crate) fn empty() -> Self {
        Self { entries: RwLock::new(Entries { written: 0, buffered: Vec::new(), last: None }) }
    }

    /// The index as it lies on disk, its last entry read. `None` if there is no file.
    pub(crate) fn load(files: &Arc<SegmentFiles>) -> io::Result<Option<Self>> {
        let file = match files.get(E::KIND) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = file.len()?;
        if len % E::SIZE as u64 != 0 {
            return Err(damaged(files, E::KIND, "its size is not a whole number of entries"));
        }
        let written = u32::try_from(len / E::SIZE as u64)
            .map_err(|_| damaged(files, E::KIND, "it is larger than an index can be"))?;
        let index = Self::empty();
        index.entries.write().written = written;
        let last = match written.checked_sub(1) {
            Some(number) => index.read_block(files, number, 1)?.first().copied(),
            None => None,
        };
        // An index that was reserved as a whole and never cut (a crash of Kafka) ends in zeros.
        if written > 1 && index.read_block(files, 0, 1)?.first().copied() >= last {
            return Err(damaged(files, E::KIND, "its entries do not rise"));
        }
        index.entries.write().last = last;
        // Nothing can stand in for a lost transaction, and there are few: every entry is looked at.
        if E::KIND == FileKind::TransactionIndex {
            index.all(files)?;
        }
        Ok(Some(index))
    }

    pub(crate) fn len(&self) -> u32 {
        let entries = self.entries.read();
        entries.written.saturating_add(u32::try_from(entries.buffered.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn last(&self) -> Option<E> {
        self.entries.read().last
    }

    /// Entries not in the file yet.
    pub(crate) fn buffered(&self) -> usize {
        self.entries.read().buffered.len()
    }

    /// Appends an entry, in memory. The caller keeps them in order.
    pub(crate) fn push(&self, entry: E) {
        let mut entries = self.entries.write();
        entries.buffered.push(entry);
        entries.last = Some(entry);
    }

    /// Writes the entries that wait in memory to the file, which is created if it is missing (even for no entry:
    /// an index that is not there is taken for lost at the next start). True if the file was created.
    pub(crate) fn write_out(&self, files: &Arc<SegmentFiles>) -> io::Result<bool> {
        let (file, created) = files.get_or_create(E::KIND)?;
        let mut bytes = Vec::new();
        let (position, count) = {
            let entries = self.entries.read();
            bytes.reserve(entries.buffered.len() * E::SIZE);
            for entry in &entries.buffered {
                entry.encode(files.base(), &mut bytes);
            }
            (u64::from(entries.written) * E::SIZE as u64, entries.buffered.len())
        };
        if count == 0 {
            return Ok(created);
        }
        file.write_at(&[IoSlice::new(&bytes)], position)?;
        // Only the owner pushes, and it is here: what was copied is what waits.
        let mut entries = self.entries.write();
        entries.written = entries.written.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        entries.buffered.clear();
        if entries.buffered.capacity() > BUFFERED_ENTRIES {
            entries.buffered.shrink_to(BUFFERED_ENTRIES);
        }
        Ok(created)
    }

    /// Gives back the memory of the buffer.
    pub(crate) fn shrink(&self) {
        self.entries.write().buffered.shrink_to_fit();
    }

    /// The last entry for which `holds` is true, which must be true up to some entry and false from there.
    pub(crate) fn last_where(
        &self,
        files: &Arc<SegmentFiles>,
        holds: impl Fn(&E) -> bool,
    ) -> io::Result<Option<E>> {
        let written = {
            let entries = self.entries.read();
            let found = entries.buffered.partition_point(&holds);
            if let Some(entry) = found.checked_sub(1).and_then(|at| entries.buffered.get(at)) {
                return Ok(Some(*entry));
            }
            entries.written
        };
        // Entries in the file never change, so the count is all that had to be read under the lock.
        let (mut low, mut high) = (0u32, written);
        while high - low > BLOCK_ENTRIES {
            let middle = low + (high - low) / 2;
            match self.read_block(files, middle, 1)?.first() {
                Some(entry) if holds(entry) => low = middle,
                _ => high = middle,
            }
        }
        let block = self.read_block(files, low, high - low)?;
        Ok(block.partition_point(&holds).checked_sub(1).and_then(|at| block.get(at)).copied())
    }

    /// Every entry in order.
    pub(crate) fn all(&self, files: &Arc<SegmentFiles>) -> io::Result<Vec<E>> {
        let (written, buffered) = {
            let entries = self.entries.read();
            (entries.written, entries.buffered.clone())
        };
        let mut all = Vec::new();
        let mut from = 0;
        while from < written {
            let count = BLOCK_ENTRIES.min(written - from);
            all.extend(self.read_block(files, from, count)?);
            from += count;
        }
        all.extend(buffered);
        Ok(all)
    }

    /// Keeps the entries for which `holds` is true and cuts the file behind them.
    pub(crate) fn keep_while(&self, files: &Arc<SegmentFiles>, holds: impl Fn(&E) -> bool) -> io::Result<()> {
        if self.last().is_none_or(|last| holds(&last)) {
            return Ok(());
        }
        let all = self.all(files)?;
        // What was written behind the last durable entry may be torn into anything: only what rises is believed.
        let mut last: Option<&E> = None;
        let kept = all.iter().take_while(|entry| {
            let rises = last.is_none_or(|last| last.precedes(entry));
            last = Some(entry);
            rises && holds(entry)
        });
        let kept = all.get(..kept.count()).unwrap_or_default();
        self.replace(files, kept.to_vec())
    }

    /// Replaces everything: the file is cut to the entries that stay as they are, the others wait in memory.
    pub(crate) fn replace(&self, files: &Arc<SegmentFiles>, new: Vec<E>) -> io::Result<()> {
        let on_disk = {
            let written = self.entries.read().written;
            let all = self.all(files)?;
            let same = all.iter().zip(&new).take_while(|(old, new)| old == new).count();
            same.min(written as usize)
        };
        let (file, _) = files.get_or_create(E::KIND)?;
        file.set_len((on_disk * E::SIZE) as u64)?;
        let mut entries = self.entries.write();
        entries.last = new.last().copied();
        entries.written = u32::try_from(on_disk).unwrap_or(u32::MAX);
        entries.buffered = new.get(on_disk..).unwrap_or_default().to_vec();
        Ok(())
    }

    /// Forgets every entry, in memory and in the file, which is created if it is missing. Nothing of it is read: it may
    /// be damaged.
    pub(crate) fn clear(&self, files: &Arc<SegmentFiles>) -> io::Result<()> {
        files.get_or_create(E::KIND)?.0.set_len(0)?;
        *self.entries.write() = Entries { written: 0, buffered: Vec::new(), last: None };
        Ok(())
    }

    fn read_block(&self, files: &Arc<SegmentFiles>, from: u32, count: u32) -> io::Result<Vec<E>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = [0u8; BLOCK_ENTRIES as usize * MAX_ENTRY_SIZE];
        let wanted = count.min(BLOCK_ENTRIES) as usize * E::SIZE;
        let bytes = bytes.get_mut(..wanted).unwrap_or_default();
        let read = files.get(E::KIND)?.read_full_at(bytes, u64::from(from) * E::SIZE as u64)?;
        if read < wanted {
            return Err(damaged(files, E::KIND, "it is shorter than it was"));
        }
        bytes
            .chunks_exact(E::SIZE)
            .map(|entry| E::decode(files.base(), entry))
            .collect::<Option<Vec<E>>>()
            .ok_or_else(|| damaged(files, E::KIND, "an entry cannot be read"))
    }
}

/// The error for an index whose bytes cannot be right. Indexes are rebuilt from the log, so this never loses records.
pub(crate) fn damaged(files: &SegmentFiles, kind: FileKind, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", files.path(kind).display()))
}

/// True if the error says that an index must be rebuilt, not that the disk failed.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}
