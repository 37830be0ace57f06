//! A shard and its driver, in the same shape as a partition's: whichever task finds it idle runs it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ottla_coordination::metadata::Image;
use ottla_coordination::shard::{AppendId, Effect, Event, Shard};
use ottla_record::produce::{Origin, ProduceRules, ValidatedBatches, validate};
use ottla_record::{BatchBuilder, Codec, LeaderEpoch, Monotonic, Now, TimestampType};
use ottla_replication::{Acks, Produce};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::completion::{AppendSlot, Waiter};
use crate::coordinator::{Hosted, loading, shards::Shared};
use crate::host::{MAX_INBOX, PartitionHost};

/// One shard on this broker, for one term of its partition's leadership.
///
/// Events are handled under the shard's lock by the task that brings them; a task that finds the lock taken leaves its event in the
/// inbox, where the holder looks once more after it has let go. Appends are handed to the partition under the lock, so that their
/// order is the order of the decisions; their completions come back as events.
pub(crate) struct ShardHost<M: Hosted> {
    partition: Arc<PartitionHost>,
    epoch: LeaderEpoch,
    make: Arc<dyn Fn() -> M + Send + Sync>,
    shard: Mutex<Shard<M>>,
    inbox: Mutex<VecDeque<Event<M>>>,
    /// [`Shard::next_deadline`] in nanoseconds, so that the timer can see without a lock whom to wake.
    next_deadline: AtomicU64,
    /// Set once: another term has begun, or this broker stops.
    resigned: AtomicBool,
    images: watch::Receiver<Arc<Image>>,
    shared: Arc<Shared>,
}

impl<M: Hosted> ShardHost<M> {
    /// A shard that begins to load. `make` gives an empty machine.
    pub(crate) fn start(
        partition: Arc<PartitionHost>,
        epoch: LeaderEpoch,
        make: Arc<dyn Fn() -> M + Send + Sync>,
        images: watch::Receiver<Arc<Image>>,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let host = Arc::new(Self {
            partition,
            epoch,
            shard: Mutex::new(Shard::loading(make(), AppendId::FIRST)),
            make,
            inbox: Mutex::default(),
            next_deadline: AtomicU64::new(u64::MAX),
            resigned: AtomicBool::new(false),
            images,
            shared,
        });
        loading::begin(&host);
        host
    }

    /// The partition it writes to.
    pub(crate) fn partition(&self) -> &Arc<PartitionHost> {
        &self.partition
    }

    /// The term it serves.
    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn next_deadline(&self) -> Monotonic {
        Monotonic::from_start(Duration::from_nanos(self.next_deadline.load(Ordering::SeqCst)))
    }

    /// True once it will never answer again.
    pub(crate) fn is_resigned(&self) -> bool {
        self.resigned.load(Ordering::Acquire)
    }

    /// Looks at the machine of an active shard. Waits for the shard: not for hot paths.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&M) -> T) -> Option<T> {
        self.shard.lock().machine().map(look)
    }

    /// Stops it for good; whoever waits is told so.
    pub(crate) fn resign(self: &Arc<Self>) {
        self.resigned.store(true, Ordering::Release);
        self.submit(Event::Resign);
    }

    /// Brings an event, and runs the shard if nobody else does.
    pub(crate) fn submit(self: &Arc<Self>, event: Event<M>) {
        // A request that finds too many before it waits for them, which holds back its connection. What else comes is
        // bounded by what the shard asked for, and must not wait: it may come from within the partition.
        let may_wait = matches!(event, Event::Request { .. });
        let first = match self.shard.try_lock() {
            // What lies in the inbox came first.
            Some(shard) if self.inbox.lock().is_empty() => Some((shard, event)),
            free => {
                let mut inbox = self.inbox.lock();
                inbox.push_back(event);
                let full = inbox.len() > MAX_INBOX;
                drop(inbox);
                match free {
                    Some(shard) => return self.drive(shard, None),
                    None if full && may_wait => return self.drive(self.shard.lock(), None),
                    None => None,
                }
            }
        };
        match first {
            Some((shard, event)) => self.drive(shard, Some(event)),
            None => {
                if let Some(shard) = self.shard.try_lock() {
                    self.drive(shard, None);
                }
            }
        }
    }

    fn drive<'a>(self: &'a Arc<Self>, mut shard: MutexGuard<'a, Shard<M>>, mut event: Option<Event<M>>) {
        let mut effects = Vec::new();
        loop {
            let image = Arc::clone(&self.images.borrow());
            let now = self.shared.clock.now();
            while let Some(next) = event.take().or_else(|| self.inbox.lock().pop_front()) {
                let failed = matches!(next, Event::Failed(_));
                shard.handle(next, &image, now, &mut effects);
                for effect in effects.drain(..) {
                    self.execute(effect, now);
                }
                if failed && shard.is_resigned() && !self.is_resigned() {
                    *shard = Shard::loading((self.make)(), shard.next_append());
                    loading::begin(self);
                }
            }
            let deadline = u64::try_from(shard.next_deadline().since_start().as_nanos()).unwrap_or(u64::MAX);
            if self.next_deadline.swap(deadline, Ordering::SeqCst) != deadline {
                self.shared.timers.arm(deadline);
            }
            drop(shard);
            // Somebody may have left an event between the last look and the unlock, and found the lock taken.
            if self.inbox.lock().is_empty() {
                return;
            }
            match self.shard.try_lock() {
                Some(again) => shard = again,
                None => return,
            }
        }
    }

    fn execute(self: &Arc<Self>, effect: Effect<M>, now: Now) {
        match effect {
            Effect::Reply { waiter, outcome } => M::answer(waiter, outcome),
            Effect::Append { id, records } => {
                let host = Arc::clone(self);
                let slot = AppendSlot::new(move |committed| {
                    host.submit(if committed { Event::Committed(id) } else { Event::Failed(id) });
                });
                match batch::<M>(&records, self.shared.codec, now) {
                    Ok(batches) => self.partition.submit(ottla_replication::Event::Produce(Produce {
                        waiter: Waiter::Append(slot),
                        batches,
                        acks: Acks::All,
                        // Whether records that take long will be committed is known only when they are or the term ends.
                        deadline: Monotonic::NEVER,
                    })),
                    Err(error) => {
                        tracing::error!(
                            partition = ?self.partition,
                            error,
                            "a coordinator's records could not be written; its clients are told to look for it again, and it is loaded anew"
                        );
                    }
                }
            }
        }
    }
}

/// One batch of a coordinator's records, as they go into the log.
fn batch<M: Hosted>(records: &[M::Record], codec: Codec, now: Now) -> Result<ValidatedBatches, String> {
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        let (key, value) = M::encode(record)?;
        builder.push(Some(now.wall), Some(&key), value.as_deref(), &[]);
    }
    let batch: Bytes = builder.build().map_err(|error| error.to_string())?;
    validate(batch, &RULES, now.wall).map_err(|error| error.to_string())
}

/// What a coordinator's batches are checked against. They may be larger than `max.message.bytes`: refused, the shard would be
/// loaded again without end; a reader gets the first batch of a fetch whole, however large (KIP-74).
const RULES: ProduceRules = ProduceRules {
    origin: Origin::Coordinator,
    max_batch_bytes: usize::MAX,
    timestamp_type: TimestampType::CreateTime,
    before_max_ms: i64::MAX,
    after_max_ms: i64::MAX,
    compression: None,
    compacted: true,
    allow_zstd: true,
    max_decompressed_bytes: usize::MAX,
};

impl<M: Hosted> fmt::Debug for ShardHost<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in term {}", self.partition, self.epoch)
    }
}
