//! Offsets that go without being asked for: those that expired, and those of deleted topics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla_record::{Monotonic, Now};

use super::committing::is_of_another_topic;
use super::{Groups, MAX_STEP_BYTES, weight_of};
use crate::group::ids::GroupId;
use crate::group::record::Record;
use crate::metadata::{Image, TopicChange};

/// How far looking for them has come. One step writes no more than a batch holds; what is left is found in the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweep {
    /// When expired offsets are looked for next.
    next: Option<Monotonic>,
    /// In the middle of a round over all groups.
    running: bool,
    /// The last group this round is done with.
    after: Option<GroupId>,
    /// Topics whose deletion was seen and whose offsets are not all gone.
    deleted: BTreeSet<Arc<str>>,
    /// The image as it was last seen.
    image: Option<Image>,
}

impl Sweep {
    /// The coordinator has loaded. What was deleted before is not looked for: an image can be behind, and then topics seem
    /// deleted that are not there yet.
    pub(super) fn start(&mut self, image: &Image, now: Now, interval: Duration) {
        self.image = Some(image.clone());
        self.next = Some(now.monotonic + interval);
    }

    pub(super) fn next(&self) -> Option<Monotonic> {
        if self.running || !self.deleted.is_empty() { Some(Monotonic::ZERO) } else { self.next }
    }

    fn notice(&mut self, image: &Image) {
        let Some(seen) = &mut self.image else { return };
        if seen.version() == image.version() {
            return;
        }
        for change in image.topic_changes(seen) {
            if let TopicChange::Deleted(topic) = change {
                self.deleted.insert(Arc::from(topic.name().as_str()));
            }
        }
        *seen = image.clone();
    }
}

impl<W> Groups<W> {
    pub(super) fn sweep(&mut self, image: &Image, now: Now, records: &mut Vec<Record>) {
        self.sweep.notice(image);
        let mut room = MAX_STEP_BYTES.saturating_sub(weight_of(&*records));
        if self.drop_offsets_of_deleted_topics(image, &mut room, records) {
            self.sweep.deleted.clear();
        }
        if !self.sweep.running {
            match self.sweep.next {
                Some(next) if next <= now.monotonic => {
                    self.sweep.running = true;
                    self.sweep.next = Some(now.monotonic + self.settings.offsets.retention_check_interval);
                }
                _ => return,
            }
        }
        self.drop_expired_offsets(now, &mut room, records);
    }

    /// True if none is left.
    fn drop_offsets_of_deleted_topics(
        &self,
        image: &Image,
        room: &mut usize,
        records: &mut Vec<Record>,
    ) -> bool {
        for topic in &self.sweep.deleted {
            let id = image.topic(topic).map(|topic| topic.id());
            for group in self.offsets.groups_after(None) {
                for (partition, offset) in self.offsets.of_topic(group, topic) {
                    if id.is_some() && !is_of_another_topic(&offset, id) {
                        continue;
                    }
                    if !push(tombstone(group, topic, partition), room, records) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Goes on with a round over all groups: what has expired is deleted, and a group of which nothing is left with it.
    fn drop_expired_offsets(&mut self, now: Now, room: &mut usize, records: &mut Vec<Record>) {
        let retention = self.settings.offsets.retention;
        let mut last = self.sweep.after.clone();
        for (id, group) in self.groups.after(self.sweep.after.as_ref()) {
            let rule = group.retention();
            let subscribed = group.subscribed_topics();
            let mut all_gone = true;
            for (topic, partitions) in self.offsets.of_group(id) {
                let read = group.reads(&subscribed, topic);
                for (partition, offset) in partitions {
                    if read || !rule.is_over(&offset, now.wall, retention) {
                        all_gone = false;
                    } else if !push(tombstone(id, topic, partition), room, records) {
                        self.sweep.after = last;
                        return;
                    }
                }
            }
            if all_gone && group.is_forgettable() {
                for record in group.tombstones(id) {
                    if !push(record, room, records) {
                        self.sweep.after = last;
                        return;
                    }
                }
            }
            last = Some(id.clone());
        }
        self.sweep.running = false;
        self.sweep.after = None;
    }
}

fn tombstone(group: &GroupId, topic: &Arc<str>, partition: ottla_record::PartitionIndex) -> Record {
    Record::Offset { group: group.clone(), topic: Arc::clone(topic), partition, value: None }
}

/// False if there is no room for it.
fn push(record: Record, room: &mut usize, records: &mut Vec<Record>) -> bool {
    match room.checked_sub(record.weight()) {
        Some(left) => {
            *room = left;
            records.push(record);
            true
        }
        None => false,
    }
}
