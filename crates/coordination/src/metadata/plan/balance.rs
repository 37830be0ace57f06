//! As much on each broker as on the next.

use ottla_record::BrokerId;

use super::layout::Layout;
use super::{Plan, Sizes, leaders};
use crate::metadata::image::Image;

/// Bytes of a broker may differ from the mean by this part before they are worth copying: 1/10.
const TOLERATED: u64 = 10;

/// How many partitions are compared to find the one that evens out the bytes best.
const COMPARED: usize = 256;

/// What to move so that partitions stand in as many racks as they can, every broker has as many replicas as the next, about as
/// many bytes, and leads as many partitions; in this order of importance, and with as little moving as that takes.
///
/// Brokers that are fenced or about to stop keep what they have, and get nothing; no replica of a partition that they have goes
/// anywhere, because its move could not end before they are back. Replicas on brokers that are not
/// registered any more are given to others. Balanced input gives an empty plan.
///
/// Each change makes it strictly better, in the order above, so that it ends.
pub fn balance(image: &Image, sizes: &Sizes) -> Plan {
    let mut layout = Layout::new(image, sizes);
    let before = layout.loads();
    replace_gone(&mut layout, image);
    // An exchange for the sake of bytes can open the way for a move that the racks forbade before.
    while spread_over_racks(&mut layout) || even_out_replicas(&mut layout) || even_out_bytes(&mut layout) {}
    leaders::even_out(&mut layout);
    layout.into_plan(&before)
}

/// Replicas of brokers that will not return go to others, as far as there are enough.
fn replace_gone(layout: &mut Layout, image: &Image) {
    for at in 0..layout.places.len() {
        let Some(place) = layout.places.get(at).filter(|place| !place.fixed) else { continue };
        let gone: Vec<BrokerId> =
            place.replicas.iter().copied().filter(|broker| image.broker(*broker).is_none()).collect();
        let mut replicas = place.replicas.clone();
        for broker in gone {
            let others: Vec<BrokerId> = replicas.iter().copied().filter(|b| *b != broker).collect();
            let Some(to) = layout.best_beside(&others) else { break };
            replicas = replicas.iter().map(|b| if *b == broker { to } else { *b }).collect();
        }
        layout.assign(at, replicas);
    }
}

/// Moves one replica of each partition that stands twice in one rack while another rack has none of it.
fn spread_over_racks(layout: &mut Layout) -> bool {
    let mut changed = false;
    for at in 0..layout.places.len() {
        let Some(place) = layout.places.get(at).filter(|place| !place.fixed && !place.waits) else {
            continue;
        };
        let spread = layout.spread(&place.replicas);
        // The last replicas first: the preferred leader stays if it can.
        let better = place.replicas.iter().rev().find_map(|from| {
            layout.usable.get(from)?;
            let others: Vec<BrokerId> = place.replicas.iter().copied().filter(|b| b != from).collect();
            let to = layout.best_beside(&others)?;
            let with: Vec<BrokerId> = others.iter().copied().chain([to]).collect();
            (layout.spread(&with) > spread).then_some((*from, to))
        });
        if let Some((from, to)) = better {
            layout.replace(at, from, to);
            changed = true;
        }
    }
    changed
}

/// Moves replicas from brokers to such as have at least two fewer.
fn even_out_replicas(layout: &mut Layout) -> bool {
    let mut changed = false;
    while let Some((at, from, to)) = uneven_replica(layout) {
        layout.replace(at, from, to);
        changed = true;
    }
    changed
}

fn uneven_replica(layout: &Layout) -> Option<(usize, BrokerId, BrokerId)> {
    let mut by_replicas: Vec<_> = layout.usable.keys().map(|b| (layout.of(*b).replicas, *b)).collect();
    by_replicas.sort_unstable();
    for (many, from) in by_replicas.iter().rev() {
        for (_, to) in by_replicas.iter().take_while(|(few, _)| few + 1 < *many) {
            let gap = i128::from(layout.of(*from).bytes) - i128::from(layout.of(*to).bytes);
            let candidates = layout.held(*from).filter(|(_, place)| layout.may_replace(place, *from, *to));
            let best = candidates
                .take(COMPARED)
                .min_by_key(|(_, place)| (gap - 2 * i128::from(place.size)).abs())
                .map(|(at, _)| (at, *from, *to));
            if best.is_some() {
                return best;
            }
        }
    }
    None
}

/// Exchanges replicas between brokers that have too many bytes and such as have few; their numbers stay.
fn even_out_bytes(layout: &mut Layout) -> bool {
    let mut changed = false;
    while let Some(((at, from), (other, to))) = uneven_pair(layout) {
        layout.replace(at, from, to);
        layout.replace(other, to, from);
        changed = true;
    }
    changed
}

/// A partition on a heavy broker and a smaller one on a light broker, whose exchange brings both nearer to each other.
fn uneven_pair(layout: &Layout) -> Option<((usize, BrokerId), (usize, BrokerId))> {
    let mut by_bytes: Vec<_> = layout.usable.keys().map(|b| (layout.of(*b).bytes, *b)).collect();
    by_bytes.sort_unstable();
    let total: u128 = by_bytes.iter().map(|(bytes, _)| u128::from(*bytes)).sum();
    let mean = u64::try_from(total / by_bytes.len().max(1) as u128).unwrap_or(u64::MAX);
    let slack = mean / TOLERATED;
    for (heavy, from) in by_bytes.iter().rev().take_while(|(bytes, _)| *bytes > mean.saturating_add(slack)) {
        for (light, to) in by_bytes.iter().take_while(|(bytes, _)| *bytes < mean) {
            let gap = heavy - light;
            let larger = largest(layout, *from);
            let smaller = largest(layout, *to);
            let mut best: Option<(u64, usize, usize)> = None;
            for (size, at) in larger {
                let exchange = smaller.iter().filter(|(other, _)| *other < size && size - other < gap);
                for (other_size, other) in exchange {
                    let rest = gap.abs_diff(2 * (size - other_size));
                    if best.is_none_or(|(least, ..)| rest < least)
                        && may_exchange(layout, at, *other, *from, *to)
                    {
                        best = Some((rest, at, *other));
                    }
                }
            }
            if let Some((_, at, other)) = best {
                return Some(((at, *from), (other, *to)));
            }
        }
    }
    None
}

fn may_exchange(layout: &Layout, at: usize, other: usize, from: BrokerId, to: BrokerId) -> bool {
    let may =
        |at: usize, from, to| layout.places.get(at).is_some_and(|place| layout.may_replace(place, from, to));
    may(at, from, to) && may(other, to, from)
}

/// Some replicas of a broker with their sizes, the largest and the smallest among them.
fn largest(layout: &Layout, broker: BrokerId) -> Vec<(u64, usize)> {
    let mut sizes: Vec<_> = layout.held(broker).map(|(at, place)| (place.size, at)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let stride = sizes.len().div_ceil(COMPARED / 4).max(1);
    let last = sizes.last().copied();
    let mut sample: Vec<_> = sizes.into_iter().step_by(stride).collect();
    sample.extend(last.filter(|last| sample.last() != Some(last)));
    sample
}
