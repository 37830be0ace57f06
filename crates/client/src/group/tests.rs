use std::time::Duration;

use bytes::BytesMut;
use ottla_record::{BatchBuilder, Codec, Timestamp};
use ottla_rpc::KafkaError;
use ottla_rpc::v1::subscribe_request::Request;
use ottla_rpc::v1::subscribe_response::Event as Told;

use super::*;
use crate::size::ByteSize;

fn membership(commits_by_itself: bool) -> Membership {
    Membership::new(ByteSize::kib(64), ByteSize::mib(1), commits_by_itself)
}

fn hear(membership: &mut Membership, event: Told) {
    membership.received(v1::SubscribeResponse { event: Some(event) });
}

fn named(partition: i32) -> v1::TopicPartition {
    v1::TopicPartition { topic: "a".into(), partition }
}

fn assign(membership: &mut Membership, partitions: &[i32]) {
    let assigned = |partition: &i32| v1::AssignedPartition {
        topic: "a".into(),
        partition: *partition,
        position: 10,
        committed: Some(10),
        metadata: String::new(),
    };
    let partitions = partitions.iter().map(assigned).collect();
    hear(membership, Told::Assigned(v1::Assigned { partitions, member_epoch: 1 }));
}

/// `count` records from `from` on.
fn records(partition: i32, from: i64, count: i64) -> Told {
    let mut batch = BatchBuilder::new(Codec::None);
    for _ in 0..count {
        batch.push(Some(Timestamp::from_millis(1)), None, Some(b"value"), &[]);
    }
    let mut bytes = BytesMut::from(&batch.build().unwrap()[..]);
    bytes[..8].copy_from_slice(&from.to_be_bytes());
    Told::Records(v1::FetchResponse {
        topic: "a".into(),
        partition,
        batches: bytes.freeze(),
        next_offset: from + count,
        ..Default::default()
    })
}

/// Everything there is for the caller, as text.
fn events(membership: &mut Membership) -> Vec<String> {
    let partitions = |list: &[TopicPartition]| list.iter().map(|p| p.partition).collect::<Vec<_>>();
    std::iter::from_fn(|| membership.next_event())
        .map(|event| match event {
            Ok(GroupEvent::Record(record)) => format!("{}@{}", record.partition, record.offset),
            Ok(GroupEvent::Assigned(list)) => format!("assigned {:?}", partitions(&list)),
            Ok(GroupEvent::Revoking(list)) => format!("revoking {:?}", partitions(&list)),
            Ok(GroupEvent::Lost(list)) => format!("lost {:?}", partitions(&list)),
            Err(error) => format!("error {error}"),
        })
        .collect()
}

/// Everything there is for the broker, as text.
fn requests(membership: &mut Membership) -> Vec<String> {
    std::iter::from_fn(|| membership.next_request()?.request)
        .map(|request| match request {
            Request::Commit(commit) => {
                let offsets: Vec<_> =
                    commit.offsets.iter().map(|o| format!("{}@{}", o.partition, o.offset)).collect();
                format!("commit {} {}", commit.id, offsets.join(" "))
            }
            Request::Credit(_) => "credit".to_owned(),
            Request::Release(_) => "release".to_owned(),
            Request::Pause(_) => "pause".to_owned(),
            Request::Resume(_) => "resume".to_owned(),
            Request::Seek(seek) => format!("seek {:?}", seek.to.unwrap().at.unwrap()),
            Request::Join(_) | Request::Leave(_) => unreachable!("these are the stream's"),
        })
        .collect()
}

fn committed(membership: &mut Membership, id: u64) {
    hear(membership, Told::Committed(v1::Committed { id, failures: Vec::new() }));
}

#[test]
fn records_are_given_in_order_and_what_was_given_is_committed() {
    let mut member = membership(true);
    assign(&mut member, &[0]);
    hear(&mut member, records(0, 10, 3));
    assert_eq!(events(&mut member), ["assigned [0]", "0@10", "0@11", "0@12"]);
    assert_eq!(member.position("a", 0), Some(Offset::new(13)));
    member.commit_by_itself();
    assert_eq!(requests(&mut member), ["commit 1 0@13", "credit"]);
    member.commit_by_itself();
    assert!(requests(&mut member).is_empty(), "nothing new");
}

#[test]
fn a_commit_that_was_refused_is_asked_for_again() {
    let mut member = membership(true);
    assign(&mut member, &[0]);
    hear(&mut member, records(0, 10, 1));
    events(&mut member);
    let id = member.commit(member.uncommitted());
    let detail = ottla_rpc::status::detail(KafkaError::COORDINATOR_LOAD_IN_PROGRESS);
    let failure = v1::CommitFailure { detail: Some(detail), message: "loading".into() };
    hear(&mut member, Told::Committed(v1::Committed { id, failures: vec![failure] }));
    let error = member.take_answer(id).unwrap().unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert!(member.is_dirty());
    assert_eq!(member.uncommitted().len(), 1);
}

#[test]
fn partitions_are_given_back_after_their_commit_and_without_what_was_not_given() {
    let mut member = membership(true);
    assign(&mut member, &[0, 1]);
    hear(&mut member, records(0, 10, 2));
    hear(&mut member, records(1, 10, 2));
    assert!(matches!(member.next_event(), Some(Ok(GroupEvent::Assigned(_)))));
    assert!(matches!(member.next_event(), Some(Ok(GroupEvent::Record(_)))));
    hear(&mut member, Told::Revoking(v1::Revoking { partitions: vec![named(0)], within_ms: 1000 }));
    assert_eq!(events(&mut member), ["revoking [0]", "1@10", "1@11"], "0@11 is another member's");
    member.release_if_ready();
    assert_eq!(requests(&mut member), ["commit 1 0@11", "credit"]);
    committed(&mut member, 1);
    member.release_if_ready();
    assert_eq!(requests(&mut member), ["release"]);
    assert_eq!(member.assignment().count(), 1);
}

