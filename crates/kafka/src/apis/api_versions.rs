//! ApiVersions: what this broker serves, straight from the dispatch table.

use ottla_wire::ErrorCode;
use ottla_wire::messages::api_versions_request::ApiVersionsRequest;
use ottla_wire::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

use crate::dispatch::{self, Call};
use crate::reply::{Refusal, Reply};

pub(crate) fn api_versions(call: &Call, request: ApiVersionsRequest) -> ApiVersionsResponse {
    // KIP-511: names that end up in metrics must be sane, where the version has them at all.
    let named = call.version >= 3;
    if named
        && !(is_software_name(&request.client_software_name)
            && is_software_name(&request.client_software_version))
    {
        return ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
    }
    table(ErrorCode::NONE)
}

/// Answers a version that is not known at version 0, which every client reads, so that it can choose another.
pub(crate) fn unsupported_version(call: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::Ready(call.answer_at(0, &table(ErrorCode::UNSUPPORTED_VERSION))?))
}

fn table(error: ErrorCode) -> ApiVersionsResponse {
    let api_keys = dispatch::advertised()
        .map(|(api, versions)| ApiVersion {
            api_key: api.code(),
            min_version: *versions.start(),
            max_version: *versions.end(),
        })
        .collect();
    ApiVersionsResponse { error_code: error, api_keys, ..Default::default() }
}

/// Kafka's rule: letters, digits, dots and dashes, beginning and ending with a letter or digit.
fn is_software_name(name: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}
