//! `ottla cluster reassign`: partitions that move to brokers somebody chose.

use std::path::{Path, PathBuf};

use clap::Args;
use ottla_client::{Admin, Client, OngoingReassignment, PartitionOutcome, Reassignment};
use serde::Deserialize;
use serde_json::json;

use super::{ids, throttle};
use crate::commands::topic::count;
use crate::failure::Failure;
use crate::online::failed;
use crate::output::{Align, Output, OutputArguments, Table};

#[derive(Debug, Args)]
pub(super) struct Reassign {
    /// A file in the format of kafka-reassign-partitions.sh: {"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2]}]}.
    #[arg(value_name = "FILE", conflicts_with_all = ["topic", "list"])]
    file: Option<PathBuf>,
    /// The topic to move.
    #[arg(long, short)]
    topic: Option<String>,
    /// Only this partition of it. May be given several times.
    #[arg(long, short, value_name = "N", requires = "topic")]
    partition: Vec<i32>,
    /// The brokers that shall have it, the preferred leader first, for example 2,3,1.
    #[arg(long, short, value_name = "IDS", value_delimiter = ',', requires = "topic")]
    replicas: Vec<i32>,
    /// Shows the moves that are under way.
    #[arg(long, conflicts_with_all = ["topic", "cancel", "execute"])]
    list: bool,
    /// Cancels moves: those of FILE, of --topic, or without either all that are under way.
    #[arg(long, conflicts_with = "replicas")]
    cancel: bool,
    /// Copies no faster than so many bytes a second from each broker, and to each. Stays until --unthrottle.
    #[arg(long, value_name = "BYTES", requires = "execute", conflicts_with_all = ["list", "cancel"], value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,
    /// Takes the throttles of all topics away, and the rate of --throttle, once nothing moves any more.
    #[arg(long, requires = "execute", conflicts_with_all = ["file", "topic", "list", "cancel", "throttle"])]
    unthrottle: bool,
    /// Does it. Without this it is only checked.
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    form: OutputArguments,
}

/// Kafka's file.
#[derive(Deserialize)]
struct File {
    #[serde(default = "first_version")]
    version: u32,
    partitions: Vec<FilePartition>,
}

#[derive(Deserialize)]
struct FilePartition {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    /// We have one directory: only "any" can be meant.
    #[serde(default)]
    log_dirs: Vec<String>,
}

fn first_version() -> u32 {
    1
}

impl Reassign {
    pub(super) async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let admin = client.admin();
        if self.list {
            return list(&ongoing(&admin).await?, output);
        }
        if self.unthrottle {
            return unthrottle(&admin, output).await;
        }
        let wanted = self.wanted(&admin).await?;
        if let Some(rate) = self.throttle {
            let targets = wanted.iter().filter_map(|Wanted { topic, partition, to }| {
                Some(throttle::Target { topic, partition: *partition, to: to.as_deref()? })
            });
            let targets: Vec<_> = targets.collect();
            let is_throttled = throttle::set(&admin, &targets, rate).await?;
            if is_throttled && !output.is_json() {
                output.text(format_args!(
                    "each broker copies no more than {rate} bytes a second of this; `ottla cluster reassign --unthrottle --execute` ends that"
                ))?;
            }
        }
        let asked: Vec<_> = wanted.iter().map(Wanted::to_request).collect();
        let outcomes = admin.alter_reassignments(&asked, !self.execute).await;
        let outcomes = outcomes.map_err(|error| failed("cannot move replicas", &error))?;
        self.report(&wanted, &outcomes, output)
    }

    async fn wanted(&self, admin: &Admin) -> Result<Vec<Wanted>, Failure> {
        let named = match (&self.file, &self.topic) {
            (Some(file), _) => read(file)?,
            (None, Some(topic)) => self.of_topic(admin, topic).await?,
            (None, None) if self.cancel => {
                let ongoing = ongoing(admin).await?.into_iter();
                ongoing.map(|m| Wanted { topic: m.topic, partition: m.partition, to: None }).collect()
            }
            (None, None) => {
                return Err(Failure::Usage(
                    "nothing to move: name a FILE, or --topic and --replicas, or --list".to_owned(),
                ));
            }
        };
        if !self.cancel {
            return Ok(named);
        }
        Ok(named.into_iter().map(|wanted| Wanted { to: None, ..wanted }).collect())
    }

    /// The partitions of one topic: those named, or all of them; of a cancelled one those that move.
    async fn of_topic(&self, admin: &Admin, topic: &str) -> Result<Vec<Wanted>, Failure> {
        if self.replicas.is_empty() && !self.cancel {
            return Err(Failure::Usage("where to? name --replicas, for example --replicas 2,3".to_owned()));
        }
        let partitions = if !self.partition.is_empty() {
            self.partition.clone()
        } else if self.cancel {
            let ongoing = ongoing(admin).await?.into_iter().filter(|m| m.topic == topic);
            ongoing.map(|m| m.partition).collect()
        } else {
            let described = admin.describe_topic(topic).await;
            let described = described.map_err(|error| failed(format_args!("cannot read {topic}"), &error))?;
            described.partitions.iter().map(|p| p.partition).collect()
        };
        let to = (!self.cancel).then(|| self.replicas.clone());
        let wanted = |partition| Wanted { topic: topic.to_owned(), partition, to: to.clone() };
        Ok(partitions.into_iter().map(wanted).collect())
    }

    fn report(
        &self,
        wanted: &[Wanted],
        outcomes: &[PartitionOutcome],
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let refused = outcomes.iter().filter(|outcome| outcome.outcome.is_err()).count();
        for (wanted, outcome) in wanted.iter().zip(outcomes) {
            let error = outcome.outcome.as_ref().err();
            if output.is_json() {
                output.json(&json!({
                    "topic": wanted.topic, "partition": wanted.partition, "to": wanted.to,
                    "executed": self.execute && error.is_none(), "error": error.map(ToString::to_string),
                }))?;
                continue;
            }
            let what = match &wanted.to {
                Some(to) => format!("to {}", ids(to)),
                None if error.is_some() => "not cancelled".to_owned(),
                None if self.execute => "cancelled".to_owned(),
                None => "to be cancelled".to_owned(),
            };
            let name = format!("{}-{}", wanted.topic, wanted.partition);
            match error {
                None => output.text(format_args!("{name}: {what}"))?,
                Some(error) => output.text(format_args!("{name}: {what}: {error}"))?,
            }
        }
        if refused > 0 {
            let refused = i64::try_from(refused).unwrap_or(i64::MAX);
            return Err(Failure::Failed(if self.cancel {
                format!("{} could not be cancelled", count(refused, "move"))
            } else {
                format!("{} cannot be moved", count(refused, "partition"))
            }));
        }
        if output.is_json() {
            return Ok(());
        }
        match (wanted.is_empty(), self.execute) {
            (true, _) => output.text("no partition is moving"),
            (false, true) if self.cancel => Ok(()),
            (false, true) => {
                output.text("moving; `ottla cluster reassign --list` shows what is not done yet")
            }
            (false, false) => output.text("nothing has changed: --execute does it"),
        }
    }
}

