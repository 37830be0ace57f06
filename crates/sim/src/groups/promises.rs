//! What the members of groups were told, and what must hold of it: G1 committed offsets are durable and never go back, G2 a
//! partition has one owner, G4 whoever was fenced commits nothing.

use std::collections::{BTreeMap, BTreeSet};

use ottla_coordination::group::response::FetchedTopic;
use ottla_coordination::group::{Generation, GroupId};
use ottla_record::{PartitionIndex, Timestamp};

use super::{Member, PARTITIONS, REBALANCE_MS, RETENTION_MS, SESSION_MS};
use crate::invariants::{Invariant, Violation, broken};

/// The classic group.
pub const CLASSIC: &str = "classic";
/// The consumer-protocol group.
pub const CONSUMER: &str = "consumer";
/// The group that is only a name under which offsets are kept.
pub const LONE: &str = "lone";

/// A group's name as the coordinator takes it.
pub fn group_id(name: &str) -> GroupId {
    GroupId::from(name)
}

/// How patient everybody is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Milliseconds of silence after which a member is no longer one.
    pub session_ms: i32,
    /// Milliseconds a member may take to come back, or to give partitions up.
    pub rebalance_ms: i32,
    /// Milliseconds for which a coordinator that was replaced may answer without knowing it. A member that only such a one has heard
    /// may be given up earlier than it thinks.
    pub overlap_ms: i32,
}

impl Default for Timing {
    fn default() -> Self {
        Self { session_ms: SESSION_MS, rebalance_ms: REBALANCE_MS, overlap_ms: 0 }
    }
}

/// The offset of each partition whose commit was answered best, at some moment.
pub type Answered = BTreeMap<PartitionIndex, i64>;

/// What members were told.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    timing: Timing,
    /// Committed offsets, by group and partition. Whoever commits takes the next number, so a newer one is a larger one.
    commits: BTreeMap<(&'static str, PartitionIndex), Commits>,
    next_offset: i64,
    /// Who was given what in each generation of the classic group.
    synced: BTreeMap<Generation, BTreeMap<PartitionIndex, usize>>,
    /// The newest generation of the classic group that a member was told it joined, by the coordinator that lives.
    joined: Generation,
    /// Nobody has committed under [`LONE`] for so long that nothing may be left.
    all_has_expired: bool,
    /// Who holds what in the consumer-protocol group, and when it was last heard.
    holding: BTreeMap<usize, Holding>,
    /// Groups whose log has lost what was committed: of them nothing is promised any more but that they come to rest.
    lost: BTreeSet<&'static str>,
}

/// Commits of one partition.
#[derive(Clone, Debug, Default)]
struct Commits {
    attempted: BTreeSet<i64>,
    refused: BTreeSet<i64>,
    answered: Option<i64>,
    /// From then on it may be forgotten; never, if there is no time.
    kept_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Holding {
    partitions: BTreeSet<PartitionIndex>,
    heard: Timestamp,
}

impl Promises {
    /// Nothing was told yet.
    pub fn with(timing: Timing) -> Self {
        Self { timing, ..Self::default() }
    }

    /// How patient everybody is.
    pub const fn timing(&self) -> Timing {
        self.timing
    }

    /// The newest generation of the classic group that a member was told it joined, by the coordinator that lives.
    pub const fn newest_joined(&self) -> Generation {
        self.joined
    }

    /// The newest generation of the classic group that is in the log, whoever coordinates: a member was given its part of it.
    pub fn newest_synced(&self) -> Generation {
        self.synced.keys().next_back().copied().unwrap_or_default()
    }

    /// What was answered of a group's commits so far.
    pub fn answered(&self, group: &'static str) -> Answered {
        let of_group = self.commits.iter().filter(|((of, _), _)| *of == group);
        of_group.filter_map(|((_, partition), commits)| Some((*partition, commits.answered?))).collect()
    }

