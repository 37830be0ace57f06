//! Follows all partitions of a topic from their ends, and says when it has caught up.
//!
//! `cargo run --example tail -- http://127.0.0.1:9095 numbers`

use ottla_client::{Client, ConsumerRecord, Event, OutOfRange, Start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(topic)) = (arguments.next(), arguments.next()) else {
        return Err("usage: tail ADDRESS TOPIC".into());
    };
    let client = Client::connect(address).await?;
    let mut builder = client.consumer().on_out_of_range(OutOfRange::Earliest);
    for partition in client.admin().describe_topic(&topic).await?.partitions {
        builder = builder.partition(&*topic, partition.partition, Start::Latest);
    }
    let mut consumer = builder.build()?;
    while let Some(event) = consumer.next_event().await {
        match event {
            Ok(Event::Record(record)) => print(&record),
            Ok(Event::End { partition, offset, .. }) => {
                eprintln!("{topic}-{partition}: caught up at {offset}");
            }
            Ok(_) => {}
            // The consumer goes on by itself where that can help; it says so after a minute without a broker.
            Err(error) if error.is_retriable() => eprintln!("{error}; going on"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn print(record: &ConsumerRecord) {
    let text =
        |bytes: Option<&[u8]>| bytes.map_or("NULL".into(), |b| String::from_utf8_lossy(b).into_owned());
    let (key, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
    println!("{}-{} @ {}: {key} = {value}", record.topic, record.partition, record.offset);
}
