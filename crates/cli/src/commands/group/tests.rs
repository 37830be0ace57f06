use ottla_client::Offset;

use super::*;

#[test]
fn a_topic_is_named_with_or_without_partitions() {
    let all = Selection { topic: "orders".into(), partitions: Vec::new() };
    assert_eq!(selection("orders"), Ok(all));
    let some = Selection { topic: "orders".into(), partitions: vec![0, 3] };
    assert_eq!(selection("orders:0, 3"), Ok(some));
    for bad in ["", ":1", "orders:", "orders:x", "orders:-1"] {
        assert!(selection(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn partitions_stand_under_their_topic() {
    let of = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
    assert_eq!(by_topic(&[of("a", 0), of("a", 2), of("b", 1)]), "a:0,2 b:1");
    assert_eq!(by_topic(&[]), "");
}

#[test]
fn the_file_is_kafkas() {
    let line = |topic: &str, partition, offset| csv::Line {
        topic: topic.into(),
        partition,
        offset: Offset::new(offset),
    };
    let text = "orders,0,12\n\"a-topic-with-a-very-long-name\",1,0\n\n";
    let lines = csv::parse(text, "g").unwrap();
    assert_eq!(lines, [line("orders", 0, 12), line("a-topic-with-a-very-long-name", 1, 0)]);
    let text = "g,orders,0,12\n\"h\",orders,0,99\n";
    assert_eq!(
        csv::parse(text, "g").unwrap(),
        [line("orders", 0, 12)],
        "another group's lines are left alone"
    );
    assert_eq!(csv::parse(&csv::format("orders", 3, Offset::new(7)), "g").unwrap(), [line("orders", 3, 7)]);
    for (bad, why) in [
        ("orders,0", "line 1: expected topic,partition,offset, not 'orders,0'"),
        ("orders,0,1\norders,x,1", "line 2: partition and offset are numbers from 0, not 'orders,x,1'"),
        ("orders,0,-1", "line 1: partition and offset are numbers from 0, not 'orders,0,-1'"),
    ] {
        assert_eq!(csv::parse(bad, "g").unwrap_err(), why);
    }
}
