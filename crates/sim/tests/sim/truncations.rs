//! A log whose disk fails in the middle of a truncation.

use std::sync::Arc;

use ottla_record::{BrokerId, DirectoryId, LeaderEpoch, Monotonic, Now, Offset, Timestamp, Uuid};
use ottla_sim::client::Producer;
use ottla_sim::cluster::Cluster;
use ottla_sim::disk::{Fault, OpKind, Planned};
use ottla_sim::oracle::RecordId;
use ottla_sim::{Image, Rng, SimDisk};
use ottla_storage::{DirectoryLimits, Log, LogConfig, LogDirectory};

/// Whatever fails, and when: the marks that readers of the log that went offline are shown are in their order.
#[test]
fn a_truncation_that_fails_leaves_the_marks_in_their_order() {
    let mut failed = 0;
    for kind in [OpKind::Write, OpKind::Sync, OpKind::Name] {
        for after in 0..40 {
            for cut in [Some(7), None] {
                let (disk, mut log) = filled();
                disk.plan(Planned { kind, at: disk.count(kind) + after, fault: Fault::Io });
                let wall = Timestamp::from_millis(0);
                let outcome = match cut {
                    Some(end) => log.truncate_to(Offset::new(end), wall),
                    None => log.truncate_fully_and_start_at(Offset::new(50), log.producers().clone(), wall),
                };
                failed += u64::from(outcome.is_err());
                let marks = (log.log_start(), log.flushed_end(), log.log_end());
                assert!(log.log_start() <= log.log_end(), "{kind:?} {after} {cut:?}: {marks:?}");
                assert!(log.flushed_end() <= log.log_end(), "{kind:?} {after} {cut:?}: {marks:?}");
            }
        }
    }
    assert!(failed > 20, "{failed}");
}

/// Twenty records in several segments, all flushed.
fn filled() -> (SimDisk, Log) {
    let disk = SimDisk::new(Image::empty(), 1);
    let limits = DirectoryLimits { open_files: 8, reserve_bytes: Some(0) };
    let id = DirectoryId(Uuid::from_random([7; 16]));
    let root = Arc::new(LogDirectory::open(disk.port(), BrokerId::new(1), id, limits).unwrap());
    let name = Cluster::partition();
    let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(0) };
    let start = root.log_start_of(&name);
    let (mut log, _) = Log::open(&root, name.directory(), Cluster::topic_id(), config(), start, now).unwrap();
    let (mut producer, mut rng) = (Producer::new(None), Rng::new(1));
    for number in 0..20 {
        let batch = producer.batch(vec![RecordId(number)], now.wall, &mut rng).unwrap();
        log.append_as_leader(&batch.validated(now.wall).unwrap(), LeaderEpoch::ZERO, now).unwrap();
    }
    let job = log.begin_flush().unwrap();
    job.run(&*disk.port()).unwrap();
    log.complete_flush(job.end);
    assert_eq!(log.flushed_end(), Offset::new(20));
    (disk, log)
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_000,
        segment_ms: i64::MAX,
        segment_jitter_ms: 0,
        segment_index_bytes: 1 << 20,
        index_interval_bytes: 100,
        retention_bytes: None,
        retention_ms: None,
        delete_expired: true,
        compacted: false,
        compaction: None,
        file_delete_delay_ms: 0,
        preallocate: false,
        producer_id_expiration_ms: i64::MAX,
    }
}
