//! Reading: assigned partitions as one stream of records.
//!
//! | module | what it holds |
//! |---|---|
//! | `settings` | the builder, and the choices it takes |
//! | `message` | from a broker's message to records (pure) |

mod message;
mod settings;

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use ottla_record::Offset;
use ottla_rpc::v1::log_client::LogClient;
use ottla_rpc::{KafkaError, v1};
use tokio::time::{Sleep, sleep, timeout};
use tonic::{Status, Streaming};

pub use settings::{ConsumerBuilder, Isolation, OutOfRange, Start};

use crate::client::{Client, with_deadline};
use crate::connection::Picked;
use crate::error::Error;
use crate::record::ConsumerRecord;
use crate::trouble::Trouble;
pub(crate) use message::Message;
use settings::Settings;

/// Beyond a batch, what a message takes.
const MESSAGE_OVERHEAD: usize = 1 << 20;

/// Reads assigned partitions, as a [`Stream`] of records.
///
/// The records of one partition come in the order of their offsets, each once, also across broken connections and
/// restarts of brokers: it goes on behind the last record it gave. It has no task of its own: it reads while it is polled,
/// and a broker sends ahead by [`prefetch`](ConsumerBuilder::prefetch) and no more. Dropping a future of
/// [`next`](Self::next) loses nothing.
///
/// After an error the stream can be polled on: it tries again from where it stands.
///
/// ```no_run
/// use ottla_client::{Client, Start};
///
/// # async fn run() -> Result<(), ottla_client::Error> {
/// let client = Client::connect("http://127.0.0.1:9095").await?;
/// let mut consumer = client.consumer().partition("orders", 0, Start::Earliest).build()?;
/// while let Some(record) = consumer.next().await {
///     let record = record?;
///     println!("{}: {:?}", record.offset, record.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    settings: Settings,
    partitions: BTreeMap<Key, Assigned>,
    phase: Phase,
    /// Records of the batch being read.
    records: VecDeque<ConsumerRecord>,
    /// What follows them.
    message: Option<Message>,
    /// Partitions whose end was reached and not told.
    ends: VecDeque<Key>,
    trouble: Trouble,
}

/// What a consumer meets.
///
/// ```no_run
/// use ottla_client::{Consumer, Event};
///
/// # async fn run(mut consumer: Consumer) -> Result<(), ottla_client::Error> {
/// while let Some(event) = consumer.next_event().await {
///     match event? {
///         Event::Record(record) => println!("{:?}", record.value),
///         Event::End { topic, partition, offset } => println!("{topic}-{partition}: no more for now, at {offset}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A record.
    Record(ConsumerRecord),
    /// Everything that can be read now has been read. Told once, and again after more records came.
    End {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// Where it ends.
        offset: Offset,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    topic: Arc<str>,
    partition: i32,
}

#[derive(Clone, Debug)]
struct Assigned {
    place: Place,
    paused: bool,
    high_watermark: Option<Offset>,
    /// With `stop_at_end`: where.
    stop: Option<Offset>,
    end_told: bool,
}

/// Where a partition is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be turned into an offset before the first fetch: a broken connection in between could otherwise make "the end"
    /// a later one, and the records before it would be missed.
    Named(Start),
    At(Offset),
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, Error>> + Send>>;

enum Phase {
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Opening(Opening),
    Reading(Picked, Box<Streaming<v1::FetchResponse>>),
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Waiting(_) => "Waiting",
            Self::Opening(_) => "Opening",
            Self::Reading(..) => "Reading",
        })
    }
}

struct Opened {
    picked: Picked,
    stream: Streaming<v1::FetchResponse>,
    /// Where each partition begins, and its end now.
    places: Vec<(Key, Offset, Offset)>,
}

impl Consumer {
    fn new(client: Client, settings: Settings) -> Self {
        Self {
            trouble: Trouble::new(client.backoff()),
            client,
            settings,
            partitions: BTreeMap::new(),
            phase: Phase::Idle,
            records: VecDeque::new(),
            message: None,
            ends: VecDeque::new(),
        }
    }

