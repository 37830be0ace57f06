//! A consumer's settings.

use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Offset, Timestamp};
use ottla_rpc::v1;

use super::{Consumer, Key};
use crate::client::Client;
use crate::error::Error;
use crate::size::ByteSize;

/// A place in a partition.
///
/// ```
/// use ottla_client::{Offset, Start, Timestamp};
///
/// let places = [Start::Earliest, Start::Offset(Offset::new(41)), Start::At(Timestamp::from_millis(1_700_000_000_000))];
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// The first record the log still holds.
    Earliest,
    /// Behind the last record a consumer may read.
    Latest,
    /// This offset.
    Offset(Offset),
    /// The first record whose timestamp is this or later; if there is none, the end.
    At(Timestamp),
    /// The record with the highest timestamp (KIP-734).
    MaxTimestamp,
}

impl Start {
    pub(crate) fn to_v1(self, topic: &str, partition: i32) -> v1::FetchPartition {
        use v1::position::At;
        let at = match self {
            Self::Earliest => At::Landmark(v1::Landmark::Earliest.into()),
            Self::Latest => At::Landmark(v1::Landmark::Latest.into()),
            Self::Offset(offset) => At::Offset(offset.get()),
            Self::At(timestamp) => At::TimestampMs(timestamp.millis()),
            Self::MaxTimestamp => At::Landmark(v1::Landmark::MaxTimestamp.into()),
        };
        let from = Some(v1::Position { at: Some(at) });
        v1::FetchPartition { topic: topic.to_owned(), partition, from }
    }
}

/// Up to where a consumer reads.
///
/// ```no_run
/// # fn set(builder: ottla_client::ConsumerBuilder) {
/// let builder = builder.isolation(ottla_client::Isolation::ReadCommitted);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Every record that is safe (up to the high watermark), those of open and aborted transactions too.
    ReadUncommitted,
    /// Records outside transactions and of committed ones.
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn to_v1(self) -> v1::Isolation {
        match self {
            Self::ReadUncommitted => v1::Isolation::ReadUncommitted,
            Self::ReadCommitted => v1::Isolation::ReadCommitted,
        }
    }
}

/// What happens when a consumer wants an offset that the log does not hold: it fell behind the retention, or asked for one
/// past the end.
///
/// ```no_run
/// # fn set(builder: ottla_client::ConsumerBuilder) {
/// let builder = builder.on_out_of_range(ottla_client::OutOfRange::Earliest);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// The stream yields OFFSET_OUT_OF_RANGE with the log's start; the caller [seeks](Consumer::seek).
    Fail,
    /// It goes on at the first record the log still holds. Records may have been missed.
    Earliest,
    /// It goes on at the end. Records are missed.
    Latest,
}

