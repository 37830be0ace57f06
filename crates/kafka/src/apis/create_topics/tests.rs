use expect_test::{Expect, expect};
use ottla_wire::messages::create_topics_request::CreatableReplicaAssignment;

use super::*;

fn check(partitions: i32, factor: i16, assignments: &[&[i32]], expected: &Expect) {
    let assignments = (0..).zip(assignments).map(|(partition_index, brokers)| CreatableReplicaAssignment {
        partition_index,
        broker_ids: brokers.to_vec(),
    });
    let topic = CreatableTopic {
        name: "a".to_owned(),
        num_partitions: partitions,
        replication_factor: factor,
        assignments: assignments.collect(),
        ..Default::default()
    };
    expected.assert_eq(&match layout(&topic) {
        Ok(layout) => format!("{layout:?}"),
        Err(refused) => format!("{}: {}", refused.code, refused.message),
    });
}

#[test]
fn minus_one_is_the_default_and_nothing_else_is() {
    check(-1, -1, &[], &expect!["Placed { partitions: None, replication_factor: None }"]);
    check(3, -1, &[], &expect!["Placed { partitions: Some(3), replication_factor: None }"]);
    check(-1, 2, &[], &expect!["Placed { partitions: None, replication_factor: Some(2) }"]);
    check(0, -2, &[], &expect!["Placed { partitions: Some(0), replication_factor: Some(-2) }"]);
}

#[test]
fn brokers_chosen_by_hand_exclude_numbers() {
    check(
        -1,
        -1,
        &[&[1, 2], &[2, 1]],
        &expect![
            "Manual([ManualAssignment { partition: 0, replicas: [1, 2] }, ManualAssignment { partition: 1, replicas: [2, 1] }])"
        ],
    );
    check(
        2,
        -1,
        &[&[1], &[1]],
        &expect![
            "INVALID_REQUEST: A manual partition assignment was specified, but numPartitions was not set to -1."
        ],
    );
    check(
        -1,
        1,
        &[&[1]],
        &expect![
            "INVALID_REQUEST: A manual partition assignment was specified, but replication factor was not set to -1."
        ],
    );
}

#[test]
fn topics_named_twice_are_answered_once_and_last() {
    let topics =
        ["a", "b", "a", "c", "a"].map(|name| CreatableTopic { name: name.to_owned(), ..Default::default() });
    let (once, twice) = named_once(&topics, |topic| topic.name.as_str());
    let once: Vec<&str> = once.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(once, ["b", "c"]);
    assert_eq!(twice.into_iter().collect::<Vec<_>>(), ["a"]);
}
