use super::*;

fn seen(kafka: KafkaError) -> Error {
    let detail = ErrorDetail { topic: "orders".into(), partition: Some(3), ..status::detail(kafka) };
    Error::from_status("http://b:1", &status::to_status("the broker's words", detail))
}

#[test]
fn a_refusal_keeps_what_the_broker_said() {
    let error = seen(KafkaError::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(error.to_string(), "the broker's words (NOT_LEADER_OR_FOLLOWER)");
    assert_eq!(
        (error.kafka_name(), error.topic(), error.partition(), error.is_retriable()),
        (Some("NOT_LEADER_OR_FOLLOWER"), Some("orders"), Some(3), true)
    );
    assert!(!seen(KafkaError::INVALID_PARTITIONS).is_retriable());
}

#[test]
fn what_may_have_happened_is_said() {
    for (error, unknown) in [
        (seen(KafkaError::REQUEST_TIMED_OUT), true),
        (seen(KafkaError::NOT_ENOUGH_REPLICAS), false),
        (Error::unavailable("a", "refused".into(), false), false),
        (Error::unavailable("a", "reset".into(), true), true),
        (Error::Closed, false),
    ] {
        assert_eq!(error.is_outcome_unknown(), unknown, "{error}");
    }
}

#[test]
fn a_status_without_detail_is_a_connection_or_a_refusal_of_grpc() {
    let proxy = Error::from_status("http://b:1", &Status::unavailable("no healthy upstream"));
    assert_eq!(proxy.to_string(), "no broker answered at http://b:1: no healthy upstream");
    assert!(proxy.is_retriable());
    let unknown = Error::from_status("http://b:1", &Status::unimplemented("no such method"));
    assert_eq!(unknown.to_string(), "no such method (Unimplemented)");
    assert!(!unknown.is_retriable() && unknown.kafka_name().is_none());
}

#[test]
fn a_timeout_tells_of_its_last_attempt() {
    let last = Some(Box::new(seen(KafkaError::UNKNOWN_TOPIC_OR_PARTITION)));
    let error = Error::TimedOut {
        what: "delivering a record",
        after: Duration::from_secs(5),
        maybe_sent: false,
        last,
    };
    assert_eq!(error.kafka_name(), Some("UNKNOWN_TOPIC_OR_PARTITION"));
    assert_eq!(
        error.to_string(),
        "delivering a record took longer than 5s; the last attempt: the broker's words (UNKNOWN_TOPIC_OR_PARTITION)"
    );
}
