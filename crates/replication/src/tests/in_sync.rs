//! Who is in sync: what a leader proposes, and what counts until it is decided.

use std::time::Duration;

use expect_test::expect;
use ottla_record::Monotonic;

use super::{Scenario, check};
use crate::Durability;

/// Broker 1 leads term 1 alone in sync, with one record of term 0 and one of its own on the disk.
pub(super) fn alone_in_sync() -> Scenario {
    let mut p = Scenario::new(Durability::Fsync);
    p.run(
        "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1
         produce old none
         flushed
         assign v=2 term=1 leader=1 replicas=1,2,3 isr=1
         produce own none
         flushed",
    );
    p
}

/// Broker 1 leads term 0 with everybody in sync and nothing written.
pub(super) fn all_in_sync() -> Scenario {
    let mut p = Scenario::new(Durability::Fsync);
    p.run(
        "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2,3
         fetch from=2 term=0 at=0 last=-
         fetch from=3 term=0 at=0 last=-",
    );
    p
}

#[test]
fn a_follower_is_proposed_once_it_has_reached_the_start_of_the_term() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=0 last=-
             fetch from=2 term=1 at=1 last=0
             accepted on=2 v=3 isr=1,2
             fetch from=2 term=1 at=2 last=1",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=0 last=-
              broker 2: leader has 0 ≤ hw 0, end 2
            > fetch from=2 term=1 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > accepted on=2 v=3 isr=1,2
              readers see 0 ≤ hw 1, flushed 2, end 2; leads 1 from 1
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 2, end 2
              readers see 0 ≤ hw 2, flushed 2, end 2; leads 1 from 1
        "#]],
    );
}

#[test]
fn a_follower_is_proposed_only_once_it_has_all_that_is_committed() {
    let mut p = Scenario::new(Durability::Fsync);
    p.run(
        "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
         produce a all
         produce b all
         flushed
         flushed
         fetch from=2 term=0 at=2 last=0",
    );
    check(
        &p.run("fetch from=3 term=0 at=1 last=0\nfetch from=3 term=0 at=2 last=0"),
        &expect![[r#"
        > fetch from=3 term=0 at=1 last=0
          broker 3: leader has 0 ≤ hw 2, end 2
        > fetch from=3 term=0 at=2 last=0
          broker 3: leader has 0 ≤ hw 2, end 2
          propose in sync: 1, 2 (registered 7), 3 (registered 7); in term 0 on version 1
    "#]],
    );
}

#[test]
fn one_proposal_is_out_at_a_time_and_the_next_follows() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=2 last=1
             fetch from=3 term=1 at=2 last=1
             accepted on=2 v=3 isr=1,2
             accepted on=3 v=4 isr=1,2,3",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > fetch from=3 term=1 at=2 last=1
              broker 3: leader has 0 ≤ hw 0, end 2
            > accepted on=2 v=3 isr=1,2
              propose in sync: 1, 2 (registered 7), 3 (registered 7); in term 1 on version 3
              readers see 0 ≤ hw 2, flushed 2, end 2; leads 1 from 1
            > accepted on=3 v=4 isr=1,2,3
        "#]],
    );
}

