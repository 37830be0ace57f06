//! Compaction as users meet it: foreign clients write and read a topic while the running broker compacts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use it::batch::noise;
use it::broker::{Broker, Kind, Spec};
use it::clients::{kcat, kcat_with_input};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};
use it::wait;

use crate::committed_offsets;
use crate::dump_log::{accepts_with_gaps, segment_files};

const PATIENCE: Duration = Duration::from_secs(120);
/// The smallest that Kafka allows.
const SEGMENT_BYTES: u64 = 1 << 20;
const KEYS: usize = 100;
/// Records of a burst: with values of 500 bytes, in hexadecimal, a segment and a half.
const BURST: usize = 1_500;

/// A broker whose cleaner is always on the look-out.
fn spec() -> Spec {
    Spec::under_test()
        .set("log.cleaner.backoff.ms", 50)
        .set("log.cleaner.min.cleanable.ratio", "0.01")
        .set("log.cleaner.delete.retention.ms", 86_400_000)
        .set("log.retention.check.interval.ms", 200)
}

fn create(broker: &Broker, topic: &str, configs: &[(&str, &str)]) {
    let small = SEGMENT_BYTES.to_string();
    let shared = [("segment.bytes", small.as_str()), ("min.compaction.lag.ms", "0")];
    broker.connect().create_topic(topic, 1, &[&shared[..], configs].concat()).unwrap();
}

/// A topic of one partition as it was written: every record ever acknowledged, by its offset.
#[derive(Default)]
struct Written(Vec<(String, Option<String>)>);

/// A record as a client read it.
type Read = (i64, String, Option<String>);

impl Written {
    /// Writes a burst over the keys in turn by kcat, which waits until all are acknowledged.
    fn burst(&mut self, broker: &Broker, topic: &str, compression: &str) {
        let records = (0..BURST).map(|_| {
            let number = self.0.len();
            let record = (format!("key-{}", number % KEYS), Some(value(number)));
            self.0.push(record.clone());
            record
        });
        let records: Vec<_> = records.collect();
        write(broker, topic, compression, &records);
    }

    /// The last value of each key; `None` if it was deleted.
    fn last(&self) -> BTreeMap<&str, (i64, Option<&str>)> {
        let all = self.0.iter().enumerate();
        all.map(|(offset, (key, value))| (key.as_str(), (offset as i64, value.as_deref()))).collect()
    }

    /// What was read from the start is what a compacted topic may look like: in order, at the offsets at which it was written, with the last
    /// value of every key. Deleted keys may be gone, or end with their tombstone.
    fn check(&self, read: &[Read]) {
        assert!(read.is_sorted_by(|one, next| one.0 < next.0), "offsets ascend");
        for (offset, key, value) in read {
            assert_eq!(
                (key, value),
                (&self.0[*offset as usize].0, &self.0[*offset as usize].1),
                "at {offset}"
            );
        }
        let found: BTreeMap<&str, i64> =
            read.iter().map(|(offset, key, _)| (key.as_str(), *offset)).collect();
        for (key, (offset, value)) in self.last() {
            match value {
                Some(_) => assert_eq!(found.get(key), Some(&offset), "the last of {key}"),
                // Whoever finds an older value of a deleted key finds its tombstone behind it.
                None => assert!(found.get(key).is_none_or(|found| *found == offset), "{key} came back"),
            }
        }
    }
}

fn value(number: usize) -> String {
    noise(500, number as u64).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// kcat's lines: `key:value`, and nothing behind the colon for a tombstone (-Z).
fn write(broker: &Broker, topic: &str, compression: &str, records: &[(String, Option<String>)]) {
    let lines: String = records
        .iter()
        .map(|(key, value)| format!("{key}:{}\n", value.as_deref().unwrap_or_default()))
        .collect();
    let address = broker.address();
    let place = ["-P", "-b", &address, "-t", topic, "-p", "0", "-K", ":", "-Z", "-z", compression];
    let form = ["-X", "enable.idempotence=true", "-X", "batch.size=30000"];
    kcat_with_input(&[&place[..], &form[..]].concat(), lines.as_bytes()).unwrap();
}

fn read_by_kcat(broker: &Broker, topic: &str) -> Vec<Read> {
    let address = broker.address();
    let place = ["-C", "-q", "-b", &address, "-t", topic, "-p", "0", "-o", "beginning", "-e"];
    let out = kcat(&[&place[..], &["-f", r"%o\t%k\t%S\t%s\n"]].concat()).unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.split('\t').collect();
        let value = (words[2] != "-1").then(|| words[3].to_owned());
        (words[0].parse().unwrap(), words[1].to_owned(), value)
    };
    String::from_utf8(out).unwrap().lines().map(line).collect()
}

