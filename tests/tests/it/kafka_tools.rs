//! Kafka's own command-line tools, as an operator would use them, in one story.

use it::broker::Broker;
use it::clients::finish;
use it::toolbox::{Run, Toolbox, java};
use it::tools::{self, Tool};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";
const PRODUCER_PERF: &str = "org.apache.kafka.tools.ProducerPerformance";
const VERIFIABLE_PRODUCER: &str = "org.apache.kafka.tools.VerifiableProducer";

struct Operator {
    tools: Toolbox,
    address: String,
}

impl Operator {
    fn run(&mut self, class: &str, command: &str) -> Run {
        let words: Vec<&str> = command.split_whitespace().collect();
        let address = self.address.clone();
        self.tools.run(class, &[&["--bootstrap-server", &address], &words[..]].concat())
    }

    fn succeeds(&mut self, class: &str, command: &str) -> String {
        self.run(class, command).success()
    }

    /// The end (or start, or other special) offsets, one `topic:partition:offset` a line.
    fn offsets(&mut self, arguments: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.succeeds(OFFSETS, arguments).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

#[test]
fn topics_are_created_described_altered_and_deleted() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let broker = Broker::start();
    let mut operator = Operator { tools: Toolbox::start(), address: broker.address() };

    let created =
        operator.succeeds(TOPICS, "--create --topic orders --partitions 3 --config retention.ms=3600000");
    assert!(created.contains("Created topic orders."), "{created}");
    let again = operator.run(TOPICS, "--create --topic orders --partitions 3").failure();
    assert!(again.contains("Topic 'orders' already exists"), "{again}");
    let wide = format!("--create --topic wide --replication-factor {}", broker.brokers() + 1);
    let wide = operator.run(TOPICS, &wide).failure();
    assert!(wide.contains("eplication factor") || wide.contains("replicate"), "{wide}");
    let bad = operator.run(TOPICS, "--create --topic bad --config retention.ms=soon").failure();
    assert!(bad.contains("retention.ms"), "{bad}");
    operator.succeeds(TOPICS, "--create --topic orders --if-not-exists");

    assert_eq!(operator.succeeds(TOPICS, "--list").trim(), "orders");
    let described = operator.succeeds(TOPICS, "--describe --topic orders");
    for expected in [
        "PartitionCount: 3",
        &format!("ReplicationFactor: {}", broker.brokers()),
        "retention.ms=3600000",
        "Partition: 2\tLeader: ",
        "Isr: ",
    ] {
        assert!(described.contains(expected), "{expected} in {described}");
    }

    operator.succeeds(TOPICS, "--alter --topic orders --partitions 5");
    let described = operator.succeeds(TOPICS, "--describe --topic orders");
    assert!(described.contains("PartitionCount: 5"), "{described}");
    let fewer = operator.run(TOPICS, "--alter --topic orders --partitions 2").failure();
    assert!(fewer.contains("partition"), "{fewer}");

    operator.succeeds(TOPICS, "--delete --topic orders");
    assert_eq!(operator.succeeds(TOPICS, "--list").trim(), "");
    let gone = operator.run(TOPICS, "--describe --topic orders").failure();
    assert!(gone.contains("Topic 'orders' does not exist"), "{gone}");
}

#[test]
fn configs_are_described_and_altered() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let broker = Broker::start();
    let mut operator = Operator { tools: Toolbox::start(), address: broker.address() };
    operator.succeeds(TOPICS, "--create --topic events --partitions 1");

    operator.succeeds(CONFIGS, "--alter --entity-type topics --entity-name events --add-config cleanup.policy=compact,segment.bytes=1048576");
    let dynamic = operator.succeeds(CONFIGS, "--describe --entity-type topics --entity-name events");
    assert!(
        dynamic.contains("cleanup.policy=compact") && dynamic.contains("segment.bytes=1048576"),
        "{dynamic}"
    );
    assert!(!dynamic.contains("max.message.bytes"), "{dynamic}");
    let all = operator.succeeds(CONFIGS, "--describe --entity-type topics --entity-name events --all");
    for expected in [
        "max.message.bytes=1048588 sensitive=false",
        if broker.brokers() == 1 { "min.insync.replicas=1" } else { "min.insync.replicas=2" },
        "DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact",
        // Set by a broker key in hours, which Kafka does not show here.
        "retention.ms=604800000 sensitive=false synonyms={}",
        "segment.ms=604800000 sensitive=false synonyms={}",
    ] {
        assert!(all.contains(expected), "{expected} in {all}");
    }
    operator.succeeds(
        CONFIGS,
        "--alter --entity-type topics --entity-name events --delete-config cleanup.policy",
    );
    let dynamic = operator.succeeds(CONFIGS, "--describe --entity-type topics --entity-name events");
    assert!(
        !dynamic.contains("cleanup.policy=compact") && dynamic.contains("segment.bytes=1048576"),
        "{dynamic}"
    );
    let bad = operator
        .run(CONFIGS, "--alter --entity-type topics --entity-name events --add-config segment.bytes=-5")
        .failure();
    assert!(bad.contains("segment.bytes"), "{bad}");
    let unknown = operator
        .run(CONFIGS, "--alter --entity-type topics --entity-name events --add-config no.such.thing=1")
        .failure();
    assert!(unknown.contains("no.such.thing"), "{unknown}");

