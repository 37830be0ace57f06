//! Many explorations or runs at once, on as many threads as there are processors. What is found does not depend on how many.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::compaction::COMPACTIONS;
use crate::explore::{Coverage, Depth, Failure, Story, explore};
use crate::failed_sync;
use crate::fleet;
use crate::follower::FOLLOWERS;
use crate::groups::GROUPS;
use crate::scenario::PROFILES;
use crate::storm::{self, world::Tally};

/// A story and a seed.
pub struct Job {
    /// The story's name.
    pub story: String,
    run: Box<dyn Fn() -> Result<Coverage, Failure> + Send + Sync>,
}

impl Job {
    /// The exploration of a story with a seed.
    pub fn new<S: Story + Send + 'static>(story: S, seed: u64, depth: Depth) -> Self {
        Self { story: story.name(), run: Box::new(move || explore(&story, seed, depth)) }
    }
}

/// How deep [`all_stories`] goes: every moment of every scenario, four or five crashes each, eight moments of what
/// follows a first crash, one of what follows a second.
pub const DEPTH: Depth = Depth { cuts: 3, second: 8, third: 1 };

/// Every story with each of these seeds.
pub fn all_stories(seeds: std::ops::Range<u64>, depth: Depth) -> Vec<Job> {
    let mut jobs = Vec::new();
    for seed in seeds {
        jobs.extend(PROFILES.iter().map(|story| Job::new(*story, seed, depth)));
        // Up to the failure they are the scenarios above, so fewer crashes are enough.
        let around_the_failure = Depth { cuts: depth.cuts.min(1), third: 0, ..depth };
        jobs.extend(failed_sync::stories().map(|story| Job::new(story, seed, around_the_failure)));
        // A swap alone is a score of operations, each of which is a moment of its own.
        let around_the_swaps = Depth { cuts: depth.cuts.min(2), second: depth.second.min(2), ..depth };
        jobs.extend(COMPACTIONS.iter().map(|story| Job::new(*story, seed, around_the_swaps)));
        jobs.extend(FOLLOWERS.iter().map(|story| Job::new(*story, seed, depth)));
    }
    jobs
}

/// The stories of group coordinators with each of these seeds. Their first lives are long, and what follows a crash is short:
/// loading is what they are about.
pub fn group_stories(seeds: std::ops::Range<u64>) -> Vec<Job> {
    let depth = Depth { cuts: 1, second: 2, third: 0 };
    seeds.flat_map(|seed| GROUPS.iter().map(move |story| Job::new(*story, seed, depth))).collect()
}

/// Runs the jobs and adds up what they covered, by story.
///
/// # Errors
/// The failure of the first job in the list that failed.
pub fn run(jobs: &[Job]) -> Result<Vec<(String, Coverage)>, Box<Failure>> {
    let done = on_all_processors(jobs.len() as u64, |number| {
        let job = usize::try_from(number).ok().and_then(|number| jobs.get(number));
        job.map_or_else(|| Ok(Coverage::default()), |job| (job.run)())
    })?;
    let mut by_story: Vec<(String, Coverage)> = Vec::new();
    for (job, coverage) in jobs.iter().zip(done) {
        match by_story.iter_mut().find(|(story, _)| *story == job.story) {
            Some((_, sum)) => sum.add(coverage),
            None => by_story.push((job.story.clone(), coverage)),
        }
    }
    Ok(by_story)
}

/// Runs random fault runs with these seeds and adds up what they did.
///
/// # Errors
/// The failure of the first seed that failed.
pub fn storms(seeds: std::ops::Range<u64>) -> Result<Tally, Box<storm::Failure>> {
    let from = seeds.start;
    let done = on_all_processors(seeds.end.saturating_sub(from), |number| storm::run(from + number))?;
    let mut sum = Tally::default();
    done.iter().for_each(|tally| sum.add(tally));
    Ok(sum)
}

/// Runs clusters with these seeds and adds up what they did.
///
/// # Errors
/// The failure of the first seed that failed.
pub fn fleets(seeds: std::ops::Range<u64>) -> Result<fleet::Tally, Box<fleet::Failure>> {
    let from = seeds.start;
    let done = on_all_processors(seeds.end.saturating_sub(from), |number| fleet::run(from + number))?;
    let mut sum = fleet::Tally::default();
    done.iter().for_each(|tally| sum.add(tally));
    Ok(sum)
}

/// Does `count` things on as many threads as there are processors; results in the order of their numbers.
fn on_all_processors<T: Send, E: Send>(
    count: u64,
    run: impl Fn(u64) -> Result<T, E> + Sync,
) -> Result<Vec<T>, Box<E>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let done: Mutex<Vec<(u64, Result<T, E>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let result = run(number);
                    if result.is_err() {
                        next.store(count, Ordering::Relaxed);
                    }
                    done.lock().push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result.map_err(Box::new)).collect()
}
