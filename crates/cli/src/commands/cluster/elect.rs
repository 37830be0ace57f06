//! `ottla cluster elect`: leaderships go to the preferred leaders.

use clap::Args;
use ottla_client::Client;
use serde_json::json;

use crate::commands::topic::count;
use crate::failure::Failure;
use crate::online::failed;
use crate::output::{Output, OutputArguments};

#[derive(Debug, Args)]
pub(super) struct Elect {
    /// Only partitions of this topic; without it those of all topics.
    #[arg(long, short)]
    topic: Option<String>,
    /// Only this partition of it. May be given several times.
    #[arg(long, short, value_name = "N", requires = "topic")]
    partition: Vec<i32>,
    /// Lets any replica lead partitions that have no leader. Records that were acknowledged may be lost by it.
    #[arg(long)]
    unclean: bool,
    #[command(flatten)]
    form: OutputArguments,
}

impl Elect {
    pub(super) async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let admin = client.admin();
        let partitions: Vec<i32> = match &self.topic {
            Some(topic) if self.partition.is_empty() => {
                let described = admin.describe_topic(topic).await;
                let described = described.map_err(|e| failed(format_args!("cannot read {topic}"), &e))?;
                described.partitions.iter().map(|p| p.partition).collect()
            }
            _ => self.partition.clone(),
        };
        let topic = self.topic.as_deref().unwrap_or_default();
        let named: Vec<_> = partitions.iter().map(|partition| (topic, *partition)).collect();
        let outcomes = admin.elect_leaders(&named, self.unclean).await;
        let outcomes = outcomes.map_err(|error| failed("cannot elect leaders", &error))?;
        let (mut elected, mut refused) = (0, 0);
        for outcome in &outcomes {
            let name = format!("{}-{}", outcome.topic, outcome.partition);
            let error = outcome.outcome.as_ref().err();
            let led = error.is_some_and(|error| error.kafka_name() == Some("ELECTION_NOT_NEEDED"));
            elected += i64::from(error.is_none());
            refused += i64::from(error.is_some() && !led);
            if output.is_json() {
                output.json(&json!({
                    "topic": outcome.topic, "partition": outcome.partition, "elected": error.is_none(),
                    "error": error.map(ToString::to_string),
                }))?;
            } else if let Some(error) = error.filter(|_| !led) {
                output.text(format_args!("{name}: {error}"))?;
            } else if !led {
                output.text(format_args!("{name}: elected"))?;
            }
        }
        if refused > 0 {
            let why = format!("{} got no leader", count(refused, "partition"));
            return Err(Failure::Failed(why));
        }
        if elected == 0 && !output.is_json() {
            output.text(if self.unclean {
                "every partition has a leader"
            } else {
                "every partition is led by its preferred leader"
            })?;
        }
        Ok(())
    }
}