/// Kafka's Java consumer, told how many there are.
fn read_by_java(tools: &mut Toolbox, broker: &Broker, topic: &str, count: usize) -> Vec<Read> {
    let (address, count) = (broker.address(), count.to_string());
    let words = [
        "--bootstrap-server",
        &address,
        "--topic",
        topic,
        "--partition",
        "0",
        "--offset",
        "earliest",
        "--max-messages",
        &count,
        "--timeout-ms",
        "60000",
        "--formatter-property",
        "print.key=true",
        "--formatter-property",
        "print.offset=true",
        "--formatter-property",
        "null.literal=NULL",
    ];
    let out = tools.run("org.apache.kafka.tools.consumer.ConsoleConsumer", &words).success();
    let line = |line: &str| {
        let words: Vec<&str> = line.split('\t').collect();
        let value = (words[2] != "NULL").then(|| words[2].to_owned());
        (words[0].strip_prefix("Offset:").unwrap().parse().unwrap(), words[1].to_owned(), value)
    };
    out.lines().map(line).collect()
}

/// Where the segment begins that is written to, and is never compacted.
fn active_base(folder: &Path) -> i64 {
    let names = segment_files(folder).into_iter().filter(|file| file.extension().unwrap() == "log");
    names.map(|file| file.file_stem().unwrap().to_str().unwrap().parse().unwrap()).max().unwrap()
}

/// Reads again and again until everything before the active segment is clean: one record a key.
fn until_clean(broker: &Broker, topic: &str, written: &Written) -> Vec<Read> {
    let folder = broker.data_dir().join(format!("{topic}-0"));
    wait::until("the log to be compacted", PATIENCE, || {
        let base = active_base(&folder);
        let read = read_by_kcat(broker, topic);
        written.check(&read);
        let sealed: Vec<&str> =
            read.iter().filter(|(offset, ..)| *offset < base).map(|(_, key, _)| key.as_str()).collect();
        let keys: BTreeSet<&str> = sealed.iter().copied().collect();
        // The batch that is last in a segment or of its producer stays, though its records may go.
        if sealed.len() == keys.len() {
            Ok(Some(read))
        } else {
            anyhow::bail!("{} of {}", sealed.len(), keys.len())
        }
    })
    .unwrap()
}

#[test]
fn clients_find_the_last_value_of_every_key_at_its_offset() {
    if !tools::require(&[Tool::Kafka, Tool::Kcat]) {
        return;
    }
    let mut tools = Toolbox::start();
    let mut broker = spec().start();
    create(&broker, "t", &[("cleanup.policy", "compact")]);
    let mut written = Written::default();
    for compression in ["none", "lz4", "zstd", "gzip", "snappy"] {
        written.burst(&broker, "t", compression);
    }
    let read = until_clean(&broker, "t", &written);
    assert!(read.len() < BURST + KEYS, "{} of {} are left", read.len(), written.0.len());
    assert_eq!(read_by_java(&mut tools, &broker, "t", read.len()), read);

    // Kafka's producer writes too: its records are compacted with the others.
    let lines: String = (0..BURST)
        .map(|_| {
            let number = written.0.len();
            written.0.push((format!("key-{}", number % KEYS), Some(value(number))));
            format!("key-{}\t{}\n", number % KEYS, value(number))
        })
        .collect();
    let address = broker.address();
    let place = ["--bootstrap-server", &address, "--topic", "t", "--reader-property", "parse.key=true"];
    tools.run_with_input("org.apache.kafka.tools.ConsoleProducer", &place, lines.as_bytes()).success();
    written.burst(&broker, "t", "none");
    let read = until_clean(&broker, "t", &written);
    assert_eq!(read_by_java(&mut tools, &broker, "t", read.len()), read);

    broker.terminate();
    accepts_with_gaps(&mut tools, &segment_files(&broker.data_dir().join("t-0")));
    broker.restart();
    broker.connect().wait_led("t", 0).unwrap();
    assert_eq!(read_by_kcat(&broker, "t"), read);
}

