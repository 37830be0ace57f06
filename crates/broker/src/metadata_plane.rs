//! The quorum, as the node wants to see it.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::coordination::metadata::{Command, Image, Response};
use ottla_node::ports::{BoxFuture, MetadataPlane, ProposeError, QuorumStatus};
use ottla_quorum::Quorum;
use tokio::sync::watch;

/// This process's node of the quorum.
pub(crate) struct LocalVoter(pub(crate) Arc<Quorum>);

impl MetadataPlane for LocalVoter {
    fn propose(&self, command: Command) -> BoxFuture<'_, Result<Response, ProposeError>> {
        Box::pin(async move { self.0.propose(command).await.map_err(for_the_node) })
    }

    fn images(&self) -> watch::Receiver<Arc<Image>> {
        self.0.images()
    }

    fn session_age(&self) -> Option<Duration> {
        self.0.session_age()
    }

    fn quorum(&self) -> Option<QuorumStatus> {
        let status = self.0.status();
        Some(QuorumStatus {
            leader: status.leader,
            is_leader: status.is_leader,
            term: status.term,
            voters: status.voters,
            last_index: status.last_index.unwrap_or(0),
            applied_index: status.applied_index.unwrap_or(0),
            snapshot_index: status.snapshot_index.unwrap_or(0),
            snapshots_written: status.snapshots_written,
            failed: !status.is_running,
        })
    }
}

fn for_the_node(error: ottla_quorum::ProposeError) -> ProposeError {
    match error {
        ottla_quorum::ProposeError::Stopped(_) => ProposeError::Stopping,
        other => ProposeError::Unavailable(other.to_string()),
    }
}
