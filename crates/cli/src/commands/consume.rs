//! `ottla consume`: prints records, and goes on as they come.

use std::future::ready;
use std::time::{Duration, SystemTime};

use clap::Args;
use ottla_client::{Client, Consumer, Event, Isolation, Offset, Start};

use crate::commands::topic::{bounds, no_partition};
use crate::failure::Failure;
use crate::online::{BrokerArguments, Interrupted, failed};
use crate::output::{Output, OutputArguments};
use crate::place::Place;
use crate::record_format::RecordFormat;

/// How often a member of a group commits what it has printed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// `ottla consume`, with what it asks.
#[derive(Debug, Args)]
pub struct Consume {
    #[command(flatten)]
    broker: BrokerArguments,
    /// What to read.
    topic: String,
    /// Where to begin: start, end, an offset, -N (N records before the end), a time in UTC
    /// (2026-01-31T08:00:00Z, or @ and milliseconds since 1970), or an age (15m, 2h, 7days).
    #[arg(long, value_name = "PLACE", default_value = "end", allow_hyphen_values = true)]
    from: Place,
    /// Only this partition. May be given several times.
    #[arg(long = "partition", short, value_name = "N")]
    partitions: Vec<i32>,
    /// Reads as a member of this group: shares the partitions with its other members, begins where the group has come to,
    /// and commits what it has printed. --from counts only where the group has committed nothing.
    #[arg(long, short, value_name = "GROUP", conflicts_with_all = ["partitions", "exit_at_end"])]
    group: Option<String>,
    /// Ends after so many records.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Ends when everything has been read that is there now; without it, the command goes on until Ctrl-C.
    #[arg(long, short)]
    exit_at_end: bool,
    /// Leaves out the records of transactions that are open or were aborted.
    #[arg(long)]
    read_committed: bool,
    /// How records are printed: value, text, json, or fields as in '%p %o %k %v\n'; see below.
    ///
    /// %t topic, %p partition, %o offset, %k key, %K its length, %v or %s value, %S its length, %T timestamp in ms, %h
    /// headers, %% a percent sign; \n \t \r \0 \xHH \\ stand for bytes. Lengths of null are -1.
    #[arg(long, short, value_name = "FORMAT", default_value = "value")]
    format: RecordFormat,
    #[command(flatten)]
    form: OutputArguments,
}

impl Consume {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        let json = RecordFormat::Json;
        let format = if self.form.json { &json } else { &self.format };
        if let Some(group) = &self.group {
            return self.broker.run_to_its_end(async |client, interrupted| {
                self.share(&client, group, format, output, interrupted).await
            });
        }
        let ended = self.broker.run(async |client: Client| {
            let consumer = self.consumer(&client).await?;
            self.print(consumer, format, output).await
        });
        match ended {
            // A tail has no end of its own: whoever stops it has what they wanted.
            Err(Failure::Interrupted) if self.count.is_none() && !self.exit_at_end => Ok(()),
            ended => ended,
        }
    }

    /// Reads as a member of a group, and commits what was printed, also when it is stopped.
    async fn share(
        &self,
        client: &Client,
        group: &str,
        format: &RecordFormat,
        output: &mut Output<'_>,
        mut interrupted: Interrupted,
    ) -> Result<(), Failure> {
        let start = match self.from {
            Place::Broker(Start::Offset(_)) | Place::BeforeEnd(_) => {
                let why =
                    "--from with --group is start, end, a time or an age: the group's own place comes first";
                let next = format!("`ottla group reset {group} --to …` sets that place");
                return Err(Failure::Usage(format!(
                    "{why}
  {next}"
                )));
            }
            place => place.resolve(Offset::new(0), Offset::new(0), SystemTime::now()),
        };
        let builder = client.group(group).topic(self.topic.as_str()).start(start).client_id("ottla consume");
        let builder = builder.isolation(self.isolation()).commit_every(COMMIT_INTERVAL);
        let cannot = |error: &ottla_client::Error| {
            failed(format_args!("cannot read {} as {group}", self.topic), error)
        };
        let mut consumer = builder.build().map_err(|error| cannot(&error))?;
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut unseen = false;
        let ended = loop {
            if left == 0 {
                break Ok(());
            }
            let record = tokio::select! {
                biased;
                () = &mut interrupted => match self.count {
                    // A tail has no end of its own: whoever stops it has what they wanted.
                    None => break Ok(()),
                    Some(_) => break Err(Failure::Interrupted),
                },
                record = consumer.next() => record,
                // Nothing is there at this moment: show what was printed, then wait.
                () = ready(()), if unseen => {
                    if let Err(failure) = output.flush() {
                        break Err(failure);
                    }
                    unseen = false;
                    continue;
                }
            };
            match record {
                None => break Ok(()),
                // It joins again by itself.
                Some(Err(error)) if error.is_retriable() => output.warn(cannot(&error)),
                Some(Err(error)) => break Err(cannot(&error)),
                Some(Ok(record)) => {
                    if let Err(error) = format.write(&record, output.writer()) {
                        break Err(error.into());
                    }
                    left -= 1;
                    unseen = true;
                }
            }
        };
        // Not what nobody has seen.
        let shown = output.flush();
        match shown.is_ok() {
            true => consumer
                .close()
                .await
                .map_err(|error| failed(format_args!("cannot commit for {group}"), &error))?,
            false => drop(consumer),
        }
        ended.and(shown)
    }

    fn isolation(&self) -> Isolation {
        match self.read_committed {
            true => Isolation::ReadCommitted,
            false => Isolation::ReadUncommitted,
        }
    }

    async fn consumer(&self, client: &Client) -> Result<Consumer, Failure> {
        let bounds = bounds(&client.admin(), &self.topic).await?;
        let now = SystemTime::now();
        let mut builder = client.consumer().isolation(self.isolation());
        if self.exit_at_end {
            builder = builder.stop_at_end();
        }
        for wanted in &self.partitions {
            if !bounds.contains_key(wanted) {
                return Err(no_partition(&self.topic, *wanted, bounds.len()));
            }
        }
        for (partition, (start, end)) in bounds {
            if self.partitions.is_empty() || self.partitions.contains(&partition) {
                // With --exit-at-end there would be nothing to read and nothing to say why.
                if let Place::Broker(Start::Offset(offset)) = self.from
                    && offset > end
                {
                    let why = format_args!(
                        "it ends at {} (OFFSET_OUT_OF_RANGE)\n  --from end waits for what comes next, --from -10 begins 10 records before",
                        end.get()
                    );
                    return Err(Failure::with(
                        format_args!("{}-{partition} has no offset {}", self.topic, offset.get()),
                        why,
                    ));
                }
                builder =
                    builder.partition(self.topic.as_str(), partition, self.from.resolve(start, end, now));
            }
        }
        builder.build().map_err(|error| failed(format_args!("cannot read {}", self.topic), &error))
    }

    async fn print(
        &self,
        mut consumer: Consumer,
        format: &RecordFormat,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut unseen = false;
        while left > 0 {
            let event = tokio::select! {
                biased;
                event = consumer.next_event() => event,
                // Nothing is there at this moment: show what was printed, then wait.
                () = ready(()), if unseen => {
                    output.flush()?;
                    unseen = false;
                    continue;
                }
            };
            match event {
                None => break,
                Some(Err(error)) => return Err(failed(format_args!("cannot read {}", self.topic), &error)),
                Some(Ok(Event::Record(record))) => {
                    format.write(&record, output.writer())?;
                    left -= 1;
                    unseen = true;
                }
                Some(Ok(_)) => {}
            }
        }
        Ok(())
    }
}
