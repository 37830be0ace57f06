//! Topics that come with their logs from elsewhere.

use expect_test::expect;

use super::*;

#[test]
fn a_topic_keeps_its_id_configs_and_epochs_and_is_led_when_its_broker_serves() {
    check(
        "
        register 1
        import orders,events by=1 epochs=3,7 configs=cleanup.policy:compact producer-ids=5000
        show
        unfence 1
        show
        producer-ids 1
        import late by=1 epochs=0 producer-ids=10
        show
        producer-ids 1
        delete #orders
        ",
        expect![[r#"
            register 1 => 2
            import orders,events by=1 epochs=3,7 configs=cleanup.policy:compact producer-ids=5000 => ()
              broker 1@2 fenced
              events-0: [1] / [1] / none @3 .0
              events-1: [1] / [1] / none @7 .0
              events {"cleanup.policy": "compact"}
              orders-0: [1] / [1] / none @3 .0
              orders-1: [1] / [1] / none @7 .0
              orders {"cleanup.policy": "compact"}
            unfence 1 => ()
              broker 1@2
              events-0: [1] / [1] / 1 @4 .1
              events-1: [1] / [1] / 1 @8 .1
              events {"cleanup.policy": "compact"}
              orders-0: [1] / [1] / 1 @4 .1
              orders-1: [1] / [1] / 1 @8 .1
              orders {"cleanup.policy": "compact"}
            producer-ids 1 => ProducerIdBlock { first: 5000, len: 1000 }
            import late by=1 epochs=0 producer-ids=10 => ()
              broker 1@2
              events-0: [1] / [1] / 1 @4 .1
              events-1: [1] / [1] / 1 @8 .1
              events {"cleanup.policy": "compact"}
              late-0: [1] / [1] / 1 @0 .0
              orders-0: [1] / [1] / 1 @4 .1
              orders-1: [1] / [1] / 1 @8 .1
              orders {"cleanup.policy": "compact"}
            producer-ids 1 => ProducerIdBlock { first: 6000, len: 1000 }
            delete #orders => "orders"
        "#]],
    );
}

#[test]
fn all_are_taken_or_none() {
    check(
        "
        register 1
        unfence 1
        create a.b 1x1
        import c,a_b,a.b,d by=1 epochs=1
        import c,c by=1 epochs=1
        import c by=1 epochs=1 id=a.b
        import c by=1 epochs=1 configs=segment.bytes:many
        import c by=1 epochs=1 configs=no.such.config:1
        import c by=1 epochs=
        import c by=1 epochs=-1
        import c by=1 epochs=1,2147000000
        import c by=1 epochs=1 producer-ids=9223372036854775807
        import c by=1 epochs=1 epoch=77
        import c by=2 epochs=1
        import ../c by=1 epochs=1
        show
        producer-ids 1
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create a.b 1x1 => ("a.b", 1, 1)
            import c,a_b,a.b,d by=1 epochs=1 => error: a_b: Topic 'a_b' collides with existing topic: a.b; a.b: Topic 'a.b' already exists.
            import c,c by=1 epochs=1 => error: c: Topic 'c' already exists.
            import c by=1 epochs=1 id=a.b => error: c: Topic id YS5iLi4uLi4uLi4uLi4uLg is already in use, or was that of a topic deleted lately.
            import c by=1 epochs=1 configs=segment.bytes:many => error: c: Invalid value many for configuration segment.bytes: Not a number of type INT
            import c by=1 epochs=1 configs=no.such.config:1 => error: c: Unknown topic config name: no.such.config
            import c by=1 epochs= => error: c: Number of partitions was set to an invalid non-positive value.
            import c by=1 epochs=-1 => error: partition 0 of c cannot start in leader epoch -1
            import c by=1 epochs=1,2147000000 => error: partition 1 of c cannot start in leader epoch 2147000000
            import c by=1 epochs=1 producer-ids=9223372036854775807 => error: Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit
            import c by=1 epochs=1 epoch=77 => error: Expected broker epoch 2, but got broker epoch 77
            import c by=2 epochs=1 => error: Broker ID 2 is not currently registered
            import ../c by=1 epochs=1 => error: ../c: Topic name is invalid: '../c' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
              broker 1@2
              a.b-0: [1] / [1] / 1 @0 .0
            producer-ids 1 => ProducerIdBlock { first: 0, len: 1000 }
        "#]],
    );
}
