//! `cargo xtask sim`: random fault runs of a broker and of a cluster, and crash enumeration, from seeds; `cargo xtask mutants` shows what that is worth.

use std::ops::Range;
use std::time::Instant;

use anyhow::{Context, ensure};
use ottla_record::PartitionIndex;
use ottla_sim::campaign::{self, DEPTH, all_stories, group_stories};
use ottla_sim::fleet::{self, Watch};
use ottla_storage::TopicPartition;

/// What to simulate.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs clusters instead of single brokers.
    #[arg(long, conflicts_with = "story")]
    cluster: bool,
    /// Replays one random fault run; with --story, the crashes of that story with this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// How many random fault runs, from seed --from.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed of --seeds.
    #[arg(long, default_value_t = 0, requires = "seeds")]
    from: u64,
    /// With --cluster and --seed: tells everything that happens to this partition, as in `topic0-1`.
    #[arg(long, requires = "seed", requires = "cluster", value_name = "PARTITION")]
    watch: Option<String>,
    /// The simulated second from which --watch tells.
    #[arg(long, default_value_t = 0, requires = "watch", value_name = "SECOND")]
    watch_from: u64,
    /// Crashes one story at every moment; 'all' for all of them.
    #[arg(long, conflicts_with = "seeds")]
    story: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options {
        Options { story: Some(story), seed, .. } => stories(story, seed.map_or(0..4, |seed| seed..seed + 1)),
        Options { watch: Some(partition), watch_from, seed: Some(seed), .. } => {
            watch(*seed, partition, *watch_from)
        }
        Options { cluster: true, seed: Some(seed), .. } => clusters(*seed..seed + 1),
        Options { cluster: true, seeds, from, .. } => clusters(*from..from + seeds.unwrap_or(270)),
        Options { seed: Some(seed), .. } => storms(*seed..seed + 1),
        Options { seeds: Some(seeds), from, .. } => storms(*from..from + seeds),
        _ => {
            stories("all", 0..1)?;
            storms(0..200)?;
            clusters(0..270)
        }
    }
}

/// One seed, and all that happens to one partition in it.
fn watch(seed: u64, partition: &str, from: u64) -> anyhow::Result<()> {
    let (topic, number) = partition.rsplit_once('-').context("a partition is TOPIC-NUMBER")?;
    let partition = PartitionIndex::new(number.parse().context("a partition is TOPIC-NUMBER")?);
    let partition = TopicPartition { topic: topic.to_owned(), partition };
    for line in fleet::watch(seed, Watch { partition, from }) {
        println!("{line}");
    }
    Ok(())
}

/// Random fault runs of clusters.
fn clusters(seeds: Range<u64>) -> anyhow::Result<()> {
    let (started, used) = (Instant::now(), cpu_seconds());
    let tally = campaign::fleets(seeds.clone())?;
    let (hours, cpu) = (tally.micros as f64 / 3.6e9, cpu_seconds() - used);
    println!(
        "{} seeds, no promise broken: {} faults, {} processes ({} ended by a power cut, {} cleanly), {} pauses, {} \
         terms, {} changes of in-sync sets, {} batches acknowledged, {} unknown, {} records consumed, {} events of \
         partitions; {hours:.1} h simulated in {} s, {cpu:.1} s of CPU: {:.1} h a CPU minute",
        seeds.end - seeds.start,
        tally.faults,
        tally.lives,
        tally.power_cuts,
        tally.clean_stops,
        tally.pauses,
        tally.terms,
        tally.isr_changes,
        tally.acknowledged,
        tally.unknown,
        tally.consumed,
        tally.events,
        started.elapsed().as_secs(),
        hours / cpu.max(0.01) * 60.0
    );
    Ok(())
}

/// What this process has used of all processors so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses: the 12th and 13th fields are ticks in user and in system mode.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_A_SECOND
}

/// `USER_HZ`, which Linux has fixed at this.
const TICKS_A_SECOND: f64 = 100.0;

/// Random fault runs.
fn storms(seeds: Range<u64>) -> anyhow::Result<()> {
    let started = Instant::now();
    let tally = campaign::storms(seeds.clone())?;
    println!(
        "{} seeds, no promise broken: {} steps and {} faults in {} lives ({} ended by a power cut), {} requests \
         acknowledged, {} records consumed, {} markers, {} damaged logs refused; {} simulated in {} s",
        seeds.end - seeds.start,
        tally.steps,
        tally.faults,
        tally.lives,
        tally.power_cuts,
        tally.acknowledged,
        tally.consumed,
        tally.markers,
        tally.refused,
        format_args!("{:.1} h", tally.millis as f64 / 3_600_000.0),
        started.elapsed().as_secs()
    );
    Ok(())
}

/// Crash enumeration.
fn stories(story: &str, seeds: Range<u64>) -> anyhow::Result<()> {
    let mut jobs = all_stories(seeds.clone(), DEPTH);
    jobs.extend(group_stories(seeds));
    if story != "all" {
        jobs.retain(|job| job.story == story);
        ensure!(!jobs.is_empty(), "there is no story named {story}");
    }
    for (story, coverage) in &campaign::run(&jobs)? {
        println!(
            "{story}: {} crash points, {} lives, no promise broken",
            coverage.points.len(),
            coverage.lives
        );
    }
    Ok(())
}