    /// The next record; `None` only with [`stop_at_end`](ConsumerBuilder::stop_at_end). Waits for as long as it takes
    /// while everything is well; with no partition to read, for ever.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE with [`OutOfRange::Fail`]; UNKNOWN_TOPIC_OR_PARTITION after 5 s; [`Error::TimedOut`] if no
    /// broker was reached for [`give_up_after`](ConsumerBuilder::give_up_after); [`Error::Batch`] for records that do not
    /// unpack.
    ///
    /// ```no_run
    /// # async fn run(mut consumer: ottla_client::Consumer) -> Result<(), ottla_client::Error> {
    /// if let Some(record) = consumer.next().await.transpose()? {
    ///     println!("{:?}", record.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<ConsumerRecord, Error>> {
        poll_fn(|cx| self.poll_record(cx)).await
    }

    /// The next record, or the notice that a partition has no more for now.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// ```no_run
    /// # async fn run(mut consumer: ottla_client::Consumer) -> Result<(), ottla_client::Error> {
    /// if let Some(ottla_client::Event::End { offset, .. }) = consumer.next_event().await.transpose()? {
    ///     println!("caught up at {offset}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_event(&mut self) -> Option<Result<Event, Error>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Adds a partition, or moves one that is assigned already.
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::Consumer) {
    /// consumer.assign("orders", 1, ottla_client::Start::Earliest);
    /// # }
    /// ```
    pub fn assign(&mut self, topic: impl Into<Arc<str>>, partition: i32, start: Start) {
        let key = Key { topic: topic.into(), partition };
        let place = match start {
            Start::Offset(offset) => Place::At(offset),
            named => Place::Named(named),
        };
        let assigned = Assigned { place, paused: false, high_watermark: None, stop: None, end_told: false };
        self.partitions.insert(key, assigned);
        self.begin_anew();
    }

    /// Gives a partition up.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::Consumer) -> Result<(), ottla_client::Error> {
    /// consumer.unassign("orders", 1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn unassign(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        let key = Key { topic: topic.into(), partition };
        self.partitions.remove(&key).ok_or_else(|| not_assigned(topic, partition))?;
        self.begin_anew();
        Ok(())
    }

    /// Goes on at another place.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::Consumer) -> Result<(), ottla_client::Error> {
    /// use ottla_client::{Start, Timestamp};
    ///
    /// consumer.seek("orders", 0, Start::At(Timestamp::from_millis(1_700_000_000_000)))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn seek(&mut self, topic: &str, partition: i32, to: Start) -> Result<(), Error> {
        let assigned = self.assigned(topic, partition)?;
        assigned.place = match to {
            Start::Offset(offset) => Place::At(offset),
            named => Place::Named(named),
        };
        assigned.end_told = false;
        self.begin_anew();
        Ok(())
    }

    /// Gives no more records of a partition, until [`resume`](Self::resume). Its position stays.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::Consumer) -> Result<(), ottla_client::Error> {
    /// consumer.pause("orders", 0)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        self.set_paused(topic, partition, true)
    }

    /// Goes on with a paused partition, behind the last record it gave.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::Consumer) -> Result<(), ottla_client::Error> {
    /// consumer.resume("orders", 0)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        self.set_paused(topic, partition, false)
    }

    /// Where a partition is read next: behind the last record it gave. `None` if it is not assigned, or begins at a place
    /// that has not been looked up yet.
    ///
    /// ```no_run
    /// # fn run(consumer: &ottla_client::Consumer) {
    /// let saved = consumer.position("orders", 0);
    /// # }
    /// ```
    pub fn position(&self, topic: &str, partition: i32) -> Option<Offset> {
        match self.partitions.get(&Key { topic: topic.into(), partition })?.place {
            Place::At(offset) => Some(offset),
            Place::Named(_) => None,
        }
    }

    /// Topic, partition and position of everything assigned; see [`position`](Self::position).
    ///
    /// ```no_run
    /// # fn run(consumer: &ottla_client::Consumer) {
    /// for (topic, partition, position) in consumer.positions() {
    ///     println!("{topic}-{partition}: {position:?}");
    /// }
    /// # }
    /// ```
    pub fn positions(&self) -> impl Iterator<Item = (&str, i32, Option<Offset>)> {
        self.partitions.iter().map(|(key, assigned)| {
            let position = if let Place::At(offset) = assigned.place { Some(offset) } else { None };
            (&*key.topic, key.partition, position)
        })
    }

    /// End of what could be read of a partition when its broker last said; the lag is the difference to the position.
    ///
    /// ```no_run
    /// # fn run(consumer: &ottla_client::Consumer) {
    /// let lag = consumer.high_watermark("orders", 0).zip(consumer.position("orders", 0)).map(|(end, at)| end - at);
    /// # }
    /// ```
    pub fn high_watermark(&self, topic: &str, partition: i32) -> Option<Offset> {
        self.partitions.get(&Key { topic: topic.into(), partition })?.high_watermark
    }

    fn is_assigned(&self, key: &Key) -> bool {
        self.partitions.contains_key(key)
    }

    fn assigned(&mut self, topic: &str, partition: i32) -> Result<&mut Assigned, Error> {
        let key = Key { topic: topic.into(), partition };
        self.partitions.get_mut(&key).ok_or_else(|| not_assigned(topic, partition))
    }

    fn set_paused(&mut self, topic: &str, partition: i32, paused: bool) -> Result<(), Error> {
        let assigned = self.assigned(topic, partition)?;
        if assigned.paused != paused {
            assigned.paused = paused;
            self.begin_anew();
        }
        Ok(())
    }

    /// Forgets what is read ahead. Positions stand behind what was given, so nothing is missed.
    fn begin_anew(&mut self) {
        self.records.clear();
        self.message = None;
        self.ends.clear();
        self.phase = Phase::Idle;
        self.trouble.is_over();
    }

    fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ConsumerRecord, Error>>> {
        loop {
            match ready!(self.poll_event(cx)) {
                Some(Ok(Event::Record(record))) => return Poll::Ready(Some(Ok(record))),
                Some(Ok(Event::End { .. })) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            if let Some(event) = self.unpack() {
                return Poll::Ready(Some(event));
            }
            let failure = match &mut self.phase {
                Phase::Idle => {
                    if self.settings.stop_at_end && self.all_read() {
                        return Poll::Ready(None);
                    }
                    let Some(opening) = self.open() else { return Poll::Pending };
                    self.phase = Phase::Opening(opening);
                    continue;
                }
                Phase::Waiting(wait) => {
                    ready!(wait.as_mut().poll(cx));
                    self.phase = Phase::Idle;
                    continue;
                }
                Phase::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(opened) => {
                        self.opened(opened);
                        continue;
                    }
                    Err(error) => error,
                },
                Phase::Reading(picked, stream) => match ready!(Pin::new(stream).poll_next(cx)) {
                    Some(Ok(response)) => {
                        self.trouble.is_over();
                        self.received(response);
                        continue;
                    }
                    None if self.settings.stop_at_end => return Poll::Ready(None),
                    None => self.client.failure(picked, &Status::unavailable("the broker ended the stream")),
                    Some(Err(status)) => self.client.failure(picked, &status),
                },
            };
            if let Some(error) = self.after(failure) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// What is already here.
    fn unpack(&mut self) -> Option<Result<Event, Error>> {
        loop {
            while let Some(record) = self.records.pop_front() {
                let key = Key { topic: record.topic.clone(), partition: record.partition };
                let Some(assigned) = self.partitions.get_mut(&key) else { continue };
                if assigned.stop.is_some_and(|stop| record.offset >= stop) {
                    continue;
                }
                assigned.place = Place::At(record.offset.next());
                assigned.end_told = false;
                return Some(Ok(Event::Record(record)));
            }
            if let Some(key) = self.ends.pop_front()
                && let Some(offset) = self.position(&key.topic, key.partition)
            {
                return Some(Ok(Event::End { topic: key.topic, partition: key.partition, offset }));
            }
            let message = self.message.as_mut()?;
            let key = Key { topic: message.topic.clone(), partition: message.partition };
            let Some(assigned) = self.partitions.get_mut(&key) else {
                self.message = None;
                continue;
            };
            let from = if let Place::At(offset) = assigned.place { offset } else { Offset::ZERO };
            match message.next_batch(from, self.settings.max_batch) {
                Ok(Some(records)) => self.records.extend(records),
                Ok(None) => {
                    assigned.place = Place::At(from.max(message.next_offset));
                    self.message = None;
                    self.look_for_end(key);
                }
                Err(reason) => {
                    let Key { topic, partition } = key;
                    let error = Error::Batch { topic: topic.to_string(), partition, offset: from, reason };
                    self.wait_a_little();
                    return Some(Err(error));
                }
            }
        }
    }

    fn received(&mut self, response: v1::FetchResponse) {
        let key = Key { topic: response.topic.as_str().into(), partition: response.partition };
        let Some((known, _)) = self.partitions.get_key_value(&key) else { return };
        let topic = known.topic.clone();
        if let Some(assigned) = self.partitions.get_mut(&key) {
            assigned.high_watermark = Some(Offset::new(response.high_watermark));
        }
        self.message = Some(Message::new(topic, response));
    }

    fn look_for_end(&mut self, key: Key) {
        let Some(assigned) = self.partitions.get_mut(&key) else { return };
        if !assigned.end_told && at_end(assigned) {
            assigned.end_told = true;
            self.ends.push_back(key);
        }
        if self.settings.stop_at_end && self.all_read() {
            self.phase = Phase::Idle;
        }
    }

    fn all_read(&self) -> bool {
        let read = |assigned: &Assigned| {
            assigned.stop.is_some_and(|stop| matches!(assigned.place, Place::At(offset) if offset >= stop))
        };
        !self.partitions.is_empty() && self.partitions.values().filter(|a| !a.paused).all(read)
    }

    fn open(&self) -> Option<Opening> {
        let wanted: Vec<(Key, Place)> = self
            .partitions
            .iter()
            .filter(|(_, assigned)| !assigned.paused)
            .map(|(key, assigned)| (key.clone(), assigned.place))
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let (client, settings) = (self.client.clone(), self.settings.clone());
        Some(Box::pin(async move { open(&client, &settings, wanted).await }))
    }

    fn opened(&mut self, opened: Opened) {
        let Opened { picked, stream, places } = opened;
        for (key, begin, end) in places {
            let Some(assigned) = self.partitions.get_mut(&key) else { continue };
            assigned.place = Place::At(begin);
            assigned.high_watermark = Some(end);
            if self.settings.stop_at_end {
                assigned.stop.get_or_insert(end);
            }
            self.look_for_end(key);
        }
        tracing::debug!(address = &*picked.address, partitions = self.partitions.len(), "reading");
        self.phase = Phase::Reading(picked, Box::new(stream));
    }

    /// What to do about a failure; `Some` if the caller is to hear of it.
    fn after(&mut self, error: Error) -> Option<Error> {
        tracing::debug!(%error, "reading was interrupted");
        self.wait_a_little();
        if error.is(KafkaError::OFFSET_OUT_OF_RANGE) {
            return self.out_of_range(error);
        }
        self.trouble.tell(error, self.settings.give_up_after, "reaching a broker")
    }

    fn out_of_range(&mut self, error: Error) -> Option<Error> {
        let to = match self.settings.out_of_range {
            OutOfRange::Fail => return Some(error),
            OutOfRange::Earliest => Start::Earliest,
            OutOfRange::Latest => Start::Latest,
        };
        let (Some(topic), Some(partition)) = (error.topic(), error.partition()) else { return Some(error) };
        let Ok(assigned) = self.assigned(topic, partition) else { return Some(error) };
        tracing::warn!(topic, partition, %error, "the log does not hold the offset; going on at the {to:?}");
        assigned.place = Place::Named(to);
        None
    }

    fn wait_a_little(&mut self) {
        self.records.clear();
        self.message = None;
        self.phase = Phase::Waiting(Box::pin(sleep(self.trouble.wait())));
    }
}

impl Stream for Consumer {
    type Item = Result<ConsumerRecord, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_record(cx)
    }
}

