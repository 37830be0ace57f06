//! What must hold for every group, whatever it owns before.

use std::collections::BTreeMap;

use ottla_record::{PartitionIndex, TopicId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Assignor, Member, Rack, RackSet, Topic};
use super::topic_id;
use crate::group::partitions::Partitions;

/// A group as the test draws it: sizes of topics, and of each member the topics it wants and a claim on what it owns.
#[derive(Clone, Debug)]
struct Drawn {
    topics: Vec<Topic<'static>>,
    wanted: Vec<Vec<u32>>,
    owned: Vec<Partitions>,
}

impl Drawn {
    fn assign(&self, assignor: Assignor) -> Vec<Partitions> {
        let ids: Vec<String> = (0..self.wanted.len()).map(|m| format!("m{m:04}")).collect();
        let members = ids.iter().zip(&self.wanted).zip(&self.owned);
        let members = members.map(|((id, topics), assigned)| Member {
            id,
            instance: None,
            topics,
            assigned,
            rack: None,
        });
        assignor.assign(&self.topics, &members.collect::<Vec<_>>())
    }

    /// The same where members stand in racks, and partitions have replicas in some.
    fn assign_near(
        &self,
        assignor: Assignor,
        members: &[Option<Rack>],
        replicas: &[Vec<RackSet>],
    ) -> Vec<Partitions> {
        let topics = self.topics.iter().zip(replicas).map(|(topic, racks)| Topic { racks, ..*topic });
        let ids: Vec<String> = (0..self.wanted.len()).map(|m| format!("m{m:04}")).collect();
        let specs = ids.iter().zip(&self.wanted).zip(self.owned.iter().zip(members));
        let specs = specs.map(|((id, topics), (assigned, rack))| Member {
            id,
            instance: None,
            topics,
            assigned,
            rack: *rack,
        });
        assignor.assign(&topics.collect::<Vec<_>>(), &specs.collect::<Vec<_>>())
    }

    /// The group after an assignment.
    fn settled(&self, assignor: Assignor) -> Self {
        Self { owned: self.assign(assignor), ..self.clone() }
    }
}

/// Groups of up to seven members and five topics; each partition is owned by one member or none, wanted or not.
fn drawn(same_subscriptions: bool) -> impl Strategy<Value = Drawn> {
    let topics = vec(0u32..9, 1..6);
    (topics, 1usize..8).prop_flat_map(move |(sizes, members)| {
        let count = sizes.len();
        let partitions: usize = sizes.iter().map(|s| *s as usize).sum();
        let wanted = vec(vec(any::<bool>(), count), members);
        let owners = vec(prop::option::of(0..members), partitions);
        (Just(sizes), wanted, owners).prop_map(move |(sizes, mut wanted, owners)| {
            if same_subscriptions {
                let first = wanted[0].clone();
                wanted.fill(first);
            }
            let slots = sizes.iter().enumerate().flat_map(|(t, size)| (0..*size).map(move |p| (t, p)));
            let mut owned: Vec<Vec<(TopicId, PartitionIndex)>> = vec![Vec::new(); wanted.len()];
            for ((topic, partition), owner) in slots.zip(owners) {
                if let Some(owner) = owner {
                    owned[owner].push((topic_id(topic), PartitionIndex::new(partition as i32)));
                }
            }
            let chosen = |wants: &Vec<bool>| (0..wants.len() as u32).filter(|t| wants[*t as usize]).collect();
            Drawn {
                topics: sizes
                    .iter()
                    .enumerate()
                    .map(|(t, s)| Topic { id: topic_id(t), partitions: *s, racks: &[] })
                    .collect(),
                wanted: wanted.iter().map(chosen).collect(),
                owned: owned.into_iter().map(|pairs| pairs.into_iter().collect()).collect(),
            }
        })
    })
}

type Owners = BTreeMap<(TopicId, PartitionIndex), usize>;

/// Who owns what; fails if two own one partition, or one owns what it did not ask for.
fn owners(group: &Drawn, assigned: &[Partitions]) -> Owners {
    let mut owners = Owners::new();
    for (member, partitions) in assigned.iter().enumerate() {
        for (topic, partition) in partitions.iter() {
            let position = group.topics.iter().position(|t| t.id == topic).unwrap() as u32;
            assert!(group.wanted[member].contains(&position), "member {member} did not ask for {topic:?}");
            assert!(
                owners.insert((topic, partition), member).is_none(),
                "{topic:?}-{partition} has two owners"
            );
        }
    }
    owners
}

