//! The consumer groups of a Kafka that was taken over go on where they were.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use it::batch::Batch;
use it::broker::{Broker, Kind, Spec};
use it::interop::client::Protocol;
use it::interop::spec;
use it::interop::stories::{LiveMember, Operator, fill, rows};
use it::project::{self, Profile};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};

use crate::import::{import, ottla};

/// Ten records in each of its two partitions.
const TOPIC: &str = "orders";
/// Groups that a console consumer made, with its protocol.
const CONSOLES: [(&str, &str); 2] = [("größe", "classic"), ("modern", "consumer")];
/// Groups whose member is there when Kafka stops, and dead.
const LIVE: [(&str, Protocol); 3] = [
    ("live-eager", Protocol::Eager),
    ("live-static", Protocol::Static),
    ("live-consumer", Protocol::Consumer),
];
/// Read by each console before the import.
const READ_BEFORE: usize = 6;

#[test]
fn groups_of_kafka_go_on_where_they_were() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka imports nothing");
    }
    let scratch = tempfile::tempdir().unwrap();
    let (source, target) = (scratch.path().join("kafka"), scratch.path().join("ottla"));
    // Another number of partitions than the default: a group's coordinator follows from it.
    let mut kafka = Spec { kind: Kind::Kafka, ..spec() }.data_dir(&source).start();
    fill(&kafka, TOPIC);
    let mut operator = Operator::new(&kafka);
    let read: Vec<_> =
        CONSOLES.map(|(group, protocol)| console(&mut operator, group, protocol, READ_BEFORE)).into();
    operator.groups("--reset-offsets --group audit --topic orders --to-offset 4 --execute");
    operator.groups("--reset-offsets --group gone --topic orders --to-offset 4 --execute");
    let deleted = operator.groups("--delete --group gone");
    assert!(deleted.contains("was successful"), "{deleted}");
    let members: Vec<_> =
        LIVE.iter().map(|(group, protocol)| LiveMember::start(&kafka, group, TOPIC, *protocol)).collect();
    for member in members {
        member.read_to(10);
        member.kill();
    }
    let before = described(&mut operator);
    drop(operator);
    kafka.terminate();

    import(&source, &target, &[]).success();
    // This broker would create the topic with 50 partitions.
    let mut ottla = spec();
    ottla.settings.retain(|(key, _)| key != "offsets.topic.num.partitions");
    let mut broker = ottla.data_dir(&target).start();
    let mut operator = Operator::new(&broker);
    assert_eq!(described(&mut operator), before);
    describes(&broker, "audit", &[(0, 4, 10, 6), (1, 4, 10, 6)]);

    for ((group, protocol), mut read) in CONSOLES.into_iter().zip(read) {
        read.extend(console(&mut operator, group, protocol, 20 - READ_BEFORE));
        read.sort();
        let each_once: Vec<_> =
            (0..2).flat_map(|partition| (0..10).map(move |offset| (partition, offset))).collect();
        assert_eq!(read, each_once, "{group} reads every record once");
        assert_eq!(operator.offsets(group), both("10"), "{group}");
    }
    let tail = command(&broker, &["consume", TOPIC, "--group", "audit", "-n", "12", "--format", "%p %o\n"]);
    let mut tail: Vec<_> = tail.lines().collect();
    tail.sort_unstable();
    let rest: Vec<_> =
        (0..2).flat_map(|partition| (4..10).map(move |offset| format!("{partition} {offset}"))).collect();
    assert_eq!(tail, rest, "audit goes on at its offsets");

    // Whoever was a member is not any more once its session is over, and the next one goes on behind it.
    for partition in 0..2 {
        let batch = Batch::of_values((0..5).map(|index| format!("later {index}"))).bytes();
        broker.connect().produce(TOPIC, partition, -1, &batch).unwrap();
    }
    let members: Vec<_> =
        LIVE.iter().map(|(group, protocol)| LiveMember::start(&broker, group, TOPIC, *protocol)).collect();
    for ((group, _), member) in LIVE.iter().zip(members) {
        let mut read = member.read_to(15);
        read.sort_unstable();
        let later: Vec<_> =
            (0..2).flat_map(|partition| (10..15).map(move |offset| (partition, offset))).collect();
        assert_eq!(read, later, "{group}");
        member.leave();
        assert_eq!(operator.offsets(group), both("15"), "{group}");
    }
    assert!(broker.terminate().success());
    dumps(&target);
}

