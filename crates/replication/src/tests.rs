//! Scenarios of one partition: each line of a script is one event, and the answer is what the machine wants done.
//!
//! ```text
//! assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2     the metadata's word; leader=none
//! produce NAME all|leader|none [seq=N]                  one record, of an idempotent producer if there is a sequence
//! flushed | flush fails                                 what came of the flush that is out
//! checkpointed | checkpoint fails
//! fetch from=2 term=0 at=5 last=0 [broker=7] [start=0]  a follower's fetch; last=- without records
//! accepted on=1 v=2 isr=1,2 | refused on=1 retry        what came of a proposal
//! records term=0 at=5 last=0 hw=3 start=0 [5@0 6..8@1]  what a follower's fetch brought: batches, offset@term or first..last@term
//! diverging term=2 at=5 last=1 common=0 end=3           the same, where the logs part; common=- for none
//! out-of-range term=2 at=5 last=1 start=7 end=9 [wrote=6@1#3]   a batch that lies before the start
//! delete NAME before=3                                  before=- for the high watermark
//! configure fsync|os    session open|over    tick    wait SECONDS    retain    swap NAME    directory fails
//! disk full|free                                        what the file system says from its next look on, a second later
//! ```

mod elsewhere;
mod following;
mod in_sync;
mod leading;
mod marks;
mod refusals;
mod table;
mod truncation;
mod writing;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use expect_test::Expect;
use ottla_record::produce::{Origin, ProduceRules, ValidatedBatches, validate};
use ottla_record::{
    BatchBuilder, BrokerEpoch, BrokerId, Codec, DirectoryId, LeaderEpoch, Monotonic, Now, Offset,
    PartitionEpoch, ProducerEpoch, ProducerId, ProducerStamp, Sequence, Timestamp, TimestampType, TopicId,
    Uuid,
};
use ottla_storage::compaction::{Cleanable, CleanedSegment, Pass, PassMemory, PassOrder};
use ottla_storage::{
    CheckpointJob, DirectoryLimits, Disk, Entry, File, FlushJob, FsDisk, Log, LogConfig, LogDirectory,
    LogStart, OpenMode, ProducerStates, Space,
};

use crate::{
    Acks, Assignment, Availability, DeleteRecords, Durability, Effect, EpochEnd, Event, FetchedFromLeader,
    FetchedOutcome, FollowerFetch, IsrRefused, IsrState, Partition, PartitionConfig, Produce, View,
};

/// The disk, with as much free space as a script says.
#[derive(Debug)]
struct ScriptedDisk {
    disk: FsDisk,
    is_full: AtomicBool,
}

impl Disk for ScriptedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.disk.open(path, mode)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn sync_files(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        self.disk.sync_files(files)
    }
    fn space(&self) -> io::Result<Space> {
        let total = 1 << 30;
        Ok(Space { total, free: if self.is_full.load(Ordering::Relaxed) { 0 } else { total } })
    }
    fn root(&self) -> Option<PathBuf> {
        self.disk.root()
    }
}

/// A partition alone in a directory of its own.
struct Scenario {
    disk: Arc<ScriptedDisk>,
    _dir: tempfile::TempDir,
    root: Arc<LogDirectory>,
    partition: Partition<String>,
    config: PartitionConfig,
    now: Now,
    flush: Option<FlushJob>,
    checkpoint: Option<CheckpointJob>,
}

impl Scenario {
    /// Broker 1.
    fn new(durability: Durability) -> Self {
        Self::on(1, config(durability))
    }

