//! `ottla log import`: takes over the topics of a Kafka broker's data directory.
//!
//! The source is only read. What is written goes in this order, so that a crash at any point leaves either nothing that counts
//! or everything: each partition is copied under a name that no broker opens, synced, checked, and renamed; its checkpoints are
//! stored and its log is opened once; last, the topics are created in the metadata.

mod check;
mod cluster_metadata;
mod copy;
mod journal;
mod plan;
mod source;
mod target;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use ottla_record::{BrokerId, LeaderEpoch, Offset, ProducerId};
use ottla_storage::{Log, LogConfig, LogDirectory, LogStart};
use serde::Serialize;

pub use self::journal::Journal;
use self::plan::{Plan, PlannedPartition, PlannedTopic};
use self::source::Source;
pub use self::target::{ImportHost, ImportTarget, NewTopic};
use crate::failure::Failure;
use crate::output::{Align, Bytes, Duration, Output, OutputArguments, Progress, Table};

/// Partitions in one change of the metadata: what one request may create, and far below the largest command.
const MAX_PARTITIONS_AT_ONCE: usize = 5_000;

/// Takes over the topics of a data directory written by Apache Kafka 4 (KRaft).
///
/// Records, offsets, timestamps, transactions, leader epochs, topic ids and topic configs are kept. The source is only read, and
/// its broker must be stopped. Topics that exist already are an error before anything is written.
#[derive(Debug, Args)]
pub struct Import {
    /// The broker's `log.dirs`, all of them.
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// The data directory to import into, new or with topics. No broker may be running on it.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The `node.id` of a new data directory (1 if not given).
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(0..))]
    pub node_id: Option<i32>,
    /// Where the source keeps its cluster metadata, if that is not in DIR (`metadata.log.dir`).
    #[arg(long, value_name = "DIR")]
    pub metadata_dir: Option<PathBuf>,
    /// Imports this topic, and only those that are named. May be given several times.
    #[arg(long = "topic", value_name = "NAME")]
    pub topics: Vec<String>,
    /// Leaves out Kafka's own topics: consumer groups' offsets, the state of transactions and of share groups.
    #[arg(long)]
    pub skip_internal: bool,
    /// Imports from a broker that crashed: its logs are checked, and what had not been flushed and is torn is cut from the copy.
    #[arg(long)]
    pub allow_unclean: bool,
    /// Imports partitions in which a transaction is open: readers of committed records will wait there.
    #[arg(long)]
    pub allow_open_transactions: bool,
    /// Shows what would be imported, and writes nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "its fields are documented")]
    pub output: OutputArguments,
}

