//! Reading the files of a segment where they lie, without a log, a lock or a broker: for `ottla log dump`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ottla_record::Offset;

use crate::disk::File;
use crate::file_names::FileName;
use crate::fs_disk::FsDisk;
use crate::index_file::IndexEntry;
use crate::offset_index::OffsetEntry;
use crate::producer_snapshot;
use crate::producer_state::ProducerStates;
use crate::scan::BatchScan;
use crate::time_index::TimeEntry;
use crate::transaction_index::AbortedTransaction;

/// A `.log` file of any directory, opened for reading.
#[derive(Debug)]
pub struct SegmentReader {
    file: Arc<dyn File>,
    base: Offset,
    size: u64,
}

impl SegmentReader {
    /// Opens a file named `<base offset>.log`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let base = base_of(path)?;
        let file = FsDisk::open_for_reading(path)?;
        let size = file.len()?;
        Ok(Self { file, base, size })
    }

    /// The base offset, from the file's name.
    pub fn base(&self) -> Offset {
        self.base
    }

    /// Size of the file, zeros at its end included.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The batches from the start; stops at the first bytes that are none.
    pub fn batches(&self) -> BatchScan<'_> {
        BatchScan::new(&*self.file, 0, self.size)
    }

    /// The bytes of the batch at a position that [`batches`](Self::batches) has given.
    pub fn read(&self, position: u64, len: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(left)];
        let read = self.file.read_full_at(&mut bytes, position)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// The entries of an `.index` file.
pub fn offset_index(path: &Path) -> io::Result<Vec<OffsetEntry>> {
    entries(path)
}

/// The entries of a `.timeindex` file.
pub fn time_index(path: &Path) -> io::Result<Vec<TimeEntry>> {
    entries(path)
}

/// The entries of a `.txnindex` file.
pub fn transaction_index(path: &Path) -> io::Result<Vec<AbortedTransaction>> {
    entries(path)
}

/// The producers of a `.snapshot` file.
pub fn snapshot(path: &Path) -> io::Result<ProducerStates> {
    producer_snapshot::decode(&fs::read(path)?).map_err(|error| invalid(path, &error.to_string()))
}

fn entries<E: IndexEntry>(path: &Path) -> io::Result<Vec<E>> {
    let base = base_of(path)?;
    let bytes = fs::read(path)?;
    let chunks = bytes.chunks(E::SIZE).map(|entry| E::decode(base, entry));
    chunks.collect::<Option<_>>().ok_or_else(|| invalid(path, "an entry cannot be read"))
}

fn base_of(path: &Path) -> io::Result<Offset> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(FileName::parse);
    Ok(name.ok_or_else(|| invalid(path, "the file is not named after its base offset"))?.base)
}

fn invalid(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
}
