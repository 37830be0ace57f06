//! Publishing: records are packed into batches here, batches go through as they are; those for partitions that another broker
//! leads are handed on to it, packed.

mod lanes;
mod packers;
mod packing;
mod stream;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ottla_node::coordination::metadata::TopicName;
use ottla_node::record::Timestamp;
use ottla_node::{
    Acks, ConnectionId, HostedTopic, Node, ProduceItem, ProduceOptions, ProduceOutcome, Ticket, TopicKey,
};
use ottla_rpc::{KafkaError, v1};
use tokio::time::Sleep;

use crate::connection::Peer;
use crate::deadline::Deadline;
use crate::errors::{self, Failure};
use crate::front::Front;
use crate::peers;
use crate::publish::lanes::{Answer, Lanes};
use crate::publish::packing::{Packed, pack};

pub(crate) use crate::publish::packers::Packers;
pub(crate) use crate::publish::stream::PublishAnswers;

/// How long an answer waits where the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How much longer than the leader does this broker wait for the leader's answer.
const FORWARD_GRACE: Duration = Duration::from_millis(500);

/// Who publishes.
#[derive(Clone)]
pub(crate) struct Publisher {
    front: Arc<Front>,
    peer: Option<Peer>,
    deadline: Deadline,
    /// The way to other leaders; `None` for what another broker has handed on already.
    lanes: Option<Arc<Lanes>>,
}

/// Records that are appended, here or on their way to their leaders, and not yet acknowledged.
pub(crate) struct Pending {
    topic: Arc<str>,
    packed: Vec<Packed>,
    here: Here,
    elsewhere: Vec<Elsewhere>,
    /// For each batch what became of it.
    outcomes: Vec<Option<Outcome>>,
    /// When leaders that do not answer are given up; `None` if none was asked.
    patience: Option<Pin<Box<Sleep>>>,
}

type Outcome = Result<v1::PublishedRange, Failure>;

/// The batches that this broker appends.
enum Here {
    /// Places among all batches, in order.
    Waiting(Ticket<ProduceOutcome>, Vec<usize>),
    Done,
}

/// A batch that another broker appends.
struct Elsewhere {
    at: usize,
    answer: Answer,
}

impl Publisher {
    pub(crate) fn new(
        front: &Arc<Front>,
        peer: Option<&Peer>,
        deadline: Deadline,
        is_handed_on: bool,
    ) -> Self {
        let lanes = (!is_handed_on).then(Arc::default);
        Self { front: Arc::clone(front), peer: peer.cloned(), deadline, lanes }
    }

    /// Appends the records. What comes back waits until they are as safe as was asked.
    pub(crate) async fn begin(&self, request: v1::PublishRequest) -> Result<Pending, Failure> {
        let acks = match v1::Acks::try_from(request.acks) {
            Ok(v1::Acks::All) => Acks::All,
            Ok(v1::Acks::Leader) => Acks::Leader,
            Err(_) => {
                return Err(Failure::new(
                    KafkaError::INVALID_REQUIRED_ACKS,
                    format!("there is no Acks {}", request.acks),
                ));
            }
        };
        let timeout = timeout(request.timeout_ms)?;
        let topic = self.topic(&request.topic).await?;
        let options = ProduceOptions {
            acks,
            timeout: self.deadline.cap(timeout),
            connection: self.peer.as_ref().map_or(ConnectionId(0), |peer| peer.id),
            alone: self.peer.as_ref().is_some_and(Peer::is_alone),
            zstd_allowed: true,
            internal_topics_allowed: false,
        };
        let packed = if packers::is_large(&request, &topic) {
            let (node, topic) = (Arc::clone(&self.front.node), Arc::clone(&topic));
            self.front.packers.run(move || pack_for(&node, &topic, request)).await??
        } else {
            pack_for(&self.front.node, &topic, request)?
        };
        self.append(&topic, options, packed).await
    }