    /// The log of a group has lost what was committed: an operator has let a replica lead that did not have it.
    pub fn loses(&mut self, group: &'static str) {
        self.lost.insert(group);
        for ((of, _), commits) in &mut self.commits {
            if *of == group {
                commits.answered = None;
                commits.refused.clear();
            }
        }
    }

    /// A member is about to commit: the offset it names.
    pub fn attempt(&mut self, group: &'static str, partition: PartitionIndex) -> i64 {
        self.next_offset += 1;
        self.commits.entry((group, partition)).or_default().attempted.insert(self.next_offset);
        self.next_offset
    }

    /// A commit was answered well.
    pub fn committed(&mut self, group: &'static str, partition: PartitionIndex, offset: i64) {
        if self.lost.contains(group) {
            return;
        }
        let commits = self.commits.entry((group, partition)).or_default();
        commits.answered = commits.answered.max(Some(offset));
    }

    /// A commit of a client in no group was answered well, made at this time.
    pub fn committed_until(
        &mut self,
        group: &'static str,
        partition: PartitionIndex,
        offset: i64,
        at: Timestamp,
    ) {
        self.committed(group, partition, offset);
        let commits = self.commits.entry((group, partition)).or_default();
        commits.kept_until = commits.kept_until.max(Some(at.plus_millis(RETENTION_MS)));
    }

    /// From now on, or no longer, nothing may be left of what lone clients committed.
    pub fn all_has_expired(&mut self, so: bool) {
        self.all_has_expired = so;
    }

    /// A commit was refused.
    pub fn refused(&mut self, group: &'static str, partition: PartitionIndex, offset: i64) {
        if self.lost.contains(group) {
            return;
        }
        self.commits.entry((group, partition)).or_default().refused.insert(offset);
    }

    /// G1. What a reader of committed offsets, who asked at this time, was told.
    ///
    /// # Errors
    /// An offset is older than one that was answered, or gone before its time, or there beyond it, or nobody committed it.
    pub fn fetched(
        &self,
        group: &'static str,
        topics: &[FetchedTopic],
        at: Timestamp,
    ) -> Result<(), Violation> {
        self.fetched_since(group, topics, at, &self.answered(group))
    }

    /// G1. The same, of a reader that asked when no more than this had been answered.
    ///
    /// # Errors
    /// As for [`Promises::fetched`].
    pub fn fetched_since(
        &self,
        group: &'static str,
        topics: &[FetchedTopic],
        at: Timestamp,
        answered: &Answered,
    ) -> Result<(), Violation> {
        let found = |partition: PartitionIndex| {
            let partitions = topics.iter().flat_map(|topic| &topic.partitions);
            let mut here = partitions.filter(|(number, _)| *number == partition);
            here.find_map(|(_, committed)| committed.as_ref().ok()?.as_ref().map(|it| it.offset.get()))
        };
        for ((of, partition), commits) in &self.commits {
            if *of != group {
                continue;
            }
            let found = found(*partition);
            if found.is_some() && group == LONE && self.all_has_expired {
                return Err(broken(
                    Invariant::Progress,
                    format!("{group}-{partition}: {found:?} is kept for ever"),
                ));
            }
            let has_expired = commits.kept_until.is_some_and(|until| until <= at);
            let answered = answered.get(partition).copied().filter(|_| !self.lost.contains(group));
            if found < answered && !(found.is_none() && has_expired) {
                let told = format!(
                    "{group}-{partition}: {answered:?} was answered as committed, {found:?} is there"
                );
                return Err(broken(Invariant::CommitSurvives, told));
            }
            if found.is_some_and(|found| !commits.attempted.contains(&found)) {
                return Err(broken(Invariant::CommitSurvives, format!("{found:?} was never committed")));
            }
            if found.is_some_and(|found| commits.refused.contains(&found)) {
                return Err(broken(Invariant::Fencing, format!("{found:?} was refused, and is there")));
            }
        }
        Ok(())
    }

