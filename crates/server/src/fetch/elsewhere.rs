//! Partitions that other brokers lead, read through their Fetch.
//!
//! One stream a leader carries all that is read from it. When one of its partitions is taken out, paused or moved, the stream
//! is opened again from where each of the others was read to; what lay ready on the old one is read once more. When a stream
//! breaks off, its partitions look for their leaders again, which may be this broker.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ottla_node::record::{BrokerId, Offset, PartitionIndex, TopicId};
use ottla_node::replication::Availability;
use ottla_node::{FetchOptions, TopicKey};
use ottla_rpc::v1::log_client::LogClient;
use ottla_rpc::v1::position::At;
use ottla_rpc::{KafkaError, v1};
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream as _;
use tonic::{Status, Streaming};

use crate::deadline::Deadline;
use crate::errors::Failure;
use crate::front::Front;
use crate::peers::{self, Way};
use crate::positions::isolation_on_the_wire;

/// How long a partition is looked for before its reader is told that nobody leads it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause before partitions without a leader are looked for again; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What is read from other brokers.
pub(super) struct Elsewhere {
    front: Arc<Front>,
    format: v1::FetchFormat,
    options: FetchOptions,
    feeds: Vec<Feed>,
    /// Whose turn it is.
    turn: usize,
    /// Partitions whose leader has to be looked for.
    lost: VecDeque<Distant>,
    pause: Duration,
    /// When they are looked for again; `None`: now.
    wake: Option<Pin<Box<Sleep>>>,
}

/// How far a partition has been read that another broker leads.
pub(super) struct Distant {
    pub(super) topic: Arc<str>,
    pub(super) topic_id: TopicId,
    pub(super) partition: i32,
    /// Behind the last message that was handed out.
    pub(super) next: Offset,
    /// Where the reader wants to end, if it does.
    pub(super) stop: Option<Offset>,
    pub(super) paused: bool,
    /// Since when no leader has given anything, and what the last one said.
    pub(super) lost: Option<(Instant, Failure)>,
}

/// What a look found.
pub(super) enum Found {
    Message(v1::FetchResponse),
    /// This broker leads it now.
    Here(Distant),
    /// It cannot be read on.
    Broken(Distant, Failure),
    /// The last one was read to where its reader wanted to end.
    Nothing,
}

/// One leader's stream.
struct Feed {
    leader: BrokerId,
    partitions: Vec<Distant>,
    state: State,
    /// The stream ends by itself where its reader wants to end.
    ends: bool,
}

type Opening = Pin<Box<dyn Future<Output = Result<Streaming<v1::FetchResponse>, Status>> + Send>>;

enum State {
    Closed,
    Opening(Opening, Box<Way>),
    Open(
        Box<Streaming<v1::FetchResponse>>,
        #[allow(dead_code, reason = "holds the stream's place on its connection")] Box<Way>,
    ),
}

/// What a feed has to say.
enum Said {
    Nothing,
    Message(v1::FetchResponse),
    Ended,
    Failed(Failure),
}

impl Distant {
    fn is_of(&self, topic: TopicId, partition: i32) -> bool {
        self.topic_id == topic && self.partition == partition
    }

    fn is_named(&self, topic: &str, partition: i32) -> bool {
        &*self.topic == topic && self.partition == partition
    }

    fn lose(&mut self, why: &Failure) {
        let since = self.lost.take().map_or_else(Instant::now, |(since, _)| since);
        self.lost = Some((since, why.clone()));
    }

    fn wanted(&self) -> v1::FetchPartition {
        let from = Some(v1::Position { at: Some(At::Offset(self.next.get())) });
        v1::FetchPartition { topic: self.topic.to_string(), partition: self.partition, from }
    }
}

