use expect_test::{Expect, expect};
use ottla_client::{Offset, Timestamp};

use super::*;

/// `ConsumerRecord` is made by a consumer alone, from a batch; a clone of its shape is all that printing needs.
fn record(key: Option<&'static str>, value: Option<&'static [u8]>, timestamp: Option<i64>) -> ConsumerRecord {
    ConsumerRecord {
        topic: "orders".into(),
        partition: 3,
        offset: Offset::new(41),
        timestamp: timestamp.map(Timestamp::from_millis),
        key: key.map(Into::into),
        value: value.map(Into::into),
        headers: vec![
            Header { name: "trace".into(), value: Some("7".into()) },
            Header { name: "empty".into(), value: None },
        ],
    }
}

fn check(format: &str, expected: Expect) {
    let format: RecordFormat = match format.parse() {
        Ok(format) => format,
        Err(error) => return expected.assert_eq(&error),
    };
    let mut out = Vec::new();
    format.write(&record(Some("k"), Some(b"lamp"), Some(1_700_000_000_000)), &mut out).unwrap();
    format.write(&record(None, None, None), &mut out).unwrap();
    format.write(&record(Some(""), Some(b"\xff\x00"), Some(0)), &mut out).unwrap();
    expected.assert_eq(&out.escape_ascii().to_string().replace("\\n", "\n"));
}

#[test]
fn records_are_printed_in_every_format() {
    check(
        "value",
        expect![[r#"
        lamp

        \xff\x00
    "#]],
    );
    check(
        "text",
        expect![[r#"
        orders-3 @ 41  2023-11-14T22:13:20.000Z  \"k\" = \"lamp\"  trace=\"7\"  empty=null
        orders-3 @ 41  null = null  trace=\"7\"  empty=null
        orders-3 @ 41  1970-01-01T00:00:00.000Z  \"\" = 0xff00  trace=\"7\"  empty=null
    "#]],
    );
    check(
        "json",
        expect![[r#"
        {\"headers\":[{\"name\":\"trace\",\"value\":\"7\"},{\"name\":\"empty\",\"value\":null}],\"key\":\"k\",\"offset\":41,\"partition\":3,\"timestamp_ms\":1700000000000,\"topic\":\"orders\",\"value\":\"lamp\"}
        {\"headers\":[{\"name\":\"trace\",\"value\":\"7\"},{\"name\":\"empty\",\"value\":null}],\"key\":null,\"offset\":41,\"partition\":3,\"timestamp_ms\":null,\"topic\":\"orders\",\"value\":null}
        {\"headers\":[{\"name\":\"trace\",\"value\":\"7\"},{\"name\":\"empty\",\"value\":null}],\"key\":\"\",\"offset\":41,\"partition\":3,\"timestamp_ms\":0,\"topic\":\"orders\",\"value\":{\"bytes\":2,\"cut\":false,\"hex\":\"ff00\"}}
    "#]],
    );
    check(
        "%t/%p/%o %K:%k %S:%v %T [%h] 100%%\\n",
        expect![[r#"
        orders/3/41 1:k 4:lamp 1700000000000 [trace=7,empty=] 100%
        orders/3/41 -1: -1: -1 [trace=7,empty=] 100%
        orders/3/41 0: 2:\xff\x00 0 [trace=7,empty=] 100%
    "#]],
    );
    check("%k\\t%s\\x1e", expect![[r#"k\tlamp\x1e\t\x1e\t\xff\x00\x1e"#]]);
}

#[test]
fn a_wrong_format_says_what_there_is() {
    check("%q", expect!["%q is no field: there are %t %p %o %k %K %v %s %S %T %h %%"]);
    check("%k %", expect!["% at the end names no field"]);
    check("%k\\q", expect![[r#"\q is no character: there are \n \t \r \0 \xHH \\"#]]);
    check("%k\\xzz", expect![[r#"\xzz is no byte"#]]);
    check(
        "plain",
        expect![[r#"expected value, text, json, or a format with fields such as '%p %o %k %v\n'"#]],
    );
}
