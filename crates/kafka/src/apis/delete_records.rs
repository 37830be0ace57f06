//! DeleteRecords: partitions lose their oldest records (KIP-107).

use std::sync::Arc;

use ottla_node::admin::records::{Deletion, DeletionError};
use ottla_node::coordinator::internal_topics::is_internal;
use ottla_record::Offset;
use ottla_wire::ErrorCode;
use ottla_wire::messages::delete_records_request::DeleteRecordsRequest;
use ottla_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use crate::apis::timeout;
use crate::dispatch::Call;
use crate::errors;

/// How a client asks for everything consumers can see to be deleted.
const HIGH_WATERMARK: i64 = -1;

pub(crate) async fn delete_records(call: Arc<Call>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut deletions = Vec::new();
    let mut topics: Vec<DeleteRecordsTopicResult> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let answers = topic.partitions.iter().map(|partition| {
            let before = Offset::from_wire(partition.offset);
            let error_code = match before {
                _ if is_internal(&topic.name) => ErrorCode::INVALID_TOPIC_EXCEPTION,
                None if partition.offset != HIGH_WATERMARK => ErrorCode::OFFSET_OUT_OF_RANGE,
                _ => ErrorCode::NONE,
            };
            if !error_code.is_error() {
                deletions.push(Deletion {
                    topic: topic.name.clone(),
                    partition: partition.partition_index,
                    before,
                });
            }
            DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: Offset::to_wire(None),
                error_code,
            }
        });
        let partitions = answers.collect();
        topics.push(DeleteRecordsTopicResult { name: topic.name.clone(), partitions });
    }
    let outcomes = call.front.node.delete_records(deletions, timeout(request.timeout_ms)).await;
    let asked = topics
        .iter_mut()
        .flat_map(|topic| &mut topic.partitions)
        .filter(|answer| !answer.error_code.is_error());
    for (answer, outcome) in asked.zip(outcomes) {
        fill(answer, outcome);
    }
    DeleteRecordsResponse { topics, ..Default::default() }
}

fn fill(answer: &mut DeleteRecordsPartitionResult, outcome: Result<Offset, DeletionError>) {
    match outcome {
        Ok(log_start) => answer.low_watermark = log_start.get(),
        Err(error) => answer.error_code = errors::deletion(error),
    }
}
