//! Creates a topic, publishes a record, and reads it back: `cargo run --example quick_start -- http://127.0.0.1:9095`

use ottla_client::{Client, NewTopic, ProducerRecord, Start};

#[tokio::main]
async fn main() -> Result<(), ottla_client::Error> {
    let address = std::env::args().nth(1).unwrap_or("http://127.0.0.1:9095".into());
    let client = Client::connect(address).await?;
    client.admin().create_topic(NewTopic::named("notes").partitions(1)).await?;

    let producer = client.producer().build()?;
    let delivery = producer.publish(ProducerRecord::to("notes").key("en").value("hello")).await?;
    println!("written to {}-{} at {}", delivery.topic, delivery.partition, delivery.offset);
    producer.close().await?;

    let mut consumer = client.consumer().partition("notes", 0, Start::Earliest).stop_at_end().build()?;
    while let Some(record) = consumer.next().await.transpose()? {
        println!("read {:?} at {}", record.value.unwrap_or_default(), record.offset);
    }
    Ok(())
}
