//! OffsetForLeaderEpoch: where leader epochs end.

use std::sync::Arc;

use ottla_node::FetchError;
use ottla_node::admin::epochs::EpochQuery;
use ottla_node::storage::EpochEnd;
use ottla_record::LeaderEpoch;
use ottla_wire::ErrorCode;
use ottla_wire::messages::offset_for_leader_epoch_request::OffsetForLeaderEpochRequest;
use ottla_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use crate::dispatch::Call;
use crate::errors;

pub(crate) async fn offset_for_leader_epoch(
    call: Arc<Call>,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let queries = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| EpochQuery {
            topic: topic.topic.clone(),
            partition: partition.partition,
            current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
            epoch: LeaderEpoch::from_wire(partition.leader_epoch),
        })
    });
    let mut outcomes = call.front.node.epoch_ends(queries.collect()).await.into_iter();
    let topics = request
        .topics
        .iter()
        .map(|topic| OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: topic
                .partitions
                .iter()
                .zip(outcomes.by_ref())
                .map(|(asked, outcome)| answer(asked.partition, outcome))
                .collect(),
        })
        .collect();
    OffsetForLeaderEpochResponse { topics, ..Default::default() }
}

fn answer(partition: i32, outcome: Result<Option<EpochEnd>, FetchError>) -> EpochEndOffset {
    match outcome {
        Ok(Some(end)) => EpochEndOffset {
            error_code: ErrorCode::NONE,
            partition,
            leader_epoch: end.epoch.get(),
            end_offset: end.end.get(),
        },
        // Unknown: -1, -1.
        Ok(None) => EpochEndOffset { partition, ..Default::default() },
        Err(error) => EpochEndOffset { error_code: errors::fetch(error), partition, ..Default::default() },
    }
}
