//! Crash enumeration of a compacted log: records with keys and tombstones are appended, flushed, compacted segment by
//! segment and read from the start, and the power goes at any moment of it.
//!
//! What must hold: an offset keeps its record or loses it, and never gets another; of every key the last record is there
//! once it was flushed, unless it is a tombstone whose time has passed; whatever is missing, a later record of its key
//! is there, or was; and a reader that began at the log start and came to the end in time knows the last state of every key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{
    BatchBuilder, BatchView, Codec, LeaderEpoch, Monotonic, Now, Offset, ProducerEpoch, ProducerId,
    ProducerStamp, Sequence, Timestamp, TimestampType,
};
use ottla_storage::compaction::{Pass, PassMemory, PassOrder};
use ottla_storage::{
    CompactionConfig, DeletedSegment, DirtyRatio, Log, LogConfig, LogDirectory, LogView, ReadError,
};

use crate::cluster::Cluster;
use crate::disk::{SimDisk, Survival};
use crate::explore::{Crash, Life, Moments, Story};
use crate::invariants::{self, Invariant, Violation, broken};
use crate::opening::open_log;
use crate::rng::Rng;

/// A compacted log.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// Name of the story.
    pub name: &'static str,
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// Keys that the map of a pass holds.
    pub map_keys: u64,
    /// Actions in the first life.
    pub actions: usize,
}

/// The stories of compaction.
pub const COMPACTIONS: &[Compaction] = &[
    Compaction { name: "compaction", segment_bytes: 700, map_keys: 64, actions: 44 },
    Compaction { name: "compaction-in-small-steps", segment_bytes: 500, map_keys: 4, actions: 40 },
];

/// `delete.retention.ms`
const DELETE_RETENTION_MS: i64 = 500;
/// Keys there are.
const KEYS: u64 = 6;
/// More than any batch here.
const LARGEST: usize = 1 << 20;
/// How much a reader asks for at once.
const BITE: usize = 400;
/// Actions in a life after a crash.
const LATER_ACTIONS: usize = 4;

/// A record: its key, and its value, which is none for a tombstone.
type Record = (u8, Option<u64>);

/// What was written, and what was promised of it.
#[derive(Clone, Debug)]
pub struct World {
    written: BTreeMap<Offset, (Record, Timestamp)>,
    /// Below this, everything was reported as flushed.
    flushed: Offset,
    next_value: u64,
    wall: Timestamp,
}

impl World {
    /// The last record of every key below an offset.
    fn last(&self, end: Offset) -> BTreeMap<u8, (Offset, Option<u64>, Timestamp)> {
        let below = self.written.range(..end);
        below.map(|(offset, ((key, value), at))| (*key, (*offset, *value, *at))).collect()
    }
}

/// Reads from the log start to the end, a bite at a time, while the log changes under it.
struct Reader {
    began: Timestamp,
    next: Offset,
    known: BTreeMap<u8, (Offset, Option<u64>)>,
}

struct Process<'a> {
    disk: &'a SimDisk,
    directory: Arc<LogDirectory>,
    log: Log,
    reader: Reader,
    /// A picture of the log from before.
    old: LogView,
    removals: Vec<DeletedSegment>,
    map_keys: u64,
}

fn failed(what: &str, error: impl std::fmt::Display) -> Violation {
    broken(Invariant::Progress, format!("{what}: {error}"))
}

impl<'a> Process<'a> {
    fn start(
        disk: &'a SimDisk,
        directory: Arc<LogDirectory>,
        log: Log,
        world: &World,
        map_keys: u64,
    ) -> Self {
        let reader = Reader::new(&log, world);
        Self { old: log.view(), disk, directory, log, reader, removals: Vec::new(), map_keys }
    }

    const fn now(world: &World) -> Now {
        Now { monotonic: Monotonic::ZERO, wall: world.wall }
    }

    fn act(
        &mut self,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        world.wall = world.wall.plus_millis(i64::try_from(rng.below(12)).unwrap_or(0));
        match rng.below(100) {
            0..42 => self.append(world, moments, rng),
            42..58 => self.flush(world, moments),
            58..68 => self.checkpoint(world, moments),
            68..82 => self.compact(world, moments),
            82..94 => self.poll(world, rng),
            94..97 => {
                for deleted in std::mem::take(&mut self.removals) {
                    deleted.remove(&*self.disk.port()).map_err(|error| failed("removing", error))?;
                    moments.keep(self.disk, world);
                }
                Ok(())
            }
            _ => {
                world.wall = world.wall.plus_millis(i64::try_from(rng.below(400)).unwrap_or(0));
                Ok(())
            }
        }
    }

