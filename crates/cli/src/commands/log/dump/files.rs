//! Which files there are, and what each of them is by its name.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use ottla_storage::file_names::{FileKind, LEADER_EPOCHS, PARTITION_METADATA};
use ottla_storage::offline;

use crate::failure::Failure;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Record batches: a segment, or a snapshot of Kafka's cluster metadata.
    Batches,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    Producers,
    /// A checkpoint with an offset for each partition.
    Offsets,
    LeaderEpochs,
    /// `meta.properties`
    Directory,
    /// `partition.metadata`
    Partition,
    CleanShutdown,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        if let Some(name) = offline::segment_file(path) {
            return Some(match name.kind {
                FileKind::Log => Self::Batches,
                FileKind::OffsetIndex => Self::OffsetIndex,
                FileKind::TimeIndex => Self::TimeIndex,
                FileKind::TransactionIndex => Self::TransactionIndex,
                FileKind::ProducerSnapshot => Self::Producers,
            });
        }
        if offline::metadata_snapshot(path).is_some() {
            return Some(Self::Batches);
        }
        match path.file_name()?.to_str()? {
            "recovery-point-offset-checkpoint"
            | "log-start-offset-checkpoint"
            | "replication-offset-checkpoint" => Some(Self::Offsets),
            LEADER_EPOCHS => Some(Self::LeaderEpochs),
            "meta.properties" => Some(Self::Directory),
            PARTITION_METADATA => Some(Self::Partition),
            ".kafka_cleanshutdown" => Some(Self::CleanShutdown),
            _ => None,
        }
    }
}

/// The file, or the files of the directory and of those in it, in the order of their names. In a directory, files of other
/// kinds are passed over; one that was named must be of a kind we know.
pub(super) fn find(path: &Path) -> Result<Vec<(PathBuf, Kind)>, Failure> {
    let metadata = fs::metadata(path).map_err(|error| Failure::with(path.display(), error))?;
    if metadata.is_dir() {
        let mut found = Vec::new();
        for entry in entries(path)? {
            if entry.is_dir() {
                found.extend(entries(&entry)?.into_iter().filter_map(known));
            } else {
                found.extend(known(entry));
            }
        }
        return Ok(found);
    }
    match known(path.to_owned()) {
        Some(file) => Ok(vec![file]),
        None => Err(Failure::with(path.display(), UNKNOWN)),
    }
}

const UNKNOWN: &str = "its name is none that a log's files have: <20 digits>.log, .index, .timeindex, .txnindex or .snapshot, \
                       a checkpoint, partition.metadata or meta.properties";

fn known(path: PathBuf) -> Option<(PathBuf, Kind)> {
    let kind = Kind::of(&path)?;
    Some((path, kind))
}

/// What a directory holds, segments in the order of their offsets and each `.log` before its indexes.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failure = |error| Failure::with(dir.display(), error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failure)? {
        paths.push(entry.map_err(failure)?.path());
    }
    paths.sort_by_cached_key(|path| {
        let stem = path.file_stem().map(OsStr::to_owned);
        (path.is_dir(), stem, path.extension() != Some(OsStr::new("log")), path.clone())
    });
    Ok(paths)
}
