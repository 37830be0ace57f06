use super::*;

#[test]
fn lines_are_events() {
    let owned = |partitions: [i32; 2]| BTreeSet::from(partitions);
    for (line, event) in [
        (r#"{"event":"assigned","partitions":[1,0]}"#, Event::Assigned { partitions: owned([0, 1]) }),
        (r#"{"event": "revoked", "partitions": [2, 5]}"#, Event::Revoked { partitions: owned([2, 5]) }),
        (r#"{"event":"record","partition":3,"offset":7}"#, Event::Record { partition: 3, offset: 7 }),
        (
            r#"{"event":"committed","offsets":{"3":8,"10":9}}"#,
            Event::Committed { offsets: BTreeMap::from([(3, 8), (10, 9)]) },
        ),
        (r#"{"event":"retried","error":"no"}"#, Event::Retried { error: "no".to_owned() }),
        (r#"{"event":"disconnected","error":"EOF"}"#, Event::Disconnected { error: "EOF".to_owned() }),
        (r#"{"event":"closed"}"#, Event::Closed),
    ] {
        assert_eq!(parse(line).as_ref(), Ok(&event), "{line}");
    }
    assert!(parse("panic: out of memory").unwrap_err().contains("out of memory"));
}

#[test]
fn kcat_says_it_in_words() {
    let says = |rest: &str| kcat_rebalance(&format!("% Group g rebalanced (memberid m-1): {rest}"));
    assert_eq!(
        says("assigned: t [0], t [12]"),
        Some(Event::Assigned { partitions: BTreeSet::from([0, 12]) })
    );
    assert_eq!(says("revoked: t [4]"), Some(Event::Revoked { partitions: BTreeSet::from([4]) }));
    let incremental = "% Group g rebalanced: incremental assignment of 1 partition(s) (memberid m-1, COOPERATIVE rebalance protocol): t [3]";
    assert_eq!(kcat_rebalance(incremental), Some(Event::Assigned { partitions: BTreeSet::from([3]) }));
    assert_eq!(kcat_rebalance("% Reached end of topic t [0] at offset 3"), None);
}
