//! What a node answers to the others.

mod control;
mod raft;

use std::sync::{Arc, OnceLock};

use openraft::ServerState;
use ottla_coordination::metadata::liveness;
use ottla_record::Incarnation;
use ottla_rpc::control::v1::control_server::ControlServer;
use ottla_rpc::control::v1::raft_server::RaftServer;
use ottla_rpc::control::{Envelope, InvalidField, Party, id_bytes, v1};
use tokio::sync::mpsc;
use tonic::Status;

use crate::elections::Elections;
use crate::gate;
use crate::member::{Core, leads};
use crate::peers::MAX_MESSAGE_BYTES;
use crate::raft::broker_id;

pub(crate) use control::ControlService;
pub(crate) use raft::RaftService;

/// The node behind the listener. The listener is there first: others ask who this node is before it knows its cluster.
#[derive(Clone)]
pub(crate) struct Node {
    party: Party,
    incarnation: Incarnation,
    /// Whom this node lists as a voter.
    listed: Arc<[ottla_record::BrokerId]>,
    running: Arc<OnceLock<Running>>,
}

/// A node that belongs to a cluster.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) core: Arc<Core>,
    pub(crate) elections: Arc<Elections>,
    pub(crate) liveness: mpsc::Sender<liveness::Event>,
}

impl Node {
    /// A node that knows of no cluster yet.
    pub(crate) fn new(party: Party, incarnation: Incarnation, listed: Arc<[ottla_record::BrokerId]>) -> Self {
        Self { party, incarnation, listed, running: Arc::default() }
    }

    /// From here on it answers everything.
    pub(crate) fn run(&self, running: Running) {
        // Set once, by the start.
        let _ = self.running.set(running);
    }

    pub(crate) fn raft_server(&self) -> RaftServer<RaftService> {
        RaftServer::new(RaftService(self.clone()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(crate) fn control_server(&self) -> ControlServer<ControlService> {
        ControlServer::new(ControlService(self.clone()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The running node, and who speaks to it.
    fn admit(&self, envelope: Option<v1::Envelope>) -> Result<(&Running, Envelope), Status> {
        let call: Envelope = envelope.ok_or(InvalidField("envelope"))?.try_into()?;
        let running = self.running.get().ok_or_else(|| {
            Status::failed_precondition("this node does not belong to a cluster yet: ask again")
        })?;
        let ours = running.core.me.envelope(self.party);
        gate::is_meant(&ours, &call).map_err(refused)?;
        Ok((running, call))
    }

    /// Who this node is, and what it knows.
    fn describe(&self) -> v1::DescribeResponse {
        let mut description = v1::DescribeResponse {
            party: Some(self.party.into()),
            incarnation: id_bytes(self.incarnation.0),
            ..v1::DescribeResponse::default()
        };
        let Some(running) = self.running.get() else { return description };
        let core = &running.core;
        let metrics = core.metrics();
        // A leader that lost its majority is none to anybody else.
        let is_stale = metrics.state == ServerState::Leader && !leads(&metrics);
        let leader = metrics.current_leader.filter(|_| !is_stale).and_then(broker_id);
        description.cluster_id = Some(id_bytes(core.cluster().0));
        description.term = metrics.current_term;
        description.leader = leader.map(|leader| leader.get());
        description.members = crate::joining::members(&metrics.membership_config);
        description
    }
}

fn refused(refusal: gate::Refusal) -> Status {
    Status::failed_precondition(refusal.to_string())
}