fn check_every_partition_has_one_owner(group: &Drawn, assigned: &[Partitions]) {
    let owners = owners(group, assigned);
    for (at, topic) in group.topics.iter().enumerate() {
        let wanted = group.wanted.iter().any(|w| w.contains(&(at as u32)));
        for partition in (0..topic.partitions).map(|p| PartitionIndex::new(p as i32)) {
            assert_eq!(owners.contains_key(&(topic.id, partition)), wanted, "{:?}-{partition}", topic.id);
        }
    }
    assert!(
        owners
            .keys()
            .all(|(topic, p)| group.topics.iter().any(|t| t.id == *topic && (p.get() as u32) < t.partitions))
    );
}

fn spread(assigned: &[Partitions]) -> usize {
    let loads = || assigned.iter().map(Partitions::len);
    loads().max().unwrap_or(0) - loads().min().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_partition_gets_exactly_one_owner_among_its_subscribers(group in any::<bool>().prop_flat_map(drawn)) {
        for assignor in [Assignor::Uniform, Assignor::Range] {
            check_every_partition_has_one_owner(&group, &group.assign(assignor));
        }
    }

    #[test]
    fn uniform_is_balanced_within_one_and_stays_as_it_is(group in drawn(true)) {
        let settled = group.settled(Assignor::Uniform);
        prop_assert!(spread(&settled.owned) <= 1, "{:?}", settled.owned);
        prop_assert_eq!(settled.assign(Assignor::Uniform), settled.owned.clone());
    }

    #[test]
    fn uniform_moves_only_what_a_leaving_member_had(group in drawn(true), leaver in any::<prop::sample::Index>()) {
        let mut settled = group.settled(Assignor::Uniform);
        prop_assume!(settled.owned.len() > 1);
        let leaver = leaver.index(settled.owned.len());
        settled.owned.remove(leaver);
        settled.wanted.remove(leaver);
        let after = settled.assign(Assignor::Uniform);
        for (before, after) in settled.owned.iter().zip(&after) {
            prop_assert!(before.iter().all(|(topic, p)| after.contains(topic, p)), "{before:?} became {after:?}");
        }
        check_every_partition_has_one_owner(&settled, &after);
    }

    #[test]
    fn uniform_moves_to_a_joining_member_its_share_and_nothing_else(group in drawn(true)) {
        let mut settled = group.settled(Assignor::Uniform);
        let partitions: usize = settled.owned.iter().map(Partitions::len).sum();
        let wanted = settled.wanted[0].clone();
        settled.wanted.push(wanted);
        settled.owned.push(Partitions::none());
        let after = settled.assign(Assignor::Uniform);
        let moved = settled.owned.iter().zip(&after).map(|(b, a)| b.iter().filter(|(t, p)| !a.contains(*t, *p)).count());
        let moved: usize = moved.sum();
        prop_assert_eq!(moved, after.last().unwrap().len());
        prop_assert_eq!(moved, partitions / after.len());
    }

    #[test]
    fn uniform_takes_nothing_away_when_a_topic_grows(group in drawn(true), more in 1u32..5) {
        let mut settled = group.settled(Assignor::Uniform);
        let before = settled.owned.clone();
        settled.topics[0].partitions += more;
        let after = settled.assign(Assignor::Uniform);
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before.iter().all(|(topic, p)| after.contains(topic, p)));
        }
    }

    /// With different subscriptions: nobody could give a partition to another subscriber of its topic and both be better off.
    #[test]
    fn uniform_leaves_no_move_that_would_even_out_a_topic(group in drawn(false)) {
        let assigned = group.assign(Assignor::Uniform);
        for ((topic, _), owner) in owners(&group, &assigned) {
            let position = group.topics.iter().position(|t| t.id == topic).unwrap() as u32;
            for other in (0..assigned.len()).filter(|m| group.wanted[*m].contains(&position)) {
                prop_assert!(assigned[owner].len() <= assigned[other].len() + 1, "{:?}", assigned);
            }
        }
    }

    #[test]
    fn uniform_leaves_an_even_assignment_of_different_subscriptions_alone(group in drawn(false)) {
        let settled = group.settled(Assignor::Uniform);
        prop_assert_eq!(settled.assign(Assignor::Uniform), settled.owned.clone());
    }

    #[test]
    fn racks_cost_neither_balance_nor_stickiness(
        group in any::<bool>().prop_flat_map(drawn),
        racks in vec(prop::option::of(0usize..3), 8),
        places in vec(vec(0usize..3, 0..3), 5 * 9),
    ) {
        let racks: Vec<Option<Rack>> = racks.into_iter().map(|rack| rack.and_then(Rack::new)).collect();
        let set = |places: &Vec<usize>| places.iter().filter_map(|place| Rack::new(*place)).collect::<RackSet>();
        let replicas: Vec<Vec<RackSet>> = places.chunks(9).map(|places| places.iter().map(set).collect()).collect();
        let near = |assigned: &[Partitions]| {
            let is_near = |((topic, partition), member): &((TopicId, PartitionIndex), usize)| {
                let at = group.topics.iter().position(|t| t.id == *topic).unwrap();
                racks[*member].is_some_and(|rack| replicas[at][partition.get() as usize].contains(rack))
            };
            owners(&group, assigned).into_iter().filter(is_near).count()
        };
        for assignor in [Assignor::Uniform, Assignor::Range] {
            let (without, with) = (group.assign(assignor), group.assign_near(assignor, &racks, &replicas));
            check_every_partition_has_one_owner(&group, &with);
            for ((without, with), before) in without.iter().zip(&with).zip(&group.owned) {
                prop_assert_eq!(without.len(), with.len());
                let mut kept = before.iter().filter(|(topic, p)| without.contains(*topic, *p));
                prop_assert!(assignor == Assignor::Range || kept.all(|(topic, p)| with.contains(topic, p)));
            }
            // A number that lines up across topics is near where all of them are, so that range may lose what one topic alone had.
            prop_assert!(assignor == Assignor::Range || near(&with) >= near(&without));
        }
    }

    #[test]
    fn range_gives_contiguous_ranges_that_differ_by_one(group in any::<bool>().prop_flat_map(drawn)) {
        let assigned = group.assign(Assignor::Range);
        for (at, topic) in group.topics.iter().enumerate() {
            let subscribers = (0..assigned.len()).filter(|m| group.wanted[*m].contains(&(at as u32)));
            let shares: Vec<&[PartitionIndex]> = subscribers.map(|m| assigned[m].of(topic.id)).collect();
            prop_assert!(shares.iter().all(|s| s.windows(2).all(|w| w[0].get() + 1 == w[1].get())));
            prop_assert!(shares.windows(2).all(|w| w[0].len() >= w[1].len()), "the first members have one more");
            let sizes = shares.iter().map(|s| s.len());
            prop_assert!(sizes.clone().max().unwrap_or(0) - sizes.min().unwrap_or(0) <= 1);
        }
    }
}

