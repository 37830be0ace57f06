//! What holds for every sequence of commands.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Commands as scenario lines, over few brokers and topics, so that they meet.
fn line() -> impl Strategy<Value = String> {
    let broker = 1..5i32;
    let topic = prop::sample::select(vec!["a", "b", "a.b", "a_b"]);
    prop_oneof![
        (broker.clone(), 0..4u8, prop::sample::select(vec!["x", "y"]))
            .prop_map(|(b, run, dir)| format!("register {b} run={run} dir={b}{dir}")),
        broker.clone().prop_map(|b| format!("unfence {b}")),
        broker.clone().prop_map(|b| format!("unfence {b}")),
        broker.clone().prop_map(|b| format!("fence {b}")),
        broker.clone().prop_map(|b| format!("shutdown {b}")),
        (broker.clone(), any::<bool>())
            .prop_map(|(b, full)| format!("disk {b}{}", if full { " full" } else { "" })),
        broker.clone().prop_map(|b| format!("unregister {b}")),
        broker.clone().prop_map(|b| format!("producer-ids {b}")),
        (topic.clone(), 1..4, 1..4, any::<u64>())
            .prop_map(|(t, n, r, seed)| format!("create {t} {n}x{r} seed={seed}")),
        topic.clone().prop_map(|t| format!("delete {t}")),
        (topic.clone(), 1..7, any::<u64>()).prop_map(|(t, n, seed)| format!("grow {t} to={n} seed={seed}")),
        (topic.clone(), 0..3, broker.clone(), prop::collection::btree_set(1..5i32, 0..4)).prop_map(
            |(t, i, b, isr)| {
                let isr: Vec<String> = isr.iter().map(ToString::to_string).collect();
                format!("isr {t}-{i} by={b} to={}", isr.join(","))
            }
        ),
        (topic.clone(), 0..3, prop::sample::subsequence(vec![4, 2, 1, 3], 1..4)).prop_map(|(t, i, to)| {
            let to: Vec<String> = to.iter().map(ToString::to_string).collect();
            format!("reassign {t}-{i} to={}", to.join(","))
        }),
        (topic.clone(), 0..3).prop_map(|(t, i)| format!("reassign {t}-{i} cancel")),
        (topic.clone(), any::<bool>())
            .prop_map(|(t, unclean)| { format!("elect {t}-0{}", if unclean { " unclean" } else { "" }) }),
        (topic, any::<bool>())
            .prop_map(|(t, on)| format!("config topic:{t} unclean.leader.election.enable={on}")),
    ]
}

/// Leader epoch, partition epoch and number of partitions per topic: none of them ever falls.
type Marks = BTreeMap<TopicId, Vec<(LeaderEpoch, PartitionEpoch)>>;

fn marks(image: &Image) -> Marks {
    let of_topic = |t: &std::sync::Arc<Topic>| {
        (t.id(), t.partitions().map(|(_, p)| (p.leader_epoch, p.partition_epoch)).collect())
    };
    image.topics().map(of_topic).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn images_agree_and_epochs_only_rise(lines in prop::collection::vec(line(), 1..80)) {
        let (mut image, mut twin) = (cluster(), cluster());
        let mut producer_ids = Vec::new();
        for line in &lines {
            let command = parse(line, &image);
            let before = image.clone();
            let response = image.apply(&command);

            // The same command on an equal image, here one that went through bytes, has the same outcome.
            let stored: Command = serde_json::from_slice(&serde_json::to_vec(&command).unwrap()).unwrap();
            prop_assert_eq!(&twin.apply(&stored), &response);
            twin = Image::decode(&twin.encode().unwrap()).unwrap();
            prop_assert_eq!(image.hash().unwrap(), twin.hash().unwrap());
            prop_assert_eq!(image.check_invariants(), Ok(()));

            // A preview tells the truth.
            prop_assert_eq!(&before.preview(&command), &response);

            let (old, new) = (marks(&before), marks(&image));
            for (topic, old) in &old {
                let Some(new) = new.get(topic) else { continue };
                prop_assert!(new.len() >= old.len(), "{} made {} shrink", line, topic);
                for (old, new) in old.iter().zip(new) {
                    prop_assert!(old.0 <= new.0 && old.1 <= new.1, "{}: {:?} to {:?}", line, old, new);
                }
            }
            for topic in image.topics() {
                let Some(former) = before.topic_by_id(topic.id()) else { continue };
                for ((_, old), (_, new)) in former.partitions().zip(topic.partitions()) {
                    // One leader per epoch, and a change of any kind has its own partition epoch.
                    prop_assert!(old.leader == new.leader || old.leader_epoch < new.leader_epoch, "{}", line);
                    prop_assert!(old == new || old.partition_epoch < new.partition_epoch, "{}", line);
                    // Who is taken away is shut out of the term, and only a move takes anybody away.
                    let left = old.replicas.iter().any(|b| !new.replicas.contains(b));
                    prop_assert!(!left || old.leader_epoch < new.leader_epoch, "{}", line);
                    prop_assert!(!left || old.reassignment.is_some() || line.starts_with("reassign"), "{}", line);
                    // Moving costs no availability: whoever led, somebody does.
                    let moved = line.starts_with("reassign") || line.starts_with("isr");
                    prop_assert!(!moved || old.leader.is_none() || new.leader.is_some(), "{}", line);
                }
            }
            for broker in image.brokers() {
                if let Some(former) = before.broker(broker.id) {
                    prop_assert!(former.epoch <= broker.epoch);
                    prop_assert!(former.incarnation == broker.incarnation || former.epoch < broker.epoch);
                }
            }
            if let Response::AllocateProducerIds(Ok(block)) = response {
                prop_assert!(producer_ids.iter().all(|first| *first < block.first));
                producer_ids.push(block.first);
            }
        }
    }

    #[test]
    fn placements_are_fair_and_spread(
        racks in prop::collection::vec(0..4u8, 1..12),
        count in 1..50usize,
        factor in 1..6usize,
        seed: u64,
    ) {
        let factor = factor.min(racks.len());
        let candidates: Vec<_> = racks
            .iter()
            .enumerate()
            .map(|(i, rack)| placement::Candidate {
                id: BrokerId::new(i32::try_from(i).unwrap()),
                rack: Some(rack.to_string()),
            })
            .collect();
        let wanted = i16::try_from(factor).unwrap();
        let placed = placement::place(&candidates, &[], 0, count, wanted, PlacementSeed(seed)).unwrap();
        let distinct: std::collections::BTreeSet<_> = racks.iter().collect();
        let mut leads = BTreeMap::new();
        for replicas in &placed {
            let brokers: std::collections::BTreeSet<_> = replicas.iter().collect();
            prop_assert_eq!(brokers.len(), factor);
            let used: std::collections::BTreeSet<_> =
                replicas.iter().map(|b| racks[usize::try_from(b.get()).unwrap()]).collect();
            prop_assert_eq!(used.len(), factor.min(distinct.len()));
            *leads.entry(replicas[0]).or_insert(0usize) += 1;
        }
        let most = leads.values().max().copied().unwrap_or(0);
        prop_assert!(most <= count.div_ceil(racks.len()));
    }
}
