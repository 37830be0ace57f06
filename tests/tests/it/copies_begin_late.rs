//! A copy that begins when records have been deleted: in the middle of a batch, and behind the last batch of a producer.

use it::batch::Batch;
use it::cluster::{Cluster, Plan};
use it::raw::error;

const TOPIC: &str = "late";
/// Of each batch.
const RECORDS: usize = 10;

/// Any; brokers do not ask where an id comes from.
const PRODUCER: i64 = 4242;

#[test]
fn a_copy_begins_within_a_batch_and_knows_producers_whose_batches_are_deleted() {
    let mut cluster = Plan::under_test(3).start();
    cluster.ottla(&["topic", "create", TOPIC, "--partitions", "1", "--replication-factor", "1"], "");
    reassign(&cluster, &[1]);
    // Offsets 0 to 9 of the producer, 10 to 19 of nobody; then 0 to 14 are deleted.
    assert_eq!(write(&cluster, Some(0)), 0);
    assert_eq!(write(&cluster, None), 10);
    delete_before(&cluster, 15);
    reassign(&cluster, &[1, 2]);
    reassign(&cluster, &[2]);
    assert_eq!(cluster.leader(TOPIC, 0), 2);
    let offsets: Vec<i64> = cluster.read_all(TOPIC, 0).iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (15..20).collect::<Vec<_>>());
    // The producer had no answer to its batch, it may be: what it sends again is there, and what it sends next is new.
    assert_eq!(write(&cluster, Some(0)), 0);
    assert_eq!(write(&cluster, Some(10)), 20);
    // Also after a start that finds nothing of it in the log.
    delete_before(&cluster, 30);
    cluster.kill(2);
    cluster.restart(2);
    cluster.wait_led(TOPIC);
    assert_eq!(write(&cluster, Some(10)), 20);
    assert_eq!(write(&cluster, Some(20)), 30);
}

/// Moves the partition, and waits until it is there.
fn reassign(cluster: &Cluster, replicas: &[i32]) {
    let listed: Vec<String> = replicas.iter().map(ToString::to_string).collect();
    let words = ["cluster", "reassign", "--topic", TOPIC, "--replicas", &listed.join(","), "--execute"];
    cluster.ottla(&words, "");
    cluster.wait_placed(TOPIC, replicas);
}

/// Writes a batch, of the producer with this sequence or of nobody; where it stands.
fn write(cluster: &Cluster, sequence: Option<i32>) -> i64 {
    let mut batch = Batch::of_values((0..RECORDS).map(|n| format!("value {n}")));
    batch.producer = sequence.map_or(batch.producer, |sequence| (PRODUCER, 0, sequence));
    let mut connection = cluster.connect_to_leader(TOPIC, 0);
    let (code, base) = connection.produce_once_led(TOPIC, 0, &batch.bytes()).unwrap();
    assert_eq!(code, error::NONE, "sequence {sequence:?}");
    base
}

fn delete_before(cluster: &Cluster, offset: i64) {
    cluster.connect_to_leader(TOPIC, 0).delete_records(TOPIC, offset).unwrap();
}
