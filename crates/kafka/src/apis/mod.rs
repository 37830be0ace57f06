//! One file per API or family of APIs: conversion from the wire, a call to the node, conversion back.

pub(crate) mod alter_configs;
pub(crate) mod api_versions;
mod config_resource;
pub(crate) mod consumer_group;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_records;
pub(crate) mod delete_topics;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod describe_log_dirs;
pub(crate) mod describe_quorum;
pub(crate) mod describe_topic_partitions;
pub(crate) mod elect_leaders;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
mod group;
pub(crate) mod group_admin;
pub(crate) mod group_membership;
pub(crate) mod group_offsets;
pub(crate) mod init_producer_id;
pub(crate) mod list_config_resources;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod partition_reassignments;
pub(crate) mod produce;
pub(crate) mod raft_voters;
#[cfg(test)]
mod sample_cluster;
pub(crate) mod unregister_broker;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ottla_node::admin::ChangeMode;
use ottla_wire::ErrorCode;

/// Why one item of a request was refused, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn duplicate_topic() -> Self {
        Self::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")
    }

    /// The cluster answered fewer items than were asked: a defect.
    fn mismatch() -> Self {
        Self::new(ErrorCode::UNKNOWN_SERVER_ERROR, "the controller's answer does not fit the question")
    }

    /// The two fields of an answer.
    fn split(refused: Option<Self>) -> (ErrorCode, Option<String>) {
        refused.map_or((ErrorCode::NONE, None), |refused| (refused.code, Some(refused.message)))
    }
}

fn timeout(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

fn change_mode(validate_only: bool) -> ChangeMode {
    if validate_only { ChangeMode::Validate } else { ChangeMode::Commit }
}

/// The items that are named once, in order, and the names that are named more often, each once.
fn named_once<T>(items: &[T], name: impl Fn(&T) -> &str) -> (Vec<&T>, BTreeSet<&str>) {
    let mut count: HashMap<&str, usize> = HashMap::new();
    for item in items {
        *count.entry(name(item)).or_default() += 1;
    }
    let (once, more): (Vec<&T>, Vec<&T>) = items.iter().partition(|item| count.get(name(item)) == Some(&1));
    (once, more.into_iter().map(name).collect())
}
