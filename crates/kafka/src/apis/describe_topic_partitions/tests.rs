use expect_test::{Expect, expect};
use ottla_wire::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

use super::*;
use crate::apis::sample_cluster::cluster;

/// Asks page after page until there is no cursor, as a client does.
fn check(topics: &[&str], from: Option<(&str, i32)>, limit: i32, expected: &Expect) {
    let image = cluster(&[("a", 2), ("b", 3), ("c", 1)]);
    let mut cursor =
        from.map(|(topic, partition_index)| From { topic_name: topic.to_owned(), partition_index });
    let mut pages = String::new();
    loop {
        let request = DescribeTopicPartitionsRequest {
            topics: topics.iter().map(|name| TopicRequest { name: (*name).to_owned() }).collect(),
            response_partition_limit: limit,
            cursor,
        };
        let response = answer(&image, "PLAINTEXT", &request, 4);
        pages += &show(&response);
        cursor = response
            .next_cursor
            .map(|next| From { topic_name: next.topic_name, partition_index: next.partition_index });
        if cursor.is_none() {
            return expected.assert_eq(&pages);
        }
    }
}

fn show(response: &DescribeTopicPartitionsResponse) -> String {
    let topics = response.topics.iter().map(|topic| {
        let name = topic.name.as_deref().unwrap_or("?");
        if topic.error_code.is_error() {
            return format!("{name} {}", topic.error_code);
        }
        let partitions: Vec<i32> =
            topic.partitions.iter().map(|partition| partition.partition_index).collect();
        format!("{name} {partitions:?}")
    });
    let next = response
        .next_cursor
        .as_ref()
        .map(|next| format!("next {}-{}", next.topic_name, next.partition_index));
    topics.chain(next).collect::<Vec<_>>().join(", ") + "\n"
}

#[test]
fn all_topics_come_in_pages_of_at_most_the_limit() {
    check(
        &[],
        None,
        2,
        &expect![[r#"
            a [0, 1], next b-0
            b [0, 1], next b-2
            b [2], c [0]
        "#]],
    );
}

#[test]
fn the_broker_has_a_limit_too_and_no_page_is_empty() {
    check(
        &[],
        None,
        1000,
        &expect![[r#"
            a [0, 1], b [0, 1], next b-2
            b [2], c [0]
        "#]],
    );
    check(
        &["a"],
        None,
        0,
        &expect![[r#"
            a [0], next a-1
            a [1]
        "#]],
    );
}

#[test]
fn named_topics_come_by_name_once_and_unknown_ones_with_an_error() {
    check(
        &["c", "x", "a", "c", "no/name"],
        None,
        1000,
        &expect![[r#"
            a [0, 1], c [0], no/name INVALID_TOPIC_EXCEPTION, x UNKNOWN_TOPIC_OR_PARTITION
        "#]],
    );
}

#[test]
fn a_cursor_at_a_topic_that_is_gone_goes_on_with_the_next() {
    check(
        &[],
        Some(("aa", 7)),
        1000,
        &expect![[r#"
            b [0, 1, 2], c [0]
        "#]],
    );
}

#[test]
fn a_cursor_outside_the_list_or_below_zero_is_refused() {
    check(
        &["a", "b"],
        Some(("c", 0)),
        1000,
        &expect![[r#"
            a INVALID_REQUEST, b INVALID_REQUEST
        "#]],
    );
    check(
        &["a", "b"],
        Some(("b", -1)),
        1000,
        &expect![[r#"
            a INVALID_REQUEST, b INVALID_REQUEST
        "#]],
    );
}