impl Import {
    pub(super) fn execute(&self, host: &dyn ImportHost, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.output.form());
        let started = Instant::now();
        self.check_places()?;
        let source = Source::open(&self.dirs, self.metadata_dir.as_deref(), self.allow_unclean)?;
        let mut plan = Plan::make(&source, self, host)?;
        for warning in std::mem::take(&mut plan.warnings) {
            output.warn(warning);
        }
        if self.dry_run {
            return self.show(&plan, output);
        }
        let node = self.node_id.map(BrokerId::new);
        let mut target = host.open(&self.data_dir, node).map_err(Failure::Failed)?;
        let mut run = Run { root: &self.data_dir, source: &source, target: &mut *target };
        let imported = run.import(plan);
        if imported.is_err()
            && let Err(failure) = run.abandon()
        {
            output.warn(format!("{failure}; the next import clears it away"));
        }
        // What was created stays created, whatever closing says.
        let closed = target.close().map_err(Failure::Failed);
        let done = imported?;
        closed?;
        Journal::remove(&self.data_dir)?;
        self.summarize(&done, started, output)
    }

    /// A directory cannot be copied into itself.
    fn check_places(&self) -> Result<(), Failure> {
        let Ok(target) = self.data_dir.canonicalize() else { return Ok(()) };
        for dir in self.dirs.iter().chain(&self.metadata_dir) {
            if dir.canonicalize().is_ok_and(|dir| dir == target) {
                let why = "it is named both as the source and as --data-dir";
                return Err(Failure::Usage(format!("{}: {why}", dir.display())));
            }
        }
        Ok(())
    }

    fn show(&self, plan: &Plan, output: &mut Output<'_>) -> Result<(), Failure> {
        let mut table = Table::new([
            ("topic", Align::Left),
            ("partitions", Align::Right),
            ("size", Align::Right),
            ("configs", Align::Left),
        ]);
        for topic in &plan.topics {
            let configs: Vec<String> =
                topic.configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let size = Bytes(topic.bytes()).to_string();
            table.row([topic.name.clone(), topic.partitions.len().to_string(), size, configs.join(",")]);
            if output.is_json() {
                output.json(&PlanLine::of(topic))?;
            }
        }
        output.table(&table)?;
        let (topics, bytes) = (plan.topics.len(), Bytes(plan.bytes));
        output.text(format!("\n{topics} topics, {bytes} would be imported; nothing was written"))?;
        // A target that does not exist yet can hold no topic that is in the way.
        let taken = journal::directories(&self.data_dir)?;
        let taken: Vec<String> = plan
            .topics
            .iter()
            .filter(|topic| taken.iter().any(|(_, name)| name.topic == topic.name))
            .map(|topic| format!("{} exists already in {}", topic.name, self.data_dir.display()))
            .collect();
        if taken.is_empty() { Ok(()) } else { Err(Failure::Failed(taken.join("\nottla: "))) }
    }

    fn summarize(&self, done: &[Done], started: Instant, output: &mut Output<'_>) -> Result<(), Failure> {
        let mut table = Table::new([
            ("topic", Align::Left),
            ("partitions", Align::Right),
            ("offsets", Align::Right),
            ("size", Align::Right),
            ("id", Align::Left),
        ]);
        for topic in done {
            let offsets: i64 = topic.partitions.iter().map(|partition| partition.end - partition.start).sum();
            let partitions = topic.partitions.len().to_string();
            let size = Bytes(topic.bytes).to_string();
            table.row([topic.topic.clone(), partitions, offsets.to_string(), size, topic.id.clone()]);
            if output.is_json() {
                output.json(topic)?;
            }
        }
        output.table(&table)?;
        let bytes: u64 = done.iter().map(|topic| topic.bytes).sum();
        let rebuilt: usize = done.iter().flat_map(|topic| &topic.partitions).map(|p| p.rebuilt_indexes).sum();
        let took = started.elapsed();
        output.text(format!(
            "\n{} topics, {} imported in {}{}; next: ottla serve --data-dir {}",
            done.len(),
            Bytes(bytes),
            Duration(took),
            if rebuilt > 0 { format!(", indexes of {rebuilt} segments rebuilt") } else { String::new() },
            self.data_dir.display()
        ))
    }
}

/// A planned topic as JSON.
#[derive(Serialize)]
struct PlanLine<'a> {
    topic: &'a str,
    id: String,
    partitions: usize,
    bytes: u64,
    configs: serde_json::Map<String, serde_json::Value>,
}

impl<'a> PlanLine<'a> {
    fn of(topic: &'a PlannedTopic) -> Self {
        let configs = topic.configs.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        Self {
            topic: &topic.name,
            id: topic.id.to_string(),
            partitions: topic.partitions.len(),
            bytes: topic.bytes(),
            configs: configs.collect(),
        }
    }
}

/// An imported topic.
#[derive(Serialize)]
struct Done {
    topic: String,
    id: String,
    bytes: u64,
    partitions: Vec<DonePartition>,
}

/// An imported partition.
#[derive(Serialize)]
struct DonePartition {
    partition: i32,
    start: i64,
    end: i64,
    leader_epoch: i32,
    rebuilt_indexes: usize,
    cut_bytes: u64,
}

/// An import that writes.
struct Run<'a> {
    root: &'a Path,
    source: &'a Source,
    target: &'a mut dyn ImportTarget,
}

