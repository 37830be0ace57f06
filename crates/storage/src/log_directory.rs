//! The root of a broker's data: who it belongs to, which partitions lie in it, and how far each of them is flushed.
//!
//! | file | content |
//! |---|---|
//! | `meta.properties` | cluster id, node id, directory id |
//! | `recovery-point-offset-checkpoint` | below this, a partition needs no scan at start |
//! | `log-start-offset-checkpoint` | where records were deleted inside a segment |
//! | `replication-offset-checkpoint` | high watermarks |
//! | `cleaner-offset-checkpoint` | how far compaction has come; a log that is named there may have gaps |
//! | `.kafka_cleanshutdown` | there only after a clean stop |

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_record::{BrokerEpoch, BrokerId, ClusterId, DirectoryId, Offset, TopicId, Uuid};
use parking_lot::Mutex;

use crate::checkpoint::{TopicPartition, read_offsets, write_offsets};
use crate::config::LogStart;
use crate::disk::{Disk, EntryKind};
use crate::error::{AtPath, OpenError, StorageError};
use crate::file_names::{DELETED_DIR_SUFFIX, PARTITION_METADATA, STRAY_DIR_SUFFIX};
use crate::handles::Handles;
use crate::identity::{MetaProperties, PartitionMetadata, clean_shutdown};
use crate::space::SpaceGuard;
use crate::whole_file;

const META_PROPERTIES: &str = "meta.properties";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// The default of `ottla.disk.reserve.bytes` is the smaller of this and a twentieth of the file system.
const DEFAULT_RESERVE_BYTES: u64 = 1 << 30;

/// The longest file name a file system allows.
const MAX_NAME_BYTES: usize = 255;

/// Bounds that all logs of a directory share.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryLimits {
    /// Files kept open at once, beside those in use.
    pub open_files: usize,
    /// `ottla.disk.reserve.bytes`; `None` for the smaller of 1 GiB and 5 % of the file system.
    pub reserve_bytes: Option<u64>,
}

/// Which of the root's checkpoint files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoint {
    RecoveryPoints,
    LogStarts,
    HighWatermarks,
    Cleaned,
}

impl Checkpoint {
    const ALL: [Self; 4] = [Self::RecoveryPoints, Self::LogStarts, Self::HighWatermarks, Self::Cleaned];

    const fn file(self) -> &'static str {
        match self {
            Self::RecoveryPoints => "recovery-point-offset-checkpoint",
            Self::LogStarts => "log-start-offset-checkpoint",
            Self::HighWatermarks => "replication-offset-checkpoint",
            Self::Cleaned => "cleaner-offset-checkpoint",
        }
    }
}

/// The offsets of one checkpoint file. The lock also orders the writes, so that no older content replaces a newer.
#[derive(Debug, Default)]
struct Offsets {
    offsets: BTreeMap<TopicPartition, Offset>,
    dirty: bool,
}

/// A partition's directory as found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDirectory {
    /// Topic and partition, from the directory's name.
    pub name: TopicPartition,
    /// The topic's id, from `partition.metadata`.
    pub topic_id: Option<TopicId>,
}

/// A broker's log directory, shared by all its logs.
#[derive(Debug)]
pub struct LogDirectory {
    disk: Arc<dyn Disk>,
    handles: Arc<Handles>,
    space: SpaceGuard,
    meta: Mutex<MetaProperties>,
    /// Set if the last stop was clean; the epoch the broker had then.
    clean: Option<Option<BrokerEpoch>>,
    recovery_points: Mutex<Offsets>,
    log_starts: Mutex<Offsets>,
    high_watermarks: Mutex<Offsets>,
    cleaned: Mutex<Offsets>,
}

