//! Consumers read from the replica in their rack.

use ottla_wire::ErrorCode;

use crate::client::values;
use crate::cluster::Cluster;

const SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

/// Brokers 1, 2 in racks r1, r2.
async fn racks() -> Cluster {
    Cluster::start_with(2, |id| {
        vec![("broker.rack", format!("r{id}")), ("replica.selector.class", SELECTOR.to_owned())]
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_sent_to_the_replica_in_its_rack_and_served_there() {
    let cluster = racks().await;
    let topic = cluster.create("t", &[1, 2]).await;
    let mut producer = cluster.client(1).await;
    producer.publish(topic, "first").await;

    let mut far = cluster.client(1).await;
    far.rack = "r2".to_owned();
    let sent = far.fetch(topic, 0).await;
    assert_eq!((sent.error_code, sent.preferred_read_replica), (ErrorCode::NONE, 2));
    assert!(values(&sent).is_empty(), "it reads there what it would read twice");

    let mut near = cluster.client(2).await;
    near.rack = "r2".to_owned();
    cluster.committed_to(topic, 1, &[2]).await;
    let served = near.fetch(topic, 0).await;
    assert_eq!((served.preferred_read_replica, values(&served)), (-1, vec![(0, "first".to_owned())]));

    // A record that comes is seen at once, though nothing comes behind it that would bring its mark along.
    let waiting = tokio::spawn(async move {
        let began = std::time::Instant::now();
        let fetched = near.fetch_whole(topic, 1, 20_000).await;
        (values(&fetched.responses[0].partitions[0]), began.elapsed())
    });
    producer.publish(topic, "second").await;
    let (read, _took) = waiting.await.unwrap();
    assert_eq!(read, [(1, "second".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_near_the_leader_or_to_nobody_stays() {
    let cluster = racks().await;
    let topic = cluster.create("t", &[1, 2]).await;
    let mut client = cluster.client(1).await;
    client.publish(topic, "first").await;
    for rack in ["", "r1", "r3"] {
        client.rack = rack.to_owned();
        let fetched = client.fetch(topic, 0).await;
        assert_eq!((fetched.preferred_read_replica, values(&fetched).len()), (-1, 1), "rack {rack:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_does_not_show_what_is_not_committed() {
    let cluster = racks().await;
    let topic = cluster.create("t", &[1, 2]).await;
    let mut client = cluster.client(1).await;
    client.publish(topic, "first").await;
    cluster.committed_to(topic, 1, &[2]).await;
    let mut near = cluster.client(2).await;
    let beyond = near.fetch(topic, 2).await;
    assert_eq!(beyond.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    let end = near.fetch(topic, 1).await;
    assert_eq!((end.error_code, end.high_watermark), (ErrorCode::NONE, 1));
}
