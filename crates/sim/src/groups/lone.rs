//! A client in no group, which only keeps its offsets there: it commits now and then, and what it does not commit again in time is forgotten.

use ottla_coordination::group::request::{CommitOffsets, CommitPartition, CommitTopic, Request, TopicRef};
use ottla_coordination::group::response::Response;
use ottla_record::{Offset, PartitionIndex};

use super::PARTITIONS;
use super::process::Asked;
use super::promises::{LONE, Promises, group_id};
use crate::cluster::TOPIC;
use crate::rng::Rng;

/// The client's process.
#[derive(Clone, Debug, Default)]
pub struct LoneClient {
    /// It waits for an answer.
    waits: bool,
}

impl LoneClient {
    /// A commit, now and then; none once everybody is to come to rest, so that all of it expires.
    pub fn act(&mut self, at_rest: bool, promises: &mut Promises, rng: &mut Rng) -> Option<Asked> {
        // Seldom enough for an offset to expire between two commits of it, and often enough for others to stay.
        if self.waits || at_rest || !rng.chance(1, 12) {
            return None;
        }
        self.waits = true;
        let partition =
            PartitionIndex::new(i32::try_from(rng.below(PARTITIONS.unsigned_abs().into())).unwrap_or(0));
        let offset = Offset::new(promises.attempt(LONE, partition));
        let partitions = vec![CommitPartition { partition, offset, leader_epoch: None, metadata: None }];
        Some(Asked::of(Request::CommitOffsets(CommitOffsets {
            group: group_id(LONE),
            member: None,
            instance: None,
            generation_or_epoch: None,
            knows_member_epochs: true,
            retention_ms: None,
            topics: vec![CommitTopic { topic: TopicRef::Name(TOPIC.into()), partitions }],
        })))
    }

    /// Takes an answer; `None` if the coordinator was not there.
    pub fn answered(&mut self, asked: &Asked, answer: Option<Response>, promises: &mut Promises) {
        self.waits = false;
        if let Some(Response::CommitOffsets(outcome)) = answer {
            for ((partition, offset), result) in asked.commits(&outcome) {
                match result {
                    Ok(()) => promises.committed_until(LONE, partition, offset, asked.at),
                    Err(_) => promises.refused(LONE, partition, offset),
                }
            }
        }
    }

    /// Nobody will answer.
    pub fn disconnected(&mut self) {
        self.waits = false;
    }
}
