//! The quorum, as the node wants to see it.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::coordination::metadata::voters::{QuorumDescription, VoterChange};
use ottla_node::coordination::metadata::{Command, Image, Response};
use ottla_node::ports::{BoxFuture, MetadataPlane, ProposeError, QuorumStatus, VoterError};
use ottla_quorum::{MembershipError, Quorum};
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

    fn describe_quorum(&self, within: Duration) -> BoxFuture<'_, Result<QuorumDescription, VoterError>> {
        Box::pin(async move { self.0.describe(within).await.map_err(of_the_voters) })
    }

    fn change_voter(&self, change: VoterChange, within: Duration) -> BoxFuture<'_, Result<(), VoterError>> {
        Box::pin(async move { self.0.change_voter(change, within).await.map_err(of_the_voters) })
    }
}

fn of_the_voters(error: MembershipError) -> VoterError {
    match error {
        MembershipError::NotLeader { .. } => VoterError::Unavailable(error.to_string()),
        MembershipError::Refused(refusal) => VoterError::Refused(refusal),
        other => VoterError::Unknown(other.to_string()),
    }
}

fn for_the_node(error: ottla_quorum::ProposeError) -> ProposeError {
    match error {
        ottla_quorum::ProposeError::Stopped(_) => ProposeError::Stopping,
        ottla_quorum::ProposeError::Unknown(why) => ProposeError::Unknown(why),
        other => ProposeError::Unavailable(other.to_string()),
    }
}
