//! `ottla group reset`: where a group goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use ottla_client::{Admin, Offset, OffsetReset, Start, TopicPartition};
use serde_json::json;

use super::{Selection, csv, or_dash, selection};
use crate::commands::topic::{bounds, count, no_partition};
use crate::failure::Failure;
use crate::online::failed;
use crate::output::{Align, Output, OutputArguments, Table};
use crate::place::Place;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true))]
pub(super) struct Reset {
    /// Its name. A group that is not there yet is made.
    group: String,
    /// A topic, or some partitions of it. May be given several times; without it, everything the group has committed.
    #[arg(long = "topic", short, value_name = "TOPIC[:N,N]", value_parser = selection)]
    topics: Vec<Selection>,
    /// The place: start, end, an offset, -N (N records before the end), a time in UTC (2026-01-31T08:00:00Z, or @ and
    /// milliseconds since 1970), or an age (15m, 2h, 7days).
    #[arg(long, value_name = "PLACE", group = "target", allow_hyphen_values = true)]
    to: Option<Place>,
    /// So many records further than what is committed, or back with a minus.
    #[arg(long, value_name = "N", group = "target", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// What a file says, with topic,partition,offset on each line, as --export and Kafka's tool write it.
    #[arg(long, value_name = "FILE", group = "target", conflicts_with = "topics")]
    from_file: Option<PathBuf>,
    /// Does it. Without this nothing changes.
    #[arg(long)]
    execute: bool,
    /// Changes nothing, which is so without --execute anyway.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Writes the new offsets as topic,partition,offset on each line, for --from-file and Kafka's tool.
    #[arg(long, conflicts_with = "json")]
    export: bool,
    #[command(flatten)]
    form: OutputArguments,
}

impl Reset {
    pub(super) async fn execute(&self, admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let group = &self.group;
        let resets = self.resets(admin).await?;
        let outcomes = admin
            .reset_offsets(group, &resets, !self.execute)
            .await
            .map_err(|error| failed(format_args!("cannot reset {group}"), &error))?;
        let mut table = Table::new([
            ("topic", Align::Left),
            ("partition", Align::Right),
            ("was", Align::Right),
            ("new", Align::Right),
            ("change", Align::Right),
        ]);
        let mut problem = None;
        let mut done = 0;
        for outcome in outcomes {
            let TopicPartition { topic, partition } = &outcome.partition;
            let previous = outcome.previous.map(Offset::get);
            match &outcome.result {
                Err(error) => {
                    problem.get_or_insert_with(|| {
                        failed(format_args!("cannot reset {group} in {}", outcome.partition), error)
                    });
                }
                Ok(offset) if self.export => {
                    output.text(csv::format(topic, *partition, *offset))?;
                    done += 1;
                }
                Ok(offset) => {
                    if output.is_json() {
                        output.json(&json!({
                            "group": group, "topic": &**topic, "partition": partition, "was": previous,
                            "new": offset.get(), "executed": self.execute,
                        }))?;
                    }
                    table.row([
                        topic.to_string(),
                        partition.to_string(),
                        or_dash(previous),
                        offset.get().to_string(),
                        or_dash(previous.map(|previous| format!("{:+}", offset.get() - previous))),
                    ]);
                    done += 1;
                }
            }
        }
        if !self.export {
            output.table(&table)?;
            let partitions = count(done, "partition");
            output.text(match self.execute {
                true => format!("{group} goes on there in {partitions}"),
                false => format!("nothing was changed; with --execute {group} goes on there in {partitions}"),
            })?;
        }
        problem.map_or(Ok(()), Err)
    }

    /// What the broker is asked for.
    async fn resets(&self, admin: &Admin) -> Result<Vec<OffsetReset>, Failure> {
        if let Some(file) = &self.from_file {
            let text = std::fs::read_to_string(file).map_err(|error| Failure::with(file.display(), error))?;
            let lines = csv::parse(&text, &self.group).map_err(|why| Failure::with(file.display(), why))?;
            if lines.is_empty() {
                return Err(Failure::with(file.display(), format_args!("no line is about {}", self.group)));
            }
            let reset =
                |line: csv::Line| OffsetReset::of(line.topic, line.partition, Start::Offset(line.offset));
            return Ok(lines.into_iter().map(reset).collect());
        }
        let committed = self.committed(admin).await?;
        let wanted = self.partitions(admin, &committed).await?;
        let now = SystemTime::now();
        let mut resets = Vec::new();
        for (partition, (start, end)) in wanted {
            let to = match (self.to, self.shift_by) {
                (Some(place), _) => place.resolve(start, end, now),
                (None, Some(shift)) => {
                    let Some(Some(from)) = committed.get(&partition) else {
                        let next = "--to names a place that does not depend on it";
                        return Err(Failure::Failed(format!(
                            "{} has committed nothing in {partition} to shift from\n  {next}",
                            self.group
                        )));
                    };
                    Start::Offset(Offset::new(from.get().saturating_add(shift).max(0)))
                }
                // clap sees to it that one of them is there.
                (None, None) => return Err(Failure::Usage("no place is named".to_owned())),
            };
            resets.push(OffsetReset { partition, to });
        }
        Ok(resets)
    }

    async fn committed(&self, admin: &Admin) -> Result<BTreeMap<TopicPartition, Option<Offset>>, Failure> {
        match admin.describe_group(&self.group).await {
            Ok(described) => {
                Ok(described.offsets.into_iter().map(|offset| (offset.partition, offset.committed)).collect())
            }
            Err(error) if error.kafka_name() == Some("GROUP_ID_NOT_FOUND") && !self.topics.is_empty() => {
                Ok(BTreeMap::new())
            }
            Err(error) => Err(failed(format_args!("cannot reset {}", self.group), &error)),
        }
    }

    /// The partitions that are asked for, with the bounds of their logs.
    async fn partitions(
        &self,
        admin: &Admin,
        committed: &BTreeMap<TopicPartition, Option<Offset>>,
    ) -> Result<BTreeMap<TopicPartition, (Offset, Offset)>, Failure> {
        let committed_topics: Vec<Selection> = committed
            .iter()
            .filter(|(_, offset)| offset.is_some())
            .map(|(key, _)| Selection { topic: key.topic.to_string(), partitions: vec![key.partition] })
            .collect();
        let selections = if self.topics.is_empty() { &committed_topics } else { &self.topics };
        if selections.is_empty() {
            let next = "--topic names topics that it shall begin with";
            return Err(Failure::Failed(format!("{} has committed nothing\n  {next}", self.group)));
        }
        let mut known = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        for Selection { topic, partitions } in selections {
            if !known.contains_key(topic) {
                known.insert(topic.clone(), bounds(admin, topic).await?);
            }
            let Some(bounds) = known.get(topic) else { continue };
            let all: Vec<i32> = bounds.keys().copied().collect();
            for partition in if partitions.is_empty() { &all } else { partitions } {
                let found = bounds.get(partition).copied();
                let found = found.ok_or_else(|| no_partition(topic, *partition, bounds.len()))?;
                wanted.insert(TopicPartition { topic: topic.as_str().into(), partition: *partition }, found);
            }
        }
        Ok(wanted)
    }
}
