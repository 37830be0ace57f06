//! Crash enumeration: every story, every sync and every operation between, both kinds of crash in both orders.

use std::collections::BTreeSet;

use ottla_sim::campaign::{self, DEPTH, all_stories, group_stories};
use ottla_sim::explore::explore;
use ottla_sim::follower::FOLLOWERS;

/// Seeds of each story. One is enough for the count; more find more.
const SEEDS: u64 = 2;

#[test]
fn nothing_acknowledged_is_lost_at_any_crash_point() {
    let covered = campaign::run(&all_stories(0..SEEDS, DEPTH)).unwrap_or_else(|failure| panic!("{failure}"));
    let mut points: BTreeSet<(u64, u64)> = BTreeSet::new();
    for (story, coverage) in &covered {
        println!("{story}: {} crash points, {} lives", coverage.points.len(), coverage.lives);
        points.extend(&coverage.points);
    }
    println!("{} distinct crash points (syncs before, hash of what was left)", points.len());
    assert!(points.len() >= 10_000, "{} crash points are too few", points.len());
}

#[test]
fn no_committed_offset_goes_back_and_no_partition_has_two_owners() {
    let covered = campaign::run(&group_stories(0..SEEDS)).unwrap_or_else(|failure| panic!("{failure}"));
    for (story, coverage) in &covered {
        println!("{story}: {} crash points, {} lives", coverage.points.len(), coverage.lives);
        assert!(coverage.points.len() >= 1_000, "{story}: {} crash points", coverage.points.len());
    }
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for story in FOLLOWERS {
        let first = explore(story, 3, DEPTH).unwrap();
        let second = explore(story, 3, DEPTH).unwrap();
        assert_eq!(first.points, second.points);
        assert_eq!(first.lives, second.lives);
    }
}
