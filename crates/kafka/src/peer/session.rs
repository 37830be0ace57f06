//! What a leader remembers of this broker's fetches (KIP-227): only what changed is sent.

use std::collections::BTreeMap;

use ottla_node::ports::{ReplicaFetch, ReplicaFetchPartition};
use ottla_record::{PartitionIndex, TopicId};
use ottla_wire::ErrorCode;
use ottla_wire::messages::fetch_request::{FetchRequest, ForgottenTopic};

use crate::peer::fetch::request;

/// The session of one connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// 0 until the leader has opened one.
    id: i32,
    /// Of the next request.
    epoch: i32,
    /// What the leader has been told.
    sent: BTreeMap<(TopicId, PartitionIndex), ReplicaFetchPartition>,
}

impl Session {
    /// The part of a fetch that the leader does not know. It counts as sent.
    pub(super) fn next(&mut self, fetch: &ReplicaFetch) -> FetchRequest {
        if self.id == 0 {
            self.sent = fetch.partitions.iter().map(|partition| (key(partition), *partition)).collect();
            return FetchRequest { session_epoch: 0, ..request(fetch, &fetch.partitions) };
        }
        let mut before = std::mem::take(&mut self.sent);
        let mut changed = Vec::new();
        for partition in &fetch.partitions {
            let key = key(partition);
            if before.remove(&key).as_ref() != Some(partition) {
                changed.push(*partition);
            }
            self.sent.insert(key, *partition);
        }
        let mut forgotten: Vec<ForgottenTopic> = Vec::new();
        for (topic, partition) in before.into_keys() {
            match forgotten.last_mut().filter(|last| last.topic_id == topic.0) {
                Some(last) => last.partitions.push(partition.get()),
                None => forgotten.push(ForgottenTopic {
                    topic_id: topic.0,
                    partitions: vec![partition.get()],
                    ..Default::default()
                }),
            }
        }
        FetchRequest {
            session_id: self.id,
            session_epoch: self.epoch,
            forgotten_topics_data: forgotten,
            ..request(fetch, &changed)
        }
    }

    /// A request was answered. False if the leader has forgotten the session: then everything is to be sent again.
    pub(super) fn answered(&mut self, error: ErrorCode, id: i32) -> bool {
        let is_lost =
            [ErrorCode::FETCH_SESSION_ID_NOT_FOUND, ErrorCode::INVALID_FETCH_SESSION_EPOCH].contains(&error);
        let id = if error.is_error() { 0 } else { id };
        self.epoch = if id == self.id { self.epoch.checked_add(1).unwrap_or(1) } else { 1 };
        self.id = id;
        !is_lost
    }
}

fn key(partition: &ReplicaFetchPartition) -> (TopicId, PartitionIndex) {
    (partition.topic_id, partition.partition)
}