impl LogDirectory {
    /// Opens the directory of `node`; one without `meta.properties` becomes this node's, with the id `fresh`.
    /// The mark of a clean stop is removed: from here on, a crash is a crash.
    pub fn open(
        disk: Arc<dyn Disk>,
        node: BrokerId,
        fresh: DirectoryId,
        limits: DirectoryLimits,
    ) -> Result<Self, OpenError> {
        let meta = match read(&*disk, META_PROPERTIES)? {
            Some(text) => MetaProperties::read(&text).map_err(|reason| metadata(META_PROPERTIES, reason))?,
            None => {
                let meta = MetaProperties { cluster_id: None, node_id: node, directory_id: fresh };
                write(&*disk, META_PROPERTIES, meta.write().as_bytes())?;
                meta
            }
        };
        if meta.node_id != node {
            let reason = format!("the directory belongs to node {}, but node.id is {node}", meta.node_id);
            return Err(metadata(META_PROPERTIES, reason));
        }
        let clean = read(&*disk, CLEAN_SHUTDOWN)?.map(|text| clean_shutdown::read(&text));
        let offsets = |checkpoint: Checkpoint| -> Result<Mutex<Offsets>, OpenError> {
            let text = read(&*disk, checkpoint.file())?.unwrap_or_else(|| b"0\n0\n".to_vec());
            let offsets = read_offsets(&text).or_else(|error| match checkpoint {
                // Without recovery points, everything is scanned; without high watermarks, they are learned anew; without
                // the cleaner's offsets, everything is dirty.
                Checkpoint::RecoveryPoints | Checkpoint::HighWatermarks | Checkpoint::Cleaned => {
                    tracing::warn!(file = checkpoint.file(), %error, "a damaged checkpoint file is not used: this start scans or compacts more of the logs, and writes it anew");
                    Ok(BTreeMap::new())
                }
                // Without log starts, deleted records would come back.
                Checkpoint::LogStarts => Err(metadata(checkpoint.file(), error.to_string())),
            })?;
            Ok(Mutex::new(Offsets { offsets, dirty: false }))
        };
        let recovery_points = offsets(Checkpoint::RecoveryPoints)?;
        let log_starts = offsets(Checkpoint::LogStarts)?;
        let high_watermarks = offsets(Checkpoint::HighWatermarks)?;
        let cleaned = offsets(Checkpoint::Cleaned)?;
        if clean.is_some() {
            whole_file::remove(&*disk, Path::new(CLEAN_SHUTDOWN)).at(CLEAN_SHUTDOWN)?;
        }
        // After a kill, a checkpoint file may have its name in the page cache only. What is read here is acted upon (records
        // below a log start are gone), so no power cut may take it back.
        disk.sync_dir(Path::new("")).at("")?;
        let space = disk.space().map_or(0, |space| space.total);
        let reserve = limits.reserve_bytes.unwrap_or(DEFAULT_RESERVE_BYTES.min(space / 20));
        Ok(Self {
            handles: Arc::new(Handles::new(limits.open_files)),
            space: SpaceGuard::new(reserve),
            meta: Mutex::new(meta),
            clean,
            recovery_points,
            log_starts,
            high_watermarks,
            cleaned,
            disk,
        })
    }