#[test]
fn with_manual_commit_the_caller_commits_before_it_asks_for_more() {
    let mut member = membership(false);
    assign(&mut member, &[0]);
    hear(&mut member, records(0, 10, 1));
    events(&mut member);
    hear(&mut member, Told::Revoking(v1::Revoking { partitions: vec![named(0)], within_ms: 1000 }));
    assert!(matches!(member.next_event(), Some(Ok(GroupEvent::Revoking(_)))));
    let id = member.commit(member.uncommitted());
    committed(&mut member, id);
    assert!(member.take_answer(id).unwrap().is_ok());
    member.release_if_ready();
    assert_eq!(requests(&mut member), ["commit 1 0@11", "release", "credit"]);
}

#[test]
fn what_was_on_its_way_at_a_seek_belongs_to_the_old_place() {
    let mut member = membership(false);
    assign(&mut member, &[0]);
    events(&mut member);
    member.seek("a", 0, Start::Latest).unwrap();
    assert_eq!(member.position("a", 0), None, "not known yet");
    hear(&mut member, records(0, 10, 2));
    hear(&mut member, Told::Sought(v1::Sought { topic: "a".into(), partition: 0, position: 90 }));
    hear(&mut member, records(0, 90, 1));
    assert_eq!(events(&mut member), ["0@90"]);
    assert!(matches!(member.seek("a", 7, Start::Latest), Err(Error::NotAssigned { .. })));
}

#[test]
fn a_paused_partition_goes_on_behind_what_was_given() {
    let mut member = membership(false);
    assign(&mut member, &[0]);
    hear(&mut member, records(0, 10, 3));
    assert!(matches!(member.next_event(), Some(Ok(GroupEvent::Assigned(_)))));
    assert!(matches!(member.next_event(), Some(Ok(GroupEvent::Record(_)))));
    member.pause("a", 0).unwrap();
    hear(&mut member, records(0, 13, 1));
    assert!(events(&mut member).is_empty());
    member.resume("a", 0).unwrap();
    assert_eq!(requests(&mut member), ["pause", "seek Offset(11)", "resume", "credit"]);
    hear(&mut member, Told::Sought(v1::Sought { topic: "a".into(), partition: 0, position: 11 }));
    hear(&mut member, records(0, 11, 2));
    assert_eq!(events(&mut member), ["0@11", "0@12"]);
}

#[test]
fn a_place_that_the_broker_chose_counts_behind_the_records_before_it() {
    let mut member = membership(false);
    assign(&mut member, &[0]);
    hear(&mut member, records(0, 10, 1));
    hear(&mut member, Told::Sought(v1::Sought { topic: "a".into(), partition: 0, position: 70 }));
    hear(&mut member, records(0, 70, 1));
    assert_eq!(events(&mut member), ["assigned [0]", "0@10", "0@70"]);
}

#[test]
fn a_broken_stream_loses_everything_and_a_new_one_begins_clean() {
    let mut member = membership(true);
    assign(&mut member, &[0]);
    hear(&mut member, records(0, 10, 2));
    assert!(matches!(member.next_event(), Some(Ok(GroupEvent::Assigned(_)))));
    assert!(matches!(member.next_event(), Some(Ok(GroupEvent::Record(_)))));
    member.left();
    assert_eq!(events(&mut member), ["lost [0]"]);
    assert!(requests(&mut member).is_empty());
    assign(&mut member, &[0]);
    assert_eq!(member.position("a", 0), Some(Offset::new(10)), "what was not committed comes again");
}

#[test]
fn a_batch_that_does_not_unpack_is_an_error_and_is_not_skipped() {
    let mut member = membership(false);
    assign(&mut member, &[0]);
    let Told::Records(mut damaged) = records(0, 10, 1) else { unreachable!() };
    let mut bytes = BytesMut::from(&damaged.batches[..]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    damaged.batches = bytes.freeze();
    hear(&mut member, Told::Records(damaged));
    let told = events(&mut member);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].starts_with("error a-0 at offset 10"), "{told:?}");
    assert_eq!(member.position("a", 0), Some(Offset::new(10)));
}

#[tokio::test]
async fn nobody_there_is_told_of_after_a_while() {
    let client = Client::builder().bootstrap("http://127.0.0.1:1").build().unwrap();
    let builder = client.group("g").topic("a").give_up_after(Duration::from_millis(100));
    let mut consumer = builder.build().unwrap();
    let error = consumer.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }) && error.is_retriable(), "{error}");
    let error = consumer.commit_offsets([("a", 0, Offset::new(1))]).await.unwrap_err();
    assert!(matches!(error, Error::NotAssigned { .. }), "{error}");
    consumer.close().await.unwrap();
}

#[test]
fn an_answer_that_nobody_waits_for_any_more_is_not_kept() {
    let mut member = membership(false);
    assign(&mut member, &[0]);
    hear(&mut member, records(0, 10, 2));
    events(&mut member);
    let offsets = member.uncommitted();
    let (first, second) = (member.commit(offsets.clone()), member.commit(offsets.clone()));
    committed(&mut member, first);
    committed(&mut member, second);
    assert!(member.take_answer(first).is_none(), "its time was over when the second was asked for");
    assert!(matches!(member.take_answer(second), Some(Ok(()))));
    let third = member.commit(offsets.clone());
    committed(&mut member, third);
    let fourth = member.commit(offsets);
    assert!(member.take_answer(third).is_none());
    committed(&mut member, fourth);
    assert!(matches!(member.take_answer(fourth), Some(Ok(()))));
}
