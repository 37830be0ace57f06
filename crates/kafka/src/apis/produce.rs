//! Produce: the hot path. The records stay where the socket put them until they are in the log.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ottla_node::Acks;
use ottla_node::{ProduceItem, ProduceOptions, ProduceOutcome, Ticket, TopicKey};
use ottla_record::{Offset, Timestamp, TopicId, Uuid};
use ottla_wire::messages::produce_request::{ProduceRequest, TopicProduceData};
use ottla_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, PartitionProduceResponse, ProduceResponse,
    TopicProduceResponse,
};
use ottla_wire::{ErrorCode, Records};

use crate::dispatch::Call;
use crate::errors;
use crate::leaders::Leaders;
use crate::outbox::Frame;
use crate::reply::{Refusal, Reply};

/// From this version on topics have ids instead of names (KIP-516).
const TOPIC_IDS_FROM: i16 = 13;
/// From this version on the answer can say who leads instead (KIP-951).
const NODE_ENDPOINTS_FROM: i16 = 10;
/// zstd is not understood by older clients (KIP-110).
const ZSTD_FROM: i16 = 7;

/// A request whose records are appended and not yet acknowledged.
pub(crate) struct PendingProduce {
    call: Call,
    ticket: Ticket<ProduceOutcome>,
    topics: Vec<TopicProduceResponse>,
    /// `acks=0`: no answer, but a closed connection if the records were refused.
    silent: bool,
}

/// Kafka lets a client of this name write to internal topics.
const ADMIN_CLIENT: &str = "__admin_client";

pub(crate) fn handle(mut call: Call) -> Result<Reply, Refusal> {
    let request = call.decode::<ProduceRequest>()?;
    let acks = match request.acks {
        0 => Acks::None,
        1 => Acks::Leader,
        -1 => Acks::All,
        _ => return Ok(Reply::Ready(call.answer(&all_failed(request, ErrorCode::INVALID_REQUIRED_ACKS))?)),
    };
    let options = ProduceOptions {
        acks,
        timeout: Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)),
        connection: call.peer.id,
        alone: call.alone,
        zstd_allowed: call.version >= ZSTD_FROM,
        internal_topics_allowed: call.client_id.as_deref() == Some(ADMIN_CLIENT),
    };
    let by_id = call.version >= TOPIC_IDS_FROM;
    let mut items = Vec::with_capacity(request.topic_data.iter().map(|t| t.partition_data.len()).sum());
    for topic in &request.topic_data {
        for partition in &topic.partition_data {
            let records = match &partition.records {
                Some(Records::Inline(bytes)) => bytes.clone(),
                Some(Records::Hole { .. }) | None => Bytes::new(),
            };
            let topic = key(&topic.name, topic.topic_id, by_id);
            items.push(ProduceItem { topic, partition: partition.index, records });
        }
    }
    let ticket = call.front.node.produce(options, items.into_iter());
    let topics = request.topic_data.into_iter().map(|topic| unanswered(topic, ErrorCode::NONE)).collect();
    Ok(Reply::Produce(PendingProduce { call, ticket, topics, silent: acks == Acks::None }))
}

impl PendingProduce {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Refusal>> {
        use std::future::Future;
        let outcomes = std::task::ready!(Pin::new(&mut self.ticket).poll(cx));
        Poll::Ready(self.finish(outcomes))
    }

    fn finish(&mut self, outcomes: Vec<Option<ProduceOutcome>>) -> Result<Option<Frame>, Refusal> {
        if self.silent {
            let refused = outcomes.into_iter().find_map(|outcome| outcome.and_then(Result::err));
            return match refused {
                Some(error) => Err(Refusal::RefusedWithoutAnswer(error.to_string())),
                None => Ok(None),
            };
        }
        let mut outcomes = outcomes.into_iter();
        let mut responses = std::mem::take(&mut self.topics);
        let mut leaders = None;
        let says_leader = self.call.version >= NODE_ENDPOINTS_FROM;
        for TopicProduceResponse { name, topic_id, partition_responses } in &mut responses {
            for partition in partition_responses {
                fill(partition, outcomes.next().flatten());
                if says_leader && partition.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER {
                    let topic = key(name, *topic_id, self.call.version >= TOPIC_IDS_FROM);
                    note_leader(
                        leaders.get_or_insert_with(|| Leaders::new(&self.call.front)),
                        partition,
                        topic,
                    );
                }
            }
        }
        let node_endpoints = leaders.map(Leaders::into_produce_endpoints).unwrap_or_default();
        self.call.answer(&ProduceResponse { responses, node_endpoints, ..Default::default() }).map(Some)
    }
}

fn key(name: &str, id: Uuid, by_id: bool) -> TopicKey<'_> {
    if by_id { TopicKey::Id(TopicId(id)) } else { TopicKey::Name(name) }
}

/// Says who leads instead (KIP-951).
fn note_leader(leaders: &mut Leaders<'_>, partition: &mut PartitionProduceResponse, topic: TopicKey<'_>) {
    if let Some((leader, epoch)) = leaders.of(topic, partition.index) {
        partition.current_leader = LeaderIdAndEpoch { leader_id: leader.get(), leader_epoch: epoch.get() };
    }
}

fn fill(partition: &mut PartitionProduceResponse, outcome: Option<ProduceOutcome>) {
    match outcome {
        Some(Ok(produced)) => {
            partition.base_offset = produced.base_offset.get();
            partition.log_append_time_ms = Timestamp::to_wire(produced.append_time);
            partition.log_start_offset = produced.log_start.get();
        }
        Some(Err(error)) => {
            partition.error_code = errors::produce(&error);
            partition.error_message = Some(error.to_string());
            partition.record_errors = errors::record_errors(&error)
                .map(|(index, message)| BatchIndexAndErrorMessage {
                    batch_index: index,
                    batch_index_error_message: Some(message),
                })
                .collect();
        }
        // The partition was closed with the records in it.
        None => partition.error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER,
    }
}

fn all_failed(request: ProduceRequest, error: ErrorCode) -> ProduceResponse {
    let responses = request.topic_data.into_iter().map(|topic| unanswered(topic, error)).collect();
    ProduceResponse { responses, ..Default::default() }
}

fn unanswered(topic: TopicProduceData, error: ErrorCode) -> TopicProduceResponse {
    let partition_responses = topic
        .partition_data
        .iter()
        .map(|partition| PartitionProduceResponse {
            index: partition.index,
            error_code: error,
            base_offset: Offset::to_wire(None),
            log_append_time_ms: Timestamp::to_wire(None),
            log_start_offset: Offset::to_wire(None),
            ..Default::default()
        })
        .collect();
    TopicProduceResponse { name: topic.name, topic_id: topic.topic_id, partition_responses }
}
