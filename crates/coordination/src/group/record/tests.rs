//! Records there and back, and what cannot be read.

use super::*;
use crate::group::ids::{Generation, GroupEpoch, InstanceId, MemberEpoch};
use crate::group::request::Protocol;
use ottla_record::{LeaderEpoch, Offset, Timestamp, TopicId, Uuid};

fn topic_id() -> TopicId {
    TopicId(Uuid::from_random([9; 16]))
}

fn every_record() -> Vec<Record> {
    let group = GroupId::from("g");
    let member = MemberId::from("m");
    let offset = |expires_at: Option<Timestamp>, topic_id| CommittedOffset {
        offset: Offset::new(42),
        leader_epoch: if expires_at.is_none() { Some(LeaderEpoch::new(3)) } else { None },
        metadata: "note".into(),
        committed_at: Timestamp::from_millis(1_700_000_000_000),
        expires_at,
        topic_id,
    };
    let assigned = AssignedPartitions {
        topic: topic_id(),
        partitions: vec![PartitionIndex::new(0), PartitionIndex::new(2)],
        epochs: Some(vec![4, 5]),
    };
    vec![
        Record::Offset {
            group: group.clone(),
            topic: "t".into(),
            partition: PartitionIndex::new(7),
            value: Some(offset(None, Some(topic_id()))),
        },
        Record::Offset {
            group: group.clone(),
            topic: "t".into(),
            partition: PartitionIndex::new(7),
            value: Some(offset(Some(Timestamp::from_millis(1_700_000_001_000)), None)),
        },
        Record::Offset {
            group: group.clone(),
            topic: "t".into(),
            partition: PartitionIndex::new(7),
            value: None,
        },
        Record::Classic {
            group: group.clone(),
            value: Some(ClassicGroupValue {
                protocol_type: "consumer".into(),
                generation: Generation::new(3),
                protocol: Some("range".into()),
                leader: Some(member.clone()),
                state_since: Some(Timestamp::from_millis(5)),
                members: vec![ClassicMemberValue {
                    member: member.clone(),
                    instance: Some(InstanceId::from("i")),
                    client_id: "c".into(),
                    client_host: "/127.0.0.1".into(),
                    rebalance_timeout_ms: 60_000,
                    session_timeout_ms: 10_000,
                    subscription: Bytes::from_static(b"sub"),
                    assignment: Bytes::from_static(b"ass"),
                }],
            }),
        },
        Record::Classic { group: group.clone(), value: None },
        Record::ConsumerGroup {
            group: group.clone(),
            value: Some(ConsumerGroupValue { epoch: GroupEpoch::new(4), metadata_hash: -77 }),
        },
        Record::ConsumerPartitionMetadata {
            group: group.clone(),
            value: Some(vec![PartitionMetadataTopic {
                topic: topic_id(),
                name: "t".into(),
                partitions: 2,
                racks: vec![(PartitionIndex::new(1), vec!["a".into()])],
            }]),
        },
        Record::ConsumerMember {
            group: group.clone(),
            member: member.clone(),
            value: Some(ConsumerMemberValue {
                instance: Some(InstanceId::from("i")),
                rack: Some("r".into()),
                client_id: "c".into(),
                client_host: "/127.0.0.1".into(),
                topics: vec!["t".into()],
                regex: Some("t.*".into()),
                rebalance_timeout_ms: 1,
                assignor: Some("uniform".into()),
                classic: Some(ClassicMemberMetadata {
                    session_timeout_ms: 2,
                    protocols: vec![Protocol { name: "range".into(), metadata: Bytes::from_static(b"x") }],
                }),
            }),
        },
        Record::TargetEpoch {
            group: group.clone(),
            value: Some(TargetEpochValue {
                epoch: GroupEpoch::new(5),
                assigned_at: Some(Timestamp::from_millis(6)),
            }),
        },
        Record::TargetAssignment {
            group: group.clone(),
            member: member.clone(),
            value: Some(vec![TopicPartitions {
                topic: topic_id(),
                partitions: vec![PartitionIndex::new(1)],
            }]),
        },
        Record::CurrentAssignment {
            group: group.clone(),
            member,
            value: Some(CurrentAssignmentValue {
                epoch: MemberEpoch::new(4),
                previous_epoch: MemberEpoch::new(3),
                state: MemberState::UnreleasedPartitions,
                assigned: vec![assigned.clone()],
                pending_revocation: vec![AssignedPartitions { epochs: None, ..assigned }],
            }),
        },
        Record::RegularExpression {
            group,
            regex: "t.*".into(),
            value: Some(RegularExpressionValue {
                topics: vec!["t1".into()],
                version: 12,
                matched_at: Timestamp::from_millis(9),
            }),
        },
    ]
}

#[test]
fn every_record_reads_back_as_it_was_written() {
    for record in every_record() {
        let (key, value) = record.encode().unwrap();
        assert_eq!(Record::decode(&key, value.as_ref()).unwrap(), Some(record));
    }
}

#[test]
fn values_are_written_at_the_versions_of_kafka_4_3() {
    // The versions as `GroupCoordinatorRecordHelpers` of Kafka 4.3.0 names them.
    let versions: Vec<_> = every_record()
        .iter()
        .filter_map(|record| {
            let (key, value) = record.encode().unwrap();
            value
                .map(|value| (i16::from_be_bytes([key[0], key[1]]), i16::from_be_bytes([value[0], value[1]])))
        })
        .collect();
    assert_eq!(versions, [(1, 4), (1, 1), (2, 3), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (16, 0)]);
}

#[test]
fn types_of_the_future_and_of_other_groups_are_passed_over() {
    let of_type = |number: i16| Bytes::copy_from_slice(&[&number.to_be_bytes()[..], &[0, 1, b'g']].concat());
    assert_eq!(Record::decode(&of_type(99), None), Ok(None));
    assert_eq!(Record::decode(&of_type(17), None), Ok(None), "a streams group's");
}

#[test]
fn broken_bytes_are_an_error() {
    assert!(Record::decode(&Bytes::from_static(&[0]), None).is_err());
    assert!(Record::decode(&Bytes::from_static(&[0, 2, 0, 9, b'g']), None).is_err());
    let negative = [0, 1, 0, 1, b'g', 0, 1, b't', 0xff, 0xff, 0xff, 0xff];
    assert_eq!(
        Record::decode(&Bytes::copy_from_slice(&negative), None),
        Err(RecordError::Range { field: "OffsetCommitKey.partition", value: -1 })
    );
}
