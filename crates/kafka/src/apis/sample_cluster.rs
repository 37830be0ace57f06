//! A small cluster for the tests of conversions.

use ottla_node::coordination::metadata::{
    Command, CreateTopics, FormCluster, Image, Layout, NewTopic, PlacementSeed, RegisterBroker, Response,
    UnfenceBroker,
};
use ottla_record::{BrokerId, ClusterId, DirectoryId, Incarnation, TopicId, Uuid};

/// One broker, and topics of these names and numbers of partitions. A topic's id is [`id`] of its name.
pub(crate) fn cluster(topics: &[(&str, i32)]) -> Image {
    let mut image = Image::empty();
    let (broker, cluster) = (BrokerId::new(1), ClusterId(id("cluster")));
    image.apply(&Command::FormCluster(FormCluster { cluster }));
    let registered = image.apply(&Command::RegisterBroker(RegisterBroker {
        broker,
        incarnation: Incarnation(id("process")),
        cluster,
        directory: DirectoryId(id("directory")),
        endpoints: Vec::new(),
        rack: None,
        replaces: None,
    }));
    let Response::RegisterBroker(Ok(epoch)) = registered else { panic!("{registered:?}") };
    image.apply(&Command::UnfenceBroker(UnfenceBroker { broker, epoch }));
    let topics = topics
        .iter()
        .map(|(name, partitions)| NewTopic {
            name: (*name).to_owned(),
            id: TopicId(id(name)),
            layout: Layout::Placed { partitions: *partitions, replication_factor: 1, seed: PlacementSeed(0) },
            configs: Vec::new(),
        })
        .collect();
    let created = image.apply(&Command::CreateTopics(CreateTopics { topics }));
    let Response::CreateTopics(results) = created else { panic!("{created:?}") };
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    image
}

/// An id made of a word.
pub(crate) fn id(word: &str) -> Uuid {
    let mut bytes = [b'.'; 16];
    for (slot, byte) in bytes.iter_mut().zip(word.bytes()) {
        *slot = byte;
    }
    Uuid::from_bytes(bytes)
}
