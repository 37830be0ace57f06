//! DescribeQuorum: who votes on the cluster's metadata, and how far everybody's log is (KIP-595, KIP-853).
//!
//! Kafka keeps its metadata in the partition 0 of the topic `__cluster_metadata`, and so this names the quorum's log. Its offsets
//! are our entries, counted from 0; its epoch is the term.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::coordination::metadata::voters::{QuorumDescription, QuorumMember};
use ottla_record::{Timestamp, Uuid};
use ottla_wire::ErrorCode;
use ottla_wire::messages::describe_quorum_request::DescribeQuorumRequest;
use ottla_wire::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

use crate::dispatch::Call;

/// The quorum's log, as clients name it.
const TOPIC: &str = "__cluster_metadata";
const PARTITION: i32 = 0;
/// Before this version there are neither directories nor listeners (KIP-853).
const DIRECTORIES_FROM: i16 = 2;
/// The name of the control listener where a broker has none of its own.
const CONTROLLER: &str = "CONTROLLER";

pub(crate) async fn describe_quorum(
    call: Arc<Call>,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    if !names_the_quorum(&request) {
        return unknown(&request);
    }
    let node = &call.front.node;
    match node.describe_quorum().await {
        Ok(quorum) => {
            let config = &node.settings().config;
            let listener = config.quorum.as_ref().map_or(CONTROLLER, |quorum| &quorum.bind.name);
            answer(&quorum, listener, node.clock().now().wall, call.version)
        }
        // No leader: clients ask again.
        Err(error) => DescribeQuorumResponse {
            error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER,
            error_message: Some(error.to_string()),
            ..Default::default()
        },
    }
}

/// Exactly the one partition.
fn names_the_quorum(request: &DescribeQuorumRequest) -> bool {
    match request.topics.as_slice() {
        [topic] if topic.topic_name == TOPIC => match topic.partitions.as_slice() {
            [partition] => partition.partition_index == PARTITION,
            _ => false,
        },
        _ => false,
    }
}

fn unknown(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let error_message = || Some("This server does not host this topic-partition.".to_owned());
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: topic.topic_name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| PartitionData {
                partition_index: partition.partition_index,
                error_code,
                error_message: error_message(),
                ..Default::default()
            })
            .collect(),
    });
    DescribeQuorumResponse { topics: topics.collect(), ..Default::default() }
}

/// `listener` is what the voters' control listeners are called.
fn answer(
    quorum: &QuorumDescription,
    listener: &str,
    now: Timestamp,
    version: i16,
) -> DescribeQuorumResponse {
    let states = |votes| {
        let members = quorum.members.iter().filter(move |member| member.votes == votes);
        members.map(|member| state(member, now, version)).collect()
    };
    let partition = PartitionData {
        partition_index: PARTITION,
        leader_id: quorum.leader.get(),
        leader_epoch: i32::try_from(quorum.term).unwrap_or(i32::MAX),
        high_watermark: wire_offset(quorum.high_watermark),
        current_voters: states(true),
        observers: states(false),
        ..Default::default()
    };
    let listed = |member: &&QuorumMember| member.votes && version >= DIRECTORIES_FROM;
    let nodes = quorum.members.iter().filter(listed).map(|voter| Node {
        node_id: voter.node.get(),
        listeners: voter
            .address
            .as_deref()
            .and_then(|address| place(listener, address))
            .into_iter()
            .collect(),
    });
    let topic = TopicData { topic_name: TOPIC.to_owned(), partitions: vec![partition] };
    DescribeQuorumResponse { topics: vec![topic], nodes: nodes.collect(), ..Default::default() }
}

fn state(member: &QuorumMember, now: Timestamp, version: i16) -> ReplicaState {
    let ago = |age: Option<Duration>| {
        age.map_or(-1, |age| now.millis().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
    };
    ReplicaState {
        replica_id: member.node.get(),
        replica_directory_id: if version >= DIRECTORIES_FROM { member.directory.0 } else { Uuid::ZERO },
        log_end_offset: wire_offset(member.log_end),
        last_fetch_timestamp: ago(member.silent),
        last_caught_up_timestamp: ago(member.behind_for),
    }
}

fn wire_offset(entries: Option<u64>) -> i64 {
    entries.map_or(-1, |entries| i64::try_from(entries).unwrap_or(i64::MAX))
}

/// `host:port`, in which an IPv6 address stands in brackets.
fn place(name: &str, address: &str) -> Option<Listener> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some(Listener { name: name.to_owned(), host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests;
