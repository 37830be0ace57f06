//! Snapshot files: whole or refused, and one to fall back to.

use openraft::CommittedLeaderId;

use super::*;

fn meta(index: u64) -> SnapshotMeta {
    let last_log_id = Some(LogId::new(CommittedLeaderId::new(1, 1), index));
    SnapshotMeta { last_log_id, last_membership: Default::default(), snapshot_id: index.to_string() }
}

fn written(indexes: &[u64]) -> (tempfile::TempDir, Snapshots) {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(dir.path().join("snapshots"), InUse::default()).unwrap();
    for index in indexes {
        snapshots.write(&meta(*index), &Image::empty().encode().unwrap()).unwrap();
    }
    (dir, snapshots)
}

fn newest(snapshots: &Snapshots) -> Option<u64> {
    snapshots.newest().unwrap().and_then(|loaded| loaded.meta.last_log_id).map(|l| l.index)
}

#[test]
fn the_newest_two_are_kept() {
    let (_dir, snapshots) = written(&[]);
    assert_eq!(newest(&snapshots), None);
    let (_dir, snapshots) = written(&[5, 9, 10, 100]);
    assert_eq!(newest(&snapshots), Some(100));
    assert_eq!(snapshots.paths().unwrap().len(), KEPT);
}

#[test]
fn a_damaged_one_is_passed_over_and_two_are_an_error() {
    let (_dir, snapshots) = written(&[5, 9]);
    let paths = snapshots.paths().unwrap();
    let intact = std::fs::read(&paths[1]).unwrap();
    for byte in 0..intact.len() {
        let mut damaged = intact.clone();
        damaged[byte] ^= 1;
        std::fs::write(&paths[1], &damaged).unwrap();
        assert_eq!(newest(&snapshots), Some(5), "byte {byte}");
    }
    for length in 0..intact.len() {
        std::fs::write(&paths[1], &intact[..length]).unwrap();
        assert_eq!(newest(&snapshots), Some(5), "cut at {length}");
    }
    std::fs::write(&paths[0], b"").unwrap();
    assert!(matches!(snapshots.newest(), Err(QuorumError::Damaged { .. })));
}

#[test]
fn an_unfinished_one_is_no_snapshot() {
    let (dir, snapshots) = written(&[5]);
    let unfinished = dir.path().join("snapshots").join(UNFINISHED);
    std::fs::write(&unfinished, b"half").unwrap();
    assert_eq!(newest(&snapshots), Some(5));
    Snapshots::open(dir.path().join("snapshots"), InUse::default()).unwrap();
    assert!(!unfinished.exists());
}