    fn append(
        &mut self,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        let codec = if rng.chance(1, 3) { Codec::Lz4 } else { Codec::None };
        let mut builder = BatchBuilder::new(codec);
        let count = rng.index(3) + 1;
        if rng.chance(1, 3) {
            let id = ProducerId::new(7);
            let next = self.log.producers().get(id).and_then(|known| known.next_sequence());
            let base_sequence = Some(next.unwrap_or(Sequence::ZERO));
            builder = builder.producer(ProducerStamp { id, epoch: ProducerEpoch::ZERO, base_sequence });
        }
        let base = self.log.log_end();
        for (number, _) in (0i64..).zip(0..count) {
            let key = u8::try_from(rng.below(KEYS)).unwrap_or(0);
            let value = (!rng.chance(1, 5)).then_some(world.next_value);
            world.next_value += 1;
            let mut bytes = value.map(|value| value.to_be_bytes().to_vec());
            if let Some(bytes) = &mut bytes {
                bytes.resize(8 + rng.index(60), 0x5a);
            }
            builder.push(Some(world.wall), Some(&[key]), bytes.as_deref(), &[]);
            // Whether it comes as far as the disk is not known before it is flushed.
            world.written.insert(base + number, ((key, value), world.wall));
        }
        let bytes = builder.build().map_err(|error| failed("building", error))?;
        let batches = validate(bytes, &rules(), world.wall).map_err(|error| failed("validating", error))?;
        let appended = self.log.append_as_leader(&batches, LeaderEpoch::ZERO, Self::now(world));
        moments.keep(self.disk, world);
        appended.map_err(|error| failed("appending", error)).map(drop)
    }

    fn flush(&mut self, world: &mut World, moments: &mut Moments<World>) -> Result<(), Violation> {
        let Some(job) = self.log.begin_flush() else { return Ok(()) };
        let done = job.run(&*self.disk.port());
        moments.keep(self.disk, world);
        done.map_err(|error| failed("flushing", error))?;
        self.log.complete_flush(job.end);
        world.flushed = world.flushed.max(self.log.flushed_end());
        Ok(())
    }

    fn checkpoint(&mut self, world: &World, moments: &mut Moments<World>) -> Result<(), Violation> {
        let raised = self.log.checkpoint();
        moments.keep(self.disk, world);
        raised.map_err(|error| failed("checkpoint", error))?;
        let stored = self.directory.store_checkpoints();
        moments.keep(self.disk, world);
        stored.map_err(|error| failed("checkpoints", error))
    }

    /// A pass, swap by swap, as the broker's cleaner makes one.
    fn compact(&mut self, world: &World, moments: &mut Moments<World>) -> Result<(), Violation> {
        let (view, config) = (self.log.view(), self.log.config().clone());
        let Some(compaction) = config.compaction else { return Ok(()) };
        let cleaned_to = self.directory.cleaned_to(self.log.name());
        let cleanable = view
            .cleanable(cleaned_to, self.log.recovery_point(), &compaction, world.wall)
            .map_err(|error| failed("looking for dirt", error))?;
        if cleanable.dirty_bytes == 0 {
            return Ok(());
        }
        let producers = self.log.last_of_producers();
        let order = PassOrder { view, cleanable, config, producers, now: world.wall };
        let map_bytes = (self.map_keys + 1) * 24;
        let memory = PassMemory { map_bytes, load_factor: 1.0, buffer_bytes: 0, secret: [3; 16] };
        let mut pace = |_| ControlFlow::Continue(());
        let mut pass = Pass::begin(&self.directory, order, memory, &mut pace)
            .map_err(|error| failed("reading keys", error))?;
        loop {
            let cleaned = pass.next_cleaned(&mut pace);
            moments.keep(self.disk, world);
            let Some(cleaned) = cleaned.map_err(|error| failed("cleaning", error))? else { break };
            let before = self.log.view();
            let swapped = self.log.swap_cleaned(cleaned, Self::now(world));
            moments.keep(self.disk, world);
            self.removals.extend(swapped.map_err(|error| failed("swapping", error))?);
            self.old = before;
            self.check(world)?;
        }
        let stored = self.directory.store_cleaned_to(self.log.name(), pass.end());
        moments.keep(self.disk, world);
        stored.map_err(|error| failed("the cleaner's checkpoint", error))
    }

