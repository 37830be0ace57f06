//! What a step decides fits into one batch, however much happens at once: an append that fails takes the coordinator of all groups of its
//! partition with it.

use std::time::Duration;

use ottla_record::{Monotonic, Now, PartitionIndex, Timestamp, TopicId, Uuid};

use super::story::{image, settings};
use crate::group::groups::{MAX_STEP_BYTES, weight_of};
use crate::group::record::{
    ClassicMemberMetadata, ConsumerGroupValue, ConsumerMemberValue, CurrentAssignmentValue, MemberState,
};
use crate::group::request::{ClientFacts, ConsumerHeartbeat, Delete, Protocol, Request, TopicPartitions};
use crate::group::response::{GroupError, Response};
use crate::group::{GroupEpoch, GroupId, GroupSettings, Groups, MemberEpoch, MemberId, Record};
use crate::metadata::Image;
use crate::shard::{Machine, Step};

/// `max.message.bytes` of the topic, and what a batch and each of its records take besides keys and values.
const MAX_BATCH: usize = 1_048_588;
const BATCH_HEAD: usize = 61;
const RECORD_HEAD: usize = 25;

fn at(seconds: u64) -> Now {
    let since = Duration::from_secs(seconds);
    let wall = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(since.as_millis()).unwrap());
    Now { monotonic: Monotonic::from_start(since), wall }
}

/// A coordinator that has loaded these records at the start.
fn loaded(settings: GroupSettings, records: impl IntoIterator<Item = Record>, image: &Image) -> Groups<u64> {
    let mut groups = Groups::new(settings);
    records.into_iter().for_each(|record| groups.apply(&record, at(0)));
    groups.loaded(image, at(0));
    groups
}

/// Applies a step as a shard does. Its records must be one batch.
fn take(groups: &mut Groups<u64>, step: Step<Groups<u64>>, now: Now) -> Vec<Response> {
    let size: usize = step
        .records
        .iter()
        .map(|record| {
            let (key, value) = record.encode().unwrap();
            RECORD_HEAD + key.len() + value.map_or(0, |value| value.len())
        })
        .sum();
    assert!(BATCH_HEAD + size <= MAX_BATCH, "a batch of {size} bytes from {} records", step.records.len());
    step.records.iter().for_each(|record| groups.apply(record, now));
    groups.check_invariants().unwrap();
    step.replies.into_iter().map(|(_, response)| response).collect()
}

/// Ticks as long as something is due; the number of ticks that wrote something, and what was answered.
fn tick_on(groups: &mut Groups<u64>, image: &Image, now: Now) -> (usize, Vec<Response>) {
    let (mut wrote, mut answers) = (0, Vec::new());
    for _ in 0..1_000 {
        if groups.next_deadline().is_none_or(|due| due > now.monotonic) {
            return (wrote, answers);
        }
        let step = groups.tick(image, now);
        wrote += usize::from(!step.records.is_empty());
        answers.extend(take(groups, step, now));
    }
    panic!("it does not end");
}

/// Groups of thousands are allowed.
fn roomy() -> GroupSettings {
    let mut settings = settings();
    (settings.classic.max_size, settings.consumer.max_size) = (10_000, 10_000);
    settings
}

fn profile(pattern: Option<&str>) -> ConsumerMemberValue {
    ConsumerMemberValue {
        instance: None,
        rack: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        topics: vec!["t".into()],
        regex: pattern.map(Into::into),
        rebalance_timeout_ms: 60_000,
        assignor: None,
        classic: None,
    }
}

/// The records of a member as a log has them.
fn member(group: &GroupId, id: &str, profile: ConsumerMemberValue) -> Vec<Record> {
    let (group, member) = (|| group.clone(), MemberId::new(id));
    let current = CurrentAssignmentValue {
        epoch: MemberEpoch::new(1),
        previous_epoch: MemberEpoch::JOIN,
        state: MemberState::Stable,
        assigned: Vec::new(),
        pending_revocation: Vec::new(),
    };
    let part = TopicPartitions {
        topic: TopicId(Uuid::from_bytes([3; 16])),
        partitions: vec![PartitionIndex::new(0)],
    };
    vec![
        Record::ConsumerMember { group: group(), member: member.clone(), value: Some(profile) },
        Record::ConsumerGroup {
            group: group(),
            value: Some(ConsumerGroupValue { epoch: GroupEpoch::new(1), metadata_hash: 0 }),
        },
        Record::TargetAssignment { group: group(), member: member.clone(), value: Some(vec![part]) },
        Record::CurrentAssignment { group: group(), member, value: Some(current) },
    ]
}

#[test]
fn thousands_of_members_expire_in_as_many_batches_as_they_need() {
    let image = image(&["t"]);
    let group = GroupId::from("g");
    let id = |number: usize| format!("member-{number:036}");
    let records = (0..6_000).flat_map(|number| member(&group, &id(number), profile(None)));
    let mut groups = loaded(roomy(), records, &image);
    let (wrote, _) = tick_on(&mut groups, &image, at(3_600));
    assert!((2..20).contains(&wrote), "{wrote} batches");
    assert!(groups.census().all(|(_, _, members)| members == 0), "everyone is out");
}

