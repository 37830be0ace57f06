//! Near replicas: who owns a partition should stand in the rack of one of its replicas, and read from it (KIP-392, KIP-881).
//!
//! Racks come last. How much everyone owns and what stays where it is has been decided; of what is left two members exchange one for the
//! other where more of it is near its owner afterwards. Without racks nothing changes.
#![allow(
    clippy::indexing_slicing,
    reason = "positions come from the lengths of the lists they index, all made here"
)]

use std::collections::BTreeMap;

/// Racks of members, numbered by whoever asks for an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rack(u8);

impl Rack {
    /// The rack of a number; `None` from 64 on: members in more racks than that are like members without one.
    pub fn new(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| u32::from(*number) < u64::BITS).map(Self)
    }
}

/// Racks in which a partition has replicas. Empty where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RackSet(u64);

impl RackSet {
    const ALL: Self = Self(u64::MAX);

    /// True if the rack is among them.
    pub fn contains(self, rack: Rack) -> bool {
        self.0 >> rack.0 & 1 == 1
    }

    /// What both have.
    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn racks(self) -> impl Iterator<Item = Rack> {
        (0..u64::BITS as u8).map(Rack).filter(move |rack| self.contains(*rack))
    }
}

impl FromIterator<Rack> for RackSet {
    fn from_iter<T: IntoIterator<Item = Rack>>(racks: T) -> Self {
        Self(racks.into_iter().fold(0, |set, rack| set | 1 << rack.0))
    }
}

/// The racks that partitions of the same number have in common; a topic of which nothing is known does not count.
pub(super) fn common<'a>(topics: impl Iterator<Item = &'a [RackSet]>, partition: usize) -> RackSet {
    let known = topics.filter_map(|racks| racks.get(partition)).filter(|racks| **racks != RackSet::default());
    known.fold(RackSet::ALL, |set, racks| set.and(*racks))
}

/// Something to be owned by one of several members, all of whom may own it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Position of the member that owns it.
    pub(super) owner: u32,
    pub(super) racks: RackSet,
}

/// Exchanges owners, one for one, where that makes more of it near. One pass over what is far: what cannot be brought near when its turn
/// comes stays where it is. `racks` are those of the members.
pub(super) fn exchange(units: &mut [Unit], racks: &[Option<Rack>]) {
    if racks.iter().all(Option::is_none) {
        return;
    }
    let place = |unit: &Unit| (racks[unit.owner as usize], unit.racks);
    let mut held = Held::new();
    for (at, unit) in units.iter().enumerate() {
        held.entry(place(unit)).or_default().push(at);
    }
    for far in 0..units.len() {
        let (rack, wanted) = place(&units[far]);
        if is_near(rack, wanted) {
            continue;
        }
        while let Some(best) = best_partner(&held, rack, wanted) {
            let near = held.get_mut(&best).and_then(Vec::pop);
            let Some(near) = near.filter(|near| place(&units[*near]) == best) else { continue };
            (units[far].owner, units[near].owner) = (units[near].owner, units[far].owner);
            for at in [far, near] {
                held.entry(place(&units[at])).or_default().push(at);
            }
            break;
        }
    }
}

/// The rack of an owner, and those of what it owns.
type Place = (Option<Rack>, RackSet);

/// Positions of units by place. May list a unit where it is no more.
type Held = BTreeMap<Place, Vec<usize>>;

fn is_near(rack: Option<Rack>, racks: RackSet) -> bool {
    rack.is_some_and(|rack| racks.contains(rack))
}

/// With whom to exchange what is far from `rack` and wants to be in one of `wanted`: where most becomes near, and something does.
fn best_partner(held: &Held, rack: Option<Rack>, wanted: RackSet) -> Option<Place> {
    let mut best: Option<(i32, Place)> = None;
    for theirs in wanted.racks().map(Some) {
        let places = held.range((theirs, RackSet::default())..=(theirs, RackSet::ALL));
        for ((_, racks), _) in places.filter(|(_, units)| !units.is_empty()) {
            // What they get becomes near in any case.
            let gain = 1 + i32::from(is_near(rack, *racks)) - i32::from(is_near(theirs, *racks));
            if gain > 0 && best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, (theirs, *racks)));
            }
        }
    }
    best.map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn near(units: &[Unit], racks: &[Option<Rack>]) -> usize {
        let is_near = |unit: &&Unit| racks[unit.owner as usize].is_some_and(|rack| unit.racks.contains(rack));
        units.iter().filter(is_near).count()
    }

    fn loads(units: &[Unit]) -> BTreeMap<u32, usize> {
        let mut loads = BTreeMap::new();
        units.iter().for_each(|unit| *loads.entry(unit.owner).or_default() += 1);
        loads
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn exchanges_bring_units_near_and_leave_loads_alone(
            racks in vec(prop::option::of(0usize..4), 1..6),
            drawn in vec((0usize..6, 0u64..16), 0..40),
        ) {
            let racks: Vec<_> = racks.into_iter().map(|rack| rack.and_then(Rack::new)).collect();
            let owner = |owner: usize| (owner % racks.len()) as u32;
            let before: Vec<_> =
                drawn.iter().map(|(at, set)| Unit { owner: owner(*at), racks: RackSet(*set) }).collect();
            let mut after = before.clone();
            exchange(&mut after, &racks);
            prop_assert_eq!(loads(&before), loads(&after));
            prop_assert!(near(&after, &racks) >= near(&before, &racks));
            prop_assert!(before.iter().zip(&after).all(|(a, b)| a.racks == b.racks));
        }
    }

    #[test]
    fn what_can_be_near_by_exchanges_of_two_is() {
        let racks = [Rack::new(0), Rack::new(1)];
        let in_rack = |owner, rack| Unit { owner, racks: Rack::new(rack).into_iter().collect() };
        let mut units: Vec<Unit> = (0..100).map(|at| in_rack(at / 50, at as usize % 2)).collect();
        assert_eq!(near(&units, &racks), 50);
        exchange(&mut units, &racks);
        assert_eq!(near(&units, &racks), 100);
    }
}
