use expect_test::expect;

use super::partition_of;

#[test]
fn groups_live_where_kafka_puts_them() {
    // As Java's `Utils.abs(group.hashCode()) % 50` says; the hash of "polygenelubricants" is the smallest number there is.
    let groups = ["", "a", "my-group", "connect-cluster", "größe", "\u{1f980}", "polygenelubricants"];
    let places: String =
        groups.iter().map(|group| format!("{group:?} {}\n", partition_of(group, 50))).collect();
    expect![[r#"
        "" 0
        "a" 47
        "my-group" 12
        "connect-cluster" 13
        "größe" 7
        "🦀" 2
        "polygenelubricants" 0
    "#]]
    .assert_eq(&places);
    assert_eq!(partition_of("no topic yet", 0), 0);
}
