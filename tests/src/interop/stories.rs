//! Kafka's own command-line tools for groups, each in one story of an operator. A surprise panics and says where.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tempfile::TempDir;

use super::client::{Client, Protocol};
use super::member::{Event, Heard, Member, Membership};
use crate::batch::Batch;
use crate::broker::Broker;
use crate::clients::finish;
use crate::toolbox::{Toolbox, java};
use crate::wait;

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const CONSOLE: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const PERFORMANCE: &str = "org.apache.kafka.tools.ConsumerPerformance";
const LATENCY: &str = "org.apache.kafka.tools.EndToEndLatency";
const VERIFIABLE: &str = "org.apache.kafka.tools.VerifiableConsumer";

/// 2026-01-01 and the day after, in milliseconds: so that a time between them can be written down.
const FIRST_DAY_MS: i64 = 1_767_225_600_000;
const SECOND_DAY_MS: i64 = FIRST_DAY_MS + 86_400_000;

/// An operator at a terminal.
#[derive(Debug)]
pub struct Operator {
    tools: Toolbox,
    address: String,
}

impl Operator {
    /// One who works on this broker.
    pub fn new(broker: &Broker) -> Self {
        Self { tools: Toolbox::start(), address: broker.address() }
    }

    /// What one of Kafka's tools says on both streams: they tell some errors on the one and some on the other, all with status 0.
    pub fn says(&mut self, class: &str, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let address = self.address.clone();
        let run = self.tools.run(class, &[&["--bootstrap-server", &address], &words[..]].concat());
        format!("{}\n{}", run.text(), run.err)
    }

    /// `kafka-consumer-groups`.
    pub fn groups(&mut self, command: &str) -> String {
        self.says(GROUPS, command)
    }

    /// `kafka-console-consumer`.
    pub fn console(&mut self, command: &str) -> String {
        self.says(CONSOLE, command)
    }

    /// The committed offset of each partition as `--describe` shows them.
    pub fn offsets(&mut self, group: &str) -> BTreeMap<i32, String> {
        let said = self.groups(&format!("--describe --offsets --group {group}"));
        rows(&said)
            .into_iter()
            .map(|row| (row["PARTITION"].parse().unwrap(), row["CURRENT-OFFSET"].clone()))
            .collect()
    }
}

/// The rows of the table in a tool's output, by the names in its head.
pub fn rows(said: &str) -> Vec<BTreeMap<String, String>> {
    // The one name of two words.
    let said = said.replace("COORDINATOR (ID)", "COORDINATOR ID");
    let mut lines = said.lines().skip_while(|line| !line.starts_with("GROUP "));
    let head: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let row = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        (words.len() >= head.len()).then(|| head.iter().cloned().zip(words).collect())
    };
    lines.map_while(row).collect()
}

/// A new topic with ten records in each of two partitions, half of them of one day and half of the next.
pub fn fill(broker: &Broker, topic: &str) {
    let mut connection = broker.connect();
    connection.create_topic(topic, 2, &[("retention.ms", "-1")]).unwrap();
    for partition in 0..2 {
        for timestamp_ms in [FIRST_DAY_MS, SECOND_DAY_MS] {
            let values = (0..5).map(|index| format!("{partition}-{index}"));
            let batch = Batch { timestamp_ms, ..Batch::of_values(values) }.bytes();
            assert_eq!(connection.produce(topic, partition, -1, &batch).unwrap().0, 0);
        }
    }
}

/// A live member of a group, in a process of its own, alone in it with two partitions.
pub struct LiveMember {
    member: Member,
    heard: Receiver<Heard>,
    _scratch: TempDir,
}

impl LiveMember {
    /// Joins.
    pub fn start(broker: &Broker, group: &str, topic: &str, protocol: Protocol) -> Self {
        let scratch = TempDir::new().unwrap();
        let (mouth, heard) = sync_channel(10_000);
        let bootstrap = broker.address();
        let membership = Membership { bootstrap: &bootstrap, group, topic, protocol };
        let member = Member::start(Client::Java, &membership, "live", scratch.path(), &mouth).unwrap();
        Self { member, heard, _scratch: scratch }
    }

