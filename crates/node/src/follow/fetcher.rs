//! The task that copies from one leader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_record::Offset;
use ottla_replication::{EpochEnd, Event, FetchedFromLeader, FetchedOutcome};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::completion::Waiter;
use crate::fetch_wait::GrowthWait;
use crate::follow::fetchers::{FetcherParts, Source};
use crate::follow::hung_up::OVERDUE;
use crate::follow::pace::Pace;
use crate::follow::pause::Pauses;
use crate::follow::position::{Next, Progress};
use crate::host::PartitionHost;
use crate::ports::{
    Lane, LeaderAnswer, PeerAddress, PeerError, ReplicaFetch, ReplicaFetchPartition, ReplicaFetched,
};

/// How long the others wait for a partition that flushes what came last. Together they make one round with the leader: while
/// they flush, the leader collects. A partition whose disk takes longer is left out of rounds until it is done.
const PATIENCE: Duration = Duration::from_millis(10);

/// Bytes of an answer to copies that catch up: what is read, sent and flushed in one go holds up others on the same disk and processors.
const PIECE: usize = 1 << 20;

/// How long a leader may wait for records while a partition is left out.
const SHORT_WAIT: Duration = Duration::from_millis(5);

/// A partition that the rate holds back is looked at again after this at the latest: there may be another rate by then.
const HELD_BACK: Duration = Duration::from_millis(200);

/// Copies from one leader, until that has nothing for this broker any more in this lane.
pub(super) struct Fetcher {
    parts: Arc<FetcherParts>,
    lane: Lane,
    pauses: Pauses,
    pace: Pace,
    /// For each partition of the source.
    progress: Vec<Progress>,
    /// Who comes first in the next round: an answer is bounded, and those at its end may go short.
    first: usize,
}

/// What a look at all partitions found.
struct Round {
    partitions: Vec<ReplicaFetchPartition>,
    flushing: bool,
    /// When the first may be tried again that was refused, or held back by the follower's rate.
    retry: Option<Instant>,
}

impl Round {
    fn retry_by(&mut self, at: Instant) {
        self.retry = Some(self.retry.map_or(at, |first| first.min(at)));
    }
}

impl Fetcher {
    pub(super) fn new(parts: Arc<FetcherParts>, lane: Lane) -> Self {
        let pauses = Pauses::up_to(parts.config.fetch_backoff);
        Self { parts, lane, pauses, pace: Pace::new(Instant::now()), progress: Vec::new(), first: 0 }
    }

    /// Runs until the other end of `source` is dropped.
    pub(super) async fn run(mut self, mut source: watch::Receiver<Arc<Source>>) {
        loop {
            let current = Arc::clone(&source.borrow_and_update());
            self.pauses.reset();
            self.first = 0;
            let fresh = || Progress::new(self.parts.config.fetch_backoff);
            self.progress = std::iter::repeat_with(fresh).take(current.hosts.len()).collect();
            let growth = GrowthWait::of_written(current.hosts.clone());
            tokio::select! {
                changed = source.changed() => if changed.is_err() { return },
                () = self.copy(&current, &growth) => {}
            }
        }
    }

    /// One round after the other, without end. May be dropped whenever it waits.
    async fn copy(&mut self, source: &Source, growth: &GrowthWait) {
        loop {
            let began = Instant::now();
            let round = self.prepare(source, growth).await;
            let max_wait = match round.retry {
                _ if round.flushing => SHORT_WAIT,
                Some(retry) => retry.saturating_duration_since(Instant::now()).max(SHORT_WAIT),
                None => self.parts.config.fetch_wait_max,
            };
            let config = &self.parts.config;
            let request = ReplicaFetch {
                lane: self.lane,
                replica: self.parts.own,
                replica_epoch: self.parts.epoch,
                max_wait: max_wait.min(config.fetch_wait_max),
                min_bytes: config.fetch_min_bytes,
                max_bytes: match self.lane {
                    Lane::InSync => config.fetch_response_max_bytes,
                    Lane::CatchingUp => config.fetch_response_max_bytes.min(PIECE),
                },
                partitions: round.partitions,
            };
            match self.fetch(&source.address, request).await {
                Ok(answers) => {
                    self.pauses.reset();
                    self.parts.hung_up.heard(source.address.broker);
                    let copied = self.take(source, answers).await;
                    self.rest(began, copied).await;
                }
                Err(error) => self.failed(source, &error).await,
            }
        }
    }

