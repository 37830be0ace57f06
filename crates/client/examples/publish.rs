//! Publishes the lines of standard input, compressed, many on their way at once; a tab ends the key.
//!
//! `seq 100000 | cargo run --example publish -- http://127.0.0.1:9095 numbers`

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use ottla_client::{Client, Codec, ProducerRecord, Sent};
use tokio::sync::mpsc;

/// Deliveries that may be awaited at once; what lies in the producer's buffer is bounded by the producer itself.
const AWAITED: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(topic)) = (arguments.next(), arguments.next()) else {
        return Err("usage: publish ADDRESS TOPIC".into());
    };
    let client = Client::connect(address).await?;
    let producer =
        client.producer().compression(Codec::Lz4).delivery_timeout(Duration::from_secs(30)).build()?;
    let (deliveries, delivered) = mpsc::channel(AWAITED);
    let counter = tokio::spawn(count(delivered));
    let begin = Instant::now();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let record = ProducerRecord::to(&*topic);
        let record = match line.split_once('\t') {
            Some((key, value)) => record.key(key.to_owned()).value(value.to_owned()),
            None => record.value(line),
        };
        // Waits when the buffer is full: lines are read no faster than they can be sent.
        deliveries.send(producer.send(record).await?).await?;
    }
    drop(deliveries);
    producer.flush().await?;
    let (written, failed) = counter.await?;
    producer.close().await?;
    println!("{written} records written in {:.1?}, {failed} failed", begin.elapsed());
    if failed > 0 { Err("not everything was written".into()) } else { Ok(()) }
}

/// Awaits the deliveries in the order of the lines; how many succeeded, and how many did not.
async fn count(mut deliveries: mpsc::Receiver<Sent>) -> (usize, usize) {
    let (mut written, mut failed) = (0, 0);
    while let Some(sent) = deliveries.recv().await {
        match sent.await {
            Ok(_) => written += 1,
            Err(error) => {
                failed += 1;
                eprintln!("{error} (another try may help: {})", error.is_retriable());
            }
        }
    }
    (written, failed)
}
