//! What a monitoring system sees of this broker: counters kept as work is done, gauges computed when somebody looks.
//!
//! | module | what it holds |
//! |---|---|
//! | [`family`] | [`Family`]: name, type, labels, help text of one metric |
//! | [`catalogue`] | every family there is, in sections; the documentation is written from it |
//! | [`instrument`] | [`Counter`], [`Histogram`]: what the data path touches |
//! | [`page`] | [`Page`]: one scrape, in Prometheus's text format |
//! | the others | the families of one area with what fills them |
//!
//! Invariant: the data path takes no lock and allocates nothing here. Its handles are found once, for a topic or an API.
//!
//! Invariant: an idle partition costs nothing: its gauges are read off its view while a page is written.

pub mod catalogue;
mod cluster;
pub(crate) mod directory;
pub mod family;
pub mod instrument;
pub(crate) mod node;
pub mod page;
mod partition;
pub mod process;
pub(crate) mod traffic;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

pub use family::{Family, Kind};
pub use instrument::{Counter, Histogram};
pub use page::Page;

/// Media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Something that knows values of some families when it is asked.
pub trait Collector: Send + Sync {
    /// Adds what it knows.
    fn collect(&self, page: &mut Page);
}

/// The metrics of one broker.
#[derive(Default)]
pub struct Metrics {
    collectors: Mutex<Vec<Arc<dyn Collector>>>,
}

impl Metrics {
    /// Has a collector asked at every scrape.
    pub fn register(&self, collector: Arc<dyn Collector>) {
        self.collectors.lock().push(collector);
    }

    /// All there is to see now, in Prometheus's text format. Reads files under `/proc` and looks at every partition: call
    /// it where waiting for some milliseconds is allowed.
    pub fn encode(&self) -> String {
        let mut page = Page::default();
        process::collect(&mut page);
        let collectors = self.collectors.lock().clone();
        for collector in collectors {
            collector.collect(&mut page);
        }
        page.finish()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("collectors", &self.collectors.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
