//! Random fault runs: a few hundred seeds, always the same, so that a failure is one of the code.

use ottla_sim::campaign;
use ottla_sim::storm;

/// Seeds of a test run; `cargo xtask sim --seeds N` runs as many as there is time for.
const SEEDS: u64 = 240;

#[test]
fn every_promise_holds_through_random_faults() {
    let tally = campaign::storms(0..SEEDS).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{SEEDS} seeds: {tally:?}");
    // A run that does nothing breaks nothing.
    assert!(tally.lives > 4 * SEEDS && tally.power_cuts > SEEDS, "{tally:?}");
    assert!(tally.acknowledged > 40 * SEEDS && tally.consumed > 40 * SEEDS, "{tally:?}");
    assert!(tally.markers > SEEDS && tally.refused > 0 && tally.zombies > SEEDS / 2, "{tally:?}");
}

/// Seeds beyond those that have found something: damage below the log start that hid acknowledged records (389), an
/// emptied time index (1778).
const FOUND: [u64; 2] = [389, 1778];

#[test]
fn what_was_found_stays_found() {
    for seed in FOUND {
        storm::run(seed).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in [3, 4] {
        assert_eq!(storm::run(seed).unwrap(), storm::run(seed).unwrap());
    }
}
