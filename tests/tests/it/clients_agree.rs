//! Records that any client published are read by all of them: bytes, headers, timestamps, nulls and partitions equal.
//!
//! Random records from a seed are written as lines of JSON, published by each client to a topic of its own, and read back
//! by each into lines again. The clients are kcat, Kafka's Java client, confluent-kafka, Python's gRPC, and ours.

use std::collections::BTreeMap;

use it::broker::{Broker, Kind, Spec};
use it::clients::{finish, grpc_python, kcat, kcat_with_input, python_with_input};
use it::toolbox::java;
use it::tools::{self, Tool};
use ottla_client::{Client, Codec, ConsumerRecord, Header, ProducerRecord, Start, Timestamp};
use serde_json::{Value, json};

const PARTITIONS: i32 = 4;
const RECORDS: u64 = 60;

/// One record as its line says it. `offset` is known only of what was read.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    partition: Option<i64>,
    offset: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

#[test]
fn what_one_client_publishes_all_read() {
    if Kind::under_test() == Kind::Kafka || !tools::require(&[Tool::Kcat, Tool::Python, Tool::Kafka]) {
        return;
    }
    let broker = Spec::under_test().start();
    let seed =
        std::env::var("OTTLA_IT_SEED").map_or(u64::from(std::process::id()), |seed| seed.parse().unwrap());
    eprintln!("OTTLA_IT_SEED={seed}");
    for publisher in ["kcat", "java", "confluent", "grpc", "rust"] {
        let topic = format!("from-{publisher}");
        broker.connect().create_topic(&topic, PARTITIONS, &[]).unwrap();
        let lines = generate(seed, publisher == "kcat");
        publish(&broker, publisher, &topic, &lines);
        let mut places: Option<BTreeMap<Vec<u8>, (i64, i64)>> = None;
        for reader in ["kcat", "java", "confluent", "grpc", "rust"] {
            let read = read(&broker, reader, &topic);
            let which = format!("published by {publisher}, read by {reader}");
            let found = check(&lines, &read, publisher, &which);
            assert_eq!(
                places.get_or_insert_with(|| found.clone()),
                &found,
                "{which}: all see the same places"
            );
        }
    }
}

/// Compares what was read with what was published; where each record is, by its number.
fn check(sent: &[Line], read: &[Line], publisher: &str, which: &str) -> BTreeMap<Vec<u8>, (i64, i64)> {
    let number = |line: &Line| line.headers[0].1.clone().unwrap();
    let read: BTreeMap<_, _> = read.iter().map(|line| (number(line), line)).collect();
    assert_eq!(read.len(), sent.len(), "{which}");
    let mut last = BTreeMap::new();
    for sent in sent {
        let read = read[&number(sent)];
        assert_eq!(
            (&read.key, &read.value, &read.headers),
            (&sent.key, &sent.value, &sent.headers),
            "{which}"
        );
        if publisher != "kcat" {
            assert_eq!(read.timestamp, sent.timestamp, "{which}");
        }
        // Kafka's own client is among those that are held against our murmur2.
        let wanted = sent.partition.or_else(|| sent.key.as_deref().map(kafkas_partition));
        if let Some(wanted) = wanted {
            assert_eq!(read.partition, Some(wanted), "{which}: {sent:?}");
        }
        if let Some(partition) = sent.partition {
            let before = last.insert(partition, read.offset);
            assert!(before < Some(read.offset), "{which}: a partition's records keep their order");
        }
    }
    read.into_iter().map(|(number, line)| (number, (line.partition.unwrap(), line.offset.unwrap()))).collect()
}

fn kafkas_partition(key: &[u8]) -> i64 {
    let partition = ottla_record::partitioner::partition_for_key(key, PARTITIONS.cast_unsigned());
    i64::from(partition.unwrap().get())
}

