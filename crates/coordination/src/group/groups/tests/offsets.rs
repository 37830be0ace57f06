//! Stories of committed offsets.

use expect_test::expect;

use super::story::check;

#[test]
fn a_client_in_no_group_commits_and_reads_what_it_committed() {
    check(
        "
        commit x t-0=5 t-2=7:note
        fetch x t-0 t-1 t-2
        fetch x all
        reload
        fetch x all
        list x
        show
        commit x t-0=6:much-too-long-a-note u-0=1 nowhere-0=3
        fetch x all
        ",
        expect![[r#"
            commit x t-0=5 t-2=7:note
                0s: writes t-0=5
                0s: writes t-2=7
                0s x: ok, ok
            fetch x t-0 t-1 t-2
                0s x: [t-0=5 t-1=none t-2=7:note]
            fetch x all
                0s x: [t-0=5 t-2=7:note]
            reload
            fetch x all
                0s x: [t-0=5 t-2=7:note]
            list x
                0s x: [g Empty classic '']
            show
                Empty '' by - []
            commit x t-0=6:much-too-long-a-note u-0=1 nowhere-0=3
                0s: writes u-0=1
                0s x: OffsetMetadataTooLarge { limit: 16 }, ok, UnknownTopicOrPartition
            fetch x all
                0s x: [t-0=5 t-2=7:note u-0=1]
        "#]],
    );
}

#[test]
fn only_members_of_the_current_generation_commit() {
    check(
        "
        commit a gen=3 t-0=1
        commit a gen=3 old t-0=1
        join a old
        wait 4
        commit a t-0=2
        sync a assign=a:t0
        commit a t-0=3
        commit a gen=0 t-0=4
        commit x t-0=4
        commit x id=stranger gen=1 t-0=4
        leave a
        commit x t-0=9
        fetch x all
        ",
        expect![[r#"
            commit a gen=3 t-0=1
                0s a: GroupIdNotFound("Group g not found.")
            commit a gen=3 old t-0=1
                0s a: IllegalGeneration
            join a old
            wait 4
                3s a: joined 1 by range, leads {"a"}
            commit a t-0=2
                4s a: RebalanceInProgress
            sync a assign=a:t0
                4s: writes generation 1 [a:t0]
                4s a: has [t0]
            commit a t-0=3
                4s: writes t-0=3
                4s a: ok
            commit a gen=0 t-0=4
                4s a: IllegalGeneration
            commit x t-0=4
                4s x: UnknownMemberId
            commit x id=stranger gen=1 t-0=4
                4s x: UnknownMemberId
            leave a
                4s: writes generation 2 []
                4s a: left
            commit x t-0=9
                4s: writes t-0=9
                4s x: ok
            fetch x all
                4s x: [t-0=9]
        "#]],
    );
}

#[test]
fn offsets_of_an_empty_group_go_with_it_when_their_time_is_over() {
    check(
        "
        join a old
        wait 4
        sync a assign=a:t0
        commit a t-0=3 u-0=4
        leave a
        wait 3000
        fetch x all
        wait 1200
        fetch x all
        show
        ",
        expect![[r#"
            join a old
            wait 4
                3s a: joined 1 by range, leads {"a"}
            sync a assign=a:t0
                4s: writes generation 1 [a:t0]
                4s a: has [t0]
            commit a t-0=3 u-0=4
                4s: writes t-0=3
                4s: writes u-0=4
                4s a: ok, ok
            leave a
                4s: writes generation 2 []
                4s a: left
            wait 3000
            fetch x all
                3004s x: [t-0=3 u-0=4]
            wait 1200
                4200s: deletes t-0
                4200s: deletes u-0
                4200s: deletes group g
            fetch x all
                4204s x: []
            show
                GroupIdNotFound("Group g not found.")
        "#]],
    );
}

#[test]
fn an_old_client_says_how_long_its_offsets_are_kept() {
    check(
        "
        commit x keep=60 t-0=3
        commit x t-1=4
        wait 700
        fetch x all
        ",
        expect![[r#"
            commit x keep=60 t-0=3
                0s: writes t-0=3
                0s x: ok
            commit x t-1=4
                0s: writes t-1=4
                0s x: ok
            wait 700
                600s: deletes t-0
            fetch x all
                700s x: [t-1=4]
        "#]],
    );
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it() {
    check(
        "
        commit x t-0=3 u-0=4
        drop-topic t
        fetch x all
        ",
        expect![[r#"
            commit x t-0=3 u-0=4
                0s: writes t-0=3
                0s: writes u-0=4
                0s x: ok, ok
            drop-topic t
                0s: deletes t-0
            fetch x all
                0s x: [u-0=4]
        "#]],
    );
}

#[test]
fn an_offset_means_nothing_in_a_topic_made_anew() {
    check(
        "
        commit x t-0=3
        reload
        drop-topic t
        make-topic t
        fetch x t-0
        commit x t-0=1
        fetch x t-0
        ",
        expect![[r#"
            commit x t-0=3
                0s: writes t-0=3
                0s x: ok
            reload
            drop-topic t
                0s: deletes t-0
            make-topic t
            fetch x t-0
                0s x: [t-0=none]
            commit x t-0=1
                0s: writes t-0=1
                0s x: ok
            fetch x t-0
                0s x: [t-0=1]
        "#]],
    );
}

#[test]
fn offsets_are_deleted_unless_a_member_reads_the_topic() {
    check(
        "
        join a old topics=t
        wait 4
        sync a assign=a:t0
        commit a t-0=3 u-0=4
        delete-offsets x t-0 u-0 u-1 nowhere-0
        delete-offsets x group=other t-0
        delete x
        leave a
        delete-offsets x t-0
        fetch x all
        delete x
        delete x
        show
        reload
        show
        ",
        expect![[r#"
            join a old topics=t
            wait 4
                3s a: joined 1 by range, leads {"a"}
            sync a assign=a:t0
                4s: writes generation 1 [a:t0]
                4s a: has [t0]
            commit a t-0=3 u-0=4
                4s: writes t-0=3
                4s: writes u-0=4
                4s a: ok, ok
            delete-offsets x t-0 u-0 u-1 nowhere-0
                4s: deletes u-0
                4s x: GroupSubscribedToTopic, ok, ok, UnknownTopicOrPartition
            delete-offsets x group=other t-0
                4s x: GroupIdNotFound("Group other not found.")
            delete x
                4s x: NonEmptyGroup
            leave a
                4s: writes generation 2 []
                4s a: left
            delete-offsets x t-0
                4s: deletes t-0
                4s x: ok
            fetch x all
                4s x: []
            delete x
                4s: deletes group g
                4s x: deleted
            delete x
                4s x: GroupIdNotFound("Group g not found.")
            show
                GroupIdNotFound("Group g not found.")
            reload
            show
                GroupIdNotFound("Group g not found.")
        "#]],
    );
}

#[test]
fn groups_are_listed_by_state_and_type() {
    check(
        "
        commit x group=simple t-0=1
        join a old
        list x
        list x states=empty
        list x states=preparingrebalance,stable types=CLASSIC
        list x types=consumer
        ",
        expect![[r#"
            commit x group=simple t-0=1
                0s: writes t-0=1
                0s x: ok
            join a old
            list x
                0s x: [simple Empty classic '', g PreparingRebalance classic 'consumer']
            list x states=empty
                0s x: [simple Empty classic '']
            list x states=preparingrebalance,stable types=CLASSIC
                0s x: [g PreparingRebalance classic 'consumer']
            list x types=consumer
                0s x: []
        "#]],
    );
}
