//! ListOffsets: the ends of partitions, and offsets by timestamp.

use std::collections::HashSet;
use std::sync::Arc;

use ottla_node::Isolation;
use ottla_node::admin::offsets::{FoundOffset, OffsetError, OffsetQuery, OffsetReader, WantedOffset};
use ottla_record::{LeaderEpoch, Offset, Timestamp};
use ottla_wire::ErrorCode;
use ottla_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use ottla_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use crate::dispatch::Call;
use crate::errors;

/// Older clients take LEADER_NOT_AVAILABLE for "ask again" (KIP-207).
const OFFSET_NOT_AVAILABLE_FROM: i16 = 5;

/// The answer cannot say an epoch before (KIP-320), and one that is given is not left out in silence.
const LEADER_EPOCH_FROM: i16 = 4;

/// How a consumer names itself where a replica gives its broker id.
const CONSUMER: i32 = -1;

pub(crate) async fn list_offsets(call: Arc<Call>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let reader = reader(&request);
    let twice = named_twice(&request);
    let mut queries = Vec::new();
    let mut topics: Vec<ListOffsetsTopicResponse> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let answers = topic.partitions.iter().map(|partition| {
            let is_twice = twice.contains(&(topic.name.as_str(), partition.partition_index));
            let (error_code, wanted) = match wanted(partition.timestamp, call.version) {
                _ if is_twice => (ErrorCode::INVALID_REQUEST, None),
                None => (ErrorCode::UNSUPPORTED_VERSION, None),
                wanted => (ErrorCode::NONE, wanted),
            };
            queries.extend(wanted.map(|wanted| query(&topic.name, partition, wanted)));
            ListOffsetsPartitionResponse {
                partition_index: partition.partition_index,
                error_code,
                ..Default::default()
            }
        });
        let partitions = answers.collect();
        topics.push(ListOffsetsTopicResponse { name: topic.name.clone(), partitions });
    }
    let outcomes = call.front.node.list_offsets(reader, queries).await;
    let asked = topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions)
        .filter(|answer| !answer.error_code.is_error());
    for (answer, outcome) in asked.zip(outcomes) {
        fill(answer, outcome, call.version);
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

fn reader(request: &ListOffsetsRequest) -> OffsetReader {
    match (request.replica_id, request.isolation_level) {
        (CONSUMER, 0) => OffsetReader::Consumer(Isolation::ReadUncommitted),
        (CONSUMER, _) => OffsetReader::Consumer(Isolation::ReadCommitted),
        _ => OffsetReader::Replica,
    }
}

/// Negative timestamps are questions of their own, each known from some version on.
fn wanted(timestamp: i64, version: i16) -> Option<WantedOffset> {
    let (wanted, from) = match timestamp {
        -1 => (WantedOffset::Latest, 1),
        -2 => (WantedOffset::Earliest, 1),
        -3 => (WantedOffset::MaxTimestamp, 7),
        -4 => (WantedOffset::EarliestLocal, 8),
        -5 => (WantedOffset::LatestTiered, 9),
        -6 => (WantedOffset::EarliestPendingUpload, 11),
        _ => (WantedOffset::AtOrAfter(Timestamp::from_wire(timestamp)?), 1),
    };
    (version >= from).then_some(wanted)
}

fn query(topic: &str, partition: &ListOffsetsPartition, wanted: WantedOffset) -> OffsetQuery {
    OffsetQuery {
        topic: topic.to_owned(),
        partition: partition.partition_index,
        current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
        wanted,
    }
}

fn fill(answer: &mut ListOffsetsPartitionResponse, outcome: Result<FoundOffset, OffsetError>, version: i16) {
    match outcome {
        Ok(found) => {
            answer.timestamp = Timestamp::to_wire(found.timestamp);
            answer.offset = Offset::to_wire(found.offset);
            if version >= LEADER_EPOCH_FROM {
                answer.leader_epoch = LeaderEpoch::to_wire(found.leader_epoch);
            }
        }
        Err(OffsetError::NotAvailable) if version < OFFSET_NOT_AVAILABLE_FROM => {
            answer.error_code = ErrorCode::LEADER_NOT_AVAILABLE;
        }
        Err(error) => answer.error_code = errors::offset(error),
    }
}

/// Partitions that one request names more than once: which answer would be whose?
fn named_twice(request: &ListOffsetsRequest) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    let partitions = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (topic.name.as_str(), partition.partition_index))
    });
    partitions.filter(|partition| !seen.insert(*partition)).collect()
}

#[cfg(test)]
mod tests;
