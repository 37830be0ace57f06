use expect_test::{Expect, expect};
use ottla_record::Timestamp;

use super::*;

#[test]
fn bytes_are_shown_as_text_or_hex_and_cut() {
    let check = |bytes: Option<&[u8]>, max, text: &str, json: &str| {
        let shown = Shown::new(bytes, max);
        assert_eq!(shown.to_string(), text);
        assert_eq!(serde_json::to_string(&shown).unwrap(), json);
    };
    check(None, 8, "null", "null");
    check(Some(b""), 8, r#""""#, r#""""#);
    check(Some("grün".as_bytes()), 8, r#""grün""#, r#""grün""#);
    check(Some("grün".as_bytes()), 3, r#""gr"…+3 bytes"#, r#"{"bytes":5,"utf8":"gr","cut":true}"#);
    check(Some(b"a\"\x1b[2J"), 8, r#""a\"\u{1b}[2J""#, r#""a\"\u001b[2J""#);
    check(Some(&[0xff, 0, 1]), 8, "0xff0001", r#"{"bytes":3,"hex":"ff0001","cut":false}"#);
    check(Some(&[0xff, 0, 1]), 2, "0xff00…+1 bytes", r#"{"bytes":3,"hex":"ff00","cut":true}"#);
}

#[test]
fn moments_and_spans() {
    let at = |millis| Instant(Timestamp::from_millis(millis)).to_string();
    assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(at(1_600_000_000_123), "2020-09-13T12:26:40.123Z");
    assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
    assert_eq!(at(-1), "1969-12-31T23:59:59.999Z");
    at(i64::MAX);
    at(i64::MIN);
    let span = |millis| Duration(std::time::Duration::from_millis(millis)).to_string();
    assert_eq!([span(12), span(2_540), span(243_000), span(3_725_000)], ["12ms", "2.5s", "4m 03s", "1h 02m"]);
}

#[test]
fn sizes() {
    let texts = [0, 1023, 1024, 1_572_864, 5 << 30, u64::MAX].map(|bytes| Bytes(bytes).to_string());
    assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 GiB", "16777215.9 TiB"]);
}

fn check_table(width: Option<usize>, expected: Expect) {
    let mut table =
        Table::new([("topic", Align::Left), ("partitions", Align::Right), ("configs", Align::Left)]);
    table.row([
        "orders".to_owned(),
        "12".to_owned(),
        "cleanup.policy=compact,segment.bytes=1048576".to_owned(),
    ]);
    table.row(["a".to_owned(), "1".to_owned()]);
    expected.assert_eq(&table.render(width));
}

#[test]
fn tables_are_as_wide_as_their_text_or_the_terminal() {
    check_table(
        None,
        expect![[r#"
            TOPIC   PARTITIONS  CONFIGS
            orders          12  cleanup.policy=compact,segment.bytes=1048576
            a                1
        "#]],
    );
    check_table(
        Some(40),
        expect![[r#"
            TOPIC   PARTITIONS  CONFIGS
            orders          12  cleanup.policy=comp…
            a                1
        "#]],
    );
    // Too narrow for anything: words stay recognisable, and the terminal breaks the line.
    check_table(
        Some(10),
        expect![[r#"
            TOPIC   PARTITIONS  CONFIGS
            orders          12  cleanup…
            a                1
        "#]],
    );
}

#[test]
fn one_answer_in_two_forms() {
    #[derive(serde::Serialize)]
    struct Thing {
        name: &'static str,
    }
    impl std::fmt::Display for Thing {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a thing called {}", self.name)
        }
    }
    let both = |form| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err, form);
        output.item(&Thing { name: "x" }).unwrap();
        output.text("for people").unwrap();
        output.warn("careful");
        assert_eq!(err, b"ottla: warning: careful\n");
        String::from_utf8(out).unwrap()
    };
    assert_eq!(both(Form::Text), "a thing called x\nfor people\n");
    assert_eq!(both(Form::Json), "{\"name\":\"x\"}\n");
}
