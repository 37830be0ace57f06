//! More replicas for partitions that have too few.

use super::layout::Layout;
use super::{Plan, Sizes};
use crate::metadata::image::Image;
use crate::metadata::topic::Topic;

/// What to add so that the partitions of the topics that `of` names have `factor` replicas, or one on each broker that lives if those
/// are fewer. Partitions with as many or more stay as they are: nothing is taken away.
pub fn raise(image: &Image, sizes: &Sizes, factor: usize, of: impl Fn(&Topic) -> bool) -> Plan {
    let mut layout = Layout::new(image, sizes);
    let before = layout.loads();
    let named: std::collections::BTreeSet<_> =
        image.topics().filter(|topic| of(topic)).map(|topic| topic.name().clone()).collect();
    for at in 0..layout.places.len() {
        let Some(place) = layout.places.get(at).filter(|p| !p.fixed && named.contains(&p.topic)) else {
            continue;
        };
        let mut replicas = place.replicas.clone();
        while replicas.len() < factor {
            let Some(broker) = layout.best_beside(&replicas) else { break };
            replicas.push(broker);
        }
        layout.assign(at, replicas);
    }
    Plan { elections: Vec::new(), ..layout.into_plan(&before) }
}
