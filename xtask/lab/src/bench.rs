//! `cargo xtask bench`: Ottla and Apache Kafka measured in turn on this machine, in one run, written to docs/benchmarks.md.
//!
//! The client is our own ([`load`], and [`grpc`] for the port that only Ottla has) and costs little, so that the broker is
//! what is measured; CPU is the broker process's own user and system time. Figures of different runs or machines do not compare: everything in the document
//! comes from one run.

mod cluster;
mod groups;
mod grpc;
mod load;
mod machine;
mod report;

use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use it::broker::{Broker, Kind, Spec};
use it::project::{self, Profile};

use grpc::GrpcLoad;
use load::{Load, Outcome};
use report::Sample;
use xtask::kafka_jars;

const PARTITIONS: i32 = 6;
/// How often the same records are fetched in a round: a pass takes half a second, and one alone is no steady figure.
const FETCH_PASSES: usize = 5;
/// What the steady rate asks for.
const STEADY_MB_PER_S: f64 = 100.0;

/// What to measure: produce and fetch beside Kafka, or a part of its own.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// How often each broker is measured, in turn.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// A tenth of the volume and no warming of memory: shows that it works; nothing is written.
    #[arg(long)]
    quick: bool,
    /// Measures one broker only: shows that it works; nothing is written.
    #[arg(long, value_parser = ["ottla", "kafka"])]
    only: Option<String>,
    /// The document to write, below the workspace's root.
    #[arg(long, default_value = "docs/benchmarks.md")]
    output: PathBuf,
}

/// What is measured by itself.
#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Measures consumer groups and compaction and writes docs/benchmarks-groups.md.
    Groups(groups::Options),
    /// Loads three brokers, Kafka's and Ottla's, kills and stops their leaders, and writes docs/benchmarks-cluster.md.
    Cluster(cluster::Options),
}

/// Runs the rounds and writes the document.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.part {
        Some(Part::Groups(options)) => return groups::run(options),
        Some(Part::Cluster(options)) => return cluster::run(options),
        None => {}
    }
    let brokers: Vec<Kind> =
        [Kind::Kafka, Kind::Ottla].into_iter().filter(|kind| is_wanted(*kind, options)).collect();
    if brokers.contains(&Kind::Kafka) {
        kafka_jars::kafka_jars()?;
    }
    if brokers.contains(&Kind::Ottla) {
        project::ottla(Profile::Release)?;
    }
    let machine = machine::describe()?;
    let mut samples = Vec::new();
    for round in 1..=options.rounds {
        for kind in &brokers {
            eprintln!("round {round}: {kind:?}");
            let mut measured =
                Round { kind: *kind, volume: if options.quick { 0.1 } else { 1.0 }, samples: &mut samples };
            measured.run()?;
        }
    }
    let document = report::document(&machine, options.rounds, &samples);
    if options.quick || options.only.is_some() {
        println!("{document}");
    } else {
        let path = project::root().join(&options.output);
        std::fs::File::create(&path)?.write_all(document.as_bytes())?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

fn is_wanted(kind: Kind, options: &Options) -> bool {
    match options.only.as_deref() {
        Some("kafka") => kind == Kind::Kafka,
        Some(_) => kind == Kind::Ottla,
        None => true,
    }
}

/// When an acknowledgement means "on disk": before it, or some time after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    Fsync,
    Os,
}

impl Durability {
    /// The topic setting that asks a broker for it; `fsync` is Ottla's default and `os` Kafka's.
    fn setting(self, kind: Kind) -> Option<(&'static str, &'static str)> {
        match (self, kind) {
            (Durability::Fsync, Kind::Kafka) => Some(("flush.messages", "1")),
            (Durability::Os, Kind::Ottla) => Some(("ottla.ack.durability", "os")),
            (Durability::Fsync, Kind::Ottla) | (Durability::Os, Kind::Kafka) => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Durability::Fsync => "fsync",
            Durability::Os => "os",
        }
    }
}

/// One broker's turn.
struct Round<'a> {
    kind: Kind,
    volume: f64,
    samples: &'a mut Vec<Sample>,
}

