//! A broker that was away catches up while producers go on.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use it::cluster::Cluster;

use super::{PARTITIONS, Row, row};
use crate::bench::load::{Load, Outcome};
use crate::bench::machine;

/// What the broker misses.
const MISSED_BYTES: u64 = 5_000_000_000;
const STEADY_MB_PER_S: f64 = 30.0;
/// Of the steady load, before and at a time.
const BEFORE_BYTES: u64 = 450_000_000;
const PIECE_BYTES: u64 = 30_000_000;
const WITHIN: Duration = Duration::from_secs(600);

pub(super) const HEADING: &str = "A broker that was away";
pub(super) const INTRODUCTION: &str = "\
30 MB/s of 64 KiB batches go to a topic of three partitions and replicas, `acks=all`, with the brokers' own defaults (Ottla acknowledges what is on disk), for 15 s. Then a broker is killed, 5 GB are written to
another topic, and the broker is started again: while it copies them, the 30 MB/s go on. Latency counts from the moment a request was due; the time is that until every replica
of both topics is in sync again.

";

pub(super) const ROWS: [Row; 5] = [
    row("rejoin p99 before", "produce latency at 30 MB/s before, p99", None),
    row("rejoin p99", "the same while a broker catches up", None),
    row("rejoin ratio", "how many times as long", Some(3.0)),
    row("rejoin time", "5 GB and what came meanwhile are copied", None),
    row("rejoin rate", "which is so much a second", None),
];

pub(super) fn run(
    cluster: &mut Cluster,
    record: &mut impl FnMut(&str, &'static str, f64),
) -> anyhow::Result<()> {
    let (missed, steady) = ("missed", "steady");
    cluster.create_topic(missed, PARTITIONS, &[]);
    cluster.create_topic(steady, PARTITIONS, &[]);
    let load = Load::of_cluster(cluster, steady);
    load.produce_to_leaders(cluster, PIECE_BYTES, Some(STEADY_MB_PER_S))?;
    machine::touch_memory()?;
    let before = load.produce_to_leaders(cluster, BEFORE_BYTES, Some(STEADY_MB_PER_S))?;
    let p99_before = before.percentile(0.99);

    let head = cluster.quorum_leader();
    let away = cluster.ids().into_iter().find(|id| *id != head).context("a follower of the quorum")?;
    cluster.kill(away);
    cluster.wait_led(missed);
    cluster.wait_led(steady);
    Load::of_cluster(cluster, missed).produce_to_leaders(cluster, MISSED_BYTES, None)?;
    rustix::fs::sync();
    machine::touch_memory()?;

    let began = Instant::now();
    cluster.restart(away);
    let load = Load::of_cluster(cluster, steady);
    let mut during: Vec<Outcome> = Vec::new();
    while !is_in_sync(cluster, missed)? || !is_in_sync(cluster, steady)? {
        ensure!(began.elapsed() < WITHIN, "it has not caught up");
        during.push(load.produce_to_leaders(cluster, PIECE_BYTES, Some(STEADY_MB_PER_S))?);
    }
    let took = began.elapsed();
    let mut latencies: Vec<Duration> = during.into_iter().flat_map(|piece| piece.latencies).collect();
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).context("it took no time at all")?;

    record("rejoin p99 before", "ms", p99_before.as_secs_f64() * 1e3);
    record("rejoin p99", "ms", p99.as_secs_f64() * 1e3);
    record("rejoin ratio", "", p99.as_secs_f64() / p99_before.as_secs_f64());
    record("rejoin time", "s", took.as_secs_f64());
    record("rejoin rate", "MB/s", MISSED_BYTES as f64 / 1e6 / took.as_secs_f64());
    Ok(())
}

fn is_in_sync(cluster: &Cluster, topic: &str) -> anyhow::Result<bool> {
    let view = cluster.view(Some(topic))?;
    Ok(view.partitions.iter().all(|one| one.leader.is_some() && one.in_sync.len() == one.replicas.len()))
}
