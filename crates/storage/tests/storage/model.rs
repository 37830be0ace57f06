//! Random histories against a model: a list of values. Restarts come as kills (files as they are, memory gone) and as
//! clean stops.

use std::sync::Arc;

use ottla_record::{Codec, Offset};
use ottla_storage::{Disk, FsDisk, Log, LogConfig, LogDirectory};
use proptest::prelude::*;

use crate::batches::*;
use crate::short_reads::short_reads;
use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Append { records: usize, size: usize, codec: u8 },
    Flush,
    Checkpoint,
    Kill,
    CleanStop,
    Truncate { back: u8 },
    DeleteRecords { share: u8 },
    Retain { bytes: u16 },
    Read { from: u8, max: u16, upper: u8 },
    Lookup { at: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1..4usize, 0..120usize, 0..3u8)
            .prop_map(|(records, size, codec)| Step::Append { records, size, codec }),
        2 => Just(Step::Flush),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Kill),
        1 => Just(Step::CleanStop),
        1 => any::<u8>().prop_map(|back| Step::Truncate { back }),
        1 => any::<u8>().prop_map(|share| Step::DeleteRecords { share }),
        1 => any::<u16>().prop_map(|bytes| Step::Retain { bytes }),
        3 => (any::<u8>(), any::<u16>(), any::<u8>())
            .prop_map(|(from, max, upper)| Step::Read { from, max, upper }),
        2 => any::<u8>().prop_map(|at| Step::Lookup { at }),
    ]
}

struct World {
    dir: tempfile::TempDir,
    /// The disk reads in pieces.
    short_reads: Option<u64>,
    root: Option<Arc<LogDirectory>>,
    log: Option<Log>,
    /// Value and batch base of every offset.
    values: Vec<(String, i64)>,
    log_start: i64,
    epoch: i32,
}

impl World {
    fn new(short_reads: Option<u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world =
            Self { dir, short_reads, root: None, log: None, values: Vec::new(), log_start: 0, epoch: 0 };
        world.reopen();
        world
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn end(&self) -> i64 {
        self.values.len() as i64
    }

    /// An offset at `share`/255 of the log.
    fn offset(&self, share: u8) -> i64 {
        self.log_start + (self.end() - self.log_start) * i64::from(share) / 255
    }

    fn reopen(&mut self) {
        self.root = None;
        let disk: Arc<dyn Disk> = Arc::new(FsDisk::open(self.dir.path()).unwrap());
        let disk = match self.short_reads {
            Some(seed) => short_reads(disk, seed),
            None => disk,
        };
        let root = root_on(disk, 0);
        let (log, recovery) = open(&root, tight());
        assert_eq!(recovery.truncated_bytes, 0);
        (self.root, self.log) = (Some(root), Some(log));
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Append { records, size, codec } => {
                let base = self.end();
                let values: Vec<String> =
                    (0..records as i64).map(|n| format!("{} {}", base + n, "y".repeat(size))).collect();
                let codec = [Codec::None, Codec::Lz4, Codec::Snappy][usize::from(codec)];
                let batch = builder(codec, base * 10, &values).producer(stamp(1, 0, base as i32));
                let epoch = epoch(self.epoch);
                self.log().append_as_leader(&validated(batch.build().unwrap()), epoch, now()).unwrap();
                self.values.extend(values.into_iter().map(|value| (value, base)));
            }
            Step::Flush => {
                let root = Arc::clone(self.root.as_ref().unwrap());
                flush(&root, self.log());
                assert_eq!(self.log().flushed_end(), Offset::new(self.end()));
            }
            Step::Checkpoint => {
                let point = self.log().checkpoint().unwrap();
                assert_eq!(point, self.log().flushed_end());
                self.root.as_ref().unwrap().store_checkpoints().unwrap();
            }
            Step::Kill => {
                self.log = None;
                self.epoch += 1;
                self.reopen();
            }
            Step::CleanStop => {
                self.log.take().unwrap().close().unwrap();
                self.root.as_ref().unwrap().store_checkpoints().unwrap();
                self.root.as_ref().unwrap().mark_clean(None).unwrap();
                self.reopen();
            }
            Step::Truncate { back } => {
                let to = self.end() - i64::from(back % 20).min(self.end() - self.log_start);
                self.log().truncate_to(Offset::new(to), now().wall).unwrap();
                // The batch that holds the offset goes as a whole.
                let end = self.values.get(to as usize).map_or(to, |(_, base)| *base);
                self.values.truncate(end.max(self.log_start) as usize);
                // What is written next is another leader's.
                self.epoch += 1;
            }
            Step::DeleteRecords { share } => {
                let to = self.offset(share);
                let end = Offset::new(self.end());
                self.log().advance_log_start(Offset::new(to), end, now()).unwrap();
                self.log_start = to;
            }
            Step::Retain { bytes } => {
                let config = LogConfig { retention_bytes: Some(u64::from(bytes)), ..tight() };
                let end = Offset::new(self.end());
                let log = self.log();
                log.set_config(config);
                for deleted in log.retain(end, now()).unwrap() {
                    deleted.remove(&**self.root.as_ref().unwrap().disk()).unwrap();
                }
                let log = self.log();
                log.set_config(tight());
                let (size, start) = (log.size_bytes(), log.log_start().get());
                assert!(size <= u64::from(bytes) + u64::from(tight().segment_bytes));
                assert!(start >= self.log_start);
                self.log_start = start;
            }
            Step::Read { from, max, upper } => {
                self.read(self.offset(from), usize::from(max), self.offset(upper))
            }
            Step::Lookup { at } => {
                let offset = self.offset(at);
                let (view, end) = (self.log().view(), Offset::new(self.end()));
                let at = ottla_record::Timestamp::from_millis(offset * 10);
                let found = view.offset_for_timestamp(at, end).unwrap();
                // Records of a batch are a millisecond apart, batches ten for each record.
                let expected =
                    (self.log_start..self.end()).find(|offset| self.timestamp(*offset) >= at.millis());
                assert_eq!(found.map(|found| found.offset.get()), expected);
            }
        }
        self.check();
    }

