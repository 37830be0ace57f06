use std::time::Duration;

use ottla_node::Metrics;
use ottla_wire::messages::{DeleteTopicsResponse, delete_topics_response::DeletableTopicResult};
use ottla_wire::{ApiKey, ErrorCode, Writer};

use super::*;

fn answer(codes: &[ErrorCode]) -> Frame {
    let responses = codes.iter().map(|code| DeletableTopicResult { error_code: *code, ..Default::default() });
    let response = DeleteTopicsResponse { responses: responses.collect(), ..Default::default() };
    let mut message = Writer::new();
    ottla_wire::frame::write_response(&mut message, ApiKey::DeleteTopics, 5, 1, &response).unwrap();
    Frame { message, ranges: Vec::new() }
}

fn watch() -> Stopwatch {
    let now = Instant::now();
    Stopwatch::start(0, now - Duration::from_millis(7), now)
}

/// The value of a sample; 0 if there is none.
fn sample(metrics: &Metrics, name: &str) -> f64 {
    let page = metrics.encode();
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

const SENT: &str = "ottla_request_duration_seconds_count{protocol=\"kafka\",api=\"DeleteTopics\"}";

#[test]
fn an_answer_counts_when_its_last_byte_has_left() {
    let metrics = Metrics::default();
    let apis = [metrics.api("kafka", "DeleteTopics", &(1..=6))];
    apis[0].started(5, 100);
    let (first, second) = (answer(&[]), answer(&[]));
    let length = first.message.frame_len();
    let mut departures = Departures::default();
    departures.push(watch(), Some(&first), &apis);
    departures.push(watch(), Some(&second), &apis);
    for (unsent, sent) in [(2 * length, 0.0), (length + 1, 0.0), (length, 1.0), (1, 1.0), (0, 2.0)] {
        departures.left(unsent, &apis);
        assert_eq!(sample(&metrics, SENT), sent, "{unsent} of {}", 2 * length);
    }
    let queue =
        "ottla_request_phase_duration_seconds_sum{protocol=\"kafka\",api=\"DeleteTopics\",phase=\"queue\"}";
    assert!((sample(&metrics, queue) - 0.014).abs() < 1e-9);
    let bytes = "ottla_request_answered_bytes_total{protocol=\"kafka\",api=\"DeleteTopics\"}";
    assert_eq!(sample(&metrics, bytes), 2.0 * length as f64);
}

#[test]
fn errors_count_by_name_and_as_often_as_they_stand_in_the_answer() {
    let metrics = Metrics::default();
    let apis = [metrics.api("kafka", "DeleteTopics", &(1..=6))];
    apis[0].started(5, 100);
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let codes = [ErrorCode::NONE, unknown, ErrorCode::INVALID_REQUEST, unknown];
    Departures::default().push(watch(), Some(&answer(&codes)), &apis);
    let errors = |name: &str| {
        let labels = format!("{{protocol=\"kafka\",api=\"DeleteTopics\",error=\"{name}\"}}");
        sample(&metrics, &format!("ottla_request_errors_total{labels}"))
    };
    assert_eq!(
        (errors("UNKNOWN_TOPIC_OR_PARTITION"), errors("INVALID_REQUEST"), errors("NONE")),
        (2.0, 1.0, 0.0)
    );
}

#[test]
fn a_client_that_does_not_read_is_not_remembered_for_ever() {
    let metrics = Metrics::default();
    let apis = [metrics.api("kafka", "DeleteTopics", &(1..=6))];
    apis[0].started(9, 100);
    let mut departures = Departures::default();
    for _ in 0..MAX_DEPARTING + 5 {
        departures.push(watch(), Some(&answer(&[])), &apis);
    }
    assert_eq!(departures.queue.len(), MAX_DEPARTING);
    assert_eq!(sample(&metrics, SENT), 5.0);
    let other = "ottla_requests_total{protocol=\"kafka\",api=\"DeleteTopics\",version=\"other\"}";
    assert_eq!(sample(&metrics, other), 1.0);
}
