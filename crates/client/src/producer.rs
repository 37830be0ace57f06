//! Publishing: batches per partition, compression, idempotence, retries, back-pressure.
//!
//! | module | what it holds |
//! |---|---|
//! | `partition` | one partition: batches, sequences, retries, gaps (pure) |
//! | `topics` | partitions' numbers, the sticky partitioner (pure) |
//! | `machine` | all partitions, topics and the producer id, with their timers (pure) |
//! | `driver` | the task between the machine, the callers and the broker |
//! | `delivery` | what callers hold and get |

mod delivery;
mod driver;
mod limits;
mod machine;
mod partition;
mod topics;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_record::{Codec, Timestamp};
use ottla_rpc::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};
use tokio::time::timeout_at;
use tracing::Instrument as _;

pub use delivery::{Delivery, Sent, TrySendError};

use crate::backoff::Random;
use crate::client::Client;
use crate::error::Error;
use crate::record::ProducerRecord;
use crate::size::ByteSize;
use driver::{Clock, Command, Driver};
use limits::{Limits, MAX_IN_FLIGHT};
use machine::Machine;
use partition::Pending;

/// Records between the callers and the producer's task, at most; their bytes are bounded by the buffer.
const COMMANDS: usize = 1024;
/// An unknown topic's records are given up after this: long enough for a topic that is being created.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(5);
/// As Kafka's `metadata.max.age.ms`.
const TOPIC_MAX_AGE: Duration = Duration::from_secs(300);

/// Publishes records. Cheap to clone; clones share buffer, batches and connection.
///
/// A record goes through [`send`](Self::send), which waits for room in the buffer and gives a [`Sent`], a future of the
/// record's [`Delivery`]. A task in the background packs records of one partition into batches, compresses and sends
/// them, and repeats what failed until the delivery timeout. With idempotence, which is the default, each record is
/// written once and records of one partition in the order they were sent, whatever is repeated.
///
/// Dropping the last clone does not stop the task: it goes on delivering what was sent before, for as long as the runtime
/// lives. Call [`close`](Self::close) before the program ends, or what is still in the buffer is lost.
///
/// ```no_run
/// use ottla_client::{Client, ProducerRecord};
///
/// # async fn run() -> Result<(), ottla_client::Error> {
/// let client = Client::connect("http://127.0.0.1:9095").await?;
/// let producer = client.producer().build()?;
/// for number in 0..1_000 {
///     let sent = producer.send(ProducerRecord::to("numbers").value(number.to_string())).await?;
///     tokio::spawn(async move {
///         if let Err(error) = sent.await {
///             eprintln!("number {number}: {error}");
///         }
///     });
/// }
/// producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Producer {
    commands: mpsc::Sender<Command>,
    buffer: Arc<Semaphore>,
    buffer_size: ByteSize,
    clock: Clock,
    delivery_timeout: Duration,
}

/// Who waits for a record, and the record's room in the buffer.
#[derive(Debug)]
struct Waiter {
    reply: oneshot::Sender<Result<Delivery, Error>>,
    room: OwnedSemaphorePermit,
}

/// When a record counts as published.
///
/// ```no_run
/// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
/// let producer = client.producer().acks(ottla_client::Acks::Leader).idempotent(false).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Every in-sync replica has it; with the topic's `ottla.ack.durability=fsync`, on its disk.
    All,
    /// The leader has it. Needs [`idempotent(false)`](ProducerBuilder::idempotent).
    Leader,
}

impl Acks {
    fn to_v1(self) -> v1::Acks {
        match self {
            Self::All => v1::Acks::All,
            Self::Leader => v1::Acks::Leader,
        }
    }
}

