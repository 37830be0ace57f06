//! How long a caller waits.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::Status;

/// The header with which a gRPC client says it.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// When a caller gives up, if it said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// Reads it off a request that came now.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Status> {
        let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(Self(None)) };
        let timeout = value.to_str().ok().and_then(parse).ok_or_else(|| {
            let shown = String::from_utf8_lossy(value.as_bytes());
            Status::invalid_argument(format!(
                "grpc-timeout {shown:?} is not up to eight digits and one of H, M, S, m, u, n"
            ))
        })?;
        Ok(Self(Instant::now().checked_add(timeout)))
    }

    /// Of a call that may last.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Of a call of our own.
    pub(crate) fn within(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// The deadline of a request; none if it came past the router, as in a test.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().copied().unwrap_or(Self::none())
    }

    /// The moment.
    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }

    /// How long an operation may take that takes `asked` at most by itself.
    pub(crate) fn cap(self, asked: Duration) -> Duration {
        match self.0 {
            Some(instant) => asked.min(instant.saturating_duration_since(Instant::now())),
            None => asked,
        }
    }

    /// How long the caller waits still; `None` if it did not say.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|instant| instant.saturating_duration_since(Instant::now()))
    }

    /// What a call ends with whose time has run out.
    pub(crate) fn passed() -> Status {
        Status::deadline_exceeded("the call's deadline has passed")
    }
}

/// Source: "Timeout" in gRPC's PROTOCOL-HTTP2.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("30S", Some(Duration::from_secs(30))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("123456789S", None),
            ("-1S", None),
            ("1.5S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
