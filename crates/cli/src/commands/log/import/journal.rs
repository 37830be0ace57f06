//! What an import has begun, so that a second run after a crash can clear it away and begin again.
//!
//! The file is there from before the first partition takes its name until the last topic stands in the metadata. Whatever it
//! lists and the metadata does not know is an unfinished copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ottla_record::TopicId;
use ottla_storage::{LogDirectory, TopicPartition, offline};
use serde::{Deserialize, Serialize};

use super::copy::{remove_dir, sync_dir};
use crate::failure::Failure;

const JOURNAL: &str = "import.journal";
const TEMPORARY: &str = "import.journal.tmp";
/// Suffix of a directory in which a partition is gathered.
const STAGING: &str = ".importing";

/// An import that has begun.
#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    /// The source's cluster.
    pub cluster: String,
    /// The topics, by name.
    pub topics: Vec<(String, TopicId)>,
}

impl Journal {
    /// The journal of an import that was interrupted in this data directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(root: &Path) -> Result<Option<Self>, Failure> {
        let path = root.join(JOURNAL);
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|error| Failure::with(path.display(), error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::with(path.display(), error)),
        }
    }

    /// Makes it durable.
    pub(super) fn write(&self, root: &Path) -> Result<(), Failure> {
        let path = root.join(TEMPORARY);
        let written = serde_json::to_vec(self).map_err(io::Error::from).and_then(|bytes| {
            fs::write(&path, bytes)?;
            fs::File::open(&path)?.sync_all()?;
            fs::rename(&path, root.join(JOURNAL))
        });
        written.map_err(|error| Failure::with(path.display(), error))?;
        sync_dir(root)
    }

    /// The import is complete.
    pub(super) fn remove(root: &Path) -> Result<(), Failure> {
        let path = root.join(JOURNAL);
        fs::remove_file(&path).map_err(|error| Failure::with(path.display(), error))?;
        sync_dir(root)
    }

    /// Clears away what an import that did not end has left of topics that `is_known` does not name.
    pub(super) fn clear(
        &self,
        root: &Path,
        directory: &LogDirectory,
        is_known: impl Fn(TopicId) -> bool,
    ) -> Result<(), Failure> {
        clear_staging(root)?;
        for (path, name) in directories(root)? {
            let Some((_, id)) = self.topics.iter().find(|(topic, _)| *topic == name.topic) else { continue };
            let metadata = path.join("partition.metadata");
            let is_copy = || offline::partition_metadata(&metadata).is_ok_and(|found| found.topic_id == *id);
            if !is_known(*id) && is_copy() {
                // With its checkpoints: a topic created later under this name must not inherit them.
                let deleted = directory.delete_partition(&name, id.0);
                deleted
                    .and_then(|deleted| directory.remove_directory(&deleted))
                    .map_err(|error| Failure::with(path.display(), error))?;
            }
        }
        Ok(())
    }

    /// True if one of its topics stands in the metadata.
    pub(super) fn has_begun(&self, is_known: impl Fn(TopicId) -> bool) -> bool {
        self.topics.iter().any(|(_, id)| is_known(*id))
    }
}

/// Removes directories in which an interrupted import was gathering partitions: nothing else bears such a name.
pub(super) fn clear_staging(root: &Path) -> Result<(), Failure> {
    for path in entries(root)? {
        if path.to_str().is_some_and(|path| path.ends_with(STAGING)) && path.is_dir() {
            remove_dir(&path)?;
        }
    }
    Ok(())
}

/// The partitions' directories in a data directory.
pub(super) fn directories(root: &Path) -> Result<Vec<(PathBuf, TopicPartition)>, Failure> {
    let named = |path: PathBuf| {
        let name = TopicPartition::from_directory(Path::new(path.file_name()?))?;
        Some((path, name))
    };
    Ok(entries(root)?.into_iter().filter_map(named).filter(|(path, _)| path.is_dir()).collect())
}

fn entries(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failure = |error| Failure::with(root.display(), error);
    match fs::read_dir(root) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(failure)?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failure(error)),
    }
}
