//! What is asked and answered, by a cluster of one broker: it can only begin moves to itself.

use expect_test::expect;
use ottla_node::coordination::metadata::{AlterReassignments, Command, Response};
use ottla_wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use ottla_wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

use super::*;
use crate::apis::sample_cluster::cluster;

/// A partition and its target; `None` cancels.
type Asked<'a> = (i32, Option<&'a [i32]>);

fn request(topics: &[(&str, &[Asked<'_>])], fixed_factor: bool) -> AlterPartitionReassignmentsRequest {
    let topics = topics.iter().map(|(name, partitions)| ReassignableTopic {
        name: (*name).to_owned(),
        partitions: partitions
            .iter()
            .map(|(index, replicas)| ReassignablePartition {
                partition_index: *index,
                replicas: replicas.map(<[i32]>::to_vec),
            })
            .collect(),
    });
    AlterPartitionReassignmentsRequest {
        topics: topics.collect(),
        allow_replication_factor_change: !fixed_factor,
        ..Default::default()
    }
}

fn applied(image: &mut Image, request: &AlterPartitionReassignmentsRequest) -> String {
    let command = AlterReassignments {
        partitions: asked(request),
        may_change_replication_factor: request.allow_replication_factor_change,
    };
    let Response::AlterReassignments(outcomes) = image.apply(&Command::AlterReassignments(command)) else {
        panic!("another answer");
    };
    let answer = answer(request, Ok(outcomes));
    let partitions = answer.responses.iter().flat_map(|t| t.partitions.iter().map(move |p| (&t.name, p)));
    partitions
        .map(|(topic, p)| format!("{topic}-{} {:?} {:?}\n", p.partition_index, p.error_code, p.error_message))
        .collect()
}

#[test]
fn each_partition_is_answered_in_its_place() {
    let mut image = cluster(&[("t", 2)]);
    let asked = request(
        &[
            ("t", &[(0, Some(&[1])), (1, Some(&[1, 7])), (2, Some(&[1])), (0, None)]),
            ("u", &[(0, Some(&[1]))]),
            ("t", &[(1, Some(&[])), (1, Some(&[1, 1]))]),
        ],
        false,
    );
    expect![[r#"
        t-0 NONE None
        t-1 INVALID_REPLICA_ASSIGNMENT Some("The manual partition assignment includes broker 7, but no such broker is registered.")
        t-2 UNKNOWN_TOPIC_OR_PARTITION Some("Unable to find partition t:2.")
        t-0 NO_REASSIGNMENT_IN_PROGRESS Some("No partition reassignment is in progress.")
        u-0 UNKNOWN_TOPIC_OR_PARTITION Some("Unable to find a topic named u.")
        t-1 INVALID_REPLICA_ASSIGNMENT Some("The manual partition assignment includes an empty replica list.")
        t-1 INVALID_REPLICA_ASSIGNMENT Some("The manual partition assignment includes the broker 1 more than once.")
    "#]].assert_eq(&applied(&mut image, &asked));
    let fixed = request(&[("t", &[(0, Some(&[1]))])], true);
    expect![[r#"
        t-0 NONE None
    "#]]
    .assert_eq(&applied(&mut image, &fixed));
}

#[test]
fn what_could_not_be_asked_is_answered_once() {
    let answer = answer(&request(&[("t", &[(0, None)])], false), Err(AdminError::TimedOut));
    expect![[r#"REQUEST_TIMED_OUT Some("the change was not confirmed in time") []"#]]
        .assert_eq(&format!("{:?} {:?} {:?}", answer.error_code, answer.error_message, answer.responses));
}

#[test]
fn moves_are_listed_all_or_by_name() {
    use ottla_node::coordination::metadata::{Endpoint, RegisterBroker};
    let mut image = cluster(&[("a", 3), ("b", 1)]);
    let first = image.broker(BrokerId::new(1)).unwrap().clone();
    image.apply(&Command::RegisterBroker(RegisterBroker {
        broker: BrokerId::new(2),
        incarnation: first.incarnation,
        cluster: image.cluster_id().unwrap(),
        directory: ottla_record::DirectoryId(crate::apis::sample_cluster::id("other")),
        endpoints: Vec::<Endpoint>::new(),
        rack: None,
        replaces: None,
    }));
    applied(
        &mut image,
        &request(&[("a", &[(0, Some(&[2])), (2, Some(&[1, 2]))]), ("b", &[(0, Some(&[2, 1]))])], false),
    );
    let listed = |topics: Option<&[(&str, &[i32])]>| {
        let topics = topics.map(|topics| {
            let topic = |(name, indexes): &(&str, &[i32])| ListPartitionReassignmentsTopics {
                name: (*name).to_owned(),
                partition_indexes: indexes.to_vec(),
            };
            topics.iter().map(topic).collect()
        });
        let answer = list(&image, &ListPartitionReassignmentsRequest { topics, ..Default::default() });
        let partitions = answer.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (&t.name, p)));
        let line = |(topic, p): (&String, &OngoingPartitionReassignment)| {
            let (replicas, adding, removing) = (&p.replicas, &p.adding_replicas, &p.removing_replicas);
            format!("{topic}-{} {replicas:?} +{adding:?} -{removing:?}\n", p.partition_index)
        };
        format!("{:?}\n{}", answer.error_code, partitions.map(line).collect::<String>())
    };
    expect![[r#"
        NONE
        a-0 [2, 1] +[2] -[1]
        a-2 [1, 2] +[2] -[]
        b-0 [2, 1] +[2] -[]
    "#]]
    .assert_eq(&listed(None));
    expect![[r#"
        NONE
        a-0 [2, 1] +[2] -[1]
    "#]]
    .assert_eq(&listed(Some(&[("a", &[0, 1, 9]), ("c", &[0]), ("b", &[])])));
}