    fn on(broker: i32, config: PartitionConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = FsDisk::open(dir.path().join("data")).unwrap();
        let disk = Arc::new(ScriptedDisk { disk, is_full: AtomicBool::new(false) });
        let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(0) };
        let id = DirectoryId(Uuid::from_random([1; 16]));
        let root = Arc::new(
            LogDirectory::open(Arc::<ScriptedDisk>::clone(&disk), BrokerId::new(broker), id, limits).unwrap(),
        );
        let now = Now {
            monotonic: Monotonic::from_start(Duration::from_secs(1)),
            wall: Timestamp::from_millis(1_000),
        };
        let start = LogStart { recovery_point: Offset::ZERO, log_start: None, clean: false };
        let topic = TopicId(Uuid::from_random([7; 16]));
        let (log, _) = Log::open(&root, "t-0".into(), topic, config.log.clone(), start, now).unwrap();
        let partition = Partition::new(BrokerId::new(broker), log, config.clone());
        Self { disk, _dir: dir, root, partition, config, now, flush: None, checkpoint: None }
    }

    /// Leads in epoch 0 with an in-sync set of its own.
    fn leading(durability: Durability) -> Self {
        let mut scenario = Self::new(durability);
        scenario.run("assign v=1 term=0 leader=1 replicas=1 isr=1");
        scenario
    }

    /// Does one line after the other; says of each what came of it.
    fn run(&mut self, script: &str) -> String {
        let mut said = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(said, "> {line}").unwrap();
            for effect in self.line(line).lines() {
                writeln!(said, "  {effect}").unwrap();
            }
        }
        said
    }

    fn line(&mut self, line: &str) -> String {
        let words = Words::of(line);
        let event = match words.first {
            "assign" => Event::Assign(words.assignment()),
            "produce" => words.produce(),
            "flushed" => self.flush_ended(true),
            "flush" => self.flush_ended(false),
            "checkpointed" => self.checkpoint_ended(true),
            "checkpoint" => self.checkpoint_ended(false),
            "fetch" => Event::FollowerFetch(words.fetch()),
            "accepted" => Event::IsrDecided {
                partition_epoch: words.version("on"),
                outcome: Ok(IsrState { partition_epoch: words.version("v"), isr: words.brokers("isr") }),
            },
            "refused" => Event::IsrDecided {
                partition_epoch: words.version("on"),
                outcome: Err(match words.plain[0] {
                    "retry" => IsrRefused::Retry,
                    "fenced" => IsrRefused::Fenced,
                    "ineligible" => IsrRefused::Ineligible,
                    "rejected" => IsrRefused::Rejected,
                    other => panic!("{other}"),
                }),
            },
            "records" | "diverging" | "out-of-range" => Event::Fetched(words.fetched()),
            "delete" => Event::DeleteRecords(DeleteRecords {
                waiter: words.plain[0].to_owned(),
                before: words.optional("before").map(Offset::new),
                deadline: self.now.monotonic + Duration::from_secs(30),
            }),
            "configure" => {
                self.config.durability = durability(words.plain[0]);
                Event::Configure(self.config.clone())
            }
            "session" => Event::InSession(words.plain[0] == "open"),
            "disk" => {
                self.disk.is_full.store(words.plain[0] == "full", Ordering::Relaxed);
                return String::new();
            }
            "tick" => Event::Tick,
            "wait" => {
                self.later(Duration::from_secs(words.plain[0].parse().unwrap()));
                Event::Tick
            }
            "retain" => Event::Retain,
            "swap" => Event::SwapCleaned { waiter: words.plain[0].to_owned(), cleaned: self.cleaned() },
            "directory" => Event::DirectoryFailed,
            other => panic!("{other}"),
        };
        self.event(event)
    }

    fn event(&mut self, event: Event<String>) -> String {
        let effects = self.effects(event);
        effects.into_iter().fold(String::new(), |said, effect| said + &self.describe(effect) + "\n")
    }

    fn effects(&mut self, event: Event<String>) -> Vec<Effect<String>> {
        let mut effects = Vec::new();
        self.partition.handle(event, self.now, &mut effects);
        effects
    }

    fn describe(&mut self, effect: Effect<String>) -> String {
        match effect {
            Effect::Flush(job) => {
                let line = format!("flush to {}", job.end);
                assert!(self.flush.replace(job).is_none(), "one flush at a time");
                line
            }
            Effect::Checkpoint(job) => {
                let line = format!("checkpoint at {}", job.recovery_point);
                assert!(self.checkpoint.replace(job).is_none(), "one checkpoint at a time");
                line
            }
            Effect::Produced { waiter, outcome: Ok(produced) } => {
                format!("{waiter}: written at {}", produced.base_offset)
            }
            Effect::Produced { waiter, outcome: Err(error) } => format!("{waiter}: refused: {error}"),
            Effect::RecordsDeleted { waiter, outcome: Ok(start) } => {
                format!("{waiter}: log starts at {start}")
            }
            Effect::RecordsDeleted { waiter, outcome: Err(error) } => {
                format!("{waiter}: not deleted: {error}")
            }
            Effect::FollowerFetched { waiter, outcome: Ok(position) } => {
                let diverging = position.diverging.map_or(String::new(), |common| {
                    format!("; logs part after term {}, at {}", option(common.epoch), common.end)
                });
                let marks = [position.log_start, position.high_watermark, position.log_end];
                let [start, high_watermark, end] = marks.map(Offset::get);
                format!("{waiter}: leader has {start} ≤ hw {high_watermark}, end {end}{diverging}")
            }
            Effect::FollowerFetched { waiter, outcome: Err(error) } => format!("{waiter}: refused: {error}"),
            Effect::AlterIsr(proposal) => {
                let member = |(id, epoch): &(BrokerId, Option<BrokerEpoch>)| match epoch {
                    Some(epoch) => format!("{id} (registered {epoch})"),
                    None => id.to_string(),
                };
                let members: Vec<_> = proposal.isr.iter().map(member).collect();
                let (term, version) = (proposal.leader_epoch, proposal.partition_epoch);
                format!("propose in sync: {}; in term {term} on version {version}", members.join(", "))
            }
            Effect::CopyRefused(error) => format!("not copied: {error}"),
            Effect::Publish(view) => published(&view),
            Effect::Swapped { waiter, outcome } => format!("{waiter}: swapped: {outcome:?}"),
            Effect::Remove(segments) => format!("remove {} segments", segments.len()),
            Effect::Failed => "the directory has failed".to_owned(),
        }
    }

    fn flush_ended(&mut self, succeeded: bool) -> Event<String> {
        Event::Flushed { end: self.flush.take().expect("a flush is out").end, succeeded }
    }

    fn checkpoint_ended(&mut self, succeeded: bool) -> Event<String> {
        Event::Checkpointed { job: self.checkpoint.take().expect("a checkpoint is out"), succeeded }
    }

    fn later(&mut self, duration: Duration) {
        self.now.monotonic = self.now.monotonic + duration;
        self.now.wall = Timestamp::from_millis(self.now.wall.millis() + duration.as_millis() as i64);
    }

    /// What a pass over the sealed segments makes of the first of them.
    fn cleaned(&self) -> CleanedSegment {
        let log = self.partition.log();
        let cleanable = Cleanable {
            first_dirty: log.log_start(),
            end: log.log_end().prev().expect("there is a sealed segment"),
            clean_bytes: 0,
            dirty_bytes: log.size_bytes(),
            overdue: false,
        };
        let order = PassOrder {
            view: log.view(),
            cleanable,
            config: log.config().clone(),
            producers: log.last_of_producers(),
            now: self.now.wall,
        };
        let memory =
            PassMemory { map_bytes: 1 << 16, load_factor: 1.0, buffer_bytes: 1 << 16, secret: [3; 16] };
        let mut pace = |_| ControlFlow::Continue(());
        let mut pass = Pass::begin(&self.root, order, memory, &mut pace).unwrap();
        pass.next_cleaned(&mut pace).unwrap().expect("something is cleaned")
    }

    /// Offset and term of every record.
    fn records(&self) -> String {
        let view = self.partition.view();
        let mut all = Vec::new();
        let mut offset = view.log_start;
        while let Some(slice) = view.log.read(offset, 1 << 20, view.log_end, true).unwrap() {
            for batch in ottla_record::Batches::new(&slice.read().unwrap()) {
                let batch = batch.unwrap();
                all.push(format!(
                    "{}@{}",
                    batch.base_offset(),
                    option(batch.header().partition_leader_epoch())
                ));
                offset = batch.last_offset().next();
            }
        }
        all.join(" ")
    }
}