/// Settings of a [`Producer`], from [`Client::producer`].
///
/// ```no_run
/// use std::time::Duration;
/// use ottla_client::{ByteSize, Codec};
///
/// # async fn run(client: ottla_client::Client) -> Result<(), ottla_client::Error> {
/// let producer = client
///     .producer()
///     .compression(Codec::Zstd { level: 3 })
///     .linger(Duration::from_millis(20))
///     .batch_size(ByteSize::kib(256))
///     .buffer(ByteSize::mib(64))
///     .delivery_timeout(Duration::from_secs(30))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProducerBuilder {
    client: Client,
    limits: Limits,
    buffer: ByteSize,
    acks: Acks,
    seed: Option<u64>,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client) -> Self {
        let limits = Limits {
            linger: Duration::from_millis(5),
            batch_bytes: ByteSize::kib(64).get(),
            max_in_flight: MAX_IN_FLIGHT,
            delivery_timeout: Duration::from_secs(120),
            topic_timeout: TOPIC_TIMEOUT,
            topic_max_age: TOPIC_MAX_AGE,
            backoff: client.backoff(),
            codec: Codec::None,
            idempotent: true,
        };
        Self { client, limits, buffer: ByteSize::mib(32), acks: Acks::All, seed: None }
    }

    /// How long a batch that is not full waits for more records. 5 ms unless set; with nothing to wait for, each record
    /// travels alone.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.linger(std::time::Duration::from_millis(20));
    /// # }
    /// ```
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.limits.linger = linger;
        self
    }

    /// The most that a batch takes before compression; a larger record travels in a batch of its own. 64 KiB unless set. A
    /// batch that is larger than the topic's `max.message.bytes` is split and sent again.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.batch_size(ottla_client::ByteSize::kib(256));
    /// # }
    /// ```
    #[must_use]
    pub fn batch_size(mut self, size: ByteSize) -> Self {
        self.limits.batch_bytes = size.get();
        self
    }

    /// Batches of one partition that may be unanswered at once, 1 to 5. 5 unless set. Without idempotence, more than one
    /// means that a repeated batch may come behind a later one.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.max_in_flight(1);
    /// # }
    /// ```
    #[must_use]
    pub fn max_in_flight(mut self, batches: usize) -> Self {
        self.limits.max_in_flight = batches;
        self
    }

    /// The most that records take which were sent and not delivered; [`Producer::send`] waits when it is full. 32 MiB
    /// unless set. Batches on their way count a second time, in their compressed form.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.buffer(ottla_client::ByteSize::mib(64));
    /// # }
    /// ```
    #[must_use]
    pub fn buffer(mut self, size: ByteSize) -> Self {
        self.buffer = size;
        self
    }

    /// How long a record may take from [`Producer::send`] to its delivery, waits and repetitions included. 2 minutes
    /// unless set. After it the record has failed with [`Error::TimedOut`], which says whether it may have been written.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.delivery_timeout(std::time::Duration::from_secs(10));
    /// # }
    /// ```
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.limits.delivery_timeout = timeout;
        self
    }

    /// How batches are compressed. Not at all unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.compression(ottla_client::Codec::Lz4);
    /// # }
    /// ```
    #[must_use]
    pub fn compression(mut self, codec: Codec) -> Self {
        self.limits.codec = codec;
        self
    }

    /// What a delivery means. [`Acks::All`] unless set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.acks(ottla_client::Acks::Leader).idempotent(false);
    /// # }
    /// ```
    #[must_use]
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// Whether the broker recognises repetitions, so that each record is written once and in order (KIP-98). True unless
    /// set.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.idempotent(false);
    /// # }
    /// ```
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.limits.idempotent = idempotent;
        self
    }

    /// Makes the sticky partitioner's choices, and the jitter of waits, repeatable.
    ///
    /// ```no_run
    /// # fn set(builder: ottla_client::ProducerBuilder) {
    /// let builder = builder.seed(7);
    /// # }
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the producer. Must be called within a tokio runtime. It connects when there is something to send.
    ///
    /// # Errors
    /// [`Error::Config`]
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// use ottla_client::{Acks, Client};
    ///
    /// let client = Client::builder().bootstrap("http://127.0.0.1:9095").build()?;
    /// let error = client.producer().acks(Acks::Leader).build().unwrap_err();
    /// assert_eq!(error.to_string(), "acks() must be All with idempotence; add idempotent(false)");
    /// # Ok::<(), ottla_client::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn build(self) -> Result<Producer, Error> {
        self.check()?;
        let Self { client, limits, buffer: buffer_size, acks, seed } = self;
        let random = seed.map_or_else(Random::from_entropy, Random::seeded);
        let buffer = Arc::new(Semaphore::new(buffer_size.get()));
        let (sender, commands) = mpsc::channel(COMMANDS);
        let clock = Clock::start();
        let delivery_timeout = limits.delivery_timeout;
        let machine = Machine::new(limits, random);
        let driver = Driver { client, clock, machine, commands, buffer: buffer.clone(), acks };
        tokio::spawn(driver.run().instrument(tracing::debug_span!("producer")));
        Ok(Producer { commands: sender, buffer, buffer_size, clock, delivery_timeout })
    }

    fn check(&self) -> Result<(), Error> {
        let config = |setting, reason: &str| Err(Error::Config { setting, reason: reason.to_owned() });
        if !(1..=MAX_IN_FLIGHT).contains(&self.limits.max_in_flight) {
            return config(
                "max_in_flight()",
                "must be 1 to 5: the broker remembers the last 5 batches of a producer",
            );
        }
        if self.limits.idempotent && self.acks != Acks::All {
            return config("acks()", "must be All with idempotence; add idempotent(false)");
        }
        if self.limits.batch_bytes == 0 {
            return config("batch_size()", "must be more than nothing");
        }
        if self.buffer.get() < self.limits.batch_bytes || self.buffer.get() > Semaphore::MAX_PERMITS {
            return config("buffer()", "must hold at least one batch");
        }
        if self.limits.delivery_timeout <= self.limits.linger {
            return config("delivery_timeout()", "must be longer than linger()");
        }
        Ok(())
    }
}

