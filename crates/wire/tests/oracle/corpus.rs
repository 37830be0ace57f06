//! The lines that `cargo xtask oracle` lets Kafka write, and what our messages make of them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::subject::{Subject, subjects};

/// A line `name version hex json`.
pub struct Case<'a> {
    /// Which message.
    pub name: &'a str,
    /// At which version.
    pub version: i16,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The rest of the line.
    pub rest: &'a str,
}

/// Takes lines apart.
pub fn cases(text: &str) -> impl Iterator<Item = Case<'_>> {
    text.lines().map(|line| {
        let [name, version, hex, rest] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
            panic!("not a case: '{line}'")
        };
        Case { name, version: version.parse().unwrap(), bytes: from_hex(hex), rest }
    })
}

/// Messages by their names.
pub fn by_name() -> BTreeMap<&'static str, Subject> {
    subjects().into_iter().map(|subject| (subject.name, subject)).collect()
}

/// Decodes what Kafka encoded, compares every field with what Kafka says is in it, encodes again and compares every byte.
/// Returns the number of cases.
pub fn check_messages(text: &str) -> usize {
    let subjects = by_name();
    let mut count = 0;
    for Case { name, version, bytes, rest } in cases(text) {
        let subject = subjects.get(name).unwrap_or_else(|| panic!("no message {name}"));
        let read = (subject.read)(&bytes, version)
            .unwrap_or_else(|error| panic!("{name} version {version}: {error}\n{}\n{rest}", to_hex(&bytes)));
        let kafkas: Value = serde_json::from_str(rest).unwrap();
        assert_eq!(read.json, kafkas, "{name} version {version}\n{}", to_hex(&bytes));
        let encoded = read.encoded.unwrap_or_else(|error| panic!("{name} version {version}: {error}"));
        assert_eq!(to_hex(&encoded), to_hex(&bytes), "{name} version {version}\n{rest}");
        count += 1;
    }
    count
}

/// The text of a packed file.
pub fn read_packed(path: &Path) -> String {
    let packed = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    text
}

/// `-` for no bytes at all.
pub fn to_hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
}

/// The opposite.
pub fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
    hex.trim_start_matches('-')
        .as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