/// The size the module is made for: a thousand members, ten thousand partitions, equal and different subscriptions.
#[test]
fn a_thousand_members_share_ten_thousand_partitions() {
    let topics: Vec<Topic<'_>> =
        (0..100).map(|t| Topic { id: topic_id(t), partitions: 100, racks: &[] }).collect();
    let all: Vec<u32> = (0..100).collect();
    for different in [false, true] {
        let wants = |m: usize| {
            all.iter().copied().filter(|t| !different || !(*t as usize + m).is_multiple_of(3)).collect()
        };
        let wanted: Vec<Vec<u32>> = (0..1_000).map(wants).collect();
        let owned = vec![Partitions::none(); 1_000];
        let group = Drawn { topics: topics.clone(), wanted, owned };
        for assignor in [Assignor::Uniform, Assignor::Range] {
            check_every_partition_has_one_owner(&group, &group.assign(assignor));
        }
        let mut settled = group.settled(Assignor::Uniform);
        assert!(spread(&settled.owned) <= 1, "different: {different}");
        let gone = settled.owned.remove(500);
        settled.wanted.remove(500);
        let after = settled.assign(Assignor::Uniform);
        let moved: usize = settled
            .owned
            .iter()
            .zip(&after)
            .map(|(b, a)| b.iter().filter(|(t, p)| !a.contains(*t, *p)).count())
            .sum();
        assert!(moved <= if different { gone.len() } else { 0 }, "{moved} moved, different: {different}");
    }
}