impl Producer {
    /// Hands over a record, once there is room for it.
    ///
    /// If the future is dropped before it is ready, the record was not taken. Once it is ready, the record goes its way.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`], [`Error::Closed`]; [`Error::TimedOut`] if there was no room within the delivery timeout.
    ///
    /// ```no_run
    /// # async fn run(producer: ottla_client::Producer) -> Result<(), ottla_client::Error> {
    /// use ottla_client::ProducerRecord;
    ///
    /// let sent = producer.send(ProducerRecord::to("orders").key("customer-7").value("3 lamps")).await?;
    /// println!("written at {}", sent.await?.offset);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&self, record: ProducerRecord) -> Result<Sent, Error> {
        let size = self.check_size(&record)?;
        let created = self.clock.now();
        let deadline = self.clock.instant(created + self.delivery_timeout);
        let late = |_| Error::TimedOut {
            what: "waiting for room in the producer's buffer",
            after: self.delivery_timeout,
            maybe_sent: false,
            last: None,
        };
        let room = timeout_at(deadline, self.buffer.clone().acquire_many_owned(size)).await.map_err(late)?;
        let slot = timeout_at(deadline, self.commands.reserve()).await.map_err(late)?;
        let (pending, sent) = pending(record, room.map_err(|_| Error::Closed)?, created);
        slot.map_err(|_| Error::Closed)?.send(Command::Record(pending));
        Ok(sent)
    }

    /// Hands over a record if there is room for it now.
    ///
    /// # Errors
    /// The record comes back with [`Error::BufferFull`], [`Error::RecordTooLarge`] or [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn run(producer: ottla_client::Producer) {
    /// use ottla_client::{Error, ProducerRecord};
    ///
    /// match producer.try_send(ProducerRecord::to("clicks").value("42")) {
    ///     Ok(sent) => drop(sent),
    ///     Err(refused) if matches!(refused.error, Error::BufferFull(_)) => println!("one click less"),
    ///     Err(refused) => eprintln!("{refused}"),
    /// }
    /// # }
    /// ```
    pub fn try_send(&self, record: ProducerRecord) -> Result<Sent, TrySendError> {
        let refuse = |error, record| Err(TrySendError { error, record: Box::new(record) });
        let size = match self.check_size(&record) {
            Ok(size) => size,
            Err(error) => return refuse(error, record),
        };
        let room = match self.buffer.clone().try_acquire_many_owned(size) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => return refuse(Error::BufferFull(self.buffer_size), record),
            Err(TryAcquireError::Closed) => return refuse(Error::Closed, record),
        };
        let slot = match self.commands.try_reserve() {
            Ok(slot) => slot,
            Err(mpsc::error::TrySendError::Full(())) => {
                return refuse(Error::BufferFull(self.buffer_size), record);
            }
            Err(mpsc::error::TrySendError::Closed(())) => return refuse(Error::Closed, record),
        };
        let (pending, sent) = pending(record, room, self.clock.now());
        slot.send(Command::Record(pending));
        Ok(sent)
    }

    /// Sends a record and waits for its delivery.
    ///
    /// One record at a time means one batch at a time: where many are to go, [`send`](Self::send) them first and await
    /// their deliveries after.
    ///
    /// # Errors
    /// Those of [`send`](Self::send) and of the delivery.
    ///
    /// ```no_run
    /// # async fn run(producer: ottla_client::Producer) -> Result<(), ottla_client::Error> {
    /// let delivery = producer.publish(ottla_client::ProducerRecord::to("orders").value("3 lamps")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(&self, record: ProducerRecord) -> Result<Delivery, Error> {
        self.send(record).await?.await
    }

    /// Sends what was handed over before without lingering, and waits until each of those records is delivered or has
    /// failed: at most the delivery timeout.
    ///
    /// # Errors
    /// [`Error::Closed`]. Whether a record was delivered is told by its [`Sent`] alone.
    ///
    /// ```no_run
    /// # async fn run(producer: ottla_client::Producer) -> Result<(), ottla_client::Error> {
    /// producer.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self) -> Result<(), Error> {
        let (done, waiting) = oneshot::channel();
        self.commands.send(Command::Flush(done)).await.map_err(|_| Error::Closed)?;
        waiting.await.map_err(|_| Error::Closed)
    }

    /// Takes no more records, from any clone, and waits until each one is delivered or has failed: at most the delivery
    /// timeout.
    ///
    /// # Errors
    /// [`Error::Closed`] if it was closed before.
    ///
    /// ```no_run
    /// # async fn run(producer: ottla_client::Producer) -> Result<(), ottla_client::Error> {
    /// producer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) -> Result<(), Error> {
        let (done, waiting) = oneshot::channel();
        self.commands.send(Command::Close(done)).await.map_err(|_| Error::Closed)?;
        waiting.await.map_err(|_| Error::Closed)
    }

    fn check_size(&self, record: &ProducerRecord) -> Result<u32, Error> {
        let size = record.size();
        let too_large = Error::RecordTooLarge { size, max: self.buffer_size };
        if size > self.buffer_size {
            Err(too_large)
        } else {
            u32::try_from(size.get()).map_err(|_| too_large)
        }
    }
}

fn pending(
    record: ProducerRecord,
    room: OwnedSemaphorePermit,
    created: ottla_record::Monotonic,
) -> (Pending<Waiter>, Sent) {
    let (reply, outcome) = oneshot::channel();
    let timestamp = record.timestamp.unwrap_or_else(wall_clock);
    (Pending { record, timestamp, waiter: Waiter { reply, room }, created, generation: 0 }, Sent { outcome })
}

fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
