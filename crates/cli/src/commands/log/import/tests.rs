use std::fs;

use expect_test::expect;
use ottla_record::{DirectoryId, TopicId, Uuid};
use ottla_storage::{DirectoryLimits, FsDisk};
use ottla_wire::cluster_metadata::MetadataRecord;
use ottla_wire::messages::{
    AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RemoveTopicRecord, TopicRecord,
};

use super::cluster_metadata::ClusterMetadata;
use super::journal::Journal;
use super::source::Source;
use super::*;

fn id(byte: u8) -> Uuid {
    Uuid::from_random([byte; 16])
}

fn topic(name: &str, byte: u8) -> MetadataRecord {
    MetadataRecord::Topic(TopicRecord { name: name.to_owned(), topic_id: id(byte) })
}

fn partition(byte: u8, isr: &[i32]) -> MetadataRecord {
    let isr = isr.to_vec();
    MetadataRecord::Partition(PartitionRecord {
        topic_id: id(byte),
        partition_id: 0,
        leader_epoch: 3,
        isr,
        ..PartitionRecord::default()
    })
}

fn change(byte: u8, leader: i32, isr: Option<Vec<i32>>, eligible: Option<Vec<i32>>) -> MetadataRecord {
    MetadataRecord::PartitionChange(PartitionChangeRecord {
        topic_id: id(byte),
        partition_id: 0,
        leader,
        isr,
        eligible_leader_replicas: eligible,
        ..PartitionChangeRecord::default()
    })
}

fn config(topic: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    let (resource_name, name) = (topic.to_owned(), name.to_owned());
    MetadataRecord::Config(ConfigRecord {
        resource_type: 2,
        resource_name,
        name,
        value: value.map(str::to_owned),
    })
}

/// What the records come to, a topic a line.
fn replay(records: Vec<MetadataRecord>) -> String {
    let mut metadata = ClusterMetadata::default();
    records.into_iter().for_each(|record| metadata.take(record));
    let mut said = String::new();
    for (name, topic) in &metadata.topics {
        let configs: Vec<_> = metadata.configs(name).collect();
        said.push_str(&format!("{name} {:?} {configs:?}\n", topic.partitions));
    }
    said + &format!("next producer id {}\n", metadata.next_producer_id)
}

#[test]
fn metadata_is_replayed_as_kafka_replays_it() {
    let producers = |next_producer_id| {
        MetadataRecord::ProducerIds(ProducerIdsRecord { next_producer_id, ..ProducerIdsRecord::default() })
    };
    let said = replay(vec![
        topic("kept", 1),
        partition(1, &[1, 2]),
        config("kept", "cleanup.policy", Some("compact")),
        config("kept", "retention.ms", Some("5")),
        config("kept", "retention.ms", None),
        // Only the in-sync replicas change: the same term.
        change(1, -2, Some(vec![1]), None),
        // The broker stops, the last in sync: nobody leads, a new term, and it stays eligible (KIP-966).
        change(1, -1, Some(vec![]), Some(vec![1])),
        topic("gone", 2),
        partition(2, &[1]),
        config("gone", "retention.ms", Some("5")),
        MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: id(2) }),
        topic("gone", 3),
        producers(2000),
        producers(1000),
    ]);
    expect![[r#"
        gone {} []
        kept {0: SourcePartition { leader_epoch: 4, isr: [], eligible: [1] }} [("cleanup.policy", "compact")]
        next producer id 2000
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_metadata_transaction_counts_when_it_has_ended() {
    let begin = || MetadataRecord::BeginTransaction(BeginTransactionRecord::default());
    let said = replay(vec![
        begin(),
        topic("ended", 1),
        MetadataRecord::EndTransaction(EndTransactionRecord::default()),
        begin(),
        topic("aborted", 2),
        MetadataRecord::AbortTransaction(AbortTransactionRecord::default()),
        topic("alone", 3),
        begin(),
        topic("open", 4),
    ]);
    expect![[r#"
        alone {} []
        ended {} []
        next producer id 0
    "#]]
    .assert_eq(&said);
}

#[test]
fn what_is_no_stopped_kafka_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("data");
    fs::create_dir(&dir).unwrap();
    let open = |unclean| {
        let failure = Source::open(std::slice::from_ref(&dir), None, unclean).unwrap_err();
        failure.to_string().replace(&scratch.path().display().to_string(), "")
    };
    expect!["/data: this is no data directory of Kafka 4 (KRaft): No such file or directory (os error 2)"]
        .assert_eq(&open(false));
    fs::write(dir.join("meta.properties"), "version=1\nnode.id=1\ndirectory.id=AQEBAQEBQQGBAQEBAQEBAQ\n")
        .unwrap();
    expect!["/data: the broker was not stopped cleanly (.kafka_cleanshutdown is missing): start and stop it once more, or let --allow-unclean check its logs and cut what had not been flushed"].assert_eq(&open(false));
    expect!["there is no __cluster_metadata-0 in what was named: name the broker's metadata.log.dir with --metadata-dir"].assert_eq(&open(true));
}

#[test]
fn an_interrupted_import_is_cleared_away_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let root = data.path();
    let limits = DirectoryLimits { open_files: 10, reserve_bytes: None };
    let disk = Arc::new(FsDisk::open(root).unwrap());
    let directory = LogDirectory::open(disk, BrokerId::new(1), DirectoryId(id(9)), limits).unwrap();
    let place = |name: &str, topic: u8| {
        fs::create_dir(root.join(name)).unwrap();
        let metadata = format!("version: 0\ntopic_id: {}", id(topic));
        fs::write(root.join(name).join("partition.metadata"), metadata).unwrap();
    };
    place("begun-0", 1);
    place("begun-1", 1);
    place("finished-0", 2);
    // Another topic of the name, and one that the import never knew.
    place("reborn-0", 4);
    place("other-0", 5);
    place("begun-2.importing", 1);
    let topics = [("begun", 1), ("finished", 2), ("reborn", 3)];
    let topics = topics.map(|(name, byte)| (name.to_owned(), TopicId(id(byte)))).to_vec();
    Journal { cluster: "c".to_owned(), topics }.write(root).unwrap();

    let journal = Journal::read(root).unwrap().unwrap();
    let is_known = |topic: TopicId| topic.0 == id(2);
    assert!(journal.has_begun(is_known));
    journal.clear(root, &directory, is_known).unwrap();
    let mut left: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.retain(|path| path.is_dir());
    left.sort();
    let names: Vec<_> = left.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["finished-0", "other-0", "reborn-0"]);
    Journal::remove(root).unwrap();
    assert!(Journal::read(root).unwrap().is_none());
}
