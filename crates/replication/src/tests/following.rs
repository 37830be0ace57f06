//! A follower: it copies, flushes, and says by its next fetch what it has.

use expect_test::expect;

use super::{Scenario, check, config};
use crate::Durability;

/// Broker 2 follows broker 1 in term 0.
fn follower(durability: Durability) -> Scenario {
    let mut p = Scenario::on(2, config(durability));
    p.run("assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3");
    p
}

#[test]
fn with_fsync_the_next_fetch_waits_for_the_flush() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "records term=0 at=0 last=- hw=0 start=0 0@0 1@0
             flushed
             records term=0 at=2 last=0 hw=2 start=0",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=0 start=0 0@0 1@0
              flush to 2
              readers see 0 ≤ hw 0, flushed 0, end 2; follows 1 in 0, waits for its flush
            > flushed
              readers see 0 ≤ hw 0, flushed 2, end 2; follows 1 in 0, fetches from 2 after term 0
            > records term=0 at=2 last=0 hw=2 start=0
              readers see 0 ≤ hw 2, flushed 2, end 2; follows 1 in 0, fetches from 2 after term 0
        "#]],
    );
}

#[test]
fn with_os_the_next_fetch_goes_out_at_once_and_the_flush_comes_behind() {
    let mut p = follower(Durability::Os);
    check(
        &p.run(
            "records term=0 at=0 last=- hw=0 start=0 0@0 1@0
             records term=0 at=2 last=0 hw=2 start=0
             wait 1
             flushed",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=0 start=0 0@0 1@0
              readers see 0 ≤ hw 0, flushed 0, end 2; follows 1 in 0, fetches from 2 after term 0
            > records term=0 at=2 last=0 hw=2 start=0
              readers see 0 ≤ hw 2, flushed 0, end 2; follows 1 in 0, fetches from 2 after term 0
            > wait 1
              flush to 2
            > flushed
              readers see 0 ≤ hw 2, flushed 2, end 2; follows 1 in 0, fetches from 2 after term 0
        "#]],
    );
}

#[test]
fn a_topic_changed_to_fsync_has_the_next_fetch_wait_and_one_changed_to_os_lets_it_go() {
    let mut p = follower(Durability::Os);
    check(
        &p.run(
            "records term=0 at=0 last=- hw=0 start=0 0@0
             configure fsync
             flushed
             records term=0 at=1 last=0 hw=1 start=0 1@0
             configure os",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=0 start=0 0@0
              readers see 0 ≤ hw 0, flushed 0, end 1; follows 1 in 0, fetches from 1 after term 0
            > configure fsync
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; follows 1 in 0, waits for its flush
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; follows 1 in 0, fetches from 1 after term 0
            > records term=0 at=1 last=0 hw=1 start=0 1@0
              flush to 2
              readers see 0 ≤ hw 1, flushed 1, end 2; follows 1 in 0, waits for its flush
            > configure os
              readers see 0 ≤ hw 1, flushed 1, end 2; follows 1 in 0, fetches from 2 after term 0
        "#]],
    );
}

#[test]
fn answers_of_another_term_or_to_another_fetch_are_ignored() {
    let mut p = follower(Durability::Fsync);
    p.run("records term=0 at=0 last=- hw=0 start=0 0@0\nflushed");
    check(
        &p.run(
            "records term=0 at=0 last=- hw=9 start=0 0@0
             records term=1 at=1 last=0 hw=9 start=0 1@1
             assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
             records term=0 at=1 last=0 hw=9 start=0 1@0
             diverging term=0 at=1 last=0 common=- end=0
             out-of-range term=0 at=1 last=0 start=5 end=9",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=9 start=0 0@0
            > records term=1 at=1 last=0 hw=9 start=0 1@1
            > assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
              readers see 0 ≤ hw 0, flushed 1, end 1; follows 3 in 1, fetches from 1 after term 0
            > records term=0 at=1 last=0 hw=9 start=0 1@0
            > diverging term=0 at=1 last=0 common=- end=0
            > out-of-range term=0 at=1 last=0 start=5 end=9
        "#]],
    );
}

#[test]
fn an_answer_that_comes_twice_is_taken_once() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "records term=0 at=0 last=- hw=0 start=0 0@0
             records term=0 at=0 last=- hw=0 start=0 0@0
             flushed",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=0 start=0 0@0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; follows 1 in 0, waits for its flush
            > records term=0 at=0 last=- hw=0 start=0 0@0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; follows 1 in 0, fetches from 1 after term 0
        "#]],
    );
}

#[test]
fn what_a_later_leader_wrote_is_not_taken_in_this_term() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run("records term=0 at=0 last=- hw=0 start=0 0@0 1@1\nflushed"),
        &expect![[r#"
        > records term=0 at=0 last=- hw=0 start=0 0@0 1@1
          flush to 1
          readers see 0 ≤ hw 0, flushed 0, end 1; follows 1 in 0, waits for its flush
        > flushed
          readers see 0 ≤ hw 0, flushed 1, end 1; follows 1 in 0, fetches from 1 after term 0
    "#]],
    );
    assert_eq!(p.records(), "0@0");
}

#[test]
fn bad_batches_are_not_taken_and_what_comes_before_them_is() {
    let mut p = follower(Durability::Fsync);
    // Not where the log ends; then of a leader before the one that wrote the last record.
    check(
        &p.run(
            "records term=0 at=0 last=- hw=0 start=0 5@0
             records term=0 at=0 last=- hw=0 start=0 0@0
             flushed
             assign v=2 term=2 leader=1 replicas=1,2,3 isr=1,2,3
             records term=2 at=1 last=0 hw=0 start=0 1@2
             flushed
             records term=2 at=2 last=2 hw=0 start=0 2@1",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=0 start=0 5@0
              not copied: a batch starts at offset 5, but the log ends at 0
            > records term=0 at=0 last=- hw=0 start=0 0@0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; follows 1 in 0, waits for its flush
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; follows 1 in 0, fetches from 1 after term 0
            > assign v=2 term=2 leader=1 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 1, end 1; follows 1 in 2, fetches from 1 after term 0
            > records term=2 at=1 last=0 hw=0 start=0 1@2
              flush to 2
              readers see 0 ≤ hw 0, flushed 1, end 2; follows 1 in 2, waits for its flush
            > flushed
              readers see 0 ≤ hw 0, flushed 2, end 2; follows 1 in 2, fetches from 2 after term 2
            > records term=2 at=2 last=2 hw=0 start=0 2@1
              not copied: a batch has leader epoch Some(1), but the log has reached epoch 2
        "#]],
    );
}

#[test]
fn a_fetch_larger_than_a_segment_is_appended_in_portions() {
    let mut config = config(Durability::Fsync);
    config.log.segment_bytes = 200;
    let mut p = Scenario::on(2, config);
    p.run("assign v=1 term=0 leader=1 replicas=1,2 isr=1,2");
    check(
        &p.run("records term=0 at=0 last=- hw=0 start=0 0@0 1@0 2@0 3@0 4@0\nflushed"),
        &expect![[r#"
        > records term=0 at=0 last=- hw=0 start=0 0@0 1@0 2@0 3@0 4@0
          flush to 5
          readers see 0 ≤ hw 0, flushed 0, end 5; follows 1 in 0, waits for its flush
        > flushed
          readers see 0 ≤ hw 0, flushed 5, end 5; follows 1 in 0, fetches from 5 after term 0
    "#]],
    );
    assert_eq!(p.records(), "0@0 1@0 2@0 3@0 4@0");
    assert_eq!(p.partition.log().segment_count(), 3);
}

#[test]
fn a_follower_of_a_compacted_log_takes_its_gaps() {
    let mut config = config(Durability::Fsync);
    config.log.compacted = true;
    let mut p = Scenario::on(2, config);
    p.run("assign v=1 term=0 leader=1 replicas=1,2 isr=1,2");
    check(
        &p.run("records term=0 at=0 last=- hw=0 start=0 3@0 7@0\nflushed"),
        &expect![[r#"
        > records term=0 at=0 last=- hw=0 start=0 3@0 7@0
          flush to 8
          readers see 0 ≤ hw 0, flushed 0, end 8; follows 1 in 0, waits for its flush
        > flushed
          readers see 0 ≤ hw 0, flushed 8, end 8; follows 1 in 0, fetches from 8 after term 0
    "#]],
    );
    assert_eq!(p.records(), "3@0 7@0");
}

#[test]
fn a_failed_flush_takes_a_follower_offline() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "records term=0 at=0 last=- hw=0 start=0 0@0
             flush fails
             records term=0 at=1 last=0 hw=1 start=0 1@0
             assign v=2 term=1 leader=2 replicas=1,2,3 isr=2,3",
        ),
        &expect![[r#"
            > records term=0 at=0 last=- hw=0 start=0 0@0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; follows 1 in 0, waits for its flush
            > flush fails
              the directory has failed
              readers see 0 ≤ hw 0, flushed 0, end 1; offline
            > records term=0 at=1 last=0 hw=1 start=0 1@0
            > assign v=2 term=1 leader=2 replicas=1,2,3 isr=2,3
        "#]],
    );
}

#[test]
fn a_follower_serves_no_producer_no_deletion_and_no_follower() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run("produce p all\ndelete d before=-\nfetch from=3 term=0 at=0 last=-\nretain"),
        &expect![[r#"
            > produce p all
              p: refused: this broker does not lead the partition
            > delete d before=-
              d: not deleted: this broker does not lead the partition
            > fetch from=3 term=0 at=0 last=-
              broker 3: refused: this broker does not lead the partition
            > retain
        "#]],
    );
}

#[test]
fn a_broker_that_is_no_replica_any_more_follows_nobody() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "assign v=2 term=0 leader=1 replicas=1,3 isr=1,3
             records term=0 at=0 last=- hw=0 start=0 0@0",
        ),
        &expect![[r#"
            > assign v=2 term=0 leader=1 replicas=1,3 isr=1,3
              readers see 0 ≤ hw 0, flushed 0, end 0; does not lead
            > records term=0 at=0 last=- hw=0 start=0 0@0
        "#]],
    );
}

#[test]
fn a_partition_without_a_leader_waits_for_one() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "assign v=2 term=1 leader=none replicas=1,2,3 isr=1
             records term=0 at=0 last=- hw=0 start=0 0@0
             produce p all
             assign v=3 term=2 leader=3 replicas=1,2,3 isr=3",
        ),
        &expect![[r#"
            > assign v=2 term=1 leader=none replicas=1,2,3 isr=1
              readers see 0 ≤ hw 0, flushed 0, end 0; does not lead
            > records term=0 at=0 last=- hw=0 start=0 0@0
            > produce p all
              p: refused: this broker does not lead the partition
            > assign v=3 term=2 leader=3 replicas=1,2,3 isr=3
              readers see 0 ≤ hw 0, flushed 0, end 0; follows 3 in 2, fetches from 0 after term -
        "#]],
    );
}

#[test]
fn a_leader_that_is_replaced_fetches_once_its_own_flush_is_done_and_cuts_nothing_unasked() {
    let mut p = Scenario::on(1, config(Durability::Fsync));
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
             produce a all
             produce b all
             assign v=2 term=1 leader=2 replicas=1,2,3 isr=1,2,3
             flushed
             flushed",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce a all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > produce b all
              readers see 0 ≤ hw 0, flushed 0, end 2; leads 0 from 0
            > assign v=2 term=1 leader=2 replicas=1,2,3 isr=1,2,3
              a: refused: this broker does not lead the partition
              b: refused: this broker does not lead the partition
              readers see 0 ≤ hw 0, flushed 0, end 2; follows 2 in 1, waits for its flush
            > flushed
              flush to 2
              readers see 0 ≤ hw 0, flushed 1, end 2; follows 2 in 1, waits for its flush
            > flushed
              readers see 0 ≤ hw 0, flushed 2, end 2; follows 2 in 1, fetches from 2 after term 0
        "#]],
    );
    assert_eq!(p.records(), "0@0 1@0");
}

#[test]
fn a_copy_begins_with_the_batch_that_holds_the_leaders_first_record() {
    // Records before 7 were deleted, and 5 to 9 are one batch (KAFKA-6975).
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "out-of-range term=0 at=0 last=- start=7 end=11
             records term=0 at=7 last=- hw=11 start=7 5..9@0 10@0
             flushed
             records term=0 at=11 last=0 hw=11 start=7",
        ),
        &expect![[r#"
            > out-of-range term=0 at=0 last=- start=7 end=11
              readers see 7 ≤ hw 7, flushed 7, end 7; follows 1 in 0, fetches from 7 after term -
            > records term=0 at=7 last=- hw=11 start=7 5..9@0 10@0
              flush to 11
              readers see 5 ≤ hw 5, flushed 5, end 11; follows 1 in 0, waits for its flush
            > flushed
              readers see 7 ≤ hw 11, flushed 11, end 11; follows 1 in 0, fetches from 11 after term 0
            > records term=0 at=11 last=0 hw=11 start=7
        "#]],
    );
}

#[test]
fn a_log_that_was_cut_to_its_start_takes_a_batch_that_lies_around_it() {
    // An unclean leader has other batches there: one of them around what was the start here.
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "out-of-range term=0 at=0 last=- start=7 end=9
             records term=0 at=7 last=- hw=8 start=7 7..8@0
             flushed
             assign v=2 term=2 leader=3 replicas=1,2,3 isr=3
             diverging term=2 at=9 last=0 common=- end=7
             records term=2 at=7 last=- hw=9 start=3 6..8@1
             flushed
             records term=2 at=9 last=1 hw=9 start=3",
        ),
        &expect![[r#"
            > out-of-range term=0 at=0 last=- start=7 end=9
              readers see 7 ≤ hw 7, flushed 7, end 7; follows 1 in 0, fetches from 7 after term -
            > records term=0 at=7 last=- hw=8 start=7 7..8@0
              flush to 9
              readers see 7 ≤ hw 7, flushed 7, end 9; follows 1 in 0, waits for its flush
            > flushed
              readers see 7 ≤ hw 8, flushed 9, end 9; follows 1 in 0, fetches from 9 after term 0
            > assign v=2 term=2 leader=3 replicas=1,2,3 isr=3
              readers see 7 ≤ hw 8, flushed 9, end 9; follows 3 in 2, fetches from 9 after term 0
            > diverging term=2 at=9 last=0 common=- end=7
              readers see 7 ≤ hw 7, flushed 7, end 7; follows 3 in 2, fetches from 7 after term -
            > records term=2 at=7 last=- hw=9 start=3 6..8@1
              flush to 9
              readers see 6 ≤ hw 6, flushed 6, end 9; follows 3 in 2, waits for its flush
            > flushed
              readers see 6 ≤ hw 9, flushed 9, end 9; follows 3 in 2, fetches from 9 after term 1
            > records term=2 at=9 last=1 hw=9 start=3
        "#]],
    );
}

#[test]
fn a_batch_that_ends_before_the_log_does_is_not_taken() {
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "out-of-range term=0 at=0 last=- start=7 end=11
             records term=0 at=7 last=- hw=11 start=7 5..6@0",
        ),
        &expect![[r#"
            > out-of-range term=0 at=0 last=- start=7 end=11
              readers see 7 ≤ hw 7, flushed 7, end 7; follows 1 in 0, fetches from 7 after term -
            > records term=0 at=7 last=- hw=11 start=7 5..6@0
              not copied: a batch starts at offset 5, but the log ends at 7
        "#]],
    );
}

#[test]
fn a_copy_that_begins_behind_a_producers_batches_knows_them_all_the_same() {
    // Neither is in the records that are copied. Whoever leads next tells the first one again as written, and takes the next.
    let mut p = follower(Durability::Fsync);
    check(
        &p.run(
            "out-of-range term=0 at=0 last=- start=7 end=8 wrote=6@0#3
             records term=0 at=7 last=- hw=8 start=7 7@0
             flushed
             assign v=2 term=1 leader=2 replicas=1,2,3 isr=2
             produce again leader seq=3
             produce later leader seq=9
             produce next leader seq=4",
        ),
        &expect![[r#"
            > out-of-range term=0 at=0 last=- start=7 end=8 wrote=6@0#3
              readers see 7 ≤ hw 7, flushed 7, end 7; follows 1 in 0, fetches from 7 after term -
            > records term=0 at=7 last=- hw=8 start=7 7@0
              flush to 8
              readers see 7 ≤ hw 7, flushed 7, end 8; follows 1 in 0, waits for its flush
            > flushed
              readers see 7 ≤ hw 8, flushed 8, end 8; follows 1 in 0, fetches from 8 after term 0
            > assign v=2 term=1 leader=2 replicas=1,2,3 isr=2
              readers see 7 ≤ hw 8, flushed 8, end 8; leads 1 from 8
            > produce again leader seq=3
              again: written at 6
            > produce later leader seq=9
              later: refused: this broker does not lead the partition
            > produce next leader seq=4
              flush to 9
              readers see 7 ≤ hw 8, flushed 8, end 9; leads 1 from 8
        "#]],
    );
}

#[test]
fn a_log_that_loses_all_its_records_remembers_who_wrote_before_them() {
    let mut p = follower(Durability::Fsync);
    p.run(
        "out-of-range term=0 at=0 last=- start=7 end=8 wrote=6@0#3
         records term=0 at=7 last=- hw=7 start=7 7@0#4
         flushed",
    );
    check(
        &p.run(
            "assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
             diverging term=1 at=8 last=0 common=- end=7
             assign v=3 term=2 leader=2 replicas=1,2,3 isr=2
             produce again leader seq=3
             produce next leader seq=4",
        ),
        &expect![[r#"
            > assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
              readers see 7 ≤ hw 7, flushed 8, end 8; follows 3 in 1, fetches from 8 after term 0
            > diverging term=1 at=8 last=0 common=- end=7
              readers see 7 ≤ hw 7, flushed 7, end 7; follows 3 in 1, fetches from 7 after term -
            > assign v=3 term=2 leader=2 replicas=1,2,3 isr=2
              readers see 7 ≤ hw 7, flushed 7, end 7; leads 2 from 7
            > produce again leader seq=3
              again: written at 6
            > produce next leader seq=4
              flush to 8
              readers see 7 ≤ hw 7, flushed 7, end 8; leads 2 from 7
        "#]],
    );
}

#[test]
fn a_copy_that_ends_where_its_leaders_log_starts_begins_anew_if_it_is_told() {
    // Its records are all deleted there, and the leader cannot tell whether they were the same.
    let mut p = follower(Durability::Fsync);
    p.run("records term=0 at=0 last=- hw=0 start=0 0@0 1@0\nflushed");
    check(
        &p.run(
            "assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
             out-of-range term=1 at=2 last=0 start=2 end=3",
        ),
        &expect![[r#"
            > assign v=2 term=1 leader=3 replicas=1,2,3 isr=2,3
              readers see 0 ≤ hw 0, flushed 2, end 2; follows 3 in 1, fetches from 2 after term 0
            > out-of-range term=1 at=2 last=0 start=2 end=3
              readers see 2 ≤ hw 2, flushed 2, end 2; follows 3 in 1, fetches from 2 after term -
        "#]],
    );
}
