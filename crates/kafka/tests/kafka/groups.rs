//! Group coordinators go with their partitions.

use ottla_wire::ErrorCode;
use ottla_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_wire::messages::find_coordinator_response::Coordinator;
use ottla_wire::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};

use crate::cluster::{Cluster, PATIENCE};

const GROUP: &str = "readers";

async fn find(cluster: &Cluster, asked: i32) -> Coordinator {
    let request = FindCoordinatorRequest {
        key_type: 0,
        coordinator_keys: vec![GROUP.to_owned()],
        ..Default::default()
    };
    cluster.client(asked).await.call(&request, 4).await.coordinators.remove(0)
}

async fn commit(cluster: &Cluster, coordinator: i32, offset: i64) -> ErrorCode {
    let partition = OffsetCommitRequestPartition { committed_offset: offset, ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: GROUP.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = cluster.client(coordinator).await.call(&request, 9).await;
    response.topics[0].partitions[0].error_code
}

async fn committed(cluster: &Cluster, coordinator: i32) -> Result<i64, ErrorCode> {
    let group = OffsetFetchRequestGroup {
        group_id: GROUP.to_owned(),
        member_epoch: -1,
        topics: Some(vec![OffsetFetchRequestTopics {
            name: "t".to_owned(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let response = cluster.client(coordinator).await.call(&request, 9).await;
    let group = &response.groups[0];
    if group.error_code.is_error() {
        Err(group.error_code)
    } else {
        Ok(group.topics[0].partitions[0].committed_offset)
    }
}

/// Asks until the coordinator has loaded.
async fn once_loaded<T>(mut ask: impl AsyncFnMut() -> Result<T, ErrorCode>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(error.is_retriable() && tokio::time::Instant::now() < deadline, "{error}");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_offset_outlives_its_coordinator() {
    let mut cluster = Cluster::start(3).await;
    cluster.create("t", &[1, 2, 3]).await;
    let first = find(&cluster, 1).await;
    assert_eq!(first.error_code, ErrorCode::NONE);
    for asked in [2, 3] {
        assert_eq!(find(&cluster, asked).await.node_id, first.node_id, "all brokers say the same");
    }
    let image = cluster.image();
    let replicas = image.topic("__consumer_offsets").unwrap().replication_factor();
    assert_eq!(replicas, 3);
    drop(image);
    once_loaded(async || match commit(&cluster, first.node_id, 42).await {
        ErrorCode::NONE => Ok(()),
        error => Err(error),
    })
    .await;
    let wrong = (1..=3).find(|id| *id != first.node_id).unwrap();
    assert_eq!(committed(&cluster, wrong).await, Err(ErrorCode::NOT_COORDINATOR));

    cluster.lose(first.node_id).await;
    let second = find(&cluster, wrong).await;
    assert_ne!(second.node_id, first.node_id);
    assert_eq!(once_loaded(async || committed(&cluster, second.node_id).await).await, 42);
    once_loaded(async || match commit(&cluster, second.node_id, 43).await {
        ErrorCode::NONE => Ok(()),
        error => Err(error),
    })
    .await;

    // The first one is back, and knows what it missed, once it leads again.
    cluster.start_broker(first.node_id).await;
    cluster
        .eventually("all are in sync", |cluster| {
            let image = cluster.image();
            let topic = image.topic("__consumer_offsets").unwrap();
            topic.partitions().all(|(_, partition)| partition.isr.len() == 3)
        })
        .await;
    cluster.lose(second.node_id).await;
    let alive = (1..=3).find(|id| *id != second.node_id).unwrap();
    let third = find(&cluster, alive).await;
    assert_eq!(once_loaded(async || committed(&cluster, third.node_id).await).await, 43);
}
