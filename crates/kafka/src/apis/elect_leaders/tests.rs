use expect_test::{Expect, expect};
use ottla_node::coordination::metadata::{Command, ElectLeaders, Response};
use ottla_wire::Message;
use ottla_wire::messages::elect_leaders_request::TopicPartitions;

use super::*;
use crate::apis::sample_cluster::cluster;

/// Asks a cluster of one broker, which leads whatever there is.
fn check(version: i16, election_type: i8, asked: Option<&[(&str, &[i32])]>, expected: &Expect) {
    let request = ElectLeadersRequest {
        election_type,
        topic_partitions: asked.map(|asked| {
            let topics = asked.iter().map(|(topic, partitions)| TopicPartitions {
                topic: (*topic).to_owned(),
                partitions: partitions.to_vec(),
            });
            topics.collect()
        }),
        ..Default::default()
    };
    let partitions = named(&request);
    let response = match election(&request) {
        Ok(election) => {
            let command = Command::ElectLeaders(ElectLeaders { election, partitions });
            let Response::ElectLeaders(outcomes) = cluster(&[("a", 2), ("b", 1)]).apply(&command) else {
                panic!()
            };
            answer(outcomes)
        }
        Err(refused) => refuse(refused, partitions.unwrap_or_default(), version),
    };
    let mut writer = ottla_wire::Writer::new();
    response.encode(&mut writer, version).unwrap();
    let mut shown = format!("{}\n", response.error_code);
    for topic in response.replica_election_results {
        for partition in topic.partition_result {
            let PartitionResult { partition_id, error_code, error_message } = partition;
            let message = error_message.unwrap_or_default();
            shown += &format!("{}-{partition_id} {error_code}: {message}\n", topic.topic);
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn each_partition_named_is_answered() {
    check(
        2,
        0,
        Some(&[("a", &[1, 7]), ("gone", &[0])]),
        &expect![[r#"
            NONE
            a-1 ELECTION_NOT_NEEDED: Leader election not needed for topic partition.
            a-7 UNKNOWN_TOPIC_OR_PARTITION: No such partition as a-7
            gone-0 UNKNOWN_TOPIC_OR_PARTITION: No such topic as gone
        "#]],
    );
}

#[test]
fn of_all_partitions_those_that_are_well_are_left_out() {
    check(
        2,
        1,
        None,
        &expect![[r#"
            NONE
        "#]],
    );
}

#[test]
fn an_unknown_kind_of_election_is_refused_in_every_version() {
    check(
        1,
        5,
        Some(&[("b", &[0])]),
        &expect![[r#"
            INVALID_REQUEST
            b-0 INVALID_REQUEST: Unknown election type 5
        "#]],
    );
    check(
        0,
        5,
        Some(&[("b", &[0])]),
        &expect![[r#"
            NONE
            b-0 INVALID_REQUEST: Unknown election type 5
        "#]],
    );
}
