//! Damaged messages and what Kafka makes of them: bytes that it refuses we refuse, and what both accept means the same.

use ottla_wire::Error;

use crate::corpus::{Case, by_name, cases, from_hex, to_hex};

/// How many inputs ended how.
#[derive(Debug, Default)]
pub struct Tally {
    /// Both refuse.
    pub both_refuse: usize,
    /// Both accept, and encode what they understood to the same bytes.
    pub both_accept: usize,
    /// Both accept and understood the same, but Kafka keeps unknown tags, and counts what is not UTF-8 otherwise.
    pub written_otherwise: usize,
    /// Kafka accepts a tagged field that does not end where its size says.
    pub only_we_refuse: usize,
}

/// Lines `name version hex verdict` as `WireOracle damage` writes them.
pub fn check_damaged(text: &str) -> Tally {
    let subjects = by_name();
    let mut tally = Tally::default();
    for Case { name, version, bytes, rest } in cases(text) {
        let subject = &subjects[name];
        let context = || format!("{name} version {version}: {} Kafka: {rest}", to_hex(&bytes));
        let ours = (subject.read)(&bytes, version);
        match (ours, rest) {
            (Err(_), "rejected") => tally.both_refuse += 1,
            (Ok(_), "rejected") => panic!("accepted: {}", context()),
            // Kafka read, but cannot write again, what it should not have read.
            (_, "unwritable") => {}
            (Err(Error::TagSize { .. }), _) => tally.only_we_refuse += 1,
            (Err(error), _) => panic!("refused, {error}: {}", context()),
            (Ok(read), kafkas) => {
                let encoded = read.encoded.unwrap_or_else(|error| panic!("{error}: {}", context()));
                if to_hex(&encoded) == kafkas {
                    tally.both_accept += 1;
                    continue;
                }
                let kafkas = (subject.read)(&from_hex(kafkas), version).unwrap();
                assert_eq!(joined(&read.debug), joined(&kafkas.debug), "{}", context());
                tally.written_otherwise += 1;
            }
        }
    }
    tally
}

/// Replacement characters in a row are one: Java and Rust may put a different number of them.
fn joined(debug: &str) -> String {
    let mut out = debug.to_owned();
    while out.contains("\u{fffd}\u{fffd}") {
        out = out.replace("\u{fffd}\u{fffd}", "\u{fffd}");
    }
    out
}
