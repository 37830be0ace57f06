//! CreateTopics.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_node::admin::ChangeOptions;
use ottla_node::admin::topics::{WantedLayout, WantedTopic};
use ottla_node::coordination::metadata::{CreateTopicError, CreatedTopic, ManualAssignment};
use ottla_record::{BrokerId, PartitionIndex};
use ottla_wire::ErrorCode;
use ottla_wire::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};

use crate::apis::{Refused, change_mode, named_once, timeout};
use crate::dispatch::Call;
use crate::errors;

/// From this version on the answer says what the topics came to (KIP-525).
const CONFIGS_FROM: i16 = 5;

/// How a client leaves a number to the broker's defaults (KIP-464).
const DEFAULT: i32 = -1;

pub(crate) async fn create_topics(call: Arc<Call>, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let options =
        ChangeOptions { mode: change_mode(request.validate_only), timeout: timeout(request.timeout_ms) };
    // Whoever is named twice is answered once, at the end.
    let (once, twice) = named_once(&request.topics, |topic| topic.name.as_str());
    let wanted: Vec<Result<WantedTopic, Refused>> = once.iter().map(|topic| wanted(topic)).collect();
    let asked = wanted.iter().flatten().cloned().collect();
    let mut outcomes = call.front.node.create_topics(asked, options).await.map(Vec::into_iter);
    let answers = once.iter().zip(wanted).map(|(topic, wanted)| {
        let outcome = match (wanted, &mut outcomes) {
            (Err(refused), _) => Err(refused),
            (Ok(_), Err(error)) => Err(errors::admin(error)),
            (Ok(_), Ok(outcomes)) => outcome(outcomes.next()),
        };
        answer(&call, topic, outcome)
    });
    let mut topics: Vec<_> = answers.collect();
    topics.extend(twice.into_iter().map(|name| refusal(name, Refused::duplicate_topic())));
    CreateTopicsResponse { topics, ..Default::default() }
}

fn wanted(topic: &CreatableTopic) -> Result<WantedTopic, Refused> {
    let configs = topic.configs.iter().map(|config| (config.name.clone(), config.value.clone())).collect();
    Ok(WantedTopic { name: topic.name.clone(), layout: layout(topic)?, configs })
}

fn layout(topic: &CreatableTopic) -> Result<WantedLayout, Refused> {
    let (partitions, factor) = (topic.num_partitions, topic.replication_factor);
    if topic.assignments.is_empty() {
        return Ok(WantedLayout::Placed {
            partitions: (partitions != DEFAULT).then_some(partitions),
            replication_factor: (i32::from(factor) != DEFAULT).then_some(factor),
        });
    }
    let contradiction = if i32::from(factor) != DEFAULT {
        Some("replication factor was not set to -1.")
    } else if partitions != DEFAULT {
        Some("numPartitions was not set to -1.")
    } else {
        None
    };
    if let Some(what) = contradiction {
        let message = format!("A manual partition assignment was specified, but {what}");
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    }
    let assignments = topic.assignments.iter().map(|assignment| ManualAssignment {
        partition: PartitionIndex::new(assignment.partition_index),
        replicas: assignment.broker_ids.iter().copied().map(BrokerId::new).collect(),
    });
    Ok(WantedLayout::Manual(assignments.collect()))
}

fn outcome(outcome: Option<Result<CreatedTopic, CreateTopicError>>) -> Result<CreatedTopic, Refused> {
    match outcome {
        Some(Ok(created)) => Ok(created),
        Some(Err(error)) => Err(Refused::new(errors::create_topic(&error), error.to_string())),
        None => Err(Refused::mismatch()),
    }
}

fn answer(
    call: &Call,
    topic: &CreatableTopic,
    outcome: Result<CreatedTopic, Refused>,
) -> CreatableTopicResult {
    let created = match outcome {
        Ok(created) => created,
        Err(refused) => return refusal(&topic.name, refused),
    };
    let configs = (call.version >= CONFIGS_FROM).then(|| {
        let set =
            topic.configs.iter().filter_map(|config| Some((config.name.clone(), config.value.clone()?)));
        let overrides: BTreeMap<String, String> = set.collect();
        let entries = call.front.node.describe_new_topic(&overrides, created.replication_factor);
        let configs = entries.into_iter().map(|entry| CreatableTopicConfigs {
            name: entry.name,
            value: entry.value,
            read_only: entry.read_only,
            config_source: entry.source.wire_code(),
            is_sensitive: entry.sensitive,
        });
        configs.collect()
    });
    CreatableTopicResult {
        name: topic.name.clone(),
        topic_id: created.id.0,
        num_partitions: i32::try_from(created.partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(created.replication_factor).unwrap_or(i16::MAX),
        configs,
        ..Default::default()
    }
}

fn refusal(name: &str, refused: Refused) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        error_code: refused.code,
        error_message: Some(refused.message),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