    /// Waits until it has committed `end` in both partitions; what it read meanwhile, in order.
    pub fn read_to(&self, end: i64) -> Vec<(i32, i64)> {
        let (mut read, mut committed) = (Vec::new(), BTreeMap::new());
        wait::until("a member to read everything", Duration::from_secs(45), || {
            while let Ok((_, event)) = self.heard.recv_timeout(Duration::from_millis(20)) {
                match event {
                    Ok(Event::Record { partition, offset }) => read.push((partition, offset)),
                    Ok(Event::Committed { offsets }) => committed.extend(offsets),
                    _ => {}
                }
            }
            Ok((committed == BTreeMap::from([(0, end), (1, end)])).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error:#}: {committed:?}\n{}", self.member.last_words()));
        read
    }

    /// SIGTERM: it leaves the group in order.
    pub fn leave(mut self) {
        self.member.ask_to_stop().unwrap();
        wait::until("a member to end", Duration::from_secs(30), || self.member.ended()).unwrap();
    }

    /// `kill -9`: the group does not know that it is gone.
    pub fn kill(mut self) {
        self.member.kill();
    }
}

/// `kafka-consumer-groups`: every way to reset offsets, of a group without members; deleting offsets and the group.
pub fn offsets_are_reset_and_deleted(broker: &Broker) {
    fill(broker, "orders");
    let mut operator = Operator::new(broker);
    let both = |offset: &str| BTreeMap::from([(0, offset.to_owned()), (1, offset.to_owned())]);

    for (mode, expected) in [
        ("--to-earliest", "0"),
        ("--to-latest", "10"),
        ("--to-offset 4", "4"),
        ("--shift-by 3", "7"),
        ("--shift-by -2", "5"),
        ("--to-current", "5"),
        ("--to-datetime 2026-01-01T12:00:00.000", "5"),
        ("--to-datetime 2025-12-31T00:00:00.000", "0"),
        ("--by-duration PT1H", "10"),
        ("--by-duration P3650D", "0"),
        // Beyond the end is the end.
        ("--to-offset 1000", "10"),
    ] {
        let before = operator.offsets("audit");
        let reset = format!("--reset-offsets --group audit --topic orders {mode}");
        let planned = operator.groups(&format!("{reset} --dry-run"));
        let planned: Vec<String> = rows(&planned).into_iter().map(|row| row["NEW-OFFSET"].clone()).collect();
        assert_eq!(planned, [expected, expected], "{mode}");
        assert_eq!(operator.offsets("audit"), before, "a dry run of {mode} changes nothing");
        operator.groups(&format!("{reset} --execute"));
        assert_eq!(operator.offsets("audit"), both(expected), "{mode}");
    }

    let plan =
        operator.groups("--reset-offsets --group audit --topic orders --to-offset 6 --export --dry-run");
    let plan: Vec<&str> = plan.lines().filter(|line| line.contains("orders")).collect();
    assert_eq!(plan.len(), 2, "{plan:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), plan.join("\n") + "\n").unwrap();
    let path = file.path().to_str().unwrap();
    operator.groups(&format!("--reset-offsets --group audit --from-file {path} --execute"));
    assert_eq!(operator.offsets("audit"), both("6"));
    operator.groups("--reset-offsets --group audit --topic orders:1 --to-offset 2 --execute");
    assert_eq!(operator.offsets("audit"), BTreeMap::from([(0, "6".to_owned()), (1, "2".to_owned())]));

    let described = operator.groups("--describe --group audit");
    let lags: Vec<String> = rows(&described).into_iter().map(|row| row["LAG"].clone()).collect();
    assert_eq!(lags, ["4", "8"], "{described}");
    assert!(described.contains("Consumer group 'audit' has no active members."), "{described}");

    let deleted = operator.groups("--delete-offsets --group audit --topic orders:0");
    let statuses: Vec<String> = rows_of_deletion(&deleted);
    assert_eq!(statuses, ["orders 0 Successful"], "{deleted}");
    assert_eq!(operator.offsets("audit"), BTreeMap::from([(1, "2".to_owned())]));

    let deleted = operator.groups("--delete --group audit");
    assert!(deleted.contains("Deletion of requested consumer groups ('audit') was successful."), "{deleted}");
    let again = operator.groups("--delete --group audit");
    assert!(again.contains("GroupIdNotFoundException"), "{again}");
    let gone = operator.groups("--describe --group audit");
    assert!(gone.contains("Group audit not found."), "{gone}");
    assert!(!operator.groups("--list").contains("audit"));
}

/// `TOPIC PARTITION STATUS`, whose table has a head of its own.
fn rows_of_deletion(said: &str) -> Vec<String> {
    let table = said.lines().skip_while(|line| !line.starts_with("TOPIC ")).skip(1);
    let row = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    table.map(row).take_while(|line| !line.is_empty()).collect()
}

/// `kafka-consumer-groups` on a group with a live member of the classic protocol.
pub fn a_live_classic_group_is_described(broker: &Broker) {
    a_live_group_is_described(broker, "classic-live", Protocol::Eager, "Classic", "range");
}

/// `kafka-consumer-groups` on a group with a live member of the consumer protocol.
pub fn a_live_consumer_group_is_described(broker: &Broker) {
    a_live_group_is_described(broker, "consumer-live", Protocol::Consumer, "Consumer", "uniform");
}

fn a_live_group_is_described(broker: &Broker, name: &str, protocol: Protocol, kind: &str, assignor: &str) {
    fill(broker, name);
    let mut operator = Operator::new(broker);
    let live = LiveMember::start(broker, name, name, protocol);
    live.read_to(10);

    let described = operator.groups(&format!("--describe --group {name}"));
    let table = rows(&described);
    assert_eq!(table.len(), 2, "{described}");
    for row in &table {
        assert_eq!((&*row["TOPIC"], &*row["CURRENT-OFFSET"], &*row["LAG"]), (name, "10", "0"), "{described}");
        assert_eq!((&*row["LOG-END-OFFSET"], &*row["CLIENT-ID"]), ("10", "live"), "{described}");
        assert_eq!(&*row["HOST"], "/127.0.0.1", "{described}");
    }
    let verbose = operator.groups(&format!("--describe --offsets --verbose --group {name}"));
    assert_eq!(rows(&verbose).len(), 2, "{verbose}");

    let members = operator.groups(&format!("--describe --members --group {name}"));
    let table = rows(&members);
    assert_eq!(table.len(), 1, "{members}");
    assert_eq!((&*table[0]["CLIENT-ID"], &*table[0]["#PARTITIONS"]), ("live", "2"), "{members}");
    let verbose = operator.groups(&format!("--describe --members --verbose --group {name}"));
    assert!(
        verbose.contains(&format!("{name}:0,1")) || verbose.contains(&format!("{name}(0,1)")),
        "{verbose}"
    );

    let state = operator.groups(&format!("--describe --state --group {name}"));
    let table = rows(&state);
    assert_eq!(table.len(), 1, "{state}");
    assert_eq!((&*table[0]["STATE"], &*table[0]["#MEMBERS"]), ("Stable", "1"), "{state}");
    assert_eq!(&*table[0]["ASSIGNMENT-STRATEGY"], assignor, "{state}");

    assert!(operator.groups("--list").lines().any(|line| line == name));
    let listed = operator.groups("--list --state stable --type");
    let row = rows(&listed).into_iter().find(|row| row["GROUP"] == name).expect(&listed);
    assert_eq!((&*row["TYPE"], &*row["STATE"]), (kind, "Stable"), "{listed}");
    assert!(!operator.groups("--list --state empty").contains(name));

    let reset = format!("--reset-offsets --group {name} --topic {name} --to-earliest --execute");
    let refused = operator.groups(&reset);
    assert!(refused.contains("inactive"), "{refused}");
    let refused = operator.groups(&format!("--delete --group {name}"));
    assert!(refused.contains("GroupNotEmptyException"), "{refused}");
    let refused = operator.groups(&format!("--delete-offsets --group {name} --topic {name}"));
    assert!(
        refused.contains("GroupSubscribedToTopicException") || refused.contains("actively subscribed"),
        "{refused}"
    );
    assert_eq!(operator.offsets(name), BTreeMap::from([(0, "10".to_owned()), (1, "10".to_owned())]));

    live.leave();
    let state = operator.groups(&format!("--describe --state --group {name}"));
    let table = rows(&state);
    assert_eq!((&*table[0]["STATE"], &*table[0]["#MEMBERS"]), ("Empty", "0"), "{state}");
    operator.groups(&reset);
    assert_eq!(operator.offsets(name), BTreeMap::from([(0, "0".to_owned()), (1, "0".to_owned())]));
    let deleted = operator.groups(&format!("--delete --group {name}"));
    assert!(deleted.contains("was successful"), "{deleted}");
}

/// `kafka-console-consumer --group`: goes on where the one before it stopped, in both protocols.
pub fn the_console_consumer_goes_on(broker: &Broker) {
    for protocol in ["classic", "consumer"] {
        let topic = format!("console-{protocol}");
        let mut connection = broker.connect();
        connection.create_topic(&topic, 1, &[]).unwrap();
        let batch = Batch::of_values((0..10).map(|index| format!("line-{index}"))).bytes();
        assert_eq!(connection.produce(&topic, 0, -1, &batch).unwrap().0, 0);
        let mut operator = Operator::new(broker);
        let mut read = |count: usize| {
            let command = format!(
                "--topic {topic} --group {topic} --from-beginning --max-messages {count} --timeout-ms 30000 \
                 --command-property group.protocol={protocol}"
            );
            let said = operator.console(&command);
            said.lines().filter(|line| line.starts_with("line-")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(read(4), ["line-0", "line-1", "line-2", "line-3"], "{protocol}");
        assert_eq!(read(6), ["line-4", "line-5", "line-6", "line-7", "line-8", "line-9"], "{protocol}");
    }
}

/// `kafka-consumer-perf-test`.
pub fn the_consumer_is_measured(broker: &Broker) {
    let mut connection = broker.connect();
    connection.create_topic("load", 2, &[]).unwrap();
    for partition in 0..2 {
        let batch = Batch::of_values((0..1000).map(|index| format!("record {index:0>90}"))).bytes();
        assert_eq!(connection.produce("load", partition, -1, &batch).unwrap().0, 0);
    }
    let mut operator = Operator::new(broker);
    let said =
        operator.says(PERFORMANCE, "--topic load --num-records 2000 --timeout 30000 --group measuring");
    // start, end, MB, MB/s, records, records/s, …
    let figures = said.lines().find(|line| line.starts_with("20") && line.contains(", ")).expect(&said);
    let figures: Vec<&str> = figures.split(", ").collect();
    assert_eq!(figures[4].parse::<u64>().ok(), Some(2000), "{said}");
    assert_eq!(operator.offsets("measuring").values().collect::<Vec<_>>(), ["1000", "1000"]);
}

/// `kafka-e2e-latency`: one record after the other, there and back.
pub fn the_way_from_end_to_end_is_measured(broker: &Broker) {
    broker.connect().create_topic("there-and-back", 1, &[]).unwrap();
    let mut operator = Operator::new(broker);
    let command = "--topic there-and-back --num-records 200 --producer-acks all --record-size 100";
    let said = operator.says(LATENCY, command);
    assert!(said.contains("Avg latency: ") && said.contains("Percentiles: 50th = "), "{said}");
    assert_eq!(broker.connect().list_offset("there-and-back", 0, -1).unwrap(), (0, 200));
}

/// Kafka's verifiable consumer, whose words are its system tests' witness, in both protocols.
pub fn the_verifiable_consumer_commits_what_it_read(broker: &Broker) {
    for protocol in ["classic", "consumer"] {
        let topic = format!("verified-{protocol}");
        fill(broker, &topic);
        let mut consumer = java();
        consumer.args([VERIFIABLE, "--bootstrap-server", &broker.address(), "--topic", &topic]);
        consumer.args(["--group-id", &topic, "--group-protocol", protocol]);
        consumer.args(["--reset-policy", "earliest", "--max-messages", "20"]);
        let said = String::from_utf8(finish(consumer, &[]).unwrap()).unwrap();
        let words: Vec<serde_json::Value> =
            said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let read: i64 = words
            .iter()
            .filter(|word| word["name"] == "records_consumed")
            .map(|word| word["count"].as_i64().unwrap())
            .sum();
        assert_eq!(read, 20, "{said}");
        let committed = words.iter().filter(|word| word["name"] == "offsets_committed");
        assert!(
            committed.clone().count() > 0 && committed.clone().all(|word| word["success"] == true),
            "{said}"
        );
        let kept = broker.connect().committed(&topic, &topic, 2).unwrap();
        assert_eq!(kept, BTreeMap::from([(0, 10), (1, 10)]));
    }
}
