//! One node among several: what its calls, its elections and its controller share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::{Raft, ServerState};
use ottla_coordination::metadata::{Command, Image};
use ottla_record::{BrokerId, ClusterId, Monotonic, Now, Timestamp};
use ottla_rpc::control::Party;
use tokio::sync::{Mutex, Semaphore, watch};

use crate::contact::Contacts;
use crate::error::ProposeError;
use crate::log::Tail;
use crate::network::Observer;
use crate::peers::{Me, Peers};
use crate::raft::{Applied, LogId, Member, NodeId, StoredMembership, Types, broker_id, node_id};

/// Proposals that wait at one time; more wait for their turn.
const MAX_PROPOSALS: usize = 256;

/// A leader that has heard of no majority for this long does not act as one: another may have been elected.
pub(crate) const LEADER_LEASE: Duration = Duration::from_millis(1_000);

pub(crate) type Metrics = openraft::RaftMetrics<NodeId, Member>;

/// What this node applied for a command.
pub(crate) struct Decided {
    pub(crate) response: ottla_coordination::metadata::Response,
    pub(crate) index: u64,
}

/// The running node.
pub(crate) struct Core {
    pub(crate) raft: Raft<Types>,
    pub(crate) me: Me,
    pub(crate) images: watch::Receiver<Arc<Image>>,
    pub(crate) tail: Tail,
    pub(crate) peers: Arc<Peers>,
    /// What the members answered while this node led.
    pub(crate) contacts: Arc<Contacts>,
    /// Held while this node changes the members: a change is two entries of the log, and no other may come between.
    pub(crate) changing: Mutex<()>,
    proposals: Semaphore,
    started: Instant,
}

impl Core {
    pub(crate) fn new(
        raft: Raft<Types>,
        me: Me,
        images: watch::Receiver<Arc<Image>>,
        tail: Tail,
        peers: Arc<Peers>,
        observer: &Observer,
    ) -> Self {
        let proposals = Semaphore::new(MAX_PROPOSALS);
        let contacts = Arc::clone(&observer.contacts);
        let (changing, started) = (Mutex::default(), observer.started);
        Self { raft, me, images, tail, peers, contacts, changing, proposals, started }
    }

    /// Proposes here, where that has an effect only if this node leads.
    ///
    /// `NotLeader` means that the command was certainly not taken.
    pub(crate) async fn write(&self, command: Command) -> Result<Decided, ProposeError> {
        use openraft::error::{ClientWriteError, RaftError};
        let stopped = |e: &dyn std::fmt::Display| ProposeError::Stopped(e.to_string());
        let _turn = self.proposals.acquire().await.map_err(|e| stopped(&e))?;
        if let Some(leader) = self.other_leader() {
            return Err(ProposeError::NotLeader { leader });
        }
        match self.raft.client_write(command).await {
            Ok(written) => {
                let index = written.log_id.index;
                let Applied(response) = written.data;
                let response = response.ok_or_else(|| stopped(&"a command was applied without an answer"))?;
                Ok(Decided { response, index })
            }
            // It led a moment ago. openraft says the same for a command that it never took and for one that it took and another
            // leader's log displaced here; the latter may still be alive on a third node.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(ProposeError::Unknown("the leader changed meanwhile".to_owned()))
            }
            Err(e) => Err(stopped(&e)),
        }
    }

    /// Who leads, if that is known, where this node does not.
    fn other_leader(&self) -> Option<Option<BrokerId>> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        (metrics.state != ServerState::Leader).then(|| metrics.current_leader.and_then(broker_id))
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow().clone()
    }

    /// The members, as the newest entry of the log has them, committed or not.
    pub(crate) fn membership(&self) -> Arc<StoredMembership> {
        Arc::clone(&self.raft.metrics().borrow().membership_config)
    }

    /// The member that leads, and where it is reached; `None` if that is not known.
    pub(crate) fn leader(&self) -> Option<(Party, String)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        let member = metrics.membership_config.membership().get_node(&leader)?;
        Some((Party { node: broker_id(leader)?, directory: member.directory }, member.address.clone()?))
    }

    /// A member by its node.
    pub(crate) fn member(&self, node: BrokerId) -> Option<Member> {
        self.membership().membership().get_node(&node_id(node)).cloned()
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.me.cluster
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.tail.last()
    }

    /// Time since this node started.
    pub(crate) fn monotonic(&self) -> Monotonic {
        Monotonic::from_start(self.started.elapsed())
    }

    pub(crate) fn now(&self) -> Now {
        // Nothing here looks at the wall clock.
        Now { monotonic: self.monotonic(), wall: Timestamp::EPOCH }
    }

    /// The instant of the monotonic clock, as the runtime's timers want it.
    pub(crate) fn instant(&self, at: Monotonic) -> tokio::time::Instant {
        // Far enough for never; a machine asks again before that.
        const FAR: Duration = Duration::from_secs(86_400);
        let until = at - self.monotonic();
        tokio::time::Instant::now() + until.min(FAR)
    }
}

/// Whether the node leads and a majority has heard of it lately. One that has left the members goes on only until a majority knows that:
/// what it began then would be undone or, worse, done by a leader that is none.
pub(crate) fn leads(metrics: &Metrics) -> bool {
    let lease = u64::try_from(LEADER_LEASE.as_millis()).unwrap_or(u64::MAX);
    let alone = metrics.membership_config.voter_ids().count() == 1;
    let is_member = metrics.membership_config.membership().get_node(&metrics.id).is_some();
    metrics.state == ServerState::Leader
        && is_member
        && (alone || metrics.millis_since_quorum_ack.is_some_and(|silent| silent < lease))
}
