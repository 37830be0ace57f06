//! 1,000 partitions of three replicas on three brokers.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use it::broker::cpu_of;
use it::cluster::{Cluster, View};
use it::wait;

use super::{Row, row};
use crate::bench::load::Load;

const PARTITIONS: i32 = 1_000;
/// How long the brokers are watched when nobody wants anything of them, and when somebody wants a little.
const WATCHED: Duration = Duration::from_secs(10);
const PER_SECOND: f64 = 200.0;
const WITHIN: Duration = Duration::from_secs(60);

pub(super) const HEADING: &str = "1,000 partitions";
pub(super) const INTRODUCTION: &str = "\
A topic of 1,000 partitions with three replicas. *In sync* is when a broker's metadata name a leader and three in-sync replicas for each partition. Then
nothing happens for 10 s, then 200 single records of 100 bytes a second go to one partition of each leader, `acks=all`, for 10 s, and as many to all partitions in turn, most of
which have to open their files for that. Then a broker that does not lead the quorum is
killed with `kill -9`: its leaders have moved when the metadata of both others name a live leader for each partition.

";

pub(super) const ROWS: [Row; 9] = [
    row("many created", "CreateTopics is answered", None),
    row("many in sync", "all are led and in sync", Some(2.0)),
    row("many idle cpu", "CPU of all three brokers in a second in which nothing happens", None),
    row("many few cpu", "CPU of all three brokers per single-record request, to three partitions", None),
    row("many few p99", "its latency, p99", None),
    row("many all cpu", "the same to all partitions in turn", None),
    row("many all p99", "its latency, p99", None),
    row("many moved", "all leaders of a killed broker have moved", Some(1.0)),
    row("many back", "it is started again, and all are in sync", None),
];

pub(super) fn run(
    cluster: &mut Cluster,
    kills: usize,
    record: &mut impl FnMut(&str, &'static str, f64),
) -> anyhow::Result<()> {
    let topic = "many";
    let began = Instant::now();
    cluster.begin_topic(topic, PARTITIONS, &[]);
    record("many created", "s", began.elapsed().as_secs_f64());
    in_sync(cluster, topic)?;
    record("many in sync", "s", began.elapsed().as_secs_f64());
    cluster.wait_in_sync(topic);
    thread::sleep(Duration::from_secs(2));

    let before = cpu(cluster)?;
    thread::sleep(WATCHED);
    let idle = cpu(cluster)?.saturating_sub(before);
    record("many idle cpu", "ms", idle.as_secs_f64() * 1e3 / WATCHED.as_secs_f64());

    let count = (PER_SECOND * WATCHED.as_secs_f64()) as u64;
    let load = Load::of_cluster(cluster, topic);
    for (whereto, partitions) in [("few", 1), ("all", PARTITIONS as usize)] {
        let outcome = load.single_records_to_leaders(cluster, partitions, count, PER_SECOND)?;
        record(&format!("many {whereto} cpu"), "µs", outcome.cpu.as_secs_f64() * 1e6 / count as f64);
        record(&format!("many {whereto} p99"), "ms", outcome.percentile(0.99).as_secs_f64() * 1e3);
    }

    for _ in 0..kills {
        let head = cluster.quorum_leader();
        let victim = cluster.ids().into_iter().find(|id| *id != head).context("a follower of the quorum")?;
        let killed = Instant::now();
        cluster.kill(victim);
        for survivor in cluster.ids().into_iter().filter(|id| *id != victim) {
            led_without(victim, cluster, survivor, topic)?;
        }
        record("many moved", "s", killed.elapsed().as_secs_f64());
        let started = Instant::now();
        cluster.restart(victim);
        in_sync(cluster, topic)?;
        record("many back", "s", started.elapsed().as_secs_f64());
        cluster.wait_active()?;
    }
    Ok(())
}

fn in_sync(cluster: &Cluster, topic: &str) -> anyhow::Result<()> {
    wait::until("all to be in sync", WITHIN, || {
        let view = cluster.view(Some(topic))?;
        ensure!(view.partitions.len() == PARTITIONS as usize, "{} partitions", view.partitions.len());
        let lacking =
            view.partitions.iter().filter(|one| one.leader.is_none() || one.in_sync.len() < 3).count();
        ensure!(lacking == 0, "{lacking} are not");
        Ok(Some(()))
    })
}

fn led_without(gone: i32, cluster: &Cluster, asked: i32, topic: &str) -> anyhow::Result<()> {
    let address = cluster.broker(asked).address();
    wait::until("leaders that live", WITHIN, || {
        let view = View::ask(&address, Some(topic))?;
        let lacking =
            view.partitions.iter().filter(|one| one.leader.is_none() || one.leader == Some(gone)).count();
        ensure!(lacking == 0 && !view.partitions.is_empty(), "{lacking} lack one");
        Ok(Some(()))
    })
}

fn cpu(cluster: &Cluster) -> anyhow::Result<Duration> {
    cluster.ids().into_iter().map(|id| cpu_of(cluster.broker(id).pid())).sum()
}
