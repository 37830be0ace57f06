//! Which shards this broker hosts: an immutable table, replaced when the metadata changes.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ottla_coordination::metadata::Image;
use ottla_coordination::shard::Event;
use ottla_record::{BrokerId, Codec};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::coordinator::Hosted;
use crate::coordinator::shard_host::ShardHost;
use crate::coordinator::timers::Timers;
use crate::metrics::coordinator::CoordinatorMetrics;
use crate::ports::Clock;
use crate::topics::{TopicKey, TopicTable};

/// What all shards of a broker share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    /// Loads begin on threads that are not the runtime's, too.
    pub(crate) runtime: Handle,
    pub(crate) timers: Timers,
    /// Loads at a time.
    pub(crate) loads: Semaphore,
    /// What batches are written with.
    pub(crate) codec: Codec,
    /// How much of a log is read at once.
    pub(crate) load_buffer_bytes: usize,
    pub(crate) metrics: CoordinatorMetrics,
}

/// By partition number.
type Table<M> = Vec<Option<Arc<ShardHost<M>>>>;

/// The shards of one coordinator: one for each partition of its topic that this broker leads.
pub(crate) struct Shards<M: Hosted> {
    topic: &'static str,
    own: BrokerId,
    make: Arc<dyn Fn() -> M + Send + Sync>,
    images: watch::Receiver<Arc<Image>>,
    table: ArcSwap<Table<M>>,
    pub(crate) shared: Arc<Shared>,
}

impl<M: Hosted> Shards<M> {
    /// No shards yet.
    pub(crate) fn new(
        topic: &'static str,
        own: BrokerId,
        images: watch::Receiver<Arc<Image>>,
        shared: Arc<Shared>,
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        Self { topic, own, make: Arc::new(make), images, table: ArcSwap::default(), shared }
    }

    /// Partitions of the topic; 0 while there is none.
    pub(crate) fn partition_count(&self) -> usize {
        self.table.load().len()
    }

    /// The shard of a partition, if this broker leads it.
    pub(crate) fn of(&self, partition: usize) -> Option<Arc<ShardHost<M>>> {
        self.table.load().get(partition).cloned().flatten()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<ShardHost<M>>> {
        self.table.load().iter().flatten().cloned().collect()
    }

    /// Follows an image that the hosted partitions follow already: shards begin, resign, and look at what is new. One caller at a time.
    pub(crate) fn follow(&self, topics: &TopicTable, image: &Image) {
        let before = self.table.load_full();
        let table: Table<M> = match (image.topic(self.topic), topics.topic(TopicKey::Name(self.topic))) {
            (Some(topic), Ok(hosted)) => {
                let slots = topic.partitions().zip(hosted.partitions());
                let shards = slots.enumerate().map(|(at, ((_, partition), slot))| {
                    let host = slot.host().filter(|_| partition.leader == Some(self.own))?;
                    let known = before.get(at).cloned().flatten().filter(|known| {
                        known.epoch() == partition.leader_epoch && Arc::ptr_eq(known.partition(), host)
                    });
                    Some(known.unwrap_or_else(|| {
                        let (make, images) = (Arc::clone(&self.make), self.images.clone());
                        let host = Arc::clone(host);
                        ShardHost::start(host, partition.leader_epoch, make, images, Arc::clone(&self.shared))
                    }))
                });
                shards.collect()
            }
            _ => Vec::new(),
        };
        self.table.store(Arc::new(table));
        let now = self.table.load_full();
        for old in before.iter().flatten() {
            let kept = now.iter().flatten().any(|shard| Arc::ptr_eq(shard, old));
            if kept {
                old.submit(Event::Tick);
            } else {
                old.resign();
            }
        }
        // What was waited for may be gone.
        self.shared.timers.arm(0);
    }

    /// Stops all of them: whoever waits is told to look for another coordinator.
    pub(crate) fn resign_all(&self) {
        self.table.load().iter().flatten().for_each(ShardHost::resign);
        self.shared.timers.arm(0);
    }
}

impl<M: Hosted> fmt::Debug for Shards<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("topic", &self.topic).finish_non_exhaustive()
    }
}
