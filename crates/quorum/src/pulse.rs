//! A broker's signs of life: one stream of heartbeats to each voter.
//!
//! A stream that ends tells both ends something. The voter's end is the controller's business. At this end, the voter's process may be
//! gone: if it led the quorum, nobody has to wait for its lease.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_coordination::metadata::liveness::{DialOutcome, Event, Heartbeat};
use ottla_record::{BrokerEpoch, BrokerId, Monotonic};
use ottla_rpc::control::{Party, v1};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use crate::dial::dial;
use crate::elections::Elections;
use crate::member::{Core, leads};
use crate::raft::{NodeId, broker_id};

/// Pause before a voter that could not be reached is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Heartbeats on their way into one stream. A voter that takes none for so long is as good as gone.
const MAX_UNSENT: usize = 4;
/// Heartbeats of one stream that are not answered. A voter that is silent for so long has nothing to say.
const MAX_UNANSWERED: usize = 64;

/// What a broker says of itself. Sent at once when it changes, and again at each interval.
#[derive(Clone)]
pub struct Announcement {
    /// The registration it lives under.
    pub epoch: BrokerEpoch,
    /// Its logs are open, and it may lead.
    pub ready: bool,
    /// It is about to stop.
    pub wants_to_stop: bool,
    /// Tells since when its oldest unfinished flush runs; `None` if none does.
    pub oldest_flush: Arc<dyn Fn() -> Option<Duration> + Send + Sync>,
}

/// What the streams of one node share.
#[derive(Clone)]
pub(crate) struct Pulse {
    pub(crate) core: Arc<Core>,
    pub(crate) elections: Arc<Elections>,
    pub(crate) liveness: mpsc::Sender<Event>,
    pub(crate) announcement: watch::Receiver<Option<Announcement>>,
    pub(crate) interval: Duration,
    /// When the last heartbeat was sent that the controller has acknowledged. Not when its answer came: a process that was
    /// stopped for a minute finds answers that are a minute old.
    pub(crate) renewed: watch::Sender<Option<Monotonic>>,
}