impl Run<'_> {
    fn import(&mut self, mut plan: Plan) -> Result<Vec<Done>, Failure> {
        let finished = self.resume(&mut plan)?;
        self.check(&plan)?;
        let topics = plan.topics.iter().map(|topic| (topic.name.clone(), topic.id));
        let journal = Journal {
            cluster: self.source.cluster.clone(),
            topics: finished.into_iter().chain(topics).collect(),
        };
        journal.write(self.root)?;
        let progress = Progress::bytes(Some(plan.bytes));
        let mut done = Vec::new();
        let mut new_topics = Vec::new();
        let mut next_producer_id = self.source.metadata.next_producer_id;
        for topic in &plan.topics {
            let (imported, new) = self.copy_topic(topic, &progress, &mut next_producer_id)?;
            done.push(imported);
            new_topics.push(new);
        }
        progress.clear();
        self.target.directory().store_checkpoints().map_err(|error| Failure::Failed(error.to_string()))?;
        let mut rest = new_topics.as_slice();
        while !rest.is_empty() {
            let mut partitions = 0;
            let fits = |topic: &&NewTopic| {
                partitions += topic.leader_epochs.len();
                partitions <= MAX_PARTITIONS_AT_ONCE
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            self.target.create(now, ProducerId::new(next_producer_id)).map_err(Failure::Failed)?;
            rest = later;
        }
        Ok(done)
    }

    /// Clears away what was copied and will not be used: after a failure, the directory is as it was before.
    fn abandon(&self) -> Result<(), Failure> {
        let Some(journal) = Journal::read(self.root)? else { return journal::clear_staging(self.root) };
        let is_known = |id| self.target.topic_with_id(id).is_some();
        journal.clear(self.root, self.target.directory(), is_known)?;
        // What stands in the metadata is complete; a second run does the rest.
        if journal.has_begun(is_known) { Ok(()) } else { Journal::remove(self.root) }
    }

    /// Clears away what an interrupted import left, and takes those topics out of the plan that it had finished.
    fn resume(&self, plan: &mut Plan) -> Result<Vec<(String, ottla_record::TopicId)>, Failure> {
        journal::clear_staging(self.root)?;
        let Some(journal) = Journal::read(self.root)? else { return Ok(Vec::new()) };
        if journal.cluster != self.source.cluster {
            let why = format!(
                "an import from cluster {} was interrupted here: run it again to its end before another one",
                journal.cluster
            );
            return Err(Failure::with(self.root.display(), why));
        }
        let is_known = |id| self.target.topic_with_id(id).is_some();
        journal.clear(self.root, self.target.directory(), is_known)?;
        let (finished, open): (Vec<_>, Vec<_>) = std::mem::take(&mut plan.topics)
            .into_iter()
            .partition(|topic| is_known(topic.id) && journal.topics.iter().any(|(_, id)| *id == topic.id));
        plan.bytes = open.iter().map(PlannedTopic::bytes).sum();
        plan.topics = open;
        Ok(finished.into_iter().map(|topic| (topic.name, topic.id)).collect())
    }

    /// Everything that can be refused is refused here, before the first byte is written.
    fn check(&mut self, plan: &Plan) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        for topic in &plan.topics {
            if self.target.topic_named(&topic.name).is_some() {
                wrong.push(format!("topic {} exists already in {}", topic.name, self.root.display()));
            } else if let Some(name) = self.target.topic_with_id(topic.id) {
                wrong.push(format!("topic {}: its id {} belongs to topic {name} here", topic.name, topic.id));
            }
        }
        if !wrong.is_empty() {
            return Err(Failure::Failed(wrong.join("\nottla: ")));
        }
        let new: Vec<NewTopic> = plan
            .topics
            .iter()
            .map(|topic| new_topic(topic, topic.partitions.iter().map(|p| p.leader_epoch.next()).collect()))
            .collect();
        let next_producer_id = ProducerId::new(self.source.metadata.next_producer_id);
        if let Err(error) = self.target.check(&new, next_producer_id) {
            wrong.push(error);
        }
        for (path, name) in journal::directories(self.root)? {
            if plan.topics.iter().any(|topic| topic.name == name.topic) {
                wrong.push(format!("{} is in the way: it belongs to no topic; remove it", path.display()));
            }
        }
        let free = self.target.directory().disk().space().map_or(u64::MAX, |space| space.free);
        let some_file =
            plan.topics.iter().flat_map(|topic| &topic.partitions).find_map(PlannedPartition::some_file);
        if plan.bytes > free && !some_file.is_some_and(|file| copy::shares_blocks(&file, self.root)) {
            let (needed, free) = (Bytes(plan.bytes), Bytes(free));
            wrong.push(format!("{needed} are needed in {}, and {free} are free", self.root.display()));
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Failed(wrong.join("\nottla: "))) }
    }

    fn copy_topic(
        &self,
        topic: &PlannedTopic,
        progress: &Progress,
        next_producer_id: &mut i64,
    ) -> Result<(Done, NewTopic), Failure> {
        progress.say(topic.name.clone());
        let (mut partitions, mut epochs) = (Vec::new(), Vec::new());
        for partition in &topic.partitions {
            let taken = self.copy_partition(topic, partition, progress, next_producer_id)?;
            epochs.push(LeaderEpoch::new(taken.leader_epoch));
            partitions.push(taken);
        }
        let done =
            Done { topic: topic.name.clone(), id: topic.id.to_string(), bytes: topic.bytes(), partitions };
        Ok((done, new_topic(topic, epochs)))
    }

    fn copy_partition(
        &self,
        topic: &PlannedTopic,
        partition: &PlannedPartition,
        progress: &Progress,
        next_producer_id: &mut i64,
    ) -> Result<DonePartition, Failure> {
        let staging = copy::staging(self.root, partition);
        copy::partition(partition, &staging, &mut |bytes| progress.advance(bytes))?;
        let checked = check::partition(&staging, topic, partition, self.source.is_clean)?;
        copy::sync_dir(&staging)?;
        let place = self.root.join(partition.name.directory());
        std::fs::rename(&staging, &place).map_err(|error| Failure::with(place.display(), error))?;
        copy::sync_dir(self.root)?;
        let start = LogStart {
            recovery_point: if self.source.is_clean { checked.end } else { partition.source.recovery_point },
            log_start: Some(plan::log_start(partition)),
            clean: self.source.is_clean,
        };
        let directory = self.target.directory();
        directory
            .adopt_partition(&partition.name, start)
            .map_err(|error| Failure::with(place.display(), error))?;
        // A producer id that a log knows was given out, whatever the metadata says.
        *next_producer_id =
            (*next_producer_id).max(checked.latest_producer.map_or(0, |id| id.saturating_add(1)));
        let mut done = open_once(directory, topic, partition, start, self.target)?;
        let known = partition.leader_epoch.max(checked.latest_epoch.unwrap_or(LeaderEpoch::ZERO));
        done.leader_epoch = done.leader_epoch.max(known.get()).saturating_add(1);
        done.rebuilt_indexes = done.rebuilt_indexes.max(checked.dropped_indexes);
        Ok(done)
    }
}