#[test]
fn tombstones_stay_for_their_time_and_then_go() {
    if !tools::require(&[Tool::Kcat]) {
        return;
    }
    let broker = spec().start();
    create(&broker, "long", &[("cleanup.policy", "compact")]);
    create(&broker, "short", &[("cleanup.policy", "compact"), ("delete.retention.ms", "1")]);
    for (topic, stay) in [("long", true), ("short", false)] {
        let mut written = Written::default();
        written.burst(&broker, topic, "none");
        let deleted: Vec<_> = (0..KEYS / 2).map(|key| (format!("key-{key}"), None)).collect();
        write(&broker, topic, "none", &deleted);
        written.0.extend(deleted);
        let goal = if stay { "tombstones alone" } else { "nothing of the deleted keys" };
        wait::until(goal, PATIENCE, || {
            // Their time counts from the pass that finds them first, and another pass needs something to do.
            let others: Vec<_> = (0..BURST)
                .map(|number| (format!("key-{}", KEYS / 2 + number % (KEYS / 2)), Some(value(number))))
                .collect();
            write(&broker, topic, "none", &others);
            written.0.extend(others);
            let read = until_clean(&broker, topic, &written);
            let of_deleted: Vec<_> =
                read.iter().filter(|(_, key, _)| key[4..].parse::<usize>().unwrap() < KEYS / 2).collect();
            let tombstones = of_deleted.iter().filter(|(.., value)| value.is_none()).count();
            let gone = if stay { tombstones == KEYS / 2 } else { tombstones == 0 };
            Ok((gone && tombstones == of_deleted.len()).then_some(()))
        })
        .unwrap();
    }
}

#[test]
fn killed_while_it_compacts_a_broker_keeps_the_last_value_of_every_key() {
    if !tools::require(&[Tool::Kcat, Tool::Kafka]) {
        return;
    }
    let rounds = if Kind::under_test() == Kind::Kafka { 2 } else { 8 };
    // So slow that a pass takes a second or two: it is in the middle of one, or of the exchange of segments, when it dies.
    let mut broker = spec().set("log.cleaner.io.max.bytes.per.second", "4000000").start();
    create(&broker, "t", &[("cleanup.policy", "compact"), ("file.delete.delay.ms", "100")]);
    let mut written = Written::default();
    for round in 0..rounds {
        written.burst(&broker, "t", "none");
        written.burst(&broker, "t", "lz4");
        // Another moment of the pass each time.
        std::thread::sleep(Duration::from_millis(round * 230));
        broker.kill();
        broker.restart();
        broker.connect().wait_led("t", 0).unwrap();
        written.check(&read_by_kcat(&broker, "t"));
    }
    until_clean(&broker, "t", &written);
    // Neither what the killed ones left lying nor what the last pass replaced stays for longer than its delay.
    let folder = broker.data_dir().join("t-0");
    wait::until("the replaced files to be gone", PATIENCE, || {
        let names = fs::read_dir(&folder)?.map(|entry| Ok(entry?.file_name().into_string().unwrap()));
        let names: Vec<String> = names.collect::<std::io::Result<_>>()?;
        let passing = [".cleaned", ".swap", ".deleted"];
        let left: Vec<_> =
            names.iter().filter(|name| passing.iter().any(|end| name.ends_with(end))).collect();
        anyhow::ensure!(left.is_empty(), "{left:?} are left");
        Ok(Some(()))
    })
    .unwrap();
    broker.terminate();
    accepts_with_gaps(&mut Toolbox::start(), &segment_files(&folder));
}

