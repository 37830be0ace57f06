//! What operators ask of a cluster over Kafka's wire.

use ottla_wire::ErrorCode;
use ottla_wire::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use ottla_wire::messages::metadata_request::MetadataRequest;
use ottla_wire::messages::unregister_broker_request::UnregisterBrokerRequest;

use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preferred_replica_that_is_back_is_made_leader() {
    let mut cluster = Cluster::start(3).await;
    let topic = cluster.create("t", &[1, 2, 3]).await;
    cluster.client(1).await.publish(topic, "first").await;
    cluster.lose(1).await;
    assert_eq!(cluster.leader(topic), Some(2));
    let elect = ElectLeadersRequest {
        topic_partitions: Some(vec![TopicPartitions { topic: "t".to_owned(), partitions: vec![0] }]),
        timeout_ms: 10_000,
        ..Default::default()
    };
    let code = |response: ottla_wire::messages::elect_leaders_response::ElectLeadersResponse| {
        response.replica_election_results[0].partition_result[0].error_code
    };
    let mut client = cluster.client(3).await;
    assert_eq!(code(client.call(&elect, 2).await), ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE);
    cluster.start_broker(1).await;
    cluster.eventually("the old leader is in sync", |cluster| cluster.isr(topic) == [1, 2, 3]).await;
    assert_eq!(code(client.call(&elect, 2).await), ErrorCode::NONE);
    assert_eq!(cluster.leader(topic), Some(1));
    assert_eq!(code(client.call(&elect, 2).await), ErrorCode::ELECTION_NOT_NEEDED);
    cluster.settle().await;
    assert_eq!(cluster.client(1).await.publish(topic, "second").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_unregistered_once_it_is_gone() {
    let mut cluster = Cluster::start(2).await;
    let mut client = cluster.client(1).await;
    let unregister = |broker_id| UnregisterBrokerRequest { broker_id };
    assert_eq!(client.call(&unregister(9), 0).await.error_code, ErrorCode::BROKER_ID_NOT_REGISTERED);
    assert_eq!(client.call(&unregister(2), 0).await.error_code, ErrorCode::INVALID_REQUEST);
    cluster.lose(2).await;
    assert_eq!(client.call(&unregister(2), 0).await.error_code, ErrorCode::NONE);
    assert_eq!(cluster.image().brokers().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_shows_who_leads_and_who_is_missing() {
    let mut cluster = Cluster::start(3).await;
    cluster.create("t", &[1, 2]).await;
    cluster.create("alone", &[1]).await;
    cluster.lose(1).await;
    let mut client = cluster.client(3).await;
    let mut shown = async |version: i16| {
        // All of them; the oldest version spells that with an empty list.
        let topics = (version == 0).then(Vec::new);
        let response = client.call(&MetadataRequest { topics, ..Default::default() }, version).await;
        let brokers: Vec<_> = response.brokers.iter().map(|broker| broker.node_id).collect();
        let mut topics = String::new();
        for topic in &response.topics {
            let partition = &topic.partitions[0];
            topics += &format!(
                "{} {} leader {} replicas {:?} in sync {:?} offline {:?}; ",
                topic.name.as_deref().unwrap(),
                partition.error_code,
                partition.leader_id,
                partition.replica_nodes,
                partition.isr_nodes,
                partition.offline_replicas
            );
        }
        (brokers, topics)
    };
    let expected = "alone LEADER_NOT_AVAILABLE leader -1 replicas [1] in sync [1] offline [1]; \
                    t NONE leader 2 replicas [1, 2] in sync [2] offline [1]; ";
    // The dead one is listed for a moment more (ADR 0062).
    assert_eq!(shown(13).await, (vec![1, 2, 3], expected.to_owned()));
    let to_the_oldest = "alone LEADER_NOT_AVAILABLE leader -1 replicas [] in sync [] offline []; \
                         t REPLICA_NOT_AVAILABLE leader 2 replicas [2] in sync [2] offline []; ";
    assert_eq!(shown(0).await, (vec![1, 2, 3], to_the_oldest.to_owned()));
}
