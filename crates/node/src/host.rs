//! A partition and its driver: whichever task finds the partition idle runs it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use arc_swap::ArcSwap;
use ottla_record::{Monotonic, Offset, PartitionIndex, TopicId};
use ottla_replication::{Availability, Effect, Event, Partition, View};
use ottla_storage::compaction::{CleanedSegment, SwapError};
use ottla_storage::{LeaderEpochs, Log, TopicPartition};
use parking_lot::{Mutex, MutexGuard};

use crate::completion::Waiter;
use crate::directory::DirectoryShell;
use crate::fetch_wait::FetchWaiters;
use crate::flush::{FlushCoordinator, SyncJob};
use crate::metrics::traffic::TopicTraffic;
use crate::ports::Lane;

/// Events that may lie in a partition's inbox. Past this the caller waits for the partition instead: it holds a
/// worker back, which holds its connections back.
pub const MAX_INBOX: usize = 1024;

/// One partition on this broker.
///
/// Events are handled under the partition's lock by the task that brings them. A task that finds the lock taken leaves
/// its event in the inbox; the holder looks there once more after it has let go, so no event is left behind. Readers
/// use the published [`View`] and take no lock.
pub struct PartitionHost {
    topic: Arc<str>,
    name: TopicPartition,
    topic_id: TopicId,
    machine: Mutex<Option<Partition<Waiter>>>,
    inbox: Mutex<VecDeque<Event<Waiter>>>,
    view: ArcSwap<View>,
    /// Who waits for more to read.
    fetchers: FetchWaiters,
    /// Who waits for more to copy: the log's end, committed or not.
    copiers: FetchWaiters,
    /// Times that what a leader sent could not be appended.
    refused_copies: AtomicU64,
    /// [`Partition::next_deadline`] in nanoseconds, so that the keeper can see without a lock whom to wake.
    next_deadline: AtomicU64,
    closed: AtomicBool,
    /// What its topic says of this broker's replica of it (KIP-73).
    throttled_as_leader: AtomicBool,
    throttled_as_follower: AtomicBool,
    /// It is copied, and producers wait for that, or will in a moment: by the metadata, and by what the leader sent last.
    is_awaited: AtomicBool,
    has_come_close: AtomicBool,
    traffic: Arc<TopicTraffic>,
    shell: Arc<DirectoryShell>,
}

/// A copy has come close once an answer with all that was committed is smaller than this.
const NEAR: usize = 128 << 10;

/// It has not any more once an answer is as large as this.
const FAR: usize = 1 << 20;

/// Who syncs a partition's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushBy {
    /// The directory's flush coordinator, together with whatever else waits.
    Coordinator,
    /// This thread at once: nothing else waits, and handing over costs more than it saves.
    Caller,
}

impl PartitionHost {
    pub(crate) fn new(
        topic: Arc<str>,
        name: TopicPartition,
        topic_id: TopicId,
        partition: Partition<Waiter>,
        traffic: Arc<TopicTraffic>,
        shell: Arc<DirectoryShell>,
    ) -> Arc<Self> {
        let view = ArcSwap::from_pointee(partition.view());
        Arc::new(Self {
            topic,
            name,
            topic_id,
            machine: Mutex::new(Some(partition)),
            inbox: Mutex::default(),
            view,
            fetchers: FetchWaiters::default(),
            copiers: FetchWaiters::default(),
            refused_copies: AtomicU64::new(0),
            next_deadline: AtomicU64::new(u64::MAX),
            closed: AtomicBool::new(false),
            throttled_as_leader: AtomicBool::new(false),
            throttled_as_follower: AtomicBool::new(false),
            is_awaited: AtomicBool::new(true),
            has_come_close: AtomicBool::new(false),
            traffic,
            shell,
        })
    }

    /// Name of the topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Id of the topic.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Number within the topic.
    pub fn index(&self) -> PartitionIndex {
        self.name.partition
    }

