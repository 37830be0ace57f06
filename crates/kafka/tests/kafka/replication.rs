//! Followers copy, and what is copied counts.

use std::time::Duration;

use ottla_node::coordination::metadata::{Command, CreateTopics, Layout, ManualAssignment, NewTopic};
use ottla_node::record::{BrokerId, PartitionIndex};
use ottla_wire::ErrorCode;
use ottla_wire::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};

use crate::client::FETCH_VERSION;
use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_in_sync_replicas_have_is_acknowledged_and_committed_on_each() {
    let cluster = Cluster::start(3).await;
    let topic = cluster.create("t", &[1, 2, 3]).await;
    let mut client = cluster.client(1).await;
    for n in 0..20 {
        assert_eq!(client.publish(topic, &format!("value {n}")).await, n);
    }
    assert_eq!(client.read(topic).await.len(), 20);
    cluster.committed_to(topic, 20, &[1, 2, 3]).await;
    assert_eq!(cluster.isr(topic), [1, 2, 3]);
    for follower in [2, 3] {
        assert!(
            cluster.view(follower, topic).flushed_end.get() == 20,
            "a copy counts once it is on the disk"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_that_a_follower_in_sync_does_not_have() {
    let cluster = Cluster::start(2).await;
    let topic = cluster.create("t", &[1, 2]).await;
    let mut client = cluster.client(1).await;
    client.publish(topic, "first").await;
    cluster.set_gate(2, false);
    let mut waiting = tokio::spawn(async move { client.publish(topic, "second").await });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "acknowledged without its follower: {early:?}");
    assert_eq!(cluster.client(1).await.read(topic).await.len(), 1, "nobody sees what is not committed");
    cluster.set_gate(2, true);
    assert_eq!(waiting.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_does_not_fetch_leaves_the_in_sync_set_and_comes_back_once_it_has_caught_up() {
    let cluster = Cluster::start_with(2, |_| vec![("replica.lag.time.max.ms", "300".to_owned())]).await;
    let topic = cluster.create("t", &[1, 2]).await;
    let mut client = cluster.client(1).await;
    client.publish(topic, "first").await;
    cluster.set_gate(2, false);
    // Answered once the leader waits for nobody.
    assert_eq!(client.publish(topic, "second").await, 1);
    assert_eq!(cluster.isr(topic), [1]);
    cluster.set_gate(2, true);
    cluster.eventually("the follower is in sync again", |cluster| cluster.isr(topic) == [1, 2]).await;
    cluster.committed_to(topic, 2, &[1, 2]).await;
    let page = cluster.node(1).metrics().encode();
    for sample in ["ottla_isr_shrinks_total 1", "ottla_isr_expands_total 1"] {
        assert!(page.lines().any(|line| line == sample), "{sample} is not in\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_that_are_in_sync_do_not_wait_for_one_that_catches_up() {
    let cluster = Cluster::start_with(2, |_| vec![("replica.lag.time.max.ms", "300".to_owned())]).await;
    let behind = cluster.create("behind", &[1, 2]).await;
    let mut client = cluster.client(1).await;
    cluster.set_gate(2, false);
    client.publish(behind, "first").await;
    assert_eq!(cluster.isr(behind), [1]);
    cluster.set_gate_for_those_in_sync(2);
    let steady = cluster.create("steady", &[1, 2]).await;
    for n in 0..10 {
        assert_eq!(client.publish(steady, &format!("{n}")).await, n);
    }
    cluster.committed_to(steady, 10, &[1, 2]).await;
    assert_eq!((cluster.isr(behind), cluster.isr(steady)), (vec![1], vec![1, 2]));
    cluster.set_gate(2, true);
    cluster.eventually("the other one is in sync too", |cluster| cluster.isr(behind) == [1, 2]).await;
    cluster.committed_to(behind, 1, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_partitions_of_a_leader_are_copied_by_one_fetch() {
    let cluster = Cluster::start(2).await;
    let places = (0..40).map(|partition| ManualAssignment {
        partition: PartitionIndex::new(partition),
        replicas: vec![BrokerId::new(1), BrokerId::new(2)],
    });
    let id = cluster.create("other", &[1, 2]).await;
    let topic = NewTopic {
        name: "wide".to_owned(),
        id: ottla_node::record::TopicId(cluster.node(1).random_uuid()),
        layout: Layout::Manual(places.collect()),
        configs: Vec::new(),
    };
    cluster.propose(Command::CreateTopics(CreateTopics { topics: vec![topic] }));
    cluster.settle().await;
    let mut client = cluster.client(1).await;
    let began = std::time::Instant::now();
    for n in 0..20 {
        client.publish(id, &format!("{n}")).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_replica_in_its_registration_is_given_what_is_not_committed() {
    let mut cluster = Cluster::start(3).await;
    let topic = cluster.create("t", &[2, 1]).await;
    // The second term, so that there is an older one.
    cluster.lose(2).await;
    cluster.start_broker(2).await;
    cluster.eventually("both are in sync", |cluster| cluster.isr(topic) == [1, 2]).await;
    let mut client = cluster.client(1).await;
    client.publish(topic, "first").await;
    let epoch = cluster.partition(topic).leader_epoch.get();
    let mut fetch = async |replica: i32, replica_epoch: i64, leader_epoch: i32| {
        let partition = FetchPartition {
            fetch_offset: 0,
            current_leader_epoch: leader_epoch,
            partition_max_bytes: 1 << 20,
            log_start_offset: 0,
            ..Default::default()
        };
        let wanted = FetchTopic { topic_id: topic.0, partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            replica_state: ReplicaState { replica_id: replica, replica_epoch },
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_epoch: -1,
            topics: vec![wanted],
            ..Default::default()
        };
        client.call(&request, FETCH_VERSION).await.responses[0].partitions[0].error_code
    };
    let (second, third) = (cluster.epoch(2).get(), cluster.epoch(3).get());
    assert_eq!(fetch(2, second - 1, epoch).await, ErrorCode::STALE_BROKER_EPOCH);
    assert_eq!(fetch(2, -1, epoch).await, ErrorCode::STALE_BROKER_EPOCH);
    assert_eq!(fetch(3, third, epoch).await, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(fetch(2, second, epoch - 1).await, ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(fetch(2, second, epoch + 1).await, ErrorCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(fetch(2, second, epoch).await, ErrorCode::NONE);
}