impl Elsewhere {
    pub(super) fn new(front: &Arc<Front>, format: v1::FetchFormat, options: FetchOptions) -> Self {
        Self {
            front: Arc::clone(front),
            format,
            options,
            feeds: Vec::new(),
            turn: 0,
            lost: VecDeque::new(),
            pause: SHORTEST_PAUSE,
            wake: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.feeds.iter().all(|feed| feed.partitions.is_empty())
    }

    /// Reads one more.
    pub(super) fn add(&mut self, partition: Distant) {
        self.lost.push_back(partition);
        self.wake = None;
    }

    /// Reads a partition no more.
    pub(super) fn stop(&mut self, topic: TopicId, partition: i32) {
        self.lost.retain(|distant| !distant.is_of(topic, partition));
        for feed in &mut self.feeds {
            let before = feed.partitions.len();
            feed.partitions.retain(|distant| !distant.is_of(topic, partition));
            if feed.partitions.len() != before {
                feed.state = State::Closed;
            }
        }
    }

    /// Pauses a partition or goes on with it.
    pub(super) fn set_paused(&mut self, topic: TopicId, partition: i32, paused: bool) {
        for distant in self.lost.iter_mut().filter(|distant| distant.is_of(topic, partition)) {
            distant.paused = paused;
        }
        for feed in &mut self.feeds {
            if let Some(distant) = feed.partitions.iter_mut().find(|distant| distant.is_of(topic, partition))
            {
                distant.paused = paused;
                feed.state = State::Closed;
            }
        }
    }

    /// What comes next.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        loop {
            if let Some(found) = self.look_for_leaders(cx) {
                return Poll::Ready(found);
            }
            self.feeds.retain(|feed| !feed.partitions.is_empty());
            let mut idle = true;
            for step in 0..self.feeds.len() {
                let at = (self.turn + step) % self.feeds.len();
                let Some(feed) = self.feeds.get_mut(at) else { continue };
                match feed.poll(cx, &self.front, self.format, self.options) {
                    Said::Nothing => continue,
                    Said::Message(message) => {
                        self.turn = at + 1;
                        if feed.take(&message) {
                            self.pause = SHORTEST_PAUSE;
                            return Poll::Ready(Found::Message(message));
                        }
                    }
                    Said::Ended => feed.partitions.clear(),
                    Said::Failed(failure) => {
                        if let Some(broken) = self.failed(at, &failure) {
                            return Poll::Ready(Found::Broken(broken, failure));
                        }
                    }
                }
                idle = false;
                break;
            }
            if self.is_empty() {
                return Poll::Ready(Found::Nothing);
            }
            if idle && (self.lost.is_empty() || self.wake.is_some()) {
                return Poll::Pending;
            }
        }
    }

    /// A stream broke off: its partitions are looked for again. If it was for one of them alone, and coming back would not
    /// help, that one is given back.
    fn failed(&mut self, at: usize, failure: &Failure) -> Option<Distant> {
        let mut feed = (at < self.feeds.len()).then(|| self.feeds.swap_remove(at))?;
        let detail = &failure.detail;
        let blamed = match detail.partition {
            Some(partition) if !detail.retriable => {
                feed.partitions.iter().position(|distant| distant.is_named(&detail.topic, partition))
            }
            _ => None,
        };
        let blamed = blamed.map(|at| feed.partitions.swap_remove(at));
        for mut distant in feed.partitions {
            if blamed.is_none() {
                distant.lose(failure);
            }
            self.lost.push_back(distant);
        }
        match &blamed {
            Some(_) => self.wake = None,
            None => self.rest(),
        }
        blamed
    }

    fn rest(&mut self) {
        self.wake = Some(Box::pin(tokio::time::sleep(self.pause)));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Brings partitions to their leaders' streams, as the metadata has it now.
    fn look_for_leaders(&mut self, cx: &mut Context<'_>) -> Option<Found> {
        if self.lost.is_empty() || self.must_wait(cx) {
            return None;
        }
        for _ in 0..self.lost.len() {
            let mut distant = self.lost.pop_front()?;
            let leader = self.leader(&distant);
            match (leader, distant.lost.take()) {
                (Leader::Here, _) => return Some(Found::Here(distant)),
                (Leader::Gone, _) => {
                    let why = "the topic was deleted while it was read";
                    let failure = Failure::new(KafkaError::UNKNOWN_TOPIC_OR_PARTITION, why);
                    let failure = failure.about(&distant.topic, Some(distant.partition));
                    return Some(Found::Broken(distant, failure));
                }
                (_, Some((since, why))) if since.elapsed() >= PATIENCE => {
                    let failure = why.about(&distant.topic, Some(distant.partition));
                    return Some(Found::Broken(distant, failure));
                }
                (Leader::There(leader), lost) => self.join(leader, Distant { lost, ..distant }),
                (Leader::Nobody, lost) => {
                    let nobody = || {
                        (
                            Instant::now(),
                            Failure::new(KafkaError::LEADER_NOT_AVAILABLE, "nobody leads it now"),
                        )
                    };
                    distant.lost = Some(lost.unwrap_or_else(nobody));
                    self.lost.push_back(distant);
                }
            }
        }
        if !self.lost.is_empty() {
            self.rest();
            self.must_wait(cx);
        }
        None
    }

    /// Whether lost partitions rest still.
    fn must_wait(&mut self, cx: &mut Context<'_>) -> bool {
        let waits = self.wake.as_mut().is_some_and(|wake| wake.as_mut().poll(cx).is_pending());
        if !waits {
            self.wake = None;
        }
        waits
    }

    fn leader(&self, distant: &Distant) -> Leader {
        let image = self.front.node.image();
        let Some(topic) = image.topic_by_id(distant.topic_id) else { return Leader::Gone };
        match topic.partition(PartitionIndex::new(distant.partition)).map(|partition| partition.leader) {
            None => Leader::Gone,
            Some(None) => Leader::Nobody,
            Some(Some(leader)) if leader == self.front.node.id() => {
                // Between the metadata and the log there is a moment in which nobody leads yet.
                if self.leads(distant) { Leader::Here } else { Leader::Nobody }
            }
            Some(Some(leader)) => Leader::There(leader),
        }
    }

    /// Whether this broker's log can be read, or has failed for good.
    fn leads(&self, distant: &Distant) -> bool {
        let topics = self.front.node.topics();
        let topic = topics.topic(TopicKey::Id(distant.topic_id));
        let host = topic.and_then(|topic| topic.partition(distant.partition));
        host.is_ok_and(|host| !matches!(host.view().availability, Availability::NotLeading { .. }))
    }

    fn join(&mut self, leader: BrokerId, distant: Distant) {
        match self.feeds.iter_mut().find(|feed| feed.leader == leader) {
            Some(feed) => {
                feed.partitions.push(distant);
                feed.state = State::Closed;
            }
            None => {
                self.feeds.push(Feed {
                    leader,
                    partitions: vec![distant],
                    state: State::Closed,
                    ends: false,
                });
            }
        }
    }
}

