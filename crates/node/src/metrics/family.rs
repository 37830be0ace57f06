//! The description of one metric.

/// One metric: all samples under one name. Declared once, beside the code that fills it.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, unit included, after Prometheus's conventions: seconds and bytes, `_total` for what only grows.
    pub name: &'static str,
    /// How its samples are to be read.
    pub kind: Kind,
    /// Names of the labels, in the order in which samples give their values.
    pub labels: &'static [&'static str],
    /// What it measures, in a sentence; also what an operator reads in the documentation.
    pub help: &'static str,
    /// The JMX object of Apache Kafka that says the same or the nearest to it, if there is one.
    pub kafka: Option<&'static str>,
}

/// How samples of a family are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations counted in buckets, with their sum.
    Histogram,
}

impl Kind {
    /// The name in the text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Family {
    /// The unit, as the name says it; `None` for plain numbers.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit))
    }
}
