use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_record::{BrokerId, DirectoryId, Monotonic, Offset, Timestamp, Uuid};
use ottla_storage::{DirectoryLimits, FsDisk, TopicPartition};

use super::*;

/// A clock that stands where it was set, in milliseconds.
#[derive(Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Now {
        let monotonic = Monotonic::from_start(Duration::from_millis(self.0.load(Ordering::Relaxed)));
        Now { monotonic, wall: Timestamp::EPOCH }
    }
}

#[test]
fn a_recovery_point_that_has_risen_is_stored_within_a_quarter_of_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FsDisk::open(dir.path()).unwrap());
    let limits = DirectoryLimits { open_files: 16, reserve_bytes: Some(0) };
    let id = DirectoryId(Uuid::from_random([1; 16]));
    let directory = LogDirectory::open(disk, BrokerId::new(1), id, limits).unwrap();
    let name = TopicPartition::from_directory(Path::new("t-0")).unwrap();
    let file = dir.path().join("recovery-point-offset-checkpoint");
    let stored = || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.lines().nth(2)?.strip_prefix("t 0 ")?.parse::<i64>().ok()
    };
    // The clock in each round, the recovery point that is noted then, and the one that is stored after it.
    let rounds = [
        (0, Some(10), Some(10)),
        (100, Some(20), Some(10)),
        (249, Some(30), Some(10)),
        (250, None, Some(30)),
        (300, Some(40), Some(30)),
        (499, None, Some(30)),
        (500, None, Some(40)),
        (740, None, Some(40)),
        (790, Some(50), Some(50)),
        // From here on the directory has failed: what it says of recovery points is not believed any more.
        (1100, Some(60), Some(50)),
        (2000, None, Some(50)),
    ];
    const FAILS_AFTER: usize = 8;
    let (keeper, clock, round) = (Keeper::default(), TestClock::default(), Cell::new(0usize));
    let check = || {
        if let Some(last) = round.get().checked_sub(1) {
            let (time, _, expected) = rounds[last];
            assert_eq!(stored(), expected, "after the round at {time} ms");
        }
    };
    // The keeper asks for the partitions once a round: that is where the story goes on.
    let hosts = || {
        check();
        let (time, noted, _) = rounds[round.get()];
        clock.0.store(time, Ordering::Relaxed);
        if let Some(offset) = noted {
            directory.note_recovery_point(&name, Offset::new(offset));
        }
        if round.get() == FAILS_AFTER {
            keeper.directory_failed();
        }
        round.set(round.get() + 1);
        if round.get() == rounds.len() {
            keeper.close();
        }
        Vec::new()
    };
    keeper.run(&directory, &clock, Duration::from_secs(300), hosts, || true);
    assert_eq!(round.get(), rounds.len());
    check();
}
