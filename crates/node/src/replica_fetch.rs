//! What followers are given of what this broker leads.
//!
//! A follower's fetch says what it has: the partition's machine hears of it first, which may let the high watermark rise. The
//! records are then read from the view, up to the end of the log: what is not flushed here yet may be flushed there meanwhile.

use std::sync::Arc;
use std::time::Duration;

use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, Monotonic, Offset};
use ottla_replication::{Event, FollowerFetch, FollowerFetchError, FollowerPosition};
use ottla_storage::{ProducerStates, ReadError, ReadSlice};

use crate::completion::{Waiter, ticket};
use crate::fetch::{FetchError, MAX_STALE_VIEWS, check_leader};
use crate::fetch_wait::GrowthWait;
use crate::host::PartitionHost;
use crate::node::Node;
use crate::ports::ReplicaFetchError;
use crate::topics::{LookupError, TopicKey};

/// Who fetches as a replica, and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaFetchOptions {
    /// The follower.
    pub replica: BrokerId,
    /// The registration it fetches in; `None` if it does not say, and then it counts for nothing.
    pub replica_epoch: Option<BrokerEpoch>,
    /// Bytes in all, at most; the first batch found comes whole.
    pub max_bytes: usize,
    /// Bytes to wait for.
    pub min_bytes: usize,
    /// Until when.
    pub deadline: Monotonic,
}

/// What a follower wants of one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaFetchItem<'a> {
    /// Which topic.
    pub topic: TopicKey<'a>,
    /// Number of the partition, as the follower sent it.
    pub partition: i32,
    /// The term it follows in; `None` if it does not say, and then it counts for nothing.
    pub leader_epoch: Option<LeaderEpoch>,
    /// End of what it has, as it was sent.
    pub offset: i64,
    /// Epoch of its last record.
    pub last_epoch: Option<LeaderEpoch>,
    /// Its first offset, as it was sent.
    pub log_start: i64,
    /// The high watermark it knows; told only to be woken by a newer one.
    pub high_watermark: Option<Offset>,
    /// Bytes wanted at most.
    pub max_bytes: usize,
    /// The partition was told this by a fetch a moment ago, in the same registration, and all was well.
    pub known: bool,
}

/// What a follower gets of one partition.
#[derive(Clone, Debug)]
pub enum ForReplica {
    /// Records, or none.
    Records {
        /// Whole batches in a file.
        slice: Option<ReadSlice>,
        /// End of what consumers may read.
        high_watermark: Offset,
        /// First offset in the log.
        log_start: Offset,
    },
    /// Its log is another one from some offset on (KIP-595).
    Diverging {
        /// The largest epoch here that is not above its last one; `None` if there is none.
        epoch: Option<LeaderEpoch>,
        /// Where that epoch ends here.
        end: Offset,
    },
    /// Its offset is outside the log.
    OutOfRange {
        /// First offset in the log.
        log_start: Offset,
        /// End of the log.
        log_end: Offset,
        /// What is known of producers below the first offset.
        producers: Arc<ProducerStates>,
    },
}

/// A replica fetch's answers, in the order of the items.
pub type ReplicaFetchOutcomes = Vec<Result<ForReplica, ReplicaFetchError>>;

/// One partition between the look at what the follower has and the read.
enum Stage {
    /// The follower is where it says, in this term.
    Reads(Arc<PartitionHost>, LeaderEpoch, Offset),
    /// Nothing will be read.
    Settled(Result<ForReplica, ReplicaFetchError>),
}

