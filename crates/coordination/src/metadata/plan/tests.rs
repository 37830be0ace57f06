//! Plans as text, and what holds for every one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use expect_test::{Expect, expect};
use ottla_record::BrokerId;
use proptest::prelude::*;

use super::*;
use crate::metadata::tests::{cluster, run};
use crate::metadata::{Image, imbalance};

/// An image made by scenario lines, and sizes given as `size t-0 1000`.
fn scene(script: &str) -> (Image, Sizes) {
    let (mut image, mut sizes) = (cluster(), Sizes::new());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(size) = line.strip_prefix("size ") {
            let (partition, bytes) = size.split_once(' ').unwrap();
            let (topic, index) = partition.rsplit_once('-').unwrap();
            let id = image.topic(topic).unwrap().id();
            sizes.insert((id, PartitionIndex::new(index.parse().unwrap())), bytes.parse().unwrap());
        } else if let Some(brokers) = line.strip_prefix("brokers ") {
            for (at, rack) in brokers.split_whitespace().enumerate() {
                let rack = if rack == "-" { String::new() } else { format!(" rack={rack}") };
                run(&mut image, &format!("register {}{rack}", at + 1));
                run(&mut image, &format!("unfence {}", at + 1));
            }
        } else {
            run(&mut image, line);
        }
    }
    (image, sizes)
}

fn show(plan: &Plan) -> String {
    let mut out = String::new();
    for m in &plan.moves {
        writeln!(out, "{}-{} {:?} to {:?}, {} bytes", m.topic, m.partition, m.from, m.to, m.bytes).unwrap();
    }
    for (topic, index) in &plan.elections {
        writeln!(out, "elect {topic}-{index}").unwrap();
    }
    for (before, after) in &plan.loads {
        let load = |l: &Load| format!("{} replicas {} bytes, leads {}", l.replicas, l.bytes, l.leaders);
        writeln!(out, "broker {}: {} => {}", before.broker, load(before), load(after)).unwrap();
    }
    out
}

fn check(script: &str, plan: impl Fn(&Image, &Sizes) -> Plan, expected: Expect) {
    let (image, sizes) = scene(script);
    expected.assert_eq(&show(&plan(&image, &sizes)));
}

/// Carries a plan out as an operator would: step by step, each replica catching up, then the elections.
fn execute(image: &mut Image, plan: &Plan, limit: StepLimit) {
    for step in plan.steps(limit) {
        for m in step {
            let list =
                |brokers: &[BrokerId]| brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let named = format!("{}-{}", m.topic, m.partition);
            let partition = |image: &Image| {
                image.topic(m.topic.as_str()).unwrap().partition(m.partition).unwrap().clone()
            };
            assert_eq!(partition(image).replicas, m.from, "{named}");
            run(image, &format!("reassign {named} to={}", list(&m.to)));
            let moving = partition(image);
            if let (Some(leader), true) = (moving.leader, moving.reassignment.is_some()) {
                let alive = |b: &BrokerId| image.broker(*b).is_some_and(|b| b.is_active());
                let isr: Vec<BrokerId> = moving.replicas.iter().copied().filter(alive).collect();
                run(image, &format!("isr {named} by={leader} to={}", list(&isr)));
            }
            // Nothing moves to its end past a broker that is fenced.
            let waits = m.to.iter().any(|b| image.broker(*b).is_some_and(|b| !b.is_active()));
            assert!(waits || partition(image).replicas == m.to, "{named}");
            run(image, &format!("elect {named}"));
        }
    }
    for (topic, index) in &plan.elections {
        run(image, &format!("elect {topic}-{index}"));
    }
}

