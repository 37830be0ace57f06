//! Every order in which a little can happen, as far as a test of every build has time for it.

use ottla_sim::small_model::{Bounds, explore};

/// States of each model; `judge orders` goes on from there.
const STATES: usize = 5_000;

#[test]
fn three_replicas_two_terms_one_record_in_every_order() {
    let bounds = Bounds { records: 1, elections: 1, lags: 0, fine: false, states: usize::MAX };
    let explored = explore(bounds).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{explored:?}");
    assert!(explored.complete && explored.states > 5_000, "{explored:?}");
}

#[test]
fn three_replicas_two_terms_three_records_in_many_orders() {
    for fine in [false, true] {
        let bounds = Bounds { records: 3, elections: 1, lags: 1, fine, states: STATES };
        let explored = explore(bounds).unwrap_or_else(|broken| panic!("{broken}"));
        println!("fine: {fine}, {explored:?}");
        assert!(explored.complete || explored.states >= STATES, "{explored:?}");
    }
}
