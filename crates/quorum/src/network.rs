//! The way to the other members of the quorum. There is none yet: every call says so, and nothing pretends to have arrived.

use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

use crate::raft::{Member, NodeId, Types};

type Failure<E = openraft::error::Infallible> = RPCError<NodeId, Member, RaftError<NodeId, E>>;

/// The network of a node that is alone.
pub(crate) struct Alone;

/// A member that cannot be reached.
pub(crate) struct Nowhere {
    target: NodeId,
}

#[derive(Debug, thiserror::Error)]
#[error("node {0} cannot be reached: quorums of several nodes are not supported yet")]
struct NoRoute(NodeId);

impl Nowhere {
    fn unreachable<E: std::error::Error>(&self) -> Failure<E> {
        RPCError::Unreachable(Unreachable::new(&NoRoute(self.target)))
    }
}

impl RaftNetworkFactory<Types> for Alone {
    type Network = Nowhere;

    async fn new_client(&mut self, target: NodeId, _member: &Member) -> Nowhere {
        Nowhere { target }
    }
}

impl RaftNetwork<Types> for Nowhere {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failure> {
        Err(self.unreachable())
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failure<InstallSnapshotError>> {
        Err(self.unreachable())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<NodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Failure> {
        Err(self.unreachable())
    }
}
