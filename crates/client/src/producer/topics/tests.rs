use std::time::Duration;

use ottla_record::{Codec, Timestamp};

use super::*;
use crate::backoff::Backoff;
use crate::record::ProducerRecord;

fn limits() -> Limits {
    Limits {
        linger: Duration::ZERO,
        batch_bytes: 100,
        max_in_flight: 5,
        delivery_timeout: Duration::from_secs(10),
        topic_timeout: Duration::from_secs(5),
        topic_max_age: Duration::from_secs(300),
        backoff: Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) },
        codec: Codec::None,
        idempotent: true,
    }
}

fn pending(record: ProducerRecord) -> Pending<()> {
    let timestamp = Timestamp::from_millis(1);
    Pending { record, timestamp, waiter: (), created: Monotonic::ZERO, generation: 0 }
}

#[test]
fn keys_go_where_kafkas_client_puts_them() {
    // Computed by Kafka's `Utils.toPositive(Utils.murmur2(key)) % 6`; the hash itself is tested where it is written.
    let mut topic = Topic::new();
    topic.known(6, Monotonic::ZERO, &limits());
    let partition =
        topic.partition(&pending(ProducerRecord::to("t").key("foobar")), &limits(), &mut Random::seeded(1));
    assert_eq!(partition, Some(0));
}

#[test]
fn the_sticky_partition_changes_after_a_batch_and_never_to_itself() {
    let mut topic = Topic::new();
    let mut random = Random::seeded(1);
    topic.known(3, Monotonic::ZERO, &limits());
    let record = pending(ProducerRecord::to("t").value(vec![0; 29]));
    let chosen: Vec<i32> =
        (0..400).map(|_| topic.partition(&record, &limits(), &mut random).unwrap()).collect();
    // Two records of 50 bytes make a batch of 100.
    let batches: Vec<&[i32]> = chosen.chunks(2).collect();
    assert!(batches.iter().all(|batch| batch[0] == batch[1]));
    assert!(batches.windows(2).all(|pair| pair[0] != pair[1]), "{chosen:?}");
    for partition in 0..3 {
        let share = chosen.iter().filter(|chosen| **chosen == partition).count();
        assert!((90..180).contains(&share), "{partition} got {share} of 400");
    }
}

#[test]
fn one_partition_is_enough() {
    let mut topic = Topic::new();
    let mut random = Random::seeded(1);
    topic.known(1, Monotonic::ZERO, &limits());
    let record = pending(ProducerRecord::to("t").value(vec![0; 200]));
    assert!((0..10).all(|_| topic.partition(&record, &limits(), &mut random) == Some(0)));
}
