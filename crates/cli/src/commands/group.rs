//! `ottla group`: see groups, how far behind they are, and say where they go on.

mod csv;
mod reset;

use std::time::Duration;

use clap::{Args, Subcommand};
use ottla_client::{Admin, Client, Group as Described, GroupMember, GroupOffset, TopicPartition};
use serde_json::json;

use crate::commands::topic::count;
use crate::failure::Failure;
use crate::online::{BrokerArguments, failed};
use crate::output::{self, Align, Output, OutputArguments, Table};
use reset::Reset;

/// `ottla group`, with what it asks.
#[derive(Debug, Args)]
pub struct Group {
    #[command(flatten)]
    broker: BrokerArguments,
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// Lists the groups.
    #[command(visible_alias = "ls")]
    List(List),
    /// Shows how far a group is in each partition, in records and in time.
    Describe(Describe),
    /// Shows a group's members and what they read.
    Members(Members),
    /// Says where a group without members goes on; without --execute it only shows what would change.
    Reset(Reset),
    /// Deletes groups that have no members, or what one has committed of some topics.
    Delete(Delete),
}

#[derive(Debug, Args)]
struct List {
    /// Only groups in this state, for example Empty or Stable. May be given several times.
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
struct Describe {
    /// Its name.
    group: String,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
struct Members {
    /// Its name.
    group: String,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
struct Delete {
    /// Their names.
    #[arg(required = true)]
    groups: Vec<String>,
    /// Forgets only what the groups have committed of this topic, or of these partitions of it. May be given several times.
    #[arg(long = "offsets-of", value_name = "TOPIC[:N,N]", value_parser = selection)]
    offsets_of: Vec<Selection>,
    /// Is content if one is not there.
    #[arg(long)]
    if_exists: bool,
}

/// A topic, or some partitions of it: `orders`, `orders:0,3`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selection {
    topic: String,
    /// Empty: all.
    partitions: Vec<i32>,
}

/// Reads a [`Selection`].
fn selection(text: &str) -> Result<Selection, String> {
    let (topic, partitions) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((topic, partitions)) => {
            let number = |part: &str| part.trim().parse::<i32>().ok().filter(|number| *number >= 0);
            let partitions = partitions.split(',').map(number).collect::<Option<Vec<_>>>();
            let expected =
                || format!("expected TOPIC, or TOPIC:N,N with numbers of partitions, not '{text}'");
            (topic, partitions.ok_or_else(expected)?)
        }
    };
    if topic.is_empty() {
        return Err("the topic has no name".to_owned());
    }
    Ok(Selection { topic: topic.to_owned(), partitions })
}

impl Group {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        self.broker.run(async |client: Client| {
            let admin = client.admin();
            match &self.command {
                GroupCommand::List(list) => list.execute(&admin, output).await,
                GroupCommand::Describe(describe) => describe.execute(&admin, output).await,
                GroupCommand::Members(members) => members.execute(&admin, output).await,
                GroupCommand::Reset(reset) => reset.execute(&admin, output).await,
                GroupCommand::Delete(delete) => delete.execute(&admin, output).await,
            }
        })
    }
}

impl List {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let groups = admin.list_groups().await.map_err(|error| failed("cannot list the groups", &error))?;
        let is_wanted = |state: &str| {
            self.states.is_empty() || self.states.iter().any(|wanted| wanted.eq_ignore_ascii_case(state))
        };
        let mut table = Table::new([
            ("group", Align::Left),
            ("state", Align::Left),
            ("protocol", Align::Left),
            ("kind", Align::Left),
        ]);
        for group in groups.into_iter().filter(|group| is_wanted(&group.state)) {
            let protocol = group.protocol.to_string();
            if output.is_json() {
                output.json(&json!({
                    "group": group.group, "state": group.state, "protocol": protocol, "kind": group.protocol_type,
                }))?;
            }
            let kind = if group.protocol_type.is_empty() { "-".to_owned() } else { group.protocol_type };
            table.row([group.group, group.state, protocol, kind]);
        }
        match table.is_empty() {
            true => output.text("there are no such groups; `ottla consume TOPIC --group GROUP` makes one"),
            false => output.table(&table),
        }
    }
}

impl Describe {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let described = describe(admin, &self.group).await?;
        let is_json = output.is_json();
        for offset in described.offsets.iter().filter(|_| is_json) {
            output.json(&as_json(&self.group, offset))?;
        }
        output.text(headline(&described))?;
        let mut table = Table::new([
            ("topic", Align::Left),
            ("partition", Align::Right),
            ("committed", Align::Right),
            ("end", Align::Right),
            ("lag", Align::Right),
            ("behind", Align::Right),
            ("member", Align::Left),
        ]);
        for offset in &described.offsets {
            table.row([
                offset.partition.topic.to_string(),
                offset.partition.partition.to_string(),
                or_dash(offset.committed.map(|offset| offset.get())),
                or_dash(offset.log_end.map(|offset| offset.get())),
                or_dash(offset.lag),
                or_dash(offset.lag_age.map(output::Duration)),
                or_dash(offset.member_id.as_ref()),
            ]);
        }
        match table.is_empty() {
            true => output.text("  nothing is committed or assigned"),
            false => output.table(&table),
        }
    }
}

