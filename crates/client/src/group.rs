//! Reading as a member of a group: the partitions come and go, the place in them is the group's.
//!
//! | module | what it holds |
//! |---|---|
//! | `settings` | the builder |
//! | `membership` | what the member owns, what it has received and not given, what it owes the broker (pure) |

mod membership;
mod settings;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use ottla_record::Offset;
use ottla_rpc::v1;
use ottla_rpc::v1::groups_client::GroupsClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

pub use settings::GroupConsumerBuilder;

use crate::client::Client;
use crate::connection::Picked;
use crate::consumer::Start;
use crate::error::Error;
use crate::record::ConsumerRecord;
use crate::trouble::Trouble;
use membership::Membership;
use settings::Settings;

/// Requests on their way to the broker. One that takes none for so long is not there.
const MAX_REQUESTS: usize = 1024;
/// Beyond a batch, what a message takes.
const MESSAGE_OVERHEAD: usize = 1 << 20;

/// A member of a consumer group: reads the partitions that the group gives it, as a [`Stream`] of records.
///
/// The group remembers how far it has read: what was [committed](Self::commit), by hand or, unless
/// [switched off](GroupConsumerBuilder::manual_commit), by itself. When a member dies, another one goes on there: every
/// record reaches the group at least once. By itself the consumer commits only records that the caller is done with: those
/// it gave before it was asked for the next.
///
/// It has no task of its own: it reads and answers while it is polled, and the broker keeps it alive in the group in
/// between. Give partitions back in time, though: a consumer that is not polled for longer than
/// [`rebalance_timeout`](GroupConsumerBuilder::rebalance_timeout) loses those that others shall have. A broken connection is
/// made anew: the consumer has then left the group and joins it again. Dropping it leaves the group; [`close`](Self::close)
/// commits first.
///
/// ```no_run
/// use ottla_client::Client;
///
/// # async fn run() -> Result<(), ottla_client::Error> {
/// let client = Client::connect("http://127.0.0.1:9095").await?;
/// let mut consumer = client.group("billing").topic("orders").build()?;
/// while let Some(record) = consumer.next().await {
///     println!("{:?}", record?.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    settings: Settings,
    phase: Phase,
    membership: Membership,
    /// When to commit next, once there is something to commit.
    commit_timer: Option<Pin<Box<Sleep>>>,
    /// Why the last stream ended, until that is dealt with.
    broken: Option<Error>,
    trouble: Trouble,
}

/// One partition of one topic.
///
/// ```
/// let partition = ottla_client::TopicPartition { topic: "orders".into(), partition: 3 };
/// assert_eq!(partition.to_string(), "orders-3");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What a member of a group meets.
///
/// ```no_run
/// use ottla_client::{GroupConsumer, GroupEvent};
///
/// # async fn run(mut consumer: GroupConsumer) -> Result<(), ottla_client::Error> {
/// while let Some(event) = consumer.next_event().await {
///     match event? {
///         GroupEvent::Record(record) => println!("{:?}", record.value),
///         GroupEvent::Assigned(partitions) => println!("now mine: {partitions:?}"),
///         // What is done is committed here; the next call gives the partitions back.
///         GroupEvent::Revoking(_) => consumer.commit().await?,
///         GroupEvent::Lost(partitions) => println!("another one's: {partitions:?}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// A record.
    Record(ConsumerRecord),
    /// Partitions that are this member's from now on.
    Assigned(Vec<TopicPartition>),
    /// Partitions that another member is to get. They are given back when the consumer is asked for the next event; until
    /// then their offsets can be committed. With automatic commit that is done already.
    Revoking(Vec<TopicPartition>),
    /// Partitions that are gone: this member was too slow, or the connection broke. What was not committed will come again,
    /// to whoever has them now.
    Lost(Vec<TopicPartition>),
}

type Opening = Pin<Box<dyn Future<Output = Result<Joined, Error>> + Send>>;

enum Phase {
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Opening(Opening),
    Joined(Box<Joined>),
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Waiting(_) => "Waiting",
            Self::Opening(_) => "Opening",
            Self::Joined(_) => "Joined",
        })
    }
}

