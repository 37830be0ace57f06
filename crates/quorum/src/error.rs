//! What can go wrong with the quorum.

use std::io;
use std::path::{Path, PathBuf};

use ottla_coordination::metadata::SnapshotError;
use ottla_coordination::metadata::voters::VoterRefusal;
use ottla_record::{BrokerId, ClusterId, DirectoryId};

use crate::port::HardStateError;

/// Why the quorum does not start or does not stop as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is on disk is not what was written. It is not used; restore it from a copy, or let this node join anew.
    #[error("{path}: {what}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no metadata where there should be some.
    #[error(
        "{path}: there is no cluster metadata here, but this data directory belongs to a cluster. It was lost or the \
         wrong directory is configured; starting would forget every topic"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The metadata is another node's.
    #[error("{path}: this is the metadata of node {found}, not of node {expected}: check node.id")]
    OtherNode {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        found: BrokerId,
        /// Who asks.
        expected: BrokerId,
    },
    /// The metadata belongs to another log directory.
    #[error(
        "{path}: this is the metadata of log directory {found}, not of {expected}: one of them was exchanged"
    )]
    OtherDirectory {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        found: DirectoryId,
        /// Who asks.
        expected: DirectoryId,
    },
    /// The metadata belongs to another cluster.
    #[error("{path}: this is the metadata of cluster {found}, not of {expected}")]
    OtherCluster {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// Who asks.
        expected: ClusterId,
    },
    /// Node ids start at 0.
    #[error("node.id {0} is negative")]
    NegativeNode(BrokerId),
    /// A snapshot was written by a newer program, or cannot be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// No leader was found in time.
    #[error("no leader of the metadata quorum within {0:?}")]
    NoLeader(std::time::Duration),
    /// The quorum has other members, and this node was not told how to reach them.
    #[error(
        "{path}: this node is a member of a quorum of several nodes: set controller.quorum.voters or \
         controller.quorum.bootstrap.servers"
    )]
    NotAlone {
        /// Where the metadata is.
        path: PathBuf,
    },
    /// openraft stopped.
    #[error("the metadata quorum stopped: {0}")]
    Stopped(String),
}

/// Why the quorum was not described, or its voters not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// No leader was found in the time given.
    #[error("no leader of the metadata quorum answers{}", leader.map(|l| format!(", node {l} should")).unwrap_or_default())]
    NotLeader {
        /// Who leads, if that is known.
        leader: Option<BrokerId>,
    },
    /// Nothing was done.
    #[error(transparent)]
    Refused(#[from] VoterRefusal),
    /// It was tried and not done. It may still be.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
}

impl MembershipError {
    /// Whether the same question may get another answer in a moment.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::NotLeader { .. } => true,
            Self::Refused(refusal) => refusal.passes(),
            Self::Unknown(_) => false,
        }
    }
}

impl QuorumError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn from_hard_state(path: &Path, error: HardStateError) -> Self {
        match error {
            HardStateError::Io(source) => Self::Io { path: path.to_owned(), source },
            other => Self::Damaged { path: path.to_owned(), what: other.to_string() },
        }
    }
}

/// Why a command was not decided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Another node leads, or none: ask there, or later (`NOT_CONTROLLER`).
    #[error("this node does not lead the metadata quorum{}", leader.map(|l| format!(", node {l} does")).unwrap_or_default())]
    NotLeader {
        /// Who leads, if that is known.
        leader: Option<BrokerId>,
    },
    /// The leader was lost while it had the command: it may have been applied or not.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
    /// More than [`MAX_COMMAND_BYTES`](crate::MAX_COMMAND_BYTES): split the request.
    #[error("a command of {bytes} bytes is more than the {limit} allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The quorum has stopped on this node; the reason was logged. Whether the command was applied is not known.
    #[error("the metadata quorum has stopped on this node: {0}")]
    Stopped(String),
}