/// What a console consumer of a group reads: partition and offset of each record.
fn console(operator: &mut Operator, group: &str, protocol: &str, count: usize) -> Vec<(i32, i64)> {
    let said = operator.console(&format!(
        "--topic {TOPIC} --group {group} --from-beginning --max-messages {count} --timeout-ms 30000 \
         --command-property group.protocol={protocol} --formatter-property print.partition=true \
         --formatter-property print.offset=true --formatter-property print.value=false"
    ));
    let place = |line: &str| {
        let (partition, offset) = line.strip_prefix("Partition:")?.split_once("\tOffset:")?;
        Some((partition.parse().ok()?, offset.trim().parse().ok()?))
    };
    let read: Vec<_> = said.lines().filter_map(place).collect();
    assert_eq!(read.len(), count, "{group}: {said}");
    read
}

/// All groups with what Kafka's tool shows of each of their partitions.
fn described(operator: &mut Operator) -> BTreeMap<String, Vec<[String; 4]>> {
    let listed = operator.groups("--list --type");
    let kinds: BTreeMap<String, String> =
        rows(&listed).into_iter().map(|row| (row["GROUP"].clone(), row["TYPE"].clone())).collect();
    let names: Vec<&str> =
        CONSOLES.iter().map(|(group, _)| *group).chain(LIVE.iter().map(|(group, _)| *group)).collect();
    assert!(names.iter().chain(&["audit"]).all(|name| kinds.contains_key(*name)), "{listed}");
    assert!(!kinds.contains_key("gone"), "{listed}");
    let mut described = BTreeMap::new();
    for (group, kind) in kinds {
        let said = operator.groups(&format!("--describe --offsets --group {group}"));
        let columns = ["PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"];
        let mut table: Vec<_> =
            rows(&said).iter().map(|row| columns.map(|column| row[column].clone())).collect();
        table.sort();
        assert!(!table.is_empty(), "{group}: {said}");
        described.insert(format!("{group}, {kind}"), table);
    }
    described
}

fn both(offset: &str) -> BTreeMap<i32, String> {
    BTreeMap::from([(0, offset.to_owned()), (1, offset.to_owned())])
}

/// `ottla group describe`: partition, committed, end and lag.
fn describes(broker: &Broker, group: &str, expected: &[(i64, i64, i64, i64)]) {
    let said = command(broker, &["group", "describe", group, "--json"]);
    let number = |line: &serde_json::Value, key: &str| line[key].as_i64().unwrap_or(-1);
    let row = |line: &str| {
        let line = serde_json::from_str(line).unwrap();
        ["partition", "committed", "end", "lag"].map(|key| number(&line, key)).into()
    };
    let found: Vec<(i64, i64, i64, i64)> = said.lines().map(row).collect();
    assert_eq!(found, expected, "{said}");
}

/// What a command of ours says on its standard output.
fn command(broker: &Broker, words: &[&str]) -> String {
    let mut command = Command::new(project::ottla(Profile::Dev).unwrap());
    let output = command.args(words).env("OTTLA_BROKER", broker.api_address()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Kafka's tool reads what both wrote, in as many partitions as there were.
fn dumps(target: &Path) {
    let partitions: Vec<_> = std::fs::read_dir(target)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("__consumer_offsets-"))
        .collect();
    assert_eq!(partitions.len(), 5);
    let partitions: Vec<&str> = partitions.iter().map(|path| path.to_str().unwrap()).collect();
    let words = [&["log", "dump", "--verify"], &partitions[..]].concat();
    ottla(&words).success();
    let logs: Vec<String> =
        partitions.iter().map(|path| format!("{path}/00000000000000000000.log")).collect();
    let flags = ["--offsets-decoder", "--files", &logs.join(",")];
    let said = Toolbox::start().run("org.apache.kafka.tools.DumpLogSegments", &flags).success();
    for offset in [4, 10, 15] {
        assert!(said.contains(&format!("\"offset\":{offset},")), "no commit of {offset}");
    }
}