fn published(view: &View) -> String {
    let role = match (view.availability, view.following) {
        (Availability::Leading { epoch, epoch_start }, _) => format!("leads {epoch} from {epoch_start}"),
        (Availability::NotLeading { .. }, Some(following)) => {
            let (leader, term) = (following.leader, following.leader_epoch);
            match following.fetch {
                Some(fetch) => {
                    let last = option(fetch.last_epoch);
                    format!("follows {leader} in {term}, fetches from {} after term {last}", fetch.offset)
                }
                None => format!("follows {leader} in {term}, waits for its flush"),
            }
        }
        (Availability::NotLeading { .. }, None) => "does not lead".to_owned(),
        (Availability::Offline, _) => "offline".to_owned(),
    };
    let marks = [view.log_start, view.high_watermark, view.flushed_end, view.log_end];
    let [start, high_watermark, flushed, end] = marks.map(Offset::get);
    format!("readers see {start} ≤ hw {high_watermark}, flushed {flushed}, end {end}; {role}")
}

fn option(number: Option<impl ToString>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

fn durability(name: &str) -> Durability {
    match name {
        "fsync" => Durability::Fsync,
        "os" => Durability::Os,
        other => panic!("{other}"),
    }
}

/// A line of a script: its first word, plain words, and words with a name.
struct Words<'a> {
    first: &'a str,
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let first = words.next().expect("a line has words");
        let (named, plain): (Vec<_>, Vec<_>) = words.partition(|word| word.contains('='));
        Self { first, plain, named: named.iter().filter_map(|word| word.split_once('=')).collect() }
    }

    fn text(&self, name: &str) -> &'a str {
        self.named.get(name).unwrap_or_else(|| panic!("{}: {name} is missing", self.first))
    }

    fn number<T: FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> T {
        self.text(name).parse().unwrap()
    }

    fn optional<T: FromStr<Err: std::fmt::Debug>>(&self, name: &str) -> Option<T> {
        (self.text(name) != "-").then(|| self.number(name))
    }

    fn offset(&self, name: &str) -> Offset {
        Offset::new(self.number(name))
    }

    fn term(&self, name: &str) -> LeaderEpoch {
        LeaderEpoch::new(self.number(name))
    }

    fn version(&self, name: &str) -> PartitionEpoch {
        PartitionEpoch::new(self.number(name))
    }

    fn brokers(&self, name: &str) -> Vec<BrokerId> {
        self.text(name).split(',').map(|id| BrokerId::new(id.parse().unwrap())).collect()
    }

    fn assignment(&self) -> Assignment {
        Assignment {
            leader_epoch: self.term("term"),
            partition_epoch: self.version("v"),
            leader: (self.text("leader") != "none").then(|| BrokerId::new(self.number("leader"))),
            replicas: self.brokers("replicas"),
            isr: self.brokers("isr"),
        }
    }

    fn produce(&self) -> Event<String> {
        let acks = match self.plain[1] {
            "all" => Acks::All,
            "leader" => Acks::Leader,
            "none" => Acks::None,
            other => panic!("{other}"),
        };
        let sequence = self.named.get("seq").map(|sequence| sequence.parse().unwrap());
        produce(self.plain[0], acks, batch(sequence))
    }

    fn fetch(&self) -> FollowerFetch<String> {
        let or = |name, usual| if self.named.contains_key(name) { self.number(name) } else { usual };
        FollowerFetch {
            waiter: format!("broker {}", self.text("from")),
            follower: BrokerId::new(self.number("from")),
            broker_epoch: BrokerEpoch::new(or("broker", 7)),
            leader_epoch: self.term("term"),
            offset: self.offset("at"),
            last_epoch: self.optional("last").map(LeaderEpoch::new),
            log_start: Offset::new(or("start", 0)),
        }
    }

    fn fetched(&self) -> FetchedFromLeader {
        let outcome = match self.first {
            "records" => FetchedOutcome::Records {
                bytes: self.plain.iter().flat_map(|batch| replicated(batch)).collect::<Vec<u8>>().into(),
                high_watermark: self.offset("hw"),
                log_start: self.offset("start"),
            },
            "diverging" => FetchedOutcome::Diverging(EpochEnd {
                epoch: self.optional("common").map(LeaderEpoch::new),
                end: self.offset("end"),
            }),
            _ => FetchedOutcome::OutOfRange {
                log_start: self.offset("start"),
                log_end: self.offset("end"),
                producers: Arc::new(self.named.get("wrote").map_or_else(ProducerStates::default, |batch| {
                    let mut states = ProducerStates::default();
                    let batch = replicated(batch);
                    states.apply(ottla_record::BatchView::parse(&batch).unwrap().header(), None);
                    states
                })),
            },
        };
        FetchedFromLeader {
            leader_epoch: self.term("term"),
            from: self.offset("at"),
            last_epoch: self.optional("last").map(LeaderEpoch::new),
            outcome,
        }
    }
}

