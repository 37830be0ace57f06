//! Fetch as followers send it: topics by id, the follower's registration, the epoch of its last record (KIP-595, KIP-903).

use std::sync::Arc;

use bytes::Bytes;
use ottla_node::ports::{
    LeaderAnswer, PeerError, ReplicaFetch, ReplicaFetchError, ReplicaFetchPartition, ReplicaFetched,
};
use ottla_node::storage::{ProducerStates, producer_snapshot};
use ottla_record::{LeaderEpoch, Offset, PartitionIndex, TopicId, Uuid};
use ottla_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};
use ottla_wire::messages::fetch_response::{FetchResponse, PartitionData};
use ottla_wire::{ErrorCode, Records};

/// The version that carries the follower's high watermark (KIP-1166), too.
pub(super) const FETCH_VERSION: i16 = 18;

/// A fetch outside of any session.
const NO_SESSION_EPOCH: i32 = -1;

/// A fetch of some of its partitions.
pub(super) fn request(fetch: &ReplicaFetch, partitions: &[ReplicaFetchPartition]) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for partition in partitions {
        let wanted = FetchPartition {
            partition: partition.partition.get(),
            current_leader_epoch: partition.leader_epoch.get(),
            fetch_offset: partition.offset.get(),
            last_fetched_epoch: LeaderEpoch::to_wire(partition.last_epoch),
            log_start_offset: partition.log_start.get(),
            partition_max_bytes: bounded(partition.max_bytes),
            high_watermark: partition.high_watermark.map_or(i64::MAX, Offset::get),
            ..Default::default()
        };
        match topics.last_mut().filter(|last| last.topic_id == partition.topic_id.0) {
            Some(last) => last.partitions.push(wanted),
            None => topics.push(FetchTopic {
                topic_id: partition.topic_id.0,
                partitions: vec![wanted],
                ..Default::default()
            }),
        }
    }
    FetchRequest {
        replica_state: ReplicaState {
            replica_id: fetch.replica.get(),
            replica_epoch: fetch.replica_epoch.get(),
        },
        max_wait_ms: i32::try_from(fetch.max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: bounded(fetch.min_bytes),
        max_bytes: bounded(fetch.max_bytes),
        session_epoch: NO_SESSION_EPOCH,
        topics,
        ..Default::default()
    }
}

fn bounded(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

pub(super) fn answers(response: FetchResponse) -> Result<Vec<ReplicaFetched>, PeerError> {
    if response.error_code.is_error() {
        return Err(PeerError::Refused(response.error_code.0));
    }
    let mut fetched = Vec::with_capacity(response.responses.iter().map(|topic| topic.partitions.len()).sum());
    for topic in response.responses {
        for data in topic.partitions {
            fetched.push(answer(topic.topic_id, data)?);
        }
    }
    Ok(fetched)
}

fn answer(topic: Uuid, data: PartitionData) -> Result<ReplicaFetched, PeerError> {
    let partition = PartitionIndex::new(data.partition_index);
    let missing = |what: &str| PeerError::Malformed(format!("{what} of partition {partition} is missing"));
    let log_start = || Offset::from_wire(data.log_start_offset).ok_or_else(|| missing("the log start"));
    let diverging = Offset::from_wire(data.diverging_epoch.end_offset);
    let outcome = match data.error_code {
        ErrorCode::NONE => Ok(match diverging {
            Some(end) => {
                LeaderAnswer::Diverging { epoch: LeaderEpoch::from_wire(data.diverging_epoch.epoch), end }
            }
            None => LeaderAnswer::Records {
                high_watermark: Offset::from_wire(data.high_watermark)
                    .ok_or_else(|| missing("the high watermark"))?,
                log_start: log_start()?,
                bytes: match data.records {
                    Some(Records::Inline(bytes)) => bytes,
                    Some(Records::Hole { .. }) | None => Bytes::new(),
                },
            },
        }),
        ErrorCode::OFFSET_OUT_OF_RANGE => Ok(LeaderAnswer::OutOfRange {
            log_start: log_start()?,
            // Where consumers have the last stable offset, see the leader's side.
            log_end: Offset::from_wire(data.last_stable_offset).ok_or_else(|| missing("the log end"))?,
            producers: Arc::new(producers(data.records)?),
        }),
        error => Err(refusal(error)),
    };
    Ok(ReplicaFetched { topic_id: TopicId(topic), partition, outcome })
}

/// Those that wrote before the leader's log start; see the leader's side for where they are.
fn producers(records: Option<Records>) -> Result<ProducerStates, PeerError> {
    match records {
        Some(Records::Inline(bytes)) if !bytes.is_empty() => producer_snapshot::decode(&bytes)
            .map_err(|error| PeerError::Malformed(format!("the producers' states: {error}"))),
        Some(Records::Inline(_) | Records::Hole { .. }) | None => Ok(ProducerStates::default()),
    }
}

fn refusal(error: ErrorCode) -> ReplicaFetchError {
    match error {
        ErrorCode::NOT_LEADER_OR_FOLLOWER => ReplicaFetchError::NotLeader,
        ErrorCode::FENCED_LEADER_EPOCH => ReplicaFetchError::FencedLeaderEpoch,
        ErrorCode::UNKNOWN_LEADER_EPOCH => ReplicaFetchError::UnknownLeaderEpoch,
        ErrorCode::UNKNOWN_TOPIC_ID | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
            ReplicaFetchError::UnknownPartition
        }
        ErrorCode::STALE_BROKER_EPOCH => ReplicaFetchError::StaleBrokerEpoch,
        ErrorCode::KAFKA_STORAGE_ERROR => ReplicaFetchError::Storage,
        ErrorCode::OFFSET_NOT_AVAILABLE => ReplicaFetchError::OffsetMoved,
        other => ReplicaFetchError::Other(other.0),
    }
}