    /// The reader goes on, and begins anew when it has come to the end.
    fn poll(&mut self, world: &World, rng: &mut Rng) -> Result<(), Violation> {
        for _ in 0..rng.index(4) + 1 {
            if self.reader.next >= self.log.log_end() {
                self.reader.finish(world)?;
                self.reader = Reader::new(&self.log, world);
                return Ok(());
            }
            let view = self.log.view();
            let records =
                read_bite(&view, self.reader.next).map_err(|error| broken(Invariant::Readable, error))?;
            let Some((records, next)) = records else { return Ok(()) };
            for (offset, (key, value)) in records {
                self.reader.known.insert(key, (offset, value));
            }
            self.reader.next = next;
        }
        Ok(())
    }

    fn check(&self, world: &World) -> Result<(), Violation> {
        check(&self.log.view(), world)?;
        // Whoever has an older picture sees what it showed, or is told to look again.
        match read_all(&self.old) {
            Err(_) if read_error_is_stale(&self.old) => Ok(()),
            Err(error) => Err(broken(Invariant::Readable, format!("by an old view: {error}"))),
            Ok(found) => justified(&found, self.old.log_end(), world),
        }
    }
}

impl Reader {
    fn new(log: &Log, world: &World) -> Self {
        Self { began: world.wall, next: log.log_start(), known: BTreeMap::new() }
    }

    /// Came to the end: it knows the last state of every key, if it was fast enough for the tombstones.
    fn finish(&self, world: &World) -> Result<(), Violation> {
        let in_time = world.wall.millis_since(self.began) < DELETE_RETENTION_MS;
        for (key, (offset, value, _)) in world.last(self.next) {
            let known = self.known.get(&key).copied();
            let told = known == Some((offset, value));
            let gone = value.is_none() && (known.is_none() || !in_time);
            if !told && !gone {
                let found = format!(
                    "key {key} stands at {offset} with {value:?}; a reader from the start knows {known:?}"
                );
                return Err(broken(Invariant::LastValue, found));
            }
        }
        Ok(())
    }
}

/// What a reader sees in one bite from an offset: records with theirs, and where the next bite begins.
type Bite = (Vec<(Offset, Record)>, Offset);

fn read_bite(view: &LogView, from: Offset) -> Result<Option<Bite>, String> {
    let slice = view.read(from, BITE, view.log_end(), true).map_err(|error| error.to_string())?;
    let Some(slice) = slice else { return Ok(None) };
    let bytes = slice.read().map_err(|error| error.to_string())?;
    let (mut rest, mut next, mut found) = (bytes.as_slice(), from, Vec::new());
    while !rest.is_empty() {
        let batch = BatchView::parse(rest).map_err(|error| error.to_string())?;
        batch.verify_crc().map_err(|error| format!("batch at {}: {error}", batch.base_offset()))?;
        if batch.last_offset() < next {
            return Err(format!(
                "offset {next} was read, and then a batch that ends at {}",
                batch.last_offset()
            ));
        }
        for record in &batch.records(LARGEST).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            let key = record.key.and_then(|key| key.first()).ok_or("a record without a key")?;
            let value = record.value.map(|value| value.first_chunk().ok_or("a value that nobody wrote"));
            let value = value.transpose()?.map(|value| u64::from_be_bytes(*value));
            found.push((record.offset, (*key, value)));
        }
        next = batch.last_offset().next();
        rest = rest.split_at_checked(batch.len()).map_or(&[], |(_, rest)| rest);
    }
    Ok(Some((found, next)))
}

fn read_all(view: &LogView) -> Result<BTreeMap<Offset, Record>, String> {
    let (mut next, mut all) = (view.log_start(), BTreeMap::new());
    while next < view.log_end() {
        let (found, end) =
            read_bite(view, next)?.ok_or_else(|| format!("nothing is read from {next}, below the end"))?;
        all.extend(found);
        next = end;
    }
    Ok(all)
}

fn read_error_is_stale(view: &LogView) -> bool {
    let mut next = view.log_start();
    while next < view.log_end() {
        match view.read(next, BITE, view.log_end(), true) {
            Err(ReadError::Stale) => return true,
            Ok(Some(slice)) => next = slice.end_offset,
            _ => return false,
        }
    }
    false
}

/// All that is promised of a log as it stands.
fn check(view: &LogView, world: &World) -> Result<(), Violation> {
    let end = view.log_end();
    if end < world.flushed {
        let found = format!("the log ends at {end}, {} was flushed", world.flushed);
        return Err(broken(Invariant::AcknowledgedSurvives, found));
    }
    let found = read_all(view).map_err(|error| broken(Invariant::Readable, error))?;
    justified(&found, end, world)
}

