//! A leader without followers: from append to acknowledgement.

use expect_test::expect;

use super::{Scenario, check};
use crate::Durability;
use ottla_record::Monotonic;
use std::time::Duration;

#[test]
fn with_fsync_every_acknowledgement_waits_for_the_flush() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(
        &p.run("produce all all\nproduce leader leader\nproduce none none\nflushed\nflushed"),
        &expect![[]],
    );
}

#[test]
fn with_os_records_count_when_written_and_are_flushed_behind() {
    let mut p = Scenario::leading(Durability::Os);
    check(&p.run("produce all all\nproduce leader leader\nwait 1"), &expect![[]]);
}

#[test]
fn a_duplicate_waits_for_the_first_one_to_be_durable() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(
        &p.run(
            "produce first all seq=0
             produce again all seq=0
             flushed
             produce late all seq=0
             produce gap all seq=5",
        ),
        &expect![[]],
    );
}

#[test]
fn a_failed_flush_takes_the_partition_offline_and_acknowledges_nothing() {
    let mut p = Scenario::leading(Durability::Fsync);
    // Nothing brings it back, not even a new term.
    check(
        &p.run(
            "produce waits all
             flush fails
             produce after all
             assign v=2 term=1 leader=1 replicas=1 isr=1",
        ),
        &expect![[]],
    );
}

#[test]
fn a_failure_elsewhere_in_the_directory_is_not_reported_back_for_ever() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(&p.run("directory fails\ndirectory fails"), &expect![[]]);
}

#[test]
fn waiters_end_at_their_deadline_and_the_records_stay() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.run("produce waits all");
    assert_eq!(p.partition.next_deadline(), Monotonic::from_start(Duration::from_secs(31)));
    check(&p.run("wait 30\nflushed"), &expect![[]]);
}

#[test]
fn losing_leadership_answers_who_waits() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(
        &p.run(
            "produce waits all
             assign v=2 term=1 leader=2 replicas=2 isr=2
             produce after leader",
        ),
        &expect![[]],
    );
}

#[test]
fn acks_all_needs_the_minimum_in_sync_replicas_that_can_exist() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2 isr=1
             produce all all
             produce leader leader
             flushed",
        ),
        &expect![[]],
    );
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_and_no_further() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.run("produce a all\nproduce b all\nflushed");
    check(&p.run("delete d before=2\ndelete d before=-\ndelete d before=0"), &expect![[]]);
}

#[test]
fn a_topic_changed_to_fsync_acknowledges_nothing_that_is_not_flushed() {
    let mut p = Scenario::leading(Durability::Os);
    p.run("produce os all");
    check(&p.run("configure fsync\nproduce fsync all\nflushed\nflushed"), &expect![[]]);
}

#[test]
fn a_duplicate_of_what_was_acknowledged_from_the_page_cache_waits_for_the_disk_under_fsync() {
    let mut p = Scenario::leading(Durability::Os);
    check(
        &p.run(
            "produce first all seq=0
             configure fsync
             produce all all seq=0
             produce leader leader seq=0
             flushed",
        ),
        &expect![[]],
    );
}

#[test]
fn a_topic_changed_to_os_answers_who_waited_for_the_disk() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(&p.run("produce all all\nproduce leader leader\nconfigure os"), &expect![[]]);
}
