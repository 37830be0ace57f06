//! Leaderships that could return to the preferred leaders (`auto.leader.rebalance.enable`).
//!
//! Whoever was lost and came back leads nothing any more, and others do its work. A controller is to ask here every
//! `leader.imbalance.check.interval.seconds`; none does yet, so both keys are only accepted. Kafka 4 has no threshold any more (`leader.imbalance.per.broker.percentage` went
//! with ZooKeeper): each partition that can be led by its preferred leader is.

use super::command::{ElectLeaders, Election};
use super::image::Image;

/// The most elections in one command (Kafka's bound), so that a check of a large cluster holds up nothing else. If there are
/// more, ask again at once.
pub const MAX_ELECTIONS: usize = 1_000;

/// The elections that give leaderships back; `None` if every partition is led by its preferred leader, or that one is not alive
/// and in sync. A partition that moves is left alone: its move decides who leads.
pub fn imbalance(image: &Image) -> Option<ElectLeaders> {
    let partitions =
        image.topics().flat_map(|topic| topic.partitions().map(move |(index, p)| (topic, index, p)));
    let away = partitions.filter(|(_, _, partition)| {
        let preferred = partition.replicas.first();
        partition.reassignment.is_none()
            && preferred.is_some_and(|preferred| {
                partition.leader != Some(*preferred)
                    && partition.isr.contains(preferred)
                    && image.broker(*preferred).is_some_and(|broker| broker.is_active())
            })
    });
    let named: Vec<_> =
        away.take(MAX_ELECTIONS).map(|(topic, index, _)| (topic.name().to_string(), index)).collect();
    (!named.is_empty()).then_some(ElectLeaders { election: Election::Preferred, partitions: Some(named) })
}
