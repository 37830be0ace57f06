use super::*;

#[test]
fn the_table_is_what_a_stock_broker_lists() {
    assert_eq!(ApiKey::ALL.len(), 77);
    assert_eq!(ApiKey::ALL.iter().filter(|api| !api.needs_telemetry_receiver()).count(), 75);
    assert_eq!(ApiKey::Produce.advertised_versions(), 0..=13);
    assert_eq!(ApiKey::Produce.versions(), 3..=13);
    assert_eq!(ApiKey::InitProducerId.advertised_versions(), 0..=5);
    assert_eq!(ApiKey::InitProducerId.versions(), 0..=6);
    assert_eq!(ApiKey::ApiVersions.advertised_versions(), 0..=4);
    assert!(ApiKey::Fetch.is_served_by_controllers());
    assert!(!ApiKey::Produce.is_served_by_controllers());
}

#[test]
fn a_key_that_brokers_do_not_serve_is_none() {
    // Removed in 4.0, controllers' own, unknown.
    for code in [4, 5, 6, 7, 52, 56, 62, 93, -1, i16::MAX] {
        assert_eq!(ApiKey::from_code(code), None, "{code}");
    }
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::from_code(api.code()), Some(*api));
    }
}

#[test]
fn header_versions_follow_from_flexible_versions() {
    let headers =
        |api: ApiKey, version| (api.request_header_version(version), api.response_header_version(version));
    assert_eq!(headers(ApiKey::Produce, 8), (1, 0));
    assert_eq!(headers(ApiKey::Produce, 9), (2, 1));
    assert_eq!(headers(ApiKey::ApiVersions, 2), (1, 0));
    assert_eq!(headers(ApiKey::ApiVersions, 3), (2, 0));
    // Above what is known the rule still holds, so that the correlation id can be read and answered.
    assert_eq!(headers(ApiKey::ApiVersions, 99), (2, 0));
    assert_eq!(headers(ApiKey::SaslHandshake, 1), (1, 0));
    assert_eq!(headers(ApiKey::OffsetDelete, 0), (1, 0));
}
