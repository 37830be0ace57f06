//! A change whose answer was lost, asked for again: what the first try has done already is not an error.
//!
//! Few administrators' clients repeat a call by themselves, and a controller that hands over or dies takes answers with it. Kafka's brokers
//! send such a request again for their clients, who may then hear that the topic exists which they have just created. Here the command is the
//! same one, with the same random ids, so what it did the first time can be told from what others did.

use ottla_coordination::metadata::{
    Command, CreatePartitionsError, CreateTopicError, CreatedTopic, DeleteTopicError, DeletedTopic, Image,
    Response, TopicSelector,
};

/// The answer to a command that may have been decided once before. `before` is from before the first try, `after` shows the outcome.
pub(super) fn settle(command: &Command, before: &Image, after: &Image, response: Response) -> Response {
    match (command, response) {
        (Command::CreateTopics(wanted), Response::CreateTopics(results)) => {
            let settled = wanted.topics.iter().zip(results).map(|(wanted, result)| {
                let made = after.topic(&wanted.name).filter(|topic| topic.id() == wanted.id);
                match (result, made) {
                    (Err(CreateTopicError::Exists(_)), Some(topic)) => Ok(CreatedTopic {
                        name: topic.name().clone(),
                        id: topic.id(),
                        partitions: topic.partition_count(),
                        replication_factor: topic.replication_factor(),
                    }),
                    (result, _) => result,
                }
            });
            Response::CreateTopics(settled.collect())
        }
        (Command::DeleteTopics(wanted), Response::DeleteTopics(results)) => {
            let settled = wanted.topics.iter().zip(results).map(|(wanted, result)| {
                let was = match wanted {
                    TopicSelector::Name(name) => before.topic(name),
                    TopicSelector::Id(id) => before.topic_by_id(*id),
                };
                match (result, was) {
                    (Err(DeleteTopicError::UnknownTopic | DeleteTopicError::UnknownTopicId), Some(topic)) => {
                        Ok(DeletedTopic { name: topic.name().clone(), id: topic.id() })
                    }
                    (result, _) => result,
                }
            });
            Response::DeleteTopics(settled.collect())
        }
        (Command::CreatePartitions(wanted), Response::CreatePartitions(results)) => {
            let settled = wanted.topics.iter().zip(results).map(|(wanted, result)| {
                let had = before.topic(&wanted.topic).map(|topic| topic.partition_count());
                match result {
                    // They were fewer before: somebody has added just these.
                    Err(CreatePartitionsError::Same(count)) if had.is_some_and(|had| had < count) => {
                        Ok(count)
                    }
                    result => result,
                }
            });
            Response::CreatePartitions(settled.collect())
        }
        // The others do the same thing twice, or name what they build on.
        (_, response) => response,
    }
}

#[cfg(test)]
mod tests;
