//! One member of a consumer group with rust-rdkafka: one line of JSON an event, until SIGTERM.
//!
//! usage: `member BOOTSTRAP GROUP TOPIC PROTOCOL NAME`; what the events mean is said in tests/src/interop/member.rs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde_json::json;

/// What was read and is not committed yet, of partitions that are ours: a rebalance may refuse a commit for a while.
#[derive(Default)]
struct Listener {
    pending: Mutex<BTreeMap<i32, i64>>,
}

impl ClientContext for Listener {}

impl ConsumerContext for Listener {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let gone: Vec<i32> = partitions.elements().iter().map(|one| one.partition()).collect();
            self.pending.lock().expect("no panic").retain(|partition, _| !gone.contains(partition));
            tell("revoked", partitions);
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => tell("assigned", partitions),
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => println!("{}", json!({"event": "failed", "error": error.to_string()})),
        }
    }
}

fn tell(event: &str, partitions: &TopicPartitionList) {
    let mut partitions: Vec<i32> = partitions.elements().iter().map(|one| one.partition()).collect();
    partitions.sort_unstable();
    println!("{}", json!({"event": event, "partitions": partitions}));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, group, topic, protocol, name] = &arguments[..] else {
        panic!("usage: member BOOTSTRAP GROUP TOPIC PROTOCOL NAME");
    };
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stopped.clone()).expect("a handler");
    let consumer = consumer(bootstrap, group, protocol, name);
    consumer.subscribe(&[topic]).expect("a subscription");
    while !stopped.load(Ordering::Relaxed) {
        step(&consumer, topic);
    }
    // Leaves the group and waits for it.
    drop(consumer);
    println!("{}", json!({"event": "closed"}));
}

fn consumer(bootstrap: &str, group: &str, protocol: &str, name: &str) -> BaseConsumer<Listener> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group).set("client.id", name);
    config.set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    if protocol == "consumer" {
        // Timeouts and the assignor are the broker's in this protocol.
        config.set("group.protocol", "consumer");
    } else {
        // A static member has this long to come back.
        let session = if protocol == "static" { "10000" } else { "4000" };
        config.set("session.timeout.ms", session).set("heartbeat.interval.ms", "500");
        let assignor = if protocol == "cooperative" { "cooperative-sticky" } else { "range" };
        config.set("partition.assignment.strategy", assignor);
    }
    if protocol == "static" {
        config.set("group.instance.id", name);
    }
    config.create_with_context(Listener::default()).expect("a consumer")
}

/// Reads for a tenth of a second, then commits what was read.
fn step(consumer: &BaseConsumer<Listener>, topic: &str) {
    let pending = &consumer.context().pending;
    let end = Instant::now() + Duration::from_millis(100);
    while let Some(message) = consumer.poll(end.saturating_duration_since(Instant::now())) {
        match message {
            Ok(message) => {
                let (partition, offset) = (message.partition(), message.offset());
                println!("{}", json!({"event": "record", "partition": partition, "offset": offset}));
                pending.lock().expect("no panic").insert(partition, offset + 1);
            }
            Err(error) => {
                // librdkafka tells of it and connects again by itself.
                let is_lost = error.rdkafka_error_code() == Some(RDKafkaErrorCode::BrokerTransportFailure);
                let event = if is_lost { "disconnected" } else { "failed" };
                println!("{}", json!({"event": event, "error": error.to_string()}));
            }
        }
    }
    let next = pending.lock().expect("no panic").clone();
    if next.is_empty() {
        return;
    }
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in &next {
        offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("a valid offset");
    }
    match consumer.commit(&offsets, CommitMode::Sync) {
        Ok(()) => {
            println!("{}", json!({"event": "committed", "offsets": next}));
            pending.lock().expect("no panic").clear();
        }
        Err(error) => println!("{}", json!({"event": "retried", "error": error.to_string()})),
    }
}
