//! A leader goes, another one leads, and what was acknowledged is there.

use std::time::Duration;

use ottla_wire::ErrorCode;
use ottla_wire::messages::metadata_request::MetadataRequest;

use crate::client::Client;
use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_its_leader_and_the_old_one_comes_back_in_sync() {
    let mut cluster = Cluster::start(3).await;
    let topic = cluster.create_with("t", &[1, 2, 3], &[("min.insync.replicas", "2")]).await;
    let mut client = cluster.client(1).await;
    for n in 0..10 {
        client.publish(topic, &format!("acknowledged {n}")).await;
    }
    // These never leave the first leader.
    cluster.set_gate(2, false);
    cluster.set_gate(3, false);
    for n in 0..3 {
        let lost = client.produce(topic, 1, &format!("lost {n}")).await;
        assert_eq!((lost.error_code, lost.base_offset), (ErrorCode::NONE, 10 + n));
    }
    cluster.lose(1).await;
    assert_eq!(cluster.leader(topic), Some(2));
    cluster.set_gate(2, true);
    cluster.set_gate(3, true);

    let mut client = cluster.client(2).await;
    let mut values: Vec<_> = (0..10).map(|n| (n, format!("acknowledged {n}"))).collect();
    cluster.committed_to(topic, 10, &[2, 3]).await;
    assert_eq!(client.read(topic).await, values);
    for n in 10..15 {
        assert_eq!(client.publish(topic, &format!("later {n}")).await, n);
        values.push((n, format!("later {n}")));
    }

    cluster.start_broker(1).await;
    cluster.eventually("the old leader is in sync again", |cluster| cluster.isr(topic) == [1, 2, 3]).await;
    cluster.committed_to(topic, 15, &[1, 2, 3]).await;
    // It leads again once the other two are gone, and has what they had.
    cluster.lose(2).await;
    cluster.lose(3).await;
    assert_eq!(cluster.leader(topic), Some(1));
    let mut client = cluster.client(1).await;
    cluster.committed_to(topic, 15, &[1]).await;
    assert_eq!(client.read(topic).await, values);
    let refused = client.produce(topic, -1, "alone").await;
    assert_eq!(refused.error_code, ErrorCode::NOT_ENOUGH_REPLICAS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_change_again_and_again_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start(3).await;
    let topic = cluster.create("t", &[1, 2, 3]).await;
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let leader = cluster.leader(topic).unwrap();
        let mut client = cluster.client(leader).await;
        for n in 0..5 {
            let value = format!("{round}.{n}");
            acknowledged.push((client.publish(topic, &value).await, value));
        }
        cluster.lose(leader).await;
        cluster.start_broker(leader).await;
        cluster.eventually("all are in sync", |cluster| cluster.isr(topic) == [1, 2, 3]).await;
    }
    let leader = cluster.leader(topic).unwrap();
    let end = acknowledged.last().unwrap().0 + 1;
    cluster.committed_to(topic, end, &[1, 2, 3]).await;
    assert_eq!(cluster.client(leader).await.read(topic).await, acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_the_wrong_broker_is_told_who_leads() {
    let cluster = Cluster::start(3).await;
    let topic = cluster.create("t", &[2, 3]).await;
    let epoch = cluster.partition(topic).leader_epoch.get();
    for wrong in [1, 3] {
        let mut client = cluster.client(wrong).await;
        let produced = client.produce_whole(topic, -1, "x").await;
        let partition = &produced.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!((partition.current_leader.leader_id, partition.current_leader.leader_epoch), (2, epoch));
        assert_eq!(produced.node_endpoints[0].node_id, 2);
    }
    let fetched = cluster.client(1).await.fetch_whole(topic, 0, 0).await;
    let partition = &fetched.responses[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!((partition.current_leader.leader_id, partition.current_leader.leader_epoch), (2, epoch));
    let endpoint = &fetched.node_endpoints[0];
    assert_eq!(endpoint.node_id, 2);
    let mut right =
        crate::client::Client::connect(format!("{}:{}", endpoint.host, endpoint.port).parse().unwrap()).await;
    assert_eq!(right.publish(topic, "x").await, 0);
}

/// ADR 0061: a broker whose fetch breaks names no leader, for a moment, and the leader again once it hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_sent_to_a_leader_that_has_just_hung_up() {
    let cluster = Cluster::start(2).await;
    let topic = cluster.create("t", &[1, 2]).await;
    cluster.client(1).await.publish(topic, "first").await;
    let mut client = cluster.client(2).await;
    let told = async |client: &mut Client| {
        let response = client.call(&MetadataRequest { topics: None, ..Default::default() }, 12).await;
        let partition = &response.topics[0].partitions[0];
        (partition.error_code, partition.leader_id)
    };
    let until = async |client: &mut Client, expected: (ErrorCode, i32)| {
        let told = async { while told(client).await != expected {} };
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    };
    assert_eq!(told(&mut client).await, (ErrorCode::NONE, 1));
    cluster.set_gate(2, false);
    // The answer waits for the next leader, and there is none.
    let refused = async {
        loop {
            let asked = tokio::time::Instant::now();
            let answer = told(&mut client).await;
            if answer == (ErrorCode::LEADER_NOT_AVAILABLE, -1) {
                return asked.elapsed();
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert!(waited > Duration::from_millis(100), "the first answer after the break came in {waited:?}");
    // The leader itself has no doubt.
    assert_eq!(told(&mut cluster.client(1).await).await, (ErrorCode::NONE, 1));
    // The metadata still has it for the leader: after a second it is believed again.
    until(&mut client, (ErrorCode::NONE, 1)).await;
    cluster.set_gate(2, true);
    cluster.client(1).await.publish(topic, "second").await;
    assert_eq!(told(&mut client).await, (ErrorCode::NONE, 1));
}
