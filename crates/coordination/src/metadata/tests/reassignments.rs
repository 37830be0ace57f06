//! Partitions move to other brokers (KIP-455).

use expect_test::expect;

use super::*;

/// Four living brokers and a topic on the first two. The scenarios show what comes after.
fn check_move(script: &str, expected: Expect) {
    let mut image = cluster_of(4);
    run(&mut image, "create t on=1,2");
    let mut out = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "show" {
            out.extend(
                show(&image).lines().filter(|l| !l.contains("broker")).map(|l| format!("{}\n", &l[2..])),
            );
        } else {
            let response = image.apply(&parse(line, &image));
            writeln!(out, "{line} => {}", answer(&response)).unwrap();
        }
        image.check_invariants().unwrap();
    }
    expected.assert_eq(&out);
}

#[test]
fn a_partition_moves_once_its_target_is_in_sync() {
    check_move(
        "
        reassign t-0 to=3,4
        show
        isr t-0 by=1 to=1,2,3
        show
        isr t-0 by=1 to=1,2,3,4
        show
        ",
        expect![[r#"
            reassign t-0 to=3,4 => ()
            t-0: [3, 4, 1, 2] / [1, 2] / 1 @0 .1
              moving from [1, 2] to [3, 4]
            isr t-0 by=1 to=1,2,3 => (Some(1), 0, [1, 2, 3], 2)
            t-0: [3, 4, 1, 2] / [1, 2, 3] / 1 @0 .2
              moving from [1, 2] to [3, 4]
            isr t-0 by=1 to=1,2,3,4 => error: The AlterPartition request successfully updated the partition state but the leader has changed.
            t-0: [3, 4] / [3, 4] / 3 @1 .3
        "#]],
    );
}

/// And hears of it from the image alone: had it taken the answer's version for its own, it would take the image's for an old one.
#[test]
fn a_leader_that_stays_begins_a_new_term_when_others_are_taken_away() {
    check_move(
        "
        reassign t-0 to=1,3
        isr t-0 by=1 to=1,3
        show
        ",
        expect![[r#"
            reassign t-0 to=1,3 => ()
            isr t-0 by=1 to=1,3 => error: The AlterPartition request successfully updated the partition state but the leader has changed.
            t-0: [1, 3] / [1, 3] / 1 @1 .2
        "#]],
    );
}

#[test]
fn more_replicas_and_fewer() {
    check_move(
        "
        reassign t-0 to=1,2,3
        isr t-0 by=1 to=1,2,3
        show
        reassign t-0 to=2
        show
        reassign t-0 to=2,1 fixed
        reassign t-0 to=4 fixed
        reassign t-0 to=4,1 fixed
        show
        grow t to=2
        ",
        expect![[r#"
            reassign t-0 to=1,2,3 => ()
            isr t-0 by=1 to=1,2,3 => (Some(1), 0, [1, 2, 3], 2)
            t-0: [1, 2, 3] / [1, 2, 3] / 1 @0 .2
            reassign t-0 to=2 => ()
            t-0: [2] / [2] / 2 @1 .3
            reassign t-0 to=2,1 fixed => error: The replication factor is changed from 1 to 2
            reassign t-0 to=4 fixed => ()
            reassign t-0 to=4,1 fixed => error: The replication factor is changed from 1 to 2
            t-0: [4, 2] / [2] / 2 @1 .4
              moving from [2] to [4]
            grow t to=2 => 2
        "#]],
    );
}

#[test]
fn another_order_is_there_at_once_and_moves_no_leader() {
    check_move(
        "
        reassign t-0 to=2,1
        show
        elect t-0
        show
        reassign t-0 to=2,1
        show
        ",
        expect![[r#"
            reassign t-0 to=2,1 => ()
            t-0: [2, 1] / [1, 2] / 1 @0 .1
            elect t-0 => t-0: ()
            t-0: [2, 1] / [1, 2] / 2 @1 .2
            reassign t-0 to=2,1 => ()
            t-0: [2, 1] / [1, 2] / 2 @1 .2
        "#]],
    );
}

#[test]
fn a_cancelled_move_returns_to_the_order_it_came_from() {
    check_move(
        "
        reassign t-0 to=4,2
        isr t-0 by=1 to=1,2,4
        show
        reassign t-0 to=3,4
        show
        reassign t-0 cancel
        show
        reassign t-0 cancel
        ",
        expect![[r#"
            reassign t-0 to=4,2 => ()
            isr t-0 by=1 to=1,2,4 => error: The AlterPartition request successfully updated the partition state but the leader has changed.
            t-0: [4, 2] / [2, 4] / 4 @1 .2
            reassign t-0 to=3,4 => ()
            t-0: [3, 4, 2] / [2, 4] / 4 @1 .3
              moving from [4, 2] to [3, 4]
            reassign t-0 cancel => ()
            t-0: [4, 2] / [2, 4] / 4 @2 .4
            reassign t-0 cancel => error: No partition reassignment is in progress.
        "#]],
    );
}

#[test]
fn a_move_that_changes_its_target_drops_whom_only_the_former_named() {
    check_move(
        "
        reassign t-0 to=3,2
        isr t-0 by=1 to=1,2,3
        show
        reassign t-0 to=1,2
        show
        reassign t-0 to=4,3
        show
        reassign t-0 to=3,2
        show
        ",
        expect![[r#"
            reassign t-0 to=3,2 => ()
            isr t-0 by=1 to=1,2,3 => error: The AlterPartition request successfully updated the partition state but the leader has changed.
            t-0: [3, 2] / [2, 3] / 3 @1 .2
            reassign t-0 to=1,2 => ()
            t-0: [1, 2, 3] / [2, 3] / 3 @1 .3
              moving from [3, 2] to [1, 2]
            reassign t-0 to=4,3 => ()
            t-0: [4, 3, 2] / [2, 3] / 3 @2 .4
              moving from [3, 2] to [4, 3]
            reassign t-0 to=3,2 => ()
            t-0: [3, 2] / [2, 3] / 3 @3 .5
        "#]],
    );
}

#[test]
fn moves_that_are_refused() {
    check_move(
        "
        reassign u-0 to=1
        reassign t-7 to=1
        reassign t-0 to=
        reassign t-0 to=1,9
        reassign t-0 to=1,1
        reassign t-0 to=3 fixed
        reassign t-0 cancel
        show
        ",
        expect![[r#"
            reassign u-0 to=1 => error: Unable to find a topic named u.
            reassign t-7 to=1 => error: Unable to find partition t:7.
            reassign t-0 to= => error: The manual partition assignment includes an empty replica list.
            reassign t-0 to=1,9 => error: The manual partition assignment includes broker 9, but no such broker is registered.
            reassign t-0 to=1,1 => error: The manual partition assignment includes the broker 1 more than once.
            reassign t-0 to=3 fixed => error: The replication factor is changed from 2 to 1
            reassign t-0 cancel => error: No partition reassignment is in progress.
            t-0: [1, 2] / [1, 2] / 1 @0 .0
        "#]],
    );
}

#[test]
fn a_move_outlives_the_loss_of_brokers_on_both_sides() {
    check_move(
        "
        reassign t-0 to=3,4
        fence 1
        show
        fence 3
        isr t-0 by=2 to=2,4
        show
        unfence 3
        isr t-0 by=2 to=2,4,3
        show
        ",
        expect![[r#"
            reassign t-0 to=3,4 => ()
            fence 1 => ()
            t-0: [3, 4, 1, 2] / [2] / 2 @1 .2
              moving from [1, 2] to [3, 4]
            fence 3 => ()
            isr t-0 by=2 to=2,4 => (Some(2), 1, [2, 4], 3)
            t-0: [3, 4, 1, 2] / [2, 4] / 2 @1 .3
              moving from [1, 2] to [3, 4]
            unfence 3 => ()
            isr t-0 by=2 to=2,4,3 => error: The AlterPartition request successfully updated the partition state but the leader has changed.
            t-0: [3, 4] / [4, 3] / 3 @2 .4
        "#]],
    );
}

#[test]
fn a_broker_that_was_unregistered_is_left_behind_by_a_move() {
    check_move(
        "
        fence 2
        unregister 2
        show
        reassign t-0 to=1,3
        isr t-0 by=1 to=1,3
        show
        reassign t-0 to=1,2
        ",
        expect![[r#"
            fence 2 => ()
            unregister 2 => ()
            t-0: [1, 2] / [1] / 1 @0 .1
            reassign t-0 to=1,3 => ()
            isr t-0 by=1 to=1,3 => error: The AlterPartition request successfully updated the partition state but the leader has changed.
            t-0: [1, 3] / [1, 3] / 1 @1 .3
            reassign t-0 to=1,2 => error: The manual partition assignment includes broker 2, but no such broker is registered.
        "#]],
    );
}

#[test]
fn an_unclean_election_prefers_whoever_held_the_partition_before_it_moved() {
    check_move(
        "
        isr t-0 by=1 to=1
        reassign t-0 to=3,4
        fence 1
        show
        elect t-0 unclean
        show
        reassign t-0 cancel
        fence 2
        reassign t-0 to=3
        elect t-0 unclean
        show
        ",
        expect![[r#"
            isr t-0 by=1 to=1 => (Some(1), 0, [1], 1)
            reassign t-0 to=3,4 => ()
            fence 1 => ()
            t-0: [3, 4, 1, 2] / [1] / none @1 .3
              moving from [1, 2] to [3, 4]
            elect t-0 unclean => t-0: ()
            t-0: [3, 4, 1, 2] / [2] / 2 @2 .4
              moving from [1, 2] to [3, 4]
            reassign t-0 cancel => ()
            fence 2 => ()
            reassign t-0 to=3 => ()
            elect t-0 unclean => t-0: ()
            t-0: [3] / [3] / 3 @5 .8
        "#]],
    );
}

#[test]
fn a_cancel_that_would_lose_records_needs_leave_to_lose_them() {
    let lost = "
        isr t-0 by=1 to=1
        reassign t-0 to=3,4
        isr t-0 by=1 to=1,3
        fence 1
        show
        reassign t-0 cancel
        ";
    check_move(
        lost,
        expect![[r#"
        isr t-0 by=1 to=1 => (Some(1), 0, [1], 1)
        reassign t-0 to=3,4 => ()
        isr t-0 by=1 to=1,3 => (Some(1), 0, [1, 3], 3)
        fence 1 => ()
        t-0: [3, 4, 1, 2] / [3] / 3 @1 .4
          moving from [1, 2] to [3, 4]
        reassign t-0 cancel => error: Unable to revert partition assignment for t:0 because it would require an unclean leader election.
    "#]],
    );
    check_move(
        &format!("{lost}\nconfig topic:t unclean.leader.election.enable=true\nreassign t-0 cancel\nshow"),
        expect![[r#"
            isr t-0 by=1 to=1 => (Some(1), 0, [1], 1)
            reassign t-0 to=3,4 => ()
            isr t-0 by=1 to=1,3 => (Some(1), 0, [1, 3], 3)
            fence 1 => ()
            t-0: [3, 4, 1, 2] / [3] / 3 @1 .4
              moving from [1, 2] to [3, 4]
            reassign t-0 cancel => error: Unable to revert partition assignment for t:0 because it would require an unclean leader election.
            config topic:t unclean.leader.election.enable=true => ()
            reassign t-0 cancel => ()
            t-0: [1, 2] / [2] / 2 @2 .5
            t {"unclean.leader.election.enable": "true"}
        "#]],
    );
}

#[test]
fn a_topic_takes_its_moves_along_when_it_is_deleted() {
    check_move(
        "
        reassign t-0 to=3,4
        delete t
        reassign t-0 cancel
        ",
        expect![[r#"
            reassign t-0 to=3,4 => ()
            delete t => "t"
            reassign t-0 cancel => error: Unable to find a topic named t.
        "#]],
    );
}

#[test]
fn moves_are_listed_and_survive_the_way_through_bytes() {
    let mut image = cluster_of(4);
    run(&mut image, "create t on=1,2/2,1/1,2");
    run(&mut image, "reassign t-1 to=2,3,4");
    let image = Image::decode(&image.encode().unwrap()).unwrap();
    let listed: Vec<String> = image
        .reassignments()
        .map(|(topic, index, p)| {
            let (adding, removing): (Vec<_>, Vec<_>) = (p.adding().collect(), p.removing().collect());
            format!("{}-{index} {:?} +{adding:?} -{removing:?}", topic.name(), p.replicas)
        })
        .collect();
    expect!["t-1 [2, 3, 4, 1] +[3, 4] -[1]"].assert_eq(&listed.join("\n"));
    let text = String::from_utf8(image.encode().unwrap()).unwrap();
    for (from, to) in [
        (r#""target":[2,3,4]"#, r#""target":[2,3]"#),
        (r#""target":[2,3,4]"#, r#""target":[]"#),
        (r#""original":[2,1]"#, r#""original":[2,2]"#),
        (
            r#""isr":[2,1],"leader":2,"leader_epoch":0,"partition_epoch":1"#,
            r#""isr":[2,3,4],"leader":2,"leader_epoch":0,"partition_epoch":1"#,
        ),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        assert!(Image::decode(text.replace(from, to).as_bytes()).is_err(), "{to}");
    }
}