/// A throttle that is gone too early lets a move run at full speed, so it waits for the moves.
async fn unthrottle(admin: &Admin, output: &mut Output<'_>) -> Result<(), Failure> {
    let moving = ongoing(admin).await?.len();
    if moving > 0 {
        let moving = i64::try_from(moving).unwrap_or(i64::MAX);
        return Err(Failure::Failed(format!(
            "{} under way: the throttles stay until nothing moves; see `ottla cluster reassign --list`",
            count(moving, "move")
        )));
    }
    throttle::remove(admin).await?;
    if output.is_json() {
        return output.json(&json!({ "unthrottled": true }));
    }
    output.text("no copy is throttled any more")
}

/// One line of what is asked.
struct Wanted {
    topic: String,
    partition: i32,
    to: Option<Vec<i32>>,
}

impl Wanted {
    fn to_request(&self) -> Reassignment {
        match &self.to {
            Some(to) => Reassignment::to(&self.topic, self.partition, to.clone()),
            None => Reassignment::cancel(&self.topic, self.partition),
        }
    }
}

fn read(path: &Path) -> Result<Vec<Wanted>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::with(path.display(), error))?;
    let file: File = serde_json::from_str(&text).map_err(|error| Failure::with(path.display(), error))?;
    if file.version != 1 {
        return Err(Failure::with(
            path.display(),
            format!("version {} of the format; 1 is known", file.version),
        ));
    }
    if let Some(placed) = file.partitions.iter().find(|p| p.log_dirs.iter().any(|dir| dir != "any")) {
        let why = format!(
            "{}-{} names a log directory: a broker has one, so only \"any\" can be meant",
            placed.topic, placed.partition
        );
        return Err(Failure::with(path.display(), why));
    }
    let wanted = |p: FilePartition| Wanted { topic: p.topic, partition: p.partition, to: Some(p.replicas) };
    Ok(file.partitions.into_iter().map(wanted).collect())
}

pub(super) async fn ongoing(admin: &Admin) -> Result<Vec<OngoingReassignment>, Failure> {
    admin.list_reassignments().await.map_err(|error| failed("cannot see what is moving", &error))
}

fn list(ongoing: &[OngoingReassignment], output: &mut Output<'_>) -> Result<(), Failure> {
    if output.is_json() {
        for moving in ongoing {
            output.json(&json!({
                "topic": moving.topic, "partition": moving.partition, "replicas": moving.replicas,
                "adding": moving.adding, "removing": moving.removing,
            }))?;
        }
        return Ok(());
    }
    if ongoing.is_empty() {
        return output.text("no partition is moving");
    }
    let mut table = Table::new([
        ("partition", Align::Left),
        ("replicas", Align::Left),
        ("adding", Align::Left),
        ("removing", Align::Left),
    ]);
    for moving in ongoing {
        table.row([
            format!("{}-{}", moving.topic, moving.partition),
            ids(&moving.replicas),
            ids(&moving.adding),
            ids(&moving.removing),
        ]);
    }
    output.table(&table)
}
