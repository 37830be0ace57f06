//! A coordinator whose partition cannot be read.

use std::fs;
use std::path::PathBuf;

use ottla_node::CoordinatorError;
use ottla_node::coordination::group::request::{
    CommitOffsets, CommitPartition, CommitTopic, FetchOffsets, List, TopicRef,
};
use ottla_node::coordination::group::{GroupId, Request, Response};
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
