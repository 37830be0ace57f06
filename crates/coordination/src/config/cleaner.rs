//! What compaction may take on a broker.

use std::time::Duration;

use super::layers::Layers;
use super::typed::Typed;

/// The values of a broker's cleaner. All but the first may change while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`
    pub enabled: bool,
    /// `log.cleaner.backoff.ms`
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`
    pub map_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`
    pub load_factor: f64,
    /// `log.cleaner.io.buffer.size`
    pub buffer_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`
    pub max_bytes_per_second: f64,
}

impl CleanerConfig {
    /// The values of a broker with these settings.
    pub fn resolve(layers: Layers<'_>) -> Self {
        let keys = Typed::broker(layers);
        Self {
            enabled: keys.boolean("log.cleaner.enable"),
            backoff: Duration::from_millis(keys.number("log.cleaner.backoff.ms").unsigned_abs()),
            map_bytes: keys.number("log.cleaner.dedupe.buffer.size").max(0).unsigned_abs(),
            load_factor: keys.fraction("log.cleaner.io.buffer.load.factor"),
            buffer_bytes: keys.size("log.cleaner.io.buffer.size"),
            max_bytes_per_second: keys.fraction("log.cleaner.io.max.bytes.per.second"),
        }
    }
}
