//! ElectLeaders: leaders as an operator wants them (KIP-460).

use std::sync::Arc;

use ottla_node::admin::ChangeOptions;
use ottla_node::admin::cluster::ElectionOutcome;
use ottla_node::coordination::metadata::Election;
use ottla_record::PartitionIndex;
use ottla_wire::ErrorCode;
use ottla_wire::messages::elect_leaders_request::ElectLeadersRequest;
use ottla_wire::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use crate::apis::{Refused, change_mode, timeout};
use crate::dispatch::Call;
use crate::errors;

/// Before this version there is no field for what concerns the whole request, and no election but the preferred one.
const ERROR_FROM: i16 = 1;

pub(crate) async fn elect_leaders(call: Arc<Call>, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let named = named(&request);
    let outcome = match election(&request) {
        Ok(election) => {
            let options = ChangeOptions { mode: change_mode(false), timeout: timeout(request.timeout_ms) };
            let elected = call.front.node.elect_leaders(election, named.clone(), options).await;
            elected.map_err(|error| errors::admin(&error))
        }
        Err(refused) => Err(refused),
    };
    match outcome {
        Ok(outcomes) => answer(outcomes),
        Err(refused) => refuse(refused, named.unwrap_or_default(), call.version),
    }
}

fn election(request: &ElectLeadersRequest) -> Result<Election, Refused> {
    match request.election_type {
        0 => Ok(Election::Preferred),
        1 => Ok(Election::Unclean),
        other => Err(Refused::new(ErrorCode::INVALID_REQUEST, format!("Unknown election type {other}"))),
    }
}

/// The partitions asked for; `None` for all.
fn named(request: &ElectLeadersRequest) -> Option<Vec<(String, PartitionIndex)>> {
    let topics = request.topic_partitions.as_ref()?;
    let partitions = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (topic.topic.clone(), PartitionIndex::new(*partition)))
    });
    Some(partitions.collect())
}

fn answer(outcomes: Vec<ElectionOutcome>) -> ElectLeadersResponse {
    let mut response = ElectLeadersResponse::default();
    for (topic, partition, outcome) in outcomes {
        let refused =
            outcome.err().map(|error| Refused::new(errors::elect_leader(&error), error.to_string()));
        push(&mut response, topic, partition, refused);
    }
    response
}

/// Nothing was done: said once, and to older clients for each partition.
fn refuse(refused: Refused, named: Vec<(String, PartitionIndex)>, version: i16) -> ElectLeadersResponse {
    let mut response = ElectLeadersResponse::default();
    if version >= ERROR_FROM {
        response.error_code = refused.code;
    }
    for (topic, partition) in named {
        push(&mut response, topic, partition, Some(refused.clone()));
    }
    response
}

fn push(
    response: &mut ElectLeadersResponse,
    topic: String,
    partition: PartitionIndex,
    refused: Option<Refused>,
) {
    let (error_code, error_message) = Refused::split(refused);
    let result = PartitionResult { partition_id: partition.get(), error_code, error_message };
    match response.replica_election_results.iter_mut().find(|known| known.topic == topic) {
        Some(known) => known.partition_result.push(result),
        None => response
            .replica_election_results
            .push(ReplicaElectionResult { topic, partition_result: vec![result] }),
    }
}

#[cfg(test)]
mod tests;