impl Members {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let described = describe(admin, &self.group).await?;
        let is_json = output.is_json();
        for member in described.members.iter().filter(|_| is_json) {
            output.json(&member_as_json(&self.group, member))?;
        }
        output.text(headline(&described))?;
        let mut table = Table::new([
            ("member", Align::Left),
            ("instance", Align::Left),
            ("client", Align::Left),
            ("host", Align::Left),
            ("epoch", Align::Right),
            ("partitions", Align::Right),
            ("reads", Align::Left),
        ]);
        for member in &described.members {
            table.row([
                member.member_id.clone(),
                or_dash(member.instance_id.as_ref()),
                member.client_id.clone(),
                member.host.trim_start_matches('/').to_owned(),
                or_dash(member.epoch),
                member.assignment.len().to_string(),
                by_topic(&member.assignment),
            ]);
        }
        match table.is_empty() {
            true => output.text("  it has no members now"),
            false => output.table(&table),
        }
    }
}

impl Delete {
    async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        for group in &self.groups {
            let deleted = match self.offsets_of.is_empty() {
                true => admin.delete_group(group).await,
                false => admin.delete_offsets(group, &self.partitions(admin, group).await?).await,
            };
            match deleted {
                Err(error) if self.if_exists && error.kafka_name() == Some("GROUP_ID_NOT_FOUND") => {
                    output.text(format_args!("{group} is not there"))?;
                }
                Err(error) => return Err(failed(format_args!("cannot delete {group}"), &error)),
                Ok(()) if self.offsets_of.is_empty() => output.text(format_args!("{group} deleted"))?,
                Ok(()) => output.text(format_args!("{group}: offsets deleted"))?,
            }
        }
        Ok(())
    }

    /// What the group has committed of the topics named.
    async fn partitions(&self, admin: &Admin, group: &str) -> Result<Vec<TopicPartition>, Failure> {
        let described = describe(admin, group).await?;
        let committed = described.offsets.into_iter().filter(|offset| offset.committed.is_some());
        let partitions: Vec<_> = committed
            .map(|offset| offset.partition)
            .filter(|partition| self.offsets_of.iter().any(|selection| selection.has(partition)))
            .collect();
        match partitions.is_empty() {
            true => Err(Failure::Failed(format!(
                "{group} has committed nothing there\n  `ottla group describe {group}` shows what it has"
            ))),
            false => Ok(partitions),
        }
    }
}

impl Selection {
    fn has(&self, partition: &TopicPartition) -> bool {
        *self.topic == *partition.topic
            && (self.partitions.is_empty() || self.partitions.contains(&partition.partition))
    }
}

async fn describe(admin: &Admin, group: &str) -> Result<Described, Failure> {
    admin.describe_group(group).await.map_err(|error| failed(format_args!("cannot describe {group}"), &error))
}

/// The group in one line.
fn headline(described: &Described) -> String {
    let listing = &described.listing;
    let assignor =
        if described.assignor.is_empty() { String::new() } else { format!(", {}", described.assignor) };
    let members = count(i64::try_from(described.members.len()).unwrap_or(i64::MAX), "member");
    let lags = described.offsets.iter().filter_map(|offset| offset.lag);
    let lag = count(lags.fold(0, i64::saturating_add), "record");
    let age = described.offsets.iter().filter_map(|offset| offset.lag_age).max().unwrap_or(Duration::ZERO);
    let behind = if age.is_zero() { String::new() } else { format!(", by {}", output::Duration(age)) };
    format!(
        "{}  {}, {} protocol{assignor}, {members}, {lag} behind{behind}",
        listing.group, listing.state, listing.protocol
    )
}

fn as_json(group: &str, offset: &GroupOffset) -> serde_json::Value {
    json!({
        "group": group, "topic": &*offset.partition.topic, "partition": offset.partition.partition,
        "committed": offset.committed.map(|offset| offset.get()), "metadata": offset.metadata,
        "log_start": offset.log_start.map(|offset| offset.get()), "end": offset.log_end.map(|offset| offset.get()),
        "lag": offset.lag, "lag_seconds": offset.lag_age.map(|age| age.as_secs_f64()), "member": offset.member_id,
    })
}

fn member_as_json(group: &str, member: &GroupMember) -> serde_json::Value {
    let partitions = |list: &[TopicPartition]| {
        let one = |p: &TopicPartition| json!({ "topic": &*p.topic, "partition": p.partition });
        list.iter().map(one).collect::<Vec<_>>()
    };
    json!({
        "group": group, "member": member.member_id, "instance": member.instance_id, "client": member.client_id,
        "host": member.host, "epoch": member.epoch, "assignment": partitions(&member.assignment),
        "target": partitions(&member.target), "topics": member.topics, "topic_regex": member.topic_regex,
    })
}

/// `orders:0,2 returns:1`
fn by_topic(partitions: &[TopicPartition]) -> String {
    let mut text = String::new();
    let mut last = None;
    for TopicPartition { topic, partition } in partitions {
        if last == Some(topic) {
            text.push_str(&format!(",{partition}"));
        } else {
            let gap = if last.is_some() { " " } else { "" };
            text.push_str(&format!("{gap}{topic}:{partition}"));
        }
        last = Some(topic);
    }
    text
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
