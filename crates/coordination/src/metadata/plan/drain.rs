//! Everything off one broker.

use ottla_record::BrokerId;

use super::layout::Layout;
use super::leaders::led_by;
use super::{Plan, Sizes};
use crate::metadata::image::Image;

/// Why a broker cannot be drained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// `BROKER_ID_NOT_REGISTERED`.
    #[error("Broker ID {0} is not currently registered")]
    NotRegistered(BrokerId),
    /// Its partitions would have fewer replicas than now.
    #[error(
        "{partitions} partition(s) of broker {broker}, {example} among them, have no other broker to go to: each broker that \
         lives has a replica already. Start another broker, or give those topics fewer replicas first"
    )]
    NowhereToGo {
        /// The broker.
        broker: BrokerId,
        /// How many of its partitions.
        partitions: usize,
        /// One of them.
        example: String,
    },
}

/// What to move so that `broker` has nothing any more, its leaderships first: they cost nothing, and from then on no client
/// waits for it.
///
/// # Errors
/// There is no such broker, or partitions would have fewer replicas than now. A partition that is moving already is left
/// to its move. One that a fenced broker has too is planned, and waits for that broker.
pub fn drain(image: &Image, sizes: &Sizes, broker: BrokerId) -> Result<Plan, DrainError> {
    if image.broker(broker).is_none() {
        return Err(DrainError::NotRegistered(broker));
    }
    let mut layout = Layout::new(image, sizes);
    let before = layout.loads();
    layout.usable.remove(&broker);
    let held: Vec<usize> = layout.held(broker).filter(|(_, p)| !p.fixed).map(|(at, _)| at).collect();

    let mut moves = Vec::new();
    for at in &held {
        hand_over(&mut layout, *at, broker);
        if let Some(place) = layout.places.get_mut(*at) {
            moves.extend(place.planned());
            place.settle();
        }
    }
    let mut stuck = Vec::new();
    for at in held {
        let Some(place) = layout.places.get(at) else { continue };
        let others: Vec<BrokerId> = place.replicas.iter().copied().filter(|b| *b != broker).collect();
        match layout.best_beside(&others) {
            Some(to) => layout.replace(at, broker, to),
            None => stuck.push(format!("{}-{}", place.topic, place.partition)),
        }
    }
    if let Some(example) = stuck.first() {
        return Err(DrainError::NowhereToGo { broker, partitions: stuck.len(), example: example.clone() });
    }
    let mut plan = layout.into_plan(&before);
    moves.append(&mut plan.moves);
    // Elections elsewhere are none of this plan's business.
    Ok(Plan { moves, elections: Vec::new(), loads: plan.loads })
}

/// Makes the broker the last of a partition's replicas, and first the one in sync that leads least.
fn hand_over(layout: &mut Layout, at: usize, broker: BrokerId) {
    let Some(place) = layout.places.get(at) else { return };
    if place.leader != Some(broker) && place.replicas.first() != Some(&broker) {
        return;
    }
    let candidates = place.replicas.iter().copied().filter(|candidate| {
        *candidate != broker && place.isr.contains(candidate) && layout.usable.contains_key(candidate)
    });
    let leader = candidates.min_by_key(|candidate| (layout.of(*candidate).leaders, *candidate));
    let Some(leader) = leader else { return };
    let mut replicas = led_by(&place.replicas, leader);
    replicas.retain(|b| *b != broker);
    replicas.push(broker);
    layout.assign(at, replicas);
}