/// Looks up where to begin and where the ends are, and begins.
async fn open(client: &Client, settings: &Settings, wanted: Vec<(Key, Place)>) -> Result<Opened, Error> {
    let places = look_up(client, settings, wanted).await?;
    let partition =
        |(key, begin, _): &(Key, Offset, Offset)| Start::Offset(*begin).to_v1(&key.topic, key.partition);
    let request = v1::FetchRequest {
        partitions: places.iter().map(partition).collect(),
        format: v1::FetchFormat::Batches.into(),
        isolation: settings.isolation.to_v1().into(),
        max_message_bytes: Some(i32::try_from(settings.max_message.get()).unwrap_or(i32::MAX)),
        stop_at_end: settings.stop_at_end,
    };
    let picked = client.connection().pick()?;
    let limit = settings.max_batch.get().saturating_add(MESSAGE_OVERHEAD);
    let mut log = LogClient::new(picked.channel.clone()).max_decoding_message_size(limit);
    // The stream itself has no deadline; that it begins has one.
    let within = client.request_timeout();
    match timeout(within, log.fetch(request)).await {
        Ok(Ok(response)) => Ok(Opened { picked, stream: response.into_inner(), places }),
        Ok(Err(status)) => Err(client.failure(&picked, &status)),
        Err(_) => {
            client.connection().failed(&picked);
            Err(Error::TimedOut { what: "beginning to read", after: within, maybe_sent: false, last: None })
        }
    }
}

