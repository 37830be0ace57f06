//! `ottla-client` against the broker: publishing, reading, administration, and what each says when something is wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use it::broker::{Broker, Kind, Spec};
use ottla_client::{
    ByteSize, Client, Codec, ConfigChanges, ConfigResource, ConfigSource, ConsumerRecord, Error, Event,
    Isolation, NewTopic, Offset, OutOfRange, ProducerRecord, Start, Timestamp,
};

/// Longer than anything here takes, shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test with a client of a fresh broker. Kafka has no gRPC, so there is nothing to hold against it.
fn with_broker<F: Future<Output = ()>>(spec: Spec, test: impl FnOnce(Arc<Broker>, Client) -> F) {
    if spec.kind == Kind::Kafka {
        return;
    }
    let broker = Arc::new(spec.start());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::connect(format!("http://{}", broker.api_address())).await.unwrap();
        tokio::time::timeout(PATIENCE, test(broker.clone(), client)).await.expect("no call hangs");
    });
}

async fn create(client: &Client, topic: &str, partitions: i32) {
    client.admin().create_topic(NewTopic::named(topic).partitions(partitions)).await.unwrap();
}

/// Everything in a partition, up to its present end.
async fn read_all(client: &Client, topic: &str, partition: i32) -> Vec<ConsumerRecord> {
    let builder = client.consumer().partition(topic, partition, Start::Earliest).stop_at_end();
    let mut consumer = builder.build().unwrap();
    let mut records = Vec::new();
    while let Some(record) = consumer.next().await {
        records.push(record.unwrap());
    }
    records
}

#[test]
fn records_come_back_as_they_went_in_every_codec() {
    with_broker(Spec::under_test(), |_broker, client| async move {
        create(&client, "t", 1).await;
        let codecs =
            [Codec::None, Codec::Gzip { level: -1 }, Codec::Snappy, Codec::Lz4, Codec::Zstd { level: 3 }];
        let mut expected = Vec::new();
        for codec in codecs {
            let producer = client.producer().compression(codec).build().unwrap();
            let mut sent = Vec::new();
            for number in 0..100i64 {
                let mut record = ProducerRecord::to("t")
                    .header("codec", format!("{codec:?}"))
                    .header("empty", "")
                    .timestamp(Timestamp::from_millis(1_700_000_000_000 + number));
                record.headers.push(ottla_client::Header { name: "null".into(), value: None });
                record.key = [None, Some("".into()), Some("key".into())][number as usize % 3].clone();
                record.value = [Some(vec![number as u8; 50].into()), None, Some("".into())]
                    [number as usize / 3 % 3]
                    .clone();
                expected.push(record.clone());
                sent.push(producer.send(record).await.unwrap());
            }
            for (record, sent) in expected[expected.len() - 100..].iter().zip(sent) {
                let delivery = sent.await.unwrap();
                assert_eq!((&*delivery.topic, delivery.partition), ("t", 0));
                assert_eq!(Some(delivery.timestamp), record.timestamp);
            }
            producer.close().await.unwrap();
        }
        let records = read_all(&client, "t", 0).await;
        assert_eq!(records.len(), 500);
        for ((offset, record), expected) in (0..).zip(records).zip(expected) {
            let ConsumerRecord { key, value, headers, timestamp, .. } = record;
            assert_eq!(record.offset, Offset::new(offset));
            assert_eq!(
                (key, value, headers, timestamp),
                (expected.key, expected.value, expected.headers, expected.timestamp)
            );
        }
    });
}

#[test]
fn keys_go_to_kafkas_partitions_and_the_keyless_are_spread() {
    with_broker(Spec::under_test(), |_broker, client| async move {
        create(&client, "t", 3).await;
        let producer = client.producer().batch_size(ByteSize::kib(1)).build().unwrap();
        // murmur2("foobar") is -790332482, and 1357151166 without its sign; "abc" has 479470107.
        for (key, partition) in [("foobar", 1_357_151_166 % 3), ("abc", 479_470_107 % 3)] {
            let delivery = producer.publish(ProducerRecord::to("t").key(key)).await.unwrap();
            assert_eq!(delivery.partition, partition, "{key}");
        }
        let mut sent = Vec::new();
        for _ in 0..300 {
            sent.push(producer.send(ProducerRecord::to("t").value(vec![0; 100])).await.unwrap());
        }
        let mut per_partition = [0; 3];
        for sent in sent {
            per_partition[usize::try_from(sent.await.unwrap().partition).unwrap()] += 1;
        }
        assert!(per_partition.iter().all(|count| *count >= 50), "{per_partition:?}");
    });
}

