//! A producer's settings, checked: what its state machine goes by.

use std::time::Duration;

use ottla_record::Codec;

use crate::backoff::Backoff;

/// The broker remembers so many batches of each producer (Kafka's `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`): with more
/// in flight it could not recognise every repetition.
pub(crate) const MAX_IN_FLIGHT: usize = 5;

/// See [`ProducerBuilder`](super::ProducerBuilder) for what each means.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) linger: Duration,
    pub(crate) batch_bytes: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) delivery_timeout: Duration,
    /// How long a topic may be unknown before its records are given up.
    pub(crate) topic_timeout: Duration,
    /// After this the number of partitions is looked up again.
    pub(crate) topic_max_age: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) codec: Codec,
    pub(crate) idempotent: bool,
}
