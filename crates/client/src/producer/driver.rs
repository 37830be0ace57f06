//! The producer's task: moves what the [machine](super::machine) wants between its callers and a broker.
//!
//! One stream carries all batches. It is opened when there is something to send, and again, after a wait, when it broke.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Monotonic, Offset, ProducerEpoch, ProducerId, Timestamp};
use ottla_rpc::KafkaError;
use ottla_rpc::v1;
use ottla_rpc::v1::cluster_client::ClusterClient;
use ottla_rpc::v1::log_client::LogClient;
use ottla_rpc::v1::topics_client::TopicsClient;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::machine::{Machine, Outcome, Request};
use super::partition::{Pending, Written};
use super::{Acks, Waiter};
use crate::backoff::{Backoff, Random};
use crate::client::{Client, with_deadline};
use crate::connection::Picked;
use crate::error::Error;
use crate::producer::Delivery;

/// Batches between the machine and the connection: enough to keep it busy while the machine looks elsewhere.
const REQUESTS_AHEAD: usize = 8;
/// Records taken from the callers at once, before answers and timers get their turn.
const COMMANDS_AT_ONCE: usize = 256;
/// Lookups at once.
const LOOKUPS_AT_ONCE: usize = 8;
/// How much longer than the broker we wait, so that its own word about a timeout arrives.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// A broker that has not answered for this long is asked whether it is there …
const DOUBTED_AFTER: Duration = Duration::from_millis(750);
/// … and counts as gone if it does not say anything for this long.
const SILENT_FOR: Duration = Duration::from_millis(1_250);

/// A broker hands on what others lead. One that says so often in a row that it does not lead reaches the leader as little as it leads itself:
/// another broker may.
const ASTRAY: u32 = 3;

/// What callers want.
pub(crate) enum Command {
    Record(Pending<Waiter>),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

pub(crate) struct Driver {
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) machine: Machine<Waiter>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) buffer: Arc<Semaphore>,
    pub(crate) acks: Acks,
}

/// Instants of this process for the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Monotonic {
        Monotonic::from_start(self.start.elapsed())
    }

    pub(crate) fn instant(self, at: Monotonic) -> Instant {
        self.start + at.since_start()
    }
}

/// The stream to a broker.
enum Link {
    Down {
        /// Not to be tried before.
        until: Monotonic,
    },
    Up {
        picked: Picked,
        /// Which of the streams opened so far it is.
        number: u64,
        requests: mpsc::Sender<v1::PublishStreamRequest>,
        answers: Answers,
        /// Requests by number, with the instant each was handed over: answers come in this order.
        open: VecDeque<(u64, Monotonic)>,
    },
}

type Opening =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<v1::PublishStreamResponse>>, Status>> + Send>>;

/// The broker's answers. A broker may open its side only once it has something to say.
enum Answers {
    Opening(Opening),
    Open(Box<Streaming<v1::PublishStreamResponse>>),
}

impl Answers {
    /// The next answer; `None` if the broker ended the stream in order. Nothing is lost if the future is dropped.
    async fn next(&mut self) -> Result<Option<v1::PublishStreamResponse>, Status> {
        if let Self::Opening(opening) = self {
            let stream = opening.await?.into_inner();
            *self = Self::Open(Box::new(stream));
        }
        match self {
            Self::Opening(_) => Ok(None),
            Self::Open(stream) => stream.message().await,
        }
    }
}

/// What a side task found out.
enum Found {
    Topic(Arc<str>, Result<u32, Error>),
    Identity(Result<(ProducerId, ProducerEpoch), Error>),
    /// Whether the broker of the stream with this number answered at all.
    Probe {
        number: u64,
        answered: bool,
    },
}

enum Wake {
    Commands(Vec<Command>),
    Answer(Result<Option<v1::PublishStreamResponse>, Status>),
    Found(Found),
    Room,
    Time,
}

