//! What members and offsets cost in memory: a broker of a million offsets has to know.

use bytes::Bytes;
use ottla_record::{LeaderEpoch, Monotonic, Now, Offset, PartitionIndex, Timestamp, TopicId, Uuid};

use super::story::settings;
use crate::group::record::{ClassicGroupValue, ClassicMemberValue, CommittedOffset};
use crate::group::{Generation, GroupId, Groups, MemberId, Record};
use crate::shard::Machine;

const NOW: Now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::EPOCH };

/// Bytes that stay allocated once the records, read from bytes as a log has them, are applied.
fn bytes_of(records: impl Iterator<Item = Record>) -> u64 {
    let log: Vec<_> = records.map(|record| record.encode().unwrap()).collect();
    let mut groups: Groups<u64> = Groups::new(settings());
    let counted = allocation_counter::measure(|| {
        for (key, value) in &log {
            let record = Record::decode(key, value.as_ref()).unwrap().unwrap();
            groups.apply(&record, NOW);
        }
    });
    assert!(groups.census().count() > 0);
    u64::try_from(counted.bytes_current).unwrap()
}

fn offset(group: i32, partition: i32, note: &str) -> Record {
    Record::Offset {
        group: GroupId::new(format!("group-{group:08}")),
        topic: "a-topic-of-some-name".into(),
        partition: PartitionIndex::new(partition),
        value: Some(CommittedOffset {
            offset: Offset::new(1 << 40),
            leader_epoch: Some(LeaderEpoch::new(7)),
            metadata: note.into(),
            committed_at: Timestamp::from_millis(1_700_000_000_000),
            expires_at: None,
            topic_id: Some(TopicId(Uuid::from_bytes([4; 16]))),
        }),
    }
}

#[test]
fn an_offset_takes_less_than_80_bytes() {
    const GROUPS: i32 = 100;
    const PARTITIONS: i32 = 500;
    let records = (0..GROUPS).flat_map(|group| (0..PARTITIONS).map(move |p| offset(group, p, "")));
    let each = bytes_of(records) / u64::try_from(GROUPS * PARTITIONS).unwrap();
    assert!((32..80).contains(&each), "{each} bytes an offset");
}

#[test]
fn a_group_of_one_offset_takes_less_than_2_kib() {
    let each = bytes_of((0..1000).map(|group| offset(group, 0, "a note"))) / 1000;
    assert!((300..2048).contains(&each), "{each} bytes a group with one offset and a note");
}

#[test]
fn a_member_takes_less_than_1_kib_beside_what_it_says() {
    const MEMBERS: u64 = 500;
    const SAID: u64 = 64 + 64;
    let member = |number| ClassicMemberValue {
        member: MemberId::new(format!("consumer-app-1-{number:036}")),
        instance: None,
        client_id: "consumer-app-1".into(),
        client_host: "/192.168.100.100".into(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from(vec![1; 64]),
        assignment: Bytes::from(vec![2; 64]),
    };
    let value = ClassicGroupValue {
        protocol_type: "consumer".into(),
        generation: Generation::new(1),
        protocol: Some("range".into()),
        leader: Some(MemberId::new(format!("consumer-app-1-{:036}", 0))),
        state_since: None,
        members: (0..MEMBERS).map(member).collect(),
    };
    let record = Record::Classic { group: GroupId::from("g"), value: Some(value) };
    let each = bytes_of(std::iter::once(record)) / MEMBERS - SAID;
    assert!((300..1024).contains(&each), "{each} bytes a member");
}