async fn look_up(
    client: &Client,
    settings: &Settings,
    wanted: Vec<(Key, Place)>,
) -> Result<Vec<(Key, Offset, Offset)>, Error> {
    let mut partitions = Vec::new();
    for (key, place) in &wanted {
        partitions.push(Start::Latest.to_v1(&key.topic, key.partition));
        if let Place::Named(start) = place {
            partitions.push(start.to_v1(&key.topic, key.partition));
        }
    }
    let request = v1::ListOffsetsRequest { partitions, isolation: settings.isolation.to_v1().into() };
    let request = with_deadline(request, client.request_timeout());
    let answer = client
        .call_once("looking up offsets", |channel| async {
            LogClient::new(channel).list_offsets(request).await
        })
        .await?;
    let mut offsets = answer.offsets.into_iter();
    let mut next = || {
        let listed = offsets.next().ok_or_else(|| Error::Protocol("fewer offsets than places".to_owned()))?;
        crate::admin::listed(listed).map(|listed| listed.offset)
    };
    let mut places = Vec::new();
    for (key, place) in wanted {
        let end = next()?;
        let begin = match place {
            Place::At(offset) => offset,
            Place::Named(_) => next()?,
        };
        places.push((key, begin, end));
    }
    Ok(places)
}

fn at_end(assigned: &Assigned) -> bool {
    let Place::At(offset) = assigned.place else { return false };
    assigned.high_watermark.is_some_and(|end| offset >= end)
}

fn not_assigned(topic: &str, partition: i32) -> Error {
    Error::NotAssigned { topic: topic.to_owned(), partition }
}

#[cfg(test)]
mod tests;
