//! From keys to typed values. Which key has which type is known when this is written: asking for another is a mistake in
//! the caller, and a test resolves every key once.

use super::definition::{Definition, Scope};
use super::layers::Layers;
use super::table;
use super::validation::Settings;
use super::value::Value;

/// The keys of one resource, read one after another.
pub(super) struct Typed<'a> {
    layers: Layers<'a>,
    topic: Option<(&'a Settings, usize)>,
}

impl<'a> Typed<'a> {
    pub(super) fn broker(layers: Layers<'a>) -> Self {
        Self { layers, topic: None }
    }

    pub(super) fn topic(layers: Layers<'a>, overrides: &'a Settings, replicas: usize) -> Self {
        Self { layers, topic: Some((overrides, replicas)) }
    }

    /// A number that may be absent.
    pub(super) fn optional_number(&self, name: &'static str) -> Option<i64> {
        match self.value(name)? {
            Value::Number(number) => Some(number),
            other => mistaken(name, &other),
        }
    }

    /// A number that always has a value.
    pub(super) fn number(&self, name: &'static str) -> i64 {
        self.optional_number(name).unwrap_or_else(|| absent(name))
    }

    /// A number in which every negative one stands for "without limit".
    pub(super) fn limit(&self, name: &'static str) -> Option<i64> {
        Some(self.number(name)).filter(|number| *number >= 0)
    }

    /// A size or count; the key's range keeps it from being negative, and a target with 32 bits gets what fits.
    pub(super) fn size(&self, name: &'static str) -> usize {
        usize::try_from(self.number(name).max(0)).unwrap_or(usize::MAX)
    }

    /// A size that files store in 32 bits.
    pub(super) fn size32(&self, name: &'static str) -> u32 {
        u32::try_from(self.number(name).max(0)).unwrap_or(u32::MAX)
    }

    pub(super) fn boolean(&self, name: &'static str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => value,
            Some(other) => mistaken(name, &other),
            None => absent(name),
        }
    }

    pub(super) fn fraction(&self, name: &'static str) -> f64 {
        match self.value(name) {
            Some(Value::Double(value)) => value,
            Some(other) => mistaken(name, &other),
            None => absent(name),
        }
    }

    pub(super) fn optional_text(&self, name: &'static str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            other => mistaken(name, &other),
        }
    }

    pub(super) fn text(&self, name: &'static str) -> String {
        self.optional_text(name).unwrap_or_else(|| absent(name))
    }

    pub(super) fn optional_list(&self, name: &'static str) -> Option<Vec<String>> {
        match self.value(name)? {
            Value::List(entries) => Some(entries),
            other => mistaken(name, &other),
        }
    }

    pub(super) fn list(&self, name: &'static str) -> Vec<String> {
        self.optional_list(name).unwrap_or_else(|| absent(name))
    }

    fn value(&self, name: &'static str) -> Option<Value> {
        let find = |scope| -> &'static Definition {
            table::find(scope, name).unwrap_or_else(|| unreachable!("{name} is in no table"))
        };
        match self.topic {
            Some((overrides, replicas)) => self.layers.of_topic(find(Scope::Topic), overrides, replicas).1,
            None => self.layers.of_broker(find(Scope::Broker)).1,
        }
    }
}

fn mistaken(name: &str, value: &Value) -> ! {
    unreachable!("{name} has another type: {value:?}")
}

fn absent(name: &str) -> ! {
    unreachable!("{name} has no default")
}
