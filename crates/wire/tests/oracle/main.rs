//! Our messages against Kafka's own: what its classes wrote is in `tests/corpus/`, made by `cargo xtask oracle`, so that no
//! Java is needed here. `cargo xtask oracle --live` lets both sides make new messages and names the folder they exchange
//! them through in `OTTLA_ORACLE`: then Kafka's are read from there, too, and ours written there for Kafka to read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unused_variables,
    unused_mut,
    unreachable_pub,
    reason = "tests, half of them generated"
)]

mod corpus;
mod damaged;
mod request_decode;
mod subject;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use corpus::{cases, check_messages, read_packed, to_hex};
use damaged::check_damaged;
use ottla_wire::{ApiKey, Reader, frame};
use subject::{Rng, subjects};

fn corpus(name: &str) -> String {
    read_packed(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name))
}

fn exchange() -> Option<PathBuf> {
    std::env::var_os("OTTLA_ORACLE").map(PathBuf::from)
}

#[test]
fn what_kafka_wrote_is_read_and_written_alike() {
    let checked = check_messages(&corpus("messages.gz"));
    assert!(checked > 2500, "only {checked}");
    if let Some(exchange) = exchange() {
        let fresh = check_messages(&fs::read_to_string(exchange.join("kafkas.txt")).unwrap());
        println!("{fresh} new messages of Kafka's are read and written alike");
    }
}

#[test]
fn what_kafka_refuses_is_refused() {
    let tally = check_damaged(&corpus("damaged.gz"));
    // The corpus would say nothing if all of it ended one way.
    assert!(tally.both_refuse > 500 && tally.both_accept > 500 && tally.only_we_refuse > 0, "{tally:?}");
    assert!(tally.written_otherwise > 0, "{tally:?}");
    if let Some(exchange) = exchange() {
        let fresh = check_damaged(&fs::read_to_string(exchange.join("damaged.txt")).unwrap());
        println!("new damaged messages: {fresh:?}");
    }
}

#[test]
fn every_message_has_cases_at_every_version() {
    let text = corpus("messages.gz");
    let tested: BTreeSet<(&str, i16)> = cases(&text).map(|case| (case.name, case.version)).collect();
    let subjects = subjects();
    let all: BTreeSet<(&str, i16)> =
        subjects.iter().flat_map(|s| s.versions.clone().map(|version| (s.name, version))).collect();
    assert_eq!(tested, all);
    assert_eq!((subjects.len(), all.len()), (226, 650), "Kafka 4.3.0 has so many; update with the schema");
}

#[test]
fn random_messages_survive_the_wire() {
    let exchange = exchange();
    let seed = std::env::var("OTTLA_ORACLE_SEED").map_or(0, |seed| seed.parse().unwrap());
    let mut rng = Rng::new(seed);
    let mut lines = String::new();
    for subject in subjects() {
        for version in subject.versions.clone() {
            for _ in 0..8 {
                let made = (subject.random)(&mut rng, version);
                let bytes =
                    made.encoded.unwrap_or_else(|e| panic!("{} version {version}: {e}", subject.name));
                let read = (subject.read)(&bytes, version).unwrap();
                assert_eq!(read.debug, made.debug, "{} version {version}, seed {seed}", subject.name);
                writeln!(lines, "{} {version} {} {}", subject.name, to_hex(&bytes), made.json).unwrap();
            }
        }
    }
    if let Some(exchange) = exchange {
        fs::write(exchange.join("ours.txt"), lines).unwrap();
    }
}

#[test]
fn the_fuzzers_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/request_decode");
    let mut apis = BTreeSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let memory = allocation_counter::measure(|| request_decode::check(&bytes)).bytes_max;
        // The frame, its message twice with the text of both, and what is reserved before elements are read.
        assert!(memory < (bytes.len() as u64 + 1024) * 256, "{memory} bytes for {} on the wire", bytes.len());
        let mut reader = Reader::new(bytes.into());
        apis.extend(frame::read_request_header(&mut reader).map(|(_, api)| api));
    }
    assert_eq!(apis.into_iter().collect::<Vec<_>>(), ApiKey::ALL, "an API is not in {}", folder.display());
}
