//! A leader and its followers: what a fetch is worth, and what it is answered.

use expect_test::expect;

use super::{Scenario, check, config};
use crate::Durability;

/// Broker 1 leads term 3 with everybody in sync; its log holds 0@1 1@2 2@3, all on the disk.
fn leader() -> Scenario {
    let mut p = Scenario::new(Durability::Fsync);
    p.run(
        "assign v=1 term=1 leader=1 replicas=1,2,3 isr=1,2,3
         produce a none
         flushed
         assign v=2 term=2 leader=1 replicas=1,2,3 isr=1,2,3
         produce b none
         flushed
         assign v=3 term=3 leader=1 replicas=1,2,3 isr=1,2,3
         produce c none
         flushed",
    );
    p
}

#[test]
fn the_high_watermark_is_what_every_in_sync_replica_has_safely() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
             produce all all
             fetch from=2 term=0 at=0 last=-
             fetch from=3 term=0 at=0 last=-
             fetch from=2 term=0 at=1 last=0
             flushed
             fetch from=3 term=0 at=1 last=0",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce all all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > fetch from=2 term=0 at=0 last=-
              broker 2: leader has 0 ≤ hw 0, end 1
            > fetch from=3 term=0 at=0 last=-
              broker 3: leader has 0 ≤ hw 0, end 1
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > fetch from=3 term=0 at=1 last=0
              broker 3: leader has 0 ≤ hw 1, end 1
              all: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn the_leader_counts_its_own_flushed_end_and_may_be_the_last() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2 isr=1,2
             produce all all
             fetch from=2 term=0 at=1 last=0
             flushed",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2 isr=1,2
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce all all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > flushed
              all: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn with_os_nobody_waits_for_a_disk() {
    let mut p = Scenario::new(Durability::Os);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2 isr=1,2
             produce all all
             fetch from=2 term=0 at=1 last=0",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2 isr=1,2
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce all all
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 1, end 1
              all: written at 0
              readers see 0 ≤ hw 1, flushed 0, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_topic_changed_to_fsync_forgets_what_followers_had_in_their_page_caches() {
    let mut p = Scenario::new(Durability::Os);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
             produce all all
             fetch from=2 term=0 at=1 last=0
             fetch from=3 term=0 at=0 last=-
             configure fsync
             flushed
             fetch from=3 term=0 at=1 last=0
             fetch from=2 term=0 at=1 last=0",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce all all
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > fetch from=3 term=0 at=0 last=-
              broker 3: leader has 0 ≤ hw 0, end 1
            > configure fsync
              flush to 1
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > fetch from=3 term=0 at=1 last=0
              broker 3: leader has 0 ≤ hw 0, end 1
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 1, end 1
              all: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

/// With the change begins a term (ADR 0060), and a follower that has heard of neither yet is not taken at its word.
#[test]
fn a_topic_changed_to_fsync_believes_nobody_who_has_not_heard_of_it() {
    let mut p = Scenario::new(Durability::Os);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
             produce all all
             configure fsync
             assign v=2 term=1 leader=1 replicas=1,2,3 isr=1,2,3
             flushed
             fetch from=2 term=0 at=1 last=0
             fetch from=3 term=1 at=1 last=0
             fetch from=2 term=1 at=1 last=0",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce all all
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > configure fsync
              flush to 1
            > assign v=2 term=1 leader=1 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 1 from 1
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 1 from 1
            > fetch from=2 term=0 at=1 last=0
              broker 2: refused: the follower's term has ended; the term is 1 now
            > fetch from=3 term=1 at=1 last=0
              broker 3: leader has 0 ≤ hw 0, end 1
            > fetch from=2 term=1 at=1 last=0
              broker 2: leader has 0 ≤ hw 1, end 1
              all: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 1 from 1
        "#]],
    );
}

#[test]
fn replicas_that_are_not_in_sync_do_not_hold_the_high_watermark_back() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
             produce all all
             flushed
             fetch from=2 term=0 at=1 last=0",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce all all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 1, end 1
              all: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn below_the_minimum_in_sync_set_nothing_is_taken_for_all_and_the_high_watermark_rests() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
             produce before all
             assign v=2 term=0 leader=1 replicas=1,2,3 isr=1
             produce refused all
             produce one leader
             flushed
             flushed
             fetch from=2 term=0 at=2 last=0
             accepted on=2 v=3 isr=1,2",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce before all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > assign v=2 term=0 leader=1 replicas=1,2,3 isr=1
            > produce refused all
              refused: refused: 1 replicas are in sync, acks=all needs 2
            > produce one leader
              readers see 0 ≤ hw 0, flushed 0, end 2; leads 0 from 0
            > flushed
              flush to 2
              readers see 0 ≤ hw 0, flushed 1, end 2; leads 0 from 0
            > flushed
              one: written at 1
              readers see 0 ≤ hw 0, flushed 2, end 2; leads 0 from 0
            > fetch from=2 term=0 at=2 last=0
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 0 on version 2
            > accepted on=2 v=3 isr=1,2
              before: written at 0
              readers see 0 ≤ hw 2, flushed 2, end 2; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_fetch_of_another_term_counts_for_nothing() {
    let mut p = leader();
    check(
        &p.run(
            "fetch from=2 term=2 at=3 last=3
             fetch from=2 term=4 at=3 last=3
             fetch from=3 term=3 at=3 last=3",
        ),
        &expect![[r#"
            > fetch from=2 term=2 at=3 last=3
              broker 2: refused: the follower's term has ended; the term is 3 now
            > fetch from=2 term=4 at=3 last=3
              broker 2: refused: the follower's term has not been heard of; the term here is 3
            > fetch from=3 term=3 at=3 last=3
              broker 3: leader has 0 ≤ hw 0, end 3
        "#]],
    );
}

#[test]
fn only_an_assigned_replica_in_its_newest_registration_counts() {
    let mut p = leader();
    check(
        &p.run(
            "fetch from=4 term=3 at=3 last=3
             fetch from=1 term=3 at=3 last=3
             fetch from=2 term=3 at=3 last=3 broker=8
             fetch from=2 term=3 at=3 last=3 broker=7
             fetch from=3 term=3 at=3 last=3",
        ),
        &expect![[r#"
            > fetch from=4 term=3 at=3 last=3
              broker 4: refused: the asking broker holds no replica of the partition
            > fetch from=1 term=3 at=3 last=3
              broker 1: refused: the asking broker holds no replica of the partition
            > fetch from=2 term=3 at=3 last=3 broker=8
              broker 2: leader has 0 ≤ hw 0, end 3
            > fetch from=2 term=3 at=3 last=3 broker=7
              broker 2: refused: the asking broker has been registered again since, with epoch 8
            > fetch from=3 term=3 at=3 last=3
              broker 3: leader has 0 ≤ hw 3, end 3
              readers see 0 ≤ hw 3, flushed 3, end 3; leads 3 from 2
        "#]],
    );
}

#[test]
fn a_follower_with_other_records_is_told_where_the_logs_part() {
    let mut p = leader();
    check(
        &p.run(
            // More of a term than the leader has.
            "fetch from=2 term=3 at=2 last=1
             fetch from=2 term=3 at=5 last=3
             fetch from=2 term=3 at=2 last=2
             fetch from=2 term=3 at=2 last=-
             fetch from=2 term=3 at=1 last=1",
        ),
        &expect![[r#"
            > fetch from=2 term=3 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 3; logs part after term 1, at 1
            > fetch from=2 term=3 at=5 last=3
              broker 2: leader has 0 ≤ hw 0, end 3; logs part after term 3, at 3
            > fetch from=2 term=3 at=2 last=2
              broker 2: leader has 0 ≤ hw 0, end 3
            > fetch from=2 term=3 at=2 last=-
              broker 2: leader has 0 ≤ hw 0, end 3
            > fetch from=2 term=3 at=1 last=1
              broker 2: leader has 0 ≤ hw 0, end 3
        "#]],
    );
}

#[test]
fn a_follower_outside_the_log_is_told_its_ends() {
    let mut p = leader();
    p.run("fetch from=2 term=3 at=3 last=3\nfetch from=3 term=3 at=3 last=3\ndelete d before=2");
    check(
        &p.run(
            "fetch from=2 term=3 at=1 last=1
             fetch from=2 term=3 at=0 last=-
             fetch from=2 term=3 at=9 last=-
             fetch from=2 term=3 at=2 last=-",
        ),
        &expect![[r#"
            > fetch from=2 term=3 at=1 last=1
              broker 2: refused: the offset lies outside the log, which goes from 2 to 3
            > fetch from=2 term=3 at=0 last=-
              broker 2: refused: the offset lies outside the log, which goes from 2 to 3
            > fetch from=2 term=3 at=9 last=-
              broker 2: refused: the offset lies outside the log, which goes from 2 to 3
            > fetch from=2 term=3 at=2 last=-
              broker 2: leader has 2 ≤ hw 3, end 3
        "#]],
    );
}

#[test]
fn a_member_whose_copy_turns_out_to_be_another_holds_the_high_watermark_back() {
    let mut p = leader();
    check(
        &p.run(
            "fetch from=2 term=3 at=3 last=3
             fetch from=2 term=3 at=4 last=3
             fetch from=3 term=3 at=3 last=3
             fetch from=2 term=3 at=3 last=3",
        ),
        &expect![[r#"
            > fetch from=2 term=3 at=3 last=3
              broker 2: leader has 0 ≤ hw 0, end 3
            > fetch from=2 term=3 at=4 last=3
              broker 2: leader has 0 ≤ hw 0, end 3; logs part after term 3, at 3
            > fetch from=3 term=3 at=3 last=3
              broker 3: leader has 0 ≤ hw 0, end 3
            > fetch from=2 term=3 at=3 last=3
              broker 2: leader has 0 ≤ hw 3, end 3
              readers see 0 ≤ hw 3, flushed 3, end 3; leads 3 from 2
        "#]],
    );
}

#[test]
fn a_new_leader_keeps_its_high_watermark_until_all_have_spoken_in_the_new_term() {
    let mut p = Scenario::on(1, config(Durability::Fsync));
    check(
        &p.run(
            "assign v=1 term=0 leader=2 replicas=1,2,3 isr=1,2,3
             records term=0 at=0 last=- hw=1 start=0 0@0 1@0 2@0
             flushed
             assign v=2 term=1 leader=1 replicas=1,2,3 isr=1,3
             fetch from=3 term=1 at=2 last=0
             produce new all
             flushed
             fetch from=3 term=1 at=4 last=1",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=2 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 0, end 0; follows 2 in 0, fetches from 0 after term -
            > records term=0 at=0 last=- hw=1 start=0 0@0 1@0 2@0
              flush to 3
              readers see 0 ≤ hw 0, flushed 0, end 3; follows 2 in 0, waits for its flush
            > flushed
              readers see 0 ≤ hw 1, flushed 3, end 3; follows 2 in 0, fetches from 3 after term 0
            > assign v=2 term=1 leader=1 replicas=1,2,3 isr=1,3
              readers see 0 ≤ hw 1, flushed 3, end 3; leads 1 from 3
            > fetch from=3 term=1 at=2 last=0
              broker 3: leader has 0 ≤ hw 2, end 3
              readers see 0 ≤ hw 2, flushed 3, end 3; leads 1 from 3
            > produce new all
              flush to 4
              readers see 0 ≤ hw 2, flushed 3, end 4; leads 1 from 3
            > flushed
              readers see 0 ≤ hw 2, flushed 4, end 4; leads 1 from 3
            > fetch from=3 term=1 at=4 last=1
              broker 3: leader has 0 ≤ hw 4, end 4
              new: written at 3
              readers see 0 ≤ hw 4, flushed 4, end 4; leads 1 from 3
        "#]],
    );
}

#[test]
fn deletions_are_answered_when_every_in_sync_replica_has_followed() {
    let mut p = leader();
    p.run("fetch from=2 term=3 at=3 last=3\nfetch from=3 term=3 at=3 last=3");
    check(
        &p.run(
            "delete d before=2
             fetch from=2 term=3 at=3 last=3 start=2
             fetch from=3 term=3 at=3 last=3 start=1
             delete again before=1
             fetch from=3 term=3 at=3 last=3 start=2",
        ),
        &expect![[r#"
            > delete d before=2
              readers see 2 ≤ hw 3, flushed 3, end 3; leads 3 from 2
            > fetch from=2 term=3 at=3 last=3 start=2
              broker 2: leader has 2 ≤ hw 3, end 3
            > fetch from=3 term=3 at=3 last=3 start=1
              broker 3: leader has 2 ≤ hw 3, end 3
            > delete again before=1
              again: log starts at 1
            > fetch from=3 term=3 at=3 last=3 start=2
              broker 3: leader has 2 ≤ hw 3, end 3
              d: log starts at 2
        "#]],
    );
}

#[test]
fn deletions_that_a_replica_does_not_follow_end_at_their_deadline() {
    let mut p = leader();
    p.run("fetch from=2 term=3 at=3 last=3\nfetch from=3 term=3 at=3 last=3");
    check(
        &p.run("delete d before=2\nfetch from=2 term=3 at=3 last=3 start=2\nwait 30"),
        &expect![[r#"
        > delete d before=2
          readers see 2 ≤ hw 3, flushed 3, end 3; leads 3 from 2
        > fetch from=2 term=3 at=3 last=3 start=2
          broker 2: leader has 2 ≤ hw 3, end 3
        > wait 30
          d: not deleted: the records were not deleted on every in-sync replica before the deadline
          checkpoint at 3
    "#]],
    );
}

#[test]
fn deletions_do_not_wait_for_a_replica_that_has_left_the_set() {
    let mut p = leader();
    p.run("fetch from=2 term=3 at=3 last=3\nfetch from=3 term=3 at=3 last=3");
    check(
        &p.run(
            "delete d before=2
             fetch from=2 term=3 at=3 last=3 start=2
             assign v=4 term=3 leader=1 replicas=1,2,3 isr=1,2",
        ),
        &expect![[r#"
            > delete d before=2
              readers see 2 ≤ hw 3, flushed 3, end 3; leads 3 from 2
            > fetch from=2 term=3 at=3 last=3 start=2
              broker 2: leader has 2 ≤ hw 3, end 3
            > assign v=4 term=3 leader=1 replicas=1,2,3 isr=1,2
              d: log starts at 2
        "#]],
    );
}

#[test]
fn losing_leadership_refuses_producers_and_deletions_that_wait() {
    let mut p = leader();
    p.run("fetch from=2 term=3 at=3 last=3\nfetch from=3 term=3 at=3 last=3");
    check(
        &p.run(
            "delete d before=2
             produce p all
             assign v=4 term=4 leader=2 replicas=1,2,3 isr=1,2,3",
        ),
        &expect![[r#"
            > delete d before=2
              readers see 2 ≤ hw 3, flushed 3, end 3; leads 3 from 2
            > produce p all
              flush to 4
              readers see 2 ≤ hw 3, flushed 3, end 4; leads 3 from 2
            > assign v=4 term=4 leader=2 replicas=1,2,3 isr=1,2,3
              p: refused: this broker does not lead the partition
              d: not deleted: this broker does not lead the partition
              readers see 2 ≤ hw 3, flushed 3, end 4; follows 2 in 4, waits for its flush
        "#]],
    );
}

#[test]
fn a_follower_of_which_nothing_can_be_verified_begins_anew() {
    // Offset 2 was written in term 0 by a leader that lost it, and in term 1 by this one; then all was deleted.
    let mut p = Scenario::on(1, config(Durability::Fsync));
    p.run(
        "assign v=1 term=0 leader=1 replicas=1 isr=1
         produce a none
         flushed
         produce b none
         flushed
         assign v=2 term=1 leader=1 replicas=1 isr=1
         produce c none
         flushed
         delete all before=3
         assign v=3 term=1 leader=1 replicas=1,2 isr=1",
    );
    check(
        &p.run(
            "fetch from=2 term=1 at=3 last=0 start=0
             fetch from=2 term=1 at=3 last=1 start=0
             fetch from=2 term=1 at=3 last=0 start=3
             fetch from=2 term=1 at=3 last=- start=3",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=3 last=0 start=0
              broker 2: refused: the offset lies outside the log, which goes from 3 to 3
            > fetch from=2 term=1 at=3 last=1 start=0
              broker 2: leader has 3 ≤ hw 3, end 3
              propose in sync: 1, 2 (registered 7); in term 1 on version 3
            > fetch from=2 term=1 at=3 last=0 start=3
              broker 2: leader has 3 ≤ hw 3, end 3
            > fetch from=2 term=1 at=3 last=- start=3
              broker 2: leader has 3 ≤ hw 3, end 3
        "#]],
    );
}
