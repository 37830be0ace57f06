//! DescribeTopicPartitions: topics in pages (KIP-966).

use std::collections::BTreeSet;

use ottla_node::coordination::metadata::{Image, Topic, TopicName};
use ottla_node::coordinator::internal_topics::is_internal;
use ottla_record::{BrokerId, LeaderEpoch};
use ottla_wire::ErrorCode;
use ottla_wire::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use ottla_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use crate::apis::metadata::{offline, raw};
use crate::authorized_operations;
use crate::dispatch::Call;

pub(crate) fn describe_topic_partitions(
    call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let node = &call.front.node;
    let limit = node.settings().config.fetches.max_described_partitions;
    answer(&node.image(), &call.front.listener, &request, limit)
}

fn answer(
    image: &Image,
    listener: &str,
    request: &DescribeTopicPartitionsRequest,
    limit: usize,
) -> DescribeTopicPartitionsResponse {
    let (first, first_partition) = request
        .cursor
        .as_ref()
        .map_or(("", 0), |cursor| (cursor.topic_name.as_str(), cursor.partition_index));
    let named: BTreeSet<&str> =
        request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= first).collect();
    let is_cursor_strange = request.cursor.is_some() && !request.topics.is_empty() && !named.contains(first);
    let Some(start) = usize::try_from(first_partition).ok().filter(|_| !is_cursor_strange) else {
        return refuse(request);
    };
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page =
        Page { image, listener, first, start, left: limit.min(asked).max(1), response: Default::default() };
    if request.topics.is_empty() {
        // All topics: one that is gone since the last page is no error.
        let mut topics = image.topics_from(first);
        while page.add(topics.next().map(|topic| (topic.name().as_str(), Some(&**topic)))) {}
    } else {
        let mut topics = named.into_iter();
        while page.add(topics.next().map(|name| (name, image.topic(name).map(|topic| &**topic)))) {}
    }
    page.response
}

/// The cursor names a topic outside the list, or no partition.
fn refuse(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = |name: &String| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(name.clone()),
        ..Default::default()
    };
    let topics = request.topics.iter().map(|topic| refused(&topic.name)).collect();
    DescribeTopicPartitionsResponse { topics, ..Default::default() }
}

/// An answer under construction.
struct Page<'a> {
    image: &'a Image,
    listener: &'a str,
    /// The cursor: within this topic, begin at this partition.
    first: &'a str,
    start: usize,
    /// Partitions that still fit.
    left: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page<'_> {
    /// Adds a topic as far as it fits. False if that was the last one, or all that fits.
    fn add(&mut self, next: Option<(&str, Option<&Topic>)>) -> bool {
        let Some((name, topic)) = next else { return false };
        if self.left == 0 {
            return self.stop_before(name, 0);
        }
        let Some(topic) = topic else {
            self.response.topics.push(unknown(name));
            return true;
        };
        let start = if name == self.first { self.start } else { 0 };
        let partitions: Vec<_> = topic.partitions().skip(start).take(self.left).collect();
        let end = start.saturating_add(partitions.len());
        self.left -= partitions.len();
        let partitions = partitions
            .into_iter()
            .map(|(index, partition)| {
                let offline = offline(self.image, self.listener, &partition.replicas);
                DescribeTopicPartitionsResponsePartition {
                    partition_index: index.get(),
                    leader_id: BrokerId::to_wire(partition.leader.filter(|leader| !offline.contains(leader))),
                    leader_epoch: LeaderEpoch::to_wire(Some(partition.leader_epoch)),
                    replica_nodes: raw(&partition.replicas),
                    isr_nodes: raw(&partition.isr),
                    // Only in-sync replicas are ever eligible here.
                    eligible_leader_replicas: Some(Vec::new()),
                    last_known_elr: Some(Vec::new()),
                    offline_replicas: raw(&offline),
                    ..Default::default()
                }
            })
            .collect();
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.to_owned()),
            topic_id: topic.id().0,
            is_internal: is_internal(name),
            partitions,
            topic_authorized_operations: authorized_operations::TOPIC,
            ..Default::default()
        });
        if end < topic.partition_count() { self.stop_before(name, end) } else { true }
    }

    fn stop_before(&mut self, topic: &str, partition: usize) -> bool {
        let partition_index = i32::try_from(partition).unwrap_or(i32::MAX);
        self.response.next_cursor = Some(Cursor { topic_name: topic.to_owned(), partition_index });
        false
    }
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error_code = match TopicName::parse(name) {
        Ok(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code,
        name: Some(name.to_owned()),
        is_internal: is_internal(name),
        topic_authorized_operations: authorized_operations::TOPIC,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
