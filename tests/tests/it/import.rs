//! `ottla log import` takes over what a real Kafka wrote, and every client reads the same as before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use expect_test::expect;
use it::broker::{Broker, Kind, Spec};
use it::clients::{kcat, kcat_with_input};
use it::project::{self, Profile};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};
use it::wait;
use ottla_client::{Client, Isolation, Start};
use ottla_rpc::v1;
use ottla_rpc::v1::log_client::LogClient;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const DUMP: &str = "org.apache.kafka.tools.DumpLogSegments";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const CLEANED_WITHIN: Duration = Duration::from_secs(60);

/// Topics with their number of partitions.
const PARTITIONS: [(&str, usize); 4] =
    [("plain", 3), ("compressed", 1), ("transactions", 2), ("compacted", 1)];

#[test]
fn what_kafka_wrote_is_taken_over() {
    if !tools::require(&[Tool::Kafka, Tool::Kcat]) {
        return;
    }
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka imports nothing");
    }
    let scratch = tempfile::tempdir().unwrap();
    let (source, target) = (scratch.path().join("kafka"), scratch.path().join("ottla"));
    let mut tools = Toolbox::start();
    let mut kafka = kafka(&source);
    write(&mut tools, &kafka);
    let before = contents(&kafka.address());
    let by_console = console(&mut tools, &kafka.address());
    let described = configs(&mut tools, &kafka.address());

    let refused = import(&source, &target, &[]).failure();
    assert!(refused.contains("a running broker has locked it"), "{refused}");
    assert!(!target.exists(), "a refused import writes nothing");
    kafka.terminate();
    let hashes = hashes(&source);

    let plan = import(&source, &target, &["--dry-run"]).success();
    expect![[r#"
        TOPIC PARTITIONS SIZE CONFIGS
        __consumer_offsets 2 SIZE cleanup.policy=compact,compression.type=producer,segment.bytes=104857600
        __transaction_state 2 SIZE cleanup.policy=compact,compression.type=uncompressed,min.insync.replicas=1,segment.bytes=104857600,unclean.leader.election.enable=false
        compacted 1 SIZE cleanup.policy=compact,min.cleanable.dirty.ratio=0.01,segment.bytes=1048576
        compressed 1 SIZE
        plain 3 SIZE max.message.bytes=2000000,message.timestamp.type=LogAppendTime,retention.ms=-1
        transactions 2 SIZE min.insync.replicas=1

        6 topics, SIZE would be imported; nothing was written
    "#]].assert_eq(&steady(&plan, &target));
    assert!(!target.exists(), "a dry run writes nothing");
    let done = import(&source, &target, &["--json"]).success();
    let offsets: BTreeMap<String, i64> = done.lines().map(imported).collect();
    // Kafka's own topics come along, and nothing of its metadata.
    assert!(
        offsets.contains_key("__transaction_state") && offsets.contains_key("__consumer_offsets"),
        "{done}"
    );
    assert_eq!(offsets.len(), PARTITIONS.len() + 2, "{done}");
    let other = scratch.path().join("other");
    let told = import(&source, &other, &["--topic", "plain", "--topic", "transactions"]).success();
    expect![[r#"
        TOPIC PARTITIONS OFFSETS SIZE ID
        plain 3 600 SIZE ID
        transactions 2 63 SIZE ID

        2 topics, SIZE imported in TIME; next: ottla serve --data-dir TARGET
    "#]]
    .assert_eq(&steady(&told, &other));
    let again = import(&source, &target, &[]).failure();
    assert!(again.contains("topic plain exists already"), "{again}");
    assert_eq!(self::hashes(&source), hashes, "the source was written to");
    dumps_whole(&source, &target);
    decodes_as_kafka_does(&mut tools, &source);

    let ottla = Spec::under_test().data_dir(&target).start();
    assert_eq!(contents(&ottla.address()), before);
    assert_eq!(console(&mut tools, &ottla.address()), by_console);
    assert_eq!(configs(&mut tools, &ottla.address()), described);
    grpc_sees_the_same_transactions(&ottla, &before);
    goes_on(&mut tools, &ottla);
}

/// What the command says, without what differs from run to run: ids, sizes, times, places, and how wide they make their columns.
fn steady(said: &str, target: &Path) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let said = said.replace(&target.display().to_string(), "TARGET");
    let lines = said.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let steady = (0..words.len()).filter_map(|index| {
            let (word, next) = (words[index], words.get(index + 1).unwrap_or(&""));
            match () {
                () if UNITS.contains(&word) => None,
                () if UNITS.contains(next) => Some("SIZE"),
                () if word.ends_with("s;") && word.starts_with(|c: char| c.is_ascii_digit()) => Some("TIME;"),
                () if word.len() == 22 && index + 1 == words.len() => Some("ID"),
                () => Some(word),
            }
        });
        steady.collect::<Vec<_>>().join(" ") + "\n"
    });
    lines.collect()
}