impl Node {
    /// Takes note of what a follower has, and reads what comes next; waits for it as long as the options allow.
    pub async fn fetch_as_replica(
        &self,
        options: ReplicaFetchOptions,
        items: &[ReplicaFetchItem<'_>],
    ) -> ReplicaFetchOutcomes {
        let Some(epoch) = self.registered_epoch(options) else {
            return items.iter().map(|_| Err(ReplicaFetchError::StaleBrokerEpoch)).collect();
        };
        let stages = self.note(options.replica, epoch, items).await;
        self.shell.replication.note_follower_lag(options.replica, lag(&stages));
        let waits = stages.iter().filter_map(|stage| match stage {
            Stage::Reads(host, ..) => Some(Arc::clone(host)),
            Stage::Settled(_) => None,
        });
        let knows_marks = items.iter().any(|item| item.high_watermark.is_some());
        let hosts: Vec<_> = waits.collect();
        let written = GrowthWait::of_written(hosts.clone());
        let readable = knows_marks.then(|| GrowthWait::register(hosts));
        loop {
            let now = self.clock().now().monotonic;
            let mut limit = Limit { node: self, follower: options.replica, now, bytes: 0, wait: None };
            let (outcomes, is_enough) = read_all(&stages, items, options, &mut limit);
            let left = options.deadline - now;
            if is_enough || left.is_zero() {
                let bytes = outcomes.iter().map(bytes_of).sum::<usize>();
                self.shell.replication.bytes_out.add(bytes as u64);
                self.shell.quotas.leader.record(limit.bytes, now);
                return outcomes;
            }
            // What is held back is looked at again when the rate allows it.
            let left = limit.wait.map_or(left, |wait| left.min(wait));
            let grown = async {
                match &readable {
                    Some(readable) => tokio::select! {
                        () = written.grown() => {}
                        () = readable.grown() => {}
                    },
                    None => written.grown().await,
                }
            };
            // Either way there is one more look: growth may have come with the deadline.
            let _elapsed = tokio::time::timeout(left, grown).await;
        }
    }

    /// The follower's registration, if that is the one it fetches in: what an older process of it has says nothing about
    /// what this one has (KIP-903).
    fn registered_epoch(&self, options: ReplicaFetchOptions) -> Option<BrokerEpoch> {
        let image = self.image();
        let registered = image.broker(options.replica)?.epoch;
        options.replica_epoch.filter(|epoch| *epoch == registered)
    }

    /// Tells the partitions what the follower has.
    async fn note(
        &self,
        follower: BrokerId,
        broker_epoch: BrokerEpoch,
        items: &[ReplicaFetchItem<'_>],
    ) -> Vec<Stage> {
        let (ticket, mut slots) = ticket(items.iter().filter(|item| !item.known).count());
        let topics = self.topics();
        let mut stages = Vec::with_capacity(items.len());
        for item in items {
            let slot = if item.known { None } else { slots.next() };
            let found = topics.topic(item.topic).and_then(|topic| topic.partition(item.partition));
            let host = match found {
                Ok(host) => host,
                Err(error) => {
                    stages.push(Stage::Settled(Err(unknown(error))));
                    continue;
                }
            };
            let position = item.leader_epoch.zip(Offset::from_wire(item.offset));
            let Some((leader_epoch, offset)) = position else {
                // Without its term nobody can tell whose follower it is (KIP-320's first try).
                stages.push(Stage::Settled(Err(ReplicaFetchError::UnknownLeaderEpoch)));
                continue;
            };
            stages.push(Stage::Reads(Arc::clone(host), leader_epoch, offset));
            let Some(slot) = slot else { continue };
            host.submit(Event::FollowerFetch(FollowerFetch {
                waiter: Waiter::FollowerFetch(slot),
                follower,
                broker_epoch,
                leader_epoch,
                offset,
                last_epoch: item.last_epoch,
                log_start: Offset::from_wire(item.log_start).unwrap_or(Offset::ZERO),
            }));
        }
        // Slots of those that were settled above are empty, and those behind them keep their places.
        drop((topics, slots));
        let outcomes = ticket.await.into_iter();
        let asked = items.iter().enumerate().filter(|(_, item)| !item.known).map(|(at, _)| at);
        for (at, outcome) in asked.zip(outcomes) {
            let Some(stage @ Stage::Reads(..)) = stages.get_mut(at) else { continue };
            let settled = match outcome {
                Some(Ok(FollowerPosition { diverging: None, .. })) => continue,
                Some(Ok(FollowerPosition { diverging: Some(diverging), .. })) => {
                    Ok(ForReplica::Diverging { epoch: diverging.epoch, end: diverging.end })
                }
                Some(Err(FollowerFetchError::OutOfRange { log_start, log_end, producers })) => {
                    Ok(ForReplica::OutOfRange { log_start, log_end, producers })
                }
                Some(Err(error)) => Err(refusal(&error)),
                // Closed meanwhile.
                None => Err(ReplicaFetchError::NotLeader),
            };
            *stage = Stage::Settled(settled);
        }
        stages
    }
}

/// The leader's rate in one look at all partitions.
struct Limit<'a> {
    node: &'a Node,
    follower: BrokerId,
    now: Monotonic,
    /// What was read of throttled partitions, and is recorded when it is sent.
    bytes: usize,
    /// How soon more may be read of those that were held back.
    wait: Option<Duration>,
}

impl Limit<'_> {
    /// True if nothing is to be read of a partition now: it is throttled, the follower is not in sync, and the rate is used up.
    fn holds_back(&mut self, host: &PartitionHost) -> bool {
        if !host.is_throttled_as_leader() {
            return false;
        }
        let Some(wait) = self.node.shell.quotas.leader.wait(self.bytes, self.now) else { return false };
        let image = self.node.image();
        let partition = image.partition(host.topic_id(), host.index());
        if partition.is_some_and(|partition| partition.isr.contains(&self.follower)) {
            return false;
        }
        self.wait = Some(self.wait.map_or(wait, |before| before.min(wait)));
        true
    }
}

