use ottla_coordination::metadata::{
    CreatePartitions, CreateTopics, DeleteTopics, FormCluster, Layout, NewPartitions, NewTopic,
    PlacementSeed, RegisterBroker, UnfenceBroker,
};
use ottla_record::{BrokerId, ClusterId, DirectoryId, Incarnation, TopicId, Uuid};

use super::*;

fn id(n: u8) -> Uuid {
    Uuid::from_random([n; 16])
}

fn one_broker() -> Image {
    let mut image = Image::empty();
    image.apply(&Command::FormCluster(FormCluster { cluster: ClusterId(id(1)) }));
    image.apply(&Command::RegisterBroker(RegisterBroker {
        broker: BrokerId::new(1),
        incarnation: Incarnation(id(2)),
        cluster: ClusterId(id(1)),
        directory: DirectoryId(id(3)),
        endpoints: Vec::new(),
        rack: None,
        replaces: None,
    }));
    let broker = BrokerId::new(1);
    let epoch = image.broker(broker).unwrap().epoch;
    image.apply(&Command::UnfenceBroker(UnfenceBroker { broker, epoch }));
    image
}

fn create(number: u8) -> Command {
    let layout = Layout::Placed { partitions: 2, replication_factor: 1, seed: PlacementSeed(0) };
    let topic = NewTopic { name: "orders".into(), id: TopicId(id(number)), layout, configs: Vec::new() };
    Command::CreateTopics(CreateTopics { topics: vec![topic] })
}

/// What the caller is told of a command that was decided twice.
fn twice(command: &Command, before: &Image) -> Response {
    let mut after = before.clone();
    after.apply(command);
    let response = after.apply(command);
    settle(command, before, &after, response)
}

#[test]
fn what_the_first_try_did_is_what_was_asked_for() {
    let before = one_broker();
    let once = before.preview(&create(7));
    assert!(matches!(&once, Response::CreateTopics(results) if results[0].is_ok()), "{once:?}");
    assert_eq!(twice(&create(7), &before), once);

    let mut before = before;
    before.apply(&create(7));
    let grow = Command::CreatePartitions(CreatePartitions {
        topics: vec![NewPartitions {
            topic: "orders".into(),
            count: 5,
            assignments: None,
            seed: PlacementSeed(0),
        }],
    });
    assert_eq!(twice(&grow, &before), before.preview(&grow));
    for topic in [TopicSelector::Name("orders".into()), TopicSelector::Id(TopicId(id(7)))] {
        let delete = Command::DeleteTopics(DeleteTopics { topics: vec![topic] });
        assert_eq!(twice(&delete, &before), before.preview(&delete));
    }
}

#[test]
fn what_others_did_is_refused_as_ever() {
    let mut before = one_broker();
    before.apply(&create(7));
    let other = twice(&create(8), &before);
    assert!(
        matches!(&other, Response::CreateTopics(results) if matches!(results[0], Err(CreateTopicError::Exists(_)))),
        "{other:?}"
    );
    let same = Command::CreatePartitions(CreatePartitions {
        topics: vec![NewPartitions {
            topic: "orders".into(),
            count: 2,
            assignments: None,
            seed: PlacementSeed(0),
        }],
    });
    assert_eq!(twice(&same, &before), before.preview(&same));
    let missing = DeleteTopics { topics: vec![TopicSelector::Name("nothing".into())] };
    let missing = Command::DeleteTopics(missing);
    assert_eq!(twice(&missing, &before), before.preview(&missing));
}
