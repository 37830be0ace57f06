//! Publishing: records are packed into batches here, batches go through as they are.

mod packers;
mod packing;
mod stream;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ottla_node::coordination::metadata::TopicName;
use ottla_node::record::Timestamp;
use ottla_node::{
    Acks, ConnectionId, HostedTopic, Node, ProduceItem, ProduceOptions, ProduceOutcome, Ticket, TopicKey,
};
use ottla_rpc::{KafkaError, v1};

use crate::connection::Peer;
use crate::deadline::Deadline;
use crate::errors::{self, Failure};
use crate::front::Front;
use crate::publish::packing::{Packed, pack};

pub(crate) use crate::publish::packers::Packers;
pub(crate) use crate::publish::stream::PublishAnswers;

/// How long an answer waits where the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Who publishes.
#[derive(Clone)]
pub(crate) struct Publisher {
    front: Arc<Front>,
    peer: Option<Peer>,
    deadline: Deadline,
}

/// Records that are appended and not yet acknowledged.
pub(crate) struct Pending {
    ticket: Ticket<ProduceOutcome>,
    topic: Arc<str>,
    packed: Vec<Packed>,
}

impl Publisher {
    pub(crate) fn new(front: &Arc<Front>, peer: Option<&Peer>, deadline: Deadline) -> Self {
        Self { front: Arc::clone(front), peer: peer.cloned(), deadline }
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
        if packers::is_large(&request, &topic) {
            let node = Arc::clone(&self.front.node);
            self.front.packers.run(move || append(&node, &topic, options, request)).await?
        } else {
            append(&self.front.node, &topic, options, request)
        }
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

fn append(
    node: &Node,
    topic: &HostedTopic,
    options: ProduceOptions,
    request: v1::PublishRequest,
) -> Result<Pending, Failure> {
    let mut packed = pack(request, topic, node.clock().now().wall).map_err(|failure| {
        let partition = failure.detail.partition;
        failure.about(&topic.name, partition)
    })?;
    let items = packed.iter_mut().map(|batch| ProduceItem {
        topic: TopicKey::Id(topic.id),
        partition: batch.partition,
        records: std::mem::take(&mut batch.bytes),
    });
    let ticket = node.produce(options, items);
    Ok(Pending { ticket, topic: Arc::clone(&topic.name), packed })
}

impl Future for Pending {
    type Output = Result<v1::PublishResponse, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcomes = ready!(Pin::new(&mut self.ticket).poll(cx));
        Poll::Ready(self.finish(outcomes))
    }
}

impl Pending {
    fn finish(&mut self, outcomes: Vec<Option<ProduceOutcome>>) -> Result<v1::PublishResponse, Failure> {
        let mut ranges = Vec::with_capacity(outcomes.len());
        let mut failures = Vec::new();
        for (number, (batch, outcome)) in
            (0..).zip(std::mem::take(&mut self.packed).into_iter().zip(outcomes))
        {
            match outcome {
                Some(Ok(produced)) => ranges.push(v1::PublishedRange {
                    partition: batch.partition,
                    base_offset: produced.base_offset.get(),
                    last_offset: produced.base_offset.get() + i64::from(batch.records) - 1,
                    log_append_time_ms: produced.append_time.map(Timestamp::millis),
                    log_start_offset: produced.log_start.get(),
                    record_indexes: batch.indexes,
                }),
                Some(Err(error)) => failures.push((number, batch, errors::produce(&error))),
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