/// A Kafka whose cleaner and whose internal topics are in a hurry.
pub(crate) fn kafka(data_dir: &Path) -> Broker {
    let spec = Spec { kind: Kind::Kafka, ..Spec::under_test() };
    spec.set("log.cleaner.backoff.ms", 200)
        .set("log.initial.task.delay.ms", 100)
        .set("offsets.topic.num.partitions", 2)
        .set("transaction.state.log.num.partitions", 2)
        .set("group.initial.rebalance.delay.ms", 0)
        .data_dir(data_dir)
        .start()
}

fn write(tools: &mut Toolbox, kafka: &Broker) {
    let address = kafka.address();
    let mut create = |topic: &str, partitions: usize, configs: &[&str]| {
        let count = partitions.to_string();
        let place = ["--bootstrap-server", &address, "--create", "--topic", topic, "--partitions", &count];
        let configs: Vec<&str> = configs.iter().flat_map(|config| ["--config", config]).collect();
        tools.run(TOPICS, &[&place[..], &configs].concat()).success();
    };
    create(
        "plain",
        3,
        &["retention.ms=-1", "max.message.bytes=2000000", "message.timestamp.type=LogAppendTime"],
    );
    create("compressed", 1, &[]);
    create("transactions", 2, &["min.insync.replicas=1"]);
    let compacted = ["cleanup.policy=compact", "segment.bytes=1048576", "min.cleanable.dirty.ratio=0.01"];
    create("compacted", 1, &compacted);
    let produce = |words: &[&str], lines: &str| {
        kcat_with_input(&[&["-P", "-b", &address], words].concat(), lines.as_bytes()).unwrap();
    };
    for partition in ["0", "1", "2"] {
        let lines: String = (0..200).map(|index| format!("key {index}\tvalue {index}\n")).collect();
        produce(&["-t", "plain", "-p", partition, "-K", "\t", "-H", "origin=kafka", "-H", "empty"], &lines);
    }
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines: String =
            (0..500).map(|index| format!("{compression} {index} {}\n", "x".repeat(index % 90))).collect();
        produce(&["-t", "compressed", "-p", "0", "-z", compression], &lines);
    }
    tools.run("TransactionalWriter", &[&address, "transactions", "9"]).success();
    // Thirty keys over and over: several segments, of which compaction keeps little.
    for round in 0..4 {
        let lines: String = (0..2_000)
            .map(|index| format!("key {}\t{round} {index} {}\n", index % 30, "v".repeat(500)))
            .collect();
        produce(&["-t", "compacted", "-p", "0", "-K", "\t"], &lines);
    }
    let group =
        ["--bootstrap-server", &address, "--topic", "plain", "--group", "readers", "--from-beginning"];
    tools.run(CONSUMER, &[&group[..], &["--max-messages", "10", "--timeout-ms", "30000"]].concat()).success();
    let cleaned = kafka.data_dir().join("cleaner-offset-checkpoint");
    wait::until("the cleaner to have been at work", CLEANED_WITHIN, || {
        Ok(fs::read_to_string(&cleaned)?.contains("compacted 0").then_some(()))
    })
    .unwrap();
}

