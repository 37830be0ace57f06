//! Stories of classic groups.

use expect_test::expect;

use super::story::{World, check, settings};

#[test]
fn two_members_meet_within_the_initial_delay_and_share_one_generation() {
    check(
        "
        join a
        join a
        join b
        join b
        wait 6
        sync b
        sync a assign=a:t0,b:t1
        beat a
        beat b
        show
        ",
        expect![[r#"
            join a
                0s a: MemberIdRequired
            join a
            join b
                0s b: MemberIdRequired
            join b
            wait 6
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync b
            sync a assign=a:t0,b:t1
                6s: writes generation 1 [a:t0 b:t1]
                6s a: has [t0]
                6s b: has [t1]
            beat a
                6s a: ok
            beat b
                6s b: ok
            show
                Stable 'consumer' by range [a:t0 b:t1]
        "#]],
    );
}

#[test]
fn members_that_join_at_once_are_known_by_the_ids_they_were_given() {
    check(
        "
        join a
        join b
        join c
        join c
        join a
        join b
        wait 9
        join d
        join b
        join d
        join c
        join a
        join b
        ",
        expect![[r#"
            join a
                0s a: MemberIdRequired
            join b
                0s b: MemberIdRequired
            join c
                0s c: MemberIdRequired
            join c
            join a
            join b
            wait 9
                6s a: joined 1 by range
                6s b: joined 1 by range
                6s c: joined 1 by range, leads {"a", "b", "c"}
            join d
                9s d: MemberIdRequired
            join b
                9s b: joined 1 by range
            join d
            join c
            join a
            join b
                9s a: joined 2 by range
                9s b: joined 2 by range
                9s c: joined 2 by range, leads {"a", "b", "c", "d"}
                9s d: joined 2 by range
        "#]],
    );
}

#[test]
fn a_third_member_makes_everyone_join_again() {
    check(
        "
        join a old
        join b old
        wait 9
        sync a assign=a:t0,b:t1
        sync b
        join c
        join c
        beat a
        join a
        sync b
        beat b
        join b
        sync a assign=a:t0,b:t1,c:t2
        sync b
        sync c
        show
        ",
        expect![[r#"
            join a old
            join b old
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            sync b
                9s b: has [t1]
            join c
                9s c: MemberIdRequired
            join c
            beat a
                9s a: RebalanceInProgress
            join a
            sync b
                9s b: RebalanceInProgress
            beat b
                9s b: RebalanceInProgress
            join b
                9s a: joined 2 by range, leads {"a", "b", "c"}
                9s b: joined 2 by range
                9s c: joined 2 by range
            sync a assign=a:t0,b:t1,c:t2
                9s: writes generation 2 [a:t0 b:t1 c:t2]
                9s a: has [t0]
            sync b
                9s b: has [t1]
            sync c
                9s c: has [t2]
            show
                Stable 'consumer' by range [a:t0 b:t1 c:t2]
        "#]],
    );
}

#[test]
fn a_member_that_falls_silent_is_out_and_the_others_take_over() {
    check(
        "
        join a old
        join b old
        wait 9
        sync a assign=a:t0,b:t1
        sync b
        wait 6
        beat a
        wait 6
        beat b
        beat a
        join a
        sync a assign=a:t0t1
        show
        wait 20
        show
        ",
        expect![[r#"
            join a old
            join b old
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            sync b
                9s b: has [t1]
            wait 6
            beat a
                15s a: ok
            wait 6
            beat b
                21s b: UnknownMemberId
            beat a
                21s a: RebalanceInProgress
            join a
                21s a: joined 2 by range, leads {"a"}
            sync a assign=a:t0t1
                21s: writes generation 2 [a:t0t1]
                21s a: has [t0t1]
            show
                Stable 'consumer' by range [a:t0t1]
            wait 20
                31s: writes generation 3 []
            show
                Empty 'consumer' by - []
        "#]],
    );
}

#[test]
fn a_member_that_does_not_come_back_in_time_is_left_out() {
    check(
        "
        join a old rebalance=12
        join b old rebalance=12
        wait 9
        sync a assign=a:t0,b:t1
        sync b
        join a rebalance=12 topics=u
        wait 6
        beat b
        wait 5
        beat b
        wait 1
        beat b
        show
        ",
        expect![[r#"
            join a old rebalance=12
            join b old rebalance=12
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            sync b
                9s b: has [t1]
            join a rebalance=12 topics=u
            wait 6
            beat b
                15s b: RebalanceInProgress
            wait 5
            beat b
                20s b: RebalanceInProgress
            wait 1
                21s a: joined 2 by range, leads {"a"}
            beat b
                21s b: UnknownMemberId
            show
                CompletingRebalance 'consumer' by - [a:t0]
        "#]],
    );
}

#[test]
fn a_member_that_never_syncs_is_left_out() {
    check(
        "
        join a old rebalance=8
        join b old rebalance=8
        wait 9
        sync a assign=a:t0,b:t1
        beat b
        wait 8
        beat b
        show
        ",
        expect![[r#"
            join a old rebalance=8
            join b old rebalance=8
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            beat b
                9s b: ok
            wait 8
            beat b
                17s b: UnknownMemberId
            show
                PreparingRebalance 'consumer' by - [a:t0]
        "#]],
    );
}

#[test]
fn a_static_member_returns_to_its_partitions_without_a_rebalance() {
    check(
        "
        join a static=one
        join b static=two
        wait 9
        sync a static=one assign=a:t0,b:t1
        sync b static=two
        join a2 static=one
        beat a static=one
        sync a2 static=one
        join b2 static=two
        sync b2 static=two
        commit b static=two t-0=5
        commit b2 static=two t-0=6
        show
        reload
        beat a2 static=one
        show
        ",
        expect![[r#"
            join a static=one
            join b static=two
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a static=one assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            sync b static=two
                9s b: has [t1]
            join a2 static=one
                9s: writes generation 1 [a2:t0 b:t1]
                9s a2: joined 1 by range, leads {"a2", "b"}, skips assignment
            beat a static=one
                9s a: FencedInstanceId
            sync a2 static=one
                9s a2: has [t0]
            join b2 static=two
                9s: writes generation 1 [a2:t0 b2:t1]
                9s b2: joined 1 by range
            sync b2 static=two
                9s b2: has [t1]
            commit b static=two t-0=5
                9s b: FencedInstanceId
            commit b2 static=two t-0=6
                9s: writes t-0=6
                9s b2: ok
            show
                Stable 'consumer' by range [a2:t0 b2:t1]
            reload
            beat a2 static=one
                9s a2: ok
            show
                Stable 'consumer' by range [a2:t0 b2:t1]
        "#]],
    );
}

#[test]
fn a_static_leader_whose_client_cannot_skip_is_not_told_that_it_leads() {
    check(
        "
        join a static=one
        wait 4
        sync a static=one assign=a:t0
        join a2 static=one old
        sync a2 static=one
        ",
        expect![[r#"
            join a static=one
            wait 4
                3s a: joined 1 by range, leads {"a"}
            sync a static=one assign=a:t0
                4s: writes generation 1 [a:t0]
                4s a: has [t0]
            join a2 static=one old
                4s: writes generation 1 [a2:t0]
                4s a2: joined 1 by range
            sync a2 static=one
                4s a2: has [t0]
        "#]],
    );
}

#[test]
fn a_static_member_with_other_strategies_makes_the_group_choose_again() {
    check(
        "
        join a static=one by=range,sticky
        join b static=two by=range,sticky
        wait 9
        sync a static=one assign=a:t0,b:t1
        join b2 static=two by=sticky
        beat a static=one
        join a static=one by=range,sticky
        show
        ",
        expect![[r#"
            join a static=one by=range,sticky
            join b static=two by=range,sticky
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a static=one assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            join b2 static=two by=sticky
            beat a static=one
                9s a: RebalanceInProgress
            join a static=one by=range,sticky
                9s a: joined 2 by sticky, leads {"a", "b2"}
                9s b2: joined 2 by sticky
            show
                CompletingRebalance 'consumer' by - [a:t0 b2:t1]
        "#]],
    );
}

#[test]
fn an_administrator_removes_a_static_member_by_name() {
    check(
        "
        join a static=one
        join b static=two
        wait 9
        sync a static=one assign=a:t0,b:t1
        leave a static=one
        leave a static=one
        leave nobody
        beat b static=two
        ",
        expect![[r#"
            join a static=one
            join b static=two
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a static=one assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            leave a static=one
                9s a: left
            leave a static=one
                9s a: UnknownMemberId
            leave nobody
                9s nobody: UnknownMemberId
            beat b static=two
                9s b: RebalanceInProgress
        "#]],
    );
}

#[test]
fn several_leave_at_once_and_the_group_is_empty_and_remembered() {
    check(
        "
        join a old
        join b old
        wait 9
        sync a assign=a:t0,b:t1
        leave a,b
        show
        reload
        show
        beat a
        ",
        expect![[r#"
            join a old
            join b old
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            leave a,b
                9s: writes generation 2 []
                9s a,b: left, left
            show
                Empty 'consumer' by - []
            reload
            show
                Empty 'consumer' by - []
            beat a
                9s a: UnknownMemberId
        "#]],
    );
}

#[test]
fn the_strategy_most_members_like_best_among_those_all_know_is_chosen() {
    check(
        "
        join a old by=range,sticky,hash
        join b old by=sticky,range
        join c old by=sticky,range,hash
        join d old by=hash
        join d old by=sticky,range type=connect
        wait 9
        ",
        expect![[r#"
            join a old by=range,sticky,hash
            join b old by=sticky,range
            join c old by=sticky,range,hash
            join d old by=hash
                0s d: InconsistentGroupProtocol { why: "no strategy that all members know" }
            join d old by=sticky,range type=connect
                0s d: InconsistentGroupProtocol { why: "another protocol type" }
            wait 9
                6s a: joined 1 by sticky, leads {"a", "b", "c"}
                6s b: joined 1 by sticky
                6s c: joined 1 by sticky
        "#]],
    );
}

#[test]
fn a_full_group_turns_newcomers_away() {
    check(
        "
        join a old
        join b old
        join c old
        join d old
        join e old
        wait 12
        join e old
        ",
        expect![[r#"
            join a old
            join b old
            join c old
            join d old
            join e old
                0s e: GroupMaxSizeReached { limit: 4 }
            wait 12
                6s a: joined 1 by range, leads {"a", "b", "c", "d"}
                6s b: joined 1 by range
                6s c: joined 1 by range
                6s d: joined 1 by range
            join e old
                12s e: GroupMaxSizeReached { limit: 4 }
        "#]],
    );
}

#[test]
fn an_id_that_is_never_used_is_forgotten() {
    check(
        "
        join a
        show
        wait 10
        join a
        ",
        expect![[r#"
            join a
                0s a: MemberIdRequired
            show
                Empty '' by - []
            wait 10
            join a
                10s a: UnknownMemberId
        "#]],
    );
}

#[test]
fn what_cannot_be_joined() {
    check(
        "
        join a session=5
        join a session=2000
        join a type=
        join a by=
        join a group=x id=stranger
        beat a
        sync a
        leave a
        ",
        expect![[r#"
            join a session=5
                0s a: InvalidSessionTimeout { min_ms: 6000, max_ms: 1800000 }
            join a session=2000
                0s a: InvalidSessionTimeout { min_ms: 6000, max_ms: 1800000 }
            join a type=
                0s a: InconsistentGroupProtocol { why: "no protocol type" }
            join a by=
                0s a: InconsistentGroupProtocol { why: "no strategy" }
            join a group=x id=stranger
                0s a: UnknownMemberId
            beat a
                0s a: UnknownMemberId
            sync a
                0s a: UnknownMemberId
            leave a
                0s a: UnknownMemberId
        "#]],
    );
}

#[test]
fn a_follower_that_lost_its_answer_asks_again_and_disturbs_nobody() {
    check(
        "
        join a old
        join b old
        wait 9
        join b
        sync a assign=a:t0,b:t1
        join b
        sync b
        sync b gen=7
        sync b by=sticky
        ",
        expect![[r#"
            join a old
            join b old
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            join b
                9s b: joined 1 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            join b
                9s b: joined 1 by range
            sync b
                9s b: has [t1]
            sync b gen=7
                9s b: IllegalGeneration
            sync b by=sticky
                9s b: InconsistentGroupProtocol { why: "not what the group chose" }
        "#]],
    );
}

#[test]
fn a_coordinator_that_takes_over_in_a_rebalance_finds_the_last_generation() {
    check(
        "
        join a old
        join b old
        wait 9
        sync a assign=a:t0,b:t1
        sync b
        join c old
        beat a
        join a
        reload
        show
        beat b
        beat a
        join c old
        beat a
        join a
        join b
        sync a assign=a:t0,b:t1
        show
        ",
        expect![[r#"
            join a old
            join b old
            wait 9
                6s a: joined 1 by range, leads {"a", "b"}
                6s b: joined 1 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 1 [a:t0 b:t1]
                9s a: has [t0]
            sync b
                9s b: has [t1]
            join c old
            beat a
                9s a: RebalanceInProgress
            join a
            reload
                a: NotCoordinator
                c: NotCoordinator
            show
                Stable 'consumer' by range [a:t0 b:t1]
            beat b
                9s b: ok
            beat a
                9s a: ok
            join c old
            beat a
                9s a: RebalanceInProgress
            join a
            join b
                9s a: joined 2 by range, leads {"a", "b", "c"}
                9s b: joined 2 by range
                9s c: joined 2 by range
            sync a assign=a:t0,b:t1
                9s: writes generation 2 [a:t0 b:t1 c:]
                9s a: has [t0]
            show
                Stable 'consumer' by range [a:t0 b:t1 c:]
        "#]],
    );
}

#[test]
fn a_name_that_no_record_has_room_for_is_refused() {
    let mut world = World::new(settings());
    let long = "x".repeat(32_760);
    for line in
        [format!("join {long} old"), format!("join a old static={long}"), format!("join a old group={long}")]
    {
        world.out.clear();
        world.tell(&line);
        assert!(world.out.ends_with("InvalidRequest(\"a name is longer than 32730 bytes\")\n"));
    }
    world.tell(&format!("join {} old", "x".repeat(32_730)));
    world.wait(4);
    assert_eq!(world.state(), "CompletingRebalance");
}

#[test]
fn leaving_a_group_that_is_not_there_fails_for_each_member() {
    check(
        "
        leave a,b group=other
        leave a group=other static=one
        ",
        expect![[r#"
            leave a,b group=other
                0s a,b: UnknownMemberId, UnknownMemberId
            leave a group=other static=one
                0s a: UnknownMemberId
        "#]],
    );
}
