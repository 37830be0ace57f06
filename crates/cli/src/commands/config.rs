//! `ottla config`: see and change the configs of topics, brokers and groups.

use clap::{Args, Subcommand};
use ottla_client::{Client, ConfigChanges, ConfigResource, ConfigSource};
use serde_json::json;

use crate::failure::Failure;
use crate::online::{BrokerArguments, failed};
use crate::output::{Align, Output, OutputArguments, Table};

/// `ottla config`, with what it asks.
#[derive(Debug, Args)]
pub struct Config {
    #[command(flatten)]
    broker: BrokerArguments,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Shows configs: those that somebody set, or all, or the ones named.
    Get(Get),
    /// Sets and removes configs; all of it or nothing.
    Set(Set),
}

/// Whose configs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// A topic's.
    #[arg(long, short, value_name = "TOPIC")]
    topic: Option<String>,
    /// One broker's.
    #[arg(long, short, value_name = "ID")]
    node: Option<i32>,
    /// All brokers' at once: the cluster's defaults.
    #[arg(long)]
    all_nodes: bool,
    /// A consumer group's.
    #[arg(long, short, value_name = "GROUP")]
    group: Option<String>,
}

#[derive(Debug, Args)]
struct Get {
    #[command(flatten)]
    whose: Whose,
    /// Only these.
    keys: Vec<String>,
    /// Also the defaults.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    whose: Whose,
    /// Configs to set, under Kafka's names.
    #[arg(value_name = "KEY=VALUE", value_parser = key_and_value, required_unless_present = "remove")]
    set: Vec<(String, String)>,
    /// A config to remove, so that the next source counts again. May be given several times.
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    /// Checks everything and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Config {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        self.broker.run(async |client: Client| match &self.command {
            ConfigCommand::Get(get) => get.execute(&client, output).await,
            ConfigCommand::Set(set) => set.execute(&client, output).await,
        })
    }
}

impl Whose {
    fn resource(&self) -> (ConfigResource, String) {
        match (&self.topic, self.node, &self.group) {
            (Some(topic), _, _) => (ConfigResource::Topic(topic.clone()), format!("topic {topic}")),
            (_, Some(node), _) => (ConfigResource::Broker(node), format!("broker {node}")),
            (_, _, Some(group)) => (ConfigResource::Group(group.clone()), format!("group {group}")),
            // clap has seen to it that one of the four is there.
            _ => (ConfigResource::AllBrokers, "all brokers".to_owned()),
        }
    }
}

impl Get {
    async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let (resource, name) = self.whose.resource();
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let configs = client
            .admin()
            .describe_configs(&resource, &keys)
            .await
            .map_err(|error| failed(format_args!("cannot read the configs of {name}"), &error))?;
        for key in &self.keys {
            if !configs.iter().any(|config| config.name == *key) {
                return Err(Failure::with(
                    format_args!("{name} has no config {key}"),
                    "see `ottla config get --all`",
                ));
            }
        }
        let mut table =
            Table::new([("config", Align::Left), ("value", Align::Left), ("source", Align::Left)]);
        for config in configs {
            if !self.all && self.keys.is_empty() && config.source == ConfigSource::Default {
                continue;
            }
            let source = source_name(config.source);
            if output.is_json() {
                output.json(&json!({
                    "config": config.name, "value": config.value, "source": source,
                    "read_only": config.read_only, "sensitive": config.sensitive,
                }))?;
            }
            let value = match (config.value, config.sensitive) {
                (Some(value), _) => value,
                (None, true) => "(hidden)".to_owned(),
                (None, false) => "(none)".to_owned(),
            };
            table.row([config.name, value, source.to_owned()]);
        }
        match table.is_empty() {
            true => output.text(format_args!("nothing is set on {name}; --all shows the defaults")),
            false => output.table(&table),
        }
    }
}

impl Set {
    async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        let (resource, name) = self.whose.resource();
        let changes = ConfigChanges::new();
        let changes = self.set.iter().fold(changes, |changes, (key, value)| changes.set(key, value));
        let mut changes = self.remove.iter().fold(changes, |changes, key| changes.remove(key));
        if self.dry_run {
            changes = changes.validate_only();
        }
        client
            .admin()
            .alter_configs(&resource, changes)
            .await
            .map_err(|error| failed(format_args!("cannot change the configs of {name}"), &error))?;
        let done = if self.dry_run { "can be changed so" } else { "changed" };
        output.text(format_args!("{name}: configs {done}"))
    }
}

fn source_name(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::DynamicBroker => "broker, set while it ran",
        ConfigSource::DynamicCluster => "all brokers, set while they ran",
        ConfigSource::StaticBroker => "broker's file",
        ConfigSource::Default => "default",
        ConfigSource::Group => "group",
        _ => "unknown",
    }
}

/// Takes `key=value` apart.
pub(super) fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
