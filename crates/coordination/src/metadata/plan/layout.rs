//! A cluster's replicas as a planner moves them about.

use std::collections::{BTreeMap, BTreeSet};

use ottla_record::{BrokerId, PartitionIndex};

use super::{Load, Move, Plan, Sizes};
use crate::metadata::image::Image;
use crate::metadata::name::TopicName;

/// One partition on paper.
pub(super) struct Place {
    pub(super) topic: TopicName,
    pub(super) partition: PartitionIndex,
    pub(super) size: u64,
    /// Replicas when the planner began.
    from: Vec<BrokerId>,
    pub(super) replicas: Vec<BrokerId>,
    /// Who leads now.
    pub(super) leader: Option<BrokerId>,
    pub(super) isr: Vec<BrokerId>,
    /// It is moving already: it counts, and it stays.
    pub(super) fixed: bool,
    /// A broker that is fenced or stops has it: a move could not end before that one is back.
    pub(super) waits: bool,
}

/// All partitions, and what every broker has of them.
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    /// The brokers that may get replicas, with their rack. Those without one are one rack together, as in placement.
    pub(super) usable: BTreeMap<BrokerId, Option<String>>,
    racks: BTreeMap<BrokerId, Option<String>>,
    held: BTreeMap<BrokerId, BTreeSet<usize>>,
    loads: BTreeMap<BrokerId, Load>,
}

impl Layout {
    /// Usable are the brokers that live, are not about to stop and have room on their disks.
    pub(super) fn new(image: &Image, sizes: &Sizes) -> Self {
        let racks: BTreeMap<_, _> = image.brokers().map(|b| (b.id, b.rack.clone())).collect();
        let usable = image.brokers().filter(|b| b.has_room()).map(|b| (b.id, b.rack.clone())).collect();
        let mut layout =
            Self { places: Vec::new(), usable, racks, held: BTreeMap::new(), loads: BTreeMap::new() };
        for broker in image.brokers() {
            layout.load(broker.id);
        }
        for topic in image.topics() {
            for (index, partition) in topic.partitions() {
                let replicas = partition.target().to_vec();
                layout.places.push(Place {
                    topic: topic.name().clone(),
                    partition: index,
                    size: sizes.get(&(topic.id(), index)).copied().unwrap_or(0),
                    from: replicas.clone(),
                    replicas: Vec::new(),
                    leader: partition.leader,
                    isr: partition.isr.clone(),
                    fixed: partition.reassignment.is_some(),
                    waits: partition
                        .target()
                        .iter()
                        .any(|b| image.broker(*b).is_some_and(|b| !b.is_active())),
                });
                layout.assign(layout.places.len() - 1, replicas);
            }
        }
        layout
    }

    fn load(&mut self, broker: BrokerId) -> &mut Load {
        self.loads.entry(broker).or_insert(Load {
            broker,
            replicas: 0,
            leaders: 0,
            bytes: 0,
            leader_bytes: 0,
        })
    }

    pub(super) fn loads(&self) -> Vec<Load> {
        self.loads.values().copied().collect()
    }

    pub(super) fn of(&self, broker: BrokerId) -> Load {
        let none = Load { broker, replicas: 0, leaders: 0, bytes: 0, leader_bytes: 0 };
        self.loads.get(&broker).copied().unwrap_or(none)
    }

    /// The partitions with a replica on a broker, by their place.
    pub(super) fn held(&self, broker: BrokerId) -> impl DoubleEndedIterator<Item = (usize, &Place)> {
        let places = self.held.get(&broker).into_iter().flatten();
        places.filter_map(|at| self.places.get(*at).map(|place| (*at, place)))
    }

