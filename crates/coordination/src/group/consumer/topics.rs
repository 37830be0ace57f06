//! What groups know of topics: when they last changed, and a digest of those a group reads.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_record::BrokerId;
use twox_hash::XxHash3_64;

use crate::metadata::{Image, Topic, TopicChange};

/// Watches the image for changes that concern groups: topics that came, went, grew or moved. Most images differ by in-sync replicas alone,
/// which concern no group; so a heartbeat compares one number.
#[derive(Clone, Debug)]
pub(in crate::group) struct Topics {
    seen: Option<Image>,
    changed: u64,
    created: u64,
    racks: Vec<(BrokerId, Option<String>)>,
    /// Digests of topics that groups asked for, until the topic changes. Filled while deciding, hence the cell: it changes no decision.
    digests: RefCell<BTreeMap<Arc<str>, i64>>,
}

impl Topics {
    /// Nothing seen yet.
    pub(in crate::group) fn new() -> Self {
        Self { seen: None, changed: 0, created: 0, racks: Vec::new(), digests: RefCell::default() }
    }

    /// Takes note of an image; costs nothing if it is the one seen last.
    pub(in crate::group) fn observe(&mut self, image: &Image) {
        match &self.seen {
            Some(seen) if seen.version() == image.version() => return,
            // The first image says nothing of what came before: patterns are matched again, digests compared.
            None => (self.changed, self.created) = (image.version(), image.version()),
            Some(seen) => {
                for change in image.topic_changes(seen) {
                    let name = match &change {
                        TopicChange::Created(topic) => {
                            self.created = image.version();
                            topic.name()
                        }
                        TopicChange::Deleted(topic) => topic.name(),
                        TopicChange::Changed { old, new } if same_places(old, new) => continue,
                        TopicChange::Changed { new, .. } => new.name(),
                    };
                    self.digests.get_mut().remove(name.as_str());
                    self.changed = image.version();
                }
            }
        }
        let racks: Vec<_> = image.brokers().map(|broker| (broker.id, broker.rack.clone())).collect();
        if racks != self.racks {
            self.racks = racks;
            self.digests.get_mut().clear();
            self.changed = image.version();
        }
        self.seen = Some(image.clone());
    }

    /// The image's version at which a topic last came, went, grew or moved.
    pub(super) fn changed(&self) -> u64 {
        self.changed
    }

    /// The image's version at which a topic last came.
    pub(super) fn created(&self) -> u64 {
        self.created
    }

    /// A digest of all of these topics that exist, as Kafka computes it (KIP-1101): XXH3 over their ids, names, sizes and racks. Names must
    /// ascend.
    pub(super) fn digest<'a>(&self, image: &Image, names: impl Iterator<Item = &'a Arc<str>>) -> i64 {
        let mut digests = self.digests.borrow_mut();
        let mut bytes = Vec::new();
        for name in names {
            let Some(topic) = image.topic(name) else { continue };
            let digest = match digests.get(name) {
                Some(known) => *known,
                None => *digests.entry(Arc::clone(name)).or_insert_with(|| topic_digest(image, topic)),
            };
            bytes.extend_from_slice(&digest.to_le_bytes());
        }
        if bytes.is_empty() { 0 } else { XxHash3_64::oneshot(&bytes).cast_signed() }
    }
}

/// True if a topic's partitions stand on the same brokers as before.
fn same_places(old: &Topic, new: &Topic) -> bool {
    old.partition_count() == new.partition_count()
        && old
            .partitions()
            .zip(new.partitions())
            .all(|((_, old), (_, new))| Arc::ptr_eq(old, new) || old.replicas == new.replicas)
}

/// `Utils.computeTopicHash` of Kafka 4.3. Its hash stream writes numbers little-endian, and text as UTF-16 followed by its length.
fn topic_digest(image: &Image, topic: &Topic) -> i64 {
    const MAGIC: u8 = 0;
    let mut bytes = vec![MAGIC];
    let id = topic.id().0;
    let (most, least) = id.as_bytes().split_at(8);
    bytes.extend(most.iter().rev().chain(least.iter().rev()));
    let put_text = |bytes: &mut Vec<u8>, text: &str| {
        let before = bytes.len();
        bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let length = (bytes.len() - before) / 2;
        bytes.extend_from_slice(&number(length));
    };
    put_text(&mut bytes, topic.name().as_str());
    bytes.extend_from_slice(&number(topic.partition_count()));
    for (index, partition) in topic.partitions() {
        bytes.extend_from_slice(&index.get().to_le_bytes());
        let brokers = partition.replicas.iter().filter_map(|id| image.broker(*id));
        let mut racks: Vec<&str> = brokers.filter_map(|broker| broker.rack.as_deref()).collect();
        racks.sort_unstable();
        for rack in racks {
            bytes.extend_from_slice(&number(rack.encode_utf16().count()));
            put_text(&mut bytes, rack);
        }
    }
    XxHash3_64::oneshot(&bytes).cast_signed()
}

fn number(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes()
}
