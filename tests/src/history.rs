//! What idempotent writers were told, held against what is stored in the end.
//!
//! Writer `a` sends the values `a-0`, `a-1`, … in this order, number i to partition i modulo their count. An acknowledged value
//! stands at its offset, once. One whose fate is unknown (a timeout) may stand there or not, once. Whatever of a writer stands in a
//! partition stands there in the order of sending. What nobody sent is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::batch::Record;

#[cfg(test)]
mod tests;

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Which of the writer's values.
    pub number: u64,
    /// Where it was sent.
    pub partition: i32,
    /// Where it stands. A client may hear that a repeated batch is there and not where.
    pub offset: Option<i64>,
    /// When we were told.
    pub at: Instant,
}

/// One writer's side of it.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// The name in its values.
    pub name: String,
    /// It sent the numbers below this.
    pub sent: u64,
    /// In the order of arrival.
    pub acknowledged: Vec<Acknowledged>,
    /// What failed in a way that says nothing about what is stored.
    pub unknown: BTreeSet<u64>,
}

impl Writes {
    /// The longest time between two acknowledgements of one partition that ends after `from`: an outage, when a fault happened
    /// then. The silence since the last acknowledgement counts when it is the longest.
    pub fn longest_gap(&self, from: Instant) -> Duration {
        let mut next: BTreeMap<i32, Instant> = BTreeMap::new();
        let now = Instant::now();
        let mut longest = Duration::ZERO;
        for acknowledged in self.acknowledged.iter().rev() {
            let end = next.insert(acknowledged.partition, acknowledged.at).unwrap_or(now);
            if end >= from {
                longest = longest.max(end.saturating_duration_since(acknowledged.at));
            }
        }
        longest
    }

    /// How many values of each partition were acknowledged.
    pub fn by_partition(&self) -> BTreeMap<i32, usize> {
        let mut counts = BTreeMap::new();
        for acknowledged in &self.acknowledged {
            *counts.entry(acknowledged.partition).or_default() += 1;
        }
        counts
    }
}

/// What is stored: each partition's values in the order of their offsets.
#[derive(Clone, Debug, Default)]
pub struct Stored(pub BTreeMap<i32, Vec<(i64, String)>>);

impl Stored {
    /// Adds what was read of a partition.
    pub fn add(&mut self, partition: i32, records: &[Record]) {
        let text = |record: &Record| String::from_utf8_lossy(&record.value).into_owned();
        self.0.insert(partition, records.iter().map(|record| (record.offset, text(record))).collect());
    }

    /// How many values.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged and not stored.
    Lost {
        /// The value.
        value: String,
        /// Where it was said to be.
        partition: i32,
        /// The same.
        offset: Option<i64>,
    },
    /// Acknowledged at one offset and stored at another.
    Moved {
        /// The value.
        value: String,
        /// Where.
        partition: i32,
        /// What the acknowledgement said.
        told: i64,
        /// Where it is.
        found: i64,
    },
    /// Stored more than once.
    Doubled {
        /// The value.
        value: String,
        /// The partitions and offsets.
        places: Vec<(i32, i64)>,
    },
    /// Stored behind a value that was sent later.
    Reordered {
        /// The value.
        value: String,
        /// Where.
        partition: i32,
        /// At this offset.
        offset: i64,
        /// Behind this number of the same writer.
        behind: u64,
    },
    /// Stored in a partition it was not sent to, or never sent at all.
    Foreign {
        /// The value.
        value: String,
        /// Where.
        partition: i32,
        /// At this offset.
        offset: i64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Lost { value, partition, offset: Some(offset) } => {
                write!(to, "lost: {value}, acknowledged at partition {partition}, offset {offset}")
            }
            Violation::Lost { value, partition, offset: None } => {
                write!(to, "lost: {value}, acknowledged in partition {partition}")
            }
            Violation::Moved { value, partition, told, found } => {
                write!(
                    to,
                    "moved: {value} in partition {partition}, acknowledged at {told}, stored at {found}"
                )
            }
            Violation::Doubled { value, places } => write!(to, "doubled: {value} at {places:?}"),
            Violation::Reordered { value, partition, offset, behind } => {
                write!(to, "reordered: {value} at offset {offset} of partition {partition}, behind {behind}")
            }
            Violation::Foreign { value, partition, offset } => {
                write!(to, "never sent there: {value} at offset {offset} of partition {partition}")
            }
        }
    }
}

/// Where each of a writer's values stands: partition and offset, by its number.
type Places = BTreeMap<u64, Vec<(i32, i64)>>;

/// Every promise that what is stored breaks to these writers of `partitions` partitions.
pub fn check(writers: &[Writes], stored: &Stored, partitions: i32) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut places: BTreeMap<&str, Places> = BTreeMap::new();
    for (partition, values) in &stored.0 {
        let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
        for (offset, value) in values {
            let sent = writers.iter().find_map(|writer| number_of(writer, value, *partition, partitions));
            let Some((name, number)) = sent else {
                let (partition, offset) = (*partition, *offset);
                violations.push(Violation::Foreign { value: value.clone(), partition, offset });
                continue;
            };
            let found = places.entry(name).or_default().entry(number).or_default();
            found.push((*partition, *offset));
            let before = highest.get(name).copied();
            // A second copy is a double already, wherever it stands.
            if let Some(behind) = before.filter(|before| number < *before && found.len() == 1) {
                let (partition, offset) = (*partition, *offset);
                violations.push(Violation::Reordered { value: value.clone(), partition, offset, behind });
            }
            highest.insert(name, before.map_or(number, |before| before.max(number)));
        }
    }
    for (name, numbers) in &places {
        let doubled = numbers.iter().filter(|(_, places)| places.len() > 1);
        violations.extend(doubled.map(|(number, places)| Violation::Doubled {
            value: format!("{name}-{number}"),
            places: places.clone(),
        }));
    }
    for writer in writers {
        let found = places.get(writer.name.as_str());
        violations.extend(writer.acknowledged.iter().filter_map(|told| {
            let places = found.and_then(|found| found.get(&told.number));
            broken(&writer.name, told, places.map_or(&[], Vec::as_slice))
        }));
    }
    violations
}

/// What became of an acknowledged value, when that is a broken promise.
fn broken(name: &str, told: &Acknowledged, places: &[(i32, i64)]) -> Option<Violation> {
    let value = format!("{name}-{}", told.number);
    let Acknowledged { partition, offset, .. } = *told;
    let (Some((_, found)), Some(offset)) = (places.first().copied(), offset) else {
        return places.is_empty().then_some(Violation::Lost { value, partition, offset });
    };
    let stands = places.contains(&(partition, offset));
    (!stands).then_some(Violation::Moved { value, partition, told: offset, found })
}

/// The writer's name and the number in a value, if it sent that to this partition.
fn number_of<'a>(writer: &'a Writes, value: &str, partition: i32, partitions: i32) -> Option<(&'a str, u64)> {
    let number: u64 = value.strip_prefix(writer.name.as_str())?.strip_prefix('-')?.parse().ok()?;
    let there = number % u64::try_from(partitions).ok()? == u64::try_from(partition).ok()?;
    (number < writer.sent && there).then_some((&writer.name, number))
}