    fn timestamp(&self, offset: i64) -> i64 {
        let base = self.values[offset as usize].1;
        base * 10 + (offset - base)
    }

    fn read(&mut self, from: i64, max: usize, upper: i64) {
        let view = self.log().view();
        let slice = view.read(Offset::new(from), max, Offset::new(upper), true).unwrap();
        let base = self.values.get(from as usize).map(|(_, base)| *base);
        let Some(base) = base.filter(|base| from < upper && *base < upper) else {
            assert!(slice.is_none());
            return;
        };
        let slice = slice.unwrap();
        assert_eq!(slice.base_offset.get(), base);
        let bytes = slice.read().unwrap();
        let batches: Vec<_> = ottla_record::Batches::new(&bytes).map(Result::unwrap).collect();
        assert!(batches.len() == 1 || slice.len <= max);
        assert!(batches.iter().all(|batch| batch.base_offset().get() < upper));
    }

    fn check(&mut self) {
        let (start, end) = (self.log_start, self.end());
        let log = self.log();
        log.check_invariants();
        assert_eq!((log.log_start().get(), log.log_end().get()), (start, end));
        let next = log.producers().get(ottla_record::ProducerId::new(1)).and_then(|p| p.next_sequence());
        assert!(next.is_none_or(|next| i64::from(next.get()) == end), "{next:?} at {end}");
    }

    fn finish(&mut self) {
        let expected: Vec<_> = (self.log_start..self.end())
            .map(|offset| (offset, self.values[offset as usize].0.clone()))
            .collect();
        assert_eq!(contents(self.log()), expected);
    }
}

fn tight() -> LogConfig {
    LogConfig { segment_bytes: 2000, index_interval_bytes: 150, ..config() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reads_as_the_model(
        steps in prop::collection::vec(step(), 1..80),
        short_reads in prop::option::of(any::<u64>()),
    ) {
        let mut world = World::new(short_reads);
        for step in &steps {
            world.run(step);
        }
        world.finish();
        world.run(&Step::Kill);
        world.finish();
        world.run(&Step::CleanStop);
        world.finish();
    }
}