#[test]
fn a_full_buffer_holds_senders_back_and_gives_room_again() {
    with_broker(Spec::under_test(), |_broker, client| async move {
        create(&client, "t", 1).await;
        let builder = client.producer().buffer(ByteSize::kib(8)).batch_size(ByteSize::kib(4));
        let producer = builder.linger(Duration::from_secs(20)).build().unwrap();
        let record = || ProducerRecord::to("t").partition(0).value(vec![0; 1_000]);
        let mut taken = Vec::new();
        let refused = loop {
            match producer.try_send(record()) {
                Ok(sent) => taken.push(sent),
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused.error, Error::BufferFull(_)) && refused.error.is_retriable(), "{refused}");
        assert_eq!(*refused.record, record());
        assert!((4..=8).contains(&taken.len()), "{}", taken.len());
        // A full batch leaves without lingering, and its room is given back.
        for _ in 0..50 {
            drop(producer.send(record()).await.unwrap());
        }
        let too_large = producer.send(record().value(vec![0; 10_000])).await.unwrap_err();
        assert!(matches!(too_large, Error::RecordTooLarge { .. }), "{too_large}");
        producer.close().await.unwrap();
        assert!(matches!(producer.send(record()).await, Err(Error::Closed)));
        assert_eq!(read_all(&client, "t", 0).await.len(), 50 + taken.len());
    });
}

#[test]
fn dropped_futures_lose_nothing_and_a_flush_waits_for_all() {
    with_broker(Spec::under_test(), |_broker, client| async move {
        create(&client, "t", 1).await;
        let producer = client.producer().linger(Duration::from_secs(20)).build().unwrap();
        for number in 0..10 {
            let record = ProducerRecord::to("t").partition(0).value(number.to_string());
            drop(producer.send(record).await.unwrap());
        }
        let begin = Instant::now();
        producer.flush().await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(15), "a flush does not linger");
        assert_eq!(read_all(&client, "t", 0).await.len(), 10);
        // The last clone is dropped: what was sent goes its way.
        let mut tail = client.consumer().partition("t", 0, Start::Latest).build().unwrap();
        let last = producer.send(ProducerRecord::to("t").partition(0).value("last")).await.unwrap();
        drop(producer);
        assert_eq!(last.await.unwrap().offset, Offset::new(10));
        tail.seek("t", 0, Start::Offset(Offset::new(10))).unwrap();
        assert_eq!(tail.next().await.unwrap().unwrap().value.unwrap(), "last");
    });
}

#[test]
fn a_batch_larger_than_the_topic_takes_is_split_and_a_record_refused() {
    with_broker(Spec::under_test(), |_broker, client| async move {
        let topic = NewTopic::named("t").partitions(1).config("max.message.bytes", "1000");
        client.admin().create_topic(topic).await.unwrap();
        let producer = client.producer().linger(Duration::from_secs(20)).build().unwrap();
        let record = |size| ProducerRecord::to("t").partition(0).value(vec![1; size]);
        let mut sent = Vec::new();
        for size in [300, 300, 300, 300, 2_000, 300] {
            sent.push(producer.send(record(size)).await.unwrap());
        }
        producer.flush().await.unwrap();
        let mut outcomes = Vec::new();
        for sent in sent {
            outcomes.push(match sent.await {
                Ok(delivery) => delivery.offset.to_string(),
                Err(error) => {
                    assert!(!error.is_retriable() && !error.is_outcome_unknown());
                    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)));
                    error.kafka_name().unwrap().to_owned()
                }
            });
        }
        assert_eq!(outcomes, ["0", "1", "2", "3", "MESSAGE_TOO_LARGE", "4"]);
    });
}