/// What lives as long as the task, beside the machine.
struct State {
    link: Link,
    attempts: u32,
    random: Random,
    lookups: JoinSet<Found>,
    lookup_turns: Arc<Semaphore>,
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    closes: Vec<oneshot::Sender<()>>,
    /// No more commands will come.
    closed: bool,
    /// The connection takes no more batches now.
    full: bool,
    /// Streams opened so far.
    opened: u64,
    /// When the broker was last known to be there.
    heard: Monotonic,
    /// It is being asked now.
    probing: bool,
    /// Batches it has refused in a row because it does not lead.
    astray: u32,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let mut state = State {
            link: Link::Down { until: Monotonic::ZERO },
            attempts: 0,
            random: Random::from_entropy(),
            lookups: JoinSet::new(),
            lookup_turns: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)),
            flushes: Vec::new(),
            closes: Vec::new(),
            closed: false,
            full: false,
            opened: 0,
            heard: Monotonic::ZERO,
            astray: 0,
            probing: false,
        };
        loop {
            let now = self.clock.now();
            self.machine.tick(now);
            self.find_out(&mut state, now);
            self.check_stall(&mut state, now);
            self.send(&mut state, now);
            self.deliver(&mut state);
            if state.closed && self.machine.is_idle() {
                break;
            }
            let wake = self.wait(&mut state).await;
            self.handle(wake, &mut state);
        }
        self.buffer.close();
        for done in state.closes {
            let _ = done.send(());
        }
    }

    async fn wait(&mut self, state: &mut State) -> Wake {
        let deadline = self.next_deadline(state).map(|at| self.clock.instant(at));
        let State { link, lookups, closed, full, .. } = state;
        let (answers, requests) = match link {
            Link::Up { answers, requests, .. } => (Some(answers), Some(requests)),
            Link::Down { .. } => (None, None),
        };
        let mut taken = Vec::new();
        tokio::select! {
            count = self.commands.recv_many(&mut taken, COMMANDS_AT_ONCE), if !*closed => {
                if count == 0 {
                    *closed = true;
                }
                Wake::Commands(taken)
            }
            answer = or_never(answers.map(Answers::next)) => Wake::Answer(answer),
            _ = or_never(requests.filter(|_| *full).map(|requests| requests.reserve())) => Wake::Room,
            Some(found) = lookups.join_next(), if !lookups.is_empty() => match found {
                Ok(found) => Wake::Found(found),
                Err(_) => Wake::Time,
            },
            () = or_never(deadline.map(sleep_until)) => Wake::Time,
        }
    }

    fn next_deadline(&self, state: &State) -> Option<Monotonic> {
        let link = match &state.link {
            Link::Down { until } => Some(*until).filter(|_| self.machine.has_ready()),
            Link::Up { open, .. } => open.front().map(|(_, sent)| {
                let doubted = (!state.probing).then(|| (*sent).max(state.heard) + DOUBTED_AFTER);
                doubted.into_iter().fold(*sent + self.patience(), Monotonic::min)
            }),
        };
        link.into_iter().chain(self.machine.next_deadline()).min()
    }

    fn handle(&mut self, wake: Wake, state: &mut State) {
        let now = self.clock.now();
        match wake {
            Wake::Commands(commands) => {
                commands.into_iter().for_each(|command| self.command(command, state, now));
                if self.commands.is_closed() {
                    // Nobody will add to the batches any more, so there is nothing to linger for.
                    self.machine.flush(now);
                }
            }
            Wake::Answer(Ok(Some(answer))) => self.answer(answer, state, now),
            Wake::Answer(Ok(None)) => self.lost(state, now, None),
            Wake::Answer(Err(status)) => self.lost(state, now, Some(&status)),
            Wake::Found(Found::Topic(name, Ok(partitions))) => {
                self.machine.topic_known(&name, partitions, now)
            }
            Wake::Found(Found::Topic(name, Err(error))) => {
                tracing::debug!(topic = &*name, %error, "the topic could not be looked up");
                self.machine.topic_unknown(&name, error, now);
            }
            Wake::Found(Found::Identity(Ok((id, epoch)))) => {
                tracing::debug!(producer_id = id.get(), "got a producer id");
                self.machine.identified(id, epoch, now);
            }
            Wake::Found(Found::Identity(Err(error))) => {
                tracing::debug!(%error, "got no producer id");
                self.machine.not_identified(&error, now);
            }
            Wake::Found(Found::Probe { number, answered }) => {
                state.probing = false;
                state.heard = now;
                let is_current =
                    matches!(&state.link, Link::Up { number: current, .. } if *current == number);
                if is_current && !answered {
                    self.lost(state, now, Some(&Status::unavailable("the broker has fallen silent")));
                }
            }
            Wake::Room | Wake::Time => {}
        }
    }

    fn command(&mut self, command: Command, state: &mut State, now: Monotonic) {
        match command {
            Command::Record(pending) => self.machine.push(pending, now),
            Command::Flush(done) => {
                let flush = self.machine.flush(now);
                state.flushes.push((flush, done));
            }
            Command::Close(done) => {
                // What is in the channel already is still taken, and then it reports its end.
                self.commands.close();
                state.closes.push(done);
            }
        }
    }

    fn answer(&mut self, answer: v1::PublishStreamResponse, state: &mut State, now: Monotonic) {
        use v1::publish_stream_response::Outcome as Answered;
        let Link::Up { open, .. } = &mut state.link else { return };
        if open.pop_front().is_none_or(|(id, _)| id != answer.id) {
            let broken = Status::internal("an answer out of turn");
            return self.lost(state, now, Some(&broken));
        }
        state.attempts = 0;
        state.heard = now;
        match answer.outcome {
            Some(Answered::Published(published)) => match published.ranges.first() {
                Some(range) => {
                    state.astray = 0;
                    let written = Written {
                        base_offset: Offset::new(range.base_offset),
                        log_append_time: range.log_append_time_ms.map(Timestamp::from_millis),
                    };
                    self.machine.written(answer.id, written, now);
                }
                None => {
                    self.machine.failed(answer.id, Error::Protocol("records without a place".into()), now)
                }
            },
            Some(Answered::Failure(failure)) => {
                let detail = failure.detail.unwrap_or_default();
                let error = Error::from_detail(failure.message, detail);
                tracing::debug!(%error, "a batch was refused");
                let not_here =
                    matches!(error.kafka_name(), Some("NOT_LEADER_OR_FOLLOWER" | "NETWORK_EXCEPTION"));
                self.machine.failed(answer.id, error, now);
                state.astray = if not_here { state.astray + 1 } else { 0 };
                if state.astray >= ASTRAY {
                    state.astray = 0;
                    self.lost(state, now, Some(&Status::unavailable("the broker does not reach the leader")));
                }
            }
            None => {
                self.machine.failed(answer.id, Error::Protocol("an answer without an outcome".into()), now)
            }
        }
    }

    /// How long the oldest request may stay unanswered before the connection counts as dead.
    fn patience(&self) -> Duration {
        self.client.request_timeout() + ANSWER_MARGIN
    }

    /// A broker that takes long over a batch (too few replicas, a slow disk) is not a broker that is gone: after a while without an answer it is
    /// asked something that it can say at once.
    fn check_stall(&mut self, state: &mut State, now: Monotonic) {
        let Link::Up { open, picked, number, .. } = &state.link else { return };
        let Some((_, sent)) = open.front() else { return };
        if *sent + self.patience() <= now {
            let stalled = Status::unavailable("no answer came in time");
            return self.lost(state, now, Some(&stalled));
        }
        if !state.probing && (*sent).max(state.heard) + DOUBTED_AFTER <= now {
            state.probing = true;
            state.lookups.spawn(probe(picked.channel.clone(), *number));
        }
    }

    fn lost(&mut self, state: &mut State, now: Monotonic, status: Option<&Status>) {
        let Link::Up { picked, open, .. } = std::mem::replace(&mut state.link, Link::Down { until: now })
        else {
            return;
        };
        state.full = false;
        let ended = Status::unavailable("the broker ended the stream");
        let mut error = self.client.failure(&picked, status.unwrap_or(&ended));
        if !error.is_retriable()
            && error.kafka_name().is_none()
            && status.is_some_and(|s| s.code() != tonic::Code::Unimplemented)
        {
            // Whatever ended the stream says nothing about the batches in it.
            error = Error::unavailable(&picked.address, error.to_string(), true);
        }
        if open.is_empty() && status.is_none() {
            return;
        }
        state.attempts += 1;
        let wait = self.backoff().wait(state.attempts, &mut state.random);
        tracing::debug!(%error, unanswered = open.len(), ?wait, "the stream to the broker broke");
        state.link = Link::Down { until: now + wait };
        self.machine.disconnected(&error, now);
    }

    fn backoff(&self) -> Backoff {
        self.client.backoff()
    }

    fn send(&mut self, state: &mut State, now: Monotonic) {
        state.full = false;
        if !self.machine.has_ready() {
            return;
        }
        if matches!(state.link, Link::Down { until } if until <= now) {
            state.opened += 1;
            state.heard = now;
            state.link = self.open(now, state.opened, state.attempts);
        }
        let Link::Up { requests, open, .. } = &mut state.link else { return };
        while self.machine.has_ready() {
            let room = match requests.try_reserve() {
                Ok(room) => room,
                Err(mpsc::error::TrySendError::Full(())) => {
                    state.full = true;
                    return;
                }
                // The connection's side is gone; its answers say why.
                Err(mpsc::error::TrySendError::Closed(())) => return,
            };
            let Some(request) = self.machine.send(now) else { return };
            tracing::trace!(
                topic = &*request.topic,
                partition = request.partition,
                records = request.records,
                "sending"
            );
            open.push_back((request.id, now));
            room.send(to_v1(request, self.acks, self.client.request_timeout()));
        }
    }

    fn open(&self, now: Monotonic, number: u64, attempts: u32) -> Link {
        let Ok(picked) = self.client.connection().pick() else {
            return Link::Down { until: now + self.backoff().max };
        };
        tracing::debug!(address = &*picked.address, attempts, "opening a stream");
        let (requests, receiver) = mpsc::channel(REQUESTS_AHEAD);
        let mut log = LogClient::new(picked.channel.clone());
        let opening = Box::pin(async move { log.publish_stream(ReceiverStream::new(receiver)).await });
        Link::Up { picked, number, requests, answers: Answers::Opening(opening), open: VecDeque::new() }
    }

    fn find_out(&mut self, state: &mut State, now: Monotonic) {
        while let Some(name) = self.machine.lookup(now) {
            let (client, turns) = (self.client.clone(), state.lookup_turns.clone());
            state.lookups.spawn(async move {
                let _turn = turns.acquire().await;
                let partitions = partitions_of(&client, &name).await;
                Found::Topic(name, partitions)
            });
        }
        if self.machine.wants_identity(now) {
            let client = self.client.clone();
            state.lookups.spawn(async move { Found::Identity(new_identity(&client).await) });
        }
    }

    fn deliver(&mut self, state: &mut State) {
        for Outcome { finished, topic, partition } in self.machine.outcomes() {
            let delivered = finished.outcome.map(|(offset, timestamp)| Delivery {
                topic: topic.clone(),
                partition: partition.unwrap_or_default(),
                offset,
                timestamp,
            });
            if let Err(error) = &delivered {
                tracing::debug!(topic = &*topic, partition, %error, "a record was not delivered");
            }
            // Nobody may be asking any more. The record's room in the buffer is given back here.
            let Waiter { reply, room } = finished.pending.waiter;
            let _ = reply.send(delivered);
            drop(room);
        }
        let machine = &self.machine;
        for (_, done) in state.flushes.extract_if(.., |(flush, _)| machine.flushed(*flush)) {
            let _ = done.send(());
        }
    }
}

