//! What a heartbeat and a member cost, in allocations and bytes: they must not grow with the group.

use allocation_counter::measure;

use super::super::ConsumerGroup;
use super::world::{Client, World, apply, context};
use crate::group::record::Record;

/// A settled group of `members` that share `partitions` of one topic.
fn settled(members: usize, partitions: i32) -> World {
    let mut world = World::new();
    world.settings.consumer.max_size = members;
    world.topic("a-topic-of-some-name", partitions);
    let name = |m: usize| format!("consumer-{m:022}");
    for m in 0..members {
        let topics = vec!["a-topic-of-some-name".to_owned()];
        world.clients.insert(name(m), Client { topics, ..Client::default() });
        let request = world.full_request(&name(m), 0);
        // All come at once; the last one's target is what counts.
        world.settings.consumer.assignment_interval_ms.value = if m + 1 == members { 0 } else { 1_000_000 };
        let answer = world.send(&request);
        world.receive(&name(m), &answer);
    }
    for _ in 0..3 {
        for m in 0..members {
            let client = world.clients.get_mut(&name(m)).unwrap();
            client.has.clone_from(&client.told);
            let request = world.full_request(&name(m), world.clients[&name(m)].epoch);
            let answer = world.send(&request);
            world.receive(&name(m), &answer);
        }
    }
    assert_eq!(world.group.as_ref().unwrap().state(), crate::group::response::GroupState::Stable);
    world
}

/// Allocations and bytes of one heartbeat that says nothing new.
fn heartbeat_of(world: &mut World) -> (u64, u64) {
    let name = world.clients.keys().next().unwrap().clone();
    let request = world.request(&name, world.clients[&name].epoch);
    world.topics.observe(&world.image);
    let context = context(&world.image, &world.topics, &world.settings, world.now);
    let group = world.group.as_mut().unwrap();
    let counted = measure(|| {
        let decision = group.heartbeat(&request, &context).unwrap();
        assert!(decision.records.is_empty() && decision.answer.assignment.is_none());
    });
    (counted.count_total, counted.bytes_total)
}

#[test]
fn a_heartbeat_allocates_the_same_in_a_small_and_a_large_group() {
    let (small, large) = (heartbeat_of(&mut settled(3, 10)), heartbeat_of(&mut settled(500, 5_000)));
    assert_eq!(small, large);
    assert!(large.0 <= 4, "{} allocations", large.0);
}

#[test]
fn a_member_takes_less_than_2_kib_with_ten_partitions() {
    let world = settled(200, 2_000);
    let log: Vec<_> = world.log.iter().map(|record| record.encode().unwrap()).collect();
    let mut group: Option<ConsumerGroup> = None;
    let counted = measure(|| {
        for (key, value) in &log {
            let record = Record::decode(key, value.as_ref()).unwrap().unwrap();
            apply(&mut group, &[record], world.now);
        }
    });
    assert_eq!(group.as_ref().unwrap().member_count(), 200);
    let each = counted.bytes_current / 200;
    println!("{each} bytes a member with ten partitions");
    assert!((500..2048).contains(&each), "{each} bytes a member");
}