    /// The disk under it.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn handles(&self) -> &Arc<Handles> {
        &self.handles
    }

    /// True if appends are refused, because no more is free than `ottla.disk.reserve.bytes`. Asks the file system.
    pub fn is_full(&self) -> bool {
        self.space.room_for(&*self.disk, 1).is_err()
    }

    pub(crate) fn space(&self) -> &SpaceGuard {
        &self.space
    }

    /// The directory's identity (KIP-858).
    pub fn directory_id(&self) -> DirectoryId {
        self.meta.lock().directory_id
    }

    /// The cluster the directory belongs to; `None` before it joined one.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.meta.lock().cluster_id
    }

    /// Makes the directory part of a cluster, durably. An error if it is part of another.
    pub fn join_cluster(&self, cluster: ClusterId) -> Result<(), OpenError> {
        let mut meta = self.meta.lock();
        match meta.cluster_id {
            Some(joined) if joined == cluster => Ok(()),
            Some(joined) => {
                let reason = format!("the directory belongs to cluster {joined}, not {cluster}");
                Err(metadata(META_PROPERTIES, reason))
            }
            None => {
                let joined = MetaProperties { cluster_id: Some(cluster), ..*meta };
                write(&*self.disk, META_PROPERTIES, joined.write().as_bytes())?;
                *meta = joined;
                Ok(())
            }
        }
    }

    /// How many files of segments are kept open now. Looks at each of them.
    pub fn open_files(&self) -> usize {
        self.handles.open_files()
    }

    /// True if the last stop was clean: then no log needs a scan.
    pub fn was_clean(&self) -> bool {
        self.clean.is_some()
    }

    /// The broker epoch at the last stop, if that was clean (KIP-966).
    pub fn clean_epoch(&self) -> Option<BrokerEpoch> {
        self.clean.flatten()
    }

    /// Marks a clean stop. Call it when every log is closed and the checkpoints are stored.
    pub fn mark_clean(&self, epoch: Option<BrokerEpoch>) -> Result<(), StorageError> {
        let text = clean_shutdown::write(epoch);
        whole_file::replace(&*self.disk, Path::new(CLEAN_SHUTDOWN), text.as_bytes()).at(CLEAN_SHUTDOWN)
    }

    /// The partitions, by name. Directories that wait for their removal, and those that were set aside, are not among them.
    pub fn partitions(&self) -> Result<Vec<PartitionDirectory>, OpenError> {
        let mut partitions = Vec::new();
        for entry in self.disk.list(Path::new("")).at("")? {
            let name = TopicPartition::from_directory(Path::new(&entry.name));
            let Some(name) = name.filter(|_| entry.kind == EntryKind::Directory) else { continue };
            let topic_id = read_topic_id(&*self.disk, Path::new(&entry.name))?;
            partitions.push(PartitionDirectory { name, topic_id });
        }
        Ok(partitions)
    }

    /// The id of the topic that a partition's directory belongs to; `None` if there is no directory, or nothing in it says so.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn topic_id_of(&self, name: &TopicPartition) -> Result<Option<TopicId>, OpenError> {
        read_topic_id(&*self.disk, &name.directory())
    }

    /// Where a partition's log stands according to the checkpoints.
    pub fn log_start_of(&self, name: &TopicPartition) -> LogStart {
        let recovery_point = self.recovery_points.lock().offsets.get(name).copied();
        let log_start = self.log_starts.lock().offsets.get(name).copied();
        LogStart {
            recovery_point: recovery_point.unwrap_or(Offset::ZERO),
            log_start,
            clean: self.was_clean(),
        }
    }

    /// The high watermark that was last stored.
    pub fn high_watermark_of(&self, name: &TopicPartition) -> Option<Offset> {
        self.high_watermarks.lock().offsets.get(name).copied()
    }

    /// How far compaction has come in a partition: where its dirty part begins. `None` for a log that was never compacted,
    /// whose offsets have no gaps.
    pub fn cleaned_to(&self, name: &TopicPartition) -> Option<Offset> {
        self.cleaned.lock().offsets.get(name).copied()
    }

    /// Stores how far compaction has come, durably. Call it when everything that the pass has written is in the log.
    pub fn store_cleaned_to(&self, name: &TopicPartition, to: Offset) -> Result<(), StorageError> {
        self.store(Checkpoint::Cleaned, |state| {
            let old = state.offsets.insert(name.clone(), to);
            state.dirty |= old != Some(to);
        })
    }

    /// A partition may have gaps from now on; [`store_checkpoints`](Self::store_checkpoints) makes that durable.
    pub(crate) fn note_gaps(&self, name: &TopicPartition, log_start: Offset) {
        let mut state = self.cleaned.lock();
        if !state.offsets.contains_key(name) {
            state.offsets.insert(name.clone(), log_start);
            state.dirty = true;
        }
    }

    /// Lowers how far compaction has come, durably: what is written above the cut is new.
    pub(crate) fn lower_cleaned_to(&self, name: &TopicPartition, to: Offset) -> Result<(), StorageError> {
        self.store(Checkpoint::Cleaned, |state| {
            if let Some(offset) = state.offsets.get_mut(name).filter(|offset| **offset > to) {
                *offset = to;
                state.dirty = true;
            }
        })
    }

    /// Notes how far a partition is flushed; [`store_checkpoints`](Self::store_checkpoints) makes it durable.
    pub fn note_recovery_point(&self, name: &TopicPartition, offset: Offset) {
        note(&self.recovery_points, name, offset);
    }

    /// Notes a high watermark; [`store_checkpoints`](Self::store_checkpoints) makes it durable.
    pub fn note_high_watermark(&self, name: &TopicPartition, offset: Offset) {
        note(&self.high_watermarks, name, offset);
    }

    /// Takes in a partition whose files have been brought here from elsewhere, durably: where its log starts, and below
    /// which offset its bytes are complete. Call it when the files are in place and synced, and before the log is opened.
    pub fn adopt_partition(&self, name: &TopicPartition, start: LogStart) -> Result<(), StorageError> {
        self.lower_recovery_point(name, start.recovery_point)?;
        match start.log_start {
            Some(log_start) => self.store_log_start(name, log_start),
            None => Ok(()),
        }
    }

    /// Writes the checkpoints that changed, durably: every second or so, and at the end.
    pub fn store_checkpoints(&self) -> Result<(), StorageError> {
        for checkpoint in Checkpoint::ALL {
            self.store(checkpoint, |_| {})?;
        }
        Ok(())
    }

    /// Writes the recovery points alone, durably, if any of them changed: oftener than the rest, because under load a
    /// second of appends is much to scan at the next start.
    pub fn store_recovery_points(&self) -> Result<(), StorageError> {
        self.store(Checkpoint::RecoveryPoints, |_| {})
    }

    /// Lowers a recovery point, durably: before anything is cut.
    pub(crate) fn lower_recovery_point(&self, name: &TopicPartition, to: Offset) -> Result<(), StorageError> {
        self.store(Checkpoint::RecoveryPoints, |state| {
            let old = state.offsets.insert(name.clone(), to);
            state.dirty |= old != Some(to);
        })
    }

    /// Lowers the stored high watermark, durably: before records are cut that it calls committed, as an unclean election may ask
    /// for. Otherwise the next start would believe it of whatever stands there by then.
    pub(crate) fn lower_high_watermark(&self, name: &TopicPartition, to: Offset) -> Result<(), StorageError> {
        let is_above = self.high_watermarks.lock().offsets.get(name).is_some_and(|stored| *stored > to);
        if !is_above {
            return Ok(());
        }
        self.store(Checkpoint::HighWatermarks, |state| {
            state.dirty |= state.offsets.insert(name.clone(), to) != Some(to);
        })
    }

    /// Raises a log start, durably: records that were deleted never come back.
    pub(crate) fn store_log_start(&self, name: &TopicPartition, to: Offset) -> Result<(), StorageError> {
        self.store(Checkpoint::LogStarts, |state| {
            let old = state.offsets.insert(name.clone(), to);
            state.dirty |= old != Some(to);
        })
    }

    fn store(&self, checkpoint: Checkpoint, change: impl FnOnce(&mut Offsets)) -> Result<(), StorageError> {
        let mut state = match checkpoint {
            Checkpoint::RecoveryPoints => self.recovery_points.lock(),
            Checkpoint::LogStarts => self.log_starts.lock(),
            Checkpoint::HighWatermarks => self.high_watermarks.lock(),
            Checkpoint::Cleaned => self.cleaned.lock(),
        };
        change(&mut state);
        if state.dirty {
            let path = Path::new(checkpoint.file());
            whole_file::replace(&*self.disk, path, write_offsets(&state.offsets).as_bytes()).at(path)?;
            state.dirty = false;
        }
        Ok(())
    }

    /// Takes a partition out of the directory: from here on its name is free. The log must have been dropped; readers'
    /// open files stay valid. Returns where its files are now, for [`remove_directory`](Self::remove_directory).
    pub fn delete_partition(&self, name: &TopicPartition, unique: Uuid) -> Result<PathBuf, StorageError> {
        self.take_out(name, unique, DELETED_DIR_SUFFIX)
    }

    /// Takes a partition out of the directory that belongs to a topic which is no more, and keeps its files under another name, as
    /// Kafka does: from here on its own is free. Nobody may have its log open. Returns where the files are now.
    pub fn set_aside(&self, name: &TopicPartition, unique: Uuid) -> Result<PathBuf, StorageError> {
        self.take_out(name, unique, STRAY_DIR_SUFFIX)
    }

    fn take_out(&self, name: &TopicPartition, unique: Uuid, suffix: &str) -> Result<PathBuf, StorageError> {
        // First its offsets: a partition created later under this name must not inherit them.
        for checkpoint in Checkpoint::ALL {
            self.store(checkpoint, |state| state.dirty |= state.offsets.remove(name).is_some())?;
        }
        let unique: String = unique.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let suffix = format!("-{}.{unique}{suffix}", name.partition);
        // Kafka's rule too: the topic's part is cut to what the file system allows.
        let mut topic = name.topic.clone();
        while topic.len() + suffix.len() > MAX_NAME_BYTES {
            topic.pop();
        }
        let renamed = PathBuf::from(topic + &suffix);
        let dir = name.directory();
        self.disk.rename(&dir, &renamed).at(&dir)?;
        self.disk.sync_dir(Path::new("")).at("")?;
        Ok(renamed)
    }

    /// Directories of deleted partitions that have not been removed yet.
    pub fn deleted_directories(&self) -> Result<Vec<PathBuf>, StorageError> {
        let entries = self.disk.list(Path::new("")).at("")?;
        let deleted = entries
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::Directory && entry.name.ends_with(DELETED_DIR_SUFFIX));
        Ok(deleted.map(|entry| PathBuf::from(entry.name)).collect())
    }

    /// Removes a directory of files.
    pub fn remove_directory(&self, dir: &Path) -> Result<(), StorageError> {
        for entry in self.disk.list(dir).at(dir)? {
            let path = dir.join(entry.name);
            whole_file::remove(&*self.disk, &path).at(path)?;
        }
        self.disk.remove_dir(dir).at(dir)
    }
}