/// Random records. kcat's command line takes no NUL and no null, and sets no timestamp.
fn generate(seed: u64, plain: bool) -> Vec<Line> {
    let mut state = seed;
    let mut random = move |bound: u64| {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    };
    let count = if plain { RECORDS / 3 } else { RECORDS };
    (0..count)
        .map(|number| {
            let mut bytes = |max: u64| match random(8) {
                0 if !plain => None,
                1 if !plain => Some(Vec::new()),
                _ => Some(
                    (0..1 + random(max))
                        .map(|_| if plain { b'a' + random(26) as u8 } else { random(256) as u8 })
                        .collect(),
                ),
            };
            let (key, value) = (bytes(20), bytes(300));
            let mut headers = vec![("number".to_owned(), Some(number.to_string().into_bytes()))];
            for _ in 0..random(4) {
                // Text: kcat prints headers without saying how long they are.
                let value = match random(5) {
                    0 if !plain => None,
                    1 if !plain => Some(Vec::new()),
                    _ => Some((0..1 + random(9)).map(|_| b'a' + random(26) as u8).collect()),
                };
                headers.push((format!("h{}", random(3)), value));
            }
            let partition = (random(2) == 0).then(|| random(PARTITIONS as u64) as i64);
            let timestamp = Some(1_700_000_000_000 + random(1_000_000) as i64);
            Line { partition, offset: None, key, value, headers, timestamp }
        })
        .collect()
}

fn publish(broker: &Broker, publisher: &str, topic: &str, lines: &[Line]) {
    let input = lines.iter().map(|line| to_json(line).to_string() + "\n").collect::<String>();
    let (kafka, api) = (broker.address(), broker.api_address());
    match publisher {
        "kcat" => lines.iter().for_each(|line| publish_by_kcat(&kafka, topic, line)),
        "java" => {
            let mut command = java();
            command.args(["Records", "produce", &kafka, topic]);
            finish(command, input.as_bytes()).unwrap();
        }
        "confluent" => {
            python_with_input("records_confluent.py", &["produce", &kafka, topic], input.as_bytes()).unwrap();
        }
        "grpc" => {
            let command = grpc_python("grpc_records.py", &["produce", &api, topic]).unwrap();
            finish(command, input.as_bytes()).unwrap();
        }
        _ => publish_by_ours(&api, topic, lines),
    }
}

/// One call a record: headers and keys are arguments, and the value is all of the input.
fn publish_by_kcat(address: &str, topic: &str, line: &Line) {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    let mut arguments: Vec<String> =
        ["-P", "-b", address, "-t", topic, "-X", "partitioner=murmur2_random", "-k"]
            .map(str::to_owned)
            .into();
    arguments.push(text(&line.key));
    if let Some(partition) = line.partition {
        arguments.extend(["-p".to_owned(), partition.to_string()]);
    }
    for (name, value) in &line.headers {
        arguments.extend(["-H".to_owned(), format!("{name}={}", text(value))]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    kcat_with_input(&arguments, line.value.as_deref().unwrap()).unwrap();
}

fn publish_by_ours(api: &str, topic: &str, lines: &[Line]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::connect(format!("http://{api}")).await.unwrap();
        let producer = client.producer().compression(Codec::Zstd { level: 3 }).build().unwrap();
        let mut sent = Vec::new();
        for line in lines {
            let record = ProducerRecord {
                topic: topic.into(),
                partition: line.partition.map(|partition| partition as i32),
                key: line.key.clone().map(Into::into),
                value: line.value.clone().map(Into::into),
                headers: line
                    .headers
                    .iter()
                    .map(|(name, value)| Header { name: name.clone(), value: value.clone().map(Into::into) })
                    .collect(),
                timestamp: line.timestamp.map(Timestamp::from_millis),
            };
            sent.push(producer.send(record).await.unwrap());
        }
        for sent in sent {
            sent.await.unwrap();
        }
        producer.close().await.unwrap();
    });
}

