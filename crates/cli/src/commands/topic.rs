//! `ottla topic`: create, list, describe, alter and delete topics.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use ottla_client::{Admin, Client, ConfigChanges, ConfigResource, NewTopic, TopicInfo};
use serde_json::json;

use crate::commands::config::key_and_value;
use crate::failure::Failure;
use crate::online::{BrokerArguments, failed};
use crate::output::{Align, Bytes, Output, OutputArguments, Table};

/// `ottla topic`, with what it asks.
#[derive(Debug, Args)]
pub struct Topic {
    #[command(flatten)]
    broker: BrokerArguments,
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Creates a topic.
    Create(Create),
    /// Lists the topics.
    #[command(visible_alias = "ls")]
    List(List),
    /// Shows a topic's partitions, and the configs that were set on it.
    Describe(Describe),
    /// Adds partitions, sets and removes configs.
    Alter(Alter),
    /// Deletes topics with all their records, for good.
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Create {
    /// Its name.
    topic: String,
    /// Number of partitions; without it the broker's num.partitions.
    #[arg(long, short, value_name = "N")]
    partitions: Option<i32>,
    /// Number of replicas; without it the broker's default.replication.factor.
    #[arg(long, short, value_name = "N")]
    replication_factor: Option<i32>,
    /// A config of the topic, under Kafka's name. May be given several times.
    #[arg(long = "config", short, value_name = "KEY=VALUE", value_parser = key_and_value)]
    configs: Vec<(String, String)>,
    /// Is content if the topic is there already, however it is configured.
    #[arg(long)]
    if_not_exists: bool,
    /// Checks everything and creates nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
struct List {
    /// Also the topics that the cluster keeps for itself.
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
struct Describe {
    /// Its name.
    topic: String,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
struct Alter {
    /// Its name.
    topic: String,
    /// Number of partitions it shall have in all. They only grow.
    #[arg(long, short, value_name = "N", group = "change")]
    partitions: Option<i32>,
    /// A config to set. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value, group = "change")]
    set: Vec<(String, String)>,
    /// A config to remove, so that the broker's value counts again. May be given several times.
    #[arg(long, value_name = "KEY", group = "change")]
    remove: Vec<String>,
}

#[derive(Debug, Args)]
struct Delete {
    /// Their names.
    #[arg(required = true)]
    topics: Vec<String>,
    /// Is content if one is not there.
    #[arg(long)]
    if_exists: bool,
}

impl Topic {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        self.broker.run(async |client: Client| {
            let admin = client.admin();
            match &self.command {
                TopicCommand::Create(create) => create.execute(&admin, output).await,
                TopicCommand::List(list) => list.execute(&admin, output).await,
                TopicCommand::Describe(describe) => describe.execute(&admin, output).await,
                TopicCommand::Alter(alter) => alter.execute(&admin, output).await,
                TopicCommand::Delete(delete) => delete.execute(&admin, output).await,
            }
        })
    }
}

impl Create {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let name = &self.topic;
        let mut topic = NewTopic::named(name);
        topic = self.partitions.into_iter().fold(topic, NewTopic::partitions);
        topic = self.replication_factor.into_iter().fold(topic, NewTopic::replication_factor);
        topic = self.configs.iter().fold(topic, |topic, (key, value)| topic.config(key, value));
        if self.dry_run {
            topic = topic.validate_only();
        }
        let created = match admin.create_topic(topic).await {
            Err(error) if self.if_not_exists && error.kafka_name() == Some("TOPIC_ALREADY_EXISTS") => {
                return match output.is_json() {
                    true => output.json(&json!({ "topic": name, "created": false })),
                    false => output.text(format_args!("{name} is there already")),
                };
            }
            created => created.map_err(|error| failed(format_args!("cannot create {name}"), &error))?,
        };
        if output.is_json() {
            return output.json(&json!({
                "topic": name, "created": !self.dry_run, "id": created.topic_id,
                "partitions": created.partitions, "replication_factor": created.replication_factor,
            }));
        }
        let done = if self.dry_run { "would be created" } else { "created" };
        output.text(format_args!(
            "{name} {done}: {}, {}",
            count(created.partitions.into(), "partition"),
            count(created.replication_factor.into(), "replica")
        ))
    }
}

impl List {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let listed = if self.all { admin.list_all_topics().await } else { admin.list_topics().await };
        let topics = listed.map_err(|error| failed("cannot list the topics", &error))?;
        let mut table = Table::new([
            ("topic", Align::Left),
            ("partitions", Align::Right),
            ("replicas", Align::Right),
            ("id", Align::Left),
        ]);
        for topic in topics {
            if output.is_json() {
                output.json(&json!({
                    "topic": topic.name, "id": topic.topic_id, "partitions": topic.partitions,
                    "replication_factor": topic.replication_factor, "internal": topic.internal,
                }))?;
            }
            let numbers = [topic.partitions, topic.replication_factor].map(|number| number.to_string());
            let [partitions, replicas] = numbers;
            table.row([topic.name, partitions, replicas, topic.topic_id]);
        }
        match table.is_empty() {
            true => output.text("there are no topics; `ottla topic create TOPIC` makes one"),
            false => output.table(&table),
        }
    }
}

impl Describe {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let info = admin
            .describe_topic(&self.topic)
            .await
            .map_err(|error| failed(format_args!("cannot describe {}", self.topic), &error))?;
        if output.is_json() { output.json(&as_json(&info)) } else { as_text(&info, output) }
    }
}

