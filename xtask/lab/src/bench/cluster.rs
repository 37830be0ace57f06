//! `cargo xtask bench cluster`: what three brokers cost together, and how long nobody can write to a partition when its leader dies or
//! falls silent.
//!
//! Load: a topic of three partitions with three replicas, `acks=all`, `min.insync.replicas=2`, one connection to each leader ([`Load`]).
//! CPU is that of all three brokers. Kafka acknowledges from the page cache, as it does by default; Ottla is measured that way and with its own
//! default, when all in-sync replicas have it on disk.
//!
//! Outage: a fresh topic of three partitions and three replicas each round, `acks=all`, `min.insync.replicas=2`, one
//! idempotent librdkafka producer (`tests/clients/history_writer.py`) that sends 200 records a second in turn. The outage is the
//! longest time between two acknowledgements of one partition from the fault on. In the end of each round everything is read and held
//! against what was acknowledged.
//!
//! Each part is measured on clusters of its own, Kafka's and then Ottla's; what it found stays in the target directory until it is measured
//! again, so that one part can be repeated without the others ([`kept`]).
//!
//! | module | what it measures |
//! |---|---|
//! | [`many`] | 1,000 partitions of three replicas: created, at rest, written to a little, and their leaders' broker killed |
//! | [`rejoin`] | what producers notice while a broker that was away catches up |

mod kept;
mod many;
mod rejoin;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum as _};
use it::broker::Kind;
use it::cluster::{Cluster, Plan};
use it::history::{Stored, Violation, check};
use it::project::{self, Profile};
use it::tools::{KAFKA_VERSION, Tool};
use it::writer::Writer;

use super::load::Load;
use super::machine::{self, Machine};
use super::report::{Sample, cell};
use xtask::kafka_jars;

const PARTITIONS: i32 = 3;
const PER_SECOND: u32 = 200;
/// Long enough for each partition to be written to steadily before the fault, and again after it.
const STEADY: Duration = Duration::from_secs(2);
const RECOVERED_WITHIN: Duration = Duration::from_secs(90);

/// Of records, in each load.
const LOAD_BYTES: u64 = 1_000_000_000;
/// Written before, so that a JVM has compiled what runs often.
const WARM_UP_BYTES: u64 = 500_000_000;
const STEADY_MB_PER_S: f64 = 30.0;
/// What each broker leaves of the disk.
const RESERVE: u64 = 1 << 30;

/// How often to measure, and whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// How often a leader is killed; it is stopped a third as often.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Measures one part only; the others stay as they were measured last.
    #[arg(long)]
    part: Option<Part>,
    /// Measures brokers of one kind only: shows that it works; nothing is written.
    #[arg(long, value_parser = ["ottla", "kafka"])]
    only: Option<String>,
    /// Measures nothing: writes the document from what was measured last.
    #[arg(long, conflicts_with_all = ["part", "only"])]
    write: bool,
    /// The document to write, below the workspace's root.
    #[arg(long, default_value = "docs/benchmarks-cluster.md")]
    output: PathBuf,
}

/// What is measured.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Load,
    Outage,
    Rejoin,
    Many,
}

/// Records that were lost, doubled or out of order, in a round.
const BROKEN: &str = "broken promises";

/// What happens to a leader.
#[derive(Clone, Copy, Debug)]
struct Case {
    label: &'static str,
    /// The victim leads the metadata quorum as well.
    quorum: bool,
    /// SIGSTOP, and no closed connection tells anybody.
    silent: bool,
    /// The most we aim at, in ms: median and worst.
    target: (f64, f64),
}

const CASES: [Case; 4] = [
    Case { label: "kill -9 of a leader", quorum: false, silent: false, target: (500.0, 1_000.0) },
    Case {
        label: "kill -9 of a leader that leads the quorum too",
        quorum: true,
        silent: false,
        target: (1_000.0, 1_000.0),
    },
    Case { label: "SIGSTOP of a leader", quorum: false, silent: true, target: (2_500.0, 2_500.0) },
    Case {
        label: "SIGSTOP of a leader that leads the quorum too",
        quorum: true,
        silent: true,
        target: (2_500.0, 2_500.0),
    },
];

/// Measures all parts and writes the document.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if !options.write {
        measure_all(options)?;
    }
    if options.only.is_some() {
        return Ok(());
    }
    let path = project::root().join(&options.output);
    let earlier = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, document(&earlier)?)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

