//! `kill -9`, fifty times, under two idempotent producers: what was acknowledged is there, once, in order.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use it::batch::{noise, records};
use it::broker::{Kind, Spec};
use it::clients::start_python;
use it::raw::{Connection, error};
use it::tools::{self, Tool};
use it::wait;

const TOPIC: &str = "killed";
const PARTITIONS: i32 = 2;

/// A producer process and what was acknowledged to it: number to offset, which is below 0 where the client was not told.
struct Producer {
    name: &'static str,
    child: Child,
    acknowledged: Arc<Mutex<BTreeMap<u64, i64>>>,
    count: Arc<AtomicUsize>,
    reader: JoinHandle<Option<u64>>,
}

impl Producer {
    fn start(address: &str, name: &'static str) -> Self {
        let mut child =
            start_python("numbered_producer.py", &[address, TOPIC, name, &PARTITIONS.to_string()]).unwrap();
        let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
        let count = Arc::new(AtomicUsize::new(0));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = thread::spawn({
            let (acknowledged, count) = (acknowledged.clone(), count.clone());
            move || {
                for line in lines.map_while(Result::ok) {
                    let (number, offset) = line.split_once(' ').unwrap();
                    if number == "sent" {
                        return offset.parse().ok();
                    }
                    acknowledged.lock().unwrap().insert(number.parse().unwrap(), offset.parse().unwrap());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                None
            }
        });
        Self { name, child, acknowledged, count, reader }
    }

    fn progress(&mut self) -> usize {
        assert!(self.child.try_wait().unwrap().is_none(), "the producer {} gave up", self.name);
        self.count.load(Ordering::Relaxed)
    }

    /// Lets it finish; how many it sent, and what was acknowledged.
    fn finish(mut self) -> (u64, BTreeMap<u64, i64>) {
        drop(self.child.stdin.take());
        let sent = self.reader.join().unwrap();
        assert!(self.child.wait().unwrap().success(), "the producer {} failed", self.name);
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock().unwrap());
        (sent.expect("the last line says how many"), acknowledged)
    }
}

#[test]
fn fifty_kills_under_load_lose_and_double_nothing() {
    if !tools::require(&[Tool::Python]) {
        return;
    }
    // Kafka takes a while to come back; it is run to judge the test.
    let kills = if Kind::under_test() == Kind::Kafka { 3 } else { 50 };
    // Small segments, so that some kills meet a roll.
    let mut broker = Spec::under_test().set("log.segment.bytes", 1 << 20).start();
    broker.expect_log(&format!("{TOPIC}-"));
    broker.connect().create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    let mut producers = [Producer::start(&broker.address(), "a"), Producer::start(&broker.address(), "b")];
    for round in 0..kills {
        let before = producers.each_mut().map(Producer::progress);
        wait::until("both producers to go on", Duration::from_secs(60), || {
            let now = producers.each_mut().map(Producer::progress);
            Ok((now[0] > before[0] + 50 && now[1] > before[1] + 50).then_some(()))
        })
        .unwrap();
        // Not always at the same moment of a producer's cycle.
        thread::sleep(Duration::from_millis(u64::from(noise(1, round)[0])));
        broker.kill();
        broker.restart();
    }
    let outcomes = producers.map(|producer| (producer.name, producer.finish()));
    let mut connection = broker.connect();
    let stored: Vec<Vec<String>> =
        (0..PARTITIONS).map(|partition| read_all(&mut connection, partition)).collect();
    let mut total = 0;
    for (name, (sent, acknowledged)) in outcomes {
        total += acknowledged.len();
        let placed: Vec<_> = acknowledged.iter().filter(|(_, offset)| **offset >= 0).collect();
        assert!(
            placed.len() * 10 > acknowledged.len() * 9,
            "{} of {} have an offset",
            placed.len(),
            acknowledged.len()
        );
        for (number, offset) in placed {
            let found = &stored[(*number % PARTITIONS as u64) as usize][*offset as usize];
            assert_eq!(*found, format!("{name}-{number}"), "at acknowledged offset {offset}");
        }
        assert_eq!(acknowledged.len() as u64, sent, "every record of {name} was acknowledged in the end");
        for (partition, values) in stored.iter().enumerate() {
            let prefix = format!("{name}-");
            let numbers = values.iter().filter_map(|value| value.strip_prefix(&prefix)?.parse::<u64>().ok());
            let expected = (0..sent).filter(|number| *number % PARTITIONS as u64 == partition as u64);
            assert!(
                numbers.eq(expected),
                "partition {partition} has each of {name}'s records once, in order"
            );
        }
    }
    assert_eq!(stored.iter().map(Vec::len).sum::<usize>(), total, "nothing else is stored");
    eprintln!("{kills} kills, {total} records");
}

/// All values of a partition; offsets must be dense from 0.
fn read_all(connection: &mut Connection, partition: i32) -> Vec<String> {
    connection.wait_led(TOPIC, partition).unwrap();
    let (_, end) = connection.list_offset(TOPIC, partition, -1).unwrap();
    let mut values: Vec<String> = Vec::new();
    while (values.len() as i64) < end {
        let fetched = connection.fetch(TOPIC, partition, values.len() as i64).unwrap();
        assert_eq!(fetched.error, error::NONE);
        for record in records(&fetched.records) {
            // A batch comes whole, also when asked for from its middle.
            if record.offset >= values.len() as i64 {
                assert_eq!(record.offset, values.len() as i64, "offsets are dense");
                values.push(String::from_utf8(record.value).unwrap());
            }
        }
    }
    values
}
