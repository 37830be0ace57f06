//! Debian's package descriptions, tens of megabytes of real text, through one client and back through another.

use std::process::Command;

use it::broker::Broker;
use it::clients::{kcat, kcat_with_input};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};

const PARTITIONS: usize = 3;
const KEY_END: u8 = 0x1f;
const VALUE_END: u8 = 0x1e;

/// A key and its value.
type Record = (Vec<u8>, Vec<u8>);

#[test]
fn package_descriptions_cross_from_client_to_client_unchanged() {
    if !tools::require(&[Tool::Kafka, Tool::Kcat]) {
        return;
    }
    let Some(stanzas) = package_stanzas() else { return };
    let input: Vec<u8> = stanzas
        .iter()
        .flat_map(|(key, value)| [key.as_slice(), &[KEY_END], value.as_slice(), &[VALUE_END]].concat())
        .collect();
    let expected = by_partition(&stanzas);
    let broker = Broker::start();
    let address = broker.address();
    let mut tools = Toolbox::start();
    let mut connection = broker.connect();
    for topic in ["from-kcat", "from-console"] {
        connection.create_topic(topic, PARTITIONS as i32, &[]).unwrap();
    }

    // librdkafka's own default partitioner is CRC32; murmur2_random is the one that agrees with the Java clients.
    let kcat_options = ["-P", "-b", &address, "-t", "from-kcat", "-z", "zstd", "-K", "\\x1f", "-D", "\\x1e"];
    let properties = ["-X", "partitioner=murmur2_random", "-X", "enable.idempotence=true"];
    kcat_with_input(&[&kcat_options[..], &properties[..]].concat(), &input).unwrap();
    tools
        .run_with_input(
            "org.apache.kafka.tools.ConsoleProducer",
            &[
                "--bootstrap-server",
                &address,
                "--topic",
                "from-console",
                "--line-reader",
                "StanzaReader",
                "--compression-codec",
                "lz4",
            ],
            &input,
        )
        .success();

    for (partition, records) in expected.iter().enumerate() {
        let read = console_consumer(&mut tools, &address, partition, records.len());
        assert_same(&read, records, &format!("kcat to console, partition {partition}"));
    }
    let read = kcat_consumer(&address);
    for (partition, records) in expected.iter().enumerate() {
        assert_same(&read[partition], records, &format!("console to kcat, partition {partition}"));
    }
}

/// The stanzas of `apt-cache dumpavail`, each with its package's name; `None` after a loud skip.
fn package_stanzas() -> Option<Vec<Record>> {
    let dump = || {
        Command::new("apt-cache").arg("dumpavail").output().map(|output| output.stdout).unwrap_or_default()
    };
    let mut text = dump();
    if text.is_empty() {
        // A fresh container has no package lists.
        let _ = Command::new("apt-get").args(["update", "-qq"]).status();
        text = dump();
    }
    if text.len() < 10 << 20 {
        tools::skip(
            "`apt-cache dumpavail` has less than 10 MiB to say; `apt-get update` needs root and a network",
        );
        return None;
    }
    assert!(!text.contains(&KEY_END) && !text.contains(&VALUE_END), "the separators occur in the text");
    let text = String::from_utf8_lossy(&text);
    let stanzas = text.split("\n\n").filter(|stanza| !stanza.trim().is_empty());
    let named = stanzas.map(|stanza| {
        let name = stanza
            .lines()
            .find_map(|line| line.strip_prefix("Package: "))
            .expect("a stanza names its package");
        (name.as_bytes().to_vec(), stanza.as_bytes().to_vec())
    });
    Some(named.collect())
}

fn by_partition(records: &[Record]) -> Vec<Vec<&Record>> {
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for record in records {
        partitions[(murmur2(&record.0) & 0x7fff_ffff) as usize % PARTITIONS].push(record);
    }
    partitions
}

/// The hash of Kafka's default partitioner (`Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0_u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

fn console_consumer(tools: &mut Toolbox, address: &str, partition: usize, count: usize) -> Vec<Record> {
    let (partition, count) = (partition.to_string(), count.to_string());
    let place = [
        "--bootstrap-server",
        address,
        "--topic",
        "from-kcat",
        "--partition",
        &partition,
        "--offset",
        "earliest",
    ];
    let bound = ["--max-messages", &count, "--timeout-ms", "30000"];
    let form = [
        "--formatter-property",
        "print.key=true",
        "--formatter-property",
        "key.separator=\u{1f}",
        "--formatter-property",
        "line.separator=\u{1e}",
    ];
    let run = tools.run(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &[&place[..], &bound[..], &form[..]].concat(),
    );
    assert_eq!(run.status, 0, "{}", run.err);
    split(&run.out).into_iter().map(|[key, value]| (key, value)).collect()
}

fn kcat_consumer(address: &str) -> Vec<Vec<Record>> {
    let output = kcat(&[
        "-C",
        "-b",
        address,
        "-t",
        "from-console",
        "-o",
        "beginning",
        "-e",
        "-q",
        "-f",
        "%p\\x1f%k\\x1f%s\\x1e",
    ])
    .unwrap();
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for [partition, key, value] in split(&output) {
        let partition: usize = String::from_utf8(partition).unwrap().parse().unwrap();
        partitions[partition].push((key, value));
    }
    partitions
}

fn split<const N: usize>(output: &[u8]) -> Vec<[Vec<u8>; N]> {
    let whole = output.strip_suffix(&[VALUE_END]).unwrap_or(output);
    let records = whole.split(|byte| *byte == VALUE_END);
    let fields =
        records.map(|record| record.split(|byte| *byte == KEY_END).map(<[u8]>::to_vec).collect::<Vec<_>>());
    fields.map(|fields| fields.try_into().expect("every record has its fields")).collect()
}

fn assert_same(read: &[Record], published: &[&Record], path: &str) {
    assert_eq!(read.len(), published.len(), "{path}: the number of records");
    // Not assert_eq: a difference would print megabytes.
    let different = read.iter().zip(published).position(|(read, published)| read != *published);
    assert_eq!(different, None, "{path}: the first record that differs");
}
