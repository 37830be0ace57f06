//! The names of a partition's files, as Kafka spells them: `<base offset, 20 digits>.<kind>`.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use ottla_record::Offset;

/// Kafka's leader-epoch history of one partition.
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// The topic id of one partition.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Suffix of a file that is out of the log and waits to be removed.
pub const DELETED_SUFFIX: &str = ".deleted";
/// Suffix of a partition directory that waits to be removed.
pub const DELETED_DIR_SUFFIX: &str = "-delete";
/// Suffix of a partition directory that belongs to a topic which is no more, and is kept for an operator to look at (Kafka's).
pub const STRAY_DIR_SUFFIX: &str = "-stray";
/// Suffix of a file that is being written and takes its name by a rename.
pub const TEMPORARY_SUFFIX: &str = ".tmp";
/// Suffix of a compacted segment that is not complete (Kafka's).
pub const CLEANED_SUFFIX: &str = ".cleaned";
/// Suffix of a compacted segment that is about to take its name (Kafka's).
pub const SWAP_SUFFIX: &str = ".swap";

/// The files of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Record batches.
    Log,
    /// Offset to position.
    OffsetIndex,
    /// Timestamp to offset.
    TimeIndex,
    /// Aborted transactions.
    TransactionIndex,
    /// The state of producers at the base offset.
    ProducerSnapshot,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TransactionIndex, Self::ProducerSnapshot];

    /// Those that hold a segment: all but the snapshot, which lies at an offset and belongs to no segment.
    pub const OF_SEGMENT: [Self; 4] = [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TransactionIndex];

    /// The part of the name after the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::OffsetIndex => "index",
            Self::TimeIndex => "timeindex",
            Self::TransactionIndex => "txnindex",
            Self::ProducerSnapshot => "snapshot",
        }
    }
}

/// The name of one file of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName {
    /// The base offset; for a snapshot, the offset it was taken at.
    pub base: Offset,
    /// What the file holds.
    pub kind: FileKind,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}.{}", self.base.get(), self.kind.extension())
    }
}

impl FileName {
    /// Reads a name; `None` for a file that is not part of a segment.
    pub fn parse(name: &str) -> Option<Self> {
        let (digits, extension) = name.split_once('.')?;
        if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let base = Offset::new(digits.parse().ok()?);
        let kind = FileKind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
        Some(Self { base, kind })
    }
}

/// The path of a file with something behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_read_back() {
        let name = FileName { base: Offset::new(42), kind: FileKind::TimeIndex };
        assert_eq!(name.to_string(), "00000000000000000042.timeindex");
        assert_eq!(FileName::parse("00000000000000000042.timeindex"), Some(name));
        for other in [
            "42.log",
            "00000000000000000042.log.deleted",
            "00000000000000000042",
            "-0000000000000000042.log",
            "99999999999999999999.log",
            "leader-epoch-checkpoint",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