#[test]
fn a_member_that_is_to_join_counts_from_the_moment_it_is_proposed() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
             fetch from=2 term=0 at=0 last=-
             fetch from=3 term=0 at=0 last=-
             produce waits all
             flushed
             fetch from=2 term=0 at=1 last=0
             fetch from=3 term=0 at=1 last=0",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > fetch from=2 term=0 at=0 last=-
              broker 2: leader has 0 ≤ hw 0, end 0
            > fetch from=3 term=0 at=0 last=-
              broker 3: leader has 0 ≤ hw 0, end 0
              propose in sync: 1, 2 (registered 7), 3 (registered 7); in term 0 on version 1
            > produce waits all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > fetch from=3 term=0 at=1 last=0
              broker 3: leader has 0 ≤ hw 1, end 1
              waits: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_member_that_is_to_leave_counts_until_it_has_left() {
    let mut p = all_in_sync();
    check(
        &p.run(
            "produce waits all
             flushed
             fetch from=2 term=0 at=1 last=0
             wait 29
             fetch from=2 term=0 at=1 last=0
             wait 1
             fetch from=2 term=0 at=1 last=0
             accepted on=1 v=2 isr=1,2",
        ),
        &expect![[r#"
            > produce waits all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > wait 29
              checkpoint at 1
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > wait 1
              waits: refused: the records were not flushed and replicated before the deadline
              propose in sync: 1, 2 (registered 7); in term 0 on version 1
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > accepted on=1 v=2 isr=1,2
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn whoever_has_everything_stays_however_long_it_is_silent() {
    let mut p = all_in_sync();
    assert_eq!(p.partition.next_deadline(), Monotonic::NEVER);
    check(
        &p.run("wait 1000\nwait 1000"),
        &expect![[r#"
        > wait 1000
        > wait 1000
    "#]],
    );
}

#[test]
fn a_leader_without_controller_and_followers_refuses_what_they_would_have_to_confirm() {
    let mut p = all_in_sync();
    check(
        &p.run(
            "produce a all
             flushed
             session over
             wait 1
             produce b all
             produce c leader
             flushed
             fetch from=2 term=0 at=0 last=-
             produce d all
             flushed
             wait 2
             session open
             produce e all",
        ),
        &expect![[r#"
            > produce a all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > session over
            > wait 1
              a: refused: this broker is cut off from the others, and another may lead the partition by now
              checkpoint at 1
            > produce b all
              b: refused: this broker is cut off from the others, and another may lead the partition by now
            > produce c leader
              flush to 2
              readers see 0 ≤ hw 0, flushed 1, end 2; leads 0 from 0
            > flushed
              c: written at 1
              readers see 0 ≤ hw 0, flushed 2, end 2; leads 0 from 0
            > fetch from=2 term=0 at=0 last=-
              broker 2: leader has 0 ≤ hw 0, end 2
            > produce d all
              flush to 3
              readers see 0 ≤ hw 0, flushed 2, end 3; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 3, end 3; leads 0 from 0
            > wait 2
              d: refused: this broker is cut off from the others, and another may lead the partition by now
            > session open
            > produce e all
              flush to 4
              readers see 0 ≤ hw 0, flushed 3, end 4; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_leader_without_controller_goes_on_with_followers_and_alone() {
    let mut p = all_in_sync();
    p.run("session over\nwait 5\nfetch from=2 term=0 at=0 last=-\nfetch from=3 term=0 at=0 last=-");
    assert!(!p.run("produce a all").contains("cut off"));
    let mut p = alone_in_sync();
    p.run("session over\nwait 5");
    assert!(!p.run("produce a all").contains("cut off"));
}

#[test]
fn a_follower_that_keeps_up_with_a_busy_leader_stays() {
    let mut p = all_in_sync();
    // Each fetch asks from where the log ended at the one before: behind at every moment, and never behind for long.
    check(
        &p.run(
            "assign v=2 term=0 leader=1 replicas=1,2 isr=1,2
             produce a none
             fetch from=2 term=0 at=0 last=-
             wait 10
             produce b none
             fetch from=2 term=0 at=1 last=0
             wait 10
             produce c none
             fetch from=2 term=0 at=2 last=0
             wait 10
             produce d none
             fetch from=2 term=0 at=3 last=0
             wait 19
             wait 1",
        ),
        &expect![[r#"
            > assign v=2 term=0 leader=1 replicas=1,2 isr=1,2
            > produce a none
              a: written at 0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > fetch from=2 term=0 at=0 last=-
              broker 2: leader has 0 ≤ hw 0, end 1
            > wait 10
            > produce b none
              b: written at 1
              readers see 0 ≤ hw 0, flushed 0, end 2; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 2
            > wait 10
            > produce c none
              c: written at 2
              readers see 0 ≤ hw 0, flushed 0, end 3; leads 0 from 0
            > fetch from=2 term=0 at=2 last=0
              broker 2: leader has 0 ≤ hw 0, end 3
            > wait 10
            > produce d none
              d: written at 3
              readers see 0 ≤ hw 0, flushed 0, end 4; leads 0 from 0
            > fetch from=2 term=0 at=3 last=0
              broker 2: leader has 0 ≤ hw 0, end 4
            > wait 19
            > wait 1
              propose in sync: 1; in term 0 on version 2
        "#]],
    );
}

#[test]
fn a_member_that_has_never_fetched_in_the_term_lags_from_its_beginning() {
    let mut p = Scenario::new(Durability::Fsync);
    p.run("assign v=1 term=0 leader=1 replicas=1,2 isr=1,2");
    assert_eq!(p.partition.next_deadline(), Monotonic::from_start(Duration::from_secs(31)));
    check(
        &p.run("wait 30\naccepted on=1 v=2 isr=1\nproduce one leader"),
        &expect![[r#"
        > wait 30
          propose in sync: 1; in term 0 on version 1
        > accepted on=1 v=2 isr=1
        > produce one leader
          flush to 1
          readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
    "#]],
    );
}

#[test]
fn the_leader_is_never_proposed_to_leave() {
    let mut p = all_in_sync();
    check(
        &p.run("produce waits none\nwait 30\naccepted on=1 v=2 isr=1\nwait 1000"),
        &expect![[r#"
        > produce waits none
          waits: written at 0
          flush to 1
          readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
        > wait 30
          propose in sync: 1; in term 0 on version 1
        > accepted on=1 v=2 isr=1
        > wait 1000
    "#]],
    );
}

#[test]
fn a_proposal_of_unknown_fate_counts_and_is_sent_again() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
             fetch from=3 term=0 at=0 last=-
             refused on=1 retry
             produce waits all
             flushed
             fetch from=2 term=0 at=1 last=0
             wait 1
             fetch from=3 term=0 at=1 last=0",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > fetch from=3 term=0 at=0 last=-
              broker 3: leader has 0 ≤ hw 0, end 0
              propose in sync: 1, 2, 3 (registered 7); in term 0 on version 1
            > refused on=1 retry
            > produce waits all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > wait 1
              propose in sync: 1, 2, 3 (registered 7); in term 0 on version 1
              checkpoint at 1
            > fetch from=3 term=0 at=1 last=0
              broker 3: leader has 0 ≤ hw 1, end 1
              waits: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_proposal_on_an_old_version_counts_until_the_new_one_is_heard_of() {
    let mut p = Scenario::new(Durability::Fsync);
    check(
        &p.run(
            "assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
             fetch from=3 term=0 at=0 last=-
             refused on=1 fenced
             produce waits all
             flushed
             fetch from=2 term=0 at=1 last=0
             wait 1
             assign v=2 term=0 leader=1 replicas=1,2,3 isr=1,2",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > fetch from=3 term=0 at=0 last=-
              broker 3: leader has 0 ≤ hw 0, end 0
              propose in sync: 1, 2, 3 (registered 7); in term 0 on version 1
            > refused on=1 fenced
            > produce waits all
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > fetch from=2 term=0 at=1 last=0
              broker 2: leader has 0 ≤ hw 0, end 1
            > wait 1
              checkpoint at 1
            > assign v=2 term=0 leader=1 replicas=1,2,3 isr=1,2
              waits: written at 0
              readers see 0 ≤ hw 1, flushed 1, end 1; leads 0 from 0
        "#]],
    );
}

#[test]
fn a_member_that_was_refused_must_fetch_again_and_waits_a_while() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=2 last=1
             refused on=2 ineligible
             fetch from=2 term=1 at=2 last=1
             wait 1
             refused on=2 rejected
             wait 1
             fetch from=2 term=1 at=2 last=1",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > refused on=2 ineligible
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
            > wait 1
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
              checkpoint at 2
            > refused on=2 rejected
            > wait 1
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
        "#]],
    );
}

/// A refusal makes a new version, which the leader may hear of first.
#[test]
fn a_refusal_counts_when_its_own_new_version_has_overtaken_it() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=2 last=1
             assign v=3 term=1 leader=1 replicas=1,2,3 isr=1
             refused on=2 ineligible
             assign v=4 term=1 leader=1 replicas=1,2,3 isr=1
             refused on=3 ineligible
             fetch from=2 term=1 at=2 last=1
             wait 1
             assign v=5 term=1 leader=1 replicas=1,2,3 isr=1
             refused on=4 fenced",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > assign v=3 term=1 leader=1 replicas=1,2,3 isr=1
              propose in sync: 1, 2 (registered 7); in term 1 on version 3
            > refused on=2 ineligible
            > assign v=4 term=1 leader=1 replicas=1,2,3 isr=1
            > refused on=3 ineligible
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
            > wait 1
              propose in sync: 1, 2 (registered 7); in term 1 on version 4
              checkpoint at 2
            > assign v=5 term=1 leader=1 replicas=1,2,3 isr=1
              propose in sync: 1, 2 (registered 7); in term 1 on version 5
            > refused on=4 fenced
        "#]],
    );
}

#[test]
fn whoever_is_refused_again_and_again_does_not_keep_others_out() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=2 last=1
             refused on=2 ineligible
             fetch from=3 term=1 at=2 last=1
             fetch from=2 term=1 at=2 last=1
             wait 1
             refused on=2 ineligible
             fetch from=2 term=1 at=2 last=1
             fetch from=3 term=1 at=2 last=1
             wait 1
             accepted on=2 v=3 isr=1,3",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > refused on=2 ineligible
            > fetch from=3 term=1 at=2 last=1
              broker 3: leader has 0 ≤ hw 0, end 2
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
            > wait 1
              propose in sync: 1, 3 (registered 7); in term 1 on version 2
              checkpoint at 2
            > refused on=2 ineligible
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
            > fetch from=3 term=1 at=2 last=1
              broker 3: leader has 0 ≤ hw 0, end 2
            > wait 1
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > accepted on=2 v=3 isr=1,3
              propose in sync: 1, 2 (registered 7), 3 (registered 7); in term 1 on version 3
              readers see 0 ≤ hw 2, flushed 2, end 2; leads 1 from 1
        "#]],
    );
}

#[test]
fn an_answer_to_another_proposal_is_ignored() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "accepted on=2 v=3 isr=1,2
             fetch from=2 term=1 at=2 last=1
             accepted on=1 v=9 isr=1,2,3
             refused on=1 ineligible
             assign v=3 term=1 leader=1 replicas=1,2,3 isr=1,2
             accepted on=2 v=3 isr=1
             produce counted all",
        ),
        &expect![[r#"
            > accepted on=2 v=3 isr=1,2
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > accepted on=1 v=9 isr=1,2,3
            > refused on=1 ineligible
            > assign v=3 term=1 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 2, flushed 2, end 2; leads 1 from 1
            > accepted on=2 v=3 isr=1
            > produce counted all
              flush to 3
              readers see 0 ≤ hw 2, flushed 2, end 3; leads 1 from 1
        "#]],
    );
}

#[test]
fn an_image_that_is_behind_the_answer_changes_nothing() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=2 last=1
             accepted on=2 v=3 isr=1,2
             assign v=2 term=1 leader=1 replicas=1,2,3 isr=1
             assign v=3 term=1 leader=1 replicas=1,2,3 isr=1,2
             produce counted all",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > accepted on=2 v=3 isr=1,2
              readers see 0 ≤ hw 2, flushed 2, end 2; leads 1 from 1
            > assign v=2 term=1 leader=1 replicas=1,2,3 isr=1
            > assign v=3 term=1 leader=1 replicas=1,2,3 isr=1,2
            > produce counted all
              flush to 3
              readers see 0 ≤ hw 2, flushed 2, end 3; leads 1 from 1
        "#]],
    );
}

#[test]
fn whoever_was_taken_out_must_fetch_again_to_return() {
    let mut p = all_in_sync();
    // The controller fenced 3; its end would do, if it still were there.
    check(
        &p.run(
            "assign v=2 term=0 leader=1 replicas=1,2,3 isr=1,2
             tick
             fetch from=3 term=0 at=0 last=- broker=8",
        ),
        &expect![[r#"
            > assign v=2 term=0 leader=1 replicas=1,2,3 isr=1,2
            > tick
            > fetch from=3 term=0 at=0 last=- broker=8
              broker 3: leader has 0 ≤ hw 0, end 0
              propose in sync: 1, 2 (registered 7), 3 (registered 8); in term 0 on version 2
        "#]],
    );
}

#[test]
fn a_replica_that_may_have_been_taken_away_and_given_back_must_fetch_again() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=2 last=1
             fetch from=3 term=1 at=2 last=1
             assign v=5 term=1 leader=1 replicas=1,2,3 isr=1,2
             fetch from=3 term=1 at=0 last=-",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > fetch from=3 term=1 at=2 last=1
              broker 3: leader has 0 ≤ hw 0, end 2
            > assign v=5 term=1 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 2, flushed 2, end 2; leads 1 from 1
            > fetch from=3 term=1 at=0 last=-
              broker 3: leader has 0 ≤ hw 2, end 2
        "#]],
    );
}

#[test]
fn the_next_term_begins_without_the_last_ones_proposal() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "fetch from=2 term=1 at=2 last=1
             assign v=3 term=2 leader=1 replicas=1,2,3 isr=1
             accepted on=2 v=4 isr=1,2
             fetch from=2 term=2 at=2 last=1",
        ),
        &expect![[r#"
            > fetch from=2 term=1 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 1 on version 2
            > assign v=3 term=2 leader=1 replicas=1,2,3 isr=1
              readers see 0 ≤ hw 0, flushed 2, end 2; leads 2 from 2
            > accepted on=2 v=4 isr=1,2
            > fetch from=2 term=2 at=2 last=1
              broker 2: leader has 0 ≤ hw 0, end 2
              propose in sync: 1, 2 (registered 7); in term 2 on version 3
        "#]],
    );
}