    /// One request and its answer. Until one comes that is overdue, the leader is silent.
    async fn fetch(
        &self,
        address: &PeerAddress,
        request: ReplicaFetch,
    ) -> Result<Vec<ReplicaFetched>, PeerError> {
        let due = request.max_wait + OVERDUE;
        let answer = self.parts.peers.fetch(address, request);
        if self.lane == Lane::CatchingUp {
            return answer.await;
        }
        tokio::pin!(answer);
        match timeout(due, &mut answer).await {
            Ok(answer) => answer,
            Err(_overdue) => {
                self.parts.hung_up.note_silence(address.broker, Instant::now());
                answer.await
            }
        }
    }

    /// What the next fetch asks for, once there is something to ask for.
    async fn prepare(&mut self, source: &Source, growth: &GrowthWait) -> Round {
        let patient_until = Instant::now() + PATIENCE;
        loop {
            let round = self.look(source);
            let wake = match (round.partitions.is_empty(), round.flushing) {
                (false, true) => patient_until,
                (false, false) => return round,
                (true, _) => match round.retry {
                    Some(retry) => retry,
                    None => {
                        growth.grown().await;
                        continue;
                    }
                },
            };
            let left = wake.saturating_duration_since(Instant::now());
            if timeout(left, growth.grown()).await.is_err() && !round.partitions.is_empty() {
                return round;
            }
        }
    }

    fn look(&mut self, source: &Source) -> Round {
        let mut round = Round { partitions: Vec::new(), flushing: false, retry: None };
        let now = Instant::now();
        let (leader, config) = (source.address.broker, &self.parts.config);
        let in_turn = (self.first..source.hosts.len()).chain(0..self.first);
        for at in in_turn {
            let (Some(host), Some(progress)) = (source.hosts.get(at), self.progress.get_mut(at)) else {
                continue;
            };
            match progress.next(host, leader, config.fetch_max_bytes, config.rack_aware_reading, now) {
                Next::Fetch(partition) => match held_back(&self.parts, host) {
                    None => round.partitions.push(partition),
                    Some(wait) => {
                        progress.asked = None;
                        round.retry_by(now + wait);
                    }
                },
                Next::Flushing => round.flushing = true,
                Next::Paused(until) => round.retry_by(until),
                Next::Nothing => {}
            }
        }
        round
    }

    /// Gives others their turn, if this lane catches up.
    async fn rest(&mut self, began: Instant, copied: u64) {
        if self.lane == Lane::CatchingUp {
            let now = Instant::now();
            let behind = self.progress.iter().map(|progress| progress.behind).sum();
            sleep(self.pace.rest(now, now - began, copied, behind)).await;
        }
    }

