//! What decoding a Publish costs: `cargo run --release -p ottla-rpc --example decode_cost -- [MEGABYTES]`.
//!
//! One line for each size of record: how many there are, and the time to decode them and to let them go. Nothing of them is
//! copied, so it is their number that costs.
#![allow(clippy::unwrap_used, reason = "a measurement: a surprise ends it")]

use std::time::{Duration, Instant};

use bytes::BytesMut;
use ottla_rpc::v1;
use prost::Message as _;

const ROUNDS: u32 = 20;

fn main() {
    let megabytes: usize = std::env::args().nth(1).map_or(10, |words| words.parse().unwrap());
    for (bytes, keyed, headers) in
        [(10, false, 0), (100, true, 0), (100, true, 2), (1_000, true, 0), (100_000, true, 0)]
    {
        let record = v1::Record {
            key: keyed.then(|| "a key".into()),
            value: Some(vec![b'v'; bytes].into()),
            headers: vec![v1::Header { name: "name".into(), value: Some("value".into()) }; headers],
            ..Default::default()
        };
        let records = vec![record; megabytes * 1_000_000 / bytes];
        let count = records.len();
        let request = v1::PublishRequest { topic: "topic".into(), records, ..Default::default() };
        let encoded = request.encode_to_vec();
        let (mut decoding, mut dropping) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..ROUNDS {
            // As tonic hands it over.
            let message = BytesMut::from(encoded.as_slice());
            let begin = Instant::now();
            let decoded = v1::PublishRequest::decode(message).unwrap();
            decoding += begin.elapsed();
            let begin = Instant::now();
            drop(decoded);
            dropping += begin.elapsed();
        }
        println!(
            "{count} records of {bytes} bytes, {headers} headers, {} bytes: {:?} to decode, {:?} to let go, {:?} a record",
            encoded.len(),
            decoding / ROUNDS,
            dropping / ROUNDS,
            (decoding + dropping) / ROUNDS / u32::try_from(count).unwrap(),
        );
    }
}
