//! The topics of a Kafka cluster, from the newest snapshot of its metadata and the log behind it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_record::{BatchView, LeaderEpoch, Offset, TopicId};
use ottla_storage::file_names::FileKind;
use ottla_storage::scan::{Check, Scanned};
use ottla_storage::{SegmentReader, offline};
use ottla_wire::cluster_metadata::MetadataRecord;

use crate::failure::Failure;

/// Kafka's directory of it, in `metadata.log.dir` or the first of `log.dirs`.
pub(super) const METADATA_DIR: &str = "__cluster_metadata-0";

/// The largest batch of metadata. Kafka's controller writes at most 8 MiB at once.
const MAX_BATCH_BYTES: usize = 64 << 20;

/// Kafka's numbers of what has configs.
const TOPIC_RESOURCE: i8 = 2;
/// The leader did not change.
const SAME_LEADER: i32 = -2;

/// What the metadata says of topics.
#[derive(Debug, Default)]
pub(super) struct ClusterMetadata {
    /// By name.
    pub(super) topics: BTreeMap<String, SourceTopic>,
    /// No producer id from here on was given out.
    pub(super) next_producer_id: i64,
    names: BTreeMap<TopicId, String>,
    /// Configs set on topics, by the topic's name.
    configs: BTreeMap<String, BTreeMap<String, String>>,
    /// The records of a metadata transaction that has not ended (KIP-868).
    transaction: Option<Vec<MetadataRecord>>,
}

/// A topic.
#[derive(Debug)]
pub(super) struct SourceTopic {
    pub(super) id: TopicId,
    pub(super) partitions: BTreeMap<i32, SourcePartition>,
}

/// A partition.
#[derive(Debug)]
pub(super) struct SourcePartition {
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) isr: Vec<i32>,
    /// Replicas outside the in-sync ones that have every acknowledged record all the same, such as the last one to be stopped
    /// (KIP-966).
    pub(super) eligible: Vec<i32>,
}

impl SourcePartition {
    /// True if the broker's copy has every acknowledged record.
    pub(super) fn is_complete_on(&self, broker: i32) -> bool {
        self.isr.contains(&broker) || self.eligible.contains(&broker)
    }
}

impl ClusterMetadata {
    /// Reads the directory. With `unclean`, a log whose end is torn counts up to there.
    pub(super) fn read(dir: &Path, unclean: bool) -> Result<Self, Failure> {
        let files = Files::find(dir)?;
        let mut metadata = Self::default();
        let mut from = Offset::ZERO;
        if let Some((end, snapshot)) = files.snapshot {
            metadata.apply_file(&snapshot, Offset::ZERO, false)?;
            from = end;
        }
        let mut reached = from;
        for (at, (base, path)) in files.segments.iter().enumerate() {
            let next = files.segments.get(at + 1).map(|(base, _)| *base);
            if next.is_some_and(|next| next <= from) {
                continue;
            }
            if *base > reached {
                let why = format!("the metadata from offset {reached} to {base} is missing");
                return Err(Failure::with(dir.display(), why));
            }
            reached = metadata.apply_file(path, from, unclean && next.is_none())?.max(reached);
        }
        Ok(metadata)
    }

    /// The configs set on a topic.
    pub(super) fn configs(&self, topic: &str) -> impl Iterator<Item = (&String, &String)> {
        self.configs.get(topic).into_iter().flatten()
    }

    /// Applies the records of a file from an offset on, and returns where they end.
    fn apply_file(&mut self, path: &Path, from: Offset, may_be_torn: bool) -> Result<Offset, Failure> {
        let failure = |error: &dyn std::fmt::Display| Failure::with(path.display(), error);
        let file = SegmentReader::open(path).map_err(|error| failure(&error))?;
        let mut scan = file.batches();
        let mut end = file.base();
        loop {
            let (position, header) = match scan.next(Check::Crc).map_err(|error| failure(&error))? {
                Scanned::Batch { position, header } => (position, header),
                Scanned::End | Scanned::Unwritten => return Ok(end),
                Scanned::Invalid(_) if may_be_torn => return Ok(end),
                Scanned::Invalid(error) => {
                    let why = format!("the cluster metadata is damaged at byte {}: {error}", scan.position());
                    return Err(Failure::with(path.display(), why));
                }
            };
            end = header.last_offset().next();
            if header.attributes().is_control() || header.last_offset() < from {
                continue;
            }
            if header.len() > MAX_BATCH_BYTES {
                return Err(failure(&format!("a batch of {} bytes is no metadata of Kafka's", header.len())));
            }
            let bytes = file.read(position, header.len()).map_err(|error| failure(&error))?;
            let records = BatchView::parse(&bytes)
                .and_then(|view| view.records(MAX_BATCH_BYTES))
                .map_err(|error| failure(&error))?;
            for record in &records {
                let record = record.map_err(|error| failure(&error))?;
                let Some(value) = record.value.filter(|_| record.offset >= from) else { continue };
                let decoded = MetadataRecord::decode(Bytes::copy_from_slice(value));
                let decoded =
                    decoded.map_err(|error| failure(&format!("offset {}: {error}", record.offset)))?;
                if let Some(decoded) = decoded {
                    self.take(decoded);
                }
            }
        }
    }