    /// Topic and number, as directories are named.
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// The picture readers see now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn fetchers(&self) -> &FetchWaiters {
        &self.fetchers
    }

    pub(crate) fn copiers(&self) -> &FetchWaiters {
        &self.copiers
    }

    /// Times that what a leader sent could not be appended.
    pub(crate) fn refused_copies(&self) -> u64 {
        self.refused_copies.load(Ordering::Relaxed)
    }

    /// True if what others copy from here keeps to this broker's rate, as long as they are not in sync.
    pub(crate) fn is_throttled_as_leader(&self) -> bool {
        self.throttled_as_leader.load(Ordering::Relaxed)
    }

    /// The same of what this broker copies.
    pub(crate) fn is_throttled_as_follower(&self) -> bool {
        self.throttled_as_follower.load(Ordering::Relaxed)
    }

    /// What the metadata say of it; the lane in which it is copied, if it is.
    pub(crate) fn set_awaited(&self, is_awaited: bool) -> Lane {
        self.is_awaited.store(is_awaited, Ordering::Relaxed);
        if is_awaited {
            // Should it fall behind, it begins among those that catch up.
            self.has_come_close.store(false, Ordering::Relaxed);
        }
        self.lane()
    }

    /// A leader's answer had so many bytes for it and left so many records to come. True if it changes lanes over that: once it
    /// has all that was committed it may be counted as in sync at any time, before this broker hears of it.
    pub(crate) fn note_copied(&self, bytes: usize, behind: u64) -> bool {
        if self.is_awaited.load(Ordering::Relaxed) {
            return false;
        }
        let before = self.has_come_close.load(Ordering::Relaxed);
        let close = if before { bytes < FAR } else { behind == 0 && bytes < NEAR };
        self.has_come_close.store(close, Ordering::Relaxed);
        close != before
    }

    fn lane(&self) -> Lane {
        let is_awaited =
            self.is_awaited.load(Ordering::Relaxed) || self.has_come_close.load(Ordering::Relaxed);
        if is_awaited { Lane::InSync } else { Lane::CatchingUp }
    }

    /// Who syncs its files: an acknowledgement must not wait for a round of what catches up.
    fn flusher(&self) -> &FlushCoordinator {
        match self.lane() {
            Lane::InSync => &self.shell.flusher,
            Lane::CatchingUp => &self.shell.background_flusher,
        }
    }

    pub(crate) fn set_throttled(&self, as_leader: bool, as_follower: bool) {
        self.throttled_as_leader.store(as_leader, Ordering::Relaxed);
        self.throttled_as_follower.store(as_follower, Ordering::Relaxed);
    }

    pub(crate) fn next_deadline(&self) -> Monotonic {
        Monotonic::from_start(Duration::from_nanos(self.next_deadline.load(Ordering::Relaxed)))
    }

    /// The history of leader epochs; `None` once closed. Waits for the partition: not for hot paths.
    pub(crate) fn leader_epochs<T>(&self, read: impl FnOnce(&LeaderEpochs) -> T) -> Option<T> {
        self.with_log(|log| read(log.leader_epochs()))
    }

    /// Looks at the log while nobody changes it; `None` once closed. Waits for the partition: not for hot paths.
    pub(crate) fn with_log<T>(&self, look: impl FnOnce(&Log) -> T) -> Option<T> {
        self.machine.lock().as_ref().map(|machine| look(machine.log()))
    }

    /// Puts a cleaned segment into the log. The calling thread does it, once it gets the partition: the renames wait for
    /// the disk, and a client's thread must not.
    pub(crate) fn swap_cleaned(self: &Arc<Self>, cleaned: CleanedSegment) -> Result<(), SwapError> {
        let (waiter, outcome) = sync_channel(1);
        let event = Event::SwapCleaned { waiter: Waiter::Swap(waiter), cleaned };
        self.drive(self.machine.lock(), Some(event), FlushBy::Coordinator);
        outcome.recv().unwrap_or(Err(SwapError::Stale))
    }

    /// True once the partition has been closed, as for its deletion.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Brings an event, and runs the partition if nobody else does.
    pub(crate) fn submit(self: &Arc<Self>, event: Event<Waiter>) {
        self.submit_with(event, FlushBy::Coordinator);
    }

    pub(crate) fn submit_with(self: &Arc<Self>, event: Event<Waiter>, flush_by: FlushBy) {
        let first = match self.machine.try_lock() {
            // What lies in the inbox came first.
            Some(machine) if self.inbox.lock().is_empty() => Some((machine, event)),
            free => {
                let mut inbox = self.inbox.lock();
                inbox.push_back(event);
                let full = inbox.len() > MAX_INBOX;
                drop(inbox);
                match free {
                    Some(machine) => return self.drive(machine, None, flush_by),
                    None if full => return self.drive(self.machine.lock(), None, flush_by),
                    None => None,
                }
            }
        };
        match first {
            Some((machine, event)) => self.drive(machine, Some(event), flush_by),
            None => self.drive_if_idle(flush_by),
        }
    }

    /// Stops the partition for good and gives its log back; `None` the second time. Later events are refused.
    pub(crate) fn close(self: &Arc<Self>) -> Option<Log> {
        self.closed.store(true, Ordering::Release);
        let mut machine = self.machine.lock();
        let mut effects = Vec::new();
        let log = machine.take().map(|partition| partition.into_log(&mut effects));
        let mut view = View::clone(&self.view());
        view.availability = Availability::NotLeading { epoch: None };
        view.following = None;
        self.view.store(Arc::new(view));
        drop(machine);
        self.execute(effects, FlushBy::Coordinator);
        self.fetchers.wake_all();
        self.copiers.wake_all();
        self.drive_if_idle(FlushBy::Coordinator);
        log
    }

    fn drive_if_idle(self: &Arc<Self>, flush_by: FlushBy) {
        if let Some(machine) = self.machine.try_lock() {
            self.drive(machine, None, flush_by);
        }
    }

    fn drive<'a>(
        self: &'a Arc<Self>,
        mut machine: MutexGuard<'a, Option<Partition<Waiter>>>,
        mut event: Option<Event<Waiter>>,
        flush_by: FlushBy,
    ) {
        let mut effects = Vec::new();
        loop {
            let now = self.shell.clock.now();
            while let Some(next) = event.take().or_else(|| self.inbox.lock().pop_front()) {
                match machine.as_mut() {
                    Some(partition) => {
                        let sent = Sent::of(&next, partition);
                        partition.handle(next, now, &mut effects);
                        if let Some(sent) = sent {
                            sent.count(partition, &self.traffic);
                        }
                    }
                    None => refuse(next),
                }
            }
            if let Some(partition) = machine.as_ref() {
                let deadline = partition.next_deadline().since_start().as_nanos();
                self.next_deadline.store(u64::try_from(deadline).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            let grown = self.publish(&effects);
            drop(machine);
            self.execute(std::mem::take(&mut effects), flush_by);
            if grown.readable {
                self.fetchers.wake_all();
            }
            if grown.written {
                self.copiers.wake_all();
            }
            // Somebody may have left an event between the last look and the unlock, and found the lock taken.
            if self.inbox.lock().is_empty() {
                return;
            }
            match self.machine.try_lock() {
                Some(again) => machine = again,
                None => return,
            }
        }
    }

    /// Stores the last view among the effects, under the lock so that views never go back.
    fn publish(&self, effects: &[Effect<Waiter>]) -> Grown {
        let mut latest = None;
        for effect in effects {
            if let Effect::Publish(view) = effect {
                latest = Some(view.clone());
            }
        }
        let Some(view) = latest else { return Grown::default() };
        let before = self.view.load();
        let other_role = view.availability != before.availability;
        let grown = Grown {
            readable: other_role
                || view.high_watermark != before.high_watermark
                || view.last_stable != before.last_stable
                || view.log_start != before.log_start,
            written: other_role || view.log_end != before.log_end || view.following != before.following,
        };
        self.view.store(Arc::new(view));
        grown
    }

    fn execute(self: &Arc<Self>, effects: Vec<Effect<Waiter>>, flush_by: FlushBy) {
        for effect in effects {
            match effect {
                Effect::Flush(job) => match flush_by {
                    FlushBy::Caller if self.flusher().is_idle() => {
                        let succeeded = self.flusher().run_now(self, &job);
                        // The next job, if any came meanwhile, is not alone any more.
                        self.submit(Event::Flushed { end: job.end, succeeded });
                    }
                    _ => self.flusher().submit(Arc::clone(self), SyncJob::Flush(job)),
                },
                Effect::Checkpoint(job) => {
                    self.flusher().submit(Arc::clone(self), SyncJob::Checkpoint(job));
                }
                Effect::Produced { waiter, outcome } => {
                    self.traffic.produces_failed.add(u64::from(outcome.is_err()));
                    waiter.produced(outcome);
                }
                Effect::RecordsDeleted { waiter, outcome } => waiter.records_deleted(outcome),
                Effect::FollowerFetched { waiter, outcome } => waiter.follower_fetched(outcome),
                Effect::AlterIsr(proposal) => self.shell.isr.propose(Arc::clone(self), proposal),
                Effect::CopyRefused(error) => {
                    if self.refused_copies.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::error!(partition = ?self, %error, "what the leader sent could not be appended, and this copy falls behind; it is tried again");
                    }
                }
                Effect::Swapped { waiter, outcome } => waiter.swapped(outcome),
                Effect::Remove(segments) => {
                    let bytes = segments.iter().map(|segment| segment.bytes).sum();
                    self.shell.metrics.deleted_segments.add(segments.len() as u64);
                    self.shell.metrics.deleted_bytes.add(bytes);
                    self.shell.keeper.remove_later(segments);
                }
                Effect::Failed => self.shell.keeper.directory_failed(),
                Effect::Publish(_) => {}
            }
        }
    }
}

