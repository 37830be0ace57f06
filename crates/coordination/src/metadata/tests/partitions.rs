//! In-sync replicas and elections.

use expect_test::expect;

use super::*;

const TWO: &str = "
    register 1
    unfence 1
    register 2
    unfence 2
    create t on=1,2
";

#[test]
fn a_leader_shrinks_and_grows_its_in_sync_replicas() {
    check(
        &format!(
            "
            {TWO}
            isr t-0 by=1 to=1
            isr t-0 by=1 to=1,2
            show
            "
        ),
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2 => ("t", 1, 2)
            isr t-0 by=1 to=1 => (Some(1), 0, [1], 1)
            isr t-0 by=1 to=1,2 => (Some(1), 0, [1, 2], 2)
              broker 1@2
              broker 2@4
              t-0: [1, 2] / [1, 2] / 1 @0 .2
        "#]],
    );
}

/// A copy of what was refused may come when the member that it names is eligible (ADR 0067).
#[test]
fn what_was_refused_is_refused_for_good() {
    check(
        &format!(
            "
            {TWO}
            isr t-0 by=1 to=1
            fence 2
            isr t-0 by=1 to=1,2 partition-epoch=1
            unfence 2
            isr t-0 by=1 to=1,2 partition-epoch=1
            show
            isr t-0 by=1 to=1,2
            "
        ),
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2 => ("t", 1, 2)
            isr t-0 by=1 to=1 => (Some(1), 0, [1], 1)
            fence 2 => ()
            isr t-0 by=1 to=1,2 partition-epoch=1 => error: The new ISR contains at least one ineligible replica.
            unfence 2 => ()
            isr t-0 by=1 to=1,2 partition-epoch=1 => error: The given update version was invalid.
              broker 1@2
              broker 2@4
              t-0: [1, 2] / [1] / 1 @0 .2
            isr t-0 by=1 to=1,2 => (Some(1), 0, [1, 2], 3)
        "#]],
    );
}

#[test]
fn changes_that_are_fenced() {
    check(
        &format!(
            "
            {TWO}
            isr t-0 by=2 to=2
            isr t-0 by=1 to=1 leader-epoch=7
            isr t-0 by=1 to=1 partition-epoch=7
            isr t-0 by=1 to=2
            isr t-0 by=1 to=
            isr t-0 by=1 to=1,1
            isr t-0 by=1 to=1,3
            isr t-1 by=1 to=1
            isr u-0 by=1 to=1
            isr t-0 by=3 to=1
            isr t-0 by=1 to=1,2 member-epoch=0
            isr t-0 by=1 to=1
            register 2 run=second
            isr t-0 by=1 to=1,2
            unfence 2
            isr t-0 by=1 to=1,2
            shutdown 2
            isr t-0 by=1 to=1,2
            show
            "
        ),
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2 => ("t", 1, 2)
            isr t-0 by=2 to=2 => error: The leader epoch in the request is older than the epoch on the broker.
            isr t-0 by=1 to=1 leader-epoch=7 => error: The leader epoch in the request is older than the epoch on the broker.
            isr t-0 by=1 to=1 partition-epoch=7 => error: The given update version was invalid.
            isr t-0 by=1 to=2 => error: The in-sync replicas must be replicas of the partition and include its leader.
            isr t-0 by=1 to= => error: The in-sync replicas must be replicas of the partition and include its leader.
            isr t-0 by=1 to=1,1 => error: The in-sync replicas must be replicas of the partition and include its leader.
            isr t-0 by=1 to=1,3 => error: The in-sync replicas must be replicas of the partition and include its leader.
            isr t-1 by=1 to=1 => error: This server does not host this topic-partition.
            isr u-0 by=1 to=1 => error: This server does not host this topic ID.
            isr t-0 by=3 to=1 => error: Broker ID 3 is not currently registered
            isr t-0 by=1 to=1,2 member-epoch=0 => error: The new ISR contains at least one ineligible replica.
            isr t-0 by=1 to=1 => (Some(1), 0, [1], 2)
            register 2 run=second => 19
            isr t-0 by=1 to=1,2 => error: The new ISR contains at least one ineligible replica.
            unfence 2 => ()
            isr t-0 by=1 to=1,2 => (Some(1), 0, [1, 2], 4)
            shutdown 2 => ()
            isr t-0 by=1 to=1,2 => error: The new ISR contains at least one ineligible replica.
              broker 1@2
              broker 2@19 shutting down
              t-0: [1, 2] / [1] / 1 @0 .6
        "#]],
    );
}

#[test]
fn the_preferred_leader_takes_over_when_asked() {
    check(
        &format!(
            "
            {TWO}
            elect t-0
            fence 1
            elect t-0
            unfence 1
            elect t-0
            isr t-0 by=2 to=2,1
            elect t-0
            elect t-1
            elect u-0
            elect all
            elect t-0 unclean
            show
            "
        ),
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2 => ("t", 1, 2)
            elect t-0 => t-0: error: Leader election not needed for topic partition.
            fence 1 => ()
            elect t-0 => t-0: error: The preferred leader was not available.
            unfence 1 => ()
            elect t-0 => t-0: error: The preferred leader was not available.
            isr t-0 by=2 to=2,1 => (Some(2), 1, [2, 1], 2)
            elect t-0 => t-0: ()
            elect t-1 => t-1: error: No such partition as t-1
            elect u-0 => u-0: error: No such topic as u
            elect all => 
            elect t-0 unclean => t-0: error: Leader election not needed for topic partition.
              broker 1@2
              broker 2@4
              t-0: [1, 2] / [2, 1] / 1 @2 .3
        "#]],
    );
}

#[test]
fn an_unclean_election_happens_only_where_it_is_allowed() {
    check(
        &format!(
            "
            {TWO}
            isr t-0 by=1 to=1
            fence 1
            show
            elect t-0 unclean
            show
            "
        ),
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2 => ("t", 1, 2)
            isr t-0 by=1 to=1 => (Some(1), 0, [1], 1)
            fence 1 => ()
              broker 1@2 fenced
              broker 2@4
              t-0: [1, 2] / [1] / none @1 .2
            elect t-0 unclean => t-0: ()
              broker 1@2 fenced
              broker 2@4
              t-0: [1, 2] / [2] / 2 @2 .3
        "#]],
    );
    check(
        &format!(
            "
            {TWO}
            config topic:t unclean.leader.election.enable=true
            isr t-0 by=1 to=1
            fence 1
            show
            "
        ),
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2 => ("t", 1, 2)
            config topic:t unclean.leader.election.enable=true => ()
            isr t-0 by=1 to=1 => (Some(1), 0, [1], 1)
            fence 1 => ()
              broker 1@2 fenced
              broker 2@4
              t-0: [1, 2] / [2] / 2 @1 .2
              t {"unclean.leader.election.enable": "true"}
        "#]],
    );
}
