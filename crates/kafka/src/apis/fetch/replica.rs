//! Fetch from a follower: what it has is taken note of, and what comes next goes out, up to the end of the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_node::ports::ReplicaFetchError;
use ottla_node::storage::{ReadSlice, producer_snapshot};
use ottla_node::{ForReplica, ReplicaFetchOptions};
use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch};
use ottla_wire::messages::fetch_request::FetchRequest;
use ottla_wire::messages::fetch_response::{EpochEndOffset, FetchResponse, PartitionData};
use ottla_wire::{ErrorCode, Records};

use crate::apis::fetch::MAX_WAIT;
use crate::apis::fetch::answer::{self, Answer};
use crate::apis::fetch::replica_session::ReplicaSession;
use crate::dispatch::Call;
use crate::fetch_session::Topic;
use crate::leaders::Leaders;
use crate::outbox::Frame;
use crate::reply::{Refusal, Reply};

/// From this version on a follower says its registration (KIP-903).
const REPLICA_STATE_FROM: i16 = 15;
/// The number of a connection's session.
const FIRST_SESSION: i32 = 1;

/// Whoever fetches as a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    id: BrokerId,
    epoch: Option<BrokerEpoch>,
}

impl Replica {
    /// The replica that a request says it is; `None` for a consumer.
    pub(super) fn of(request: &FetchRequest, version: i16) -> Option<Self> {
        let state = &request.replica_state;
        let (id, epoch) = if version >= REPLICA_STATE_FROM {
            (state.replica_id, BrokerEpoch::from_wire(state.replica_epoch))
        } else {
            (request.replica_id, None)
        };
        Some(Self { id: BrokerId::from_wire(id)?, epoch })
    }
}

pub(super) fn handle(call: Call, request: FetchRequest, replica: Replica) -> Reply {
    call.peer.is_broker.store(true, Ordering::Relaxed);
    Reply::LongPoll(Box::pin(async move {
        let node = Arc::clone(&call.front.node);
        let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
        let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0);
        let now = node.clock().now().monotonic;
        let options = ReplicaFetchOptions {
            replica: replica.id,
            replica_epoch: replica.epoch,
            max_bytes,
            min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes),
            deadline: now + max_wait,
        };
        // The connection is this session's, so its number need not be hard to guess.
        let kept = call.peer.replica_session.lock().take();
        let mut session = match ReplicaSession::resolve(kept, request, call.version, FIRST_SESSION) {
            Ok(session) => session,
            Err(error_code) => return call.answer(&FetchResponse { error_code, ..Default::default() }),
        };
        let outcomes = node.fetch_as_replica(options, &session.items(now)).await;
        let frame = answer(&call, session.id(), session.tell(outcomes, now));
        if session.id() != 0 {
            *call.peer.replica_session.lock() = Some(session);
        }
        frame
    }))
}

fn answer(
    call: &Call,
    session_id: i32,
    news: Vec<(Topic, i32, Result<ForReplica, ReplicaFetchError>)>,
) -> Result<Frame, Refusal> {
    let mut answer = Answer::default();
    answer.response.session_id = session_id;
    let (mut leaders, mut told) = (None, 0);
    for (topic, partition, outcome) in news {
        let outcome = match outcome {
            Ok(ForReplica::OutOfRange { producers, .. }) if !fits(producers.iter().len(), &mut told) => {
                Err(ReplicaFetchError::OffsetMoved)
            }
            outcome => outcome,
        };
        let (mut data, slice) = data(partition, outcome);
        if answer::wants_leader(call, data.error_code) {
            let leaders = leaders.get_or_insert_with(|| Leaders::new(&call.front));
            answer::note_leader(leaders, &mut data, topic.key());
        }
        answer.push(&topic, data, slice);
    }
    answer.response.node_endpoints = leaders.map(Leaders::into_fetch_endpoints).unwrap_or_default();
    answer.encode(call)
}

/// So many producers are told of in one answer, unless they are one partition's: 10 MB, about. The other partitions are to ask again.
const MOST_PRODUCERS: usize = 50_000;

/// True if so many producers may be told of besides those that are.
fn fits(producers: usize, told: &mut usize) -> bool {
    let fits = producers == 0 || *told == 0 || *told + producers <= MOST_PRODUCERS;
    *told += if fits { producers } else { 0 };
    fits
}

fn data(index: i32, outcome: Result<ForReplica, ReplicaFetchError>) -> (PartitionData, Option<ReadSlice>) {
    let empty = answer::nothing(index);
    match outcome {
        Ok(ForReplica::Records { slice, high_watermark, log_start }) => {
            let data = PartitionData {
                high_watermark: high_watermark.get(),
                log_start_offset: log_start.get(),
                ..empty
            };
            (data, slice)
        }
        Ok(ForReplica::Diverging { epoch, end }) => {
            let diverging_epoch =
                EpochEndOffset { epoch: LeaderEpoch::to_wire(epoch), end_offset: end.get() };
            (PartitionData { diverging_epoch, ..empty }, None)
        }
        Ok(ForReplica::OutOfRange { log_start, log_end, producers }) => {
            let data = PartitionData {
                error_code: ErrorCode::OFFSET_OUT_OF_RANGE,
                log_start_offset: log_start.get(),
                // A follower has no use for the last stable offset, and would have to ask again for the log's end.
                last_stable_offset: log_end.get(),
                // There are none; their place takes what is known of who wrote before, as a producer snapshot.
                records: Some(Records::Inline(producer_snapshot::encode(&producers).into())),
                ..empty
            };
            (data, None)
        }
        Err(error) => (PartitionData { error_code: code(error), ..empty }, None),
    }
}

fn code(error: ReplicaFetchError) -> ErrorCode {
    match error {
        ReplicaFetchError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReplicaFetchError::FencedLeaderEpoch => ErrorCode::FENCED_LEADER_EPOCH,
        ReplicaFetchError::UnknownLeaderEpoch => ErrorCode::UNKNOWN_LEADER_EPOCH,
        ReplicaFetchError::UnknownPartition => ErrorCode::UNKNOWN_TOPIC_ID,
        ReplicaFetchError::StaleBrokerEpoch => ErrorCode::STALE_BROKER_EPOCH,
        ReplicaFetchError::Storage => ErrorCode::KAFKA_STORAGE_ERROR,
        ReplicaFetchError::OffsetMoved => ErrorCode::OFFSET_NOT_AVAILABLE,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_of_a_bounded_number_of_producers_and_of_one_partitions_in_any_case() {
        let mut told = 0;
        assert!(fits(0, &mut told) && fits(MOST_PRODUCERS + 1, &mut told));
        assert!(!fits(1, &mut told) && fits(0, &mut told));
        let mut told = 0;
        assert!(fits(20_000, &mut told) && fits(20_000, &mut told) && !fits(20_000, &mut told));
        assert!(fits(10_000, &mut told) && !fits(1, &mut told));
    }
}
