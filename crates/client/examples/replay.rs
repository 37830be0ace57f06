//! Reads a topic again from a point in time up to its present end.
//!
//! `cargo run --example replay -- http://127.0.0.1:9095 numbers 1700000000000` (milliseconds since 1970)

use ottla_client::{Client, Isolation, Start, Timestamp};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(topic), Some(since)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: replay ADDRESS TOPIC MILLISECONDS".into());
    };
    let since = Start::At(Timestamp::from_millis(since.parse()?));
    let client = Client::connect(address).await?;
    let mut builder = client.consumer().isolation(Isolation::ReadCommitted).stop_at_end();
    for partition in client.admin().describe_topic(&topic).await?.partitions {
        builder = builder.partition(&*topic, partition.partition, since);
    }
    let mut consumer = builder.build()?;
    let mut count = 0;
    while let Some(record) = consumer.next().await.transpose()? {
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        println!(
            "{}\t{}\t{}\t{value}",
            record.timestamp.map_or(-1, Timestamp::millis),
            record.partition,
            record.offset
        );
        count += 1;
    }
    eprintln!("{count} records");
    Ok(())
}
