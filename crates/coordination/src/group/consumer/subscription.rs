//! What a group reads: names, and what patterns matched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_record::TopicId;

use super::{ConsumerGroup, Member};
use crate::metadata::Image;

/// Patterns matched in the decision under way; `None` for one that nobody subscribes to any more. They come before the group's.
pub(super) type Matches = BTreeMap<Arc<str>, Option<Arc<[Arc<str>]>>>;

/// A group's subscriptions as they will be after the decision under way.
#[derive(Clone, Copy)]
pub(super) struct Subscriptions<'a> {
    pub(super) group: &'a ConsumerGroup,
    pub(super) matches: &'a Matches,
}

impl<'a> Subscriptions<'a> {
    /// The topics a pattern matches; none before it was matched.
    pub(super) fn matching(&self, pattern: &str) -> &'a [Arc<str>] {
        match self.matches.get(pattern) {
            Some(now) => now.as_deref().unwrap_or_default(),
            None => self.group.matches.get(pattern).map_or(&[], |found| &found.topics),
        }
    }

    /// The topics a member subscribes to, one twice if both by name and by pattern.
    pub(super) fn of(&self, member: &'a Member) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        let matched = member.pattern().map_or(&[][..], |pattern| self.matching(pattern));
        member.profile.topics.iter().chain(matched)
    }

    /// Those of them that exist.
    pub(super) fn ids_of(&self, member: &'a Member, image: &Image) -> BTreeSet<TopicId> {
        self.of(member).filter_map(|name| image.topic(name)).map(|topic| topic.id()).collect()
    }

    /// The topics of the whole group once some members are gone and one has come.
    pub(super) fn all(&self, gone: &[&'a Member], come: Option<&'a Member>) -> BTreeSet<&'a Arc<str>> {
        let group = self.group;
        let by_gone =
            |name: &Arc<str>| gone.iter().filter(|m| m.profile.topics.binary_search(name).is_ok()).count();
        let left = group.names.iter().filter(|(name, count)| **count > by_gone(name)).map(|(name, _)| name);
        let mut topics: BTreeSet<&Arc<str>> = left.collect();
        for (pattern, count) in &group.patterns {
            if *count > gone.iter().filter(|m| m.pattern() == Some(pattern)).count() {
                topics.extend(self.matching(pattern));
            }
        }
        if let Some(member) = come {
            topics.extend(self.of(member));
        }
        topics
    }
}
