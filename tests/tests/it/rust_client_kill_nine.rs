//! `kill -9`, thirty times, under the Rust client's producer and consumer: what was acknowledged is there, once, in order,
//! and read so; and nothing takes longer than its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use it::batch::noise;
use it::broker::{Kind, Spec};
use ottla_client::{ByteSize, Client, Codec, Delivery, Error, NewTopic, ProducerRecord, Start};
use tokio::sync::mpsc;

const TOPIC: &str = "killed";
const PARTITIONS: i32 = 2;
const KILLS: u32 = 30;
const DEADLINE: Duration = Duration::from_secs(30);
/// What a busy machine may add to a deadline.
const GRACE: Duration = Duration::from_secs(5);

#[test]
fn thirty_kills_lose_and_double_nothing_and_no_call_hangs() {
    if Kind::under_test() == Kind::Kafka {
        return;
    }
    let mut broker = Spec::under_test().set("log.segment.bytes", 1 << 20).start();
    // A restart after a kill says what it cut off.
    broker.expect_log(&format!("{TOPIC}-"));
    let address = format!("http://{}", broker.api_address());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(async {
        let builder = Client::builder().bootstrap(address);
        let client = builder
            .retry_backoff(Duration::from_millis(10), Duration::from_millis(100))
            .request_timeout(DEADLINE)
            .connect()
            .await
            .unwrap();
        client.admin().create_topic(NewTopic::named(TOPIC).partitions(PARTITIONS)).await.unwrap();
        client
    });
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let read = Arc::new(AtomicU64::new(0));
    let publishing = runtime.spawn(publish(client.clone(), stop.clone(), acknowledged.clone()));
    let reading: Vec<_> = (0..PARTITIONS)
        .map(|partition| runtime.spawn(follow(client.clone(), partition, read.clone())))
        .collect();
    let asking = runtime.spawn(ask(client.clone(), stop.clone()));
    for round in 0..KILLS {
        for progress in [&acknowledged, &read] {
            let before = progress.load(Ordering::Relaxed);
            it::wait::until("records to go on", Duration::from_secs(60), || {
                Ok((progress.load(Ordering::Relaxed) > before + 100).then_some(()))
            })
            .unwrap();
        }
        // Not always at the same moment of a producer's cycle.
        std::thread::sleep(Duration::from_millis(u64::from(noise(2, u64::from(round))[0])));
        broker.kill();
        broker.restart();
    }
    stop.store(true, Ordering::Relaxed);
    let deliveries = runtime.block_on(publishing).unwrap();
    runtime.block_on(asking).unwrap();
    for (partition, reading) in (0..PARTITIONS).zip(reading) {
        // The reader stops at the last number of its partition.
        let numbers = runtime.block_on(reading).unwrap();
        let sent = deliveries.iter().filter(|(number, _)| (number % PARTITIONS as u64) as i32 == partition);
        let expected: Vec<(u64, i64)> =
            sent.map(|(number, delivery)| (*number, delivery.offset.get())).collect();
        assert_eq!(
            numbers, expected,
            "partition {partition}: what was read is what was acknowledged, in order"
        );
        let offsets: Vec<i64> = numbers.iter().map(|(_, offset)| *offset).collect();
        assert!(
            offsets.into_iter().eq(0..numbers.len() as i64),
            "partition {partition}: nothing else is there"
        );
    }
    eprintln!("{KILLS} kills, {} records", deliveries.len());
}

/// Rising numbers, number i to partition i % PARTITIONS, until told to stop; the number past the last one of each partition
/// is its end mark. Returns where each was written.
async fn publish(
    client: Client,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> Vec<(u64, Delivery)> {
    let producer = client
        .producer()
        .compression(Codec::Lz4)
        .linger(Duration::from_millis(1))
        .batch_size(ByteSize::bytes(600))
        .buffer(ByteSize::kib(64))
        .delivery_timeout(DEADLINE)
        .build()
        .unwrap();
    let (sents, mut waiting) = mpsc::channel(100_000);
    let counting = tokio::spawn(async move {
        let mut deliveries = Vec::new();
        while let Some((number, begin, sent)) = waiting.recv().await {
            let sent: ottla_client::Sent = sent;
            let delivery = sent.await.unwrap_or_else(|error| panic!("record {number}: {error}"));
            let took = Instant::now().duration_since(begin);
            assert!(took < DEADLINE + GRACE, "record {number} took {took:?}");
            deliveries.push((number, delivery));
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        deliveries
    });
    for number in 0u64.. {
        let last = stop.load(Ordering::Relaxed) && number % PARTITIONS as u64 == 0;
        let count = if last { PARTITIONS as u64 } else { 1 };
        for number in number..number + count {
            let value = if last { format!("end {number}") } else { format!("number {number}") };
            let record =
                ProducerRecord::to(TOPIC).partition((number % PARTITIONS as u64) as i32).value(value);
            let begin = Instant::now();
            let sent = producer.send(record).await.unwrap();
            assert!(begin.elapsed() < DEADLINE + GRACE, "waiting for room took {:?}", begin.elapsed());
            sents.send((number, begin, sent)).await.unwrap();
        }
        if last {
            break;
        }
        if number % 8 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    drop(sents);
    let deliveries = counting.await.unwrap();
    producer.close().await.unwrap();
    deliveries
}

/// Reads a partition from its start to its end mark, over all restarts: numbers and offsets.
async fn follow(client: Client, partition: i32, read: Arc<AtomicU64>) -> Vec<(u64, i64)> {
    let mut consumer = client.consumer().partition(TOPIC, partition, Start::Earliest).build().unwrap();
    let mut seen = Vec::new();
    loop {
        let record = consumer.next().await.unwrap().unwrap();
        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        let (kind, number) = value.split_once(' ').unwrap();
        seen.push((number.parse().unwrap(), record.offset.get()));
        read.fetch_add(1, Ordering::Relaxed);
        if kind == "end" {
            return seen;
        }
    }
}

/// Asks the cluster again and again; each call succeeds, or ends by its deadline.
async fn ask(client: Client, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let outcome = client.admin().describe_topic(TOPIC).await;
        assert!(begin.elapsed() < DEADLINE + GRACE, "a call took {:?}", begin.elapsed());
        if let Err(error) = outcome {
            assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