fn measure_all(options: &Options) -> anyhow::Result<()> {
    ensure!(Tool::Python.is_present(), "the producer is Python's: `cargo xtask tools` installs it");
    let is_wanted = |kind: &Kind| match options.only.as_deref() {
        Some("kafka") => *kind == Kind::Kafka,
        Some(_) => *kind == Kind::Ottla,
        None => true,
    };
    let kinds: Vec<Kind> = [Kind::Kafka, Kind::Ottla].into_iter().filter(is_wanted).collect();
    if kinds.contains(&Kind::Kafka) {
        kafka_jars::kafka_jars()?;
    }
    let machine = machine::describe()?;
    for part in Part::value_variants().iter().filter(|part| options.part.is_none_or(|only| only == **part)) {
        let mut samples = Vec::new();
        for kind in &kinds {
            measure(*kind, *part, options.rounds, &mut samples)?;
        }
        if options.only.is_none() {
            kept::keep(*part, &Measured { machine: machine.clone(), rounds: options.rounds, samples })?;
        }
    }
    Ok(())
}

/// What one run found of one part.
struct Measured {
    machine: Machine,
    rounds: usize,
    samples: Vec<Sample>,
}

fn measure(kind: Kind, part: Part, rounds: usize, samples: &mut Vec<Sample>) -> anyhow::Result<()> {
    // What this machine's disk has is enough for one part, and not for all.
    let mut plan = Plan::under_test(3).of(kind, Profile::Release);
    if kind == Kind::Ottla {
        plan = plan.set("ottla.disk.reserve.bytes", RESERVE);
    }
    let mut cluster = plan.try_start()?;
    // A broker that misses another says so; that is what is asked for here.
    cluster.expect_log("");
    let mut record = |metric: &str, unit, value: f64| {
        eprintln!("{kind:?} {metric:<46} {value:>9.3} {unit}");
        samples.push(Sample { kind, metric: metric.to_owned(), unit, value });
    };
    match part {
        Part::Load => load(&mut cluster, &mut record),
        Part::Outage => outages(&mut cluster, rounds, &mut record),
        Part::Rejoin => rejoin::run(&mut cluster, &mut record),
        Part::Many => many::run(&mut cluster, rounds.div_ceil(3), &mut record),
    }
}

