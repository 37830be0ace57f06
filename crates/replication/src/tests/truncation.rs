//! What a follower cuts of its log, and by whose word.

use expect_test::expect;

use super::{Scenario, check, config};
use crate::Durability;

/// Broker 2 has 0@0 1@0 2@1 3@1 4@3 on the disk with high watermark 1, and follows broker 1 in term 4.
fn follower() -> Scenario {
    let mut p = Scenario::on(2, config(Durability::Fsync));
    p.run(
        "assign v=1 term=3 leader=3 replicas=1,2,3 isr=1,2,3
         records term=3 at=0 last=- hw=1 start=0 0@0 1@0 2@1 3@1 4@3
         flushed
         assign v=2 term=4 leader=1 replicas=1,2,3 isr=1,2,3",
    );
    p
}

#[test]
fn the_leader_has_less_of_a_term_that_both_know() {
    let mut p = follower();
    check(
        &p.run("diverging term=4 at=5 last=3 common=1 end=3"),
        &expect![[r#"
        > diverging term=4 at=5 last=3 common=1 end=3
          readers see 0 ≤ hw 1, flushed 3, end 3; follows 1 in 4, fetches from 3 after term 1
    "#]],
    );
    assert_eq!(p.records(), "0@0 1@0 2@1");
}

#[test]
fn the_follower_has_less_of_a_term_that_both_know() {
    let mut p = follower();
    check(
        &p.run("diverging term=4 at=5 last=3 common=1 end=9"),
        &expect![[r#"
        > diverging term=4 at=5 last=3 common=1 end=9
          readers see 0 ≤ hw 1, flushed 4, end 4; follows 1 in 4, fetches from 4 after term 1
    "#]],
    );
    assert_eq!(p.records(), "0@0 1@0 2@1 3@1");
}

#[test]
fn the_leader_names_a_term_that_the_follower_does_not_know() {
    let mut p = follower();
    // Term 2 is not here: its records follow those of term 1, so what is above term 1 goes, and the leader is asked again.
    check(
        &p.run(
            "diverging term=4 at=5 last=3 common=2 end=7
             diverging term=4 at=4 last=1 common=1 end=3
             records term=4 at=3 last=1 hw=3 start=0 3@2 4@2
             flushed",
        ),
        &expect![[r#"
            > diverging term=4 at=5 last=3 common=2 end=7
              readers see 0 ≤ hw 1, flushed 4, end 4; follows 1 in 4, fetches from 4 after term 1
            > diverging term=4 at=4 last=1 common=1 end=3
              readers see 0 ≤ hw 1, flushed 3, end 3; follows 1 in 4, fetches from 3 after term 1
            > records term=4 at=3 last=1 hw=3 start=0 3@2 4@2
              flush to 5
              readers see 0 ≤ hw 3, flushed 3, end 5; follows 1 in 4, waits for its flush
            > flushed
              readers see 0 ≤ hw 3, flushed 5, end 5; follows 1 in 4, fetches from 5 after term 2
        "#]],
    );
    assert_eq!(p.records(), "0@0 1@0 2@1 3@2 4@2");
}

#[test]
fn the_leader_knows_no_term_that_the_follower_knows() {
    let mut p = follower();
    check(
        &p.run("diverging term=4 at=5 last=3 common=- end=0"),
        &expect![[r#"
        > diverging term=4 at=5 last=3 common=- end=0
          readers see 0 ≤ hw 0, flushed 0, end 0; follows 1 in 4, fetches from 0 after term -
    "#]],
    );
    assert_eq!(p.records(), "");
}

#[test]
fn a_word_that_leaves_the_whole_log_cuts_nothing() {
    let mut p = follower();
    check(
        &p.run("diverging term=4 at=5 last=3 common=3 end=8"),
        &expect![[r#"
        > diverging term=4 at=5 last=3 common=3 end=8
    "#]],
    );
}

#[test]
fn a_late_word_about_records_that_are_gone_cuts_nothing() {
    let mut p = follower();
    p.run(
        "diverging term=4 at=5 last=3 common=1 end=4
         records term=4 at=4 last=1 hw=5 start=0 4@4
         flushed",
    );
    check(
        &p.run("diverging term=4 at=5 last=3 common=1 end=4"),
        &expect![[r#"
        > diverging term=4 at=5 last=3 common=1 end=4
    "#]],
    );
    assert_eq!(p.records(), "0@0 1@0 2@1 3@1 4@4");
}

#[test]
fn a_cut_while_a_flush_and_a_checkpoint_are_out_does_not_count_them_for_what_comes_after() {
    let mut p = follower();
    p.run("wait 1\nassign v=3 term=5 leader=3 replicas=1,2,3 isr=1,2,3");
    assert!(p.checkpoint.is_some());
    check(
        &p.run(
            "records term=5 at=5 last=3 hw=1 start=0 5@5
             assign v=4 term=6 leader=1 replicas=1,2,3 isr=1,2,3
             diverging term=6 at=6 last=5 common=1 end=3
             records term=6 at=3 last=1 hw=1 start=0 3@6 4@6 5@6
             flushed
             checkpointed
             flushed",
        ),
        &expect![[r#"
            > records term=5 at=5 last=3 hw=1 start=0 5@5
              flush to 6
              readers see 0 ≤ hw 1, flushed 5, end 6; follows 3 in 5, waits for its flush
            > assign v=4 term=6 leader=1 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 1, flushed 5, end 6; follows 1 in 6, waits for its flush
            > diverging term=6 at=6 last=5 common=1 end=3
              readers see 0 ≤ hw 1, flushed 3, end 3; follows 1 in 6, fetches from 3 after term 1
            > records term=6 at=3 last=1 hw=1 start=0 3@6 4@6 5@6
              readers see 0 ≤ hw 1, flushed 3, end 6; follows 1 in 6, waits for its flush
            > flushed
              flush to 6
            > checkpointed
            > flushed
              readers see 0 ≤ hw 1, flushed 6, end 6; follows 1 in 6, fetches from 6 after term 6
        "#]],
    );
    // The checkpoint is not taken for the records that stand there now.
    assert!(p.partition.log().recovery_point() <= ottla_record::Offset::new(3));
}

#[test]
fn a_cut_below_the_high_watermark_takes_it_along() {
    let mut p = follower();
    p.run("records term=4 at=5 last=3 hw=5 start=0\nassign v=3 term=5 leader=3 replicas=1,2,3 isr=3");
    check(
        &p.run("diverging term=5 at=5 last=3 common=1 end=3"),
        &expect![[r#"
        > diverging term=5 at=5 last=3 common=1 end=3
          readers see 0 ≤ hw 3, flushed 3, end 3; follows 3 in 5, fetches from 3 after term 1
    "#]],
    );
}

#[test]
fn a_follower_below_the_leaders_log_start_starts_over_there() {
    let mut p = follower();
    check(
        &p.run(
            "out-of-range term=4 at=5 last=3 start=8 end=9
             records term=4 at=8 last=- hw=9 start=8 8@4
             flushed",
        ),
        &expect![[r#"
            > out-of-range term=4 at=5 last=3 start=8 end=9
              readers see 8 ≤ hw 8, flushed 8, end 8; follows 1 in 4, fetches from 8 after term -
            > records term=4 at=8 last=- hw=9 start=8 8@4
              flush to 9
              readers see 8 ≤ hw 8, flushed 8, end 9; follows 1 in 4, waits for its flush
            > flushed
              readers see 8 ≤ hw 9, flushed 9, end 9; follows 1 in 4, fetches from 9 after term 4
        "#]],
    );
    assert_eq!(p.records(), "8@4");
}

#[test]
fn a_follower_above_the_leaders_end_copies_it_from_its_start() {
    let mut p = Scenario::on(2, config(Durability::Fsync));
    p.run(
        "assign v=1 term=0 leader=1 replicas=1,2 isr=1
         out-of-range term=0 at=0 last=- start=8 end=9
         assign v=2 term=1 leader=3 replicas=2,3 isr=3",
    );
    // It holds nothing of what the new leader has from 2 to 5: beginning at its end, it would be in sync without them.
    check(
        &p.run("out-of-range term=1 at=8 last=- start=2 end=5"),
        &expect![[r#"
        > out-of-range term=1 at=8 last=- start=2 end=5
          readers see 2 ≤ hw 2, flushed 2, end 2; follows 3 in 1, fetches from 2 after term -
    "#]],
    );
}

#[test]
fn a_range_that_has_the_position_says_nothing() {
    let mut p = follower();
    check(
        &p.run("out-of-range term=4 at=5 last=3 start=0 end=9"),
        &expect![[r#"
        > out-of-range term=4 at=5 last=3 start=0 end=9
    "#]],
    );
}

#[test]
fn a_follower_whose_log_was_emptied_by_retention_keeps_its_place_when_the_rest_is_cut() {
    let mut p = follower();
    p.run("records term=4 at=5 last=3 hw=4 start=4\nassign v=3 term=5 leader=3 replicas=1,2,3 isr=1,2,3");
    check(
        &p.run("diverging term=5 at=5 last=3 common=1 end=4"),
        &expect![[r#"
        > diverging term=5 at=5 last=3 common=1 end=4
          readers see 4 ≤ hw 4, flushed 4, end 4; follows 3 in 5, fetches from 4 after term -
    "#]],
    );
}

#[test]
fn where_all_that_is_left_was_never_the_new_leaders_the_copy_begins_anew() {
    let mut p = follower();
    p.run("records term=4 at=5 last=3 hw=4 start=4\nassign v=3 term=5 leader=3 replicas=1,2,3 isr=3");
    check(
        &p.run("diverging term=5 at=5 last=3 common=1 end=3"),
        &expect![[r#"
        > diverging term=5 at=5 last=3 common=1 end=3
          readers see 0 ≤ hw 0, flushed 0, end 0; follows 3 in 5, fetches from 0 after term -
    "#]],
    );
}

#[test]
fn producers_are_what_is_left_of_the_log() {
    let mut p = Scenario::on(2, config(Durability::Fsync));
    p.run(
        "assign v=1 term=0 leader=1 replicas=1,2 isr=1,2
         records term=0 at=0 last=- hw=0 start=0 0@0#0 1@0#1
         flushed
         assign v=2 term=1 leader=3 replicas=2,3 isr=2,3
         diverging term=1 at=2 last=0 common=0 end=1
         assign v=3 term=2 leader=2 replicas=2,3 isr=2",
    );
    check(
        &p.run("produce again leader seq=0\nproduce cut leader seq=1"),
        &expect![[r#"
        > produce again leader seq=0
          again: written at 0
        > produce cut leader seq=1
          flush to 2
          readers see 0 ≤ hw 0, flushed 1, end 2; leads 2 from 1
    "#]],
    );
}