    /// Applies a record, or keeps it until its transaction has ended.
    pub(super) fn take(&mut self, record: MetadataRecord) {
        match (record, &mut self.transaction) {
            (MetadataRecord::BeginTransaction(_), _) => self.transaction = Some(Vec::new()),
            (MetadataRecord::AbortTransaction(_), _) => self.transaction = None,
            (MetadataRecord::EndTransaction(_), _) => {
                for record in self.transaction.take().unwrap_or_default() {
                    self.apply(record);
                }
            }
            (record, Some(open)) => open.push(record),
            (record, None) => self.apply(record),
        }
    }

    fn apply(&mut self, record: MetadataRecord) {
        match record {
            MetadataRecord::Topic(topic) => {
                let id = TopicId(topic.topic_id);
                self.names.insert(id, topic.name.clone());
                self.topics.insert(topic.name, SourceTopic { id, partitions: BTreeMap::new() });
            }
            MetadataRecord::RemoveTopic(topic) => {
                if let Some(name) = self.names.remove(&TopicId(topic.topic_id)) {
                    self.topics.remove(&name);
                    self.configs.remove(&name);
                }
            }
            MetadataRecord::Partition(partition) => {
                let leader_epoch = LeaderEpoch::new(partition.leader_epoch);
                let eligible = partition.eligible_leader_replicas.unwrap_or_default();
                let source = SourcePartition { leader_epoch, isr: partition.isr, eligible };
                if let Some(topic) = self.topic(TopicId(partition.topic_id)) {
                    topic.partitions.insert(partition.partition_id, source);
                }
            }
            MetadataRecord::PartitionChange(change) => {
                let topic = self.topic(TopicId(change.topic_id));
                let Some(partition) = topic.and_then(|t| t.partitions.get_mut(&change.partition_id)) else {
                    return;
                };
                // As in Kafka's `PartitionRegistration.merge`: a leader in the record, even the same one, is a new term.
                if change.leader != SAME_LEADER {
                    partition.leader_epoch = partition.leader_epoch.next();
                }
                if let Some(isr) = change.isr {
                    partition.isr = isr;
                }
                if let Some(eligible) = change.eligible_leader_replicas {
                    partition.eligible = eligible;
                }
            }
            MetadataRecord::Config(config) if config.resource_type == TOPIC_RESOURCE => {
                let configs = self.configs.entry(config.resource_name).or_default();
                match config.value {
                    Some(value) => configs.insert(config.name, value),
                    None => configs.remove(&config.name),
                };
            }
            MetadataRecord::ProducerIds(ids) => {
                self.next_producer_id = self.next_producer_id.max(ids.next_producer_id);
            }
            _ => {}
        }
    }

    fn topic(&mut self, id: TopicId) -> Option<&mut SourceTopic> {
        self.topics.get_mut(self.names.get(&id)?)
    }
}

/// The files of the metadata log.
struct Files {
    /// The newest snapshot and the offset at which it ends.
    snapshot: Option<(Offset, PathBuf)>,
    segments: Vec<(Offset, PathBuf)>,
}

impl Files {
    fn find(dir: &Path) -> Result<Self, Failure> {
        let failure = |error| Failure::with(dir.display(), error);
        let (mut snapshot, mut segments) = (None, Vec::new());
        for entry in fs::read_dir(dir).map_err(failure)? {
            let path = entry.map_err(failure)?.path();
            let is_plain = path.extension().is_some_and(|extension| extension == "log");
            let log = offline::segment_file(&path).filter(|name| name.kind == FileKind::Log && is_plain);
            if let Some(name) = log {
                segments.push((name.base, path));
            } else if let Some(end) = offline::metadata_snapshot(&path) {
                snapshot = snapshot.max(Some((end, path)));
            }
        }
        segments.sort();
        Ok(Self { snapshot, segments })
    }
}