/// Who leads a partition, as the metadata has it.
enum Leader {
    Here,
    There(BrokerId),
    Nobody,
    /// There is no such partition any more.
    Gone,
}

impl Feed {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        front: &Front,
        format: v1::FetchFormat,
        options: FetchOptions,
    ) -> Said {
        loop {
            match &mut self.state {
                State::Closed => {
                    if self.partitions.iter().all(|distant| distant.paused) {
                        return Said::Nothing;
                    }
                    match front.peers.way(&front.node.image(), self.leader) {
                        Ok(way) => self.open(way, format, options),
                        Err(failure) => return Said::Failed(failure),
                    }
                }
                State::Opening(opening, _) => match opening.as_mut().poll(cx) {
                    Poll::Pending => return Said::Nothing,
                    Poll::Ready(Err(status)) => return Said::Failed(peers::refused(self.leader, &status)),
                    Poll::Ready(Ok(stream)) => {
                        let opened = std::mem::replace(&mut self.state, State::Closed);
                        if let State::Opening(_, way) = opened {
                            self.state = State::Open(Box::new(stream), way);
                        }
                        self.partitions.iter_mut().for_each(|distant| distant.lost = None);
                    }
                },
                State::Open(stream, _) => {
                    return match Pin::new(&mut **stream).poll_next(cx) {
                        Poll::Pending => Said::Nothing,
                        Poll::Ready(Some(Ok(message))) => Said::Message(message),
                        Poll::Ready(Some(Err(status))) => Said::Failed(peers::refused(self.leader, &status)),
                        Poll::Ready(None) if self.ends => Said::Ended,
                        Poll::Ready(None) => {
                            let why = "the leader ended the stream";
                            Said::Failed(Failure::new(KafkaError::NOT_LEADER_OR_FOLLOWER, why))
                        }
                    };
                }
            }
        }
    }

    fn open(&mut self, way: Way, format: v1::FetchFormat, options: FetchOptions) {
        let wanted = self.partitions.iter().filter(|distant| !distant.paused);
        self.ends = self.partitions.iter().all(|distant| !distant.paused && distant.stop.is_some());
        let request = v1::FetchRequest {
            partitions: wanted.map(Distant::wanted).collect(),
            format: format.into(),
            isolation: isolation_on_the_wire(options.isolation).into(),
            max_message_bytes: Some(i32::try_from(options.max_bytes).unwrap_or(i32::MAX)),
            stop_at_end: self.ends,
        };
        let mut stub = LogClient::new(way.channel.clone()).max_decoding_message_size(usize::MAX);
        let opening = async move {
            let answered = stub.fetch(peers::hand_on(request, None, Deadline::none())).await?;
            Ok(answered.into_inner())
        };
        self.state = State::Opening(Box::pin(opening), Box::new(way));
    }

    /// Notes how far a message reaches. False if nobody wants it any more.
    fn take(&mut self, message: &v1::FetchResponse) -> bool {
        let named = |distant: &Distant| distant.is_named(&message.topic, message.partition);
        let Some(at) = self.partitions.iter().position(named) else { return false };
        let Some(distant) = self.partitions.get_mut(at) else { return false };
        distant.next = Offset::new(message.next_offset);
        if distant.stop.is_some_and(|stop| distant.next >= stop) {
            self.partitions.swap_remove(at);
        }
        true
    }
}
