//! How long a coordinator takes to come back with 1,000,000 committed offsets in its partition.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use it::broker::Broker;
use it::raw::{Connection, Reader, Writer, api, error};
use it::scrape::Scrape;
use ottla_wire::messages::OffsetCommitRequest;
use ottla_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};

use super::Run;
use super::member;

/// Committed by each group.
const PARTITIONS: i32 = 100;
const GROUPS: usize = 10_000;
const TOPIC: &str = "wide";
/// `offsets.topic.num.partitions`, by default.
const OFFSETS_PARTITIONS: i32 = 50;
/// Requests that are on their way together.
const IN_FLIGHT: usize = 16;
const COMMIT: i16 = 8;
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

pub(super) fn run(run: &mut Run) -> anyhow::Result<()> {
    let mut broker = run.broker(&[]);
    broker.connect().create_topic(TOPIC, PARTITIONS, &[])?;
    member::await_coordinators(&broker, TOPIC)?;
    let before = broker.rss_bytes();
    let groups: Vec<String> = of_one_partition(run.volume(GROUPS));
    let offsets = groups.len() * PARTITIONS as usize;
    let committing = Instant::now();
    commit(&broker, &groups)?;
    run.record("commit", "µs/offset", committing.elapsed().as_secs_f64() * 1e6 / offsets as f64);
    run.record("memory", "bytes/offset", (broker.rss_bytes() as f64 - before as f64) / offsets as f64);

    run.calm()?;
    broker.kill();
    let killed = Instant::now();
    broker.restart();
    let ready = killed.elapsed();
    await_offset(&broker, &groups[groups.len() - 1])?;
    let answered = killed.elapsed();
    run.record("restart until ready", "s", ready.as_secs_f64());
    run.record("restart until offset", "s", answered.as_secs_f64());
    let scrape = Scrape::of(&broker);
    run.record("load", "s", scrape.value("ottla_group_load_seconds_sum"));
    ensure!(scrape.value("ottla_group_load_seconds_count") >= 1.0, "one partition is loaded");
    run.record(
        "memory reloaded",
        "bytes/offset",
        (broker.rss_bytes() as f64 - before as f64) / offsets as f64,
    );
    Ok(())
}

/// Groups that live in one partition of `__consumer_offsets`: the one of Java's `String.hashCode`.
fn of_one_partition(count: usize) -> Vec<String> {
    let partition = |group: &String| {
        let hash =
            group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
        hash.checked_abs().unwrap_or(0) % OFFSETS_PARTITIONS
    };
    (0..).map(|number| format!("group-{number}")).filter(|group| partition(group) == 0).take(count).collect()
}

fn commit(broker: &Broker, groups: &[String]) -> anyhow::Result<()> {
    let partitions = (0..PARTITIONS).map(|partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1 << 40,
        ..Default::default()
    });
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.to_owned(),
        partitions: partitions.collect(),
        ..Default::default()
    };
    let mut request = OffsetCommitRequest { topics: vec![topic], ..Default::default() };
    let mut connections: Vec<Connection> = (0..IN_FLIGHT).map(|_| broker.connect()).collect();
    for together in groups.chunks(IN_FLIGHT) {
        for (group, connection) in together.iter().zip(&mut connections) {
            request.group_id.clone_from(group);
            member::send(connection, &request, COMMIT)?;
        }
        for connection in connections.iter_mut().take(together.len()) {
            let answer = member::receive::<OffsetCommitRequest>(connection, COMMIT)?;
            let failed = answer.topics.iter().flat_map(|topic| &topic.partitions);
            ensure!(failed.clone().count() == PARTITIONS as usize, "a commit of {PARTITIONS} offsets");
            if let Some(failed) = failed.clone().find(|partition| partition.error_code.is_error()) {
                bail!("a commit: {}", failed.error_code);
            }
        }
    }
    Ok(())
}

/// Asks for one offset until the coordinator has it.
fn await_offset(broker: &Broker, group: &str) -> anyhow::Result<()> {
    let body = Writer::default().string(group).i32(1).string(TOPIC).i32(1).i32(PARTITIONS - 1);
    let mut connection = broker.connect();
    let start = Instant::now();
    loop {
        let answer = connection.call(api::OFFSET_FETCH, 2, &body.0)?;
        let mut reader = Reader(&answer);
        let offsets = reader.array(|reader| {
            reader.string()?;
            reader.array(|reader| {
                let offset = (reader.i32()?, reader.i64()?).1;
                reader.string()?;
                reader.i16()?;
                Ok(offset)
            })
        })?;
        let code = reader.i16()?;
        if code == error::NONE {
            let offset = offsets.concat();
            ensure!(offset == [1 << 40], "the committed offset is {offset:?}");
            return Ok(());
        }
        ensure!(error::COORDINATOR_NOT_READY.contains(&code), "OffsetFetch: error {code}");
        ensure!(start.elapsed() < ANSWERED_WITHIN, "no offset after {ANSWERED_WITHIN:?}: error {code}");
        thread::sleep(Duration::from_millis(2));
    }
}
