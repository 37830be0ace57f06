//! When a checkpoint is due by bytes.

use std::sync::Arc;

use ottla_record::{Codec, Offset};
use ottla_storage::{Log, LogConfig};

use crate::batches::*;
use crate::memory_disk::MemoryDisk;
use crate::support::*;

/// One offset for each MiB, or nearly.
fn append(log: &mut Log, mebibytes: usize) {
    let value = "m".repeat((1 << 20) - 200);
    for _ in 0..mebibytes {
        let batch = builder(Codec::None, 0, std::slice::from_ref(&value)).build().unwrap();
        log.append_as_leader(&validated(batch), epoch(0), now()).unwrap();
    }
}

#[test]
fn what_was_flushed_since_the_last_one_began_counts() {
    let root = root_on(Arc::new(MemoryDisk::default()), 0);
    let (mut log, _) = open(&root, LogConfig { segment_bytes: 1 << 30, ..config() });
    append(&mut log, 80);
    assert!(!log.is_checkpoint_due(), "a checkpoint could not pass what is not flushed");
    let flush = log.begin_flush().unwrap();
    append(&mut log, 70);
    log.complete_flush(flush.end);
    assert!(log.is_checkpoint_due());
    let checkpoint = log.begin_checkpoint().unwrap().unwrap();
    let flush = log.begin_flush().unwrap();
    log.complete_flush(flush.end);
    log.complete_checkpoint(&checkpoint);
    assert_eq!(log.recovery_point(), Offset::new(80));
    assert!(log.is_checkpoint_due(), "what was flushed while it ran is not below the recovery point");
    log.checkpoint().unwrap();
    assert_eq!(log.recovery_point(), Offset::new(150));
    assert!(!log.is_checkpoint_due());
}
