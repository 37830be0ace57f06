//! CreatePartitions: topics grow.

use std::sync::Arc;

use ottla_node::admin::ChangeOptions;
use ottla_node::admin::topics::WantedPartitions;
use ottla_record::BrokerId;
use ottla_wire::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_wire::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use crate::apis::{Refused, change_mode, named_once, timeout};
use crate::dispatch::Call;
use crate::errors;

pub(crate) async fn create_partitions(
    call: Arc<Call>,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let options =
        ChangeOptions { mode: change_mode(request.validate_only), timeout: timeout(request.timeout_ms) };
    let (once, twice) = named_once(&request.topics, |topic| topic.name.as_str());
    let asked = once.iter().map(|topic| wanted(topic)).collect();
    let mut outcomes = call.front.node.create_partitions(asked, options).await.map(Vec::into_iter);
    let answers = once.iter().map(|topic| {
        let refused = match &mut outcomes {
            Err(error) => Some(errors::admin(error)),
            Ok(outcomes) => match outcomes.next() {
                Some(Ok(_)) => None,
                Some(Err(error)) => Some(Refused::new(errors::create_partitions(&error), error.to_string())),
                None => Some(Refused::mismatch()),
            },
        };
        answer(&topic.name, refused)
    });
    let mut results: Vec<_> = answers.collect();
    results.extend(twice.into_iter().map(|name| answer(name, Some(Refused::duplicate_topic()))));
    CreatePartitionsResponse { results, ..Default::default() }
}

fn wanted(topic: &CreatePartitionsTopic) -> WantedPartitions {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        let brokers = assignments.iter().map(|assignment| &assignment.broker_ids);
        brokers.map(|ids| ids.iter().copied().map(BrokerId::new).collect()).collect()
    });
    WantedPartitions { topic: topic.name.clone(), count: topic.count, assignments }
}

fn answer(name: &str, refused: Option<Refused>) -> CreatePartitionsTopicResult {
    let (error_code, error_message) = Refused::split(refused);
    CreatePartitionsTopicResult { name: name.to_owned(), error_code, error_message }
}
