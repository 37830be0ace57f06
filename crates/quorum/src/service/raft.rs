//! Raft's calls: whoever is let through is handed to openraft.

use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};
use openraft::{CommittedLeaderId, Vote};
use ottla_rpc::control::v1;
use ottla_rpc::control::v1::raft_server::Raft;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Request, Response, Status};

use super::{Node, Running, refused};
use crate::gate::{self, Evidence};
use crate::raft::{LogId, NodeId, Types, broker_id};

/// The Raft service of one node.
pub(crate) struct RaftService(pub(super) Node);

#[tonic::async_trait]
impl Raft for RaftService {
    async fn append_entries(
        &self,
        request: Request<v1::RaftRequest>,
    ) -> Result<Response<v1::RaftResponse>, Status> {
        let v1::RaftRequest { envelope, payload } = request.into_inner();
        let (running, call) = self.0.admit(envelope)?;
        let request: AppendEntriesRequest<Types> = decode(&payload)?;
        let evidence = Evidence::Term(request.vote.leader_id().term);
        gate::is_admitted(call.from, evidence, &running.core.membership()).map_err(refused)?;
        // Before openraft has it: a disk that takes its time must not look like a leader that is gone.
        hear(running, &request.vote);
        encode(&running.core.raft.append_entries(request).await)
    }

    async fn vote(&self, request: Request<v1::RaftRequest>) -> Result<Response<v1::RaftResponse>, Status> {
        let v1::RaftRequest { envelope, payload } = request.into_inner();
        let (running, call) = self.0.admit(envelope)?;
        let request: VoteRequest<NodeId> = decode(&payload)?;
        let evidence = Evidence::LogEnd(request.last_log_id);
        gate::is_admitted(call.from, evidence, &running.core.membership()).map_err(refused)?;
        encode(&running.core.raft.vote(request).await)
    }

    async fn install_snapshot(
        &self,
        request: Request<v1::InstallSnapshotRequest>,
    ) -> Result<Response<v1::RaftResponse>, Status> {
        let v1::InstallSnapshotRequest { envelope, payload, data } = request.into_inner();
        let (running, call) = self.0.admit(envelope)?;
        let mut request: InstallSnapshotRequest<Types> = decode(&payload)?;
        request.data = data.into();
        let evidence = Evidence::Term(request.vote.leader_id().term);
        gate::is_admitted(call.from, evidence, &running.core.membership()).map_err(refused)?;
        hear(running, &request.vote);
        encode(&running.core.raft.install_snapshot(request).await)
    }

    async fn pre_vote(
        &self,
        request: Request<v1::PreVoteRequest>,
    ) -> Result<Response<v1::PreVoteResponse>, Status> {
        let v1::PreVoteRequest { envelope, last, .. } = request.into_inner();
        let (running, call) = self.0.admit(envelope)?;
        let core = &running.core;
        let asker = last.map(|last| LogId::new(CommittedLeaderId::new(last.term, last.node_id), last.index));
        gate::is_admitted(call.from, Evidence::LogEnd(asker), &core.membership()).map_err(refused)?;
        let granted = running.elections.consents(asker, core.last(), core.monotonic());
        let metrics = core.metrics();
        let leader = metrics.current_leader.filter(|_| !granted).and_then(broker_id);
        Ok(Response::new(v1::PreVoteResponse {
            granted,
            term: metrics.current_term,
            leader: leader.map(|leader| leader.get()),
        }))
    }
}

/// Notes the sign of life of a leader, unless a newer one is known.
fn hear(running: &Running, vote: &Vote<NodeId>) {
    let core = &running.core;
    let known = core.raft.metrics().borrow().vote;
    if *vote >= known {
        running.elections.heard(core.monotonic());
    }
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(payload).map_err(|e| Status::invalid_argument(format!("field payload: {e}")))
}

fn encode(answer: &impl Serialize) -> Result<Response<v1::RaftResponse>, Status> {
    let payload = serde_json::to_vec(answer).map_err(|e| Status::internal(e.to_string()))?;
    Ok(Response::new(v1::RaftResponse { payload: payload.into() }))
}
