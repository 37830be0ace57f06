//! The quorum, as the node wants to see it.

use std::sync::Arc;

use ottla_node::coordination::metadata::{Command, Image, Response};
use ottla_node::ports::{BoxFuture, MetadataPlane, ProposeError};
use ottla_quorum::Quorum;
use tokio::sync::watch;

/// A voter of the quorum in this process.
pub(crate) struct LocalVoter(pub(crate) Arc<Quorum>);

impl MetadataPlane for LocalVoter {
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Response, ProposeError>> {
        Box::pin(async move { self.0.propose(command).await.map_err(for_the_node) })
    }

    fn images(&self) -> watch::Receiver<Arc<Image>> {
        self.0.images()
    }
}

fn for_the_node(error: ottla_quorum::ProposeError) -> ProposeError {
    match error {
        ottla_quorum::ProposeError::Stopped(_) => ProposeError::Stopping,
        other => ProposeError::Unavailable(other.to_string()),
    }
}
