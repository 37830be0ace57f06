//! Clusters under faults: a few hundred seeds, always the same, so that a failure is one of the code.

use ottla_sim::campaign;
use ottla_sim::fleet;

/// Seeds of a test run; `cargo xtask sim --cluster --seeds N` runs as many as there is time for.
const SEEDS: u64 = 270;

#[test]
fn every_promise_of_a_cluster_holds_through_random_faults() {
    let tally = campaign::fleets(0..SEEDS).unwrap_or_else(|failure| panic!("{failure}"));
    println!("{SEEDS} seeds: {tally:?}");
    // A run that does nothing breaks nothing.
    assert!(tally.lives > 8 * SEEDS && tally.power_cuts > 2 * SEEDS, "{tally:?}");
    assert!(tally.acknowledged > 100 * SEEDS && tally.consumed > 100 * SEEDS, "{tally:?}");
    assert!(tally.terms > 10 * SEEDS && tally.isr_changes > 10 * SEEDS, "{tally:?}");
    assert!(tally.unknown > SEEDS && tally.operations > 2 * SEEDS, "{tally:?}");
}

#[test]
fn a_seed_of_a_cluster_replays_bit_for_bit() {
    for seed in [3, 4] {
        assert_eq!(fleet::run(seed).unwrap(), fleet::run(seed).unwrap());
    }
}
