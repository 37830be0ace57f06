//! Scenarios of one partition: each line of a script is one event, and the answer is what the machine wants done.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use ottla_record::produce::{Origin, ProduceRules, ValidatedBatches, validate};
use ottla_record::{
    BatchBuilder, BrokerId, Codec, DirectoryId, LeaderEpoch, Monotonic, Now, Offset, ProducerEpoch,
    ProducerId, ProducerStamp, Sequence, Timestamp, TimestampType, TopicId, Uuid,
};
use ottla_storage::{CheckpointJob, DirectoryLimits, FsDisk, Log, LogConfig, LogDirectory, LogStart};

use crate::{
    Acks, Assignment, Availability, DeleteRecords, Durability, Effect, Event, Partition, PartitionConfig,
    Produce,
};

mod swap_cleaned;

/// A partition of broker 1, alone in a directory of its own.
struct Scenario {
    _dir: tempfile::TempDir,
    partition: Partition<&'static str>,
    now: Now,
    checkpoint: Option<CheckpointJob>,
}

impl Scenario {
    fn new(durability: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FsDisk::open(dir.path().join("data")).unwrap());
        let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(0) };
        let id = DirectoryId(Uuid::from_random([1; 16]));
        let root = Arc::new(LogDirectory::open(disk, BrokerId::new(1), id, limits).unwrap());
        let config = config(durability);
        let now = Now {
            monotonic: Monotonic::from_start(Duration::from_secs(1)),
            wall: Timestamp::from_millis(1_000),
        };
        let start = LogStart { recovery_point: Offset::ZERO, log_start: None, clean: false };
        let topic = TopicId(Uuid::from_random([7; 16]));
        let (log, _) = Log::open(&root, "t-0".into(), topic, config.log.clone(), start, now).unwrap();
        let partition = Partition::new(BrokerId::new(1), log, config);
        Self { _dir: dir, partition, now, checkpoint: None }
    }

    /// Leads in epoch 0 with an in-sync set of its own.
    fn leading(durability: Durability) -> Self {
        let mut scenario = Self::new(durability);
        scenario.event(assign(0, 1, &[1]));
        scenario
    }

    fn event(&mut self, event: Event<&'static str>) -> String {
        let mut effects = Vec::new();
        self.partition.handle(event, self.now, &mut effects);
        let mut said = String::new();
        for effect in effects {
            let line = match effect {
                Effect::Flush(job) => format!("flush to {}", job.end),
                Effect::Checkpoint(job) => {
                    let line = format!("checkpoint at {}", job.recovery_point);
                    self.checkpoint = Some(job);
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
                Effect::Publish(view) => {
                    let role = match view.availability {
                        Availability::Leading { epoch, epoch_start } => {
                            format!("leads {epoch} from {epoch_start}")
                        }
                        Availability::NotLeading { .. } => "does not lead".to_owned(),
                        Availability::Offline => "offline".to_owned(),
                    };
                    let marks = [view.log_start, view.high_watermark, view.flushed_end, view.log_end];
                    let [start, high_watermark, flushed, end] = marks.map(Offset::get);
                    format!("readers see {start} ≤ hw {high_watermark}, flushed {flushed}, end {end}; {role}")
                }
                Effect::Swapped { waiter, outcome } => format!("{waiter}: swapped: {outcome:?}"),
                Effect::Remove(segments) => format!("remove {} segments", segments.len()),
                Effect::Failed => "the directory has failed".to_owned(),
            };
            writeln!(said, "{line}").unwrap();
        }
        said
    }

    fn produce(&mut self, waiter: &'static str, acks: Acks) -> String {
        self.event(produce(waiter, acks, batch(None)))
    }

    fn flushed(&mut self, end: i64) -> String {
        self.event(Event::Flushed { end: Offset::new(end), succeeded: true })
    }

    fn later(&mut self, duration: Duration) {
        self.now.monotonic = self.now.monotonic + duration;
        self.now.wall = Timestamp::from_millis(self.now.wall.millis() + duration.as_millis() as i64);
    }
}

