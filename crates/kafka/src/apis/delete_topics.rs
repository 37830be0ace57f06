//! DeleteTopics: by name, or from version 6 on by id (KIP-516).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ottla_node::admin::{AdminError, ChangeMode, ChangeOptions};
use ottla_node::coordination::metadata::{DeletedTopic, Image, TopicSelector};
use ottla_record::{TopicId, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};

use crate::apis::{Refused, timeout};
use crate::dispatch::Call;
use crate::errors;

/// Older clients do not know TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_FROM: i16 = 3;

pub(crate) async fn delete_topics(call: Arc<Call>, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let options = ChangeOptions { mode: ChangeMode::Commit, timeout: timeout(request.timeout_ms) };
    let checked = check(&call.front.node.image(), &states(request));
    let selectors = checked.iter().filter_map(|asked| asked.selector.as_ref().ok().cloned()).collect();
    let deleted = call.front.node.delete_topics(selectors, options).await;
    let mut outcomes = match deleted {
        Ok(outcomes) => Ok(outcomes.into_iter()),
        Err(error) => Err(whole_refusal(&error, call.version)),
    };
    let answers = checked.into_iter().map(|asked| {
        let outcome = match (&asked.selector, &mut outcomes) {
            (Err(refused), _) => Err(refused.clone()),
            (Ok(_), Err(refused)) => Err(refused.clone()),
            (Ok(_), Ok(outcomes)) => match outcomes.next() {
                Some(Ok(deleted)) => Ok(deleted),
                Some(Err(error)) => Err(Refused::new(errors::delete_topic(&error), error.to_string())),
                None => Err(Refused::mismatch()),
            },
        };
        answer(asked, outcome)
    });
    DeleteTopicsResponse { responses: answers.collect(), ..Default::default() }
}

/// Old versions carry bare names.
fn states(request: DeleteTopicsRequest) -> Vec<DeleteTopicState> {
    let named = |name| DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO };
    request.topics.into_iter().chain(request.topic_names.into_iter().map(named)).collect()
}

/// One line of the request, as far as it makes sense.
#[derive(Debug)]
struct Checked {
    name: Option<String>,
    topic_id: Uuid,
    selector: Result<TopicSelector, Refused>,
}

/// Which topics are to go. What is named twice, in whatever way, is answered once and stays.
fn check(image: &Image, states: &[DeleteTopicState]) -> Vec<Checked> {
    let mut count: HashMap<(Option<&str>, Uuid), usize> = HashMap::new();
    for state in states {
        *count.entry(key(state)).or_default() += 1;
    }
    let is_twice = |state: &DeleteTopicState| count.get(&key(state)).is_some_and(|count| *count > 1);
    let ids: HashSet<Uuid> =
        states.iter().filter(|state| state.name.is_none()).map(|state| state.topic_id).collect();
    // A name, given once, of a topic whose id is given too.
    let aliased = |state: &DeleteTopicState| {
        let name = state.name.as_deref().filter(|_| state.topic_id.is_zero() && !is_twice(state))?;
        let id = image.topic(name)?.id().0;
        ids.contains(&id).then_some(id)
    };
    let aliases: HashSet<Uuid> = states.iter().filter_map(aliased).collect();
    let mut answered = HashSet::new();
    let mut checked = Vec::with_capacity(states.len());
    for state in states.iter().filter(|state| answered.insert(key(state))) {
        let mut topic_id = state.topic_id;
        let selector = match (state.name.as_deref(), topic_id.is_zero()) {
            (None, true) => Err("Neither topic name nor id were specified."),
            (Some(_), false) => Err("You may not specify both topic name and topic id."),
            (Some(_), true) if is_twice(state) => Err("Duplicate topic name."),
            (None, false) if is_twice(state) => Err("Duplicate topic id."),
            // Answered under its name.
            (None, false) if aliases.contains(&topic_id) => continue,
            (None, false) => Ok(TopicSelector::Id(TopicId(topic_id))),
            (Some(name), true) => match aliased(state) {
                Some(id) => {
                    topic_id = id;
                    Err("The provided topic name maps to an ID that was already supplied.")
                }
                None => Ok(TopicSelector::Name(name.to_owned())),
            },
        };
        let selector = selector.map_err(|message| Refused::new(ErrorCode::INVALID_REQUEST, message));
        checked.push(Checked { name: state.name.clone(), topic_id, selector });
    }
    checked
}

fn key(state: &DeleteTopicState) -> (Option<&str>, Uuid) {
    (state.name.as_deref(), state.topic_id)
}

fn whole_refusal(error: &AdminError, version: i16) -> Refused {
    match error {
        AdminError::DeletionDisabled if version < DELETION_DISABLED_FROM => {
            Refused::new(ErrorCode::INVALID_REQUEST, error.to_string())
        }
        error => errors::admin(error),
    }
}

fn answer(asked: Checked, outcome: Result<DeletedTopic, Refused>) -> DeletableTopicResult {
    match outcome {
        Ok(deleted) => DeletableTopicResult {
            name: Some(deleted.name.to_string()),
            topic_id: deleted.id.0,
            ..Default::default()
        },
        Err(refused) => DeletableTopicResult {
            name: asked.name,
            topic_id: asked.topic_id,
            error_code: refused.code,
            error_message: Some(refused.message),
        },
    }
}

#[cfg(test)]
mod tests;
