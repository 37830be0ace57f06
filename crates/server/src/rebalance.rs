//! Replicas and leaderships that move, and plans of it: the part of the service `Cluster` that changes something.

use std::sync::Arc;

use ottla_node::Node;
use ottla_node::admin::ChangeOptions;
use ottla_node::admin::reassignments::{self, PlanKind};
use ottla_node::coordination::metadata::plan::{Load, Move, StepLimit};
use ottla_node::coordination::metadata::{Election, Image, Reassign};
use ottla_node::record::{BrokerId, PartitionIndex};
use ottla_rpc::v1;
use ottla_rpc::v1::plan_moves_request::Kind;
use tonic::{Response, Status};

use crate::errors::{self, Failure};
use crate::topics::count;

/// Partitions of one step where the client does not say.
const STEP_PARTITIONS: usize = 10;

/// Bytes of one step where the client does not say.
const STEP_BYTES: u64 = 10 * 1024 * 1024 * 1024;

pub(crate) async fn alter(
    node: &Arc<Node>,
    request: v1::AlterReassignmentsRequest,
    options: ChangeOptions,
) -> Result<Response<v1::AlterReassignmentsResponse>, Status> {
    let asked = request.reassignments.iter().map(|reassignment| Reassign {
        topic: reassignment.topic.clone(),
        partition: PartitionIndex::new(reassignment.partition),
        target: reassignment.to.as_ref().map(|to| to.brokers.iter().copied().map(BrokerId::new).collect()),
    });
    let outcomes = node.alter_reassignments(asked.collect(), true, options).await;
    let outcomes = outcomes.map_err(|error| errors::admin(&error))?;
    if outcomes.len() != request.reassignments.len() {
        return Err(errors::mismatch().into());
    }
    let outcomes = request.reassignments.into_iter().zip(outcomes).map(|(asked, outcome)| {
        outcome_of(asked.topic, asked.partition, outcome.map_err(|error| errors::reassign(&error)))
    });
    Ok(Response::new(v1::AlterReassignmentsResponse { outcomes: outcomes.collect() }))
}

pub(crate) fn list(image: &Image) -> v1::ListReassignmentsResponse {
    let ongoing = reassignments::ongoing(image).map(|moving| v1::OngoingReassignment {
        topic: moving.topic,
        partition: moving.partition.get(),
        replicas: ids(&moving.replicas),
        adding: ids(&moving.adding),
        removing: ids(&moving.removing),
    });
    v1::ListReassignmentsResponse { reassignments: ongoing.collect() }
}

pub(crate) async fn elect(
    node: &Arc<Node>,
    request: v1::ElectLeadersRequest,
    options: ChangeOptions,
) -> Result<Response<v1::ElectLeadersResponse>, Status> {
    let election = if request.unclean { Election::Unclean } else { Election::Preferred };
    let named = request.partitions.into_iter().map(|name| (name.topic, PartitionIndex::new(name.partition)));
    let named: Vec<_> = named.collect();
    let named = (!named.is_empty()).then_some(named);
    let outcomes = node.elect_leaders(election, named, options).await;
    let outcomes = outcomes.map_err(|error| errors::admin(&error))?.into_iter();
    let outcomes = outcomes.map(|(topic, partition, outcome)| {
        outcome_of(topic, partition.get(), outcome.map_err(|error| errors::election(&error)))
    });
    Ok(Response::new(v1::ElectLeadersResponse { outcomes: outcomes.collect() }))
}

pub(crate) fn plan(
    node: &Arc<Node>,
    request: v1::PlanMovesRequest,
) -> Result<v1::PlanMovesResponse, Failure> {
    let kind = match request.kind {
        None => return Err(errors::invalid("kind is not set: what should be planned?")),
        Some(Kind::Balance(v1::BalancePlan {})) => PlanKind::Balance,
        Some(Kind::Drain(drain)) => PlanKind::Drain(BrokerId::new(drain.broker)),
        Some(Kind::Raise(raise)) => PlanKind::Raise {
            topics: raise.topics,
            factor: usize::try_from(raise.replicas)
                .map_err(|_| errors::invalid(format!("replicas {} is negative", raise.replicas)))?,
        },
    };
    let limit = limit(request.step_partitions, request.step_bytes)?;
    let known = request.sizes.into_iter().map(|log| {
        let size = u64::try_from(log.size_bytes).unwrap_or(0);
        ((log.topic, log.partition), size)
    });
    let plan = node.plan(&kind, &known.collect()).map_err(|error| errors::drain(&error))?;
    let steps = plan.steps(limit).map(|step| v1::PlanStep { moves: step.iter().map(planned).collect() });
    let elections = plan
        .elections
        .iter()
        .map(|(topic, partition)| v1::PartitionName { topic: topic.to_string(), partition: partition.get() });
    let brokers = plan.loads.iter().map(|(before, after)| v1::PlannedLoad {
        broker: before.broker.get(),
        before: Some(load(before)),
        after: Some(load(after)),
    });
    Ok(v1::PlanMovesResponse {
        steps: steps.collect(),
        elections: elections.collect(),
        brokers: brokers.collect(),
    })
}

fn limit(partitions: i32, bytes: i64) -> Result<StepLimit, Failure> {
    let partitions = usize::try_from(partitions)
        .map_err(|_| errors::invalid(format!("step_partitions {partitions} is negative")))?;
    let bytes =
        u64::try_from(bytes).map_err(|_| errors::invalid(format!("step_bytes {bytes} is negative")))?;
    Ok(StepLimit {
        partitions: if partitions == 0 { STEP_PARTITIONS } else { partitions },
        bytes: if bytes == 0 { STEP_BYTES } else { bytes },
    })
}

fn planned(planned: &Move) -> v1::PlannedMove {
    v1::PlannedMove {
        topic: planned.topic.to_string(),
        partition: planned.partition.get(),
        from: ids(&planned.from),
        to: ids(&planned.to),
        bytes: bytes(planned.bytes),
    }
}

fn load(load: &Load) -> v1::BrokerLoad {
    v1::BrokerLoad { replicas: count(load.replicas), leaders: count(load.leaders), bytes: bytes(load.bytes) }
}

fn outcome_of(topic: String, partition: i32, outcome: Result<(), Failure>) -> v1::PartitionOutcome {
    let (error, message) = match outcome {
        Ok(()) => (None, String::new()),
        Err(failure) => {
            let message = failure.message.clone();
            (Some(failure.about(&topic, Some(partition)).into_detail()), message)
        }
    };
    v1::PartitionOutcome { topic, partition, error, message }
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.get()).collect()
}

fn bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