    /// Appends what is led here, and hands the rest on.
    async fn append(
        &self,
        topic: &HostedTopic,
        options: ProduceOptions,
        mut packed: Vec<Packed>,
    ) -> Result<Pending, Failure> {
        let (mut here, mut items, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(packed.len());
        for (at, batch) in packed.iter_mut().enumerate() {
            let records = std::mem::take(&mut batch.bytes);
            let to = self.lanes.as_ref().and_then(|lanes| {
                peers::leader_elsewhere(&self.front, &topic.name, batch.partition).zip(Some(lanes))
            });
            outcomes.push(None);
            let Some((leader, lanes)) = to.filter(|_| !topic.is_internal()) else {
                here.push(at);
                items.push(ProduceItem {
                    topic: TopicKey::Id(topic.id),
                    partition: batch.partition,
                    records,
                });
                continue;
            };
            let publish = v1::PublishRequest {
                topic: topic.name.to_string(),
                partition: Some(batch.partition),
                batches: records,
                acks: match options.acks {
                    Acks::Leader => v1::Acks::Leader.into(),
                    Acks::All | Acks::None => v1::Acks::All.into(),
                },
                timeout_ms: Some(i32::try_from(options.timeout.as_millis()).unwrap_or(i32::MAX)),
                ..Default::default()
            };
            let client = self.peer.as_ref().map(|peer| peer.address.ip().to_string());
            match lanes.send(&self.front, leader, client, publish).await {
                Ok(answer) => elsewhere.push(Elsewhere { at, answer }),
                Err(failure) => {
                    if let Some(outcome) = outcomes.last_mut() {
                        *outcome = Some(Err(failure));
                    }
                }
            }
        }
        let patience =
            (!elsewhere.is_empty()).then(|| Box::pin(tokio::time::sleep(options.timeout + FORWARD_GRACE)));
        let here = match here.is_empty() {
            true => Here::Done,
            false => Here::Waiting(self.front.node.produce(options, items.into_iter()), here),
        };
        Ok(Pending { topic: Arc::clone(&topic.name), packed, here, elsewhere, outcomes, patience })
    }

    /// The topic, created if it is missing and that is allowed.
    async fn topic(&self, name: &str) -> Result<Arc<HostedTopic>, Failure> {
        let node = &self.front.node;
        let hosted = || node.topics().topic(TopicKey::Name(name)).cloned();
        if let Ok(topic) = hosted() {
            return Ok(topic);
        }
        if let Err(error) = TopicName::parse(name) {
            let failure = Failure::new(KafkaError::INVALID_TOPIC_EXCEPTION, error.to_string());
            return Err(failure.about(name, None));
        }
        if node.settings().config.topics.auto_create {
            node.auto_create(&[name]).await;
        }
        hosted().map_err(|error| errors::lookup(error).about(name, None))
    }
}

fn pack_for(node: &Node, topic: &HostedTopic, request: v1::PublishRequest) -> Result<Vec<Packed>, Failure> {
    pack(request, topic, node.clock().now().wall).map_err(|failure| {
        let partition = failure.detail.partition;
        failure.about(&topic.name, partition)
    })
}

impl Future for Pending {
    type Output = Result<v1::PublishResponse, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.poll_here(cx);
        this.poll_elsewhere(cx);
        let is_done = matches!(this.here, Here::Done) && this.elsewhere.is_empty();
        if is_done { Poll::Ready(this.finish()) } else { Poll::Pending }
    }
}

impl Pending {
    fn poll_here(&mut self, cx: &mut Context<'_>) {
        let Here::Waiting(ticket, _) = &mut self.here else { return };
        let Poll::Ready(produced) = Pin::new(ticket).poll(cx) else { return };
        let Here::Waiting(_, places) = std::mem::replace(&mut self.here, Here::Done) else { return };
        for (at, outcome) in places.into_iter().zip(produced) {
            let Some(batch) = self.packed.get(at) else { continue };
            let outcome = match outcome {
                Some(Ok(produced)) => Ok(v1::PublishedRange {
                    partition: batch.partition,
                    base_offset: produced.base_offset.get(),
                    last_offset: produced.base_offset.get() + i64::from(batch.records) - 1,
                    log_append_time_ms: produced.append_time.map(Timestamp::millis),
                    log_start_offset: produced.log_start.get(),
                    record_indexes: Vec::new(),
                }),
                Some(Err(error)) => Err(errors::produce(&error)),
                None => Err(errors::closed()),
            };
            self.settle(at, outcome);
        }
    }

