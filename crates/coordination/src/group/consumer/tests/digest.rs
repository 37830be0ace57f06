//! The digest of a group's topics is Kafka's: a group that a Kafka wrote does not rebalance because another program reads it.

use std::sync::Arc;

use ottla_record::{TopicId, Uuid};

use super::world::World;
use crate::metadata::{Command, CreateTopics, Layout, NewTopic, PlacementSeed};

/// `Utils.computeTopicHash` and `computeGroupHash` of Kafka 4.3.0, run with its own hash4j, for this very topic on a broker in rack `r1`.
const KAFKAS: i64 = -5739012734661348395;

#[test]
fn the_digest_is_kafkas() {
    let mut world = World::new();
    let id = TopicId(Uuid::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]));
    let layout = Layout::Placed { partitions: 2, replication_factor: 1, seed: PlacementSeed(0) };
    let topic = NewTopic { name: "orders".to_owned(), id, layout, configs: Vec::new() };
    world.image.apply(&Command::CreateTopics(CreateTopics { topics: vec![topic] }));
    world.topics.observe(&world.image);
    let names: [Arc<str>; 2] = ["gone".into(), "orders".into()];
    assert_eq!(world.topics.digest(&world.image, names.iter()), KAFKAS);
    assert_eq!(world.topics.digest(&world.image, [].iter()), 0, "no topic at all");
}
