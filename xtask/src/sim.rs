//! `cargo xtask sim`: random fault runs and crash enumeration from seeds; [`mutants`] shows what that is worth.

use std::ops::Range;
use std::time::Instant;

use anyhow::ensure;
use ottla_sim::campaign::{self, DEPTH, all_stories, group_stories};

use crate::mutants;

/// What to simulate.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Replays one random fault run; with --story, the crashes of that story with this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// How many random fault runs, from seed --from.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed of --seeds.
    #[arg(long, default_value_t = 0, requires = "seeds")]
    from: u64,
    /// Crashes one story at every moment; 'all' for all of them.
    #[arg(long, conflicts_with = "seeds")]
    story: Option<String>,
    /// Breaks the production code in known ways and demands that each break is caught.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "story"])]
    mutants: bool,
    /// The mutants whose name contains this.
    #[arg(long, requires = "mutants")]
    only: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options {
        Options { mutants: true, only, .. } => mutants::run(only.as_deref().unwrap_or_default()),
        Options { story: Some(story), seed, .. } => stories(story, seed.map_or(0..4, |seed| seed..seed + 1)),
        Options { seed: Some(seed), .. } => storms(*seed..seed + 1),
        Options { seeds: Some(seeds), from, .. } => storms(*from..from + seeds),
        _ => {
            stories("all", 0..1)?;
            storms(0..200)
        }
    }
}

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
