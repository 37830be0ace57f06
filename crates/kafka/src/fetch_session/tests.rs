//! Fetch sessions as stories.

use ottla_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};

use super::*;

const VERSION: i16 = 12;

fn request(id: i32, epoch: i32, partitions: &[(&str, i32, i64)]) -> FetchRequest {
    let topics = partitions
        .iter()
        .map(|(topic, partition, offset)| FetchTopic {
            topic: (*topic).to_owned(),
            partitions: vec![FetchPartition {
                partition: *partition,
                fetch_offset: *offset,
                ..Default::default()
            }],
            ..Default::default()
        })
        .collect();
    FetchRequest { session_id: id, session_epoch: epoch, topics, ..Default::default() }
}

fn positions(fetch: &Fetch) -> String {
    let (Fetch::Full { wants, .. } | Fetch::Incremental { wants, .. }) = fetch;
    let one = |want: &Want| match &want.topic {
        Topic::Name(name) => format!("{name}-{}@{}", want.partition, want.offset),
        Topic::Id(id) => format!("{id}-{}@{}", want.partition, want.offset),
    };
    wants.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn open(sessions: &FetchSessions, partitions: &[(&str, i32, i64)]) -> i32 {
    match sessions.resolve(request(0, 0, partitions), VERSION) {
        Ok(Fetch::Full { session: Some(session), .. }) => session.id,
        other => panic!("no session: {other:?}"),
    }
}

#[test]
fn a_session_remembers_what_the_client_does_not_repeat() {
    let sessions = FetchSessions::new(10);
    let id = open(&sessions, &[("a", 0, 5), ("b", 1, 7)]);
    let second = sessions.resolve(request(id, 1, &[("a", 0, 6)]), VERSION).unwrap();
    assert_eq!(positions(&second), "a-0@6 b-1@7");
    let mut third = request(id, 2, &[("c", 2, 0)]);
    third.forgotten_topics_data =
        vec![ForgottenTopic { topic: "b".to_owned(), partitions: vec![1], ..Default::default() }];
    assert_eq!(positions(&sessions.resolve(third, VERSION).unwrap()), "a-0@6 c-2@0");
}

#[test]
fn an_unknown_session_and_a_repeated_epoch_are_refused() {
    let sessions = FetchSessions::new(10);
    let id = open(&sessions, &[("a", 0, 0)]);
    let unknown = sessions.resolve(request(id.wrapping_add(1), 1, &[]), VERSION).unwrap_err();
    assert_eq!(unknown, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert!(sessions.resolve(request(id, 1, &[]), VERSION).is_ok());
    let repeated = sessions.resolve(request(id, 1, &[]), VERSION).unwrap_err();
    assert_eq!(repeated, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
}

#[test]
fn a_full_cache_keeps_the_sessions_in_use() {
    let sessions = FetchSessions::new(1);
    let id = open(&sessions, &[("a", 0, 0)]);
    let second = sessions.resolve(request(0, 0, &[("a", 0, 0)]), VERSION).unwrap();
    assert!(matches!(second, Fetch::Full { session: None, .. }));
    assert!(sessions.resolve(request(id, FINAL_EPOCH, &[]), VERSION).is_ok());
    open(&sessions, &[("a", 0, 0)]);
}

#[test]
fn only_what_is_new_is_told() {
    let sessions = FetchSessions::new(1);
    let id = open(&sessions, &[("a", 0, 0), ("b", 0, 0)]);
    let told = |high_watermark| Told { high_watermark, log_start: 0 };
    let tell = |epoch, answers: [(i64, bool); 2]| {
        let Ok(Fetch::Incremental { wants, session }) = sessions.resolve(request(id, epoch, &[]), VERSION)
        else {
            panic!("not incremental");
        };
        let answers: Vec<_> = wants
            .iter()
            .zip(answers)
            .map(|(want, (high_watermark, records))| (want.clone(), told(high_watermark), records))
            .collect();
        let topics = wants.iter().map(|want| match &want.topic {
            Topic::Name(name) => name.to_string(),
            Topic::Id(id) => id.to_string(),
        });
        topics.zip(session.tell(&answers)).collect::<Vec<_>>()
    };
    let named = |a: (&str, bool), b: (&str, bool)| vec![(a.0.to_owned(), a.1), (b.0.to_owned(), b.1)];
    assert_eq!(tell(1, [(1, false), (1, false)]), named(("a", true), ("b", true)), "told for the first time");
    assert_eq!(tell(2, [(1, false), (1, false)]), named(("a", false), ("b", false)), "nothing new");
    assert_eq!(
        tell(3, [(1, true), (2, false)]),
        named(("a", true), ("b", true)),
        "records; a higher watermark"
    );
    // The one that had records goes to the end, so that the other has its turn.
    assert_eq!(tell(4, [(2, false), (1, false)]), named(("b", false), ("a", false)));
}
