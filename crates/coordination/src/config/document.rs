//! `docs/configuration.md`, written from the tables.

use std::fmt::Write;

use super::definition::{Definition, Scope, Support, Update};
use super::deviation::{self, DEVIATIONS};
use super::explain::kafka_default;
use super::{synonyms, table};

const HEAD: &str = "\
# Configuration

Ottla reads Kafka's `server.properties`: the names, types, ranges and defaults of Kafka 4.3. Its own keys begin with
`ottla.`. A file is given with `--config FILE`, single settings with `--set key=value`, which count more than the file.
An unknown key is a warning that names the nearest known one; a value a key does not take is an error; a key that is
accepted without effect yet says so in the log. `ottla serve --explain` prints what is set and every default that is not
Kafka's.

Topics take their values from their own overrides, then from the broker's key of the same meaning: set on this broker
while it runs, set on all brokers while they run, from the file, and last the default.

This file is written from the tables in `crates/coordination/src/config/table/`; a test keeps it current
(`UPDATE_EXPECT=1 cargo test -p ottla-coordination` writes it anew).
";

/// The whole text.
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    text += "\n## Defaults that are not Kafka's\n\n| key | here | Kafka | why |\n|---|---|---|---|\n";
    for deviation in DEVIATIONS {
        let kafka = table::find(Scope::Broker, deviation.name).map_or("", kafka_default);
        let _ =
            writeln!(text, "| `{}` | {} | {kafka} | {} |", deviation.name, deviation.meaning, deviation.why);
    }
    let with = |scope, support: Support| {
        table::definitions(scope).iter().copied().filter(move |key| key.support == support)
    };
    section(&mut text, "Topics", "", with(Scope::Topic, Support::Honoured));
    section(&mut text, "Brokers", "", with(Scope::Broker, Support::Honoured));
    section(
        &mut text,
        "Topics: accepted without effect yet",
        "These are checked, stored and shown, and change nothing in this version.",
        with(Scope::Topic, Support::Accepted),
    );
    section(
        &mut text,
        "Brokers: refused",
        "Setting one of these is an error: ignoring it would allow more than was meant.",
        with(Scope::Broker, Support::Refused),
    );
    section(
        &mut text,
        "Brokers: accepted without effect yet",
        "These are checked and shown, and change nothing in this version. The log names those that are set.",
        with(Scope::Broker, Support::Accepted),
    );
    let accepted = "Accepted without effect yet.";
    section(&mut text, "Groups", "", with(Scope::Group, Support::Honoured));
    section(&mut text, "Groups: accepted without effect yet", "", with(Scope::Group, Support::Accepted));
    section(&mut text, "Client metrics", accepted, with(Scope::ClientMetrics, Support::Accepted));
    text
}

fn section(
    text: &mut String,
    title: &str,
    introduction: &str,
    keys: impl Iterator<Item = &'static Definition>,
) {
    let _ = write!(text, "\n## {title}\n\n");
    if !introduction.is_empty() {
        let _ = write!(text, "{introduction}\n\n");
    }
    *text += "| key | type | default | valid | changes | |\n|---|---|---|---|---|---|\n";
    for key in keys {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {}{} |",
            key.name,
            key.kind.as_str().to_lowercase(),
            default(key),
            key.allowed.to_string().replace('|', "\\|"),
            changes(key.update),
            key.doc,
            brokers_keys(key),
        );
    }
}

fn default(key: &Definition) -> &'static str {
    match deviation::of(key.name).filter(|_| key.scope == Scope::Broker || key.name == "min.insync.replicas")
    {
        Some(deviation) => deviation.meaning,
        None => kafka_default(key),
    }
}

const fn changes(update: Update) -> &'static str {
    match update {
        Update::ReadOnly => "at start",
        Update::PerBroker => "per broker",
        Update::ClusterWide => "any time",
        Update::Resource => "any time",
    }
}

fn brokers_keys(key: &Definition) -> String {
    let names: Vec<String> = match key.scope {
        Scope::Topic => {
            synonyms::of_topic_key(key.name).iter().map(|synonym| format!("`{}`", synonym.name)).collect()
        }
        _ => Vec::new(),
    };
    if names.is_empty() { String::new() } else { format!(" Broker: {}.", names.join(", ")) }
}
