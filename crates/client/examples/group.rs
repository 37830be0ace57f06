//! Reads a topic as a member of a group, and commits every ten records and before partitions are given back. Start several.
//!
//! `cargo run --example group -- http://127.0.0.1:9095 billing orders`

use ottla_client::{Client, ConsumerRecord, GroupConsumer, GroupEvent};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(group), Some(topic)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: group ADDRESS GROUP TOPIC".into());
    };
    let client = Client::connect(address).await?;
    let mut consumer = client.group(group).topic(topic).manual_commit().client_id("example").build()?;
    tokio::select! {
        read = read(&mut consumer) => read?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    // What was printed is committed, and the others need not wait for this member's session to end.
    consumer.commit().await?;
    consumer.close().await?;
    Ok(())
}

async fn read(consumer: &mut GroupConsumer) -> Result<(), ottla_client::Error> {
    let mut uncommitted = 0;
    while let Some(event) = consumer.next_event().await {
        match event {
            Ok(GroupEvent::Record(record)) => {
                print(&record);
                uncommitted += 1;
                if uncommitted == 10 {
                    consumer.commit().await?;
                    uncommitted = 0;
                }
            }
            Ok(GroupEvent::Assigned(partitions)) => eprintln!("assigned {}", list(&partitions)),
            Ok(GroupEvent::Revoking(partitions)) => {
                eprintln!("revoking {}", list(&partitions));
                // The next owner begins behind what is committed here.
                consumer.commit().await?;
            }
            Ok(GroupEvent::Lost(partitions)) => eprintln!("lost {}", list(&partitions)),
            Ok(_) => {}
            // The consumer joins again by itself where that can help.
            Err(error) if error.is_retriable() => eprintln!("{error}; going on"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn list(partitions: &[ottla_client::TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn print(record: &ConsumerRecord) {
    let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    println!("{} {} {value}", record.partition, record.offset);
}
