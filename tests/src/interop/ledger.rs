//! What a group did, as its members told it, and what must never happen.

use std::collections::{BTreeMap, BTreeSet};

use super::member::Event;

/// What was written, delivered and committed, partition by partition, and who owns what.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Log ends: the next offset to be written.
    ends: BTreeMap<i32, i64>,
    delivered: BTreeSet<(i32, i64)>,
    redelivered: u64,
    /// The highest offsets that anyone was told are committed.
    committed: BTreeMap<i32, i64>,
    owned: BTreeMap<String, BTreeSet<i32>>,
    /// What a member gave up since [`Ledger::watch_moves`].
    given_up: BTreeMap<String, BTreeSet<i32>>,
    /// Whether brokers stop while it is kept, and their clients lose connections.
    brokers_stop: bool,
    broken: Vec<String>,
}

impl Ledger {
    /// Of an empty topic.
    pub fn new(partitions: i32) -> Self {
        Self { ends: (0..partitions).map(|partition| (partition, 0)).collect(), ..Self::default() }
    }

    /// The same, of brokers that are restarted meanwhile: a connection may be closed.
    #[must_use]
    pub fn of_restarted_brokers(self) -> Self {
        Self { brokers_stop: true, ..self }
    }

    /// Records were written to a partition up to an offset, which is the next one.
    pub fn wrote(&mut self, partition: i32, end: i64) {
        self.ends.insert(partition, end);
    }

    /// A member said something.
    pub fn heard(&mut self, member: &str, event: &Event) {
        match event {
            Event::Assigned { partitions } => self.owned_by(member).extend(partitions),
            Event::Revoked { partitions } => {
                self.owned_by(member).retain(|partition| !partitions.contains(partition));
                self.given_up.entry(member.to_owned()).or_default().extend(partitions);
            }
            Event::Record { partition, offset } => self.delivered(member, *partition, *offset),
            Event::Committed { offsets } => {
                offsets.iter().for_each(|(partition, offset)| self.raise(*partition, *offset));
            }
            Event::Failed { error } => self.broken.push(format!("{member} failed: {error}")),
            Event::Disconnected { error } if !self.brokers_stop => {
                self.broken.push(format!("{member} was disconnected: {error}"));
            }
            Event::Disconnected { .. } | Event::Retried { .. } | Event::Closed => {}
        }
    }

    fn delivered(&mut self, member: &str, partition: i32, offset: i64) {
        let committed = self.committed.get(&partition).copied().unwrap_or(0);
        if offset < committed {
            self.broken.push(format!(
                "{member} was given partition {partition} offset {offset}, though {committed} was committed"
            ));
        }
        if offset >= self.ends.get(&partition).copied().unwrap_or(0) {
            self.broken
                .push(format!("{member} was given partition {partition} offset {offset}, never written"));
        }
        if !self.delivered.insert((partition, offset)) {
            self.redelivered += 1;
        }
    }

    fn raise(&mut self, partition: i32, offset: i64) {
        let committed = self.committed.entry(partition).or_default();
        *committed = offset.max(*committed);
    }

    fn owned_by(&mut self, member: &str) -> &mut BTreeSet<i32> {
        self.owned.entry(member.to_owned()).or_default()
    }

    /// The broker said what is committed. Less than a client was told is a broken promise.
    pub fn broker_says(&mut self, offsets: &BTreeMap<i32, i64>) {
        for (partition, told) in self.committed.clone() {
            let kept = offsets.get(&partition).copied().unwrap_or(-1);
            if kept < told {
                self.broken
                    .push(format!("partition {partition}: {told} was committed, the broker says {kept}"));
            }
        }
        offsets.iter().for_each(|(partition, offset)| self.raise(*partition, *offset));
    }

    /// A process is gone, and what it owned with it.
    pub fn gone(&mut self, member: &str) {
        self.owned.remove(member);
    }

    /// What a member owns.
    pub fn owns(&self, member: &str) -> BTreeSet<i32> {
        self.owned.get(member).cloned().unwrap_or_default()
    }

    /// Each partition has one owner, and each of these members has a share.
    pub fn is_shared_by(&self, members: &[&str]) -> bool {
        let mut all: Vec<i32> = self.owned.values().flatten().copied().collect();
        all.sort_unstable();
        all.into_iter().eq(self.ends.keys().copied())
            && members.iter().all(|member| !self.owns(member).is_empty())
    }

    /// Forgets what was given up so far.
    pub fn watch_moves(&mut self) {
        self.given_up.clear();
    }

    /// What these members gave up since [`Ledger::watch_moves`].
    pub fn given_up(&self, members: &[&str]) -> BTreeSet<i32> {
        members.iter().filter_map(|member| self.given_up.get(*member)).flatten().copied().collect()
    }

    /// How many records were written and nobody was given.
    pub fn missing(&self) -> usize {
        let written: i64 = self.ends.values().sum();
        usize::try_from(written).map_or(0, |written| written.saturating_sub(self.delivered.len()))
    }

    /// Log ends, which is what is committed when all was read.
    pub fn ends(&self) -> &BTreeMap<i32, i64> {
        &self.ends
    }

    /// Records that came more than once.
    pub fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// What happened that must not.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }
}

#[cfg(test)]
mod tests;
