//! What `tests/clients/history_writer.py` does, with the Rust client over gRPC: publishes rising numbers at a steady rate until its
//! standard input ends, and says what became of each.
//!
//! `history_writer BOOTSTRAP TOPIC NAME PARTITIONS PER_SECOND`; the bootstrap is a list of `HOST:PORT` of API listeners.

use std::error::Error;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_client::{Client, ProducerRecord, Sent};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// What is on its way at once, as long as no broker takes it: two minutes of it.
const ON_THEIR_WAY: usize = 1 << 16;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, name, partitions, per_second] = arguments.as_slice() else {
        return Err("usage: history_writer BOOTSTRAP TOPIC NAME PARTITIONS PER_SECOND".into());
    };
    let (partitions, per_second): (u64, u32) = (partitions.parse()?, per_second.parse()?);
    let stopped = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let stopped = Arc::clone(&stopped);
        move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stopped.store(true, Ordering::Relaxed);
        }
    });

    let mut client = Client::builder()
        .connect_timeout(Duration::from_secs(1))
        .retry_backoff(Duration::from_millis(20), Duration::from_millis(100));
    for address in bootstrap.split(',') {
        client = client.bootstrap(format!("http://{address}"));
    }
    let client = client.connect().await?;
    let producer = client
        .producer()
        .linger(Duration::from_millis(1))
        .delivery_timeout(Duration::from_secs(120))
        .build()?;
    let (deliveries, delivered) = mpsc::channel(ON_THEIR_WAY);
    let told = tokio::spawn(tell(delivered));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while !stopped.load(Ordering::Relaxed) {
        ticks.tick().await;
        let partition = i32::try_from(sent % partitions)?;
        let record = ProducerRecord::to(topic.as_str()).partition(partition).value(format!("{name}-{sent}"));
        let delivery = producer.send(record).await?;
        deliveries.send((sent, partition, delivery)).await?;
        sent += 1;
    }
    drop(deliveries);
    producer.flush().await?;
    told.await?;
    println!("sent {sent}");
    Ok(())
}

/// Each delivery is told when it is known: those of one partition come in order, but none waits for another partition's.
async fn tell(mut delivered: mpsc::Receiver<(u64, i32, Sent)>) {
    let mut on_their_way = tokio::task::JoinSet::new();
    while let Some((number, partition, delivery)) = delivered.recv().await {
        on_their_way.spawn(async move {
            match delivery.await {
                Ok(delivery) => println!("acked {number} {partition} {}", delivery.offset),
                Err(error) => println!("unknown {number} {partition} {error}"),
            }
        });
        while on_their_way.try_join_next().is_some() {}
    }
    on_their_way.join_all().await;
}