/// Every record of every topic as kcat sees it, at both isolation levels.
fn contents(address: &str) -> BTreeMap<(String, &'static str), Vec<String>> {
    let mut contents = BTreeMap::new();
    for (topic, partitions) in PARTITIONS {
        for isolation in ["read_committed", "read_uncommitted"] {
            let mut lines = Vec::new();
            for partition in 0..partitions {
                let (number, level) = (partition.to_string(), format!("isolation.level={isolation}"));
                let place = ["-C", "-q", "-e", "-b", address, "-t", topic, "-p", &number, "-o", "beginning"];
                let form = ["-X", &level, "-f", "%p %o %T %k [%h] %s\n"];
                let read = kcat(&[&place[..], &form].concat()).unwrap();
                lines.extend(String::from_utf8(read).unwrap().lines().map(str::to_owned));
            }
            contents.insert((topic.to_owned(), isolation), lines);
        }
    }
    let of = |topic: &str, isolation| &contents[&(topic.to_owned(), isolation)];
    // The comparison would say nothing about what is not there.
    assert_eq!(of("plain", "read_committed").len(), 600);
    assert_eq!(of("compressed", "read_committed").len(), 2_500);
    assert_eq!(of("transactions", "read_committed").len(), 30);
    assert_eq!(of("transactions", "read_uncommitted").len(), 45);
    assert!(of("transactions", "read_committed").iter().all(|line| line.contains("committed ")));
    let compacted = of("compacted", "read_committed").len();
    assert!(compacted < 7_000, "compaction took too little: {compacted} of 8,000 records are left");
    contents
}

/// Both forms of the service Log at both isolation levels read of the transactions what kcat read from Kafka: the broker
/// drops aborted records for who wants records, and the Rust client does for itself, which wants batches.
fn grpc_sees_the_same_transactions(ottla: &Broker, before: &BTreeMap<(String, &'static str), Vec<String>>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (name, isolation) in
        [("read_committed", Isolation::ReadCommitted), ("read_uncommitted", Isolation::ReadUncommitted)]
    {
        let before = &before[&("transactions".to_owned(), name)];
        let expected: Vec<(i32, i64, String)> = before.iter().map(|line| placed(line)).collect();
        assert_eq!(
            expected.iter().any(|(_, _, value)| value.starts_with("aborted")),
            name != "read_committed"
        );
        // One batch a message too: what was aborted is then told of batches before it.
        for max_message_bytes in [None, Some(1)] {
            let read = runtime.block_on(records(ottla, isolation, max_message_bytes));
            assert_eq!(read, expected, "records, {name}, {max_message_bytes:?}");
        }
        let read = runtime.block_on(batches(ottla, isolation));
        assert_eq!(read, expected, "batches, {name}");
    }
    for (isolation, is_told) in
        [(v1::Isolation::ReadCommitted, true), (v1::Isolation::ReadUncommitted, false)]
    {
        let messages = runtime.block_on(messages(ottla, 0, v1::FetchFormat::Batches, isolation, None));
        assert_eq!(messages.iter().any(|message| !message.aborted.is_empty()), is_told, "{isolation:?}");
    }
}

/// Partition, offset and value of a line of [`contents`].
fn placed(line: &str) -> (i32, i64, String) {
    let mut words = line.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse::<i64>().unwrap();
    let (partition, offset) = (number(), number());
    let (_, value) = line.split_once("] ").unwrap();
    (i32::try_from(partition).unwrap(), offset, value.to_owned())
}

async fn records(
    ottla: &Broker,
    isolation: Isolation,
    max_message_bytes: Option<i32>,
) -> Vec<(i32, i64, String)> {
    let isolation = match isolation {
        Isolation::ReadUncommitted => v1::Isolation::ReadUncommitted,
        Isolation::ReadCommitted => v1::Isolation::ReadCommitted,
    };
    let mut read = Vec::new();
    for partition in 0..2 {
        let form = v1::FetchFormat::Records;
        for message in messages(ottla, partition, form, isolation, max_message_bytes).await {
            read.extend(message.records.into_iter().map(|record| {
                (partition, record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap())
            }));
        }
    }
    read
}

async fn messages(
    ottla: &Broker,
    partition: i32,
    format: v1::FetchFormat,
    isolation: v1::Isolation,
    max_message_bytes: Option<i32>,
) -> Vec<v1::FetchResponse> {
    let mut log = LogClient::connect(format!("http://{}", ottla.api_address())).await.unwrap();
    let place = v1::FetchPartition { topic: "transactions".to_owned(), partition, from: None };
    let request = v1::FetchRequest {
        partitions: vec![place],
        format: format.into(),
        isolation: isolation.into(),
        max_message_bytes,
        stop_at_end: true,
    };
    let mut stream = log.fetch(request).await.unwrap().into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        messages.push(message);
    }
    messages
}

