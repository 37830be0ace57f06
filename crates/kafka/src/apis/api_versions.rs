//! ApiVersions: what this broker serves, straight from the dispatch table.

use ottla_wire::messages::api_versions_request::ApiVersionsRequest;
use ottla_wire::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_wire::{ApiKey, ErrorCode};

use crate::dispatch::{self, Call};
use crate::reply::{Refusal, Reply};

/// A feature's lowest version may be 0.
const FEATURES_FROM_ZERO: i16 = 4;

pub(crate) fn api_versions(call: &Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    // KIP-511: names that end up in metrics must be sane, where the version has them at all.
    let named = call.version >= 3;
    if named
        && !(is_software_name(&request.client_software_name)
            && is_software_name(&request.client_software_version))
    {
        return ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
    }
    table(call, ErrorCode::NONE)
}

/// Answers a version that is not known at version 0, which every client reads, so that it can choose another.
pub(crate) fn unsupported_version(call: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::Ready(call.answer_at(0, &table(call, ErrorCode::UNSUPPORTED_VERSION))?))
}

fn table(call: &Call, error: ErrorCode) -> ApiVersionsResponse {
    let api_keys = dispatch::advertised()
        .map(|(api, versions)| ApiVersion {
            api_key: api.code(),
            min_version: *versions.start(),
            max_version: *versions.end(),
        })
        .collect();
    let mut response = ApiVersionsResponse { error_code: error, api_keys, ..Default::default() };
    if dispatch::advertised().any(|(api, _)| api == ApiKey::ConsumerGroupHeartbeat) {
        describe_groups(call, &mut response);
    }
    response
}

/// `group.version` 1 says that groups may use the protocol of KIP-848.
fn describe_groups(call: &Call, response: &mut ApiVersionsResponse) {
    let name = || "group.version".to_owned();
    // Older clients take a lowest version of 0 for an error (KAFKA-17492).
    if call.version >= FEATURES_FROM_ZERO {
        response.supported_features =
            vec![SupportedFeatureKey { name: name(), min_version: 0, max_version: 1 }];
    }
    response.finalized_features_epoch = i64::try_from(call.front.node.image().version()).unwrap_or(i64::MAX);
    response.finalized_features =
        vec![FinalizedFeatureKey { name: name(), min_version_level: 1, max_version_level: 1 }];
}

/// Kafka's rule: letters, digits, dots and dashes, beginning and ending with a letter or digit.
fn is_software_name(name: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}
