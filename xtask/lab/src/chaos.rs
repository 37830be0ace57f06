//! `cargo xtask chaos`: faults of every kind on a cluster of real processes, from a seed.

use std::time::{Duration, SystemTime};

use anyhow::ensure;
use clap::Args;
use it::broker::Kind as BrokerKind;
use it::chaos::{self, plan::Kind};
use it::project::Profile;
use it::tools::Tool;

/// How long, and which faults.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// No fault begins after so many minutes.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Decides which faults happen, in which order, to whom and for how long; another one each time when it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// `kafka` shows what the same faults cost Apache Kafka.
    #[arg(long, default_value = "ottla", value_parser = ["ottla", "kafka"])]
    broker: String,
}

/// Runs it and prints what each kind of fault cost.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(Tool::Python.is_present(), "the writers are Python's: `cargo xtask tools` installs it");
    let is_wanted = |kind: &Kind| options.only.as_ref().is_none_or(|part| kind.label().contains(part));
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(is_wanted).collect();
    ensure!(!kinds.is_empty(), "no fault has this in its name: {:?}", Kind::ALL.map(Kind::label));
    let seed = options.seed.map_or_else(fresh_seed, Ok)?;
    let broker = if options.broker == "kafka" { BrokerKind::Kafka } else { BrokerKind::Ottla };
    let lasts = Duration::try_from_secs_f64(options.minutes * 60.0)?;
    eprintln!("seed {seed}");
    let report = chaos::run(&chaos::Options {
        broker,
        profile: Profile::Release,
        seed,
        lasts,
        kinds,
        strict_logs: true,
    })?;
    println!("{report}");
    Ok(())
}

fn fresh_seed() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.as_secs() % 1_000_000)
}