#[test]
fn a_new_broker_gets_its_share_and_no_more_moves() {
    check(
        "
        brokers - - -
        create t on=1,2/2,1/1,2/2,1/1,2/2,1
        size t-0 100
        size t-3 100
        ",
        balance,
        expect![[r#"
            t-0 [1, 2] to [3, 1], 100 bytes
            t-1 [2, 1] to [3, 2], 0 bytes
            t-2 [1, 2] to [1, 3], 0 bytes
            t-3 [2, 1] to [2, 3], 100 bytes
            broker 1: 6 replicas 200 bytes, leads 3 => 4 replicas 100 bytes, leads 2
            broker 2: 6 replicas 200 bytes, leads 3 => 4 replicas 100 bytes, leads 2
            broker 3: 0 replicas 0 bytes, leads 0 => 4 replicas 200 bytes, leads 2
        "#]],
    );
}

#[test]
fn racks_come_before_numbers() {
    check(
        "
        brokers a a b
        create t on=1,2/2,1/1,2/2,1
        ",
        balance,
        expect![[r#"
            t-0 [1, 2] to [1, 3], 0 bytes
            t-1 [2, 1] to [3, 2], 0 bytes
            t-2 [1, 2] to [1, 3], 0 bytes
            t-3 [2, 1] to [2, 3], 0 bytes
            broker 1: 4 replicas 0 bytes, leads 2 => 2 replicas 0 bytes, leads 2
            broker 2: 4 replicas 0 bytes, leads 2 => 2 replicas 0 bytes, leads 1
            broker 3: 0 replicas 0 bytes, leads 0 => 4 replicas 0 bytes, leads 1
        "#]],
    );
}

#[test]
fn bytes_are_evened_out_by_exchange() {
    check(
        "
        brokers - -
        create t on=1/1/2/2
        size t-0 1000
        size t-1 900
        size t-2 10
        size t-3 20
        ",
        balance,
        expect![[r#"
            t-0 [1] to [2], 1000 bytes
            t-3 [2] to [1], 20 bytes
            broker 1: 2 replicas 1900 bytes, leads 2 => 2 replicas 920 bytes, leads 2
            broker 2: 2 replicas 30 bytes, leads 2 => 2 replicas 1010 bytes, leads 2
        "#]],
    );
}

#[test]
fn leaderships_are_evened_out_without_a_copy_and_fenced_brokers_get_none() {
    check(
        "
        brokers - - -
        create t on=1,2,3/1,2,3/1,2,3/1,2,3
        fence 3
        ",
        balance,
        expect![[r#"
            t-0 [1, 2, 3] to [2, 1, 3], 0 bytes
            t-1 [1, 2, 3] to [2, 1, 3], 0 bytes
            broker 1: 4 replicas 0 bytes, leads 4 => 4 replicas 0 bytes, leads 2
            broker 2: 4 replicas 0 bytes, leads 0 => 4 replicas 0 bytes, leads 2
            broker 3: 4 replicas 0 bytes, leads 0 => 4 replicas 0 bytes, leads 0
        "#]],
    );
}

#[test]
fn what_is_gone_is_replaced_and_what_moves_is_left_alone() {
    check(
        "
        brokers - - - -
        create t on=1,2/1,2/3,1
        fence 2
        unregister 2
        reassign t-1 to=3,4
        ",
        balance,
        expect![[r#"
            t-0 [1, 2] to [4, 1], 0 bytes
            t-2 [3, 1] to [1, 3], 0 bytes
            broker 1: 2 replicas 0 bytes, leads 1 => 2 replicas 0 bytes, leads 1
            broker 2: 1 replicas 0 bytes, leads 0 => 0 replicas 0 bytes, leads 0
            broker 3: 2 replicas 0 bytes, leads 2 => 2 replicas 0 bytes, leads 1
            broker 4: 1 replicas 0 bytes, leads 0 => 2 replicas 0 bytes, leads 1
        "#]],
    );
}

#[test]
fn a_drained_broker_hands_over_its_leaderships_first() {
    let from_1 = |image: &Image, sizes: &Sizes| drain(image, sizes, BrokerId::new(1)).unwrap();
    check(
        "
        brokers a b c b
        create t on=1,2,3/2,1,3/3,2,4
        create alone on=1
        size t-0 100
        size alone-0 7
        ",
        from_1,
        expect![[r#"
            t-0 [1, 2, 3] to [2, 3, 1], 0 bytes
            alone-0 [1] to [4], 7 bytes
            t-0 [2, 3, 1] to [2, 3, 4], 100 bytes
            t-1 [2, 1, 3] to [2, 4, 3], 0 bytes
            broker 1: 3 replicas 107 bytes, leads 2 => 0 replicas 0 bytes, leads 0
            broker 2: 3 replicas 100 bytes, leads 1 => 3 replicas 100 bytes, leads 2
            broker 3: 3 replicas 100 bytes, leads 1 => 3 replicas 100 bytes, leads 1
            broker 4: 1 replicas 0 bytes, leads 0 => 4 replicas 107 bytes, leads 1
        "#]],
    );
}

#[test]
fn a_broker_is_not_drained_below_the_replication_factor() {
    let refused = |script: &str, broker: i32| {
        let (image, sizes) = scene(script);
        format!("{}\n", drain(&image, &sizes, BrokerId::new(broker)).unwrap_err())
    };
    let lone = refused("brokers -\ncreate t 2x1", 1);
    let pair = refused("brokers - -\ncreate t 3x2", 2);
    let unknown = refused("brokers - -", 3);
    expect![[r#"
        2 partition(s) of broker 1, t-0 among them, have no other broker to go to: each broker that lives has a replica already. Start another broker, or give those topics fewer replicas first
        3 partition(s) of broker 2, t-0 among them, have no other broker to go to: each broker that lives has a replica already. Start another broker, or give those topics fewer replicas first
        Broker ID 3 is not currently registered
    "#]].assert_eq(&[lone, pair, unknown].concat());
}

#[test]
fn internal_topics_of_a_cluster_that_grew_get_more_replicas() {
    check(
        "
        brokers -
        create __consumer_offsets 3x1
        create mine 3x1
        register 2
        unfence 2
        register 3
        unfence 3
        ",
        |image, sizes| raise(image, sizes, 3, |topic| topic.name().as_str() == "__consumer_offsets"),
        expect![[r#"
            __consumer_offsets-0 [1] to [1, 2, 3], 0 bytes
            __consumer_offsets-1 [1] to [1, 2, 3], 0 bytes
            __consumer_offsets-2 [1] to [1, 2, 3], 0 bytes
            broker 1: 6 replicas 0 bytes, leads 6 => 6 replicas 0 bytes, leads 6
            broker 2: 0 replicas 0 bytes, leads 0 => 3 replicas 0 bytes, leads 0
            broker 3: 0 replicas 0 bytes, leads 0 => 3 replicas 0 bytes, leads 0
        "#]],
    );
}

#[test]
fn steps_are_bounded_in_partitions_and_in_bytes() {
    let (image, sizes) = scene(
        "
        brokers - -
        create t 5x1 seed=0
        size t-0 100
        size t-2 30
        size t-4 40
        ",
    );
    let plan = drain(&image, &sizes, BrokerId::new(1)).unwrap();
    let steps = |partitions, bytes| {
        let limit = StepLimit { partitions, bytes };
        let step = |step: &[Move]| step.iter().map(|m| m.bytes).collect::<Vec<_>>();
        format!("{:?}\n", plan.steps(limit).map(step).collect::<Vec<_>>())
    };
    expect![[r#"
        [[100, 30, 40]]
        [[100, 30], [40]]
        [[100], [30, 40]]
        [[100], [30], [40]]
    "#]]
    .assert_eq(&[steps(9, 1000), steps(2, 1000), steps(9, 75), steps(0, 0)].concat());
}

#[test]
fn leaderships_return_to_preferred_leaders_that_are_alive_and_in_sync() {
    let returning = |script: &str| {
        let (image, _) = scene(script);
        format!("{:?}\n", imbalance(&image).map(|command| command.partitions))
    };
    let start = "brokers - - -\ncreate t on=1,2/2,1/1,3\n";
    expect![[r#"
        None
        None
        None
        Some(Some([("t", 0), ("t", 2)]))
        Some(Some([("t", 0)]))
    "#]]
    .assert_eq(
        &[
            returning(start),
            returning(&format!("{start}fence 1")),
            returning(&format!("{start}fence 1\nunfence 1")),
            returning(&format!("{start}fence 1\nunfence 1\nisr t-0 by=2 to=1,2\nisr t-2 by=3 to=1,3")),
            returning(&format!("{start}reassign t-0 to=2,1\nreassign t-2 to=3,2")),
        ]
        .concat(),
    );
}

/// A cluster of some brokers in some racks with topics placed anyhow, some of it fenced, and sizes.
fn anything() -> impl Strategy<Value = (Image, Sizes)> {
    let brokers = prop::collection::vec(0..3u8, 1..7);
    let partitions = prop::collection::vec((any::<u64>(), 1..4usize, 0..1000u64), 0..40);
    (brokers, partitions, prop::option::of(1..7i32)).prop_map(|(racks, partitions, fenced)| {
        let (mut image, mut sizes) = (cluster(), Sizes::new());
        for (at, rack) in racks.iter().enumerate() {
            run(&mut image, &format!("register {} rack={rack}", at + 1));
            run(&mut image, &format!("unfence {}", at + 1));
        }
        for (at, (mut random, factor, size)) in partitions.iter().copied().enumerate() {
            let mut left: Vec<usize> = (1..=racks.len()).collect();
            let mut replicas = Vec::new();
            while replicas.len() < factor && !left.is_empty() {
                replicas.push(left.remove(usize::try_from(random % 97).unwrap() % left.len()).to_string());
                random /= 97;
            }
            run(&mut image, &format!("create t{at} on={}", replicas.join(",")));
            let id = image.topic(&format!("t{at}")).unwrap().id();
            sizes.insert((id, PartitionIndex::ZERO), size);
        }
        if let Some(broker) = fenced.filter(|b| usize::try_from(*b).unwrap() < racks.len()) {
            run(&mut image, &format!("fence {broker}"));
        }
        (image, sizes)
    })
}

/// Number of replicas and of racks of each partition, and who holds it.
fn spreads(image: &Image) -> BTreeMap<String, (usize, usize, BTreeSet<BrokerId>)> {
    let of = |topic: &std::sync::Arc<crate::metadata::Topic>| {
        let replicas = &topic.partition(PartitionIndex::ZERO).unwrap().replicas;
        let racks: BTreeSet<_> = replicas.iter().map(|b| image.broker(*b).unwrap().rack.clone()).collect();
        (topic.name().to_string(), (replicas.len(), racks.len(), replicas.iter().copied().collect()))
    };
    image.topics().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn balancing_keeps_replicas_and_racks_evens_out_and_ends((image, sizes) in anything(), partitions in 1..5usize) {
        let plan = balance(&image, &sizes);
        let mut after = image.clone();
        execute(&mut after, &plan, StepLimit { partitions, bytes: 1500 });

        // Once it is carried out there is nothing left to do.
        let again = balance(&after, &sizes);
        prop_assert!(again.is_empty(), "{}\nthen\n{}", show(&plan), show(&again));
        prop_assert_eq!(again.loads.iter().map(|l| l.0).collect::<Vec<_>>(), plan.loads.iter().map(|l| l.1).collect::<Vec<_>>());

        let usable: BTreeSet<BrokerId> = after.brokers().filter(|b| b.is_active()).map(|b| b.id).collect();
        let racks: BTreeSet<_> = after.brokers().filter(|b| b.is_active()).map(|b| b.rack.clone()).collect();
        for ((name, before), now) in spreads(&image).iter().zip(spreads(&after).values()) {
            prop_assert_eq!(before.0, now.0, "{} has another number of replicas", name);
            prop_assert!(before.1 <= now.1, "{} stands in fewer racks", name);
            let on_fenced = before.2.difference(&usable).count();
            prop_assert_eq!(on_fenced, now.2.difference(&usable).count(), "{} on a fenced broker", name);
            if on_fenced == 0 {
                prop_assert_eq!(now.1, now.0.min(racks.len()), "{} could stand in more racks", name);
            }
        }
        // Where no rack forbids it, nobody has two more than another.
        if racks.len() == 1 && usable.len() == image.brokers().count() {
            for of in [|l: &Load| l.replicas, |l: &Load| l.leaders] {
                let counts: Vec<_> = plan.loads.iter().map(|(_, after)| of(after)).collect();
                prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{}", show(&plan));
            }
        }
    }

    #[test]
    fn draining_empties_a_broker_and_keeps_replicas_and_racks((image, sizes) in anything(), partitions in 1..5usize) {
        let Some(broker) = image.brokers().find(|b| b.is_active()).map(|b| b.id) else { return Ok(()) };
        let Ok(plan) = drain(&image, &sizes, broker) else { return Ok(()) };
        let mut after = image.clone();
        let leaderless = |image: &Image| image.topics().filter(|t| t.partition(PartitionIndex::ZERO).unwrap().leader.is_none()).count();
        let before = leaderless(&image);
        execute(&mut after, &plan, StepLimit { partitions, bytes: 1500 });
        prop_assert_eq!(leaderless(&after), before);
        let racks: BTreeSet<_> = after.brokers().filter(|b| b.id != broker).map(|b| b.rack.clone()).collect();
        for ((name, before), now) in spreads(&image).iter().zip(spreads(&after).values()) {
            let fenced = |b: &BrokerId| image.broker(*b).is_some_and(|b| b.fenced);
            if now.2.iter().any(fenced) {
                continue;
            }
            prop_assert_eq!(before.0, now.0, "{} has another number of replicas", name);
            prop_assert!(!now.2.contains(&broker), "{} is still there", name);
            prop_assert!(now.1 >= before.1.min(racks.len()) || image.brokers().any(|b| b.fenced), "{} stands in fewer racks", name);
        }
        // Leaderships go first.
        let first_copy = plan.moves.iter().position(|m| !m.is_leadership_only()).unwrap_or(plan.moves.len());
        prop_assert!(plan.moves.iter().skip(first_copy).all(|m| !m.is_leadership_only()));
    }
}