/// A stream to a broker.
struct Joined {
    picked: Picked,
    stream: Streaming<v1::SubscribeResponse>,
    requests: mpsc::Sender<v1::SubscribeRequest>,
}

impl GroupConsumer {
    fn new(client: Client, settings: Settings) -> Self {
        let membership =
            Membership::new(settings.prefetch, settings.max_batch, settings.commit_interval.is_some());
        Self {
            trouble: Trouble::new(client.backoff()),
            client,
            settings,
            phase: Phase::Idle,
            membership,
            commit_timer: None,
            broken: None,
        }
    }

    /// The next record. Waits for as long as it takes while everything is well; never `None`.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    ///
    /// ```no_run
    /// # async fn run(mut consumer: ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// if let Some(record) = consumer.next().await.transpose()? {
    ///     println!("{:?}", record.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<ConsumerRecord, Error>> {
        poll_fn(|cx| self.poll_record(cx)).await
    }

    /// The next record, or what has become of the member's partitions.
    ///
    /// # Errors
    /// What the broker refuses, such as GROUP_MAX_SIZE_REACHED, UNRELEASED_INSTANCE_ID or INVALID_REGULAR_EXPRESSION;
    /// [`Error::TimedOut`] if no broker was reached for [`give_up_after`](GroupConsumerBuilder::give_up_after);
    /// [`Error::Batch`] for records that do not unpack. After an error the consumer can be polled on: it joins again. Where
    /// [`is_retriable`](Error::is_retriable) is false, that helps only once somebody has changed something.
    ///
    /// ```no_run
    /// # async fn run(mut consumer: ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// if let Some(ottla_client::GroupEvent::Assigned(partitions)) = consumer.next_event().await.transpose()? {
    ///     println!("{} partitions are mine now", partitions.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_event(&mut self) -> Option<Result<GroupEvent, Error>> {
        self.commit_if_due();
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Commits everything given so far: when this returns, it is safe.
    ///
    /// # Errors
    /// STALE_MEMBER_EPOCH where a partition has become another member's; [`Error::Unavailable`] or [`Error::TimedOut`] if
    /// no answer came, with the offsets committed or not.
    ///
    /// ```no_run
    /// # async fn run(mut consumer: ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// while let Some(record) = consumer.next().await.transpose()? {
    ///     println!("{:?}", record.value);
    ///     consumer.commit().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn commit(&mut self) -> Result<(), Error> {
        let offsets = self.membership.uncommitted();
        self.commit_and_wait(offsets).await
    }

    /// Commits given places: of each partition the next offset to read. Others stay as they are.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]; otherwise as [`commit`](Self::commit).
    ///
    /// ```no_run
    /// # async fn run(mut consumer: ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// if let Some(record) = consumer.next().await.transpose()? {
    ///     consumer.commit_offsets([(&*record.topic, record.partition, record.offset.next())]).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn commit_offsets<'a>(
        &mut self,
        offsets: impl IntoIterator<Item = (&'a str, i32, Offset)>,
    ) -> Result<(), Error> {
        let mut wanted = Vec::new();
        for (topic, partition, offset) in offsets {
            wanted.push((self.membership.key(topic, partition)?, offset));
        }
        self.commit_and_wait(wanted).await
    }

    /// Gives no more records of a partition, until [`resume`](Self::resume). Its place stays, and it stays this member's.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// consumer.pause("orders", 0)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        self.membership.pause(topic, partition)?;
        self.say();
        Ok(())
    }

    /// Goes on with a paused partition, behind the last record it gave.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// consumer.resume("orders", 0)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(&mut self, topic: &str, partition: i32) -> Result<(), Error> {
        self.membership.resume(topic, partition)?;
        self.say();
        Ok(())
    }

    /// Goes on at another place. What the group has committed stays until the next commit.
    ///
    /// # Errors
    /// [`Error::NotAssigned`]
    ///
    /// ```no_run
    /// # fn run(consumer: &mut ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// consumer.seek("orders", 0, ottla_client::Start::Earliest)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn seek(&mut self, topic: &str, partition: i32, to: Start) -> Result<(), Error> {
        self.membership.seek(topic, partition, to)?;
        self.say();
        Ok(())
    }

    /// The partitions that are this member's now.
    ///
    /// ```no_run
    /// # fn run(consumer: &ottla_client::GroupConsumer) {
    /// println!("{} partitions", consumer.assignment().count());
    /// # }
    /// ```
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.membership.assignment()
    }

    /// Where a partition is read next: behind the last record it gave. `None` if it is not this member's, or a
    /// [`seek`](Self::seek) is under way.
    ///
    /// ```no_run
    /// # fn run(consumer: &ottla_client::GroupConsumer) {
    /// let next = consumer.position("orders", 0);
    /// # }
    /// ```
    pub fn position(&self, topic: &str, partition: i32) -> Option<Offset> {
        self.membership.position(topic, partition)
    }

    /// The member's id in the group, once it has joined.
    ///
    /// ```no_run
    /// # fn run(consumer: &ottla_client::GroupConsumer) {
    /// println!("I am {:?}", consumer.member_id());
    /// # }
    /// ```
    pub fn member_id(&self) -> Option<&str> {
        self.membership.member_id()
    }

    /// Leaves the group. With automatic commit, everything given is committed first.
    ///
    /// # Errors
    /// Those of the commit. The group is left all the same.
    ///
    /// ```no_run
    /// # async fn run(consumer: ottla_client::GroupConsumer) -> Result<(), ottla_client::Error> {
    /// consumer.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(mut self) -> Result<(), Error> {
        let Phase::Joined(_) = &self.phase else { return Ok(()) };
        let committed = match self.settings.commit_interval {
            Some(_) => self.commit().await,
            None => Ok(()),
        };
        if let Phase::Joined(joined) = std::mem::replace(&mut self.phase, Phase::Idle) {
            let Joined { mut stream, requests, .. } = *joined;
            // The end of the requests is the farewell; the broker ends the stream when the member has left.
            drop(requests);
            let left = async { while let Ok(Some(_)) = stream.message().await {} };
            let _elapsed = timeout(self.client.request_timeout(), left).await;
        }
        committed
    }

    async fn commit_and_wait(&mut self, offsets: Vec<(TopicPartition, Offset)>) -> Result<(), Error> {
        if offsets.is_empty() {
            return Ok(());
        }
        let within = self.client.request_timeout();
        let Phase::Joined(joined) = &self.phase else {
            return Err(Error::unavailable(
                "the group",
                "the member is not in the group now".to_owned(),
                false,
            ));
        };
        let address = joined.picked.address.clone();
        let id = self.membership.commit(offsets);
        self.say();
        let answer = poll_fn(|cx| {
            self.receive(cx);
            match self.membership.take_answer(id) {
                Some(answer) => Poll::Ready(answer),
                None if matches!(self.phase, Phase::Joined(_)) => Poll::Pending,
                None => {
                    Poll::Ready(Err(Error::unavailable(&address, "the connection broke".to_owned(), true)))
                }
            }
        });
        let answered = timeout(within, answer).await;
        match answered {
            Ok(answer) => answer,
            Err(_) => {
                Err(Error::TimedOut { what: "committing", after: within, maybe_sent: true, last: None })
            }
        }
    }

    /// Everything given before this call is done with.
    fn commit_if_due(&mut self) {
        let is_due = self.commit_timer.as_ref().is_some_and(|timer| timer.deadline() <= Instant::now());
        if is_due && matches!(self.phase, Phase::Joined(_)) {
            self.commit_timer = None;
            self.membership.commit_by_itself();
            self.say();
        }
    }

    fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ConsumerRecord, Error>>> {
        self.commit_if_due();
        loop {
            match ready!(self.poll_event(cx)) {
                Some(Ok(GroupEvent::Record(record))) => return Poll::Ready(Some(Ok(record))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<GroupEvent, Error>>> {
        loop {
            self.receive(cx);
            if let Some(event) = self.membership.next_event() {
                self.say();
                self.arm();
                return Poll::Ready(Some(event));
            }
            // The event about partitions to give back has been seen, and what follows it is asked for.
            self.membership.release_if_ready();
            self.say();
            let failure = match self.broken.take() {
                Some(failure) => failure,
                None => match &mut self.phase {
                    Phase::Idle => {
                        self.phase = Phase::Opening(self.open());
                        continue;
                    }
                    Phase::Waiting(wait) => {
                        ready!(wait.as_mut().poll(cx));
                        self.phase = Phase::Idle;
                        continue;
                    }
                    Phase::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                        Ok(joined) => {
                            tracing::debug!(
                                address = &*joined.picked.address,
                                group = &*self.settings.group,
                                "joining"
                            );
                            self.phase = Phase::Joined(Box::new(joined));
                            continue;
                        }
                        Err(error) => error,
                    },
                    Phase::Joined(_) => {
                        self.arm();
                        let Some(timer) = &mut self.commit_timer else { return Poll::Pending };
                        ready!(timer.as_mut().poll(cx));
                        self.commit_if_due();
                        continue;
                    }
                },
            };
            if let Some(error) = self.after(failure) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Sets the time of the next automatic commit, if there is something to commit.
    fn arm(&mut self) {
        if let Some(interval) = self.settings.commit_interval
            && self.commit_timer.is_none()
            && self.membership.is_dirty()
        {
            self.commit_timer = Some(Box::pin(sleep_until(Instant::now() + interval)));
        }
    }

    /// Takes what the broker has sent.
    fn receive(&mut self, cx: &mut Context<'_>) {
        let failure = loop {
            let Phase::Joined(joined) = &mut self.phase else { return };
            match Pin::new(&mut joined.stream).poll_next(cx) {
                Poll::Pending => {
                    self.say();
                    return;
                }
                Poll::Ready(Some(Ok(response))) => {
                    self.trouble.is_over();
                    self.membership.received(response);
                }
                Poll::Ready(Some(Err(status))) => break self.client.failure(&joined.picked, &status),
                Poll::Ready(None) => {
                    break self
                        .client
                        .failure(&joined.picked, &Status::unavailable("the broker ended the stream"));
                }
            }
        };
        self.break_off(failure);
    }

    fn break_off(&mut self, failure: Error) {
        self.phase = Phase::Idle;
        self.membership.left();
        self.broken = Some(failure);
    }

    /// Sends what the member has to say.
    fn say(&mut self) {
        let Phase::Joined(joined) = &mut self.phase else { return };
        while let Some(request) = self.membership.next_request() {
            if joined.requests.try_send(request).is_err() {
                // Unless the stream has ended, and says why.
                if self.broken.is_none() {
                    let address = joined.picked.address.clone();
                    self.break_off(Error::unavailable(&address, "it takes no requests".to_owned(), true));
                }
                return;
            }
        }
    }

    /// What to do about a failure; `Some` if the caller is to hear of it.
    fn after(&mut self, error: Error) -> Option<Error> {
        tracing::debug!(%error, "the member is not in the group");
        self.phase = Phase::Waiting(Box::pin(sleep(self.trouble.wait())));
        self.commit_timer = None;
        self.trouble.tell(error, self.settings.give_up_after, "joining the group")
    }

    fn open(&self) -> Opening {
        let (client, settings) = (self.client.clone(), self.settings.clone());
        let join = settings.join(self.membership.former_id());
        Box::pin(async move {
            let picked = client.connection().pick()?;
            let limit = settings.max_batch.get().saturating_add(MESSAGE_OVERHEAD);
            let mut groups = GroupsClient::new(picked.channel.clone()).max_decoding_message_size(limit);
            let (requests, received) = mpsc::channel(MAX_REQUESTS);
            let join = v1::subscribe_request::Request::Join(join);
            let sent = requests.try_send(v1::SubscribeRequest { request: Some(join) });
            sent.map_err(|_| Error::Closed)?;
            // The stream itself has no deadline; that it begins has one.
            let within = client.request_timeout();
            match timeout(within, groups.subscribe(ReceiverStream::new(received))).await {
                Ok(Ok(response)) => Ok(Joined { picked, stream: response.into_inner(), requests }),
                Ok(Err(status)) => Err(client.failure(&picked, &status)),
                Err(_) => {
                    client.connection().failed(&picked);
                    Err(Error::TimedOut { what: "joining", after: within, maybe_sent: true, last: None })
                }
            }
        })
    }
}

impl Stream for GroupConsumer {
    type Item = Result<ConsumerRecord, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_record(cx)
    }
}

#[cfg(test)]
mod tests;
