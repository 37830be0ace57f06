//! What a node needs from outside. The binary joins these to their implementations.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ottla_coordination::metadata::{Command, Image, Response};
use ottla_record::{BrokerId, Now};
use tokio::sync::watch;

/// A future that may be kept in a queue.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Both clocks of this process.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Now;
}

/// The cluster's metadata: commands go in, images come out.
pub trait MetadataPlane: Send + Sync + 'static {
    /// Commits a command and returns what its application answered. The image of [`MetadataPlane::images`] contains it by then.
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Response, ProposeError>>;

    /// The image, now and whenever it changes.
    fn images(&self) -> watch::Receiver<Arc<Image>>;

    /// Where the quorum behind it stands; `None` if there is no quorum behind it.
    fn quorum(&self) -> Option<QuorumStatus> {
        None
    }
}

/// Where the metadata quorum stands, as this broker takes part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// Who leads it; `None` during an election.
    pub leader: Option<BrokerId>,
    /// Whether that is this broker.
    pub is_leader: bool,
    /// The term.
    pub term: u64,
    /// How many vote.
    pub voters: usize,
    /// Index of the last entry here.
    pub last_index: u64,
    /// Index of the last entry applied here.
    pub applied_index: u64,
    /// Index of the last entry that the newest snapshot holds; 0 without one.
    pub snapshot_index: u64,
    /// Snapshots written by this process.
    pub snapshots_written: u64,
    /// It has stopped because its disk failed.
    pub failed: bool,
}

/// Why a command was not committed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// There is no controller now; trying again may help.
    #[error("no controller is available: {0}")]
    Unavailable(String),
    /// This process is stopping.
    #[error("the broker is shutting down")]
    Stopping,
}
