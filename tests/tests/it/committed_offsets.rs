//! Offsets that were answered as committed are there after `kill -9`, and Kafka's dump tool reads the topic they are in.

use std::fs;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use it::broker::{Kind, Spec};
use it::raw::Connection;
use it::toolbox::Toolbox;
use it::tools::{self, Tool};
use it::wait;
use ottla_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use ottla_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use ottla_wire::messages::offset_fetch_response::OffsetFetchResponsePartition;
use ottla_wire::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};
use ottla_wire::{ErrorCode, Message, Reader, Request, Writer, frame};

const TOPIC: &str = "positions";
const PARTITIONS: i32 = 3;
const GROUPS: [&str; 3] = ["readers", "billing", "größe"];

/// What one group's committer knows: the last number it sent, and the last that was answered as committed.
#[derive(Default)]
struct Committed {
    sent: AtomicI64,
    answered: AtomicI64,
}

/// Tells the committers to stop, in a panic too.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn an_offset_answered_as_committed_survives_kill_nine() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let kills = if Kind::under_test() == Kind::Kafka { 3 } else { 20 };
    // Small segments, so that some loads read several.
    let mut broker = Spec::under_test().set("offsets.topic.segment.bytes", 1 << 20).start();
    broker.expect_log("__consumer_offsets-");
    broker.connect().create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    let (address, stop) = (broker.address(), AtomicBool::new(false));
    let committed: [Committed; GROUPS.len()] = Default::default();
    thread::scope(|scope| {
        for (group, committed) in GROUPS.iter().zip(&committed) {
            let (address, stop) = (&address, &stop);
            scope.spawn(move || commit_on_and_on(address, group, committed, stop));
        }
        // The committers stop whatever happens here, or a failure would wait for them for ever.
        let stop = StopAtEnd(&stop);
        for _ in 0..kills {
            let before = committed.each_ref().map(|committed| committed.answered.load(Ordering::SeqCst));
            wait::until("every group to commit again", Duration::from_secs(60), || {
                let now = committed.each_ref().map(|committed| committed.answered.load(Ordering::SeqCst));
                Ok(now.iter().zip(before).all(|(now, before)| *now > before + 20).then_some(()))
            })
            .unwrap();
            broker.kill();
            broker.restart();
        }
        drop(stop);
    });
    broker.kill();
    broker.restart();
    for (group, committed) in GROUPS.iter().zip(&committed) {
        let (answered, sent) =
            (committed.answered.load(Ordering::SeqCst), committed.sent.load(Ordering::SeqCst));
        let offsets = wait::until("the coordinator to load", Duration::from_secs(30), || {
            fetch(&mut broker.connect(), group)
        })
        .unwrap();
        assert_eq!(offsets.len(), PARTITIONS as usize);
        for offset in offsets {
            assert!(
                (answered..=sent).contains(&offset),
                "{group}: {answered} answered, {offset} found, {sent} sent"
            );
        }
        eprintln!("{group}: {answered} commits answered over {kills} kills");
    }
    broker.terminate();
    dump(broker.data_dir(), &GROUPS);
}

/// Commits a rising number for every partition, over and over, through whatever happens to the broker.
fn commit_on_and_on(address: &str, group: &str, committed: &Committed, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut connection) = Connection::open(address) else { continue };
        let found = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
        if ask(&mut connection, &found, 3).is_err() {
            continue;
        }
        while !stop.load(Ordering::SeqCst) {
            let number = committed.sent.fetch_add(1, Ordering::SeqCst) + 1;
            match commit(&mut connection, group, number, note(number)) {
                Ok(true) => committed.answered.store(number, Ordering::SeqCst),
                Ok(false) => {}
                Err(_) => break,
            }
        }
    }
}

