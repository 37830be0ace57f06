use super::*;

fn of_two_partitions() -> Ledger {
    let mut ledger = Ledger::new(2);
    ledger.wrote(0, 3);
    ledger.wrote(1, 3);
    ledger
}

fn record(partition: i32, offset: i64) -> Event {
    Event::Record { partition, offset }
}

fn assigned(partitions: &[i32]) -> Event {
    Event::Assigned { partitions: partitions.iter().copied().collect() }
}

#[test]
fn what_was_committed_must_not_come_again() {
    let mut ledger = of_two_partitions();
    ledger.heard("a", &record(0, 0));
    ledger.heard("a", &record(0, 1));
    ledger.heard("a", &Event::Committed { offsets: BTreeMap::from([(0, 1)]) });
    // Read and not committed: the next owner may read it once more.
    ledger.heard("b", &record(0, 1));
    assert!(ledger.broken().is_empty());
    assert_eq!((ledger.redelivered(), ledger.missing()), (1, 4));
    ledger.heard("b", &record(0, 0));
    assert_eq!(ledger.broken(), ["b was given partition 0 offset 0, though 1 was committed"]);
}

#[test]
fn what_nobody_wrote_must_not_come() {
    let mut ledger = of_two_partitions();
    ledger.heard("a", &record(1, 3));
    assert_eq!(ledger.broken(), ["a was given partition 1 offset 3, never written"]);
}

#[test]
fn the_broker_must_know_what_a_client_was_told() {
    let mut ledger = of_two_partitions();
    ledger.heard("a", &Event::Committed { offsets: BTreeMap::from([(1, 2)]) });
    ledger.broker_says(&BTreeMap::from([(0, 3), (1, 2)]));
    assert!(ledger.broken().is_empty());
    ledger.heard("b", &record(0, 2));
    assert_eq!(ledger.broken(), ["b was given partition 0 offset 2, though 3 was committed"]);
    ledger.broker_says(&BTreeMap::from([(0, 3), (1, 1)]));
    assert_eq!(ledger.broken().last().unwrap(), "partition 1: 2 was committed, the broker says 1");
}

#[test]
fn each_partition_has_one_owner_and_each_member_a_share() {
    let mut ledger = of_two_partitions();
    ledger.heard("a", &assigned(&[0, 1]));
    assert!(ledger.is_shared_by(&["a"]));
    ledger.heard("b", &assigned(&[1]));
    assert!(!ledger.is_shared_by(&["a", "b"]), "two own partition 1");
    ledger.watch_moves();
    ledger.heard("a", &Event::Revoked { partitions: BTreeSet::from([1]) });
    assert!(ledger.is_shared_by(&["a", "b"]));
    assert!(!ledger.is_shared_by(&["a", "b", "c"]), "c has nothing");
    assert_eq!(ledger.given_up(&["a", "b"]), BTreeSet::from([1]));
    ledger.gone("b");
    assert!(!ledger.is_shared_by(&["a"]), "nobody owns partition 1");
}

#[test]
fn a_failure_is_told() {
    let mut ledger = of_two_partitions();
    ledger.heard("a", &Event::Retried { error: "rebalancing".to_owned() });
    assert!(ledger.broken().is_empty());
    ledger.heard("a", &Event::Failed { error: "no broker".to_owned() });
    assert_eq!(ledger.broken(), ["a failed: no broker"]);
}

#[test]
fn a_connection_is_lost_only_where_brokers_are_restarted() {
    let lost = Event::Disconnected { error: "EOF".to_owned() };
    let mut ledger = of_two_partitions();
    ledger.heard("a", &lost);
    assert_eq!(ledger.broken(), ["a was disconnected: EOF"]);
    let mut ledger = of_two_partitions().of_restarted_brokers();
    ledger.heard("a", &lost);
    assert!(ledger.broken().is_empty());
}
