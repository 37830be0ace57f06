//! What a node needs from outside. The binary joins these to their implementations.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ottla_coordination::metadata::{Command, Image, Response};
use ottla_record::Now;
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
