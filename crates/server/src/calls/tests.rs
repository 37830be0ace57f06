use std::collections::BTreeSet;

use ottla_rpc::DESCRIPTORS;
use prost::Message as _;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTORS;

use super::*;

#[test]
fn every_method_of_our_services_and_of_health_is_counted() {
    let mut missing = BTreeSet::new();
    for descriptors in [DESCRIPTORS, HEALTH_DESCRIPTORS] {
        for file in prost_types::FileDescriptorSet::decode(descriptors).unwrap().file {
            for service in &file.service {
                missing.extend(
                    service
                        .method
                        .iter()
                        .map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())),
                );
            }
        }
    }
    assert!(missing.contains("/ottla.v1.Log/Fetch"), "{missing:?}");
    for (path, _) in METHODS {
        missing.remove(path);
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn an_end_counts_by_kafkas_name_or_by_grpcs_where_kafka_has_none() {
    let metrics = Metrics::default();
    let calls = Calls::new(&metrics);
    let call = calls.method("/ottla.v1.Log/Publish").begin();
    let unknown = status::to_status("no such topic", status::detail(KafkaError::UNKNOWN_TOPIC_OR_PARTITION));
    for status in [unknown, Status::deadline_exceeded("late"), Status::ok("")] {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        call.ended(&headers);
    }
    call.ended(&HeaderMap::new());
    let page = metrics.encode();
    let ended = "ottla_request_duration_seconds_count{protocol=\"grpc\",api=\"Publish\"}";
    assert!(page.contains(&format!("{ended} 0")), "it is still open: {page}");
    drop(call);
    let page = metrics.encode();
    let lines: Vec<&str> =
        page.lines().filter(|line| line.starts_with("ottla_request_errors_total")).collect();
    assert_eq!(
        lines,
        [
            "ottla_request_errors_total{protocol=\"grpc\",api=\"Publish\",error=\"DEADLINE_EXCEEDED\"} 1",
            "ottla_request_errors_total{protocol=\"grpc\",api=\"Publish\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 1",
        ]
    );
    assert!(page.contains(&format!("{ended} 1")), "{page}");
    assert!(!page.contains("ottla_request_phase_duration_seconds"), "it was never answered: {page}");
}

/// Methods and phases of a page, with how often each was counted.
fn phases(metrics: &Metrics) -> Vec<String> {
    let page = metrics.encode();
    let counts =
        page.lines().filter_map(|line| line.strip_prefix("ottla_request_phase_duration_seconds_count"));
    counts.map(str::to_owned).collect()
}

#[test]
fn a_call_has_the_phases_that_are_known_of_it() {
    let metrics = Metrics::default();
    let calls = Calls::new(&metrics);
    let publish = calls.method("/ottla.v1.Log/Publish").begin();
    publish.timing().put_off();
    publish.timing().answered();
    calls.method("/ottla.v1.Topics/CreateTopic").begin().timing().answered();
    calls.method("/ottla.v1.Log/Fetch").begin().timing().answered();
    drop(publish);
    assert_eq!(
        phases(&metrics),
        [
            r#"{protocol="grpc",api="CreateTopic",phase="local"} 1"#,
            r#"{protocol="grpc",api="CreateTopic",phase="send"} 1"#,
            r#"{protocol="grpc",api="Publish",phase="local"} 1"#,
            r#"{protocol="grpc",api="Publish",phase="remote"} 1"#,
            r#"{protocol="grpc",api="Publish",phase="send"} 1"#,
        ]
    );
}
