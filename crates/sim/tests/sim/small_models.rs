//! Every order in which a little can happen.

use ottla_sim::small_model::{Bounds, explore};

#[test]
fn three_replicas_two_terms_three_records_in_every_order() {
    let bounds = Bounds { records: 3, elections: 1, lags: 0, states: usize::MAX };
    let explored = explore(bounds).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{explored:?}");
    assert!(explored.complete && explored.states > 10_000, "{explored:?}");
}