fn config(durability: Durability) -> PartitionConfig {
    PartitionConfig {
        durability,
        min_insync_replicas: 2,
        flush_records: u64::MAX,
        flush_interval: Duration::MAX,
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

fn assign(epoch: i32, leader: i32, isr: &[i32]) -> Event<&'static str> {
    let brokers = |ids: &[i32]| ids.iter().map(|id| BrokerId::new(*id)).collect();
    Event::Assign(Assignment {
        leader_epoch: LeaderEpoch::new(epoch),
        leader: BrokerId::from_wire(leader),
        replicas: brokers(isr),
        isr: brokers(isr),
    })
}

fn produce(waiter: &'static str, acks: Acks, batches: ValidatedBatches) -> Event<&'static str> {
    let deadline = Monotonic::from_start(Duration::from_secs(31));
    Event::Produce(Produce { waiter, batches, acks, deadline })
}

fn batch(producer: Option<i32>) -> ValidatedBatches {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some(sequence) = producer {
        builder = builder.producer(ProducerStamp {
            id: ProducerId::new(9),
            epoch: ProducerEpoch::ZERO,
            base_sequence: Sequence::from_wire(sequence),
        });
    }
    builder.push(Some(Timestamp::from_millis(1_000)), None, Some(b"value"), &[]);
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
    validate(builder.build().unwrap(), &rules, Timestamp::from_millis(1_000)).unwrap()
}

fn check(said: &str, expected: &Expect) {
    expected.assert_eq(said);
}

#[test]
fn with_fsync_every_acknowledgement_waits_for_the_flush() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(
        &p.produce("all", Acks::All),
        &expect![[r#"
            flush to 1
            readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
        "#]],
    );
    check(
        &p.produce("leader", Acks::Leader),
        &expect![[r#"
            readers see 0 ≤ hw 0, flushed 0, end 2; leads 0 from 0
        "#]],
    );
    check(
        &p.produce("none", Acks::None),
        &expect![[r#"
            none: written at 2
            readers see 0 ≤ hw 0, flushed 0, end 3; leads 0 from 0
        "#]],
    );
    check(
        &p.flushed(1),
        &expect![[r#"
            all: written at 0
            flush to 3
            readers see 0 ≤ hw 1, flushed 1, end 3; leads 0 from 0
        "#]],
    );
    check(
        &p.flushed(3),
        &expect![[r#"
            leader: written at 1
            readers see 0 ≤ hw 3, flushed 3, end 3; leads 0 from 0
        "#]],
    );
}

#[test]
fn with_os_records_count_when_written_and_are_flushed_behind() {
    let mut p = Scenario::leading(Durability::Os);
    check(
        &p.produce("all", Acks::All),
        &expect![[r#"
            all: written at 0
            readers see 0 ≤ hw 1, flushed 0, end 1; leads 0 from 0
        "#]],
    );
    check(
        &p.produce("leader", Acks::Leader),
        &expect![[r#"
            leader: written at 1
            readers see 0 ≤ hw 2, flushed 0, end 2; leads 0 from 0
        "#]],
    );
    p.later(Duration::from_secs(1));
    check(
        &p.event(Event::Tick),
        &expect![[r#"
            flush to 2
        "#]],
    );
}

#[test]
fn a_duplicate_waits_for_the_first_one_to_be_durable() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.event(produce("first", Acks::All, batch(Some(0))));
    check(&p.event(produce("again", Acks::All, batch(Some(0)))), &expect![[""]]);
    check(
        &p.flushed(1),
        &expect![[r#"
            first: written at 0
            again: written at 0
            readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
    check(
        &p.event(produce("late", Acks::All, batch(Some(0)))),
        &expect![[r#"
            late: written at 0
        "#]],
    );
    check(
        &p.event(produce("gap", Acks::All, batch(Some(5)))),
        &expect![[r#"
            gap: refused: producer 9 sent sequence 5, expected 1
        "#]],
    );
}

#[test]
fn a_failed_flush_takes_the_partition_offline_and_acknowledges_nothing() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.produce("waits", Acks::All);
    check(
        &p.event(Event::Flushed { end: Offset::new(1), succeeded: false }),
        &expect![[r#"
            waits: refused: the log directory is offline after a failed write or flush
            the directory has failed
            readers see 0 ≤ hw 0, flushed 0, end 1; offline
        "#]],
    );
    check(
        &p.produce("after", Acks::All),
        &expect![[r#"
            after: refused: the log directory is offline after a failed write or flush
        "#]],
    );
    // Nothing brings it back: not even a flush that is said to have worked, nor a new term.
    check(&p.flushed(1), &expect![[""]]);
    check(&p.event(assign(1, 1, &[1])), &expect![[""]]);
}

#[test]
fn a_failure_elsewhere_in_the_directory_is_not_reported_back_for_ever() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(
        &p.event(Event::DirectoryFailed),
        &expect![[r#"
            the directory has failed
            readers see 0 ≤ hw 0, flushed 0, end 0; offline
        "#]],
    );
    check(&p.event(Event::DirectoryFailed), &expect![[""]]);
}

#[test]
fn waiters_end_at_their_deadline_and_the_records_stay() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.produce("waits", Acks::All);
    assert_eq!(p.partition.next_deadline(), Monotonic::from_start(Duration::from_secs(31)));
    p.later(Duration::from_secs(30));
    check(
        &p.event(Event::Tick),
        &expect![[r#"
            waits: refused: the records were not flushed and replicated before the deadline
        "#]],
    );
    check(
        &p.flushed(1),
        &expect![[r#"
            readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn losing_leadership_answers_who_waits() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.produce("waits", Acks::All);
    check(
        &p.event(assign(1, 2, &[2])),
        &expect![[r#"
            waits: refused: this broker does not lead the partition
            readers see 0 ≤ hw 0, flushed 0, end 1; does not lead
        "#]],
    );
    check(
        &p.produce("after", Acks::Leader),
        &expect![[r#"
            after: refused: this broker does not lead the partition
        "#]],
    );
}

#[test]
fn the_high_watermark_waits_for_every_in_sync_replica() {
    let mut p = Scenario::new(Durability::Fsync);
    p.event(assign(0, 1, &[1, 2]));
    check(
        &p.produce("all", Acks::All),
        &expect![[r#"
            flush to 1
            readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
        "#]],
    );
    check(
        &p.flushed(1),
        &expect![[r#"
            readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
        "#]],
    );
    // The other replica leaves the set: what is left of it has everything.
    check(
        &p.event(assign(0, 1, &[1])),
        &expect![[r#"
            all: written at 0
            readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn acks_all_needs_the_minimum_in_sync_replicas_that_can_exist() {
    let mut p = Scenario::new(Durability::Fsync);
    let mut assignment = match assign(0, 1, &[1, 2]) {
        Event::Assign(assignment) => assignment,
        _ => unreachable!("assign makes an Assign"),
    };
    assignment.isr.truncate(1);
    p.event(Event::Assign(assignment));
    check(
        &p.produce("all", Acks::All),
        &expect![[r#"
            all: refused: 1 replicas are in sync, acks=all needs 2
        "#]],
    );
    check(
        &p.produce("leader", Acks::Leader),
        &expect![[r#"
            flush to 1
            readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_and_no_further() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.produce("a", Acks::All);
    p.produce("b", Acks::All);
    p.flushed(1);
    let delete =
        |before| Event::DeleteRecords(DeleteRecords { waiter: "d", before: Offset::from_wire(before) });
    check(
        &p.event(delete(2)),
        &expect![[r#"
            d: not deleted: offset 2 lies above the high watermark 1
        "#]],
    );
    check(
        &p.event(delete(-1)),
        &expect![[r#"
            d: log starts at 1
            readers see 1 ≤ hw 1, flushed 1, end 2; leads 0 from 0
        "#]],
    );
    check(
        &p.event(delete(0)),
        &expect![[r#"
            d: log starts at 1
        "#]],
    );
}

#[test]
fn a_topic_changed_to_fsync_acknowledges_nothing_that_is_not_flushed() {
    let mut p = Scenario::leading(Durability::Os);
    p.produce("os", Acks::All);
    check(
        &p.event(Event::Configure(config(Durability::Fsync))),
        &expect![[r#"
            flush to 1
        "#]],
    );
    check(
        &p.produce("fsync", Acks::All),
        &expect![[r#"
            readers see 0 ≤ hw 1, flushed 0, end 2; leads 0 from 0
        "#]],
    );
    p.flushed(1);
    check(
        &p.flushed(2),
        &expect![[r#"
            fsync: written at 1
            readers see 0 ≤ hw 2, flushed 2, end 2; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_duplicate_of_what_was_acknowledged_from_the_page_cache_waits_for_the_disk_under_fsync() {
    let mut p = Scenario::leading(Durability::Os);
    check(
        &p.event(produce("first", Acks::All, batch(Some(0)))),
        &expect![[r#"
            first: written at 0
            readers see 0 ≤ hw 1, flushed 0, end 1; leads 0 from 0
        "#]],
    );
    check(
        &p.event(Event::Configure(config(Durability::Fsync))),
        &expect![[r#"
            flush to 1
        "#]],
    );
    check(&p.event(produce("all", Acks::All, batch(Some(0)))), &expect![[""]]);
    check(&p.event(produce("leader", Acks::Leader, batch(Some(0)))), &expect![[""]]);
    check(
        &p.flushed(1),
        &expect![[r#"
            leader: written at 0
            all: written at 0
            readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_topic_changed_to_os_answers_who_waited_for_the_disk() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.produce("all", Acks::All);
    p.produce("leader", Acks::Leader);
    check(
        &p.event(Event::Configure(config(Durability::Os))),
        &expect![[r#"
            leader: written at 1
            all: written at 0
            readers see 0 ≤ hw 2, flushed 0, end 2; leads 0 from 0
        "#]],
    );
}