async fn batches(ottla: &Broker, isolation: Isolation) -> Vec<(i32, i64, String)> {
    let client = Client::connect(format!("http://{}", ottla.api_address())).await.unwrap();
    let mut read = Vec::new();
    for partition in 0..2 {
        let reading = client.consumer().partition("transactions", partition, Start::Earliest);
        let mut consumer = reading.isolation(isolation).stop_at_end().build().unwrap();
        while let Some(record) = consumer.next().await {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            read.push((partition, record.offset.get(), value));
        }
    }
    read
}

/// What Kafka's console consumer reads of the committed records, timestamps, headers and offsets included.
fn console(tools: &mut Toolbox, address: &str) -> Vec<String> {
    let mut read = Vec::new();
    for (topic, count) in [("plain", 200), ("compressed", 2_500), ("transactions", 18)] {
        let count = count.to_string();
        let mut words =
            vec!["--bootstrap-server", address, "--topic", topic, "--partition", "0", "--offset", "earliest"];
        words.extend([
            "--max-messages",
            &count,
            "--timeout-ms",
            "20000",
            "--isolation-level",
            "read_committed",
        ]);
        for property in ["timestamp", "key", "headers", "offset", "partition"] {
            let property = format!("print.{property}=true");
            words.extend(["--formatter-property", property.leak()]);
        }
        read.push(tools.run(CONSUMER, &words).success());
    }
    assert!(read[2].contains("committed 0-0") && !read[2].contains("aborted"), "{}", read[2]);
    read
}

/// Topic ids, partition counts and overrides as Kafka's tools print them.
fn configs(tools: &mut Toolbox, address: &str) -> Vec<String> {
    let mut described = Vec::new();
    for (topic, _) in PARTITIONS {
        let place = ["--bootstrap-server", address, "--describe"];
        let text = tools.run(TOPICS, &[&place[..], &["--topic", topic]].concat()).success();
        let head = text.lines().next().unwrap();
        // What was set, not what it comes to: defaults may differ.
        let (head, _) = head.split_once("Configs:").unwrap();
        described.push(head.trim().to_owned());
        let entity = ["--entity-type", "topics", "--entity-name", topic];
        let text = tools.run(CONFIGS, &[&place[..], &entity].concat()).success();
        let mut set: Vec<&str> =
            text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        set.sort_unstable();
        described.push(set.join(" "));
    }
    assert!(described.iter().any(|line| line.contains("cleanup.policy=compact")), "{described:#?}");
    described
}

/// The imported log goes on: new records, a new idempotent producer.
fn goes_on(tools: &mut Toolbox, ottla: &Broker) {
    let address = ottla.address();
    let place = ["-P", "-b", &address, "-t", "transactions", "-p", "0", "-X", "enable.idempotence=true"];
    kcat_with_input(&place, b"after the import\n").unwrap();
    let place = [
        "-C",
        "-q",
        "-e",
        "-b",
        &address,
        "-t",
        "transactions",
        "-p",
        "0",
        "-o",
        "beginning",
        "-f",
        "%o %s\n",
    ];
    let read = String::from_utf8(kcat(&place).unwrap()).unwrap();
    let last = read.lines().last().unwrap();
    // Nine transactions of three records and a marker each.
    assert_eq!(last, "36 after the import");
    let list = tools.run(TOPICS, &["--bootstrap-server", &address, "--list"]).success();
    assert!(list.contains("__transaction_state"), "{list}");
}

