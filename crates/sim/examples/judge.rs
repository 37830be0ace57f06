//! Looks for a broken promise and says what broke: what `cargo xtask mutants` runs on a mutant. `judge storms` makes
//! random runs, `judge cluster` those of a cluster, either with `FROM TO` those of some seeds, `judge STORY` crashes a story.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells what it found")]

use std::error::Error;
use std::process::ExitCode;

use ottla_sim::campaign::{self, DEPTH, all_stories, group_stories};
use ottla_sim::small_model::{Bounds, explore};

/// Random runs of `storms`.
const SEEDS: u64 = 300;

/// Random runs of `cluster`: those that CI makes.
const CLUSTER_SEEDS: u64 = 270;

/// Bounds of `orders`: one record, two terms, no lag, and more states than there are.
const ONE_RECORD: [&str; 5] = ["1", "1", "0", "coarse", "100000"];

/// Seeds of a story. The first that breaks something ends the search; the rarest mutant takes more than twenty.
const STORY_SEEDS: u64 = 40;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let judged = match words.as_slice() {
        ["storms"] => storms(0..SEEDS),
        ["cluster"] => cluster(0..CLUSTER_SEEDS),
        [runs @ ("storms" | "cluster"), from, to] => match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) if *runs == "storms" => storms(from..to),
            (Ok(from), Ok(to)) => cluster(from..to),
            _ => Err("seeds are numbers".into()),
        },
        ["orders"] => orders(&ONE_RECORD),
        ["orders", bounds @ ..] => orders(bounds),
        [story] => crashes(story),
        _ => Err("usage: judge storms [FROM TO] | cluster [FROM TO] | orders [RECORDS ELECTIONS LAGS fine|coarse STATES] | STORY".into()),
    };
    match judged {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn storms(seeds: std::ops::Range<u64>) -> Result<(), Box<dyn Error>> {
    println!("{:?}", campaign::storms(seeds)?);
    Ok(())
}

fn cluster(seeds: std::ops::Range<u64>) -> Result<(), Box<dyn Error>> {
    println!("{:?}", campaign::fleets(seeds)?);
    Ok(())
}

/// Every order in which so much can happen.
fn orders(bounds: &[&str]) -> Result<(), Box<dyn Error>> {
    let [records, elections, lags, steps, states] = bounds else {
        return Err("five bounds are needed".into());
    };
    let bounds = Bounds {
        records: records.parse()?,
        elections: elections.parse()?,
        lags: lags.parse()?,
        fine: *steps == "fine",
        states: states.parse()?,
    };
    println!("{:?}", explore(bounds).map_err(|broken| broken.to_string())?);
    Ok(())
}

fn crashes(story: &str) -> Result<(), Box<dyn Error>> {
    let mut jobs = all_stories(0..STORY_SEEDS, DEPTH);
    jobs.extend(group_stories(0..STORY_SEEDS));
    jobs.retain(|job| job.story == story);
    if jobs.is_empty() {
        return Err(format!("there is no story named {story}").into());
    }
    for (story, coverage) in campaign::run(&jobs)? {
        println!("{story}: {} crash points", coverage.points.len());
    }
    Ok(())
}