/// Reads for all partitions. The second value is true if the answer need not wait.
fn read_all(
    stages: &[Stage],
    items: &[ReplicaFetchItem<'_>],
    options: ReplicaFetchOptions,
    limit: &mut Limit<'_>,
) -> (ReplicaFetchOutcomes, bool) {
    let (mut bytes, mut must) = (0_usize, stages.is_empty());
    let outcomes = stages
        .iter()
        .zip(items)
        .map(|(stage, item)| {
            let outcome = match stage {
                Stage::Settled(outcome) => {
                    must = true;
                    return outcome.clone();
                }
                // The marks are told all the same.
                Stage::Reads(host, epoch, offset) if limit.holds_back(host) => {
                    read(host, *epoch, *offset, 0, false)
                }
                Stage::Reads(host, epoch, offset) => {
                    let max_bytes = item.max_bytes.min(options.max_bytes.saturating_sub(bytes));
                    let outcome = read(host, *epoch, *offset, max_bytes, bytes == 0);
                    if host.is_throttled_as_leader() {
                        limit.bytes += bytes_of(&outcome);
                    }
                    outcome
                }
            };
            match &outcome {
                Ok(ForReplica::Records { slice, high_watermark, .. }) => {
                    bytes += slice.as_ref().map_or(0, |slice| slice.len);
                    must |= item.high_watermark.is_some_and(|known| known < *high_watermark);
                }
                Ok(_) | Err(_) => must = true,
            }
            outcome
        })
        .collect();
    (outcomes, must || bytes >= options.min_bytes)
}

/// Reads by the view of now, as long as it leads in the follower's term.
fn read(
    host: &PartitionHost,
    epoch: LeaderEpoch,
    offset: Offset,
    max_bytes: usize,
    min_one: bool,
) -> Result<ForReplica, ReplicaFetchError> {
    for _attempt in 0..MAX_STALE_VIEWS {
        let view = host.view();
        check_leader(&view, Some(epoch)).map_err(not_led)?;
        let (high_watermark, log_start) = (view.high_watermark, view.log_start);
        if max_bytes == 0 && !min_one {
            return Ok(ForReplica::Records { slice: None, high_watermark, log_start });
        }
        match view.log.read(offset, max_bytes, view.log_end, min_one) {
            Ok(slice) => return Ok(ForReplica::Records { slice, high_watermark, log_start }),
            Err(ReadError::Stale) => {}
            // The log has been cut or has got shorter since the partition was told: it has the answer to the next fetch.
            Err(ReadError::OffsetOutOfRange { .. }) => return Err(ReplicaFetchError::OffsetMoved),
            Err(error) => {
                tracing::error!(partition = ?host, %error, "a read of the log for a follower failed; check the disk");
                return Err(ReplicaFetchError::Storage);
            }
        }
    }
    Err(ReplicaFetchError::Storage)
}

/// What of all partitions the follower lacks most.
fn lag(stages: &[Stage]) -> u64 {
    let lags = stages.iter().map(|stage| match stage {
        Stage::Reads(host, _, offset) => (host.view().log_end - *offset).max(0).unsigned_abs(),
        Stage::Settled(_) => 0,
    });
    lags.max().unwrap_or(0)
}

fn bytes_of(outcome: &Result<ForReplica, ReplicaFetchError>) -> usize {
    match outcome {
        Ok(ForReplica::Records { slice: Some(slice), .. }) => slice.len,
        _ => 0,
    }
}

fn unknown(error: LookupError) -> ReplicaFetchError {
    match error {
        LookupError::NotHosted => ReplicaFetchError::NotLeader,
        LookupError::Offline => ReplicaFetchError::Storage,
        LookupError::UnknownTopicId | LookupError::UnknownTopicOrPartition => {
            ReplicaFetchError::UnknownPartition
        }
    }
}

fn not_led(error: FetchError) -> ReplicaFetchError {
    match error {
        FetchError::FencedLeaderEpoch { .. } => ReplicaFetchError::FencedLeaderEpoch,
        FetchError::UnknownLeaderEpoch { .. } => ReplicaFetchError::UnknownLeaderEpoch,
        FetchError::Storage => ReplicaFetchError::Storage,
        _ => ReplicaFetchError::NotLeader,
    }
}

fn refusal(error: &FollowerFetchError) -> ReplicaFetchError {
    match error {
        FollowerFetchError::FencedLeaderEpoch { .. } => ReplicaFetchError::FencedLeaderEpoch,
        FollowerFetchError::UnknownLeaderEpoch { .. } => ReplicaFetchError::UnknownLeaderEpoch,
        FollowerFetchError::StaleBrokerEpoch { .. } => ReplicaFetchError::StaleBrokerEpoch,
        FollowerFetchError::Offline => ReplicaFetchError::Storage,
        _ => ReplicaFetchError::NotLeader,
    }
}
