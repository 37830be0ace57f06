//! What a node of a cluster runs beside openraft: its listener, its elections, its controller, its heartbeats.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_coordination::metadata::imbalance::Checks;
use ottla_coordination::metadata::liveness::LivenessConfig;
use ottla_record::{BrokerId, ClusterId, Incarnation, Monotonic};
use ottla_rpc::control::Party;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::bootstrap::{self, Decision, Seeds, Voter};
use crate::controller;
use crate::elections::Elections;
use crate::joining::{self, Wish};
use crate::listener::ControlListener;
use crate::member::Core;
use crate::peers::Peers;
use crate::pulse::{Announcement, Pulse};
use crate::service::{Node, Running};

/// Pause before the other nodes are asked again which cluster this is.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Questions after which the log says what is waited for, and again after as many.
const QUESTIONS_PER_WARNING: u32 = 50;

/// How a node meets the others.
#[derive(Debug)]
pub struct ControlConfig {
    /// Where it is reached, bound already.
    pub listener: ControlListener,
    /// `host:port` at which the others reach it.
    pub address: String,
    /// `controller.quorum.voters`
    pub voters: Vec<Voter>,
    /// `controller.quorum.bootstrap.servers`: `host:port` of control listeners.
    pub bootstrap_servers: Vec<String>,
    /// Sessions of brokers.
    pub liveness: LivenessConfig,
    /// How often the controller gives leaderships back to the preferred leaders; `None`: never.
    pub leader_check_interval: Option<Duration>,
}

impl ControlConfig {
    /// The address it listens on.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_address()
    }
}

/// A node among others.
pub(crate) struct Cluster {
    node: Node,
    wish: Wish,
    seeds: Seeds,
    listed: Arc<[BrokerId]>,
    liveness: LivenessConfig,
    leader_check_interval: Option<Duration>,
    announcements: watch::Sender<Option<Announcement>>,
    renewed: watch::Sender<Option<Monotonic>>,
    /// Aborted when this is dropped.
    tasks: JoinSet<()>,
}

impl Cluster {
    /// Opens the listener: others learn who is here, and that it belongs to no cluster yet.
    pub(crate) fn open(config: ControlConfig, party: Party, incarnation: Incarnation) -> Self {
        let ControlConfig { listener, address, voters, bootstrap_servers, liveness, leader_check_interval } =
            config;
        let listed: Arc<[BrokerId]> = voters.iter().map(|voter| voter.node).collect();
        let votes = listed.contains(&party.node);
        let node = Node::new(party, incarnation, Arc::clone(&listed));
        let mut tasks = JoinSet::new();
        let served = node.clone();
        tasks.spawn(async move {
            if let Err(error) = listener.serve(served).await {
                tracing::error!(%error, "the control listener ended");
            }
        });
        Self {
            node,
            wish: Wish { party, address, votes },
            seeds: Seeds { voters, bootstrap: bootstrap_servers },
            listed,
            liveness,
            leader_check_interval,
            announcements: watch::Sender::new(None),
            renewed: watch::Sender::new(None),
            tasks,
        }
    }

    /// The cluster that a node with an empty directory belongs to: `fresh` if it is to form one. Asks until that is clear.
    pub(crate) async fn find(&self, peers: &Arc<Peers>, fresh: ClusterId) -> ClusterId {
        let addresses = self.seeds.addresses(self.wish.party.node);
        let mut questions: u32 = 0;
        loop {
            let answers = bootstrap::probe(peers, &addresses).await;
            match self.seeds.decide(self.wish.party, &self.wish.address, &answers) {
                Decision::Adopt(cluster) => return cluster,
                Decision::Form => return fresh,
                Decision::Wait(why) => {
                    questions = questions.saturating_add(1);
                    if questions.is_multiple_of(QUESTIONS_PER_WARNING) {
                        tracing::warn!("still waiting for a cluster to join: {why}");
                    }
                }
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Takes part: from here on this node answers all calls.
    pub(crate) fn run(&mut self, core: &Arc<Core>) {
        let core = Arc::clone(core);
        let (elections, effects) = Elections::new(self.wish.party.node, core.monotonic());
        let (liveness, events) = mpsc::channel(controller::MAX_EVENTS);
        self.tasks.spawn(Arc::clone(&elections).drive(Arc::clone(&core), effects));
        self.tasks.spawn(controller::drive(
            Arc::clone(&core),
            self.liveness,
            Checks::new(self.leader_check_interval),
            events,
        ));
        let (wish, seeds, patience) = (self.wish.clone(), self.seeds.clone(), self.liveness.session);
        self.tasks.spawn(joining::keep(Arc::clone(&core), Arc::clone(&elections), wish, seeds, patience));
        let pulse = Pulse {
            core: Arc::clone(&core),
            elections: Arc::clone(&elections),
            liveness: liveness.clone(),
            announcement: self.announcements.subscribe(),
            interval: self.liveness.heartbeat,
            renewed: self.renewed.clone(),
        };
        self.tasks.spawn(pulse.drive());
        self.node.run(Running { core, elections, liveness });
    }

    pub(crate) fn announce(&self, announcement: Announcement) {
        self.announcements.send_replace(Some(announcement));
    }

    pub(crate) fn renewed(&self) -> Option<Monotonic> {
        *self.renewed.borrow()
    }

    /// Whom this node lists as voters.
    pub(crate) fn listed(&self) -> &[BrokerId] {
        &self.listed
    }

    /// Ends all that runs, and waits for it.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
