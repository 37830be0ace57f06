use ottla_record::Uuid;
use ottla_wire::messages::fetch_request::{FetchTopic, ForgottenTopic};

use super::*;

const VERSION: i16 = 18;
const TOPIC: Uuid = Uuid::from_bytes([7; 16]);

fn at(ms: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(ms))
}

fn request(id: i32, epoch: i32, wants: &[(i32, i64)]) -> FetchRequest {
    let partition = |(partition, offset): &(i32, i64)| FetchPartition {
        partition: *partition,
        fetch_offset: *offset,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic_id: TOPIC,
        partitions: wants.iter().map(partition).collect(),
        ..Default::default()
    };
    FetchRequest { session_id: id, session_epoch: epoch, topics: vec![topic], ..Default::default() }
}

fn nothing_new(high_watermark: i64) -> Result<ForReplica, ReplicaFetchError> {
    Ok(ForReplica::Records {
        slice: None,
        high_watermark: Offset::new(high_watermark),
        log_start: Offset::ZERO,
    })
}

/// Partition, offset, and whether its leader knows it already.
fn asked(session: &ReplicaSession, now: Monotonic) -> Vec<(i32, i64, bool)> {
    session.items(now).iter().map(|item| (item.partition, item.offset, item.known)).collect()
}

fn told(session: &mut ReplicaSession, marks: &[i64], now: Monotonic) -> Vec<i32> {
    let outcomes = marks.iter().map(|mark| nothing_new(*mark)).collect();
    session.tell(outcomes, now).into_iter().map(|(_, partition, _)| partition).collect()
}

#[test]
fn only_what_changed_is_asked_again_and_only_what_is_new_is_answered() {
    let mut session =
        ReplicaSession::resolve(None, request(0, 0, &[(0, 5), (1, 6), (2, 7)]), VERSION, 9).unwrap();
    assert_eq!(asked(&session, at(0)), [(0, 5, false), (1, 6, false), (2, 7, false)]);
    assert_eq!(told(&mut session, &[5, 6, 7], at(0)), [0, 1, 2], "the first answer names all");
    assert_eq!(session.id(), 9);

    let mut session = ReplicaSession::resolve(Some(session), request(9, 1, &[(1, 8)]), VERSION, 1).unwrap();
    assert_eq!(asked(&session, at(100)), [(0, 5, true), (1, 8, false), (2, 7, true)]);
    assert_eq!(told(&mut session, &[5, 6, 8], at(100)), [2], "its high watermark rose");

    let mut session = ReplicaSession::resolve(Some(session), request(9, 2, &[]), VERSION, 1).unwrap();
    assert_eq!(
        asked(&session, at(250)),
        [(0, 5, false), (1, 8, true), (2, 7, false)],
        "told again now and then"
    );
    assert!(told(&mut session, &[5, 6, 8], at(250)).is_empty());
}

#[test]
fn what_was_not_well_is_asked_again_at_once() {
    let mut session = ReplicaSession::resolve(None, request(0, 0, &[(0, 5)]), VERSION, 9).unwrap();
    let refused = |session: &mut ReplicaSession| {
        session.tell(vec![Err(ReplicaFetchError::UnknownLeaderEpoch)], at(0)).len()
    };
    assert_eq!(refused(&mut session), 1);
    let mut session = ReplicaSession::resolve(Some(session), request(9, 1, &[]), VERSION, 1).unwrap();
    assert_eq!(asked(&session, at(1)), [(0, 5, false)]);
    assert_eq!(refused(&mut session), 1, "and told again");
}

#[test]
fn partitions_are_forgotten_and_added() {
    let session = ReplicaSession::resolve(None, request(0, 0, &[(0, 5), (1, 6)]), VERSION, 9).unwrap();
    let mut second = request(9, 1, &[(2, 7)]);
    second.forgotten_topics_data =
        vec![ForgottenTopic { topic_id: TOPIC, partitions: vec![0, 4], ..Default::default() }];
    let session = ReplicaSession::resolve(Some(session), second, VERSION, 1).unwrap();
    assert_eq!(asked(&session, at(0)), [(1, 6, false), (2, 7, false)]);
}

#[test]
fn whoever_names_another_session_is_told_so_and_without_one_each_fetch_stands_alone() {
    let open = || ReplicaSession::resolve(None, request(0, 0, &[(0, 5)]), VERSION, 9).unwrap();
    let refused =
        |kept, id, epoch| ReplicaSession::resolve(kept, request(id, epoch, &[]), VERSION, 1).unwrap_err();
    assert_eq!(refused(None, 9, 1), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(refused(Some(open()), 8, 1), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(refused(Some(open()), 9, 2), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let alone = ReplicaSession::resolve(Some(open()), request(0, -1, &[(0, 5)]), VERSION, 1).unwrap();
    assert_eq!(alone.id(), 0);
}

#[test]
fn the_next_answer_begins_behind_whoever_was_served_last() {
    let mut session =
        ReplicaSession::resolve(None, request(0, 0, &[(0, 1), (1, 1), (2, 1)]), VERSION, 9).unwrap();
    told(&mut session, &[1, 1, 1], at(0));
    // What an answer with records for partition 1 leaves behind.
    session.first = 2;
    let order: Vec<i32> = asked(&session, at(1)).into_iter().map(|(partition, ..)| partition).collect();
    assert_eq!(order, [2, 0, 1]);
    assert_eq!(told(&mut session, &[1, 1, 1], at(1)), [2, 0, 1]);
}
