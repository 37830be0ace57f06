//! The document: one table of medians with what we aim at, and every raw figure.

use std::fmt::Write as _;

use it::broker::Kind;
use it::tools::KAFKA_VERSION;

use super::machine::Machine;

/// One figure of one round.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) kind: Kind,
    pub(crate) metric: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

/// What is measured, under the name its samples carry, and the most we aim at.
const ROWS: [(&str, &str, Option<f64>); 30] = [
    ("ready", "from start to the first answer", Some(0.15)),
    ("rss idle", "resident memory, idle", Some(15.0)),
    ("rss loaded", "resident memory after the load", Some(100.0)),
    ("produce fsync cpu", "broker CPU per GB produced, `fsync`", Some(1.0)),
    ("produce fsync rate", "one connection produces, `fsync`", None),
    ("produce os cpu", "broker CPU per GB produced, `os`", Some(0.8)),
    ("produce os rate", "one connection produces, `os`", None),
    ("fetch cpu", "broker CPU per GB fetched", Some(0.25)),
    ("fetch rate", "one connection fetches", None),
    ("single fsync cpu", "broker CPU per single-record request, `fsync`", Some(110.0)),
    ("single fsync p50", "its latency, p50", Some(0.3)),
    ("single fsync p99", "p99", Some(0.6)),
    ("single fsync p99.9", "p99.9", Some(4.0)),
    ("single os cpu", "broker CPU per single-record request, `os`", Some(45.0)),
    ("single os p50", "its latency, p50", Some(0.12)),
    ("single os p99", "p99", Some(0.3)),
    ("single os p99.9", "p99.9", Some(1.0)),
    ("single x16 fsync cpu", "the same from 16 connections, `fsync`", Some(40.0)),
    ("single x16 os cpu", "the same from 16 connections, `os`", Some(15.0)),
    ("steady fsync cpu", "broker CPU per GB at a steady 100 MB/s, `fsync`", None),
    ("steady fsync p50", "produce latency at 100 MB/s, `fsync`, p50", None),
    ("steady fsync p99", "p99", Some(4.0)),
    ("steady fsync p99.9", "p99.9", Some(10.0)),
    ("steady os p50", "produce latency at 100 MB/s, `os`, p50", None),
    ("steady os p99", "p99", None),
    ("steady os p99.9", "p99.9", None),
    ("grpc publish cpu", "broker CPU per GB published over gRPC, `fsync`", Some(1.9)),
    ("grpc publish rate", "one stream publishes over gRPC, `fsync`", None),
    ("grpc fetch cpu", "broker CPU per GB fetched over gRPC", Some(1.2)),
    ("grpc fetch rate", "one stream fetches over gRPC", None),
];

/// The whole text of docs/benchmarks.md.
pub(crate) fn document(machine: &Machine, rounds: usize, samples: &[Sample]) -> String {
    let mut text = format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench` on {} at commit {}.\n\
         {}.\n\n\
         Ottla and Apache Kafka {KAFKA_VERSION} (one broker and controller, `-Xmx1g`, G1, logging off) take turns on the same machine, {rounds} rounds\n\
         each, in one run; figures of different runs do not compare. The client (`xtask/lab/src/bench/load.rs`) replays ready-made Produce 8 and Fetch 11\n\
         requests from one thread over loopback, so that the broker is what is measured; CPU is the broker process's own user and\n\
         system time. Batches are 64 KiB of 1,000-byte records that do not compress, one for each of 6 partitions a request, 5\n\
         requests unanswered, acks=all; single records have 100 bytes, one request unanswered a connection, one partition. Both brokers are\n\
         warmed up with 500 MB each way and 20,000 single records, and before each load\n\
         the disk is synced and 3 GiB of memory are written once and freed, because a virtual machine's free memory goes back to its host within seconds. `fsync`: the acknowledgement means on disk\n\
         (Kafka: `flush.messages=1`); `os`: it means in the page cache (Ottla: `ottla.ack.durability=os`).\n\
         Latency at a steady rate counts from the moment a request was due. Kafka has no gRPC; there `xtask/lab/src/bench/grpc.rs` publishes\n\
         and fetches batches of 1.04 MB through the generated stubs, one stream on one connection, 5 publishes unanswered, acks=all.\n\n\
         Medians, with the lowest and highest in brackets. The target is Ottla's.\n\n\
         | what | unit | Kafka {KAFKA_VERSION} | Ottla | target |\n|---|---|---|---|---|\n",
        machine.day, machine.commit, machine.hardware
    );
    for (metric, label, target) in ROWS {
        let unit = samples.iter().find(|sample| sample.metric == metric).map_or("", |sample| sample.unit);
        let target = target.map_or_else(|| "–".to_owned(), |target| format!("≤ {}", figure(target)));
        let kafka = cell(samples, Kind::Kafka, metric);
        let ottla = cell(samples, Kind::Ottla, metric);
        let _ = writeln!(text, "| {label} | {unit} | {kafka} | {ottla} | {target} |");
    }
    text.push_str("\n## Raw output\n\nIn the order of measurement.\n\n```\n");
    for sample in samples {
        let broker = match sample.kind {
            Kind::Kafka => "kafka",
            Kind::Ottla => "ottla",
        };
        let _ = writeln!(text, "{broker:<6} {:<24} {:>10.3} {}", sample.metric, sample.value, sample.unit);
    }
    text.push_str("```\n");
    text
}

/// The median of a metric, with the lowest and the highest.
pub(super) fn cell(samples: &[Sample], kind: Kind, metric: &str) -> String {
    let of_metric = samples.iter().filter(|sample| sample.kind == kind && sample.metric == metric);
    median(of_metric.map(|sample| sample.value).collect())
}

/// The median with the lowest and the highest; a dash if there is nothing.
pub(crate) fn median(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    match values[..] {
        [] => "–".to_owned(),
        [only] => figure(only),
        [lowest, .., highest] => {
            let (upper, lower) = (values[values.len() / 2], values[(values.len() - 1) / 2]);
            format!("{} ({}–{})", figure(f64::midpoint(lower, upper)), figure(lowest), figure(highest))
        }
    }
}

/// Three significant digits, more or less.
pub(crate) fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
