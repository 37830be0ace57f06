//! A broker's signs of life: one stream of heartbeats to each voter.
//!
//! A stream that ends tells both ends something. The voter's end is the controller's business. At this end, the voter's process may be
//! gone: if it led the quorum, nobody has to wait for its lease.

use std::collections::BTreeMap;
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
    /// When the controller last acknowledged this broker's session.
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
            if self.liveness.send(Event::Heartbeat(beat)).await.is_err() {
                return;
            }
            if leads(&self.core.metrics()) {
                self.renewed.send_replace(Some(self.core.monotonic()));
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
        if beats.try_send(v1::HeartbeatRequest { envelope, ..request(&first) }).is_err() {
            return false;
        }
        let answers = client.heartbeat(ReceiverStream::new(stream)).await;
        let Ok(mut answers) = answers.map(tonic::Response::into_inner) else { return false };
        loop {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => if answer.renewed {
                        self.renewed.send_replace(Some(self.core.monotonic()));
                    },
                    Ok(None) | Err(_) => return true,
                },
                () = self.pause() => {
                    let Some(beat) = self.next_beat().await else { return true };
                    if beats.try_send(request(&beat)).is_err() {
                        return true;
                    }
                }
            }
        }
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
