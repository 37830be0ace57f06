//! What a monitoring system sees of this broker: counters kept as work is done, gauges computed when somebody looks.
//!
//! | module | what it holds |
//! |---|---|
//! | [`family`] | [`Family`]: name, type, labels, help text of one metric |
//! | [`catalogue`] | every family there is, in sections; the documentation is written from it |
//! | [`instrument`] | [`Counter`], [`Histogram`]: what the data path touches |
//! | [`document`] | `docs/metrics.md` |
//! | [`page`] | [`Page`]: one scrape, in Prometheus's text format |
//! | the others | the families of one area with what fills them |
//!
//! Invariant: the data path takes no lock and allocates nothing here. Its handles are found once, for a topic or an API.
//!
//! Invariant: an idle partition costs nothing: its gauges are read off its view while a page is written.

pub mod catalogue;
pub(crate) mod cleaner;
mod cluster;
mod connection;
pub(crate) mod coordinator;
pub(crate) mod directory;
pub mod document;
pub mod family;
pub(crate) mod group_lag;
pub mod instrument;
pub(crate) mod node;
pub mod page;
mod partition;
pub mod process;
mod quorum;
pub(crate) mod replication;
mod request;
pub(crate) mod traffic;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

pub use connection::ListenerMetrics;
pub use family::{Family, Kind};
pub use instrument::{Counter, Histogram};
pub use page::Page;
pub use request::{ApiMetrics, Phases};

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
    apis: Mutex<BTreeMap<(&'static str, &'static str), Arc<ApiMetrics>>>,
    listeners: Mutex<BTreeMap<String, Arc<ListenerMetrics>>>,
    collectors: Mutex<Vec<Arc<dyn Collector>>>,
}

impl Metrics {
    /// What is counted of one API of one protocol. Find it once, not at every request.
    pub fn api(
        &self,
        protocol: &'static str,
        api: &'static str,
        versions: &RangeInclusive<i16>,
    ) -> Arc<ApiMetrics> {
        let mut apis = self.apis.lock();
        let known = apis.entry((protocol, api));
        Arc::clone(known.or_insert_with(|| Arc::new(ApiMetrics::new(protocol, api, versions))))
    }

    /// What is counted of one listener. Find it once, not at every connection.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let mut listeners = self.listeners.lock();
        let known = listeners.entry(name.to_owned());
        Arc::clone(known.or_insert_with(|| Arc::new(ListenerMetrics::new(name.to_owned()))))
    }

    /// Has a collector asked at every scrape.
    pub fn register(&self, collector: Arc<dyn Collector>) {
        self.collectors.lock().push(collector);
    }

    /// All there is to see now, in Prometheus's text format. Reads files under `/proc` and looks at every partition: call
    /// it where waiting for some milliseconds is allowed.
    pub fn encode(&self) -> String {
        let mut page = Page::default();
        process::collect(&mut page);
        for api in self.apis.lock().values() {
            api.collect(&mut page);
        }
        for listener in self.listeners.lock().values() {
            listener.collect(&mut page);
        }
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