/// Reads the topic id of a partition's directory; `None` if there is no `partition.metadata`.
pub(crate) fn read_topic_id(disk: &dyn Disk, dir: &Path) -> Result<Option<TopicId>, OpenError> {
    let path = dir.join(PARTITION_METADATA);
    let text = whole_file::read(disk, &path).at(&path)?;
    let read = |text: Vec<u8>| PartitionMetadata::read(&text).map_err(|reason| metadata(&path, reason));
    Ok(text.map(read).transpose()?.map(|metadata| metadata.topic_id))
}

fn note(offsets: &Mutex<Offsets>, name: &TopicPartition, offset: Offset) {
    let mut state = offsets.lock();
    match state.offsets.get_mut(name) {
        Some(old) if *old == offset => return,
        Some(old) => *old = offset,
        None => drop(state.offsets.insert(name.clone(), offset)),
    }
    state.dirty = true;
}

fn metadata(path: impl Into<PathBuf>, reason: String) -> OpenError {
    OpenError::Metadata { path: path.into(), reason }
}

fn read(disk: &dyn Disk, file: &str) -> Result<Option<Vec<u8>>, OpenError> {
    Ok(whole_file::read(disk, Path::new(file)).at(file)?)
}

fn write(disk: &dyn Disk, file: &str, bytes: &[u8]) -> Result<(), OpenError> {
    Ok(whole_file::replace(disk, Path::new(file), bytes).at(file)?)
}

/// So that a caller can tell a missing file from a failing disk.
impl StorageError {
    /// True if the file was not there.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

#[cfg(test)]
mod tests;
