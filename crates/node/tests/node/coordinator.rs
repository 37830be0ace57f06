//! Coordinators that must not answer: one whose partition cannot be read, one whose broker is out of its session.

use std::fs;
use std::path::PathBuf;

use ottla_node::coordination::group::request::{
    ClientFacts, CommitOffsets, CommitPartition, CommitTopic, FetchOffsets, Join, List, Protocol, TopicRef,
};
use ottla_node::coordination::group::{GroupId, Request, Response};
use ottla_node::{CoordinatorError, CoordinatorKey};
use ottla_record::Offset;

use super::*;

/// Asks again as clients do while a coordinator loads.
async fn ask(node: &Node, request: Request) -> Result<Response, CoordinatorError> {
    for _ in 0..1_000 {
        match node.group(request.clone()).await {
            Err(CoordinatorError::LoadInProgress) => tokio::time::sleep(Duration::from_millis(10)).await,
            answer => return answer,
        }
    }
    panic!("it loads for ever");
}

async fn commit(node: &Node, group: &str, offset: i64) {
    let partition = CommitPartition {
        partition: PartitionIndex::new(0),
        offset: Offset::new(offset),
        leader_epoch: None,
        metadata: None,
    };
    let topic = CommitTopic { topic: TopicRef::Name("t".into()), partitions: vec![partition] };
    let request = CommitOffsets {
        group: GroupId::new(group),
        member: None,
        instance: None,
        generation_or_epoch: None,
        knows_member_epochs: true,
        retention_ms: None,
        topics: vec![topic],
    };
    let answer = ask(node, Request::CommitOffsets(request)).await.unwrap();
    let Response::CommitOffsets(Ok(outcomes)) = answer else { panic!("{answer:?}") };
    assert!(outcomes[0].partitions[0].1.is_ok(), "{outcomes:?}");
}

async fn committed(node: &Node, group: &str) -> Result<i64, CoordinatorError> {
    let group = GroupId::new(group);
    let request = FetchOffsets { group, member: None, epoch: None, topics: None, require_stable: false };
    let Response::FetchOffsets(Ok(topics)) = ask(node, Request::FetchOffsets(request)).await? else {
        panic!("another answer");
    };
    Ok(topics[0].partitions[0].1.as_ref().unwrap().as_ref().unwrap().offset.get())
}

async fn listed(node: &Node) -> Vec<String> {
    let Response::List(groups) = ask(node, Request::List(List::default())).await.unwrap() else {
        panic!("another answer");
    };
    let mut names: Vec<String> = groups.into_iter().map(|listed| listed.group.to_string()).collect();
    names.sort_unstable();
    names
}

/// The log of the partition that a group lives in: the only ones that are not empty.
fn logs_with_records(broker: &Broker) -> Vec<PathBuf> {
    let folders = fs::read_dir(broker.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let of_groups = folders.filter(|path| path.to_str().unwrap().contains("__consumer_offsets-"));
    let logs = of_groups.map(|folder| folder.join("00000000000000000000.log"));
    logs.filter(|log| log.metadata().is_ok_and(|file| file.len() > 0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_a_partition_that_cannot_be_read_are_not_served_and_all_others_are() {
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create(&node, "t").await;
    for offset in 1..=3 {
        commit(&node, "broken", offset).await;
    }
    node.close().unwrap();
    drop(node);
    let log = logs_with_records(&broker).pop().unwrap();
    let sound = fs::read(&log).unwrap();

    // A bit of the first record. A start after a clean stop looks at the last batch alone, so the log opens.
    let mut damaged = sound.clone();
    damaged[70] ^= 1;
    fs::write(&log, &damaged).unwrap();
    let node = broker.restart().await;
    assert_eq!(committed(&node, "broken").await, Err(CoordinatorError::NotCoordinator));
    // It stays so: whoever asks looks for another coordinator, and is not told that there is nothing.
    assert_eq!(committed(&node, "broken").await, Err(CoordinatorError::NotCoordinator));
    commit(&node, "sound", 7).await;
    assert_eq!(committed(&node, "sound").await, Ok(7));
    assert_eq!(listed(&node).await, ["sound"]);
    node.close().unwrap();
    drop(node);

    // Restored from a copy, it is read, and what was committed is there.
    fs::write(&log, &sound).unwrap();
    let node = broker.restart().await;
    assert_eq!(committed(&node, "broken").await, Ok(3));
    assert_eq!(committed(&node, "sound").await, Ok(7));
    assert_eq!(listed(&node).await, ["broken", "sound"]);
    node.close().unwrap();
}

/// A new member of a new group, which waits `group.initial.rebalance.delay.ms` (3 s) for others.
fn join(group: &str) -> Request {
    Request::Join(Join {
        group: GroupId::new(group),
        member: None,
        instance: None,
        client: ClientFacts { client_id: "c".into(), host: "/127.0.0.1".into() },
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: Bytes::new() }],
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: Some(30_000),
        require_known_member: false,
        can_skip_assignment: true,
        reason: None,
        fresh: Uuid::from_random(random()),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_out_of_its_session_answers_as_no_coordinator_and_goes_on_when_it_is_renewed() {
    let broker = Broker::new();
    let node = broker.start().await;
    broker.create(&node, "t").await;
    let session = node.settings().config.sessions.session;
    let age = |age: Option<Duration>| *broker.plane.session_age.lock() = age;
    commit(&node, "g", 7).await;

    // Almost over: still the coordinator.
    age(Some(session - Duration::from_millis(50)));
    assert_eq!(committed(&node, "g").await, Ok(7));
    let mut waiting = std::pin::pin!(node.group(join("waits")));
    tokio::select! {
        biased;
        answer = &mut waiting => panic!("a first member waits for others, and has got {answer:?}"),
        () = std::future::ready(()) => {}
    }
    age(Some(session));
    // Who came before is told, and does not wait for the other members.
    let told = tokio::time::timeout(Duration::from_secs(2), waiting).await.unwrap();
    assert_eq!(told, Err(CoordinatorError::NotCoordinator));
    for over in [Some(session), Some(Duration::MAX), None] {
        age(over);
        assert_eq!(committed(&node, "g").await, Err(CoordinatorError::NotCoordinator), "{over:?}");
        assert_eq!(node.group(join("new")).await, Err(CoordinatorError::NotCoordinator), "{over:?}");
        let list = node.group(Request::List(List::default())).await;
        assert_eq!(list, Err(CoordinatorError::NotAvailable), "{over:?}");
        let found = node.coordinator(CoordinatorKey::Group("g")).await;
        assert_eq!(found, Err(CoordinatorError::NotAvailable), "{over:?}");
        // Epochs and in-sync sets guard these, not the session.
        produce(&node, 1, "t", "goes on").await;
    }
    assert_eq!(values(&node, "t").len(), 3);

    age(Some(Duration::ZERO));
    assert_eq!(committed(&node, "g").await, Ok(7));
    assert_eq!(node.coordinator(CoordinatorKey::Group("g")).await, Ok(BROKER));
    commit(&node, "g", 8).await;
    assert_eq!(committed(&node, "g").await, Ok(8));
    node.close().unwrap();
}
