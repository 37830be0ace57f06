//! What will be imported, decided before anything is written.

use std::fs;
use std::path::{Path, PathBuf};

use ottla_record::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use ottla_storage::TopicPartition;
use ottla_storage::file_names::{FileKind, FileName, LEADER_EPOCHS, PARTITION_METADATA};
use ottla_storage::offline;

use super::Import;
use super::cluster_metadata::{SourcePartition, SourceTopic};
use super::source::{Source, SourceDirectory};
use super::target::ImportHost;
use crate::failure::Failure;

/// Kafka's own topics: groups' offsets, transactions, share groups.
const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// What will be imported.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) topics: Vec<PlannedTopic>,
    pub(super) bytes: u64,
    /// What should be known.
    pub(super) warnings: Vec<String>,
}

/// A topic.
#[derive(Debug)]
pub(super) struct PlannedTopic {
    pub(super) name: String,
    pub(super) id: TopicId,
    pub(super) configs: Vec<(String, String)>,
    pub(super) partitions: Vec<PlannedPartition>,
}

/// A partition and its files.
#[derive(Debug)]
pub(super) struct PlannedPartition {
    pub(super) name: TopicPartition,
    pub(super) source: SourceDirectory,
    /// Names and sizes.
    pub(super) files: Vec<(String, u64)>,
    pub(super) leader_epoch: LeaderEpoch,
}

impl PlannedTopic {
    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.partitions.iter().map(PlannedPartition::bytes).sum()
    }

    /// Offsets may have gaps.
    pub(super) fn is_compacted(&self) -> bool {
        let policy = self.configs.iter().find(|(name, _)| name == "cleanup.policy");
        policy.is_some_and(|(_, value)| value.split(',').any(|policy| policy.trim() == "compact"))
    }
}

impl PlannedPartition {
    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// A file that has bytes.
    pub(super) fn some_file(&self) -> Option<PathBuf> {
        self.files.iter().find(|(_, bytes)| *bytes > 0).map(|(name, _)| self.source.path.join(name))
    }
}

impl Plan {
    /// Looks at every topic that was asked for. All that is wrong is told at once.
    pub(super) fn make(source: &Source, arguments: &Import, host: &dyn ImportHost) -> Result<Self, Failure> {
        let mut plan = Self { topics: Vec::new(), bytes: 0, warnings: Vec::new() };
        let mut wrong: Vec<String> = arguments
            .topics
            .iter()
            .filter(|name| !source.metadata.topics.contains_key(*name))
            .map(|name| format!("there is no topic {name} in the source"))
            .collect();
        for (name, topic) in &source.metadata.topics {
            let skipped = arguments.skip_internal && INTERNAL_TOPICS.contains(&name.as_str());
            let asked = arguments.topics.is_empty() || arguments.topics.contains(name);
            if !skipped && asked {
                plan.add(source, name, topic, arguments, host, &mut wrong)?;
            }
        }
        if !wrong.is_empty() {
            return Err(Failure::Failed(wrong.join("\nottla: ")));
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        source: &Source,
        name: &str,
        topic: &SourceTopic,
        arguments: &Import,
        host: &dyn ImportHost,
        wrong: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let mut configs = Vec::new();
        for (key, value) in source.metadata.configs(name) {
            if host.is_topic_config(key) {
                configs.push((key.clone(), value.clone()));
            } else {
                self.warnings.push(format!("{name}: the config {key}={value} is unknown here and left out"));
            }
        }
        let mut partitions = Vec::new();
        let mut missing = Vec::new();
        for (index, known) in &topic.partitions {
            let partition = TopicPartition { topic: name.to_owned(), partition: PartitionIndex::new(*index) };
            match source.partitions.get(&partition) {
                Some(found) if found.topic_id == Some(topic.id) => {
                    self.look_at(source, &partition, known, found, arguments, wrong)?;
                    let files = files(&found.path)?;
                    partitions.push(PlannedPartition {
                        name: partition,
                        source: found.clone(),
                        files,
                        leader_epoch: known.leader_epoch,
                    });
                }
                _ => missing.push(index.to_string()),
            }
        }
        if !missing.is_empty() {
            wrong.push(format!(
                "{name}: partition {} is not in the source: topics are imported whole, so name all log.dirs of the broker, or \
                 choose others with --topic",
                missing.join(", ")
            ));
        }
        if topic.partitions.is_empty() || topic.partitions.keys().zip(0..).any(|(index, at)| *index != at) {
            wrong.push(format!("{name}: its partitions are not numbered from 0 without gaps"));
        }
        let planned = PlannedTopic { name: name.to_owned(), id: topic.id, configs, partitions };
        self.bytes += planned.bytes();
        self.topics.push(planned);
        Ok(())
    }

    fn look_at(
        &mut self,
        source: &Source,
        name: &TopicPartition,
        known: &SourcePartition,
        found: &SourceDirectory,
        arguments: &Import,
        wrong: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let place = name.directory();
        let place = place.display();
        if !known.is_complete_on(source.node) {
            wrong.push(format!(
                "{place}: broker {} is not in sync (in sync are {:?}): import from one of those",
                source.node, known.isr
            ));
        }
        // The state of producers at the newest snapshot: at a clean stop, that is the log end.
        let mut snapshots: Vec<PathBuf> = entries(&found.path)?;
        snapshots
            .retain(|path| path.extension().is_some_and(|e| e == FileKind::ProducerSnapshot.extension()));
        let Some(newest) = snapshots.iter().max().filter(|_| source.is_clean) else { return Ok(()) };
        let producers = match offline::snapshot(newest) {
            Ok(producers) => producers,
            Err(error) => {
                self.warnings.push(format!("{error}; it is rebuilt from the log"));
                return Ok(());
            }
        };
        if let Some((offset, producer)) = producers.first_open_transaction() {
            let text = format!("{place}: producer {producer} has a transaction open since offset {offset}");
            if arguments.allow_open_transactions {
                self.warnings.push(format!("{text}: readers of committed records wait there"));
            } else {
                wrong.push(format!(
                    "{text}: end it with kafka-transactions.sh abort before the import, or take it over with \
                     --allow-open-transactions (readers of committed records then wait at that offset)"
                ));
            }
        }
        Ok(())
    }
}

/// The files that make up a partition, with their sizes. What Kafka was about to remove is left out.
fn files(dir: &Path) -> Result<Vec<(String, u64)>, Failure> {
    let mut files = Vec::new();
    for path in entries(dir)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".swap") {
            let why = "a cleaned segment was about to take its place: start the broker and stop it cleanly";
            return Err(Failure::with(path.display(), why));
        }
        if FileName::parse(name).is_some() || [LEADER_EPOCHS, PARTITION_METADATA].contains(&name) {
            let bytes = fs::metadata(&path).map_err(|error| Failure::with(path.display(), error))?.len();
            files.push((name.to_owned(), bytes));
        }
    }
    files.sort();
    Ok(files)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failure = |error| Failure::with(dir.display(), error);
    fs::read_dir(dir).map_err(failure)?.map(|entry| Ok(entry.map_err(failure)?.path())).collect()
}

/// Where a partition starts: the log start that was stored, if it is above the first segment.
pub(super) fn log_start(partition: &PlannedPartition) -> Offset {
    let bases = partition.files.iter().filter_map(|(name, _)| FileName::parse(name));
    let first = bases.filter(|name| name.kind == FileKind::Log).map(|name| name.base).min();
    let first = first.unwrap_or(Offset::ZERO);
    partition.source.log_start.map_or(first, |stored| stored.max(first))
}
