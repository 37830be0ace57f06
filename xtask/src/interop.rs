//! `cargo xtask interop`: foreign clients against Ottla, or against Apache Kafka itself.
//!
//! First consumer groups: each cell of [`cells`] by itself, each worker with a broker of its own. A run of all of them against Ottla writes
//! docs/compatibility.md; a cell that could not run has failed. Then the suites of package `it` in which a foreign program is the
//! client or the judge. With `--brokers 3` the same is told to a cluster of which one broker after the other is restarted.

mod cells;
mod install;
mod report;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use it::broker::{Broker, Kind, Spec};
use it::front::Rolling;
use it::interop;
use it::project::{self, cargo};

use xtask::process;

use crate::tools;
use cells::{CELLS, Cell, Story};

/// The modules of `tests/tests/it` in which a foreign program is the client or the judge.
const SUITES: [&str; 5] =
    ["assigned_consumers", "debian_corpus", "kafka_tools", "dump_log", "advertised_versions"];
/// Those that a cluster must pass as well, among them the clients of gRPC: what is not about one broker's own process or directory.
const SUITES_OF_SEVERAL: [&str; 9] = [
    "assigned_consumers",
    "clients_agree",
    "consumer_groups",
    "debian_corpus",
    "kafka_tools",
    "librdkafka_replaces",
    "rust_client::",
    "rust_client_examples",
    "subscribe",
];

/// Whom the clients talk to.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// `kafka` shows that the tests ask for Kafka's behaviour.
    #[arg(long, default_value = "ottla", value_parser = ["ottla", "kafka"])]
    broker: String,
    /// Runs only the cells of consumer groups whose name contains this; neither suites nor a document.
    #[arg(long)]
    only: Option<String>,
    /// How many brokers stand in the place of one. Of several, one after the other is restarted; there is no document of that.
    #[arg(long, default_value_t = 1)]
    brokers: usize,
    /// Seconds from one restart to the next.
    #[arg(long, default_value_t = 60.0)]
    restart_seconds: f64,
    /// How many cells run at a time: most of a story is waiting.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// How a cell went: the version of what ran, and why it failed.
pub(crate) struct Outcome {
    pub(crate) cell: &'static Cell,
    pub(crate) version: String,
    pub(crate) failure: Option<String>,
}

/// Installs the clients and runs their suites and cells; a client that could not be installed fails its own.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    tools::install()?;
    let wanted: Vec<&'static Cell> = CELLS.iter().filter(|cell| is_wanted(cell, options)).collect();
    anyhow::ensure!(!wanted.is_empty(), "no cell has this in its name");
    let kind = if options.broker == "kafka" { Kind::Kafka } else { Kind::Ottla };
    let every = Duration::from_secs_f64(options.restart_seconds);
    let rolling = (options.brokers > 1).then_some(Rolling { brokers: options.brokers, every });
    let outcomes = run_cells(kind, rolling, &wanted, options.jobs);
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    if kind == Kind::Ottla && rolling.is_none() && options.only.is_none() {
        let path = project::root().join("docs/compatibility.md");
        std::fs::write(&path, report::document(&outcomes))?;
        eprintln!("wrote {}", path.display());
    }
    anyhow::ensure!(failed == 0, "{failed} of {} cells failed", outcomes.len());
    if options.only.is_none() {
        let mut command = cargo();
        command.env("OTTLA_IT_BROKER", &options.broker).env("CI", "1");
        command.env("OTTLA_IT_BROKERS", options.brokers.to_string());
        command.env("OTTLA_IT_RESTART_SECONDS", options.restart_seconds.to_string());
        let suites = if rolling.is_some() { &SUITES_OF_SEVERAL[..] } else { &SUITES };
        process::run(command.args(["test", "--package", "it", "--test", "it", "--"]).args(suites))?;
    }
    Ok(())
}

fn is_wanted(cell: &Cell, options: &Options) -> bool {
    options.only.as_ref().is_none_or(|part| cell.name().contains(part))
}

/// Installs what the cells need, one after the other, then runs them, `jobs` at a time; outcomes are in the order of the cells.
fn run_cells(kind: Kind, rolling: Option<Rolling>, cells: &[&'static Cell], jobs: usize) -> Vec<Outcome> {
    let installed: Vec<anyhow::Result<String>> =
        cells.iter().map(|cell| install::install(cell.story).and_then(|()| cell.version())).collect();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut waiting: Vec<&'static Cell> = Vec::new();
    for (cell, version) in cells.iter().zip(installed) {
        let failure = version.as_ref().err().map(|error| format!("could not be installed: {error:#}"));
        if failure.is_none() {
            waiting.push(cell);
        }
        outcomes.push(Outcome { cell, version: version.unwrap_or_default(), failure });
    }
    let next = AtomicUsize::new(0);
    let told: Vec<(&'static Cell, Option<String>)> = thread::scope(|scope| {
        let work = || {
            let mut matrix = Matrix { kind, rolling, broker: None };
            let cells = std::iter::from_fn(|| waiting.get(next.fetch_add(1, Ordering::Relaxed)));
            let told = cells.map(|cell| (*cell, matrix.run_cell(cell))).collect::<Vec<_>>();
            matrix.stop_broker();
            told
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    for outcome in &mut outcomes {
        let told = told.iter().find(|(cell, _)| std::ptr::eq(*cell, outcome.cell));
        let not_run = || Some("was not run".to_owned());
        outcome.failure =
            outcome.failure.take().or_else(|| told.map_or_else(not_run, |(_, failure)| failure.clone()));
    }
    outcomes
}

/// One broker for one cell after the other, another one after a cell that failed.
struct Matrix {
    kind: Kind,
    rolling: Option<Rolling>,
    broker: Option<Broker>,
}

impl Matrix {
    fn run_cell(&mut self, cell: &Cell) -> Option<String> {
        let begin = Instant::now();
        let failure = self.tell(cell).err();
        let verdict = failure.as_deref().map_or("ok".to_owned(), |failure| format!("FAILED\n{failure}"));
        eprintln!("{:<56} {:>5.1} s  {verdict}", cell.name(), begin.elapsed().as_secs_f64());
        failure
    }

    fn tell(&mut self, cell: &Cell) -> Result<(), String> {
        let told = catch_unwind(AssertUnwindSafe(|| {
            let (kind, rolling) = (self.kind, self.rolling);
            let start = || Spec { kind, rolling, ..interop::spec() }.start();
            let broker = self.broker.get_or_insert_with(start);
            match cell.story {
                Story::Share(client, protocol) => {
                    interop::scenario::share(broker, client, protocol).map(drop)
                }
                Story::Tool(story) => {
                    story(broker);
                    Ok(())
                }
            }?;
            let surprising = broker.surprising_lines();
            anyhow::ensure!(surprising.is_empty(), "the broker's log:\n{}", surprising.join("\n"));
            anyhow::Ok(())
        }));
        let told = match told {
            Ok(told) => told.map_err(|error| format!("{error:#}")),
            Err(panic) => Err(said_by(&*panic)),
        };
        if told.is_err() {
            self.stop_broker();
        }
        told
    }

    /// Its log was judged after each cell: what it says while it goes is not held against the next one.
    fn stop_broker(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            broker.expect_log("");
        }
    }
}

fn said_by(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