/// Commits rising numbers, each with a note of some length, for all partitions of the topic `positions`; the last number.
pub(crate) fn commit_with_notes(connection: &mut Connection, group: &str, times: i64, note: usize) -> i64 {
    let found = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
    ask(connection, &found, 3).unwrap();
    for number in 1..=times {
        wait::until("a commit", Duration::from_secs(30), || {
            Ok(commit(connection, group, number, "n".repeat(note))?.then_some(()))
        })
        .unwrap();
    }
    times
}

/// True if the broker said so of every partition.
fn commit(connection: &mut Connection, group: &str, number: i64, note: String) -> anyhow::Result<bool> {
    let partitions = (0..PARTITIONS).map(|partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: number,
        committed_metadata: Some(note.clone()),
        ..Default::default()
    });
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.to_owned(),
        partitions: partitions.collect(),
        ..Default::default()
    };
    let request =
        OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..Default::default() };
    let response = ask(connection, &request, 9)?;
    let codes: Vec<ErrorCode> = response
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| partition.error_code)
        .collect();
    let passing = [
        ErrorCode::NONE,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    ];
    assert!(codes.iter().all(|code| passing.contains(code)), "{codes:?}");
    Ok(codes.len() == PARTITIONS as usize && codes.iter().all(|code| *code == ErrorCode::NONE))
}

/// What is said with an offset.
fn note(number: i64) -> String {
    format!("note {number}")
}

/// The group's offsets, each with what was said with it; `None` while its coordinator loads.
fn fetch(connection: &mut Connection, group: &str) -> anyhow::Result<Option<Vec<i64>>> {
    let topic =
        OffsetFetchRequestTopic { name: TOPIC.to_owned(), partition_indexes: (0..PARTITIONS).collect() };
    let request =
        OffsetFetchRequest { group_id: group.to_owned(), topics: Some(vec![topic]), ..Default::default() };
    let response = ask(connection, &request, 7)?;
    if response.error_code.is_error() {
        return Ok(None);
    }
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let offset = |partition: &OffsetFetchResponsePartition| {
        assert_eq!(partition.metadata, Some(note(partition.committed_offset)));
        partition.committed_offset
    };
    Ok(Some(partitions.map(offset).collect()))
}

/// Sends a request and reads its answer.
pub(crate) fn ask<R: Request>(
    connection: &mut Connection,
    request: &R,
    version: i16,
) -> anyhow::Result<R::Response> {
    let mut writer = Writer::new();
    frame::write_request(&mut writer, 7, Some("it"), request, version)?;
    connection.stream.write_all(&writer.into_parts().0)?;
    let answer = connection.receive()?;
    let mut reader = Reader::new(Bytes::from(answer));
    frame::read_response_header(&mut reader, R::API, version)?;
    Ok(R::Response::decode(&mut reader, version)?)
}

/// Kafka's tool finds every group's commits in the topic, and reads them.
fn dump(data_dir: &std::path::Path, groups: &[&str]) {
    let mut files = Vec::new();
    for entry in fs::read_dir(data_dir).unwrap() {
        let folder = entry.unwrap().path();
        if folder.file_name().unwrap().to_str().unwrap().starts_with("__consumer_offsets-") {
            let logs = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
            files.extend(logs.filter(|file| {
                file.extension().is_some_and(|kind| kind == "log") && file.metadata().unwrap().len() > 0
            }));
        }
    }
    let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    assert!(!files.is_empty(), "no segment of __consumer_offsets");
    let flags = ["--offsets-decoder", "--files", &files.join(",")];
    let text = Toolbox::start().run("org.apache.kafka.tools.DumpLogSegments", &flags).success();
    for group in groups {
        let key =
            format!(r#"key: {{"type":"1","data":{{"group":"{group}","topic":"{TOPIC}","partition":0}}}}"#);
        assert!(
            text.contains(&key),
            "no commit of {group}:\n{}",
            text.chars().take(3_000).collect::<String>()
        );
    }
    assert!(text.contains(r#""metadata":"note "#), "{}", text.chars().take(3_000).collect::<String>());
}