fn outages(
    cluster: &mut Cluster,
    rounds: usize,
    record: &mut impl FnMut(&str, &'static str, f64),
) -> anyhow::Result<()> {
    for case in CASES {
        let count = if case.silent { rounds.div_ceil(3) } else { rounds };
        for round in 1..=count {
            let (outage, broken) = outage(cluster, case, round)
                .with_context(|| format!("{:?}: {}", cluster.kind(), case.label))?;
            record(case.label, "ms", outage.as_secs_f64() * 1e3);
            record(BROKEN, "", broken as f64);
        }
    }
    Ok(())
}

/// What it costs all brokers to take records and copy them, as fast as they can and at a steady rate.
fn load(cluster: &mut Cluster, record: &mut impl FnMut(&str, &'static str, f64)) -> anyhow::Result<()> {
    let modes: &[(&str, &[(&str, &str)])] = match cluster.kind() {
        Kind::Kafka => &[("os", &[])],
        Kind::Ottla => &[("os", &[("ottla.ack.durability", "os")]), ("fsync", &[])],
    };
    for (mode, configs) in modes {
        let topic = format!("load-{mode}");
        cluster.create_topic(&topic, PARTITIONS, configs);
        let load = Load::of_cluster(cluster, &topic);
        load.produce_to_leaders(cluster, WARM_UP_BYTES, None)?;
        rustix::fs::sync();
        machine::touch_memory()?;
        let fast = load.produce_to_leaders(cluster, LOAD_BYTES, None)?;
        let gigabytes = fast.bytes as f64 / 1e9;
        record(&format!("produce {mode} cpu"), "s/GB", fast.cpu.as_secs_f64() / gigabytes);
        record(&format!("produce {mode} rate"), "GB/s", gigabytes / fast.elapsed.as_secs_f64());
        cluster.wait_in_sync(&topic);
        rustix::fs::sync();
        machine::touch_memory()?;
        let steady = load.produce_to_leaders(cluster, LOAD_BYTES, Some(STEADY_MB_PER_S))?;
        record(&format!("steady {mode} cpu"), "s/GB", steady.cpu.as_secs_f64() / gigabytes);
        for (label, fraction) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let latency = steady.percentile(fraction).as_secs_f64() * 1e3;
            record(&format!("steady {mode} {label}"), "ms", latency);
        }
    }
    Ok(())
}

/// One round on a topic of its own, whose leaders are spread as the cluster likes.
/// How long it lasted, and how many promises were found broken, which for Ottla is an error.
fn outage(cluster: &mut Cluster, case: Case, round: usize) -> anyhow::Result<(Duration, usize)> {
    let topic = format!("failover-{}-{}-{round}", case.quorum, case.silent);
    cluster.create_topic(&topic, PARTITIONS, &[]);
    let victim = victim(cluster, &topic, case.quorum)?;
    let mut writer = Writer::start(&cluster.bootstrap(), &topic, "w", PARTITIONS, PER_SECOND);
    let steady = (PER_SECOND as usize * STEADY.as_secs() as usize) / PARTITIONS as usize;
    writer.wait_progress(steady, RECOVERED_WITHIN)?;
    let fault = Instant::now();
    if case.silent {
        cluster.freeze(victim)
    } else {
        cluster.kill(victim)
    }
    writer.wait_progress(steady, RECOVERED_WITHIN)?;
    let outage = writer.longest_gap(fault);
    if case.silent {
        cluster.thaw(victim)
    } else {
        cluster.restart(victim)
    }
    let writes = writer.finish()?;
    cluster.wait_active()?;
    cluster.wait_in_sync(&topic);
    let mut stored = Stored::default();
    for partition in 0..PARTITIONS {
        stored.add(partition, &cluster.read_all(&topic, partition));
    }
    let violations = check(&[writes], &stored, PARTITIONS);
    let told: Vec<String> = violations.iter().map(Violation::to_string).collect();
    if !told.is_empty() {
        eprintln!("round {round}: {}", told.join("\n"));
    }
    ensure!(told.is_empty() || cluster.kind() == Kind::Kafka, "round {round}: broken promises");
    // The next round meets a cluster at rest.
    thread::sleep(STEADY);
    Ok((outage, told.len()))
}

/// Who is hit: a leader of the topic that leads the quorum as well, or one that does not.
fn victim(cluster: &Cluster, topic: &str, quorum: bool) -> anyhow::Result<i32> {
    let head = cluster.quorum_leader();
    let leaders: Vec<i32> = (0..PARTITIONS).map(|partition| cluster.leader(topic, partition)).collect();
    let victim = leaders.iter().copied().find(|leader| (*leader == head) == quorum);
    victim.with_context(|| format!("the quorum is led by {head} and the topic by {leaders:?}"))
}

/// The rows of the load, under the names of their samples.
const ROWS: [Row; 12] = [
    row("produce os cpu", "CPU of all three brokers per GB produced, `os`", None),
    row("produce os rate", "three connections produce, `os`", None),
    row("produce fsync cpu", "CPU of all three brokers per GB produced, `fsync`", None),
    row("produce fsync rate", "three connections produce, `fsync`", None),
    row("steady os cpu", "CPU of all three per GB at a steady 30 MB/s, `os`", None),
    row("steady os p50", "produce latency at 30 MB/s, `os`, p50", None),
    row("steady os p99", "p99", None),
    row("steady os p99.9", "p99.9", None),
    row("steady fsync cpu", "CPU of all three per GB at a steady 30 MB/s, `fsync`", None),
    row("steady fsync p50", "produce latency at 30 MB/s, `fsync`, p50", None),
    row("steady fsync p99", "p99", None),
    row("steady fsync p99.9", "p99.9", None),
];

/// The whole document. A part that was not measured in this target directory stays as it stands in the earlier one.
fn document(earlier: &str) -> anyhow::Result<String> {
    let mut text = format!(
        "# Three brokers\n\n\
         Written by `cargo xtask bench cluster`. Each part has its own day and commit: `--part` measures one again.\n\n\
         Three brokers of Apache Kafka {KAFKA_VERSION} (`-Xmx512m` each, G1, logging off), then three of Ottla, on loopback of one machine, in one run;\n\
         figures of different runs do not compare. Topics have three partitions and three replicas, `acks=all`, `min.insync.replicas=2`. The target is Ottla's.\n"
    );
    for (part, heading) in [
        (Part::Load, "Load"),
        (Part::Outage, "Outage"),
        (Part::Rejoin, rejoin::HEADING),
        (Part::Many, many::HEADING),
    ] {
        let _ = write!(text, "\n## {heading}\n\n");
        match kept::of(part)? {
            Some(measured) => {
                text.push_str(&when(&measured));
                section(&mut text, part, &measured);
            }
            None => text.push_str(kept::section_of(earlier, heading).with_context(|| {
                format!("{part:?} was not measured yet: `--part {part:?}`").to_lowercase()
            })?),
        }
    }
    Ok(text)
}

fn section(text: &mut String, part: Part, Measured { rounds, samples, .. }: &Measured) {
    match part {
        Part::Load => {
            text.push_str(LOAD);
            table(text, &ROWS, samples);
        }
        Part::Outage => outage_section(text, *rounds, samples),
        Part::Rejoin => {
            text.push_str(rejoin::INTRODUCTION);
            table(text, &rejoin::ROWS, samples);
        }
        Part::Many => {
            text.push_str(many::INTRODUCTION);
            table(text, &many::ROWS, samples);
        }
    }
}

const LOAD: &str = "Ready-made requests of one 64 KiB batch of 1,000-byte records that do not compress, on one connection to each leader, 5\n\
    unanswered on each (`xtask/lab/src/bench/load.rs`), after 500 MB of the same; 1 GB, disk synced and memory touched before. CPU is user and system time of\n\
    the three broker processes. `os`: acknowledged from the page caches of all in-sync replicas, as Kafka does by default; `fsync`: when it is on\n\
    all their disks (here one disk). Latency counts from the moment a request was due.\n\n";

fn outage_section(text: &mut String, rounds: usize, samples: &[Sample]) {
    let _ = write!(
        text,
        "Each round has a topic of its own and an idempotent librdkafka producer of {PER_SECOND} records a second. A leader is killed {rounds} times, and\n\
         stopped {} times. The outage is the longest time between two acknowledgements of one partition from the fault on, as the client\n\
         sees it, its own retries included (`socket.timeout.ms=1000`: a silent host closes no connection). After each round all\n\
         records were read: {}.\n\n\
         Medians, with the lowest and highest in brackets. The target is median, worst.\n\n\
         | outage | unit | Kafka {KAFKA_VERSION} | Ottla | target |\n|---|---|---|---|---|\n",
        rounds.div_ceil(3),
        promises(samples)
    );
    for Case { label, target: (median, worst), .. } in CASES {
        let kafka = cell(samples, Kind::Kafka, label);
        let ottla = cell(samples, Kind::Ottla, label);
        let _ = writeln!(text, "| {label} | ms | {kafka} | {ottla} | ≤ {median}, ≤ {worst} |");
    }
}

/// What was found when everything was read.
fn promises(samples: &[Sample]) -> String {
    let of = |kind: Kind| {
        let broken = samples.iter().filter(|sample| sample.kind == kind && sample.metric == BROKEN);
        match broken.map(|sample| sample.value).sum::<f64>() {
            0.0 => "none acknowledged was lost, none doubled, none out of order".to_owned(),
            count => format!("{count} were lost, doubled or out of order"),
        }
    };
    let (kafka, ottla) = (of(Kind::Kafka), of(Kind::Ottla));
    if kafka == ottla { kafka } else { format!("with Ottla {ottla}; with Kafka {kafka}") }
}

fn when(measured: &Measured) -> String {
    let Machine { day, commit, hardware } = &measured.machine;
    format!("On {day} at commit {commit}. {hardware}.\n\n")
}

fn table(text: &mut String, rows: &[Row], samples: &[Sample]) {
    let _ = writeln!(text, "| what | unit | Kafka {KAFKA_VERSION} | Ottla | target |\n|---|---|---|---|---|");
    for Row { metric, label, target } in rows {
        let unit = samples.iter().find(|sample| sample.metric == *metric).map_or("", |sample| sample.unit);
        let kafka = cell(samples, Kind::Kafka, metric);
        let ottla = cell(samples, Kind::Ottla, metric);
        let target = target.map_or_else(|| "–".to_owned(), |most| format!("≤ {most}"));
        let _ = writeln!(text, "| {label} | {unit} | {kafka} | {ottla} | {target} |");
    }
}

/// A row of a table, with the most we aim at.
struct Row {
    metric: &'static str,
    label: &'static str,
    target: Option<f64>,
}

const fn row(metric: &'static str, label: &'static str, target: Option<f64>) -> Row {
    Row { metric, label, target }
}
