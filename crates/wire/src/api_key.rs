//! The APIs a broker's listener serves, at which versions, and the headers that go with them.

use std::fmt;
use std::ops::RangeInclusive;

include!(concat!(env!("OUT_DIR"), "/api_key.rs"));

/// What the schema says about an API.
struct Facts {
    name: &'static str,
    first: i16,
    last: i16,
    stable: i16,
    flexible: Option<i16>,
    controller: bool,
}

impl ApiKey {
    /// The API of a request header's key. `None` also for those that only controllers serve or that are gone: a broker
    /// closes the connection, as it knows neither header nor body.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.binary_search_by_key(&code, |api| api.code()).ok().and_then(|at| Self::ALL.get(at).copied())
    }

    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name, without `Request`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The versions this crate reads and writes.
    pub const fn versions(self) -> RangeInclusive<i16> {
        let facts = self.facts();
        facts.first..=facts.last
    }

    /// The versions a broker tells its clients of: without one that Kafka still calls unstable, and for Produce from 0,
    /// because librdkafka takes a minimum of 3 for a broker that cannot compress (KAFKA-18659).
    pub fn advertised_versions(self) -> RangeInclusive<i16> {
        let facts = self.facts();
        let first = if self == Self::Produce { 0 } else { facts.first };
        first..=facts.stable
    }

    /// Whether a stock broker leaves the API out of its answer to ApiVersions unless a telemetry receiver is configured.
    pub const fn needs_telemetry_receiver(self) -> bool {
        matches!(self, Self::GetTelemetrySubscriptions | Self::PushTelemetry)
    }

    /// Whether Kafka's controllers serve the API too.
    pub const fn is_served_by_controllers(self) -> bool {
        self.facts().controller
    }

    /// Whether the version has compact lengths and tagged fields (KIP-482).
    pub fn is_flexible(self, version: i16) -> bool {
        self.facts().flexible.is_some_and(|first| version >= first)
    }

    /// The version of the [`RequestHeader`](crate::messages::RequestHeader). Also right above the known versions, so that a
    /// too new request can be told from garbage and its correlation id answered.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the [`ResponseHeader`](crate::messages::ResponseHeader). ApiVersions always has 0: a client that does
    /// not know yet what the broker speaks must be able to read it (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) && self != Self::ApiVersions { 1 } else { 0 }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests;
