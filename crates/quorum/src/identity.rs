//! Whose metadata a directory holds.
//!
//! The file is written last when a quorum is formed: while it is missing, nothing has been promised to anybody.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use ottla_record::{BrokerId, ClusterId, DirectoryId};
use serde::{Deserialize, Serialize};

use crate::error::QuorumError;
use crate::frame;

const FILE: &str = "identity";
const NAME: &str = "the identity of the metadata directory";

/// Node, log directory and cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node (`node.id`).
    pub node: BrokerId,
    /// Its log directory.
    pub directory: DirectoryId,
    /// Its cluster.
    pub cluster: ClusterId,
}

impl Identity {
    /// Reads the identity in a metadata directory; `None` if no quorum was formed there.
    pub fn read(dir: &Path) -> Result<Option<Self>, QuorumError> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(QuorumError::Io { path, source }),
        };
        match frame::decode(NAME, &bytes) {
            Ok(identity) => Ok(Some(identity)),
            Err(e) => Err(QuorumError::Damaged { path, what: e.to_string() }),
        }
    }

    /// Stores the identity durably.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), QuorumError> {
        let path = dir.join(FILE);
        let bytes = frame::encode(NAME, self)
            .map_err(|e| QuorumError::Damaged { path: path.clone(), what: e.to_string() })?;
        let store = || {
            let unfinished = dir.join("identity.unfinished");
            let mut file = File::create(&unfinished)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(dir)?.sync_all()
        };
        store().map_err(QuorumError::io(dir))
    }

    /// Compares with what is expected, part by part, so that the message can say what to look at.
    pub(crate) fn check(&self, expected: &Self, dir: &Path) -> Result<(), QuorumError> {
        let path = dir.to_owned();
        if self.cluster != expected.cluster {
            return Err(QuorumError::OtherCluster { path, found: self.cluster, expected: expected.cluster });
        }
        if self.node != expected.node {
            return Err(QuorumError::OtherNode { path, found: self.node, expected: expected.node });
        }
        if self.directory != expected.directory {
            return Err(QuorumError::OtherDirectory {
                path,
                found: self.directory,
                expected: expected.directory,
            });
        }
        Ok(())
    }
}
