//! The way to the other members of the quorum. There is none yet: every call says so, and nothing pretends to have arrived.

use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use ottla_record::BrokerId;

use crate::raft::{Member, Types};

type Failure<E = openraft::error::Infallible> = RPCError<BrokerId, Member, RaftError<BrokerId, E>>;

/// The network of a node that is alone.
pub(crate) struct Alone;

/// A member that cannot be reached.
pub(crate) struct Nowhere {
    target: BrokerId,
}

#[derive(Debug, thiserror::Error)]
#[error("node {0} cannot be reached: quorums of several nodes are not supported yet")]
struct NoRoute(BrokerId);

impl Nowhere {
    fn unreachable<E: std::error::Error>(&self) -> Failure<E> {
        RPCError::Unreachable(Unreachable::new(&NoRoute(self.target)))
    }
}

impl RaftNetworkFactory<Types> for Alone {
    type Network = Nowhere;

    async fn new_client(&mut self, target: BrokerId, _member: &Member) -> Nowhere {
        Nowhere { target }
    }
}

impl RaftNetwork<Types> for Nowhere {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<BrokerId>, Failure> {
        Err(self.unreachable())
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<BrokerId>, Failure<InstallSnapshotError>> {
        Err(self.unreachable())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<BrokerId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<BrokerId>, Failure> {
        Err(self.unreachable())
    }
}