impl Pulse {
    /// Keeps a stream to every voter. Runs until it is aborted.
    pub(crate) async fn drive(self) {
        let mut metrics = self.core.raft.metrics();
        let mut streams: JoinSet<()> = JoinSet::new();
        let mut open: BTreeMap<(Party, String), AbortHandle> = BTreeMap::new();
        streams.spawn(self.clone().beat_here());
        loop {
            let voters = self.voters(&metrics.borrow_and_update());
            open.retain(|to, stream| {
                let stays = voters.contains(to);
                if !stays {
                    stream.abort();
                }
                stays
            });
            for to in voters {
                let start = || streams.spawn(self.clone().beat_at(to.0, to.1.clone()));
                open.entry(to.clone()).or_insert_with(start);
            }
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() { return },
                Some(_) = streams.join_next() => {}
            }
        }
    }

    /// All voters but this node.
    fn voters(&self, metrics: &crate::member::Metrics) -> Vec<(Party, String)> {
        let membership = metrics.membership_config.membership();
        let address = |id: NodeId| {
            let member = membership.get_node(&id)?;
            let party = Party { node: broker_id(id)?, directory: member.directory };
            Some((party, member.address.clone()?)).filter(|_| party.node != self.core.me.party.node)
        };
        membership.voter_ids().filter_map(address).collect()
    }

    /// This node's own controller hears of it without a network.
    async fn beat_here(mut self) {
        loop {
            let Some(beat) = self.next_beat().await else { return };
            let sent = self.core.monotonic();
            if self.liveness.send(Event::Heartbeat(beat)).await.is_err() {
                return;
            }
            if leads(&self.core.metrics()) {
                self.renew(sent);
            }
            self.pause().await;
        }
    }

    async fn beat_at(mut self, voter: Party, address: String) {
        loop {
            let sent = self.stream(voter, &address).await;
            let believed = self.core.metrics().current_leader;
            let is_leader = believed.and_then(broker_id) == Some(voter.node);
            // Only the end of something that was there tells anything.
            if sent && is_leader {
                self.look_after(voter.node, &address, believed).await;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// The leader's stream ended: if its process is gone, an election need not wait.
    async fn look_after(&self, leader: BrokerId, address: &str, believed: Option<NodeId>) {
        let incarnation = self.core.images.borrow().broker(leader).map(|registered| registered.incarnation);
        let found = dial(&self.core.peers, address, leader, incarnation).await;
        if matches!(found, DialOutcome::Refused | DialOutcome::OtherIncarnation) {
            let id = crate::raft::node_id(leader);
            self.elections.gone(id, believed, self.core.monotonic());
        }
    }

    /// Sends heartbeats until the stream ends. True if there was one.
    async fn stream(&mut self, voter: Party, address: &str) -> bool {
        let Some(first) = self.next_beat().await else { return false };
        let Ok(mut client) = self.core.peers.control(address) else { return false };
        let (beats, stream) = mpsc::channel(MAX_UNSENT);
        let envelope = Some(self.core.me.envelope(voter).into());
        let mut unanswered = Unanswered::default();
        unanswered.sent(self.core.monotonic());
        if beats.try_send(v1::HeartbeatRequest { envelope, ..request(&first) }).is_err() {
            return false;
        }
        let answers = client.heartbeat(ReceiverStream::new(stream)).await;
        let Ok(mut answers) = answers.map(tonic::Response::into_inner) else { return false };
        loop {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => match unanswered.answered() {
                        Some(sent) if answer.renewed => self.renew(sent),
                        _ => {}
                    },
                    Ok(None) | Err(_) => return true,
                },
                () = self.pause() => {
                    let Some(beat) = self.next_beat().await else { return true };
                    if !unanswered.sent(self.core.monotonic()) || beats.try_send(request(&beat)).is_err() {
                        return true;
                    }
                }
            }
        }
    }

    /// The controller has acknowledged the heartbeat that was sent then. Two streams may tell of it in either order.
    fn renew(&self, sent: Monotonic) {
        self.renewed.send_if_modified(|renewed| {
            let is_newer = renewed.is_none_or(|renewed| renewed < sent);
            if is_newer {
                *renewed = Some(sent);
            }
            is_newer
        });
    }

    /// Waits for the interval to pass, or for something new to say.
    async fn pause(&mut self) {
        let _ = tokio::time::timeout(self.interval, self.announcement.changed()).await;
    }

    /// What this broker says now; waits until it is registered. `None` once it is gone.
    async fn next_beat(&mut self) -> Option<Heartbeat> {
        let announced = self.announcement.wait_for(Option::is_some).await.ok()?.clone()?;
        Some(Heartbeat {
            broker: self.core.me.party.node,
            epoch: announced.epoch,
            image_version: self.core.images.borrow().version(),
            oldest_flush_age: (announced.oldest_flush)(),
            ready: announced.ready,
            wants_to_stop: announced.wants_to_stop,
        })
    }
}

fn request(beat: &Heartbeat) -> v1::HeartbeatRequest {
    let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    v1::HeartbeatRequest {
        envelope: None,
        broker_epoch: beat.epoch.get(),
        image_version: beat.image_version,
        oldest_flush_age_ms: beat.oldest_flush_age.map(millis),
        ready: beat.ready,
        wants_to_stop: beat.wants_to_stop,
    }
}

/// When the heartbeats of one stream were sent that have not been answered. Each is answered once, in their order.
#[derive(Debug, Default)]
struct Unanswered(VecDeque<Monotonic>);

impl Unanswered {
    /// One more is sent. False if there are too many.
    fn sent(&mut self, now: Monotonic) -> bool {
        if self.0.len() >= MAX_UNANSWERED {
            return false;
        }
        self.0.push_back(now);
        true
    }

    /// An answer came: when its heartbeat was sent.
    fn answered(&mut self) -> Option<Monotonic> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn an_answer_that_comes_late_renews_from_when_its_heartbeat_was_sent() {
        let mut unanswered = Unanswered::default();
        assert_eq!(unanswered.answered(), None);
        assert!(unanswered.sent(at(0)) && unanswered.sent(at(300)));
        assert_eq!(unanswered.answered(), Some(at(0)));
        // The process was stopped for a minute.
        assert!(unanswered.sent(at(60_300)));
        assert_eq!(unanswered.answered(), Some(at(300)));
        assert_eq!(unanswered.answered(), Some(at(60_300)));
    }

    #[test]
    fn a_voter_that_answers_nothing_is_given_up() {
        let mut unanswered = Unanswered::default();
        let taken = (0..).take_while(|n| unanswered.sent(at(*n))).count();
        assert_eq!(taken, MAX_UNANSWERED);
        unanswered.answered();
        assert!(unanswered.sent(at(0)));
    }
}
