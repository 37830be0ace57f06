//! A decision under way: the records so far, and what they make different from the group as it stands.

use std::sync::Arc;
use std::time::Duration;

use ottla_record::{PartitionIndex, TopicId};

use super::subscription::{Matches, Subscriptions};
use super::{ConsumerGroup, Context, Looked, Member, pattern};
use crate::group::ids::{GroupEpoch, MemberId};
use crate::group::record::{ConsumerGroupValue, Record, RegularExpressionValue};
use crate::group::response::GroupError;

/// Patterns of a group are matched again at most this often (Kafka's `REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const PATTERN_REFRESH_MIN: Duration = Duration::from_secs(10);

pub(super) struct Draft<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) context: &'a Context<'a>,
    pub(super) records: Vec<Record>,
    /// The static member whose place another takes.
    pub(super) replaced: Option<MemberId>,
    /// The group's epoch, raised or not.
    pub(super) epoch: GroupEpoch,
    /// How far the image was looked at.
    pub(super) looked: Looked,
    matches: Matches,
}

impl<'a> Draft<'a> {
    pub(super) fn new(group: &'a ConsumerGroup, context: &'a Context<'a>) -> Self {
        let (epoch, looked) = (group.epoch, group.looked);
        Self { group, context, records: Vec::new(), replaced: None, epoch, looked, matches: Matches::new() }
    }

    pub(super) fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions { group: self.group, matches: &self.matches }
    }

    /// True if a partition is held by nobody but this member, or the one whose place it takes.
    pub(super) fn is_free(&self, member: &MemberId, topic: TopicId, partition: PartitionIndex) -> bool {
        let holder = self.group.holders.get(&(topic, partition));
        holder.is_none_or(|holder| holder == member || Some(holder) == self.replaced.as_ref())
    }

    /// Looks after patterns: those a member changed, and all of them when topics came or it is time. Kafka matches beside its event loop
    /// and assigns with a later heartbeat; here it is part of the decision. Tells if what a pattern matches is different.
    ///
    /// # Errors
    /// [`GroupError::InvalidRegularExpression`] for a new pattern.
    pub(super) fn match_patterns(
        &mut self,
        old: Option<&Arc<str>>,
        new: Option<&Arc<str>>,
    ) -> Result<bool, GroupError> {
        let mut changed = false;
        if old != new {
            changed = true;
            if let Some(old) = old.filter(|old| self.group.patterns.get(*old) == Some(&1)) {
                self.forget_pattern(old);
            }
            if let Some(new) = new.filter(|new| !self.group.matches.contains_key(*new)) {
                let found = pattern::matching(new, self.context.image)?;
                self.note_matches(new, found);
            }
        }
        if self.is_refresh_due() {
            let group = self.group;
            for pattern in
                group.patterns.keys().filter(|p| !self.matches.contains_key(*p)).collect::<Vec<_>>()
            {
                // It compiled when a member came with it; should a newer broker have let it in, it matches nothing here.
                let found = pattern::matching(pattern, self.context.image).unwrap_or_else(|_| Arc::from([]));
                changed |= group.matches.get(pattern).is_none_or(|known| *known.topics != *found);
                self.note_matches(pattern, found);
            }
            self.looked.patterns = Some((self.context.topics.created(), self.context.now.monotonic));
        }
        Ok(changed)
    }

    /// Removes what a pattern matched: nobody subscribes to it any more.
    pub(super) fn forget_pattern(&mut self, pattern: &Arc<str>) {
        self.matches.insert(Arc::clone(pattern), None);
        let (group, regex) = (self.group.id.clone(), Arc::clone(pattern));
        self.records.push(Record::RegularExpression { group, regex, value: None });
    }

    /// Raises the group's epoch if something changed: `because` the caller says so, or because topics did.
    pub(super) fn update_epoch(&mut self, because: bool, gone: &[&Member], come: Option<&Member>) {
        let seen = self.context.topics.changed();
        if !because && self.looked.topics == Some(seen) {
            return;
        }
        let subscriptions = Subscriptions { group: self.group, matches: &self.matches };
        let digest =
            self.context.topics.digest(self.context.image, subscriptions.all(gone, come).into_iter());
        if because || digest != self.group.digest {
            self.epoch = self.group.epoch.next();
            let value = Some(ConsumerGroupValue { epoch: self.epoch, metadata_hash: digest });
            self.records.push(Record::ConsumerGroup { group: self.group.id.clone(), value });
        }
        if self.group.has_partition_metadata {
            self.records
                .push(Record::ConsumerPartitionMetadata { group: self.group.id.clone(), value: None });
        }
        self.looked.topics = Some(seen);
    }

    fn is_refresh_due(&self) -> bool {
        if self.group.patterns.is_empty() {
            return false;
        }
        self.looked.patterns.is_none_or(|(seen, at)| {
            let passed = self.context.now.monotonic - at;
            let interval = self.context.settings.consumer.regex_refresh_interval;
            passed >= PATTERN_REFRESH_MIN && (seen < self.context.topics.created() || passed >= interval)
        })
    }

    fn note_matches(&mut self, pattern: &Arc<str>, found: Arc<[Arc<str>]>) {
        let value = RegularExpressionValue {
            topics: found.to_vec(),
            version: i64::try_from(self.context.image.version()).unwrap_or(i64::MAX),
            matched_at: self.context.now.wall,
        };
        let (group, regex) = (self.group.id.clone(), Arc::clone(pattern));
        self.records.push(Record::RegularExpression { group, regex, value: Some(value) });
        self.matches.insert(Arc::clone(pattern), Some(found));
    }
}
