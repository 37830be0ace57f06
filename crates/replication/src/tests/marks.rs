//! A follower's high watermark and log start: the leader's, as far as the follower holds the records safely.

use expect_test::expect;

use ottla_record::{BrokerId, Offset, TopicId, Uuid};
use ottla_storage::{Log, LogStart};

use super::{Scenario, check, config};
use crate::{Durability, Partition};

fn follower() -> Scenario {
    let mut p = Scenario::on(2, config(Durability::Fsync));
    p.run("assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3");
    p
}

#[test]
fn a_follower_shows_nothing_that_it_has_not_flushed() {
    let mut p = follower();
    check(
        &p.run("records term=0 at=0 last=- hw=2 start=0 0@0 1@0 2@0\nflushed"),
        &expect![[r#"
        > records term=0 at=0 last=- hw=2 start=0 0@0 1@0 2@0
          flush to 3
          readers see 0 ≤ hw 0, flushed 0, end 3; follows 1 in 0, waits for its flush
        > flushed
          readers see 0 ≤ hw 2, flushed 3, end 3; follows 1 in 0, fetches from 3 after term 0
    "#]],
    );
}

#[test]
fn the_high_watermark_never_goes_back_by_an_answer() {
    let mut p = follower();
    p.run("records term=0 at=0 last=- hw=2 start=0 0@0 1@0 2@0\nflushed");
    check(
        &p.run(
            "records term=0 at=3 last=0 hw=1 start=0
             assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
             records term=1 at=3 last=0 hw=0 start=0",
        ),
        &expect![[r#"
            > records term=0 at=3 last=0 hw=1 start=0
            > assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
              readers see 0 ≤ hw 2, flushed 3, end 3; follows 3 in 1, fetches from 3 after term 0
            > records term=1 at=3 last=0 hw=0 start=0
        "#]],
    );
}

#[test]
fn what_an_earlier_leader_said_is_not_applied_to_what_a_later_one_sends() {
    let mut p = follower();
    // The old leader's mark is above this log's end; the records that come to stand there are others.
    check(
        &p.run(
            "records term=0 at=0 last=- hw=5 start=0 0@0
             assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
             flushed
             records term=1 at=1 last=0 hw=1 start=0 1@1
             flushed",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=5 start=0 0@0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; follows 1 in 0, waits for its flush
            > assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
              readers see 0 ≤ hw 0, flushed 0, end 1; follows 3 in 1, waits for its flush
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; follows 3 in 1, fetches from 1 after term 0
            > records term=1 at=1 last=0 hw=1 start=0 1@1
              flush to 2
              readers see 0 ≤ hw 1, flushed 1, end 2; follows 3 in 1, waits for its flush
            > flushed
              readers see 0 ≤ hw 1, flushed 2, end 2; follows 3 in 1, fetches from 2 after term 1
        "#]],
    );
}

#[test]
fn becoming_leader_keeps_the_high_watermark() {
    let mut p = follower();
    p.run("records term=0 at=0 last=- hw=2 start=0 0@0 1@0 2@0\nflushed");
    check(
        &p.run("assign v=2 term=1 leader=2 replicas=1,2,3 isr=2,3"),
        &expect![[r#"
        > assign v=2 term=1 leader=2 replicas=1,2,3 isr=2,3
          readers see 0 ≤ hw 2, flushed 3, end 3; leads 1 from 3
    "#]],
    );
}

#[test]
fn the_log_start_follows_the_leaders() {
    let mut p = follower();
    p.run("records term=0 at=0 last=- hw=3 start=0 0@0 1@0 2@0\nflushed");
    check(
        &p.run("records term=0 at=3 last=0 hw=3 start=2\nrecords term=0 at=3 last=0 hw=3 start=1"),
        &expect![[r#"
        > records term=0 at=3 last=0 hw=3 start=2
          readers see 2 ≤ hw 3, flushed 3, end 3; follows 1 in 0, fetches from 3 after term 0
        > records term=0 at=3 last=0 hw=3 start=1
    "#]],
    );
    assert_eq!(p.records(), "2@0");
}

#[test]
fn the_log_start_waits_for_the_own_high_watermark() {
    let mut p = follower();
    p.run("records term=0 at=0 last=- hw=1 start=0 0@0\nflushed");
    check(
        &p.run("records term=0 at=1 last=0 hw=3 start=2 1@0 2@0\nflushed"),
        &expect![[r#"
        > records term=0 at=1 last=0 hw=3 start=2 1@0 2@0
          flush to 3
          readers see 1 ≤ hw 1, flushed 1, end 3; follows 1 in 0, waits for its flush
        > flushed
          readers see 2 ≤ hw 3, flushed 3, end 3; follows 1 in 0, fetches from 3 after term 0
    "#]],
    );
}

#[test]
fn segments_below_the_leaders_log_start_go() {
    let mut config = config(Durability::Fsync);
    config.log.segment_bytes = 100;
    let mut p = Scenario::on(2, config);
    p.run(
        "assign v=1 term=0 leader=1 replicas=1,2 isr=1,2
         records term=0 at=0 last=- hw=3 start=0 0@0 1@0 2@0
         flushed",
    );
    check(
        &p.run("records term=0 at=3 last=0 hw=3 start=2"),
        &expect![[r#"
        > records term=0 at=3 last=0 hw=3 start=2
          remove 2 segments
          readers see 2 ≤ hw 3, flushed 3, end 3; follows 1 in 0, fetches from 3 after term 0
    "#]],
    );
}

/// The same replica after a restart, where the checkpoint says that it was committed up to `stored`.
fn restarted(before: Scenario, stored: i64) -> Scenario {
    let Scenario { disk, _dir, root, partition, config, now, .. } = before;
    drop(partition.into_log(&mut Vec::new()));
    let start = LogStart { recovery_point: Offset::ZERO, log_start: None, clean: false };
    let topic = TopicId(Uuid::from_random([7; 16]));
    let (log, _) = Log::open(&root, "t-0".into(), topic, config.log.clone(), start, now).unwrap();
    let partition = Partition::new(BrokerId::new(2), log, config.clone()).recalling(Offset::new(stored));
    Scenario { disk, _dir, root, partition, config, now, flush: None, checkpoint: None }
}

#[test]
fn a_restart_recalls_what_was_committed_as_far_as_the_log_goes() {
    for (stored, recalled) in [(0, 0), (2, 2), (3, 3), (900, 3)] {
        let mut p = follower();
        p.run("records term=0 at=0 last=- hw=2 start=0 0@0 1@0 2@0\nflushed");
        let p = restarted(p, stored);
        let view = p.partition.view();
        p.partition.check_invariants();
        let marks = [view.log_start, view.high_watermark, view.flushed_end, view.log_end].map(Offset::get);
        assert_eq!(marks, [0, recalled, 3, 3], "stored {stored}");
    }
}

#[test]
fn what_was_recalled_goes_back_only_with_the_log() {
    let mut p = follower();
    p.run("records term=0 at=0 last=- hw=2 start=0 0@0 1@0 2@0\nflushed");
    let mut p = restarted(p, 2);
    p.run("assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3\nrecords term=1 at=3 last=0 hw=0 start=0");
    assert_eq!(p.partition.view().high_watermark, Offset::new(2), "a new leader may know less");
    // Elected uncleanly, it lacks what was committed.
    p.run("diverging term=1 at=3 last=0 common=0 end=1");
    let view = p.partition.view();
    assert_eq!((view.high_watermark, view.log_end), (Offset::new(1), Offset::new(1)));
}
