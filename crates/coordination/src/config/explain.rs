//! What `ottla serve --explain` prints.

use std::fmt::Write;

use super::definition::{Definition, Initial, Scope, Support};
use super::deviation::DEVIATIONS;
use super::layers::{Layers, Source};
use super::table;

/// The settings that are not the defaults, the ones without effect, and every default that is not Kafka's.
pub fn explain(layers: Layers<'_>) -> String {
    let mut text = String::new();
    let set = |support: fn(Support) -> bool| -> Vec<(&str, String)> {
        table::definitions(Scope::Broker)
            .iter()
            .filter(|key| support(key.support))
            .filter_map(|key| Some((key.name, setting(layers, key)?)))
            .collect()
    };
    section(&mut text, "Not the default", &set(|support| support != Support::Accepted));
    section(
        &mut text,
        "Not the default, and without effect in this version",
        &set(|support| support == Support::Accepted),
    );
    let deviations: Vec<(&str, String)> = DEVIATIONS
        .iter()
        .map(|deviation| {
            let kafka = table::find(Scope::Broker, deviation.name).map_or("", kafka_default);
            (deviation.name, format!("{}   (Kafka: {kafka}; {})", deviation.meaning, deviation.why))
        })
        .collect();
    section(&mut text, "Defaults that are not Kafka's", &deviations);
    text
}

/// Kafka's default in words.
pub(super) fn kafka_default(key: &Definition) -> &'static str {
    match key.kafka_default {
        Initial::Text("") => "empty",
        Initial::Text(text) => text,
        Initial::Null => "not set",
        Initial::Required => "required",
    }
}

fn setting(layers: Layers<'_>, key: &Definition) -> Option<String> {
    let (source, value) = layers.of_broker(key);
    let default = layers.default_of(key);
    if source == Source::Default || value == default {
        return None;
    }
    let default = default.map_or_else(|| "not set".to_owned(), |default| in_words(default.to_string()));
    Some(format!("{}   (default: {default})", in_words(value?.to_string())))
}

/// An empty value can be seen.
fn in_words(value: String) -> String {
    if value.is_empty() { "empty".to_owned() } else { value }
}

fn section(text: &mut String, title: &str, lines: &[(&str, String)]) {
    if !text.is_empty() {
        text.push('\n');
    }
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{title}:");
    if lines.is_empty() {
        let _ = writeln!(text, "  nothing");
    }
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:width$} = {value}");
    }
}
