//! Kafka's checkpoint files: a version, a count, and a line of numbers for each entry.
//!
//! ```text
//! 0
//! 2
//! orders 0 1042
//! orders 1 977
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ottla_record::{Offset, PartitionIndex};

/// The only version there is.
const VERSION: &str = "0";

/// A partition by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// The name of its directory.
    pub fn directory(&self) -> PathBuf {
        PathBuf::from(format!("{}-{}", self.topic, self.partition))
    }

    /// Reads the name of a partition's directory; `None` for any other name.
    pub fn from_directory(dir: &Path) -> Option<Self> {
        let (topic, partition) = dir.to_str()?.rsplit_once('-')?;
        let number =
            partition.bytes().all(|byte| byte.is_ascii_digit()).then(|| partition.parse().ok())??;
        let valid = !topic.is_empty() && !topic.contains('/');
        valid.then(|| Self { topic: topic.to_owned(), partition: PartitionIndex::new(number) })
    }
}

/// What is wrong with a checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CheckpointError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Writes an offset for each partition.
pub fn write_offsets(offsets: &BTreeMap<TopicPartition, Offset>) -> String {
    let lines = offsets.iter().map(|(name, offset)| format!("{} {} {offset}", name.topic, name.partition));
    write_lines(lines)
}

/// Reads an offset for each partition.
pub fn read_offsets(text: &[u8]) -> Result<BTreeMap<TopicPartition, Offset>, CheckpointError> {
    let mut offsets = BTreeMap::new();
    read_lines(text, |line| {
        let mut fields = line.split_ascii_whitespace();
        let topic = fields.next()?.to_owned();
        let partition = PartitionIndex::from_wire(number(fields.next())?)?;
        let offset = Offset::from_wire(number(fields.next())?)?;
        let name = TopicPartition { topic, partition };
        fields.next().is_none().then(|| offsets.insert(name, offset).is_none())?.then_some(())
    })?;
    Ok(offsets)
}

/// Writes version, count and lines.
pub(crate) fn write_lines(lines: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        // Writing into a String does not fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Checks version and count and hands over each line; `None` means that it is malformed.
pub(crate) fn read_lines(
    text: &[u8],
    mut entry: impl FnMut(&str) -> Option<()>,
) -> Result<(), CheckpointError> {
    let error = |line, reason| CheckpointError { line, reason };
    let text = std::str::from_utf8(text).map_err(|_| error(1, "the file is not text"))?;
    let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line));
    match lines.next() {
        Some((_, VERSION)) => {}
        _ => return Err(error(1, "the version is not 0")),
    }
    let count = lines.next().and_then(|(_, line)| line.parse::<usize>().ok());
    let count = count.ok_or(error(2, "the number of entries cannot be read"))?;
    let mut read = 0;
    for (number, line) in lines {
        entry(line).ok_or(error(number, "the entry cannot be read"))?;
        read += 1;
    }
    if read == count { Ok(()) } else { Err(error(2, "the number of entries is not what is there")) }
}

/// Reads one field.
pub(crate) fn number<T: FromStr>(field: Option<&str>) -> Option<T> {
    field?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.to_owned(), partition: PartitionIndex::new(partition) }
    }

    #[test]
    fn offsets_are_written_as_kafka_writes_them() {
        let offsets =
            BTreeMap::from([(name("orders", 1), Offset::new(977)), (name("orders", 0), Offset::new(1042))]);
        let text = write_offsets(&offsets);
        assert_eq!(text, "0\n2\norders 0 1042\norders 1 977\n");
        assert_eq!(read_offsets(text.as_bytes()).unwrap(), offsets);
        assert!(read_offsets(b"0\n0\n").unwrap().is_empty());
    }

    #[test]
    fn damage_is_told_by_line() {
        for (text, line) in [
            (&b""[..], 1),
            (b"1\n0\n", 1),
            (b"0\n", 2),
            (b"0\n2\na 0 1\n", 2),
            (b"0\n99999999999999999999\n", 2),
            (b"0\n1\na 0\n", 3),
            (b"0\n1\na 0 -1\n", 3),
            (b"0\n1\na 0 1 2\n", 3),
            (b"0\n2\na 0 1\na 0 2\n", 4),
            (b"0\n1\n\xff 0 1\n", 1),
        ] {
            assert_eq!(read_offsets(text).unwrap_err().line, line, "{text:?}");
        }
    }

    #[test]
    fn directories_are_named_after_their_partition() {
        assert_eq!(TopicPartition::from_directory(Path::new("a-b-12")), Some(name("a-b", 12)));
        assert_eq!(name("a-b", 12).directory(), Path::new("a-b-12"));
        for other in ["a", "a-", "-1", "a-x", "a--1-delete", "a-1.0123-delete", "a/b-1"] {
            assert_eq!(TopicPartition::from_directory(Path::new(other)), None, "{other}");
        }
    }
}
