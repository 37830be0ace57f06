use expect_test::expect;
use ottla_record::{BrokerId, DirectoryId};
use ottla_wire::messages::describe_quorum_request;
use ottla_wire::{Message, Writer};

use super::*;

fn asked(topics: &[(&str, &[i32])]) -> DescribeQuorumRequest {
    let topic = |(name, partitions): &(&str, &[i32])| describe_quorum_request::TopicData {
        topic_name: (*name).to_owned(),
        partitions: partitions
            .iter()
            .map(|index| describe_quorum_request::PartitionData { partition_index: *index })
            .collect(),
    };
    DescribeQuorumRequest { topics: topics.iter().map(topic).collect() }
}

#[test]
fn only_the_quorums_own_partition_is_known() {
    assert!(names_the_quorum(&asked(&[(TOPIC, &[0])])));
    let others: [&[(&str, &[i32])]; 6] = [
        &[],
        &[("orders", &[0])],
        &[(TOPIC, &[])],
        &[(TOPIC, &[1])],
        &[(TOPIC, &[0, 1])],
        &[(TOPIC, &[0]), ("orders", &[0])],
    ];
    for topics in others {
        let request = asked(topics);
        assert!(!names_the_quorum(&request), "{topics:?}");
        let answer = unknown(&request);
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let told = answer.topics.iter().flat_map(|topic| &topic.partitions);
        assert!(told.clone().all(|told| told.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        assert_eq!(told.count(), topics.iter().map(|(_, partitions)| partitions.len()).sum::<usize>());
    }
}

#[test]
fn ages_become_timestamps_and_what_is_not_known_is_minus_one() {
    let member = |node: u8, votes, log_end, address: &str| QuorumMember {
        node: BrokerId::new(node.into()),
        directory: DirectoryId(Uuid::from_bytes([node; 16])),
        address: Some(address.to_owned()),
        votes,
        log_end,
        silent: log_end.map(|_| Duration::from_millis(20)),
        behind_for: log_end.map(|_| Duration::from_millis(100)),
    };
    let mut members = vec![
        member(1, true, Some(50), "one:9093"),
        member(2, true, Some(40), "[::1]:9193"),
        member(3, false, None, "three:9293"),
    ];
    members[1].behind_for = None;
    let quorum = QuorumDescription { leader: BrokerId::new(1), term: 7, high_watermark: Some(45), members };
    let at = |version| answer(&quorum, "CONTROLLER", Timestamp::from_millis(1_000), version);
    let answer = at(2);
    let partition = &answer.topics[0].partitions[0];
    let mut text = format!(
        "leader {} in {} at {}\n",
        partition.leader_id, partition.leader_epoch, partition.high_watermark
    );
    for (kind, states) in [("voter", &partition.current_voters), ("observer", &partition.observers)] {
        for state in states {
            let ReplicaState { replica_id, replica_directory_id, log_end_offset, .. } = state;
            text += &format!(
                "{kind} {replica_id} {replica_directory_id} to {log_end_offset}, heard {}, caught up {}\n",
                state.last_fetch_timestamp, state.last_caught_up_timestamp
            );
        }
    }
    for node in &answer.nodes {
        for Listener { name, host, port, .. } in &node.listeners {
            text += &format!("node {} at {name}://{host}:{port}\n", node.node_id);
        }
    }
    expect![[r#"
        leader 1 in 7 at 45
        voter 1 AQEBAQEBAQEBAQEBAQEBAQ to 50, heard 980, caught up 900
        voter 2 AgICAgICAgICAgICAgICAg to 40, heard 980, caught up -1
        observer 3 AwMDAwMDAwMDAwMDAwMDAw to -1, heard -1, caught up -1
        node 1 at CONTROLLER://one:9093
        node 2 at CONTROLLER://::1:9193
    "#]]
    .assert_eq(&text);
    for version in 0..=2 {
        at(version).encode(&mut Writer::new(), version).unwrap();
    }
}
