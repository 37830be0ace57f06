//! Publishing: check the batches outside any lock, append, and wait for the marks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ottla_record::error::BatchError;
use ottla_record::produce::{ProduceRules, validate};
use ottla_replication::{Acks, Event, Produce, Produced};

use crate::completion::{Ticket, Waiter, ticket};
use crate::host::FlushBy;
use crate::node::Node;
use crate::topics::{LookupError, TopicKey};

/// One producer's batches for one partition.
#[derive(Debug)]
pub struct ProduceItem<'a> {
    /// Which topic.
    pub topic: TopicKey<'a>,
    /// Number of the partition, as the client sent it.
    pub partition: i32,
    /// Record batches (v2), untouched.
    pub records: Bytes,
}

/// Who publishes, and how.
#[derive(Clone, Copy, Debug)]
pub struct ProduceOptions {
    /// What the answer waits for.
    pub acks: Acks,
    /// How long it waits.
    pub timeout: Duration,
    /// Number of the client's connection.
    pub connection: ConnectionId,
    /// True if the connection has no other request waiting.
    pub alone: bool,
    /// Whether this client may send zstd (Produce from version 7, KIP-110).
    pub zstd_allowed: bool,
    /// Whether this client may write to topics that only brokers write to.
    pub internal_topics_allowed: bool,
}

/// Number of a client's connection within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// A number that no connection has had yet, on whatever front door. 0 is never given out.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The answer for one partition.
pub type ProduceOutcome = Result<Produced, ProduceError>;

/// Why records were not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The partition is not here.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Only brokers write to this topic; nothing was written.
    #[error("Cannot append to internal topic")]
    InternalTopic,
    /// The batches are not acceptable; nothing was written.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The partition refused or could not confirm them.
    #[error(transparent)]
    Partition(#[from] ottla_replication::ProduceError),
}

impl Node {
    /// Appends each item to its partition. The ticket's outcomes stand in the order of the items; `None` stands for a
    /// partition that was closed meanwhile.
    pub fn produce<'a>(
        &self,
        options: ProduceOptions,
        items: impl ExactSizeIterator<Item = ProduceItem<'a>>,
    ) -> Ticket<ProduceOutcome> {
        let count = items.len();
        let (ticket, slots) = ticket(count);
        let lone = self.lone_client.is_lone(options.connection) && options.alone && count == 1;
        let flush_by = if lone { FlushBy::Caller } else { FlushBy::Coordinator };
        let topics = self.topics();
        for (item, slot) in items.zip(slots) {
            let settled = topics
                .topic(item.topic)
                .and_then(|topic| Ok((topic, topic.partition(item.partition)?)))
                .map_err(ProduceError::Lookup)
                .and_then(|(topic, host)| {
                    let traffic = topic.traffic();
                    traffic.produces.inc();
                    if topic.is_internal() && !options.internal_topics_allowed {
                        traffic.produces_failed.inc();
                        return Err(ProduceError::InternalTopic);
                    }
                    let settings = topic.settings();
                    let now = self.clock().now();
                    let rules = ProduceRules { allow_zstd: options.zstd_allowed, ..settings.produce };
                    let batches = validate(item.records, &rules, now.wall)
                        .inspect_err(|_| traffic.produces_failed.inc())?;
                    let deadline = now.monotonic + options.timeout;
                    Ok((host, batches, deadline))
                });
            match settled {
                Ok((host, batches, deadline)) => {
                    let waiter = Waiter::Produce(slot);
                    let produce = Produce { waiter, batches, acks: options.acks, deadline };
                    host.submit_with(Event::Produce(produce), flush_by);
                }
                Err(error) => slot.complete(Err(error)),
            }
        }
        ticket
    }
}

/// Recognises a client that publishes alone, one request at a time.
///
/// For such a client the worker syncs inline: that saves two thread wakes, more than half of the request's cost. Without
/// the rule of [`LONE_STREAK`] it would ruin the grouping of flushes among several clients.
#[derive(Debug, Default)]
pub(crate) struct LoneClient {
    /// Connection number in the upper bits, length of its streak in the lower eight.
    last: AtomicU64,
}

/// Requests in a row from one connection that make it a lone client.
pub const LONE_STREAK: u64 = 8;

impl LoneClient {
    fn is_lone(&self, connection: ConnectionId) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let streak = if last >> 8 == connection.0 { (last & 0xff) + 1 } else { 1 }.min(LONE_STREAK + 1);
        // A race between two clients loses a count; it then takes one more request to know.
        self.last.store(connection.0 << 8 | streak, Ordering::Relaxed);
        streak > LONE_STREAK
    }
}
