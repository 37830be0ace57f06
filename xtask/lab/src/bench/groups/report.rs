//! The document: what was measured beside what we aim at, how, and every raw figure.

use std::fmt::Write as _;

use super::Run;
use it::tools::KAFKA_VERSION;

use crate::bench::machine::Machine;
use crate::bench::report::figure;

/// One figure of one round.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) metric: String,
    pub(super) unit: &'static str,
    pub(super) value: f64,
}

/// What we aim at.
enum Limit {
    Most(f64),
    Least(f64),
    None,
}

/// What is measured, under the name its figures carry.
const ROWS: [(&str, &str, Limit); 28] = [
    (
        "classic heartbeat paced cpu",
        "broker CPU a heartbeat, classic, each member every 3 s",
        Limit::Most(50.0),
    ),
    ("kafka classic heartbeat paced cpu", "the same of Kafka", Limit::None),
    (
        "classic heartbeat packed cpu",
        "broker CPU a heartbeat, classic, 64 on their way together",
        Limit::Most(50.0),
    ),
    ("kafka classic heartbeat packed cpu", "the same of Kafka", Limit::None),
    ("classic heartbeat paced p99", "latency of a paced one, p99", Limit::None),
    (
        "consumer heartbeat paced cpu",
        "broker CPU a heartbeat, `consumer`, each member every 3 s",
        Limit::Most(50.0),
    ),
    ("kafka consumer heartbeat paced cpu", "the same of Kafka", Limit::None),
    (
        "consumer heartbeat packed cpu",
        "broker CPU a heartbeat, `consumer`, 64 on their way together",
        Limit::Most(50.0),
    ),
    ("kafka consumer heartbeat packed cpu", "the same of Kafka", Limit::None),
    ("consumer heartbeat paced p99", "latency of a paced one, p99", Limit::None),
    ("classic member memory", "resident memory a member, classic", Limit::None),
    ("consumer member memory", "resident memory a member, `consumer`", Limit::None),
    ("classic rebalance median", "100 members rebalance, classic, median", Limit::Most(200.0)),
    ("classic rebalance slowest", "slowest", Limit::Most(200.0)),
    ("consumer rebalance median", "100 members rebalance, `consumer`, median", Limit::Most(200.0)),
    ("consumer rebalance slowest", "slowest", Limit::Most(200.0)),
    ("load", "1,000,000 offsets are loaded", Limit::Most(2.0)),
    ("restart until offset", "from the start after `kill -9` to the first offset", Limit::Most(2.0)),
    ("restart until ready", "of which until the broker answers at all", Limit::None),
    ("memory", "resident memory an offset, committed", Limit::None),
    ("memory reloaded", "resident memory an offset, loaded", Limit::None),
    ("log before", "a log to compact", Limit::None),
    ("log after", "what is left of it", Limit::None),
    ("rate", "compaction, bytes of the log", Limit::Least(100.0)),
    (
        "memory of the pass",
        "memory the pass took (`log.cleaner.dedupe.buffer.size` and `log.cleaner.io.buffer.size`: 134.7 MB)",
        Limit::Most(134.7),
    ),
    ("produce p99 before", "produce at 100 MB/s, `fsync`, p99 without compaction", Limit::None),
    ("produce p99 during", "while it runs", Limit::None),
    ("produce p99 ratio", "how many times as long", Limit::Most(2.0)),
];

/// The whole text of docs/benchmarks-groups.md.
pub(super) fn document(machine: &Machine, rounds: usize, run: &Run) -> String {
    let mut text = format!(
        "# Benchmarks of groups and compaction\n\n\
         Written by `cargo xtask bench groups` on {} at commit {}.\n\
         {}.\n\n\
         {rounds} round(s) in one run, each part on a fresh broker: a release build with its defaults, over loopback. The client\n\
         (`xtask/lab/src/bench/groups`) has a connection for each member and replays encoded requests from one thread; CPU and memory are the\n\
         broker process's own.\n\n\
         - **Heartbeats**: 1,000 groups of five members, 5,000 connections, on Kafka {KAFKA_VERSION} (`-Xmx512m`, G1, logging off) and then on Ottla.\n  \
           Packed: 64 on their way together. Paced: each member every 3 s, as Kafka's clients do, so the broker wakes for every single\n  \
           one, and finds what belongs to the member where it was left three seconds before.\n  \
           Memory is what the members added to their connections, before the first heartbeat; what the groups themselves take is counted by\n  \
           allocations in `crates/coordination/src/group/groups/tests/memory.rs`: an offset less than 80 bytes, a group with one less than\n  \
           2 KiB, a member less than 1 KiB beside what it says.\n\
         - **Rebalances**: one group of 100 members. Classic: all join again; from the last JoinGroup to the last answer to SyncGroup.\n  \
           `consumer`: 99 members own 300 partitions, one more joins; until each has its share, everybody sending its next heartbeat at once\n  \
           (a client waits for its interval, 5 s by default, which is not measured here).\n\
         - **Loading**: 10,000 groups with 100 offsets each in one of 50 partitions of `__consumer_offsets`; `kill -9`, start, OffsetFetch every\n  \
           2 ms until it is answered. The load alone is the broker's `ottla_group_load_seconds`.\n\
         - **Compaction**: 50 M uncompressed records of 111 bytes (1 M keys, each written fifty times, in an order that jumps about) in batches of\n  \
           1,000, segments of 100 MiB, read from the page cache. Meanwhile another topic is produced to at 100 MB/s with `fsync`, in batches of\n  \
           64 KiB; latency counts from the moment a request was due. The rate is the log's sealed bytes by the time of the passes\n  \
           (`ottla_compaction_pass_duration_seconds`); a pass reads them twice.\n\n\
         Medians of the rounds, with the lowest and highest in brackets.\n\n\
         | what | unit | Ottla | limit |\n|---|---|---|---|\n",
        machine.day, machine.commit, machine.hardware
    );
    for (metric, label, limit) in ROWS {
        let unit = run.figures.iter().find(|figure| figure.metric == metric).map_or("", |figure| figure.unit);
        let limit = match limit {
            Limit::Most(most) => format!("≤ {}", figure(most)),
            Limit::Least(least) => format!("≥ {}", figure(least)),
            Limit::None => "–".to_owned(),
        };
        let _ = writeln!(text, "| {label} | {unit} | {} | {limit} |", cell(run, metric));
    }
    text.push_str("\n## Raw output\n\nIn the order of measurement.\n\n```\n");
    for figure in &run.figures {
        let line = format!("{:<32} {:>12.3} {}", figure.metric, figure.value, figure.unit);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str("```\n");
    if !run.said.is_empty() {
        text.push_str("\nWhat the broker said of its passes:\n\n```\n");
        for line in &run.said {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("```\n");
    }
    text
}

fn cell(run: &Run, metric: &str) -> String {
    let of_metric = run.figures.iter().filter(|figure| figure.metric == metric);
    crate::bench::report::median(of_metric.map(|figure| figure.value).collect())
}
