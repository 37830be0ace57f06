//! Evens out who is the preferred leader, without moving a replica.
//!
//! Partitions are edges of a graph: whoever is first among the replicas can give its place to another one. A way from a broker
//! with many leaderships to one with few, along such edges, takes one from the first and gives one to the last, and leaves
//! all between as they were. While there is such a way and they differ by two or more, the sum of their squares falls: so it
//! ends, and what it ends with cannot be evened out further.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_record::BrokerId;

use super::layout::Layout;

/// How many partitions are compared to pick the one by which the bytes of leaders become most even.
const COMPARED: usize = 64;

/// By leader and other replica: the partitions that the one could hand to the other.
type Edges = BTreeMap<BrokerId, BTreeMap<BrokerId, BTreeSet<usize>>>;

pub(super) fn even_out(layout: &mut Layout) {
    let mut edges = Edges::new();
    for at in 0..layout.places.len() {
        link(layout, &mut edges, at, true);
    }
    while let Some(way) = unequal_way(layout, &edges) {
        for (from, to) in way.iter().zip(way.iter().skip(1)) {
            let Some(at) = pick(layout, &edges, *from, *to) else { return };
            link(layout, &mut edges, at, false);
            let replicas = layout.places.get(at).map(|p| led_by(&p.replicas, *to)).unwrap_or_default();
            layout.assign(at, replicas);
            link(layout, &mut edges, at, true);
        }
    }
}

/// The replicas with `leader` first; the former one takes its place.
pub(super) fn led_by(replicas: &[BrokerId], leader: BrokerId) -> Vec<BrokerId> {
    let mut ordered = replicas.to_vec();
    if let Some(at) = ordered.iter().position(|broker| *broker == leader) {
        ordered.swap(0, at);
    }
    ordered
}

fn link(layout: &Layout, edges: &mut Edges, at: usize, there: bool) {
    let Some(place) = layout.places.get(at).filter(|place| !place.fixed) else { return };
    let Some((leader, others)) = place.replicas.split_first() else { return };
    for other in others {
        let between = edges.entry(*leader).or_default().entry(*other).or_default();
        if there {
            between.insert(at);
        } else {
            between.remove(&at);
        }
    }
}

/// A shortest way from a broker to one with at least two leaderships fewer.
fn unequal_way(layout: &Layout, edges: &Edges) -> Option<Vec<BrokerId>> {
    let mut by_leaders: Vec<_> = layout.usable.keys().map(|b| (layout.of(*b).leaders, *b)).collect();
    by_leaders.sort_unstable();
    let fewest = by_leaders.first()?.0;
    by_leaders.iter().rev().take_while(|(leaders, _)| *leaders > fewest + 1).find_map(|(leaders, start)| {
        let mut previous: BTreeMap<BrokerId, Option<BrokerId>> = BTreeMap::from([(*start, None)]);
        let mut queue = VecDeque::from([*start]);
        while let Some(broker) = queue.pop_front() {
            if layout.of(broker).leaders + 1 < *leaders {
                let mut way = vec![broker];
                let mut at = broker;
                while let Some(Some(before)) = previous.get(&at) {
                    way.push(*before);
                    at = *before;
                }
                way.reverse();
                return Some(way);
            }
            for (next, partitions) in edges.get(&broker).into_iter().flatten() {
                let usable = layout.usable.contains_key(next);
                if usable && !partitions.is_empty() && !previous.contains_key(next) {
                    previous.insert(*next, Some(broker));
                    queue.push_back(*next);
                }
            }
        }
        None
    })
}

/// Of the partitions that `from` could hand to `to`, the one after which their bytes differ least.
fn pick(layout: &Layout, edges: &Edges, from: BrokerId, to: BrokerId) -> Option<usize> {
    let gap = i128::from(layout.of(from).leader_bytes) - i128::from(layout.of(to).leader_bytes);
    let between = edges.get(&from)?.get(&to)?;
    let size = |at: &usize| layout.places.get(*at).map_or(0, |p| p.size);
    between.iter().copied().take(COMPARED).min_by_key(|at| (gap - 2 * i128::from(size(at))).abs())
}