/// What is there is what was written; what is missing is missing for a reason.
fn justified(found: &BTreeMap<Offset, Record>, end: Offset, world: &World) -> Result<(), Violation> {
    for (offset, record) in found {
        match world.written.get(offset) {
            Some((written, _)) if written == record => {}
            Some((written, _)) => {
                let found = format!("offset {offset} was {written:?} and is {record:?}");
                return Err(broken(Invariant::OneValuePerOffset, found));
            }
            None => return Err(broken(Invariant::NothingInvented, format!("{record:?} at {offset}"))),
        }
    }
    for (key, (offset, value, at)) in world.last(end) {
        let expired = value.is_none() && world.wall.millis_since(at) >= DELETE_RETENTION_MS;
        if !found.contains_key(&offset) && !expired {
            let found =
                format!("the last record of key {key}, {value:?} at {offset}, is missing below {end}");
            return Err(broken(Invariant::LastValue, found));
        }
    }
    Ok(())
}

fn rules() -> ProduceRules {
    ProduceRules {
        origin: Origin::Client,
        max_batch_bytes: LARGEST,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: None,
        compacted: true,
        allow_zstd: true,
        max_decompressed_bytes: LARGEST,
    }
}

impl Compaction {
    fn config(&self) -> LogConfig {
        LogConfig {
            segment_bytes: self.segment_bytes,
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            segment_index_bytes: 1 << 20,
            index_interval_bytes: 100,
            retention_bytes: None,
            retention_ms: None,
            delete_expired: false,
            compacted: true,
            compaction: Some(CompactionConfig {
                delete_retention_ms: DELETE_RETENTION_MS,
                min_lag_ms: 0,
                max_lag_ms: i64::MAX,
                min_dirty_ratio: DirtyRatio::new(0.0),
            }),
            file_delete_delay_ms: 0,
            preallocate: false,
            producer_id_expiration_ms: i64::MAX,
        }
    }

    /// What a start has left reads the same when it is opened once more, after a kill and after a power cut.
    fn recover_again(&self, disk: &SimDisk, found: &BTreeSet<Offset>, now: Now) -> Result<(), Violation> {
        let image = disk.image();
        for image in [image.process_death(), image.power_cut(Survival::Nothing, &mut Rng::new(0))] {
            let (_, log) = open_log(&SimDisk::new(image, 0), &self.config(), now)
                .map_err(|error| broken(Invariant::RecoveryIsIdempotent, error.to_string()))?;
            let again =
                read_all(&log.view()).map_err(|error| broken(Invariant::RecoveryIsIdempotent, error))?;
            if again.keys().copied().collect::<BTreeSet<_>>() != *found {
                let found = format!("first {found:?}, then {:?}", again.keys().collect::<Vec<_>>());
                return Err(broken(Invariant::RecoveryIsIdempotent, found));
            }
        }
        Ok(())
    }
}

impl Story for Compaction {
    type World = World;

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn world(&self) -> World {
        World {
            written: BTreeMap::new(),
            flushed: Offset::ZERO,
            next_value: 0,
            wall: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    fn live(
        &self,
        disk: &SimDisk,
        world: &mut World,
        life: Life,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let mut rng = Rng::new(life.seed);
        let now = Process::now(world);
        let opened = open_log(disk, &self.config(), now);
        moments.keep(disk, world);
        let (directory, log) = opened.map_err(|error| broken(Invariant::Opens, error.to_string()))?;
        check(&log.view(), world)?;
        invariants::indexes_are_consistent(&disk.image(), &Cluster::partition().directory())?;
        // What was not flushed and is not there is not coming back; what is there is flushed now.
        world.written.split_off(&log.log_end());
        world.flushed = log.flushed_end();
        if life.number > 0 && (life.only_check || rng.chance(1, 4)) {
            let found = read_all(&log.view()).map_err(|error| broken(Invariant::Readable, error))?;
            self.recover_again(disk, &found.into_keys().collect(), now)?;
        }
        if life.only_check {
            return Ok(());
        }
        let mut process = Process::start(disk, directory, log, world, self.map_keys);
        let actions = if life.number == 0 { self.actions } else { LATER_ACTIONS };
        for _ in 0..actions {
            process.act(world, moments, &mut rng)?;
            process.check(world)?;
        }
        process.checkpoint(world, moments)?;
        process.compact(world, moments)?;
        process.check(world)
    }

    fn crashed(&self, _world: &mut World, _crash: Crash) {}
}
