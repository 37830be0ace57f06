//! `cargo xtask bench groups`: what consumer groups and compaction cost, written to docs/benchmarks-groups.md.
//!
//! | module | what it measures |
//! |---|---|
//! | [`heartbeats`] | broker CPU a heartbeat, and memory a member, with 1,000 groups of five |
//! | [`rebalance`] | from the last of 100 members that joins to the last that has its assignment |
//! | [`reload`] | from `kill -9` to the first offset, with 1,000,000 committed ones in a partition |
//! | [`compaction`] | the rate of one pass over 50 M records, and what producers notice of it |
//!
//! The client is our own ([`member`]) and does next to nothing, over real sockets to a release build; CPU and memory are the broker
//! process's own. Heartbeats are measured of Kafka as well: what a processor needs to wake and to fetch memory it has not seen for
//! seconds differs from machine to machine, and weighs more than the work. The other limits are ours.

mod compaction;
mod heartbeats;
mod member;
mod rebalance;
mod reload;
mod report;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use it::broker::{Broker, Kind, Spec};
use it::project::{self, Profile};

use super::machine;
use report::Figure;
use xtask::kafka_jars;

/// What to measure of groups.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// How often each part is measured, each time on a fresh broker.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// A twentieth of the volume and no warming of memory: shows that it works; nothing is written.
    #[arg(long)]
    quick: bool,
    /// Measures one part only: shows that it works; nothing is written.
    #[arg(long, value_parser = ["heartbeats", "rebalance", "reload", "compaction"])]
    only: Option<String>,
    /// The document to write, below the workspace's root.
    #[arg(long, default_value = "docs/benchmarks-groups.md")]
    output: PathBuf,
}

/// Runs the parts and writes the document.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    type Part = fn(&mut Run) -> anyhow::Result<()>;
    const PARTS: [(&str, Part); 4] = [
        ("heartbeats", heartbeats::run),
        ("rebalance", rebalance::run),
        ("reload", reload::run),
        ("compaction", compaction::run),
    ];
    project::ottla(Profile::Release)?;
    kafka_jars::kafka_jars()?;
    let machine = machine::describe()?;
    let mut run = Run { quick: options.quick, figures: Vec::new(), said: Vec::new() };
    for round in 1..=options.rounds {
        for (name, part) in PARTS {
            if options.only.as_deref().is_none_or(|only| only == name) {
                eprintln!("round {round}: {name}");
                part(&mut run)?;
            }
        }
    }
    let document = report::document(&machine, options.rounds, &run);
    if options.quick || options.only.is_some() {
        println!("{document}");
    } else {
        let path = project::root().join(&options.output);
        fs::write(&path, document)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// What was measured so far.
#[derive(Debug)]
struct Run {
    quick: bool,
    figures: Vec<Figure>,
    /// Lines of the broker's log that say more than a figure.
    said: Vec<String>,
}

impl Run {
    /// The release build with its defaults, and what a part sets.
    fn broker(&self, settings: &[(&str, &str)]) -> Broker {
        self.broker_of(Kind::Ottla, settings)
    }

    /// The same of either kind.
    fn broker_of(&self, kind: Kind, settings: &[(&str, &str)]) -> Broker {
        let spec = Spec { kind, profile: Profile::Release, ..Spec::under_test() };
        settings.iter().fold(spec, |spec, (key, value)| spec.set(key, value)).start()
    }

    /// A count of a full run, or a twentieth of it.
    fn volume(&self, full: usize) -> usize {
        if self.quick { full / 20 } else { full }
    }

    /// Before a load that writes: nothing left to write from the one before, and the memory it will fill is there.
    fn calm(&self) -> anyhow::Result<()> {
        rustix::fs::sync();
        if self.quick { Ok(()) } else { machine::touch_memory() }
    }

    fn record(&mut self, metric: &str, unit: &'static str, value: f64) {
        eprintln!("  {metric:<32} {value:>12.3} {unit}");
        self.figures.push(Figure { metric: metric.to_owned(), unit, value });
    }
}