    /// A member of the classic group was told that it joined a generation.
    pub fn joined(&mut self, generation: Generation) {
        // As in [`Self::synced`]: the generations of a group that was forgotten begin again.
        let begins_again = generation < self.joined && self.answered(CLASSIC).is_empty();
        self.joined = if begins_again { generation } else { self.joined.max(generation) };
    }

    /// G4. A commit of a generation was answered well.
    ///
    /// # Errors
    /// There was a newer one when it was sent.
    pub fn commit_of(&self, generation: Generation, newest: Generation) -> Result<(), Violation> {
        if generation < newest && !self.lost.contains(CLASSIC) {
            let found = format!("a commit of generation {generation} was taken, there is {newest}");
            return Err(broken(Invariant::Fencing, found));
        }
        Ok(())
    }

    /// G2. A member was given its part of a generation.
    ///
    /// # Errors
    /// Another has some of it.
    pub fn synced(
        &mut self,
        member: usize,
        generation: Generation,
        partitions: &[PartitionIndex],
    ) -> Result<(), Violation> {
        // A group that has neither members nor offsets is forgotten, and its generations begin again.
        if self.answered(CLASSIC).is_empty() {
            self.synced.retain(|known, _| *known < generation);
        }
        let owners = self.synced.entry(generation).or_default();
        for partition in partitions {
            let owner = *owners.entry(*partition).or_insert(member);
            if owner != member && !self.lost.contains(CLASSIC) {
                let found = format!("partition {partition} of generation {generation}: {owner} and {member}");
                return Err(broken(Invariant::OneOwner, found));
            }
        }
        Ok(())
    }

    /// G2. A member of the consumer-protocol group, last heard at `heard`, holds these from now on.
    ///
    /// # Errors
    /// Another one that was heard within its session holds some of them.
    pub fn holds(
        &mut self,
        member: usize,
        partitions: &BTreeSet<PartitionIndex>,
        heard: Timestamp,
    ) -> Result<(), Violation> {
        self.holding.insert(member, Holding { partitions: partitions.clone(), heard });
        for (other, holding) in &self.holding {
            let patience = i64::from(self.timing.session_ms - self.timing.overlap_ms);
            let lives = holding.heard.millis() + patience > heard.millis();
            if *other == member || !lives || self.lost.contains(CONSUMER) {
                continue;
            }
            if let Some(both) = holding.partitions.intersection(partitions).next() {
                let found = format!("partition {both} is held by members {other} and {member}");
                return Err(broken(Invariant::OneOwner, found));
            }
        }
        Ok(())
    }

    /// A member gave these up, or knows that it was fenced.
    pub fn gives_up(&mut self, member: usize, left: &BTreeSet<PartitionIndex>) {
        if let Some(holding) = self.holding.get_mut(&member) {
            holding.partitions.retain(|partition| left.contains(partition));
        }
    }

    /// A member's process died: nobody reads in its name any more.
    pub fn forget(&mut self, member: usize) {
        self.holding.remove(&member);
    }

    /// The coordinator died: a generation that nobody has synced was in no log.
    pub fn coordinator_died(&mut self) {
        self.joined = self.newest_synced();
    }

    /// L1, G3. Every partition has exactly one owner among the living.
    ///
    /// # Errors
    /// One has none, or two.
    pub fn everything_is_owned(&self, group: &'static str, members: &[Member]) -> Result<(), Violation> {
        let mut owners: BTreeMap<PartitionIndex, usize> = BTreeMap::new();
        for member in members {
            let owned = match member {
                Member::Classic(member) if group == CLASSIC => member.owned(),
                Member::Consumer(member) if group == CONSUMER => member.owned(),
                _ => continue,
            };
            for partition in owned {
                *owners.entry(partition).or_default() += 1;
            }
        }
        let sound = (0..PARTITIONS).all(|number| owners.get(&PartitionIndex::new(number)) == Some(&1));
        if sound {
            return Ok(());
        }
        Err(broken(Invariant::Progress, format!("{group}: owners at rest {owners:?}, members {members:?}")))
    }
}
