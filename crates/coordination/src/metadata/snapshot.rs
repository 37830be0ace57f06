//! The image as bytes, and back.
//!
//! The bytes are JSON: it describes itself, so that an image written by one version is read by the next; a field is only
//! ever added, with a default. Everything stands in one order (names and ids ascending), so equal images are equal bytes,
//! and their checksum tells whether two brokers agree. Whoever stores the bytes adds a checksum; here only what they mean
//! is checked: a text that is no image is an error, and so is an image that breaks an invariant.

use std::sync::Arc;

use ottla_record::{BrokerId, ClusterId, ProducerId, TopicId};
use serde::{Deserialize, Serialize};

use super::broker::Broker;
use super::image::{Image, MAX_PARTITIONS, METADATA_VERSION};
use super::name::TopicName;
use super::topic::{Configs, Partition, Topic};

/// The largest snapshot that is read: 200,000 partitions of three replicas take some 40 MB.
pub const MAX_SNAPSHOT_BYTES: usize = 512 * 1024 * 1024;

/// A checksum over everything in an image: brokers that applied the same commands have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageHash(pub u64);

/// Why bytes are no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not the JSON of an image.
    #[error("not an image: {0}")]
    Malformed(String),
    /// Written by a newer program, whose rules this one does not know.
    #[error(
        "the image has metadata version {found}, this program knows up to {METADATA_VERSION}: use a newer one"
    )]
    TooNew {
        /// What it has.
        found: u16,
    },
    /// Contradicts itself.
    #[error("the image contradicts itself: {0}")]
    Inconsistent(String),
    /// More than [`MAX_SNAPSHOT_BYTES`].
    #[error("an image of {0} bytes is more than the {MAX_SNAPSHOT_BYTES} allowed")]
    TooLarge(usize),
}

#[derive(Serialize, Deserialize)]
struct ImageFile {
    cluster: Option<ClusterId>,
    version: u64,
    metadata_version: u16,
    next_producer_id: ProducerId,
    brokers: Vec<Arc<Broker>>,
    topics: Vec<TopicFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<TopicId>,
    broker_configs: Vec<(Option<BrokerId>, Arc<Configs>)>,
    group_configs: Vec<(String, Arc<Configs>)>,
}

#[derive(Serialize, Deserialize)]
struct TopicFile {
    name: TopicName,
    id: TopicId,
    #[serde(default)]
    configs: Arc<Configs>,
    partitions: Vec<Arc<Partition>>,
}

impl Image {
    /// The image as bytes. Fails only where memory does.
    pub fn encode(&self) -> Result<Vec<u8>, SnapshotError> {
        serde_json::to_vec(&self.file()).map_err(|e| SnapshotError::Malformed(e.to_string()))
    }

    /// The image that [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > MAX_SNAPSHOT_BYTES {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        let file: ImageFile =
            serde_json::from_slice(bytes).map_err(|e| SnapshotError::Malformed(e.to_string()))?;
        if file.metadata_version > METADATA_VERSION {
            return Err(SnapshotError::TooNew { found: file.metadata_version });
        }
        Self::from_file(file)
    }

    /// A checksum over everything in the image. Costs as much as a snapshot does.
    pub fn hash(&self) -> Result<ImageHash, SnapshotError> {
        let bytes = self.encode()?;
        Ok(ImageHash(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &bytes)))
    }

    fn file(&self) -> ImageFile {
        let topic = |topic: &Arc<Topic>| TopicFile {
            name: topic.name.clone(),
            id: topic.id,
            configs: Arc::clone(&topic.configs),
            partitions: topic.partitions.iter().cloned().collect(),
        };
        ImageFile {
            cluster: self.cluster,
            version: self.version,
            metadata_version: self.metadata_version,
            next_producer_id: self.next_producer_id,
            brokers: self.brokers().cloned().collect(),
            topics: self.topics().map(topic).collect(),
            deleted: self.deleted.iter().copied().collect(),
            broker_configs: self
                .broker_configs
                .iter()
                .map(|(id, configs)| (*id, Arc::clone(configs)))
                .collect(),
            group_configs: self
                .group_configs
                .iter()
                .map(|(g, configs)| (g.clone(), Arc::clone(configs)))
                .collect(),
        }
    }

    fn from_file(file: ImageFile) -> Result<Self, SnapshotError> {
        let (brokers, topics) = (file.brokers.len(), file.topics.len());
        let mut image = Self {
            cluster: file.cluster,
            version: file.version,
            metadata_version: file.metadata_version,
            next_producer_id: file.next_producer_id,
            brokers: file.brokers.into_iter().map(|b| (b.id, b)).collect(),
            deleted: file.deleted.into_iter().collect(),
            broker_configs: file.broker_configs.into_iter().collect(),
            group_configs: file.group_configs.into_iter().collect(),
            ..Self::empty()
        };
        for topic in file.topics {
            let partitions = topic.partitions.into_iter().collect();
            image.insert_topic(Topic { name: topic.name, id: topic.id, partitions, configs: topic.configs });
        }
        let inconsistent = |why: String| Err(SnapshotError::Inconsistent(why));
        if image.brokers.len() != brokers || image.topics.len() != topics {
            return inconsistent("a broker or a topic stands there twice".to_owned());
        }
        if image.partition_count > MAX_PARTITIONS {
            return inconsistent(format!("{} partitions", image.partition_count));
        }
        match image.check_invariants() {
            Ok(()) => Ok(image),
            Err(why) => inconsistent(why),
        }
    }
}
