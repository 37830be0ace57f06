//! Reading the files of a data directory where they lie, without a log, a lock or a broker: for `ottla log dump` and
//! `ottla log import`. Files of Kafka and of Ottla read alike. Nothing is ever written, and memory does not grow with a file:
//! logs and indexes are read piece by piece, and the small files only up to [`MAX_WHOLE_FILE_BYTES`].

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ottla_record::{BrokerEpoch, Offset};

use crate::checkpoint::{TopicPartition, read_offsets};
use crate::disk::File;
use crate::file_names::{CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, FileName, SWAP_SUFFIX};
use crate::fs_disk::FsDisk;
use crate::identity::clean_shutdown as shutdown_mark;
pub use crate::identity::{MetaProperties, PartitionMetadata};
use crate::index_file::IndexEntry;
use crate::leader_epochs::LeaderEpochs;
use crate::offset_index::OffsetEntry;
use crate::producer_snapshot;
use crate::producer_state::ProducerStates;
use crate::scan::BatchScan;
use crate::time_index::TimeEntry;
use crate::transaction_index::AbortedTransaction;

/// The largest file that is read as a whole: a snapshot of 1.4 million producers.
pub const MAX_WHOLE_FILE_BYTES: u64 = 64 << 20;

/// Extension of a snapshot of Kafka's cluster metadata: `<end offset>-<epoch>.checkpoint`, batches like those of a log.
const METADATA_SNAPSHOT: &str = "checkpoint";
/// Index entries read at once.
const BLOCK_ENTRIES: usize = 4096;

/// The name of a segment's file, also of one that is about to be removed or to take its name.
pub fn segment_file(path: &Path) -> Option<FileName> {
    let name = path.file_name()?.to_str()?;
    let suffix = [DELETED_SUFFIX, CLEANED_SUFFIX, SWAP_SUFFIX].into_iter().find_map(|s| name.strip_suffix(s));
    FileName::parse(suffix.unwrap_or(name))
}

/// The end offset of a snapshot of Kafka's cluster metadata, from its name.
pub fn metadata_snapshot(path: &Path) -> Option<Offset> {
    if path.extension()?.to_str()? != METADATA_SNAPSHOT {
        return None;
    }
    let (offset, epoch) = path.file_stem()?.to_str()?.split_once('-')?;
    let digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(offset, 20) && digits(epoch, 10)).then(|| offset.parse().ok().and_then(Offset::from_wire))?
}

/// A file of record batches in any directory, opened for reading.
#[derive(Debug)]
pub struct SegmentReader {
    file: Arc<dyn File>,
    base: Offset,
    size: u64,
}

impl SegmentReader {
    /// Opens a file named `<base offset>.log`, or a snapshot of Kafka's cluster metadata, whose offsets start at 0.
    pub fn open(path: &Path) -> io::Result<Self> {
        let base = match segment_file(path) {
            Some(name) if name.kind == FileKind::Log => name.base,
            _ if metadata_snapshot(path).is_some() => Offset::ZERO,
            _ => return Err(invalid(path, "the file is not named after its base offset")),
        };
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
        self.batches_from(0)
    }

    /// The batches from a position at which one starts.
    pub fn batches_from(&self, position: u64) -> BatchScan<'_> {
        BatchScan::new(&*self.file, position, self.size)
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
pub fn offset_index(path: &Path) -> io::Result<impl Iterator<Item = io::Result<OffsetEntry>> + use<>> {
    IndexEntries::open(path)
}

/// The entries of a `.timeindex` file.
pub fn time_index(path: &Path) -> io::Result<impl Iterator<Item = io::Result<TimeEntry>> + use<>> {
    IndexEntries::open(path)
}

/// The entries of a `.txnindex` file.
pub fn transaction_index(
    path: &Path,
) -> io::Result<impl Iterator<Item = io::Result<AbortedTransaction>> + use<>> {
    IndexEntries::open(path)
}

/// The producers of a `.snapshot` file.
pub fn snapshot(path: &Path) -> io::Result<ProducerStates> {
    producer_snapshot::decode(&whole(path)?).map_err(|error| invalid(path, error))
}

/// An offset for each partition, of one of the checkpoint files at the root.
pub fn offset_checkpoint(path: &Path) -> io::Result<BTreeMap<TopicPartition, Offset>> {
    read_offsets(&whole(path)?).map_err(|error| invalid(path, error))
}

/// The epochs of a `leader-epoch-checkpoint`.
pub fn leader_epochs(path: &Path) -> io::Result<LeaderEpochs> {
    LeaderEpochs::read(&whole(path)?).map_err(|error| invalid(path, error))
}

/// Whose a data directory is, from its `meta.properties`.
pub fn meta_properties(path: &Path) -> io::Result<MetaProperties> {
    MetaProperties::read(&whole(path)?).map_err(|error| invalid(path, error))
}

/// Whose a partition's directory is, from its `partition.metadata`.
pub fn partition_metadata(path: &Path) -> io::Result<PartitionMetadata> {
    PartitionMetadata::read(&whole(path)?).map_err(|error| invalid(path, error))
}

/// The broker's epoch at its last clean stop, from `.kafka_cleanshutdown`; `None` if the file does not tell.
pub fn clean_shutdown(path: &Path) -> io::Result<Option<BrokerEpoch>> {
    Ok(shutdown_mark::read(&whole(path)?))
}

/// An index file, read a block at a time.
struct IndexEntries<E> {
    file: Arc<dyn File>,
    base: Offset,
    position: u64,
    block: std::vec::IntoIter<E>,
    failed: bool,
}

impl<E: IndexEntry> IndexEntries<E> {
    fn open(path: &Path) -> io::Result<Self> {
        let name = segment_file(path).filter(|name| name.kind == E::KIND);
        let base = name.ok_or_else(|| invalid(path, "the file is not named as an index of its kind"))?.base;
        let file = FsDisk::open_for_reading(path)?;
        Ok(Self { file, base, position: 0, block: Vec::new().into_iter(), failed: false })
    }

    fn read_block(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; BLOCK_ENTRIES * E::SIZE];
        let read = self.file.read_at(&mut bytes, self.position)?;
        bytes.truncate(read);
        let damaged =
            |why| io::Error::new(io::ErrorKind::InvalidData, format!("byte {}: {why}", self.position));
        let entries = bytes.chunks(E::SIZE).map(|bytes| match bytes.len() == E::SIZE {
            true => E::decode(self.base, bytes).ok_or_else(|| damaged("an entry cannot be read")),
            false => Err(damaged("the file ends inside an entry")),
        });
        // What can be read before the damage is given out first.
        let mut block = Vec::with_capacity(bytes.len() / E::SIZE);
        for entry in entries {
            match entry {
                Ok(entry) => block.push(entry),
                Err(error) if block.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        self.position += (block.len() * E::SIZE) as u64;
        self.block = block.into_iter();
        Ok(())
    }
}

impl<E: IndexEntry> Iterator for IndexEntries<E> {
    type Item = io::Result<E>;

    fn next(&mut self) -> Option<io::Result<E>> {
        if self.block.len() == 0
            && !self.failed
            && let Err(error) = self.read_block()
        {
            self.failed = true;
            return Some(Err(error));
        }
        self.block.next().map(Ok)
    }
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let file = FsDisk::open_for_reading(path)?;
    let len = file.len()?;
    if len > MAX_WHOLE_FILE_BYTES {
        return Err(invalid(path, format!("{len} bytes are more than such a file can have")));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn invalid(path: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
}
