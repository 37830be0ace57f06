use super::*;
use crate::batches::epoch;
use crate::fs_disk::FsDisk;
use crate::log::tests::{Fixture, at, batch, config, topic_id};

fn id(byte: u8) -> Uuid {
    Uuid::from_random([byte; 16])
}

fn open(dir: &Path, node: i32, fresh: u8) -> Result<LogDirectory, OpenError> {
    let disk = Arc::new(FsDisk::open(dir).unwrap());
    let limits = DirectoryLimits { open_files: 8, reserve_bytes: None };
    LogDirectory::open(disk, BrokerId::new(node), DirectoryId(id(fresh)), limits)
}

fn name(text: &str) -> TopicPartition {
    TopicPartition::from_directory(Path::new(text)).unwrap()
}

#[test]
fn a_directory_keeps_its_identity_and_is_refused_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path(), 1, 1).unwrap();
    assert_eq!(root.cluster_id(), None);
    root.join_cluster(ClusterId(id(9))).unwrap();
    drop(root);
    let root = open(dir.path(), 1, 2).unwrap();
    assert_eq!(root.directory_id(), DirectoryId(id(1)));
    assert_eq!(root.cluster_id(), Some(ClusterId(id(9))));
    root.join_cluster(ClusterId(id(9))).unwrap();
    assert!(root.join_cluster(ClusterId(id(8))).is_err());
    drop(root);
    let error = open(dir.path(), 2, 2).unwrap_err();
    assert_eq!(error.to_string(), "meta.properties: the directory belongs to node 1, but node.id is 2");
}

#[test]
fn checkpoints_are_kept_and_a_clean_stop_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = open(dir.path(), 1, 1).unwrap();
    root.note_recovery_point(&name("a-0"), Offset::new(5));
    root.note_high_watermark(&name("a-0"), Offset::new(4));
    root.store_log_start(&name("b-1"), Offset::new(3)).unwrap();
    assert!(!dir.path().join("recovery-point-offset-checkpoint").exists(), "noted, not stored");
    root.store_checkpoints().unwrap();
    root.mark_clean(Some(BrokerEpoch::new(12))).unwrap();
    drop(root);
    let root = open(dir.path(), 1, 1).unwrap();
    assert_eq!((root.was_clean(), root.clean_epoch()), (true, Some(BrokerEpoch::new(12))));
    let start = root.log_start_of(&name("a-0"));
    assert_eq!(start, LogStart { recovery_point: Offset::new(5), log_start: None, clean: true });
    assert_eq!(root.log_start_of(&name("b-1")).log_start, Some(Offset::new(3)));
    assert_eq!(root.high_watermark_of(&name("a-0")), Some(Offset::new(4)));
    drop(root);
    assert!(!open(dir.path(), 1, 1).unwrap().was_clean());
}

#[test]
fn damaged_checkpoints_cost_a_scan_but_deleted_records_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), 1, 1).unwrap());
    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), "0\n1\na 0").unwrap();
    assert_eq!(open(dir.path(), 1, 1).unwrap().log_start_of(&name("a-0")).recovery_point, Offset::ZERO);
    std::fs::write(dir.path().join("log-start-offset-checkpoint"), "0\n1\na 0").unwrap();
    assert!(matches!(open(dir.path(), 1, 1), Err(OpenError::Metadata { .. })));
}

#[test]
fn a_deleted_partition_leaves_its_name_to_another() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(config());
    log.append_as_leader(&batch(1, &["x"]), epoch(0), at(0)).unwrap();
    log.close().unwrap();
    let root = &fixture.root;
    root.store_checkpoints().unwrap();
    let found = root.partitions().unwrap();
    assert_eq!(found, [PartitionDirectory { name: name("t-0"), topic_id: Some(topic_id()) }]);
    let deleted = root.delete_partition(&name("t-0"), id(5)).unwrap();
    assert_eq!(deleted, Path::new("t-0.05050505050545058505050505050505-delete"));
    assert!(root.partitions().unwrap().is_empty());
    assert_eq!(root.deleted_directories().unwrap(), std::slice::from_ref(&deleted));
    let (log, _) = fixture.open(config());
    assert_eq!(log.log_end(), Offset::ZERO);
    root.remove_directory(&deleted).unwrap();
    assert!(root.deleted_directories().unwrap().is_empty());
}

#[test]
fn a_stray_is_set_aside_with_its_files_and_without_its_offsets() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open(config());
    log.append_as_leader(&batch(1, &["x"]), epoch(0), at(0)).unwrap();
    log.close().unwrap();
    let root = &fixture.root;
    root.note_high_watermark(&name("t-0"), Offset::new(1));
    root.store_log_start(&name("t-0"), Offset::new(1)).unwrap();
    assert_eq!(root.topic_id_of(&name("t-0")).unwrap(), Some(topic_id()));
    let aside = root.set_aside(&name("t-0"), id(5)).unwrap();
    assert_eq!(aside, Path::new("t-0.05050505050545058505050505050505-stray"));
    // A start neither takes it for a partition nor removes it.
    assert!(root.partitions().unwrap().is_empty() && root.deleted_directories().unwrap().is_empty());
    assert!(root.disk().list(&aside).unwrap().iter().any(|entry| entry.name.ends_with(".log")));
    assert_eq!(root.topic_id_of(&name("t-0")).unwrap(), None);
    assert_eq!(root.log_start_of(&name("t-0")).log_start, None);
    assert_eq!(root.high_watermark_of(&name("t-0")), None);
}
