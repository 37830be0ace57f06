//! Who is in sync: what a leader proposes, and what counts until it is decided.

use std::time::Duration;

use expect_test::expect;
use ottla_record::Monotonic;

use super::{Scenario, check};
use crate::Durability;

/// Broker 1 leads term 1 alone in sync, with one record of term 0 and one of its own on the disk.
fn alone_in_sync() -> Scenario {
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
fn all_in_sync() -> Scenario {
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
        &expect![[]],
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
    check(&p.run("fetch from=3 term=0 at=1 last=0\nfetch from=3 term=0 at=2 last=0"), &expect![[]]);
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
        &expect![[]],
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
        &expect![[]],
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
             accepted on=1 v=2 isr=1,2",
        ),
        &expect![[]],
    );
}

#[test]
fn whoever_has_everything_stays_however_long_it_is_silent() {
    let mut p = all_in_sync();
    assert_eq!(p.partition.next_deadline(), Monotonic::NEVER);
    check(&p.run("wait 1000\nwait 1000"), &expect![[]]);
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
             wait 20
             produce b none
             fetch from=2 term=0 at=1 last=0
             wait 20
             produce c none
             fetch from=2 term=0 at=2 last=0
             wait 29
             wait 1",
        ),
        &expect![[]],
    );
}

#[test]
fn a_member_that_has_never_fetched_in_the_term_lags_from_its_beginning() {
    let mut p = Scenario::new(Durability::Fsync);
    p.run("assign v=1 term=0 leader=1 replicas=1,2 isr=1,2");
    assert_eq!(p.partition.next_deadline(), Monotonic::from_start(Duration::from_secs(31)));
    check(&p.run("wait 30\naccepted on=1 v=2 isr=1\nproduce one leader"), &expect![[]]);
}

#[test]
fn the_leader_is_never_proposed_to_leave() {
    let mut p = all_in_sync();
    check(&p.run("produce waits none\nwait 30\naccepted on=1 v=2 isr=1\nwait 1000"), &expect![[]]);
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
        &expect![[]],
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
        &expect![[]],
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
        &expect![[]],
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
        &expect![[]],
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
        &expect![[]],
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
        &expect![[]],
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
        &expect![[]],
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
        &expect![[]],
    );
}
