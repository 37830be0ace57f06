//! Configs of topics, brokers and groups.

use expect_test::expect;

use super::*;

#[test]
fn set_changed_and_taken_back() {
    check(
        "
        register 1
        unfence 1
        create t 1x1 configs=retention.ms:1000;cleanup.policy:compact
        config topic:t retention.ms=2000 segment.bytes=1048576
        config topic:t cleanup.policy+delete cleanup.policy+delete
        show
        config topic:t cleanup.policy~compact retention.ms-
        show
        config topic:t replace max.message.bytes=5000
        show
        config topic:t replace
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create t 1x1 configs=retention.ms:1000;cleanup.policy:compact => ("t", 1, 1)
            config topic:t retention.ms=2000 segment.bytes=1048576 => ()
            config topic:t cleanup.policy+delete cleanup.policy+delete => ()
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
              t {"cleanup.policy": "compact,delete", "retention.ms": "2000", "segment.bytes": "1048576"}
            config topic:t cleanup.policy~compact retention.ms- => ()
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
              t {"cleanup.policy": "delete", "segment.bytes": "1048576"}
            config topic:t replace max.message.bytes=5000 => ()
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
              t {"max.message.bytes": "5000"}
            config topic:t replace => ()
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
        "#]],
    );
}

#[test]
fn a_list_that_is_not_set_is_its_default() {
    check(
        "
        register 1
        unfence 1
        create t 1x1
        config topic:t cleanup.policy+compact
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create t 1x1 => ("t", 1, 1)
            config topic:t cleanup.policy+compact => ()
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
              t {"cleanup.policy": "delete,compact"}
        "#]],
    );
}

#[test]
fn brokers_and_groups() {
    check(
        "
        register 1
        config broker:1 log.cleaner.threads=2
        config broker: log.cleaner.threads=3
        config broker:2 log.cleaner.threads=2
        config group:g consumer.session.timeout.ms=50000
        config group: consumer.session.timeout.ms=50000
        show
        config broker:1 log.cleaner.threads-
        config group:g replace
        show
        ",
        expect![[r#"
            register 1 => 2
            config broker:1 log.cleaner.threads=2 => ()
            config broker: log.cleaner.threads=3 => ()
            config broker:2 log.cleaner.threads=2 => error: Broker ID 2 is not currently registered
            config group:g consumer.session.timeout.ms=50000 => ()
            config group: consumer.session.timeout.ms=50000 => error: Default group resources are not allowed.
              broker 1@2 fenced
              broker None {"log.cleaner.threads": "3"}
              broker Some(1) {"log.cleaner.threads": "2"}
              group g {"consumer.session.timeout.ms": "50000"}
            config broker:1 log.cleaner.threads- => ()
            config group:g replace => ()
              broker 1@2 fenced
              broker None {"log.cleaner.threads": "3"}
        "#]],
    );
}

#[test]
fn refusals_leave_everything_as_it_was() {
    check(
        "
        register 1
        unfence 1
        create t 1x1 configs=retention.ms
        create t 1x1 configs=no.such.config:1
        create t 1x1 configs=retention.ms:soon
        create t 1x1
        config topic:u retention.ms=1
        config topic:t retention.ms=1 no.such.config=1
        config topic:t retention.ms=1 segment.bytes=many
        config topic:t retention.ms+1
        config topic:t replace retention.ms
        config topic:t no.such.config-
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create t 1x1 configs=retention.ms => error: Null value not supported for configs: retention.ms
            create t 1x1 configs=no.such.config:1 => error: Unknown topic config name: no.such.config
            create t 1x1 configs=retention.ms:soon => error: Invalid value soon for configuration retention.ms: Not a number of type LONG
            create t 1x1 => ("t", 1, 1)
            config topic:u retention.ms=1 => error: The topic 'u' does not exist.
            config topic:t retention.ms=1 no.such.config=1 => error: Unknown topic config name: no.such.config
            config topic:t retention.ms=1 segment.bytes=many => error: Invalid value many for configuration segment.bytes: Not a number of type INT
            config topic:t retention.ms+1 => error: Can't APPEND to key retention.ms because its type is not LIST.
            config topic:t replace retention.ms => error: Null value not supported for configs: retention.ms
            config topic:t no.such.config- => ()
              broker 1@2
              t-0: [1] / [1] / 1 @0 .0
        "#]],
    );
}

#[test]
fn a_resource_is_named_once_in_a_request() {
    let mut image = cluster_of(1);
    run(&mut image, "create t 1x1");
    let change = || ConfigChange {
        resource: ConfigResource::Topic("t".to_owned()),
        edit: ConfigEdit::Incremental(vec![("retention.ms".to_owned(), ConfigOp::Set("1".to_owned()))]),
    };
    let response = image.apply(&Command::AlterConfigs(AlterConfigs { changes: vec![change(), change()] }));
    assert_eq!(
        response,
        Response::AlterConfigs(vec![Err(AlterConfigError::Duplicate), Err(AlterConfigError::Duplicate)])
    );
    assert!(image.topic("t").unwrap().configs().is_empty());
}

/// ADR 0060: a follower that goes on as if the topic were `os` says so in an old term.
#[test]
fn a_topic_that_leaves_os_is_led_in_a_new_term() {
    check(
        "
        register 1
        unfence 1
        create a 1x1 configs=ottla.ack.durability:os
        create b 1x1
        config topic:a retention.ms=1000
        config topic:b ottla.ack.durability=os
        show
        config topic:a ottla.ack.durability=fsync
        config topic:b ottla.ack.durability-
        show
        config broker: ottla.ack.durability=os
        show
        config broker: ottla.ack.durability=fsync
        show
        ",
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            create a 1x1 configs=ottla.ack.durability:os => ("a", 1, 1)
            create b 1x1 => ("b", 1, 1)
            config topic:a retention.ms=1000 => ()
            config topic:b ottla.ack.durability=os => ()
              broker 1@2
              a-0: [1] / [1] / 1 @0 .0
              a {"ottla.ack.durability": "os", "retention.ms": "1000"}
              b-0: [1] / [1] / 1 @0 .0
              b {"ottla.ack.durability": "os"}
            config topic:a ottla.ack.durability=fsync => ()
            config topic:b ottla.ack.durability- => ()
              broker 1@2
              a-0: [1] / [1] / 1 @1 .1
              a {"ottla.ack.durability": "fsync", "retention.ms": "1000"}
              b-0: [1] / [1] / 1 @1 .1
            config broker: ottla.ack.durability=os => ()
              broker 1@2
              a-0: [1] / [1] / 1 @1 .1
              a {"ottla.ack.durability": "fsync", "retention.ms": "1000"}
              b-0: [1] / [1] / 1 @1 .1
              broker None {"ottla.ack.durability": "os"}
            config broker: ottla.ack.durability=fsync => ()
              broker 1@2
              a-0: [1] / [1] / 1 @1 .1
              a {"ottla.ack.durability": "fsync", "retention.ms": "1000"}
              b-0: [1] / [1] / 1 @2 .2
              broker None {"ottla.ack.durability": "fsync"}
        "#]],
    );
}