    /// Gives a partition these replicas.
    pub(super) fn assign(&mut self, at: usize, replicas: Vec<BrokerId>) {
        let Some(place) = self.places.get_mut(at) else { return };
        let size = place.size;
        let former = std::mem::replace(&mut place.replicas, replicas.clone());
        for (position, broker) in former.iter().enumerate() {
            self.held.entry(*broker).or_default().remove(&at);
            let load = self.load(*broker);
            load.replicas -= 1;
            load.bytes -= size;
            if position == 0 {
                load.leaders -= 1;
                load.leader_bytes -= size;
            }
        }
        for (position, broker) in replicas.iter().enumerate() {
            self.held.entry(*broker).or_default().insert(at);
            let load = self.load(*broker);
            load.replicas += 1;
            load.bytes += size;
            if position == 0 {
                load.leaders += 1;
                load.leader_bytes += size;
            }
        }
    }

    /// Puts `to` where `from` stands among a partition's replicas.
    pub(super) fn replace(&mut self, at: usize, from: BrokerId, to: BrokerId) {
        if let Some(place) = self.places.get(at) {
            self.assign(at, replaced(&place.replicas, from, to));
        }
    }

    /// How many racks these brokers stand in. Brokers that are gone stand in none.
    pub(super) fn spread(&self, replicas: &[BrokerId]) -> usize {
        let racks: BTreeSet<_> = replicas.iter().filter_map(|broker| self.racks.get(broker)).collect();
        racks.len()
    }

    /// True if a partition may have `to` instead of `from`: that is another broker, and it stands in no fewer racks then.
    pub(super) fn may_replace(&self, place: &Place, from: BrokerId, to: BrokerId) -> bool {
        !place.fixed
            && !place.waits
            && !place.replicas.contains(&to)
            && self.spread(&replaced(&place.replicas, from, to)) >= self.spread(&place.replicas)
    }

    /// The usable broker that should hold a replica beside these ones: in a rack of its own if there is one, and then the
    /// one that has least.
    pub(super) fn best_beside(&self, replicas: &[BrokerId]) -> Option<BrokerId> {
        let candidates = self.usable.keys().copied().filter(|broker| !replicas.contains(broker));
        candidates.min_by_key(|broker| {
            let with: Vec<BrokerId> = replicas.iter().copied().chain([*broker]).collect();
            let load = self.of(*broker);
            (usize::MAX - self.spread(&with), load.replicas, load.bytes, *broker)
        })
    }

    /// What is other than it was when the planner began. `before` is [`Self::loads`] of that time.
    pub(super) fn into_plan(self, before: &[Load]) -> Plan {
        let mut plan = Plan::default();
        for place in &self.places {
            if let Some(planned) = place.planned() {
                plan.moves.push(planned);
            } else if place.awaits_election(&self.usable) {
                plan.elections.push((place.topic.clone(), place.partition));
            }
        }
        plan.loads = self
            .loads
            .values()
            .filter_map(|after| Some((*before.iter().find(|b| b.broker == after.broker)?, *after)))
            .collect();
        plan
    }
}

impl Place {
    /// What it takes from where it was.
    pub(super) fn planned(&self) -> Option<Move> {
        (self.from != self.replicas).then(|| {
            let copies = self.replicas.iter().filter(|broker| !self.from.contains(broker)).count();
            Move {
                topic: self.topic.clone(),
                partition: self.partition,
                from: self.from.clone(),
                to: self.replicas.clone(),
                bytes: self.size.saturating_mul(u64::try_from(copies).unwrap_or(u64::MAX)),
            }
        })
    }

    /// Its preferred leader could lead and does not.
    fn awaits_election(&self, usable: &BTreeMap<BrokerId, Option<String>>) -> bool {
        !self.fixed
            && self.replicas.first().is_some_and(|preferred| {
                self.leader != Some(*preferred)
                    && self.isr.contains(preferred)
                    && usable.contains_key(preferred)
            })
    }

    /// What is from now on as it was: a planner that works in stages begins the next one here.
    pub(super) fn settle(&mut self) {
        self.from.clone_from(&self.replicas);
    }
}

fn replaced(replicas: &[BrokerId], from: BrokerId, to: BrokerId) -> Vec<BrokerId> {
    replicas.iter().map(|broker| if *broker == from { to } else { *broker }).collect()
}
