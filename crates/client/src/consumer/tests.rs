use std::time::Duration;

use super::*;
use crate::client::Client;

fn consumer() -> Consumer {
    let client = Client::builder().bootstrap("http://127.0.0.1:1").build().unwrap();
    let builder = client.consumer().partition("a", 0, Start::Offset(Offset::new(5)));
    builder.partition("a", 1, Start::Latest).build().unwrap()
}

fn refusal(kafka: KafkaError, topic: &str, partition: i32) -> Error {
    let detail = ottla_rpc::status::detail(kafka);
    let detail = v1::ErrorDetail { topic: topic.into(), partition: Some(partition), ..detail };
    Error::from_detail("no".into(), detail)
}

#[tokio::test]
async fn positions_are_known_where_they_were_named_by_offset() {
    let mut consumer = consumer();
    assert_eq!(consumer.position("a", 0), Some(Offset::new(5)));
    assert_eq!(consumer.position("a", 1), None, "not looked up yet");
    consumer.seek("a", 1, Start::Offset(Offset::new(9))).unwrap();
    let positions: Vec<_> = consumer.positions().collect();
    assert_eq!(positions, [("a", 0, Some(Offset::new(5))), ("a", 1, Some(Offset::new(9)))]);
    assert_eq!(
        consumer.seek("b", 0, Start::Earliest).unwrap_err().to_string(),
        "b-0 is not assigned to this consumer"
    );
}

#[tokio::test]
async fn an_offset_outside_of_the_log_is_met_by_the_policy() {
    for (policy, told, place) in [
        (OutOfRange::Fail, true, Place::At(Offset::new(5))),
        (OutOfRange::Earliest, false, Place::Named(Start::Earliest)),
        (OutOfRange::Latest, false, Place::Named(Start::Latest)),
    ] {
        let mut consumer = consumer();
        consumer.settings.out_of_range = policy;
        let error = consumer.after(refusal(KafkaError::OFFSET_OUT_OF_RANGE, "a", 0));
        assert_eq!(error.is_some(), told, "{policy:?}");
        assert_eq!(consumer.assigned("a", 0).unwrap().place, place);
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_of_after_a_while_and_then_again() {
    let mut consumer = consumer();
    let broken = Error::unavailable("a", "refused".into(), false);
    for _ in 0..2 {
        assert!(consumer.after(broken.clone()).is_none());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(consumer.after(broken.clone()).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(consumer.after(broken.clone()), Some(Error::TimedOut { .. })));
    }
    let fatal = refusal(KafkaError::TOPIC_AUTHORIZATION_FAILED, "a", 0);
    assert!(consumer.after(fatal).is_some(), "at once");
}

#[tokio::test]
async fn nobody_there_is_an_error_and_not_the_end() {
    let client = Client::builder().bootstrap("http://127.0.0.1:1").build().unwrap();
    let builder = client.consumer().partition("a", 0, Start::Earliest);
    let mut consumer = builder.give_up_after(Duration::from_millis(100)).build().unwrap();
    for _ in 0..2 {
        let error = consumer.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }) && error.is_retriable(), "{error}");
    }
}