#[test]
fn a_topic_is_created_by_the_first_record_or_missed_soon() {
    with_broker(Spec::under_test().set("num.partitions", 4), |_broker, client| async move {
        let producer = client.producer().build().unwrap();
        let delivery = producer.publish(ProducerRecord::to("new").key("k").value("v")).await.unwrap();
        assert_eq!(client.admin().describe_topic("new").await.unwrap().partitions.len(), 4);
        assert_eq!(delivery.offset, Offset::ZERO);
    });
    with_broker(Spec::under_test().set("auto.create.topics.enable", false), |_broker, client| async move {
        let producer = client.producer().build().unwrap();
        let begin = Instant::now();
        let error = producer.publish(ProducerRecord::to("typo").key("k").value("v")).await.unwrap_err();
        assert_eq!(error.kafka_name(), Some("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(15));
        let mut consumer = client.consumer().partition("typo", 0, Start::Earliest).build().unwrap();
        let error = consumer.next().await.unwrap().unwrap_err();
        assert_eq!(error.kafka_name(), Some("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
    });
}

#[test]
fn a_consumer_seeks_pauses_and_tells_of_the_end() {
    with_broker(Spec::under_test(), |_broker, client| async move {
        create(&client, "t", 2).await;
        let producer = client.producer().build().unwrap();
        for number in 0..20i64 {
            let record = ProducerRecord::to("t").partition((number % 2) as i32).value(number.to_string());
            producer.publish(record.timestamp(Timestamp::from_millis(1_000 + number))).await.unwrap();
        }
        let builder = client.consumer().partition("t", 0, Start::Offset(Offset::new(8)));
        let mut consumer =
            builder.partition("t", 1, Start::At(Timestamp::from_millis(1_018))).build().unwrap();
        let mut seen = Vec::new();
        let mut ends = Vec::new();
        while ends.len() < 2 {
            match consumer.next_event().await.unwrap().unwrap() {
                Event::Record(record) => {
                    seen.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap())
                }
                Event::End { partition, offset, .. } => ends.push((partition, offset.get())),
                other => panic!("{other:?}"),
            }
        }
        seen.sort();
        ends.sort();
        assert_eq!((seen, ends), (vec!["16".into(), "18".into(), "19".into()], vec![(0, 10), (1, 10)]));
        assert_eq!(
            (consumer.position("t", 0), consumer.high_watermark("t", 1)),
            (Some(Offset::new(10)), Some(Offset::new(10)))
        );

        consumer.pause("t", 0).unwrap();
        producer.publish(ProducerRecord::to("t").partition(0).value("not now")).await.unwrap();
        producer.publish(ProducerRecord::to("t").partition(1).value("now")).await.unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().value.unwrap(), "now");
        consumer.resume("t", 0).unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().value.unwrap(), "not now");

        consumer.unassign("t", 1).unwrap();
        consumer.seek("t", 0, Start::Earliest).unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().value.unwrap(), "0");
        // Whoever gives up waiting has lost no record.
        consumer.seek("t", 0, Start::Latest).unwrap();
        for _ in 0..3 {
            assert!(tokio::time::timeout(Duration::from_millis(50), consumer.next()).await.is_err());
        }
        producer.publish(ProducerRecord::to("t").partition(0).value("late")).await.unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().value.unwrap(), "late");
    });
}

#[test]
fn an_offset_outside_of_the_log_is_met_by_the_policy() {
    with_broker(Spec::under_test(), |_broker, client| async move {
        create(&client, "t", 1).await;
        let producer = client.producer().build().unwrap();
        for number in 0..10 {
            producer.publish(ProducerRecord::to("t").partition(0).value(number.to_string())).await.unwrap();
        }
        let deleted =
            client.admin().delete_records("t", &[(0, Some(Offset::new(4))), (9, None)]).await.unwrap();
        assert_eq!(*deleted[0].as_ref().unwrap(), Offset::new(4));
        let missing = deleted[1].as_ref().unwrap_err();
        assert_eq!(missing.kafka_name(), Some("UNKNOWN_TOPIC_OR_PARTITION"), "{missing}");
        let from_zero = || client.consumer().partition("t", 0, Start::Offset(Offset::ZERO));
        let mut consumer = from_zero().build().unwrap();
        let error = consumer.next().await.unwrap().unwrap_err();
        assert_eq!(
            (error.kafka_name(), error.partition()),
            (Some("OFFSET_OUT_OF_RANGE"), Some(0)),
            "{error}"
        );
        assert_eq!(error.refusal().unwrap().log_start, Some(Offset::new(4)));
        consumer.seek("t", 0, Start::Offset(Offset::new(9))).unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().offset, Offset::new(9));
        let mut consumer = from_zero().on_out_of_range(OutOfRange::Earliest).build().unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().offset, Offset::new(4));
        let mut consumer = from_zero().on_out_of_range(OutOfRange::Latest).build().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(500), consumer.next()).await.is_err());
        producer.publish(ProducerRecord::to("t").partition(0).value("new")).await.unwrap();
        assert_eq!(consumer.next().await.unwrap().unwrap().offset, Offset::new(10));
    });
}

#[test]
fn a_reader_that_does_not_read_lets_the_broker_wait() {
    with_broker(Spec::under_test(), |broker, client| async move {
        create(&client, "t", 1).await;
        let producer = client.producer().build().unwrap();
        for _ in 0..640 {
            drop(producer.send(ProducerRecord::to("t").partition(0).value(vec![7; 100_000])).await.unwrap());
        }
        producer.close().await.unwrap();
        let builder = client.consumer().partition("t", 0, Start::Earliest).prefetch(ByteSize::kib(256));
        let mut slow = builder.build().unwrap();
        slow.next().await.unwrap().unwrap();
        // Of several brokers each has something to do.
        if broker.brokers() == 1 {
            let before = broker.cpu();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let cpu = broker.cpu() - before;
            assert!(cpu < Duration::from_millis(100), "an idle reader costs {cpu:?}");
        }
        // Others are not held up by it.
        assert_eq!(read_all(&client, "t", 0).await.len(), 640);
        for _ in 1..640 {
            slow.next().await.unwrap().unwrap();
        }
    });
}

