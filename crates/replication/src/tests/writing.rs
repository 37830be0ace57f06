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
        &expect![[r#"
            > produce all all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > produce leader leader
              readers see 0 ≤ hw 0, flushed 0, end 2; leads 0 from 0
            > produce none none
              none: written at 2
              readers see 0 ≤ hw 0, flushed 0, end 3; leads 0 from 0
            > flushed
              all: written at 0
              flush to 3
              readers see 0 ≤ hw 1, flushed 1, end 3; leads 0 from 0
            > flushed
              leader: written at 1
              readers see 0 ≤ hw 3, flushed 3, end 3; leads 0 from 0
        "#]],
    );
}

#[test]
fn with_os_records_count_when_written_and_are_flushed_behind() {
    let mut p = Scenario::leading(Durability::Os);
    check(
        &p.run("produce all all\nproduce leader leader\nwait 1"),
        &expect![[r#"
        > produce all all
          all: written at 0
          readers see 0 ≤ hw 1, flushed 0, end 1; leads 0 from 0
        > produce leader leader
          leader: written at 1
          readers see 0 ≤ hw 2, flushed 0, end 2; leads 0 from 0
        > wait 1
          flush to 2
    "#]],
    );
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
        &expect![[r#"
            > produce first all seq=0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > produce again all seq=0
            > flushed
              first: written at 0
              again: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
            > produce late all seq=0
              late: written at 0
            > produce gap all seq=5
              gap: refused: producer 9 sent sequence 5, expected 1
        "#]],
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
        &expect![[r#"
            > produce waits all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flush fails
              waits: refused: the log directory is offline after a failed write or flush
              the directory has failed
              readers see 0 ≤ hw 0, flushed 0, end 1; offline
            > produce after all
              after: refused: the log directory is offline after a failed write or flush
            > assign v=2 term=1 leader=1 replicas=1 isr=1
        "#]],
    );
}

#[test]
fn a_failure_elsewhere_in_the_directory_is_not_reported_back_for_ever() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(
        &p.run("directory fails\ndirectory fails"),
        &expect![[r#"
        > directory fails
          the directory has failed
          readers see 0 ≤ hw 0, flushed 0, end 0; offline
        > directory fails
    "#]],
    );
}

#[test]
fn waiters_end_at_their_deadline_and_the_records_stay() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.run("produce waits all");
    assert_eq!(p.partition.next_deadline(), Monotonic::from_start(Duration::from_secs(31)));
    check(
        &p.run("wait 30\nflushed"),
        &expect![[r#"
        > wait 30
          waits: refused: the records were not flushed and replicated before the deadline
        > flushed
          readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
    "#]],
    );
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
        &expect![[r#"
            > produce waits all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > assign v=2 term=1 leader=2 replicas=2 isr=2
              waits: refused: this broker does not lead the partition
              readers see 0 ≤ hw 0, flushed 0, end 1; does not lead
            > produce after leader
              after: refused: this broker does not lead the partition
        "#]],
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
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2 isr=1
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce all all
              all: refused: 1 replicas are in sync, acks=all needs 2
            > produce leader leader
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              leader: written at 0
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_and_no_further() {
    let mut p = Scenario::leading(Durability::Fsync);
    p.run("produce a all\nproduce b all\nflushed");
    check(
        &p.run("delete d before=2\ndelete d before=-\ndelete d before=0"),
        &expect![[r#"
        > delete d before=2
          d: not deleted: offset 2 lies above the high watermark 1
        > delete d before=-
          d: log starts at 1
          readers see 1 ≤ hw 1, flushed 1, end 2; leads 0 from 0
        > delete d before=0
          d: log starts at 1
    "#]],
    );
}

#[test]
fn a_topic_changed_to_fsync_acknowledges_nothing_that_is_not_flushed() {
    let mut p = Scenario::leading(Durability::Os);
    p.run("produce os all");
    check(
        &p.run("configure fsync\nproduce fsync all\nflushed\nflushed"),
        &expect![[r#"
        > configure fsync
          flush to 1
        > produce fsync all
          readers see 0 ≤ hw 1, flushed 0, end 2; leads 0 from 0
        > flushed
          flush to 2
          readers see 0 ≤ hw 1, flushed 1, end 2; leads 0 from 0
        > flushed
          fsync: written at 1
          readers see 0 ≤ hw 2, flushed 2, end 2; leads 0 from 0
    "#]],
    );
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
        &expect![[r#"
            > produce first all seq=0
              first: written at 0
              readers see 0 ≤ hw 1, flushed 0, end 1; leads 0 from 0
            > configure fsync
              flush to 1
            > produce all all seq=0
            > produce leader leader seq=0
            > flushed
              leader: written at 0
              all: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_topic_changed_to_os_answers_who_waited_for_the_disk() {
    let mut p = Scenario::leading(Durability::Fsync);
    check(
        &p.run("produce all all\nproduce leader leader\nconfigure os"),
        &expect![[r#"
        > produce all all
          flush to 1
          readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
        > produce leader leader
          readers see 0 ≤ hw 0, flushed 0, end 2; leads 0 from 0
        > configure os
          leader: written at 1
          all: written at 0
          readers see 0 ≤ hw 2, flushed 0, end 2; leads 0 from 0
    "#]],
    );
}
