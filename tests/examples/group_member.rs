//! One member of a consumer group with the Rust client over gRPC: one line of JSON an event, until SIGTERM. What the events mean is said
//! in `tests/src/interop/member.rs`.
//!
//! `group_member BOOTSTRAP GROUP TOPIC PROTOCOL NAME`; the bootstrap is a list of `HOST:PORT` of API listeners, the protocol always
//! `consumer`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use ottla_client::{Client, GroupConsumer, GroupEvent, Offset, Start, TopicPartition};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// What was read is committed this often.
const COMMITTED_EVERY: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, group, topic, _consumer, name] = arguments.as_slice() else {
        return Err("usage: group_member BOOTSTRAP GROUP TOPIC PROTOCOL NAME".into());
    };
    let mut client = Client::builder()
        .connect_timeout(Duration::from_secs(1))
        .retry_backoff(Duration::from_millis(20), Duration::from_millis(100));
    for address in bootstrap.split(',') {
        client = client.bootstrap(format!("http://{address}"));
    }
    let client = client.connect().await?;
    let consumer = client.group(group.as_str()).topic(topic.as_str()).client_id(name.as_str());
    let mut consumer = consumer.start(Start::Earliest).manual_commit().build()?;
    let mut asked_to_stop = signal(SignalKind::terminate())?;
    let mut member = Member { topic, pending: BTreeMap::new(), commit_at: Instant::now() + COMMITTED_EVERY };
    loop {
        tokio::select! {
            event = consumer.next_event() => match event {
                Some(Ok(event)) => member.heard(&event),
                Some(Err(error)) if error.is_retriable() => say("retried", &json!({ "error": error.to_string() })),
                Some(Err(error)) => {
                    say("failed", &json!({ "error": error.to_string() }));
                    break;
                }
                None => break,
            },
            () = tokio::time::sleep_until(member.commit_at) => member.commit(&mut consumer).await,
            _ = asked_to_stop.recv() => break,
        }
    }
    consumer.close().await?;
    say("closed", &json!({}));
    Ok(())
}

struct Member<'a> {
    topic: &'a str,
    /// What was read and is not committed yet, of partitions that are ours; the next offset to read.
    pending: BTreeMap<i32, Offset>,
    commit_at: Instant,
}

impl Member<'_> {
    fn heard(&mut self, event: &GroupEvent) {
        match event {
            GroupEvent::Record(record) => {
                say("record", &json!({ "partition": record.partition, "offset": record.offset.get() }));
                self.pending.insert(record.partition, record.offset.next());
            }
            GroupEvent::Assigned(partitions) => {
                say("assigned", &json!({ "partitions": numbers(partitions) }))
            }
            GroupEvent::Revoking(partitions) | GroupEvent::Lost(partitions) => {
                let numbers = numbers(partitions);
                self.pending.retain(|partition, _| !numbers.contains(partition));
                say("revoked", &json!({ "partitions": numbers }));
            }
            _ => {}
        }
    }

    async fn commit(&mut self, consumer: &mut GroupConsumer) {
        self.commit_at = Instant::now() + COMMITTED_EVERY;
        if self.pending.is_empty() {
            return;
        }
        let offsets = self.pending.iter().map(|(partition, offset)| (self.topic, *partition, *offset));
        match consumer.commit_offsets(offsets).await {
            Ok(()) => {
                let offsets =
                    self.pending.iter().map(|(partition, offset)| (partition.to_string(), offset.get()));
                let offsets: BTreeMap<String, i64> = offsets.collect();
                say("committed", &json!({ "offsets": offsets }));
                self.pending.clear();
            }
            Err(error) => say("retried", &json!({ "error": error.to_string() })),
        }
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.partition).collect()
}

fn say(event: &str, rest: &Value) {
    let mut line = json!({ "event": event });
    if let (Some(line), Some(rest)) = (line.as_object_mut(), rest.as_object()) {
        line.extend(rest.clone());
    }
    println!("{line}");
}