#[test]
fn a_topic_that_is_compacted_and_deleted_loses_its_front_too() {
    if !tools::require(&[Tool::Kcat]) {
        return;
    }
    let broker = spec().start();
    create(&broker, "t", &[("cleanup.policy", "compact,delete"), ("retention.bytes", "3000000")]);
    let mut written = Written::default();
    // Keys that come once are not compacted away: they go with the front.
    let once: Vec<_> = (0..3 * BURST).map(|number| (format!("once-{number}"), Some(value(number)))).collect();
    write(&broker, "t", "none", &once);
    written.0.extend(once);
    let start = wait::until("the front to be deleted", PATIENCE, || {
        let (_, start) = broker.connect().list_offset("t", 0, -2)?;
        Ok((start > 0).then_some(start))
    })
    .unwrap();
    let read = read_by_kcat(&broker, "t");
    assert!(read[0].0 >= start && read.last().unwrap().0 == written.0.len() as i64 - 1);
    assert!(read.is_sorted_by(|one, next| one.0 < next.0));

    // Keys that come again are compacted: more is written than is kept, and less deleted than would be without.
    for _ in 0..6 {
        written.burst(&broker, "t", "none");
    }
    let folder = broker.data_dir().join("t-0");
    wait::until("what is left to be compacted", PATIENCE, || {
        let base = active_base(&folder);
        let read = read_by_kcat(&broker, "t");
        for (offset, key, value) in &read {
            assert_eq!((key, value), (&written.0[*offset as usize].0, &written.0[*offset as usize].1));
        }
        let sealed: Vec<_> = read.iter().filter(|(offset, ..)| *offset < base).collect();
        let keys: BTreeSet<_> = sealed.iter().map(|(_, key, _)| key).collect();
        for (key, (offset, _)) in written.last() {
            let is_read = read.iter().any(|(found, ..)| *found == offset);
            assert!(is_read || key.starts_with("once-"), "the last of {key}");
        }
        Ok((sealed.len() == keys.len()).then_some(()))
    })
    .unwrap();
}

#[test]
fn the_topic_of_groups_is_compacted_and_groups_go_on_where_they_were() {
    if !tools::require(&[Tool::Kafka, Tool::Kcat]) {
        return;
    }
    let mut broker = spec()
        .set("offsets.topic.num.partitions", 1)
        .set("offsets.topic.segment.bytes", SEGMENT_BYTES)
        .set("group.initial.rebalance.delay.ms", 0)
        .start();
    let address = broker.address();
    broker.connect().create_topic("positions", 3, &[]).unwrap();
    let lines: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    kcat_with_input(&["-P", "-b", &address, "-t", "positions", "-p", "0"], lines.join("\n").as_bytes())
        .unwrap();
    let mut tools = Toolbox::start();
    let mut consume = |count: &str| {
        let words = ["--bootstrap-server", &address, "--topic", "positions", "--group", "readers"];
        let rest = ["--from-beginning", "--max-messages", count, "--timeout-ms", "60000"];
        tools
            .run("org.apache.kafka.tools.consumer.ConsoleConsumer", &[&words[..], &rest[..]].concat())
            .success()
    };
    assert_eq!(consume("10").lines().collect::<Vec<_>>(), lines[..10]);

    // Notes as long as they may be: a thousand commits fill several segments.
    let last = committed_offsets::commit_with_notes(&mut broker.connect(), "notes", 1_000, 4_000);
    let folder = broker.data_dir().join("__consumer_offsets-0");
    let size = |folder: &Path| -> u64 {
        let logs = segment_files(folder).into_iter().filter(|file| file.extension().unwrap() == "log");
        logs.map(|file| file.metadata().unwrap().len()).sum()
    };
    let written = wait::until("the topic to be compacted", PATIENCE, || {
        let size = size(&folder);
        if size < 3 * SEGMENT_BYTES { Ok(Some(size)) } else { anyhow::bail!("{size} bytes") }
    })
    .unwrap();
    assert!(written > 0);
    broker.kill();
    broker.restart();
    let committed = broker.connect().committed("notes", "positions", 3).unwrap();
    assert_eq!(committed, BTreeMap::from([(0, last), (1, last), (2, last)]));
    assert_eq!(consume("10").lines().collect::<Vec<_>>(), lines[10..20]);
    broker.terminate();
    accepts_with_gaps(&mut tools, &segment_files(&folder));
}
