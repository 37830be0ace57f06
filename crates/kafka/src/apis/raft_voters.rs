//! AddRaftVoter and RemoveRaftVoter: votes on the cluster's metadata, given and taken (KIP-853).
//!
//! Kafka's checks, in its order; what it checks of the voters themselves is the quorum's own business
//! (`coordination::metadata::voters`). Two things are other here. A member is reached where it says itself that it is, not where
//! the request says: nothing but its node's configuration changes that. And an answer always means that the voters have taken the
//! change, which is more than a request with `AckWhenCommitted` false asks for.

use std::sync::Arc;

use ottla_node::coordination::metadata::voters::VoterChange;
use ottla_record::{BrokerId, DirectoryId, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::messages::add_raft_voter_request::AddRaftVoterRequest;
use ottla_wire::messages::add_raft_voter_response::AddRaftVoterResponse;
use ottla_wire::messages::remove_raft_voter_request::RemoveRaftVoterRequest;
use ottla_wire::messages::remove_raft_voter_response::RemoveRaftVoterResponse;

use crate::apis::{Refused, timeout};
use crate::dispatch::Call;
use crate::errors;

pub(crate) async fn add_raft_voter(call: Arc<Call>, request: AddRaftVoterRequest) -> AddRaftVoterResponse {
    let refused = match addition(&request) {
        Ok(change) => {
            let (cluster, within) = (request.cluster_id.as_deref(), timeout(request.timeout_ms));
            let changed = call.front.node.change_voter(cluster, change, within).await;
            changed.err().map(|error| errors::voter(&error))
        }
        Err(refused) => Some(refused),
    };
    let (error_code, error_message) = Refused::split(refused);
    AddRaftVoterResponse { error_code, error_message, ..Default::default() }
}

pub(crate) async fn remove_raft_voter(
    call: Arc<Call>,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let node = &call.front.node;
    let refused = match removal(&request) {
        Ok(change) => {
            // The request has no time of its own.
            let within = node.settings().config.request_timeout;
            let changed = node.change_voter(request.cluster_id.as_deref(), change, within).await;
            changed.err().map(|error| errors::voter(&error))
        }
        Err(refused) => Some(refused),
    };
    let (error_code, error_message) = Refused::split(refused);
    RemoveRaftVoterResponse { error_code, error_message, ..Default::default() }
}

fn addition(request: &AddRaftVoterRequest) -> Result<VoterChange, Refused> {
    let (node, directory) = voter(request.voter_id, request.voter_directory_id)
        .ok_or_else(|| invalid("Add voter request didn't include a valid voter"))?;
    if request.listeners.is_empty() {
        return Err(invalid("Add voter request didn't include the endpoint for the default listener"));
    }
    Ok(VoterChange::Add { node, directory })
}

fn removal(request: &RemoveRaftVoterRequest) -> Result<VoterChange, Refused> {
    let (node, directory) = voter(request.voter_id, request.voter_directory_id)
        .ok_or_else(|| invalid("Remove voter request didn't include a valid voter"))?;
    Ok(VoterChange::Remove { node, directory })
}

/// `None` for a node or a directory that cannot be.
fn voter(id: i32, directory: Uuid) -> Option<(BrokerId, DirectoryId)> {
    Some((BrokerId::from_wire(id)?, DirectoryId(directory))).filter(|_| !directory.is_zero())
}

fn invalid(message: &str) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, message)
}

#[cfg(test)]
mod tests;
