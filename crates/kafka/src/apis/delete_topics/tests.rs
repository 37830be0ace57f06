use expect_test::{Expect, expect};

use super::*;
use crate::apis::sample_cluster::{cluster, id};

/// Words are names; a `#` before one makes it an id, `name#name` both, `-` neither.
fn check_request(request: &str, expected: &Expect) {
    let states: Vec<DeleteTopicState> = request
        .split_whitespace()
        .map(|word| match word.split_once('#') {
            _ if word == "-" => DeleteTopicState { name: None, topic_id: Uuid::ZERO },
            Some(("", topic)) => DeleteTopicState { name: None, topic_id: id(topic) },
            Some((name, topic)) => DeleteTopicState { name: Some(name.to_owned()), topic_id: id(topic) },
            None => DeleteTopicState { name: Some(word.to_owned()), topic_id: Uuid::ZERO },
        })
        .collect();
    let ids = [("a", id("a")), ("b", id("b")), ("no id", Uuid::ZERO)];
    let shown = |uuid: Uuid| ids.iter().find(|(_, id)| *id == uuid).map_or("strange id", |(word, _)| *word);
    let image = cluster(&[("a", 1), ("b", 1)]);
    let lines: String = super::check(&image, &states)
        .into_iter()
        .map(|checked| {
            let what = match checked.selector {
                Ok(TopicSelector::Name(name)) => format!("delete by name {name}"),
                Ok(TopicSelector::Id(id)) => format!("delete by id {}", shown(id.0)),
                Err(refused) => format!("{}: {}", refused.code, refused.message),
            };
            format!("{:?}, {}: {what}\n", checked.name, shown(checked.topic_id))
        })
        .collect();
    expected.assert_eq(&lines);
}

#[test]
fn topics_are_named_in_either_way() {
    check_request(
        "a #b gone #gone",
        &expect![[r#"
            Some("a"), no id: delete by name a
            None, b: delete by id b
            Some("gone"), no id: delete by name gone
            None, strange id: delete by id strange id
        "#]],
    );
}

#[test]
fn what_is_named_in_no_way_or_in_two_is_refused() {
    check_request(
        "- a#a",
        &expect![[r#"
            None, no id: INVALID_REQUEST: Neither topic name nor id were specified.
            Some("a"), a: INVALID_REQUEST: You may not specify both topic name and topic id.
        "#]],
    );
}

#[test]
fn what_is_named_twice_stays_and_is_answered_once() {
    check_request(
        "a b a #b a #a #a",
        &expect![[r#"
            Some("a"), no id: INVALID_REQUEST: Duplicate topic name.
            Some("b"), b: INVALID_REQUEST: The provided topic name maps to an ID that was already supplied.
            None, a: INVALID_REQUEST: Duplicate topic id.
        "#]],
    );
}

#[test]
fn a_name_given_twice_does_not_hide_an_id() {
    check_request(
        "a a #a",
        &expect![[r#"
            Some("a"), no id: INVALID_REQUEST: Duplicate topic name.
            None, a: delete by id a
        "#]],
    );
}
