//! One scrape, in Prometheus's text format, version 0.0.4: the one that `promtool` and every scraper reads.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use crate::metrics::{Counter, Family, Histogram, Kind};

/// The samples of one scrape. Collectors may add to one family in turns: its samples end up together, as the format wants.
#[derive(Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, (&'static Family, String)>,
}

/// Adds samples to one family of a page.
#[derive(Debug)]
pub struct Samples<'a> {
    family: &'static Family,
    text: &'a mut String,
}

impl Page {
    /// The samples of a family. A family without samples does not appear.
    pub fn family(&mut self, family: &'static Family) -> Samples<'_> {
        let (_, text) = self.families.entry(family.name).or_insert_with(|| (family, String::new()));
        Samples { family, text }
    }

    /// Adds a family's only sample, or the only one with these labels.
    pub fn add(&mut self, family: &'static Family, labels: &[&dyn Display], value: impl Value) {
        self.family(family).add(labels, value);
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        let length = self.families.values().map(|(family, text)| family.help.len() + text.len() + 128).sum();
        let mut page = String::with_capacity(length);
        for (name, (family, samples)) in self.families {
            if samples.is_empty() {
                continue;
            }
            page.push_str("# HELP ");
            page.push_str(name);
            page.push(' ');
            escape(family.help, &mut page);
            page.push_str("\n# TYPE ");
            page.push_str(name);
            page.push(' ');
            page.push_str(family.kind.as_str());
            page.push('\n');
            page.push_str(&samples);
        }
        page
    }
}

impl Samples<'_> {
    /// Adds a sample; the labels' values stand in the order of [`Family::labels`].
    pub fn add(&mut self, labels: &[&dyn Display], value: impl Value) {
        debug_assert!(self.family.kind != Kind::Histogram, "{} is a histogram", self.family.name);
        self.line("", labels, None, value.as_f64());
    }

    /// Adds what a counter holds now.
    pub fn counter(&mut self, labels: &[&dyn Display], counter: &Counter) {
        self.add(labels, counter.get());
    }

    /// Adds what a histogram holds now.
    pub fn histogram(&mut self, labels: &[&dyn Display], histogram: &Histogram) {
        debug_assert!(self.family.kind == Kind::Histogram, "{} is no histogram", self.family.name);
        // The sum first: observations that come meanwhile are then among the counts and not in the sum, and an average
        // computed from both never exceeds the truth. The count is that of the buckets, which the format demands.
        let sum = histogram.sum();
        for (bound, count) in histogram.cumulative() {
            self.line("_bucket", labels, Some(bound), count as f64);
        }
        let count = histogram.count() as f64;
        self.line("_bucket", labels, Some(f64::INFINITY), count);
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: &[&dyn Display], bound: Option<f64>, value: f64) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "labels of {}", self.family.name);
        self.text.push_str(self.family.name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, value) in self.family.labels.iter().zip(labels) {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            let _ = write!(Escaped(self.text), "{value}");
            self.text.push('"');
            before = ',';
        }
        if let Some(bound) = bound {
            self.text.push(before);
            self.text.push_str("le=\"");
            self.number(bound);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        self.number(value);
        self.text.push('\n');
    }

    fn number(&mut self, value: f64) {
        let text = &mut *self.text;
        // Writing to a string does not fail.
        let _ = match value {
            f64::INFINITY => write!(text, "+Inf"),
            f64::NEG_INFINITY => write!(text, "-Inf"),
            value if value.is_nan() => write!(text, "NaN"),
            value => write!(text, "{value}"),
        };
    }
}

/// What a sample may be: the format knows only 64-bit floating point.
pub trait Value {
    /// As the format has it.
    fn as_f64(&self) -> f64;
}

macro_rules! values {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn as_f64(&self) -> f64 {
                *self as f64
            }
        }
    )*};
}
values!(f64, u64, i64, usize, u32, i32);

impl Value for bool {
    fn as_f64(&self) -> f64 {
        f64::from(u8::from(*self))
    }
}

/// Writes a label's value.
struct Escaped<'a>(&'a mut String);

impl std::fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

fn escape(help: &str, page: &mut String) {
    for c in help.chars() {
        match c {
            '\\' => page.push_str("\\\\"),
            '\n' => page.push_str("\\n"),
            c => page.push(c),
        }
    }
}