fn as_json(info: &TopicInfo) -> serde_json::Value {
    let partitions: Vec<_> = info
        .partitions
        .iter()
        .map(|partition| {
            json!({
                "partition": partition.partition, "leader": partition.leader,
                "leader_epoch": partition.leader_epoch.get(), "replicas": partition.replicas,
                "in_sync_replicas": partition.in_sync_replicas,
                "log_start": partition.log_start.map(|offset| offset.get()),
                "end": partition.high_watermark.map(|offset| offset.get()),
                "size_bytes": partition.size_bytes,
            })
        })
        .collect();
    let topic = &info.topic;
    json!({
        "topic": topic.name, "id": topic.topic_id, "internal": topic.internal,
        "replication_factor": topic.replication_factor, "configs": info.configs, "partitions": partitions,
    })
}

fn as_text(info: &TopicInfo, output: &mut Output<'_>) -> Result<(), Failure> {
    let topic = &info.topic;
    let (partitions, replicas) =
        (count(topic.partitions.into(), "partition"), count(topic.replication_factor.into(), "replica"));
    output.text(format_args!("{}  {partitions}, {replicas}, id {}", topic.name, topic.topic_id))?;
    for (key, value) in &info.configs {
        output.text(format_args!("  {key}={value}"))?;
    }
    let mut table = Table::new([
        ("partition", Align::Right),
        ("leader", Align::Right),
        ("epoch", Align::Right),
        ("replicas", Align::Left),
        ("in sync", Align::Left),
        ("start", Align::Right),
        ("end", Align::Right),
        ("size", Align::Right),
    ]);
    let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for partition in &info.partitions {
        table.row([
            partition.partition.to_string(),
            partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string()),
            partition.leader_epoch.get().to_string(),
            ids(&partition.replicas),
            ids(&partition.in_sync_replicas),
            or_unknown(partition.log_start.map(|offset| offset.get().to_string())),
            or_unknown(partition.high_watermark.map(|offset| offset.get().to_string())),
            or_unknown(
                partition
                    .size_bytes
                    .and_then(|size| u64::try_from(size).ok())
                    .map(|size| Bytes(size).to_string()),
            ),
        ]);
    }
    output.table(&table)
}

impl Alter {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        let name = &self.topic;
        let changes = ConfigChanges::new();
        let changes = self.set.iter().fold(changes, |changes, (key, value)| changes.set(key, value));
        let changes = self.remove.iter().fold(changes, |changes, key| changes.remove(key));
        let has_changes = !self.set.is_empty() || !self.remove.is_empty();
        if has_changes {
            let resource = ConfigResource::Topic(name.clone());
            admin
                .alter_configs(&resource, changes)
                .await
                .map_err(|error| failed(format_args!("cannot change the configs of {name}"), &error))?;
            output.text(format_args!("{name}: configs changed"))?;
        }
        if let Some(partitions) = self.partitions {
            let now = admin
                .add_partitions(name, partitions)
                .await
                .map_err(|error| failed(format_args!("cannot add partitions to {name}"), &error))?;
            output.text(format_args!("{name}: {}", count(now.into(), "partition")))?;
        }
        Ok(())
    }
}

impl Delete {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        for name in &self.topics {
            match admin.delete_topic(name).await {
                Err(error) if self.if_exists && error.kafka_name() == Some("UNKNOWN_TOPIC_OR_PARTITION") => {
                    output.text(format_args!("{name} is not there"))?;
                }
                Err(error) => return Err(failed(format_args!("cannot delete {name}"), &error)),
                Ok(_) => output.text(format_args!("{name} deleted"))?,
            }
        }
        Ok(())
    }
}

/// `1 partition`, `6 partitions`.
pub(super) fn count(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A topic has fewer partitions than somebody thought.
pub(super) fn no_partition(topic: &str, wanted: i32, there: usize) -> Failure {
    let there = count(i64::try_from(there).unwrap_or(i64::MAX), "partition");
    let why = format_args!(
        "it has {there} (UNKNOWN_TOPIC_OR_PARTITION)\n  `ottla topic describe {topic}` shows them"
    );
    Failure::with(format_args!("{topic} has no partition {wanted}"), why)
}

/// The partitions of a topic with their bounds: log start and end.
pub(super) async fn bounds(
    admin: &Admin,
    topic: &str,
) -> Result<BTreeMap<i32, (ottla_client::Offset, ottla_client::Offset)>, Failure> {
    let info = admin
        .describe_topic(topic)
        .await
        .map_err(|error| failed(format_args!("cannot read {topic}"), &error))?;
    let zero = ottla_client::Offset::new(0);
    let bounds = |partition: &ottla_client::PartitionInfo| {
        let start = partition.log_start.unwrap_or(zero);
        (partition.partition, (start, partition.high_watermark.unwrap_or(start)))
    };
    Ok(info.partitions.iter().map(bounds).collect())
}