#[test]
fn the_administrator_sees_and_changes_the_cluster() {
    with_broker(Spec::under_test(), |broker, client| async move {
        let admin = client.admin();
        let trial = NewTopic::named("orders").partitions(3).config("retention.ms", "60000").validate_only();
        admin.create_topic(trial).await.unwrap();
        assert!(admin.list_topics().await.unwrap().is_empty(), "a trial creates nothing");
        let topic =
            NewTopic::named("orders").partitions(3).replication_factor(1).config("retention.ms", "60000");
        let created = admin.create_topic(topic.clone()).await.unwrap();
        assert_eq!((created.partitions, created.replication_factor), (3, 1));
        let twice = admin.create_topic(topic).await.unwrap_err();
        assert_eq!((twice.kafka_name(), twice.is_retriable()), (Some("TOPIC_ALREADY_EXISTS"), false));

        let listed = admin.list_topics().await.unwrap();
        assert_eq!((listed.len(), &*listed[0].name, &listed[0].topic_id), (1, "orders", &created.topic_id));
        let described = admin.describe_topic("orders").await.unwrap();
        assert_eq!(described.configs.get("retention.ms").map(String::as_str), Some("60000"));
        assert_eq!(described.partitions[2].leader, Some(described.partitions[2].replicas[0]));

        let resource = ConfigResource::Topic("orders".into());
        let changes = ConfigChanges::new().set("cleanup.policy", "compact").remove("retention.ms");
        admin.alter_configs(&resource, changes).await.unwrap();
        let configs = admin.describe_configs(&resource, &["retention.ms", "cleanup.policy"]).await.unwrap();
        let source = |name: &str| configs.iter().find(|config| config.name == name).unwrap().source;
        assert_eq!(source("cleanup.policy"), ConfigSource::Topic);
        assert_ne!(source("retention.ms"), ConfigSource::Topic);
        let bad = ConfigChanges::new().set("retention.ms", "soon");
        let error = admin.alter_configs(&resource, bad).await.unwrap_err();
        assert_eq!(error.kafka_name(), Some("INVALID_CONFIG"), "{error}");

        admin.check_add_partitions("orders", 5).await.unwrap();
        assert_eq!(admin.add_partitions("orders", 4).await.unwrap(), 4);
        assert_eq!(
            admin.add_partitions("orders", 2).await.unwrap_err().kafka_name(),
            Some("INVALID_PARTITIONS")
        );

        let cluster = admin.describe_cluster().await.unwrap();
        let found = (cluster.brokers.len(), cluster.topics, cluster.partitions);
        assert_eq!(found, (broker.brokers(), 1, 4));
        let dir = admin.describe_log_dir(&["orders"]).await.unwrap();
        assert!(dir.free_bytes > 0 && dir.logs.iter().all(|log| log.topic == "orders"));

        let places = [("orders", 0, Start::Latest), ("orders", 7, Start::Earliest)];
        let offsets = admin.list_offsets(&places, Isolation::ReadCommitted).await.unwrap();
        assert_eq!(offsets[0].as_ref().unwrap().offset, Offset::ZERO);
        assert_eq!(offsets[1].as_ref().unwrap_err().kafka_name(), Some("UNKNOWN_TOPIC_OR_PARTITION"));

        admin.delete_topic("orders").await.unwrap();
        let gone = admin.describe_topic("orders").await.unwrap_err();
        assert_eq!(gone.kafka_name(), Some("UNKNOWN_TOPIC_OR_PARTITION"), "{gone}");
    });
}

#[test]
fn the_second_address_is_used_when_nobody_is_at_the_first() {
    with_broker(Spec::under_test(), |broker, _| async move {
        let nobody = format!("http://127.0.0.1:{}", it::broker::free_port());
        let client =
            Client::builder().bootstrap(&nobody).bootstrap(format!("http://{}", broker.api_address()));
        let client = client.connect().await.unwrap();
        assert_eq!(client.admin().describe_cluster().await.unwrap().brokers.len(), broker.brokers());
        let alone = Client::builder().bootstrap(nobody).request_timeout(Duration::from_secs(1));
        let begin = Instant::now();
        let error = alone.connect().await.unwrap_err();
        assert!(
            matches!(error, Error::TimedOut { maybe_sent: false, .. }) && error.is_retriable(),
            "{error}"
        );
        assert!(begin.elapsed() < Duration::from_secs(5));
    });
}