/// Any answer will do, a refusal too.
async fn probe(channel: Channel, number: u64) -> Found {
    let asked =
        timeout(SILENT_FOR, ClusterClient::new(channel).describe_cluster(v1::DescribeClusterRequest {}))
            .await;
    let answered = match asked {
        Ok(Ok(_)) => true,
        Ok(Err(status)) => ottla_rpc::status::from_status(&status).is_some(),
        Err(_) => false,
    };
    Found::Probe { number, answered }
}

async fn partitions_of(client: &Client, name: &Arc<str>) -> Result<u32, Error> {
    let request = v1::DescribeTopicRequest { name: (**name).to_owned(), auto_create: true };
    let request = with_deadline(request, client.request_timeout());
    let answer = client
        .call_once("looking up a topic", |channel| async {
            TopicsClient::new(channel).describe_topic(request).await
        })
        .await?;
    let count = answer.topic.map_or(0, |topic| topic.partitions);
    u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
        // Created a moment ago, and not placed yet.
        let detail = v1::ErrorDetail {
            topic: (**name).to_owned(),
            ..ottla_rpc::status::detail(KafkaError::LEADER_NOT_AVAILABLE)
        };
        Error::from_detail(format!("{name} has no partitions yet"), detail)
    })
}

async fn new_identity(client: &Client) -> Result<(ProducerId, ProducerEpoch), Error> {
    let request = with_deadline(v1::InitProducerRequest {}, client.request_timeout());
    let answer = client
        .call_once("asking for a producer id", |channel| async {
            LogClient::new(channel).init_producer(request).await
        })
        .await?;
    let epoch = i16::try_from(answer.producer_epoch);
    let epoch = epoch.map_err(|_| Error::Protocol(format!("producer epoch {}", answer.producer_epoch)))?;
    Ok((ProducerId::new(answer.producer_id), ProducerEpoch::new(epoch)))
}

fn to_v1(request: Request, acks: Acks, timeout: Duration) -> v1::PublishStreamRequest {
    let Request { id, topic, partition, batches, .. } = request;
    let publish = v1::PublishRequest {
        topic: (*topic).to_owned(),
        partition: Some(partition),
        batches,
        acks: acks.to_v1().into(),
        timeout_ms: Some(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)),
        ..v1::PublishRequest::default()
    };
    v1::PublishStreamRequest { id, publish: Some(publish) }
}

async fn or_never<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