/// `ottla log dump` finds nothing wrong with either directory, and reads what stands in the internal topics.
fn dumps_whole(source: &Path, target: &Path) {
    for dir in [source, target] {
        let said = ottla(&["log", "dump", "--verify", "--records", dir.to_str().unwrap()]).success();
        assert!(said.lines().count() > 4_000 && !said.contains("DAMAGED"), "{}", said.lines().count());
        let topics = |name: &str| {
            let partitions =
                (0..2).map(|partition| dir.join(format!("{name}-{partition}")).display().to_string());
            partitions.collect::<Vec<_>>()
        };
        for (decode, name, expected) in [
            ("offsets", "__consumer_offsets", "readers"),
            ("transactions", "__transaction_state", "writer-of-transactions"),
        ] {
            let partitions = topics(name);
            let words = ["log", "dump", "--json", "--decode", decode, &partitions[0], &partitions[1]];
            let said = ottla(&words).success();
            assert!(said.contains(expected), "{said}");
        }
    }
}

/// Every record of the internal topics, as `DumpLogSegments` prints it.
fn decodes_as_kafka_does(tools: &mut Toolbox, dir: &Path) {
    for (decode, decoder, topic) in [
        ("offsets", "--offsets-decoder", "__consumer_offsets"),
        ("transactions", "--transaction-log-decoder", "__transaction_state"),
    ] {
        let mut compared = 0;
        for partition in 0..2 {
            let file =
                dir.join(format!("{topic}-{partition}/00000000000000000000.log")).display().to_string();
            let by_kafka = tools.run(DUMP, &[decoder, "--files", &file]).success();
            let by_kafka: BTreeMap<i64, (String, String)> =
                by_kafka.lines().filter_map(kafka_record).collect();
            let ours = ottla(&["log", "dump", "--json", "--decode", decode, &file]).success();
            let ours: Vec<serde_json::Value> =
                ours.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for record in ours.iter().filter(|line| line["kind"] == "record") {
                let (key, payload) = &by_kafka[&record["offset"].as_i64().unwrap()];
                let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
                assert_eq!(record["decoded"]["key"], parsed(key));
                match payload.as_str() {
                    "<DELETE>" => assert!(record["decoded"]["value"].is_null(), "{record}"),
                    payload => assert_eq!(record["decoded"]["value"], parsed(payload)),
                }
                compared += 1;
            }
        }
        assert!(compared > 3, "{compared} records of {topic}");
    }
}

/// Offset, key and payload of a line `| offset: 0 … key: {…} payload: {…}`.
fn kafka_record(line: &str) -> Option<(i64, (String, String))> {
    let (head, record) = line.strip_prefix("| offset: ")?.split_once(" key: ")?;
    let (key, payload) = record.split_once(" payload: ")?;
    let offset = head.split_whitespace().next()?.parse().ok()?;
    Some((offset, (key.to_owned(), payload.to_owned())))
}

pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) text: String,
}

impl Run {
    pub(crate) fn success(self) -> String {
        assert_eq!(self.status, Some(0), "{}", self.text);
        self.text
    }

    pub(crate) fn failure(self) -> String {
        assert_eq!(self.status, Some(1), "{}", self.text);
        self.text
    }
}

pub(crate) fn import(source: &Path, target: &Path, rest: &[&str]) -> Run {
    let words = ["log", "import", source.to_str().unwrap(), "--data-dir", target.to_str().unwrap()];
    ottla(&[&words[..], rest].concat())
}

pub(crate) fn ottla(words: &[&str]) -> Run {
    let output = Command::new(project::ottla(Profile::Dev).unwrap()).args(words).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Run { status: output.status.code(), text }
}

/// A line of the summary: the topic and its number of offsets.
pub(crate) fn imported(line: &str) -> (String, i64) {
    let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let partitions = line["partitions"].as_array().unwrap();
    let offsets = partitions.iter().map(|p| p["end"].as_i64().unwrap() - p["start"].as_i64().unwrap()).sum();
    (line["topic"].as_str().unwrap().to_owned(), offsets)
}

/// A checksum of every file below a directory.
pub(crate) fn hashes(dir: &Path) -> BTreeMap<PathBuf, (u64, u32)> {
    let mut hashes = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            hashes.extend(self::hashes(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32;
            hashes.insert(path, (bytes.len() as u64, crc));
        }
    }
    hashes
}
