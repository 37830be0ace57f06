use std::collections::BTreeSet;

use super::{Fault, Faults, Kind};

fn faults(seed: u64) -> Vec<Fault> {
    Faults::new(seed, &Kind::ALL, 3, 4).take(3 * Kind::ALL.len()).collect()
}

#[test]
fn a_seed_fixes_everything() {
    assert_eq!(faults(7), faults(7));
    assert_ne!(faults(7), faults(8));
}

#[test]
fn every_kind_comes_in_every_round() {
    for round in faults(3).chunks(Kind::ALL.len()) {
        let kinds: BTreeSet<Kind> = round.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds.len(), Kind::ALL.len());
    }
}
