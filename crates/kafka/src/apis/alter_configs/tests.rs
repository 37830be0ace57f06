use expect_test::{Expect, expect};

use super::*;
use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

fn check(configs: &[(&str, i8, Option<&str>)], expected: &Expect) {
    let configs = configs.iter().map(|(name, operation, value)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *operation,
        value: value.map(str::to_owned),
    });
    let resource = AlterConfigsResource { configs: configs.collect(), ..Default::default() };
    expected.assert_eq(&match steps(&resource) {
        Ok(edit) => format!("{edit:?}"),
        Err(refused) => format!("{}: {}", refused.code, refused.message),
    });
}

#[test]
fn operations_become_steps() {
    check(
        &[
            ("retention.ms", 0, Some("1")),
            ("retention.bytes", 1, None),
            ("cleanup.policy", 2, Some("compact")),
            ("other", 3, Some("x")),
        ],
        &expect![[
            r#"Incremental([("retention.ms", Set("1")), ("retention.bytes", Delete), ("cleanup.policy", Append("compact")), ("other", Subtract("x"))])"#
        ]],
    );
}

#[test]
fn what_cannot_be_read_is_refused_as_kafka_does() {
    check(&[("a", 4, Some("1"))], &expect!["INVALID_REQUEST: Unknown operations type 4"]);
    check(
        &[("a", 0, None), ("b", 2, None)],
        &expect!["INVALID_REQUEST: Null value not supported for : a, b"],
    );
    check(
        &[("a", 0, Some("1")), ("a", 1, None)],
        &expect!["INVALID_REQUEST: Error due to duplicate config keys"],
    );
}

#[test]
fn resources_without_configs_here_are_refused_by_name() {
    let shown = |code: i8, name: &str| match config_resource::parse(code, name) {
        Ok(resource) => format!("{code} {name:?}: {resource:?}\n"),
        Err(refused) => format!("{code} {name:?}: {}: {}\n", refused.code, refused.message),
    };
    let resources =
        [(2, "a"), (4, "1"), (4, ""), (4, "one"), (8, "1"), (16, "m"), (32, "g"), (0, ""), (3, "x")];
    let table: String = resources.into_iter().map(|(code, name)| shown(code, name)).collect();
    expect![[r#"
        2 "a": Topic("a")
        4 "1": Broker(Some(1))
        4 "": Broker(None)
        4 "one": INVALID_REQUEST: Broker id must be an integer, but it is: one
        8 "1": INVALID_REQUEST: Configs of type BROKER_LOGGER are not supported by this broker.
        16 "m": INVALID_REQUEST: Configs of type CLIENT_METRICS are not supported by this broker.
        32 "g": Group("g")
        0 "": INVALID_REQUEST: Unknown resource type 0
        3 "x": INVALID_REQUEST: Unknown resource type 3
    "#]]
    .assert_eq(&table);
}
