//! Drives the pre-vote: arms its timer, asks the voters, tells openraft to stand, and lets a leader say that it is there.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use ottla_record::{BrokerId, Monotonic};
use ottla_rpc::control::{Party, v1};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::election::{Effect, Election, Event, Question, Standing, Timing};
use crate::member::{Core, Metrics, leads};
use crate::raft::{HEARTBEAT, LogId, NodeId, node_id};

/// A voter that heard of a leader within this time lets nobody stand. Five heartbeats: one that is late means nothing.
const LEASE: Duration = Duration::from_millis(500);
/// Timeouts are spread over as much more than the lease, so that two voters rarely ask at once.
const SPREAD: Duration = Duration::from_millis(300);
/// By how much they are shortened for a leader whose process is gone: to about the 250 ms that openraft's own lease takes.
const HASTE: u32 = 3;
/// Time for the answer to a pre-vote, for which nothing is written.
const PRE_VOTE_TIMEOUT: Duration = Duration::from_millis(250);
/// Effects that wait for the driver, which does nothing that takes time.
const MAX_EFFECTS: usize = 64;

const _: () = assert!(LEASE.as_millis() >= 5 * HEARTBEAT.as_millis());

/// The machine, for all who have something to tell it.
pub(crate) struct Elections {
    machine: Mutex<Election>,
    effects: mpsc::Sender<Effect>,
    wake: Notify,
}

impl Elections {
    /// A machine, and the effects that its driver takes.
    pub(crate) fn new(node: BrokerId, now: Monotonic) -> (Arc<Self>, mpsc::Receiver<Effect>) {
        let timing = Timing { lease: LEASE, haste: HASTE };
        let machine = Mutex::new(Election::new(node_id(node), timing, timeout(), now));
        let (effects, taken) = mpsc::channel(MAX_EFFECTS);
        (Arc::new(Self { machine, effects, wake: Notify::new() }), taken)
    }

    /// Whether a leader was heard of lately.
    pub(crate) fn hears_a_leader(&self, now: Monotonic) -> bool {
        self.machine.lock().hears_a_leader(now)
    }

    /// A leader was heard of.
    pub(crate) fn heard(&self, now: Monotonic) {
        // No need to wake the driver: its timer is early, and that is all.
        self.tell(Event::Heard { timeout: timeout() }, now);
    }

    /// The process of this node is known to be gone.
    pub(crate) fn gone(&self, leader: NodeId, believed: Option<NodeId>, now: Monotonic) {
        self.tell(Event::LeaderGone { leader, believed, timeout: timeout() }, now);
        self.wake.notify_one();
    }

    /// Whether this node would vote for an asker with this log.
    pub(crate) fn consents(&self, asker: Option<LogId>, own: Option<LogId>, now: Monotonic) -> bool {
        self.machine.lock().consents(Question { last: asker }, own, now)
    }

    fn tell(&self, event: Event, now: Monotonic) {
        let effect = self.machine.lock().handle(event, now);
        if let Some(effect) = effect {
            // One that finds no room is repeated by the next round.
            let _ = self.effects.try_send(effect);
        }
    }

    fn next_deadline(&self) -> Monotonic {
        self.machine.lock().next_deadline()
    }

    /// Runs until it is aborted or openraft ends.
    pub(crate) async fn drive(self: Arc<Self>, core: Arc<Core>, mut effects: mpsc::Receiver<Effect>) {
        let mut metrics = core.raft.metrics();
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut questions = JoinSet::new();
        let mut member_that_leads = None;
        loop {
            let (standing, is_leader, left) = {
                let metrics = metrics.borrow_and_update();
                let left = leader_that_left(&metrics, &mut member_that_leads);
                (standing(&metrics), is_leader_of_several(&metrics), left)
            };
            if let Some(leader) = left {
                self.tell(
                    Event::LeaderGone { leader, believed: Some(leader), timeout: timeout() },
                    core.monotonic(),
                );
            }
            self.tell(Event::Standing(standing), core.monotonic());
            let due = core.instant(self.next_deadline());
            tokio::select! {
                () = tokio::time::sleep_until(due) => {
                    self.tell(Event::Tick { timeout: timeout() }, core.monotonic());
                }
                () = self.wake.notified() => {}
                changed = metrics.changed() => if changed.is_err() { return },
                Some(effect) = effects.recv() => match effect {
                    Effect::Elect => if core.raft.trigger().elect().await.is_err() { return },
                    Effect::Ask { round, term, voters } => for voter in voters {
                        questions.spawn(Arc::clone(&self).ask(Arc::clone(&core), round, term, voter));
                    },
                },
                Some(_) = questions.join_next() => {}
                _ = beat.tick(), if is_leader => {
                    if core.raft.trigger().heartbeat().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn ask(self: Arc<Self>, core: Arc<Core>, round: u64, term: u64, voter: NodeId) {
        let asked = tokio::time::timeout(PRE_VOTE_TIMEOUT, pre_vote(&core, term, voter)).await;
        let granted = asked.ok().flatten().unwrap_or(false);
        self.tell(Event::Answered { round, by: voter, granted }, core.monotonic());
    }
}

/// Asks one voter; `None` if it does not answer.
async fn pre_vote(core: &Core, term: u64, voter: NodeId) -> Option<bool> {
    let node = crate::raft::broker_id(voter)?;
    let member = core.member(node)?;
    let mut client = core.peers.raft(&member.address?).ok()?;
    let to = Party { node, directory: member.directory };
    let last = core.last().map(|last| v1::LogPosition {
        term: last.leader_id.term,
        node_id: last.leader_id.node_id,
        index: last.index,
    });
    let envelope = Some(core.me.envelope(to).into());
    match client.pre_vote(v1::PreVoteRequest { envelope, term, last }).await {
        Ok(answer) => Some(answer.into_inner().granted),
        Err(status) => {
            tracing::debug!(voter, %status, "a voter was asked and did not answer");
            None
        }
    }
}

fn standing(metrics: &Metrics) -> Standing {
    Standing {
        term: metrics.current_term,
        leads: leads(metrics),
        voters: metrics.membership_config.membership().get_joint_config().clone(),
    }
}

/// The leader, once it has left the members: it leads no longer than until a majority knows that. Whoever has not been a member here
/// before is one that this node has not heard of yet.
fn leader_that_left(metrics: &Metrics, member_that_leads: &mut Option<NodeId>) -> Option<NodeId> {
    let leader = metrics.current_leader?;
    if metrics.membership_config.membership().get_node(&leader).is_some() {
        *member_that_leads = Some(leader);
        return None;
    }
    member_that_leads.take().filter(|former| *former == leader)
}

fn is_leader_of_several(metrics: &Metrics) -> bool {
    metrics.state == ServerState::Leader && metrics.membership_config.nodes().nth(1).is_some()
}

/// A timeout at random. The standard library has one source of randomness, which seeds its hash tables; who stands for election needs no
/// better one.
fn timeout() -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let spread = u64::try_from(SPREAD.as_millis()).unwrap_or(1).max(1);
    LEASE + Duration::from_millis(random % spread)
}