impl Round<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let spec =
            Spec { kind: self.kind, profile: Profile::Release, kafka_heap: "1g", ..Spec::under_test() };
        let mut broker = spec.set("num.partitions", PARTITIONS).start();
        self.record("ready", "s", broker.ready_after().as_secs_f64());
        // An idle broker: whatever start-up left to do is done after this.
        thread::sleep(Duration::from_secs(2));
        self.record("rss idle", "MB", megabytes(&broker));

        let mut connection = broker.connect();
        for durability in [Durability::Os, Durability::Fsync] {
            let setting = durability.setting(self.kind);
            for (name, partitions) in [("wide", PARTITIONS), ("narrow", 1)] {
                connection.create_topic(
                    &format!("{name}-{}", durability.name()),
                    partitions,
                    setting.as_slice(),
                )?;
            }
        }
        connection.create_topic("grpc-fsync", PARTITIONS, &[])?;
        self.warm_up(&broker)?;
        for durability in [Durability::Os, Durability::Fsync] {
            self.measure(&broker, durability)?;
        }
        self.record("rss loaded", "MB", megabytes(&broker));
        if self.kind == Kind::Ottla {
            self.measure_grpc(&broker)?;
        }
        broker.terminate();
        Ok(())
    }

    /// A JVM compiles what runs often; a fair figure is one after that. Both brokers get the same.
    fn warm_up(&self, broker: &Broker) -> anyhow::Result<()> {
        let load = Load::new(broker, "wide-os");
        load.produce(self.megabytes(500), None)?;
        load.fetch(self.megabytes(500))?;
        load.single_records(self.count(10_000), 1)?;
        load.single_records(self.count(10_000), 16)?;
        Ok(())
    }

    fn measure(&mut self, broker: &Broker, durability: Durability) -> anyhow::Result<()> {
        let mode = durability.name();
        // Flushing every batch by itself costs Kafka ten times as much: less of it tells the same.
        let slow = self.kind == Kind::Kafka && durability == Durability::Fsync;
        let (produced, single) = if slow { (500, 5_000) } else { (2_000, 20_000) };
        let wide = Load::new(broker, &format!("wide-{mode}"));
        let narrow = Load::new(broker, &format!("narrow-{mode}"));

        let outcome = self.calm(|| wide.produce(self.megabytes(produced), None))?;
        self.record_bytes(&format!("produce {mode}"), &outcome);
        if durability == Durability::Os {
            for _ in 0..FETCH_PASSES {
                let outcome = self.warm(|| wide.fetch(self.megabytes(2_000)))?;
                self.record_bytes("fetch", &outcome);
            }
        }
        let outcome = self.calm(|| narrow.single_records(self.count(single), 1))?;
        self.record_requests(&format!("single {mode}"), &outcome);
        let outcome = self.calm(|| narrow.single_records(self.count(single * 2), 16))?;
        self.record_requests(&format!("single x16 {mode}"), &outcome);
        if !slow {
            let outcome = self.calm(|| wide.produce(self.megabytes(2_000), Some(STEADY_MB_PER_S)))?;
            self.record_bytes(&format!("steady {mode}"), &outcome);
            self.record_latency(&format!("steady {mode}"), &outcome);
        }
        Ok(())
    }

    /// Last, so that the figures before are of what both brokers did.
    fn measure_grpc(&mut self, broker: &Broker) -> anyhow::Result<()> {
        let load = GrpcLoad::new(broker, "grpc-fsync", PARTITIONS);
        let outcome = self.calm(|| load.publish(self.megabytes(2_000)))?;
        self.record_bytes("grpc publish", &outcome);
        let outcome = self.warm(|| load.fetch(self.megabytes(2_000)))?;
        self.record_bytes("grpc fetch", &outcome);
        Ok(())
    }

    /// Runs a load that writes, when the disk has nothing left to write from the one before, and the memory it will fill is there.
    fn calm(&self, load: impl FnOnce() -> anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
        rustix::fs::sync();
        if self.volume >= 1.0 {
            machine::touch_memory()?;
        }
        load()
    }

    /// Runs a load that reads what was just written. It fills no memory, so none is touched: a virtual machine giving the
    /// touched pages back to its host meanwhile cost the same fetch 0.40 CPU s/GB instead of 0.27.
    fn warm(&self, load: impl FnOnce() -> anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
        rustix::fs::sync();
        load()
    }

    fn megabytes(&self, full: u64) -> u64 {
        (full as f64 * self.volume) as u64 * 1_000_000
    }

    fn count(&self, full: u64) -> u64 {
        (full as f64 * self.volume) as u64
    }

    fn record(&mut self, metric: &str, unit: &'static str, value: f64) {
        eprintln!("  {metric:<24} {value:>10.3} {unit}");
        self.samples.push(Sample { kind: self.kind, metric: metric.to_owned(), unit, value });
    }

    fn record_bytes(&mut self, name: &str, outcome: &Outcome) {
        let gigabytes = outcome.bytes as f64 / 1e9;
        self.record(&format!("{name} cpu"), "s/GB", outcome.cpu.as_secs_f64() / gigabytes);
        self.record(&format!("{name} rate"), "GB/s", gigabytes / outcome.elapsed.as_secs_f64());
    }

    fn record_requests(&mut self, name: &str, outcome: &Outcome) {
        let requests = outcome.latencies.len() as f64;
        self.record(&format!("{name} cpu"), "µs/request", outcome.cpu.as_secs_f64() * 1e6 / requests);
        self.record_latency(name, outcome);
    }

    fn record_latency(&mut self, name: &str, outcome: &Outcome) {
        for (label, fraction) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            self.record(&format!("{name} {label}"), "ms", outcome.percentile(fraction).as_secs_f64() * 1e3);
        }
    }
}

fn megabytes(broker: &Broker) -> f64 {
    broker.rss_bytes() as f64 / 1e6
}
