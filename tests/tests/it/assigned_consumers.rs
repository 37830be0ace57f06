//! Every family of clients with assigned partitions: produce, read from the start, from an offset, from the end, by time.

use it::broker::Broker;
use it::clients::{kcat, kcat_with_input, python};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};

#[test]
fn kcat_reads_from_start_offset_end_and_time() {
    if tools::require(&[Tool::Kcat]) {
        kcat_reads(&Broker::start());
    }
}

pub(crate) fn kcat_reads(broker: &Broker) {
    let address = broker.address();
    broker.connect().create_topic("t", 2, &[]).unwrap();
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines: String = (0..100).map(|index| format!("{compression}-{index}\n")).collect();
        kcat_with_input(
            &["-P", "-b", &address, "-t", "t", "-p", "1", "-z", compression, "-X", "acks=all"],
            lines.as_bytes(),
        )
        .unwrap();
    }
    let read = |offset: &str, rest: &[&str]| {
        let place = ["-C", "-q", "-e", "-b", &address, "-t", "t", "-p", "1", "-o", offset, "-f", "%o %s\n"];
        let lines = String::from_utf8(kcat(&[&place[..], rest].concat()).unwrap()).unwrap();
        lines.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = read("beginning", &[]);
    assert_eq!(all.len(), 500);
    assert_eq!((&*all[0], &*all[250], &*all[499]), ("0 none-0", "250 snappy-50", "499 zstd-99"));
    assert_eq!(read("498", &[]), ["498 zstd-98", "499 zstd-99"]);
    assert_eq!(read("-3", &["-c", "2"]), ["497 zstd-97", "498 zstd-98"]);
    assert_eq!(read("s@0", &["-c", "1"]), ["0 none-0"]);
    assert_eq!(read("end", &[]), [""; 0]);
    assert_eq!(
        String::from_utf8(kcat(&["-Q", "-b", &address, "-t", "t:1:-1", "-t", "t:0:-2"]).unwrap())
            .unwrap()
            .lines()
            .count(),
        2
    );
    let listing = String::from_utf8(kcat(&["-L", "-b", &address]).unwrap()).unwrap();
    assert!(listing.contains("topic \"t\" with 2 partitions"), "{listing}");
}

#[test]
fn confluent_kafka_with_assigned_partitions() {
    python_client("confluent_assigned.py");
}

#[test]
fn kafka_python_with_assigned_partitions() {
    python_client("kafka_python_assigned.py");
}

fn python_client(script: &str) {
    if tools::require(&[Tool::Python]) {
        python_reads(&Broker::start(), script);
    }
}

pub(crate) fn python_reads(broker: &Broker, script: &str) {
    broker.connect().create_topic("t", 2, &[]).unwrap();
    let output = python(script, &[&broker.address(), "t"]).unwrap();
    assert_eq!(String::from_utf8(output).unwrap().trim(), "ok");
}

#[test]
fn the_console_consumer_reads_one_partition() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let broker = Broker::start();
    let address = broker.address();
    let mut tools = Toolbox::start();
    // The topic is created by the first metadata request that names it.
    let produce = ["--bootstrap-server", &address, "--topic", "auto", "--reader-property", "parse.key=true"];
    tools
        .run_with_input("org.apache.kafka.tools.ConsoleProducer", &produce, b"a\tone\nb\ttwo\nc\tthree\n")
        .success();
    let mut consume = |rest: &str| {
        let place =
            ["--bootstrap-server", &address, "--topic", "auto", "--partition", "0", "--timeout-ms", "20000"];
        let words: Vec<&str> = place.into_iter().chain(rest.split_whitespace()).collect();
        tools.run("org.apache.kafka.tools.consumer.ConsoleConsumer", &words).success()
    };
    let print = "--formatter-property print.key=true --formatter-property print.offset=true";
    assert_eq!(
        consume(&format!("--offset earliest --max-messages 3 {print}")),
        "Offset:0\ta\tone\nOffset:1\tb\ttwo\nOffset:2\tc\tthree\n"
    );
    assert_eq!(consume("--offset 2 --max-messages 1"), "three\n");
}