/// Opens the log as a broker will, which recovers it if need be and builds the indexes that are missing, and closes it.
fn open_once(
    directory: &Arc<LogDirectory>,
    topic: &PlannedTopic,
    partition: &PlannedPartition,
    start: LogStart,
    target: &dyn ImportTarget,
) -> Result<DonePartition, Failure> {
    let place = partition.name.directory();
    let failure = |error: &dyn std::fmt::Display| {
        Failure::with(format!("opening the copy of {}", place.display()), error)
    };
    let config = reading_config(topic.is_compacted());
    let (log, recovery) = Log::open(directory, place.clone(), topic.id, config, start, target.now())
        .map_err(|error| failure(&error))?;
    let (log_start, end) = (log.log_start(), log.log_end());
    let latest = log.leader_epochs().latest().map_or(-1, |latest| latest.epoch.get());
    log.close().map_err(|error| failure(&error))?;
    // The copy is the only replica: whatever is in it is committed.
    directory.note_high_watermark(&partition.name, end);
    Ok(DonePartition {
        partition: partition.name.partition.get(),
        start: log_start.get(),
        end: Offset::get(end),
        leader_epoch: latest,
        rebuilt_indexes: recovery.rebuilt_indexes,
        cut_bytes: recovery.truncated_bytes,
    })
}

/// Nothing is appended or retained while the log is open here, so only the kind of log and the density of its indexes matter.
fn reading_config(compacted: bool) -> LogConfig {
    LogConfig {
        segment_bytes: i32::MAX.unsigned_abs(),
        segment_ms: i64::MAX,
        segment_jitter_ms: 0,
        segment_index_bytes: 10 << 20,
        index_interval_bytes: 4096,
        retention_bytes: None,
        retention_ms: None,
        delete_expired: false,
        compacted,
        compaction: None,
        file_delete_delay_ms: 0,
        preallocate: false,
        producer_id_expiration_ms: i64::MAX,
    }
}

fn new_topic(topic: &PlannedTopic, leader_epochs: Vec<LeaderEpoch>) -> NewTopic {
    NewTopic { name: topic.name.clone(), id: topic.id, configs: topic.configs.clone(), leader_epochs }
}

#[cfg(test)]
mod tests;