    operator.succeeds(
        CONFIGS,
        "--alter --entity-type brokers --entity-default --add-config log.retention.ms=7200000",
    );
    let brokers = operator.succeeds(CONFIGS, "--describe --entity-type brokers --entity-default");
    assert!(brokers.contains("log.retention.ms=7200000"), "{brokers}");
    let inherited = operator.succeeds(CONFIGS, "--describe --entity-type topics --entity-name events --all");
    assert!(inherited.contains("retention.ms=7200000"), "{inherited}");
}

#[test]
fn records_are_produced_counted_deleted_and_weighed() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let broker = Broker::start();
    let mut operator = Operator { tools: Toolbox::start(), address: broker.address() };
    operator.succeeds(TOPICS, "--create --topic load --partitions 2");
    operator.succeeds(TOPICS, "--create --topic verified --partitions 1");

    for (compression, acks) in
        [("none", "all"), ("gzip", "1"), ("snappy", "all"), ("lz4", "all"), ("zstd", "0")]
    {
        let words = "--topic load --num-records 2000 --record-size 200 --throughput -1";
        let options =
            format!("--command-property compression.type={compression} --command-property acks={acks}");
        let report = operator.succeeds(PRODUCER_PERF, &format!("{words} {options}"));
        assert!(report.contains("2000 records sent"), "{report}");
    }
    let ends = operator.offsets("--topic load --time latest");
    assert_eq!(sum(&ends), 10_000, "{ends:?}");
    assert_eq!(operator.offsets("--topic load --time earliest"), ["load:0:0", "load:1:0"]);

    // A process of its own: it ends by the JVM's own exit and reports in a shutdown hook.
    let mut producer = java();
    producer.args([VERIFIABLE_PRODUCER, "--bootstrap-server", &operator.address]);
    producer.args(["--topic", "verified", "--max-messages", "500", "--acks", "-1"]);
    let verified = String::from_utf8(finish(producer, &[]).unwrap()).unwrap();
    assert_eq!(verified.matches("\"name\":\"producer_send_success\"").count(), 500, "{verified}");
    assert_eq!(operator.offsets("--topic verified"), ["verified:0:500"]);

    let request = tempfile::NamedTempFile::new().unwrap();
    let partitions =
        r#"{"partitions": [{"topic": "verified", "partition": 0, "offset": 123}], "version": 1}"#;
    std::fs::write(request.path(), partitions).unwrap();
    let file = request.path().to_str().unwrap().to_owned();
    let deleted = operator.succeeds(DELETE_RECORDS, &format!("--offset-json-file {file}"));
    assert!(deleted.contains("low_watermark: 123"), "{deleted}");
    assert_eq!(operator.offsets("--topic verified --time earliest"), ["verified:0:123"]);
    assert_eq!(operator.offsets("--topic verified --time latest"), ["verified:0:500"]);
    std::fs::write(request.path(), partitions.replace("123", "501")).unwrap();
    let beyond = operator.succeeds(DELETE_RECORDS, &format!("--offset-json-file {file}"));
    assert!(beyond.contains("OffsetOutOfRange") || beyond.contains("offset is out of range"), "{beyond}");

    let dirs = operator.succeeds(LOG_DIRS, "--describe --topic-list load,verified");
    let json = dirs.lines().find(|line| line.starts_with('{')).expect("a JSON line");
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let partitions = json["brokers"][0]["logDirs"][0]["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 3, "{json}");
    assert!(partitions.iter().all(|partition| partition["size"].as_u64().unwrap() > 5_000), "{json}");
}

/// What one broker can show of it: it has nowhere to move to but itself.
#[test]
fn partitions_are_reassigned_verified_and_listed() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let broker = Broker::start();
    let mut operator = Operator { tools: Toolbox::start(), address: broker.address() };
    operator.succeeds(TOPICS, "--create --topic moved --partitions 2 --replication-factor 1");
    let listed = operator.succeeds(REASSIGN, "--list");
    assert!(listed.contains("No partition reassignments found."), "{listed}");

    let described = operator.succeeds(TOPICS, "--describe --topic moved");
    let words: Vec<&str> = described.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "Leader:").unwrap();
    let own = words[at + 1];
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, replicas: &str| {
        let path = directory.path().join(name);
        let partition = |n| format!(r#"{{"topic":"moved","partition":{n},"replicas":[{replicas}]}}"#);
        let text = format!(r#"{{"version":1,"partitions":[{},{}]}}"#, partition(0), partition(1));
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let there = file("there.json", own);
    let executed = operator.succeeds(REASSIGN, &format!("--execute --reassignment-json-file {there}"));
    assert!(
        executed.contains("Successfully started partition reassignments for moved-0,moved-1"),
        "{executed}"
    );
    let verified = operator.succeeds(REASSIGN, &format!("--verify --reassignment-json-file {there}"));
    assert!(verified.contains("Reassignment of partition moved-0 is completed."), "{verified}");
    let idle = operator.succeeds(REASSIGN, &format!("--cancel --reassignment-json-file {there}"));
    assert!(idle.contains("None of the specified partition reassignments are active."), "{idle}");

    let unknown = file("unknown.json", "77");
    let refused = operator.run(REASSIGN, &format!("--execute --reassignment-json-file {unknown}")).failure();
    assert!(refused.contains("77"), "{refused}");
}

fn sum(offsets: &[String]) -> u64 {
    offsets.iter().map(|line| line.rsplit(':').next().unwrap().parse::<u64>().unwrap()).sum()
}