/// Settings of a [`Consumer`], from [`Client::consumer`].
///
/// ```no_run
/// use ottla_client::{ByteSize, Isolation, OutOfRange, Start};
///
/// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
/// let consumer = client
///     .consumer()
///     .partition("orders", 0, Start::Earliest)
///     .partition("orders", 1, Start::Latest)
///     .isolation(Isolation::ReadCommitted)
///     .on_out_of_range(OutOfRange::Earliest)
///     .prefetch(ByteSize::mib(8))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ConsumerBuilder {
    client: Client,
    partitions: Vec<(Key, Start)>,
    settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) isolation: Isolation,
    pub(super) out_of_range: OutOfRange,
    pub(super) prefetch: ByteSize,
    pub(super) max_message: ByteSize,
    pub(super) max_batch: ByteSize,
    pub(super) give_up_after: Duration,
    pub(super) stop_at_end: bool,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client) -> Self {
        let settings = Settings {
            isolation: Isolation::ReadUncommitted,
            out_of_range: OutOfRange::Fail,
            prefetch: ByteSize::mib(4),
            max_message: ByteSize::mib(1),
            max_batch: ByteSize::mib(128),
            give_up_after: Duration::from_secs(60),
            stop_at_end: false,
        };
        Self { client, partitions: Vec::new(), settings }
    }

    /// Adds a partition, and where to begin in it.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ConsumerBuilder) {
    /// let builder = builder.partition("orders", 0, ottla_client::Start::Latest);
    /// # }
    /// ```
    #[must_use]
    pub fn partition(mut self, topic: impl Into<Arc<str>>, partition: i32, start: Start) -> Self {
        self.partitions.push((Key { topic: topic.into(), partition }, start));
        self
    }

    /// Up to where it reads. [`Isolation::ReadUncommitted`] unless set, as with Kafka's clients.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ConsumerBuilder) {
    /// let builder = builder.isolation(ottla_client::Isolation::ReadCommitted);
    /// # }
    /// ```
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.settings.isolation = isolation;
        self
    }

    /// What happens when the log does not hold the offset wanted. [`OutOfRange::Fail`] unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ConsumerBuilder) {
    /// let builder = builder.on_out_of_range(ottla_client::OutOfRange::Earliest);
    /// # }
    /// ```
    #[must_use]
    pub fn on_out_of_range(mut self, policy: OutOfRange) -> Self {
        self.settings.out_of_range = policy;
        self
    }

    /// Bytes that the broker may send ahead of the reader, as they are stored: compressed. 4 MiB unless set. The batch
    /// being read comes on top, decompressed.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ConsumerBuilder) {
    /// let builder = builder.prefetch(ottla_client::ByteSize::mib(16));
    /// # }
    /// ```
    #[must_use]
    pub fn prefetch(mut self, size: ByteSize) -> Self {
        self.settings.prefetch = size;
        self
    }

    /// The largest batch taken, on the wire and decompressed: the bound on what a hostile batch can make of the reader's
    /// memory. 128 MiB unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ConsumerBuilder) {
    /// let builder = builder.max_batch_size(ottla_client::ByteSize::mib(16));
    /// # }
    /// ```
    #[must_use]
    pub fn max_batch_size(mut self, size: ByteSize) -> Self {
        self.settings.max_batch = size;
        self
    }

    /// How long it tries to reach a broker, again and again, before the stream yields [`Error::TimedOut`]; polled on, it
    /// goes on trying. 1 minute unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ConsumerBuilder) {
    /// let builder = builder.give_up_after(std::time::Duration::from_secs(5));
    /// # }
    /// ```
    #[must_use]
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.settings.give_up_after = time;
        self
    }

    /// Makes the stream end once every partition has been read up to the end that it had when reading began.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ConsumerBuilder) {
    /// let builder = builder.stop_at_end();
    /// # }
    /// ```
    #[must_use]
    pub fn stop_at_end(mut self) -> Self {
        self.settings.stop_at_end = true;
        self
    }

    /// The consumer. It connects when it is first polled.
    ///
    /// # Errors
    /// [`Error::Config`]
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use ottla_client::{Client, Start};
    ///
    /// let client = Client::builder().bootstrap("http://127.0.0.1:9095").build()?;
    /// let twice = client.consumer().partition("a", 0, Start::Earliest).partition("a", 0, Start::Latest);
    /// assert_eq!(twice.build().unwrap_err().to_string(), "partition() a-0 is given twice");
    /// # Ok::<(), ottla_client::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn build(self) -> Result<Consumer, Error> {
        let Self { client, partitions, settings } = self;
        let config = |setting, reason| Err(Error::Config { setting, reason });
        // HTTP/2's own minimum, below which a stream would crawl.
        if settings.prefetch < ByteSize::kib(64) {
            return config("prefetch()", "must be at least 64 KiB".to_owned());
        }
        let mut consumer = Consumer::new(client.dedicated(settings.prefetch), settings);
        for (key, start) in partitions {
            if consumer.is_assigned(&key) {
                return config("partition()", format!("{}-{} is given twice", key.topic, key.partition));
            }
            consumer.assign(key.topic, key.partition, start);
        }
        Ok(consumer)
    }
}