/// What a new view has more of than the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Grown {
    /// Consumers see more, or something else than before.
    readable: bool,
    /// Followers do; or this replica's own next fetch is another one.
    written: bool,
}

/// What a producer sent, remembered until it is known whether it was appended: a duplicate is not, and counts for nothing.
struct Sent {
    end_before: Offset,
    bytes: usize,
}

impl Sent {
    fn of(event: &Event<Waiter>, partition: &Partition<Waiter>) -> Option<Self> {
        let Event::Produce(produce) = event else { return None };
        Some(Self { end_before: partition.log().log_end(), bytes: produce.batches.size_bytes() })
    }

    fn count(self, partition: &Partition<Waiter>, traffic: &TopicTraffic) {
        let records = partition.log().log_end() - self.end_before;
        if records > 0 {
            traffic.records_in.add(records.unsigned_abs());
            traffic.bytes_in.add(self.bytes as u64);
        }
    }
}

/// Answers what came for a partition that is closed.
fn refuse(event: Event<Waiter>) {
    match event {
        Event::Produce(produce) => produce.waiter.produced(Err(ottla_replication::ProduceError::NotLeader)),
        Event::SwapCleaned { waiter, cleaned } => {
            cleaned.discard();
            waiter.swapped(Err(SwapError::Stale));
        }
        Event::DeleteRecords(request) => {
            request.waiter.records_deleted(Err(ottla_replication::DeleteRecordsError::NotLeader));
        }
        _ => {}
    }
}

impl fmt::Debug for PartitionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index())
    }
}