fn config(durability: Durability) -> PartitionConfig {
    PartitionConfig {
        durability,
        min_insync_replicas: 2,
        flush_records: u64::MAX,
        flush_interval: Duration::MAX,
        replica_lag_max: Duration::from_secs(30),
        log: LogConfig {
            segment_bytes: 1 << 20,
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            segment_index_bytes: 1 << 20,
            index_interval_bytes: 4096,
            retention_bytes: None,
            retention_ms: None,
            delete_expired: true,
            compacted: false,
            compaction: None,
            file_delete_delay_ms: 0,
            preallocate: false,
            producer_id_expiration_ms: 86_400_000,
        },
    }
}

fn produce(waiter: &str, acks: Acks, batches: ValidatedBatches) -> Event<String> {
    let deadline = Monotonic::from_start(Duration::from_secs(31));
    Event::Produce(Produce { waiter: waiter.to_owned(), batches, acks, deadline })
}

/// One record as a client sends it, of an idempotent producer or of none.
fn batch(producer: Option<i32>) -> ValidatedBatches {
    let rules = ProduceRules {
        origin: Origin::Client,
        max_batch_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: None,
        compacted: false,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    };
    let sent = record(BatchBuilder::new(Codec::None), producer);
    validate(sent, &rules, Timestamp::from_millis(1_000)).unwrap()
}

