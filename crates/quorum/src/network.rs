//! openraft's way to the other members.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::AnyError;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use ottla_record::Monotonic;
use ottla_rpc::control::v1::raft_client::RaftClient;
use ottla_rpc::control::{Envelope, Party, v1};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::contact::Contacts;
use crate::log::Tail;
use crate::peers::{CallError, Me, Peers};
use crate::raft::{LogId, Member, NodeId, Types, broker_id};

type Failure<E = openraft::error::Infallible> = RPCError<NodeId, Member, RaftError<NodeId, E>>;

/// Pause before a member that could not be reached is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Notes what members answer.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) contacts: Arc<Contacts>,
    /// This node's own log.
    pub(crate) tail: Tail,
    /// When this node started.
    pub(crate) started: Instant,
}

impl Observer {
    /// `last` is the last entry that the answer shows the member to have.
    fn note(&self, term: u64, member: NodeId, last: Option<LogId>) {
        let end = |last: Option<LogId>| last.map_or(0, |last| last.index.saturating_add(1));
        let now = Monotonic::from_start(self.started.elapsed());
        self.contacts.note(term, member, end(last), end(self.tail.last()), now);
    }
}

/// Makes the links of one node.
pub(crate) struct Network {
    me: Me,
    peers: Option<Arc<Peers>>,
    observer: Observer,
}

impl Network {
    /// The network of a node that has peers.
    pub(crate) fn of_several(me: Me, peers: Arc<Peers>, observer: Observer) -> Self {
        Self { me, peers: Some(peers), observer }
    }

    /// The network of a node that is alone: nobody is reached by it.
    pub(crate) fn of_one(me: Me, observer: Observer) -> Self {
        Self { me, peers: None, observer }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: NodeId, member: &Member) -> Link {
        let to = broker_id(target).map(|node| Party { node, directory: member.directory });
        Link {
            target,
            envelope: to.map(|to| self.me.envelope(to)),
            address: member.address.clone(),
            peers: self.peers.clone(),
            observer: self.observer.clone(),
            is_down: false,
        }
    }
}

/// The way to one member.
pub(crate) struct Link {
    target: NodeId,
    envelope: Option<Envelope>,
    address: Option<String>,
    peers: Option<Arc<Peers>>,
    observer: Observer,
    is_down: bool,
}

impl Link {
    fn open(&self) -> Result<(RaftClient<Channel>, v1::Envelope), CallError> {
        let nowhere = || CallError::WithoutEffect(format!("node {} has no address here", self.target));
        let (Some(peers), Some(address), Some(envelope)) = (&self.peers, &self.address, self.envelope) else {
            return Err(nowhere());
        };
        Ok((peers.raft(address)?, envelope.into()))
    }

    /// One call, and its answer as openraft wants it.
    async fn call<Q, A, E, F>(
        &mut self,
        request: &Q,
        send: impl FnOnce(RaftClient<Channel>, v1::Envelope, Vec<u8>) -> F,
    ) -> Result<A, Failure<E>>
    where
        Q: Serialize,
        A: DeserializeOwned,
        E: std::error::Error + DeserializeOwned,
        F: Future<Output = Result<Response<v1::RaftResponse>, Status>>,
    {
        let answered = async {
            let unreadable = |e: serde_json::Error| CallError::Unknown(e.to_string());
            let payload = serde_json::to_vec(request).map_err(unreadable)?;
            let (client, envelope) = self.open()?;
            let answer = send(client, envelope, payload).await.map_err(|s| CallError::from_status(&s))?;
            serde_json::from_slice::<Result<A, RaftError<NodeId, E>>>(&answer.into_inner().payload)
                .map_err(unreadable)
        };
        match answered.await {
            Ok(answer) => {
                if std::mem::take(&mut self.is_down) {
                    tracing::info!(node = self.target, "a member of the metadata quorum is reached again");
                }
                answer.map_err(|e| RPCError::RemoteError(RemoteError::new(self.target, e)))
            }
            Err(e) => {
                if !std::mem::replace(&mut self.is_down, true) {
                    tracing::info!(node = self.target, error = %e, "a member of the metadata quorum is not reached");
                }
                Err(RPCError::Unreachable(Unreachable::new(&AnyError::error(e))))
            }
        }
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failure> {
        let sent = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let answer = self
            .call(&request, |mut client, envelope, payload| async move {
                client
                    .append_entries(v1::RaftRequest { envelope: Some(envelope), payload: payload.into() })
                    .await
            })
            .await?;
        let last = match &answer {
            AppendEntriesResponse::Success => sent,
            AppendEntriesResponse::PartialSuccess(last) => *last,
            AppendEntriesResponse::Conflict => None,
            // It follows another leader.
            AppendEntriesResponse::HigherVote(_) => return Ok(answer),
        };
        self.observer.note(request.vote.leader_id().term, self.target, last);
        Ok(answer)
    }

    async fn install_snapshot(
        &mut self,
        mut request: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<NodeId>, Failure<InstallSnapshotError>> {
        // Not into the JSON, which would spell out every byte as a number.
        let data = std::mem::take(&mut request.data);
        let answer: InstallSnapshotResponse<NodeId> = self
            .call(&request, |mut client, envelope, payload| async move {
                let (envelope, payload) = (Some(envelope), payload.into());
                let piece = v1::InstallSnapshotRequest { envelope, payload, data: data.into() };
                client.install_snapshot(piece).await
            })
            .await?;
        if answer.vote == request.vote {
            self.observer.note(request.vote.leader_id().term, self.target, None);
        }
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, Failure> {
        self.call(&request, |mut client, envelope, payload| async move {
            client.vote(v1::RaftRequest { envelope: Some(envelope), payload: payload.into() }).await
        })
        .await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RETRY_PAUSE))
    }
}
