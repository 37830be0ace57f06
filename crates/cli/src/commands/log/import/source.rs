//! The directories of a Kafka broker that does not run: looked at, never written to.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ottla_record::{Offset, TopicId};
use ottla_storage::checkpoint::TopicPartition;
use ottla_storage::offline;
use rustix::fs::FlockOperation;

use super::cluster_metadata::{ClusterMetadata, METADATA_DIR};
use crate::failure::Failure;

/// What Kafka's file of the name is for.
const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// A stopped broker's data.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) metadata: ClusterMetadata,
    pub(super) node: i32,
    pub(super) cluster: String,
    /// All of its directories were closed by a clean stop.
    pub(super) is_clean: bool,
    pub(super) partitions: BTreeMap<TopicPartition, SourceDirectory>,
    /// While they are held, the broker does not start.
    _locks: Vec<File>,
}

/// A partition's directory.
#[derive(Clone, Debug)]
pub(super) struct SourceDirectory {
    pub(super) path: PathBuf,
    pub(super) topic_id: Option<TopicId>,
    /// Everything below had been flushed.
    pub(super) recovery_point: Offset,
    /// Where records were deleted inside a segment.
    pub(super) log_start: Option<Offset>,
}

impl Source {
    /// Opens the directories, `log.dirs` of the broker, whose metadata is in one of them or in `metadata_dir`.
    pub(super) fn open(
        dirs: &[PathBuf],
        metadata_dir: Option<&Path>,
        unclean: bool,
    ) -> Result<Self, Failure> {
        let mut locks = Vec::new();
        let mut partitions = BTreeMap::new();
        let mut identity = None;
        let mut is_clean = true;
        for dir in dirs.iter().map(PathBuf::as_path).chain(metadata_dir) {
            let meta = offline::meta_properties(&dir.join("meta.properties")).map_err(|error| {
                let why = format!("this is no data directory of Kafka 4 (KRaft): {error}");
                Failure::with(dir.display(), why)
            })?;
            let found = (meta.node_id.get(), meta.cluster_id.map(|id| id.to_string()).unwrap_or_default());
            if identity.get_or_insert_with(|| found.clone()) != &found {
                let why = "it belongs to another broker than the directory before it";
                return Err(Failure::with(dir.display(), why));
            }
            locks.extend(lock(dir)?);
        }
        for dir in dirs {
            is_clean &= stopped_cleanly(dir)?;
            if !is_clean && !unclean {
                return Err(Failure::with(
                    dir.display(),
                    "the broker was not stopped cleanly (.kafka_cleanshutdown is missing): start and stop it once more, or \
                     let --allow-unclean check its logs and cut what had not been flushed",
                ));
            }
            for (name, found) in find_partitions(dir)? {
                if let Some(twice) = partitions.insert(name, found) {
                    return Err(Failure::with(
                        twice.path.display(),
                        "the partition is in another directory, too",
                    ));
                }
            }
        }
        let mut candidates = metadata_dir.into_iter().chain(dirs.iter().map(PathBuf::as_path));
        let with_metadata = candidates.find(|dir| dir.join(METADATA_DIR).is_dir()).ok_or_else(|| {
            Failure::Failed(format!(
                "there is no {METADATA_DIR} in what was named: name the broker's metadata.log.dir with --metadata-dir"
            ))
        })?;
        let metadata = ClusterMetadata::read(&with_metadata.join(METADATA_DIR), !is_clean)?;
        let (node, cluster) = identity.unwrap_or_default();
        Ok(Self { metadata, node, cluster, is_clean, partitions, _locks: locks })
    }
}

/// Shares the lock that a running broker holds alone (Java's `FileChannel.lock`, a POSIX record lock). Takes no write access.
fn lock(dir: &Path) -> Result<Option<File>, Failure> {
    let path = dir.join(LOCK_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        // A copy of a directory need not have it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::with(path.display(), error)),
    };
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            Err(Failure::with(dir.display(), "a running broker has locked it: stop that broker first"))
        }
        Err(error) => Err(Failure::with(path.display(), error)),
    }
}

fn stopped_cleanly(dir: &Path) -> Result<bool, Failure> {
    dir.join(CLEAN_SHUTDOWN).try_exists().map_err(|error| Failure::with(dir.display(), error))
}

fn find_partitions(dir: &Path) -> Result<Vec<(TopicPartition, SourceDirectory)>, Failure> {
    let checkpoint = |file: &str| match offline::offset_checkpoint(&dir.join(file)) {
        Ok(offsets) => Ok(offsets),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Failure::Failed(error.to_string())),
    };
    let (recovery_points, log_starts) = (checkpoint(RECOVERY_POINTS)?, checkpoint(LOG_STARTS)?);
    let failure = |error| Failure::with(dir.display(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        let name = path.file_name().and_then(|name| TopicPartition::from_directory(Path::new(name)));
        let Some(name) = name.filter(|_| path.is_dir() && !path.ends_with(METADATA_DIR)) else { continue };
        let topic_id = match offline::partition_metadata(&path.join("partition.metadata")) {
            Ok(metadata) => Some(metadata.topic_id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::Failed(error.to_string())),
        };
        let recovery_point = recovery_points.get(&name).copied().unwrap_or(Offset::ZERO);
        let log_start = log_starts.get(&name).copied();
        found.push((name, SourceDirectory { path, topic_id, recovery_point, log_start }));
    }
    Ok(found)
}