/// A batch as a leader sends it: `offset@term` with one record, `first..last@term`, or `offset@term#sequence`.
fn replicated(batch: &str) -> Bytes {
    let (place, sequence) = batch.split_once('#').map_or((batch, None), |(place, rest)| (place, Some(rest)));
    let (offsets, term) = place.split_once('@').unwrap();
    let (first, last) = offsets.split_once("..").unwrap_or((offsets, offsets));
    let [first, last] = [first, last].map(|offset| offset.parse::<i64>().unwrap());
    let mut builder = BatchBuilder::new(Codec::None)
        .base_offset(Offset::new(first))
        .leader_epoch(LeaderEpoch::new(term.parse().unwrap()));
    for _more in first..last {
        builder.push(Some(Timestamp::from_millis(1_000)), Some(b"key"), Some(b"value"), &[]);
    }
    record(builder, sequence.map(|sequence| sequence.parse().unwrap()))
}

fn record(mut builder: BatchBuilder, producer: Option<i32>) -> Bytes {
    if let Some(sequence) = producer {
        builder = builder.producer(ProducerStamp {
            id: ProducerId::new(9),
            epoch: ProducerEpoch::ZERO,
            base_sequence: Sequence::from_wire(sequence),
        });
    }
    builder.push(Some(Timestamp::from_millis(1_000)), Some(b"key"), Some(b"value"), &[]);
    builder.build().unwrap()
}

fn check(said: &str, expected: &Expect) {
    expected.assert_eq(said);
}