#[test]
fn members_of_thousands_of_groups_expire_in_as_many_batches_as_they_need() {
    let image = image(&["t"]);
    let records = (0..3_000)
        .flat_map(|number| member(&GroupId::new(format!("group-{number}")), "member-of-it", profile(None)));
    let mut groups = loaded(roomy(), records, &image);
    let (wrote, _) = tick_on(&mut groups, &image, at(3_600));
    assert!((2..40).contains(&wrote), "{wrote} batches");
    assert!(groups.census().all(|(_, _, members)| members == 0), "everyone is out");
}

#[test]
fn members_with_long_ids_and_patterns_expire_in_as_many_batches_as_they_need() {
    let image = image(&["t"]);
    let group = GroupId::from("g");
    let long = |number: usize| format!("{number:030000}");
    let records =
        (0..30).flat_map(|number| member(&group, &long(number), profile(Some(&long(number + 100)))));
    let mut groups = loaded(roomy(), records, &image);
    let (wrote, _) = tick_on(&mut groups, &image, at(3_600));
    assert!((4..40).contains(&wrote), "{wrote} batches");
    assert!(groups.census().all(|(_, _, members)| members == 0), "everyone is out");
}

#[test]
fn a_group_too_large_to_be_written_as_a_classic_one_stays_what_it_is() {
    let image = image(&["t"]);
    let group = GroupId::from("g");
    let classic = |number: usize| {
        let strategy = Protocol { name: "range".into(), metadata: vec![0; 30_000].into() };
        let classic = ClassicMemberMetadata { session_timeout_ms: 1_800_000, protocols: vec![strategy] };
        (format!("classic-{number}"), ConsumerMemberValue { classic: Some(classic), ..profile(None) })
    };
    let records = (0..40).map(classic).chain([("modern".to_owned(), profile(None))]);
    let records: Vec<Record> = records.flat_map(|(id, profile)| member(&group, &id, profile)).collect();
    let mut groups = loaded(roomy(), records, &image);
    // The one of the consumer protocol goes first: its session is the shortest.
    let (wrote, _) = tick_on(&mut groups, &image, at(61));
    assert!(wrote >= 1);
    let census: Vec<_> = groups.census().map(|(kind, _, members)| (kind.as_str(), members)).collect();
    assert_eq!(census.len(), 1);
    assert_eq!(census[0].0.to_ascii_lowercase(), "consumer");
}

#[test]
fn a_member_whose_long_ids_do_not_fit_is_refused() {
    let image = image(&["t"]);
    let mut groups: Groups<u64> = loaded(roomy(), [], &image);
    let mut refused = Vec::new();
    for number in 0..40 {
        let request = ConsumerHeartbeat {
            group: GroupId::from("g"),
            member: Some(MemberId::new(format!("{number:030000}"))),
            brings_own_id: true,
            fresh: Uuid::ZERO,
            epoch: MemberEpoch::JOIN,
            instance: None,
            rack: None,
            rebalance_timeout_ms: Some(60_000),
            topics: Some(vec!["t".into()]),
            regex: None,
            assignor: None,
            owned: Some(Vec::new()),
            client: ClientFacts { client_id: "c".into(), host: "/127.0.0.1".into() },
        };
        // What was assigned a moment ago is not computed again, so the targets of all of them are written when the last comes.
        let now = at(if number < 39 { 0 } else { 30 });
        let step = groups.handle(number, Request::ConsumerHeartbeat(request), &image, now);
        for answer in take(&mut groups, step, now) {
            match answer {
                Response::ConsumerHeartbeat(Ok(_)) => {}
                Response::ConsumerHeartbeat(Err(GroupError::GroupMetadataTooLarge)) => refused.push(number),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(refused, [39]);
}

#[test]
fn groups_with_long_names_are_deleted_in_as_many_batches_as_they_need() {
    let image = image(&["t"]);
    let names: Vec<GroupId> = (0..60).map(|number| GroupId::new(format!("{number:032000}"))).collect();
    let empty = |group: &GroupId| Record::ConsumerGroup {
        group: group.clone(),
        value: Some(ConsumerGroupValue { epoch: GroupEpoch::new(1), metadata_hash: 0 }),
    };
    let mut groups = loaded(roomy(), names.iter().map(empty), &image);
    let step = groups.handle(1, Request::Delete(Delete { groups: names.clone() }), &image, at(1));
    assert!(weight_of(&step.records) <= MAX_STEP_BYTES);
    let mut answers = take(&mut groups, step, at(1));
    answers.extend(tick_on(&mut groups, &image, at(1)).1);
    let [Response::Delete(deleted)] = &answers[..] else { panic!("{answers:?}") };
    assert!(deleted.len() == 60 && deleted.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(groups.group_count(), 0);
}
