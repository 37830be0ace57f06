//! Brokers register, restart, are lost, leave.

use expect_test::expect;

use super::*;

#[test]
fn a_restart_raises_the_leader_epoch_before_anything_is_served() {
    check(
        "
        register 1
        unfence 1
        create t 1x1
        show
        register 1 run=second
        show
        unfence 1
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create t 1x1 => ("t", 1, 1)
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
            register 1 run=second => 5
              broker 1@5 fenced
              t-0: [1] / [1] / none @1 .1
            unfence 1 => ()
              broker 1@5
              t-0: [1] / [1] / 1 @2 .2
        "#]],
    );
}

#[test]
fn registering_the_same_process_again_changes_nothing() {
    check(
        "
        register 1
        unfence 1
        create t 1x1
        register 1 replaces=none
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create t 1x1 => ("t", 1, 1)
            register 1 replaces=none => 2
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
        "#]],
    );
}

#[test]
fn registrations_that_are_refused() {
    let long = "register 1 cluster=other";
    check(
        &format!(
            "
            {long}
            register 1
            register 1 run=second replaces=none
            register 1 run=second replaces=1
            register 2 dir=1
            fence 1 epoch=1
            unfence 1 epoch=1
            fence 9
            producer-ids 1 epoch=1
            "
        ),
        expect![[r#"
            register 1 cluster=other => error: Expected cluster ID Y2x1c3Rlci4uLi4uLi4uLg, but got cluster ID b3RoZXIuLi4uLi4uLi4uLg
            register 1 => 3
            register 1 run=second replaces=none => error: Another broker is registered with that broker id.
            register 1 run=second replaces=1 => error: Another broker is registered with that broker id.
            register 2 dir=1 => error: Broker 1 is already registered with log directory MS4uLi4uLi4uLi4uLi4uLg.
            fence 1 epoch=1 => error: Expected broker epoch 3, but got broker epoch 1
            unfence 1 epoch=1 => error: Expected broker epoch 3, but got broker epoch 1
            fence 9 => error: Broker ID 9 is not currently registered
            producer-ids 1 epoch=1 => error: Expected broker epoch 3, but got broker epoch 1
        "#]],
    );
    let mut unformed = Image::empty();
    let refused = unformed.apply(&parse("register 1", &unformed));
    assert_eq!(refused, Response::RegisterBroker(Err(RegisterBrokerError::NoCluster)));
}

#[test]
fn leadership_moves_when_a_broker_is_lost_and_the_last_in_sync_replica_stays() {
    check(
        "
        register 1
        unfence 1
        register 2
        unfence 2
        create t on=1,2/2,1
        fence 1
        show
        fence 2
        show
        unfence 1
        show
        unfence 2
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2/2,1 => ("t", 2, 2)
            fence 1 => ()
              broker 1@2 fenced
              broker 2@4
              t-0: [1, 2] / [2] / 2 @1 .1
              t-1: [2, 1] / [2] / 2 @0 .1
            fence 2 => ()
              broker 1@2 fenced
              broker 2@4 fenced
              t-0: [1, 2] / [2] / none @2 .2
              t-1: [2, 1] / [2] / none @1 .2
            unfence 1 => ()
              broker 1@2
              broker 2@4 fenced
              t-0: [1, 2] / [2] / none @2 .2
              t-1: [2, 1] / [2] / none @1 .2
            unfence 2 => ()
              broker 1@2
              broker 2@4
              t-0: [1, 2] / [2] / 2 @3 .3
              t-1: [2, 1] / [2] / 2 @2 .3
        "#]],
    );
}

#[test]
fn a_broker_that_lost_its_log_may_not_lead_by_it() {
    check(
        "
        register 1
        unfence 1
        create t 1x1
        register 1 run=second dir=new
        unfence 1
        show
        elect t-0
        elect t-0 unclean
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create t 1x1 => ("t", 1, 1)
            register 1 run=second dir=new => 5
            unfence 1 => ()
              broker 1@5
              t-0: [1] / [] / none @1 .1
            elect t-0 => t-0: error: The preferred leader was not available.
            elect t-0 unclean => t-0: ()
              broker 1@5
              t-0: [1] / [1] / 1 @2 .2
        "#]],
    );
}

#[test]
fn a_broker_that_shuts_down_hands_over_and_serves_what_only_it_has() {
    check(
        "
        register 1
        unfence 1
        register 2
        unfence 2
        create t on=1,2/1
        show
        create t on=1,2
        create alone on=1
        shutdown 1
        show
        create new 1x2
        create other 1x1
        fence 1
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            create t on=1,2/1 => error: The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s).
              broker 1@2
              broker 2@4
            create t on=1,2 => ("t", 1, 2)
            create alone on=1 => ("alone", 1, 1)
            shutdown 1 => ()
              broker 1@2 shutting down
              broker 2@4
              alone-0: [1] / [1] / 1 @0 .0
              t-0: [1, 2] / [2] / 2 @1 .1
            create new 1x2 => ("new", 1, 2)
            create other 1x1 => ("other", 1, 1)
            fence 1 => ()
              broker 1@2 fenced
              broker 2@4
              alone-0: [1] / [1] / none @1 .1
              new-0: [2, 1] / [2] / 2 @0 .0
              other-0: [2] / [2] / 2 @0 .0
              t-0: [1, 2] / [2] / 2 @1 .1
        "#]],
    );
}

#[test]
fn others_lead_in_place_of_a_broker_whose_disk_is_full_where_enough_are_left() {
    check(
        "
        register 1
        unfence 1
        register 2
        unfence 2
        register 3
        unfence 3
        create three on=1,2,3
        create two on=1,2
        create strict on=1,2 configs=min.insync.replicas:2
        create alone on=1
        disk 1 full epoch=1
        disk 1 full
        disk 1 full
        show
        elect three-0
        isr three-0 by=2 to=1,2,3
        create new 1x3
        create manual on=1,3
        disk 2 full
        disk 3 full
        create last 1x3
        show
        disk 1
        isr three-0 by=2 to=1,2,3
        elect three-0
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            register 3 => 6
            unfence 3 => ()
            create three on=1,2,3 => ("three", 1, 3)
            create two on=1,2 => ("two", 1, 2)
            create strict on=1,2 configs=min.insync.replicas:2 => ("strict", 1, 2)
            create alone on=1 => ("alone", 1, 1)
            disk 1 full epoch=1 => error: Expected broker epoch 2, but got broker epoch 1
            disk 1 full => ()
            disk 1 full => ()
              broker 1@2 full
              broker 2@4
              broker 3@6
              alone-0: [1] / [1] / 1 @0 .0
              strict-0: [1, 2] / [1, 2] / 1 @0 .0
              strict {"min.insync.replicas": "2"}
              three-0: [1, 2, 3] / [2, 3] / 2 @1 .1
              two-0: [1, 2] / [2] / 2 @1 .1
            elect three-0 => three-0: error: The preferred leader was not available.
            isr three-0 by=2 to=1,2,3 => error: The new ISR contains at least one ineligible replica.
            create new 1x3 => ("new", 1, 3)
            create manual on=1,3 => ("manual", 1, 2)
            disk 2 full => ()
            disk 3 full => ()
            create last 1x3 => ("last", 1, 3)
              broker 1@2 full
              broker 2@4 full
              broker 3@6 full
              alone-0: [1] / [1] / 1 @0 .0
              last-0: [1, 2, 3] / [1, 2, 3] / 1 @0 .0
              manual-0: [1, 3] / [3] / 3 @0 .0
              new-0: [2, 3, 1] / [2, 3] / 2 @0 .0
              strict-0: [1, 2] / [1, 2] / 1 @0 .0
              strict {"min.insync.replicas": "2"}
              three-0: [1, 2, 3] / [2, 3] / 2 @1 .2
              two-0: [1, 2] / [2] / 2 @1 .1
            disk 1 => ()
            isr three-0 by=2 to=1,2,3 => (Some(2), 1, [1, 2, 3], 3)
            elect three-0 => three-0: ()
              broker 1@2
              broker 2@4 full
              broker 3@6 full
              alone-0: [1] / [1] / 1 @0 .0
              last-0: [1, 2, 3] / [1, 2, 3] / 1 @0 .0
              manual-0: [1, 3] / [3] / 3 @0 .0
              new-0: [2, 3, 1] / [2, 3] / 2 @0 .0
              strict-0: [1, 2] / [1, 2] / 1 @0 .0
              strict {"min.insync.replicas": "2"}
              three-0: [1, 2, 3] / [1, 2, 3] / 1 @2 .4
              two-0: [1, 2] / [2] / 2 @1 .1
        "#]],
    );
}

#[test]
fn only_a_fenced_broker_is_unregistered_and_its_id_returns_as_a_new_one() {
    check(
        "
        register 1
        unfence 1
        create t 1x1
        config broker:1 log.cleaner.threads=2
        unregister 1
        fence 1
        unregister 1
        show
        register 1 run=second
        unfence 1
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create t 1x1 => ("t", 1, 1)
            config broker:1 log.cleaner.threads=2 => ()
            unregister 1 => error: Broker 1 is still running: stop it first
            fence 1 => ()
            unregister 1 => ()
              t-0: [1] / [] / none @1 .2
            register 1 run=second => 9
            unfence 1 => ()
              broker 1@9
              t-0: [1] / [] / none @1 .2
        "#]],
    );
}

#[test]
fn producer_ids_are_handed_out_once() {
    check(
        "
        register 1
        producer-ids 1
        producer-ids 1
        ",
        expect![[r#"
            register 1 => 2
            producer-ids 1 => ProducerIdBlock { first: 0, len: 1000 }
            producer-ids 1 => ProducerIdBlock { first: 1000, len: 1000 }
        "#]],
    );
}