    fn poll_elsewhere(&mut self, cx: &mut Context<'_>) {
        let mut left = std::mem::take(&mut self.elsewhere);
        left.retain_mut(|elsewhere| match Pin::new(&mut elsewhere.answer).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                self.settle(elsewhere.at, answer.unwrap_or_else(|_| Err(errors::closed())));
                false
            }
        });
        let gives_up = !left.is_empty()
            && self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(cx).is_ready());
        if gives_up {
            for elsewhere in left.drain(..) {
                let text = "the leader did not answer in time; the records may be written";
                self.settle(elsewhere.at, Err(Failure::new(KafkaError::REQUEST_TIMED_OUT, text)));
            }
        }
        self.elsewhere = left;
    }

    fn settle(&mut self, at: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(at) {
            *slot = Some(outcome);
        }
    }

    fn finish(&mut self) -> Result<v1::PublishResponse, Failure> {
        let outcomes = std::mem::take(&mut self.outcomes);
        let mut ranges = Vec::with_capacity(outcomes.len());
        let mut failures = Vec::new();
        for (number, (batch, outcome)) in
            (0..).zip(std::mem::take(&mut self.packed).into_iter().zip(outcomes))
        {
            match outcome {
                Some(Ok(range)) => ranges.push(v1::PublishedRange { record_indexes: batch.indexes, ..range }),
                Some(Err(failure)) => failures.push((number, batch, failure)),
                None => failures.push((number, batch, errors::closed())),
            }
        }
        let (written, failed) = (ranges.len(), failures.len());
        let is_one_of_many = written + failed > 1;
        let each = failures.iter().filter(|_| is_one_of_many);
        let each: Vec<_> =
            each.map(|(number, batch, failure)| failed_range(*number, batch, failure)).collect();
        let Some((_, batch, mut failure)) = failures.into_iter().next() else {
            return Ok(v1::PublishResponse { ranges });
        };
        failure.detail.failed = each;
        failure.detail.retriable &= ranges.is_empty();
        failure.detail.written = ranges;
        // The batch counts its own records; the client has numbered those of the request.
        for refused in &mut failure.detail.refused_records {
            let at = usize::try_from(refused.index).unwrap_or(usize::MAX);
            if let Some(index) = batch.indexes.get(at) {
                refused.index = i32::try_from(*index).unwrap_or(i32::MAX);
            }
        }
        if is_one_of_many {
            failure.message = format!(
                "{} ({failed} of {} batches failed, the others are written)",
                failure.message,
                written + failed
            );
        }
        Err(failure.about(&self.topic, Some(batch.partition)))
    }
}

/// What became of one batch among several.
fn failed_range(number: u32, batch: &Packed, failure: &Failure) -> v1::FailedRange {
    let v1::ErrorDetail { kafka_error, kafka_code, retriable, .. } = &*failure.detail;
    v1::FailedRange {
        partition: batch.partition,
        kafka_error: kafka_error.clone(),
        kafka_code: *kafka_code,
        retriable: *retriable,
        message: failure.message.clone(),
        record_indexes: batch.indexes.clone(),
        // A batch that was sent whole has no numbers of records.
        batch_index: batch.indexes.is_empty().then_some(number),
    }
}

fn timeout(timeout_ms: Option<i32>) -> Result<Duration, Failure> {
    match timeout_ms {
        None => Ok(DEFAULT_TIMEOUT),
        Some(millis) => u64::try_from(millis)
            .map(Duration::from_millis)
            .map_err(|_| errors::invalid(format!("timeout_ms {millis} is negative"))),
    }
}
