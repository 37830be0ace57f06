//! Places in a log as people name them: `--from start|end|OFFSET|-N|TIME|AGE`.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_client::{Offset, Start, Timestamp};

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A place that the broker knows.
    Broker(Start),
    /// So many records before the end of each partition.
    BeforeEnd(i64),
    /// So long ago.
    Ago(Duration),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" | "beginning" | "earliest" => return Ok(Self::Broker(Start::Earliest)),
            "end" | "latest" => return Ok(Self::Broker(Start::Latest)),
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return Ok(match number {
                0.. => Self::Broker(Start::Offset(Offset::new(number))),
                _ => Self::BeforeEnd(number.saturating_neg()),
            });
        }
        if let Some(millis) = text.strip_prefix('@').and_then(|millis| millis.parse().ok()) {
            return Ok(Self::Broker(Start::At(Timestamp::from_millis(millis))));
        }
        if let Ok(time) = humantime::parse_rfc3339_weak(text) {
            return Ok(Self::Broker(Start::At(timestamp(time))));
        }
        if let Ok(age) = humantime::parse_duration(text) {
            return Ok(Self::Ago(age));
        }
        Err("expected start, end, an offset, -N (N records before the end), a time in UTC \
             (2026-01-31T08:00:00Z, or @ and milliseconds since 1970), or an age (15m, 2h, 7days)"
            .to_owned())
    }
}

impl Place {
    /// Where that is in a partition whose log has these bounds, at a time.
    pub fn resolve(self, log_start: Offset, end: Offset, now: SystemTime) -> Start {
        match self {
            Self::Broker(start) => start,
            Self::BeforeEnd(records) => {
                Start::Offset(Offset::new(end.get().saturating_sub(records)).max(log_start))
            }
            Self::Ago(age) => Start::At(now.checked_sub(age).map_or(Timestamp::EPOCH, timestamp)),
        }
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
