//! Start, stop, and a second broker where there is one already.

use std::io::Write as _;

use it::batch::{Batch, records};
use it::broker::{Broker, Kind, second_on};
use it::raw::{api, error, frame, produce_body, produced};
use it::tools;

#[test]
fn a_second_broker_on_the_same_directory_is_refused_and_told_by_whom() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka names the directory only");
    }
    let broker = Broker::start();
    broker.connect().create_topic("t", 1, &[]).unwrap();
    let output = second_on(&broker).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let lock = broker.data_dir().join(".lock");
    assert!(said.contains(lock.to_str().unwrap()), "names the lock file: {said}");
    assert!(said.contains(&broker.pid().to_string()), "names the process: {said}");
    assert_eq!(broker.connect().list_offset("t", 0, -1).unwrap(), (error::NONE, 0));
}

#[test]
fn sigterm_answers_what_was_asked_and_leaves_a_clean_directory() {
    let mut broker = Broker::start();
    let mut connection = broker.connect();
    connection.create_topic("t", 1, &[]).unwrap();
    // Twenty requests on their way when the signal comes: each that is answered well is there afterwards.
    let batch = Batch::of_values(["x"]).bytes();
    for correlation in 0..20 {
        let request = frame(api::PRODUCE, 8, correlation, &produce_body("t", &[0], -1, &batch));
        connection.stream.write_all(&request).unwrap();
    }
    let mut acknowledged = 0;
    let first = connection.receive().unwrap();
    assert_eq!(produced(&first[4..]).unwrap()[0], (error::NONE, 0));
    acknowledged += 1;
    let status = broker.terminate();
    while let Ok(answer) = connection.receive() {
        let (code, offset) = produced(&answer[4..]).unwrap()[0];
        if code == error::NONE {
            assert_eq!(offset, acknowledged);
            acknowledged += 1;
        }
    }
    // Kafka's JVM reports the signal.
    let expected = if broker.kind() == Kind::Kafka { 143 } else { 0 };
    assert_eq!(status.code(), Some(expected), "{status}");
    assert!(broker.data_dir().join(".kafka_cleanshutdown").exists(), "the marker of a clean shutdown");

    broker.restart();
    assert!(
        !broker.data_dir().join(".kafka_cleanshutdown").exists() || broker.kind() == Kind::Kafka,
        "a start takes the marker away"
    );
    let mut connection = broker.connect();
    connection.wait_led("t", 0).unwrap();
    let (code, end) = connection.list_offset("t", 0, -1).unwrap();
    assert_eq!(code, error::NONE);
    assert!(end >= acknowledged, "{end} records of {acknowledged} acknowledged ones");
    let read = records(&connection.fetch("t", 0, 0).unwrap().records);
    assert_eq!(read.iter().map(|record| record.offset).collect::<Vec<_>>(), (0..end).collect::<Vec<_>>());
}

#[test]
fn topics_configs_and_records_survive_restarts() {
    let mut broker = Broker::start();
    let mut connection = broker.connect();
    connection.create_topic("kept", 3, &[("retention.ms", "7200000")]).unwrap();
    for (round, how) in ["clean", "killed", "killed", "clean"].into_iter().enumerate() {
        let mut connection = broker.connect();
        for partition in 0..3 {
            let value = format!("{how}-{round}-{partition}");
            let outcome = connection.produce_once_led("kept", partition, &Batch::of_values([value]).bytes());
            assert_eq!(outcome.unwrap(), (error::NONE, round as i64));
        }
        if how == "clean" {
            broker.terminate();
        } else {
            broker.kill();
        }
        broker.restart();
        let mut connection = broker.connect();
        for partition in 0..3 {
            connection.wait_led("kept", partition).unwrap();
            let fetched = connection.fetch("kept", partition, 0).unwrap();
            assert_eq!(fetched.error, error::NONE);
            assert_eq!(records(&fetched.records).len(), round + 1, "after a {how} end");
        }
    }
}
