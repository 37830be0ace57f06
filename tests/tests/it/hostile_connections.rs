//! A thousand connections that do nothing useful must not keep others from being served, nor fill the memory.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use it::batch::Batch;
use it::broker::{Broker, Kind, Spec};
use it::raw::{Connection, error};
use it::tools;

const CONNECTIONS: usize = 1_000;
const MAX_RSS: u64 = 100 << 20;

#[test]
fn idle_slow_and_lying_connections_leave_others_served_and_memory_small() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note(
            "Kafka reserves a frame's claimed length with its first byte and runs out of memory",
        );
    }
    let mut broker = Spec::under_test().start();
    // Those that claim 2 GiB are closed, each worth a line.
    broker.expect_log("connection");
    let mut witness = broker.connect();
    witness.create_topic("t", 1, &[]).unwrap();

    let idle = open_many(&broker);
    serves(&mut witness, &broker, "idle connections");

    let mut slow = open_many(&broker);
    // The first bytes of a frame of 64 MiB, which is allowed, one byte at a time.
    let start = [4_u8, 0, 0, 0, 0, 0, 0, 8];
    for byte in start {
        let tick = Instant::now();
        for stream in &mut slow {
            stream.write_all(&[byte]).unwrap();
        }
        serves(&mut witness, &broker, "one byte a second");
        // The pace is the attack: one byte a second, twice as fast to keep the test short.
        std::thread::sleep(Duration::from_millis(500).saturating_sub(tick.elapsed()));
    }

    let mut lying = open_many(&broker);
    for stream in &mut lying {
        // The broker may have closed it already.
        let _ = stream.write_all(&i32::MAX.to_be_bytes());
    }
    serves(&mut witness, &broker, "a length of 2 GiB");
    drop((idle, slow, lying));
    serves(&mut broker.connect(), &broker, "after they are gone");
}

fn open_many(broker: &Broker) -> Vec<TcpStream> {
    (0..CONNECTIONS).map(|_| TcpStream::connect(broker.address()).unwrap()).collect()
}

/// A record is produced and read back promptly, old connection and new, within the memory bound.
fn serves(connection: &mut Connection, broker: &Broker, beside: &str) {
    let begin = Instant::now();
    let (code, offset) = connection.produce("t", 0, -1, &Batch::of_values(["served"]).bytes()).unwrap();
    assert_eq!(code, error::NONE, "{beside}");
    assert_eq!(broker.connect().fetch("t", 0, offset).unwrap().error, error::NONE, "{beside}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{beside}: took {:?}", begin.elapsed());
    let rss = broker.rss_bytes();
    assert!(rss < MAX_RSS, "{beside}: {} MiB resident", rss >> 20);
}