    /// Hands each partition what came for it; how many records that was.
    async fn take(&mut self, source: &Source, answers: Vec<ReplicaFetched>) -> u64 {
        let shell = Arc::clone(&self.parts.shell);
        let metrics = &shell.replication;
        // What the leader has committed and is not here. Kafka's measure, too: how far the leader's log goes is not told.
        let (mut lag, mut copied, mut regroup) = (0, 0, false);
        for ReplicaFetched { topic_id, partition, outcome } in answers {
            let Some(at) = source.places.get(&(topic_id, partition)).copied() else { continue };
            let (Some(host), Some(progress)) = (source.hosts.get(at), self.progress.get_mut(at)) else {
                continue;
            };
            // Each answers for what was asked once.
            let Some(asked) = progress.asked.take() else { continue };
            match outcome {
                Ok(answer) => {
                    let mut came = None;
                    if let LeaderAnswer::Records { bytes, high_watermark, .. } = &answer {
                        metrics.bytes_in.add(bytes.len() as u64);
                        if host.is_throttled_as_follower() {
                            shell.quotas.follower.record(bytes.len(), shell.clock.now().monotonic);
                        }
                        came = Some((bytes.len(), *high_watermark));
                        if !bytes.is_empty() {
                            self.first = (at + 1) % source.hosts.len();
                        }
                    }
                    let refused = host.refused_copies();
                    deliver(host, &asked, answer).await;
                    if host.refused_copies() == refused {
                        progress.succeeded();
                    } else {
                        progress.refused(asked.leader_epoch, Instant::now());
                    }
                    let log_end = host.view().log_end;
                    copied += (log_end - asked.offset).max(0).unsigned_abs();
                    if let Some((bytes, committed)) = came {
                        progress.behind = (committed - log_end).max(0).unsigned_abs();
                        regroup |= host.note_copied(bytes, progress.behind);
                        lag = lag.max(progress.behind);
                    }
                }
                Err(error) => {
                    if progress.refused(asked.leader_epoch, Instant::now()) {
                        tracing::debug!(partition = ?host, leader = %source.address.broker, %error, "not copied now; it is tried again");
                    }
                }
            }
        }
        metrics.note_lag(source.address.broker, self.lane, lag);
        if regroup {
            self.parts.regroup.notify_one();
        }
        copied
    }

    async fn failed(&mut self, source: &Source, error: &PeerError) {
        let PeerAddress { broker, host, port } = &source.address;
        if self.pauses.is_fresh() {
            tracing::info!(leader = %broker, %error, "copying from {host}:{port} failed; it is tried again until another broker leads");
        } else {
            tracing::debug!(leader = %broker, %error, "copying from {host}:{port} failed again");
        }
        self.parts.shell.replication.fetches_failed.inc();
        if let PeerError::Broken(_) = error {
            self.parts.hung_up.note(*broker, Instant::now());
        }
        sleep(self.pauses.next()).await;
    }
}

/// How long nothing is to be fetched for a partition: it is throttled, not in sync here, and the rate is used up (KIP-73).
fn held_back(parts: &FetcherParts, host: &PartitionHost) -> Option<Duration> {
    if !host.is_throttled_as_follower() {
        return None;
    }
    let wait = parts.shell.quotas.follower.wait(0, parts.shell.clock.now().monotonic)?;
    let image = Arc::clone(&parts.images.borrow());
    let partition = image.partition(host.topic_id(), host.index());
    let in_sync = partition.is_some_and(|partition| partition.isr.contains(&parts.own));
    (!in_sync).then(|| wait.min(HELD_BACK))
}

/// Brings one answer to its partition.
async fn deliver(host: &Arc<PartitionHost>, asked: &ReplicaFetchPartition, answer: LeaderAnswer) {
    let ReplicaFetchPartition { leader_epoch, offset: from, last_epoch, .. } = *asked;
    let event = |outcome| Event::Fetched(FetchedFromLeader { leader_epoch, from, last_epoch, outcome });
    match answer {
        LeaderAnswer::Records { bytes, high_watermark, log_start } => {
            if bytes.is_empty() && !is_news(host, high_watermark, log_start) {
                return;
            }
            let outcome = FetchedOutcome::Records { bytes, high_watermark, log_start };
            host.submit(event(outcome));
        }
        LeaderAnswer::Diverging { epoch, end } => {
            let outcome = FetchedOutcome::Diverging(EpochEnd { epoch, end });
            cut(host, event(outcome)).await;
        }
        LeaderAnswer::OutOfRange { log_start, log_end, producers } => {
            cut(host, event(FetchedOutcome::OutOfRange { log_start, log_end, producers })).await;
        }
    }
}

/// Cutting a log waits for the disk, and so not here.
async fn cut(host: &Arc<PartitionHost>, event: Event<Waiter>) {
    let host = Arc::clone(host);
    if let Err(panicked) = tokio::task::spawn_blocking(move || host.submit(event)).await {
        tracing::error!(%panicked, "a log could not be cut; this is a bug: please report this line");
    }
}

/// True if an answer without records tells a partition something.
fn is_news(host: &PartitionHost, high_watermark: Offset, log_start: Offset) -> bool {
    let view = host.view();
    high_watermark > view.high_watermark || log_start > view.log_start
}
