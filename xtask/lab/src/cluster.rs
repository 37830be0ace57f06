//! `cargo xtask cluster up 3`: a cluster on loopback to try things on, in the foreground until Ctrl-C.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, Subcommand};
use it::broker::Kind;
use it::cluster::{Cluster, Plan};
use it::place::Ports;
use it::project::{self, Profile};
use tokio::signal::unix::{SignalKind, signal};

/// The ports of the first broker; those of the next ones are ten apart.
const FIRST: Ports = Ports::WELL_KNOWN;

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Command {
    /// Starts brokers on loopback and stays until Ctrl-C, which stops all of them. Their data stays.
    Up(Options),
}

/// What to start.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// How many brokers.
    #[arg(value_parser = clap::value_parser!(u8).range(1..=15))]
    brokers: u8,
    /// How many of them vote on metadata, the first ones [default: up to three]. The same at every start.
    #[arg(long)]
    voters: Option<usize>,
    /// Where data is kept, a folder for each broker [default: target/cluster].
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// A setting of every broker.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Compiled for speed.
    #[arg(long)]
    release: bool,
}

/// Runs it.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Up(options) = command;
    let plan = plan(options)?;
    let data_dir = plan.data_dir.clone().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut cluster = plan.try_start()?;
    // Everything they say is in their logs; nothing here is a test.
    cluster.expect_log("");
    println!("{:<8}{:<18}{:<18}log", "broker", "Kafka clients", "gRPC and HTTP");
    for id in cluster.ids() {
        let broker = cluster.broker(id);
        println!(
            "{id:<8}{:<18}{:<18}{}",
            broker.address(),
            broker.api_address(),
            broker.log_file().display()
        );
    }
    println!(
        "\nbootstrap.servers={}\ndata in {}\nCtrl-C stops all of them",
        cluster.bootstrap(),
        data_dir.display()
    );
    runtime.block_on(until_stopped(&mut cluster))?;
    cluster.terminate_all();
    println!("stopped");
    Ok(())
}

fn plan(options: &Options) -> anyhow::Result<Plan> {
    let mut plan = Plan::under_test(usize::from(options.brokers));
    if let Some(voters) = options.voters {
        ensure!((1..=plan.brokers).contains(&voters), "--voters is between 1 and the number of brokers");
        plan.voters = voters;
    }
    plan = plan.of(Kind::Ottla, if options.release { Profile::Release } else { Profile::Dev });
    for setting in &options.settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| anyhow::anyhow!("--set takes KEY=VALUE, not `{setting}`"))?;
        plan = plan.set(key, value);
    }
    let data_dir = options.data_dir.clone().unwrap_or_else(|| project::target().join("cluster"));
    std::fs::create_dir_all(&data_dir)?;
    plan.data_dir = Some(data_dir.canonicalize()?);
    plan.first_ports = Some(FIRST);
    Ok(plan)
}

/// Until somebody asks for the end; says when a broker ends by itself, once.
async fn until_stopped(cluster: &mut Cluster) -> anyhow::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut look = tokio::time::interval(Duration::from_millis(500));
    let mut gone = Vec::new();
    loop {
        tokio::select! {
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
            _ = look.tick() => {
                for id in cluster.ids() {
                    if !gone.contains(&id) && !cluster.is_running(id) {
                        println!("broker {id} has ended; the end of its log:\n{}", cluster.log_tail(id));
                        gone.push(id);
                    }
                }
            }
        }
    }
}
