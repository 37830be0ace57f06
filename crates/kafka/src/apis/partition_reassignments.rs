//! AlterPartitionReassignments and ListPartitionReassignments: replicas move (KIP-455).

use std::sync::Arc;

use ottla_node::admin::reassignments::{self, OngoingReassignment};
use ottla_node::admin::{AdminError, ChangeMode, ChangeOptions};
use ottla_node::coordination::metadata::{Image, Reassign, ReassignError};
use ottla_record::{BrokerId, PartitionIndex};
use ottla_wire::ErrorCode;
use ottla_wire::messages::alter_partition_reassignments_request::AlterPartitionReassignmentsRequest;
use ottla_wire::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use ottla_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_wire::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};

use crate::apis::{Refused, timeout};
use crate::dispatch::Call;
use crate::errors;

pub(crate) async fn alter_partition_reassignments(
    call: Arc<Call>,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let options = ChangeOptions { mode: ChangeMode::Commit, timeout: timeout(request.timeout_ms) };
    let node = &call.front.node;
    let outcomes =
        node.alter_reassignments(asked(&request), request.allow_replication_factor_change, options).await;
    answer(&request, outcomes)
}

/// The partitions in the order of the request.
fn asked(request: &AlterPartitionReassignmentsRequest) -> Vec<Reassign> {
    let topics = request.topics.iter();
    let partitions = topics.flat_map(|topic| topic.partitions.iter().map(move |p| (&topic.name, p)));
    partitions
        .map(|(topic, partition)| Reassign {
            topic: topic.clone(),
            partition: PartitionIndex::new(partition.partition_index),
            target: partition.replicas.as_ref().map(|ids| ids.iter().copied().map(BrokerId::new).collect()),
        })
        .collect()
}

fn answer(
    request: &AlterPartitionReassignmentsRequest,
    outcomes: Result<Vec<Result<(), ReassignError>>, AdminError>,
) -> AlterPartitionReassignmentsResponse {
    let allow_replication_factor_change = request.allow_replication_factor_change;
    let mut outcomes = match outcomes {
        Ok(outcomes) => outcomes.into_iter(),
        // Nothing was done: the answer says so once, and names no partition, as Kafka's does.
        Err(error) => {
            let (error_code, error_message) = Refused::split(Some(errors::admin(&error)));
            return AlterPartitionReassignmentsResponse {
                allow_replication_factor_change,
                error_code,
                error_message,
                ..Default::default()
            };
        }
    };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let refused = match outcomes.next() {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(Refused::new(errors::reassign(&error), error.to_string())),
                None => Some(Refused::mismatch()),
            };
            let (error_code, error_message) = Refused::split(refused);
            ReassignablePartitionResponse {
                partition_index: partition.partition_index,
                error_code,
                error_message,
            }
        });
        ReassignableTopicResponse { name: topic.name.clone(), partitions: partitions.collect() }
    });
    AlterPartitionReassignmentsResponse {
        responses: topics.collect(),
        allow_replication_factor_change,
        error_code: ErrorCode::NONE,
        ..Default::default()
    }
}

pub(crate) fn list_partition_reassignments(
    call: &Call,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    list(&call.front.node.image(), &request)
}

/// Partitions that do not move, or do not exist, are not in the answer.
fn list(image: &Image, request: &ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
    let ongoing: Vec<OngoingReassignment> = match &request.topics {
        None => reassignments::ongoing(image).collect(),
        Some(topics) => topics
            .iter()
            .flat_map(|topic| topic.partition_indexes.iter().map(move |index| (&topic.name, *index)))
            .filter_map(|(topic, index)| reassignments::ongoing_of(image, topic, index))
            .collect(),
    };
    let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
    for moving in ongoing {
        let partition = OngoingPartitionReassignment {
            partition_index: moving.partition.get(),
            replicas: ids(&moving.replicas),
            adding_replicas: ids(&moving.adding),
            removing_replicas: ids(&moving.removing),
        };
        match topics.last_mut() {
            Some(topic) if topic.name == moving.topic => topic.partitions.push(partition),
            _ => topics.push(OngoingTopicReassignment { name: moving.topic, partitions: vec![partition] }),
        }
    }
    ListPartitionReassignmentsResponse { error_code: ErrorCode::NONE, topics, ..Default::default() }
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.get()).collect()
}

#[cfg(test)]
mod tests;