fn read(broker: &Broker, reader: &str, topic: &str) -> Vec<Line> {
    let (kafka, api) = (broker.address(), broker.api_address());
    let partitions = PARTITIONS.to_string();
    let output = match reader {
        "kcat" => return read_by_kcat(&kafka, topic),
        "java" => {
            let mut command = java();
            command.args(["Records", "consume", &kafka, topic, &partitions]);
            finish(command, b"").unwrap()
        }
        "confluent" => {
            python_with_input("records_confluent.py", &["consume", &kafka, topic, &partitions], b"").unwrap()
        }
        "grpc" => {
            finish(grpc_python("grpc_records.py", &["consume", &api, topic, &partitions]).unwrap(), b"")
                .unwrap()
        }
        _ => return read_by_ours(&api, topic),
    };
    String::from_utf8(output)
        .unwrap()
        .lines()
        .map(|line| from_json(&serde_json::from_str(line).unwrap()))
        .collect()
}

/// kcat prints raw bytes, so each is preceded by its length, and the headers stand before all of them.
fn read_by_kcat(address: &str, topic: &str) -> Vec<Line> {
    let format = "%p %o %T %K %S %h\n%k%s\n";
    let output =
        kcat(&["-C", "-q", "-e", "-b", address, "-t", topic, "-o", "beginning", "-f", format]).unwrap();
    let mut rest = output.as_slice();
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let text = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        let fields: Vec<&str> = text.splitn(6, ' ').collect();
        let number = |index: usize| fields[index].parse::<i64>().unwrap();
        let mut take = |length: i64| {
            let (bytes, behind) = rest.split_at(usize::try_from(length).unwrap_or(0));
            rest = behind;
            (length >= 0).then(|| bytes.to_vec())
        };
        let (key, value) = (take(number(3)), take(number(4)));
        rest = rest.strip_prefix(b"\n").unwrap();
        let headers = fields[5].split(',').map(|header| {
            let (name, value) = header.split_once('=').unwrap();
            (name.to_owned(), (value != "NULL").then(|| value.as_bytes().to_vec()))
        });
        let headers = headers.collect();
        let (partition, offset, timestamp) = (Some(number(0)), Some(number(1)), Some(number(2)));
        lines.push(Line { partition, offset, key, value, headers, timestamp });
    }
    lines
}

fn read_by_ours(api: &str, topic: &str) -> Vec<Line> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::connect(format!("http://{api}")).await.unwrap();
        let mut builder = client.consumer().stop_at_end();
        for partition in 0..PARTITIONS {
            builder = builder.partition(topic, partition, Start::Earliest);
        }
        let mut consumer = builder.build().unwrap();
        let mut lines = Vec::new();
        while let Some(record) = consumer.next().await.transpose().unwrap() {
            let ConsumerRecord { partition, offset, timestamp, key, value, headers, .. } = record;
            lines.push(Line {
                partition: Some(partition.into()),
                offset: Some(offset.get()),
                key: key.map(Into::into),
                value: value.map(Into::into),
                headers: headers.into_iter().map(|h| (h.name, h.value.map(Into::into))).collect(),
                timestamp: timestamp.map(Timestamp::millis),
            });
        }
        lines
    })
}

fn to_json(line: &Line) -> Value {
    let headers: Vec<Value> = line.headers.iter().map(|(name, value)| json!([name, hex(value)])).collect();
    json!({
        "partition": line.partition,
        "key": hex(&line.key),
        "value": hex(&line.value),
        "headers": headers,
        "timestamp": line.timestamp,
    })
}

fn from_json(line: &Value) -> Line {
    let headers = line["headers"].as_array().unwrap().iter();
    Line {
        partition: line["partition"].as_i64(),
        offset: line["offset"].as_i64(),
        key: unhex(&line["key"]),
        value: unhex(&line["value"]),
        headers: headers.map(|header| (header[0].as_str().unwrap().to_owned(), unhex(&header[1]))).collect(),
        timestamp: line["timestamp"].as_i64(),
    }
}

fn hex(bytes: &Option<Vec<u8>>) -> Option<String> {
    bytes.as_ref().map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unhex(text: &Value) -> Option<Vec<u8>> {
    let digits = text.as_str()?;
    Some(
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect(),
    )
}
