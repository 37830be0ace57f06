//! `ottla cluster balance` and `ottla cluster drain`: what should move is shown, then carried out step by step.

use std::time::Duration;

use clap::Args;
use ottla_client::{Admin, Client, LogSize, MovePlan, PlanKind, PlannedMove, Reassignment, StepLimit};
use serde_json::json;

use super::ids;
use super::reassign::ongoing;
use crate::commands::topic::count;
use crate::failure::Failure;
use crate::online::failed;
use crate::output::{Align, Bytes, Output, OutputArguments, Table};

/// How often a step is looked at until it is done.
const GLANCE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Balance {
    /// Instead: gives the topics that the cluster keeps for itself (or those of --topic) this many replicas, where they have fewer.
    #[arg(long, value_name = "N")]
    replicas: Option<i32>,
    /// With --replicas: which topics. May be given several times.
    #[arg(long, short, requires = "replicas")]
    topic: Vec<String>,
    #[command(flatten)]
    execution: Execution,
}

#[derive(Debug, Args)]
pub(super) struct Drain {
    /// The id of the broker that shall have nothing any more. New topics may still be placed there: stop it when it is done.
    #[arg(value_name = "BROKER")]
    drained: i32,
    #[command(flatten)]
    execution: Execution,
}

/// How a plan is shown and carried out.
#[derive(Debug, Args)]
struct Execution {
    /// Carries the plan out, and waits for it. Without this it is only shown.
    #[arg(long)]
    execute: bool,
    /// Partitions that move at once.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..))]
    step_partitions: i32,
    /// Bytes that are copied at once; a partition that is larger moves alone.
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 30, value_parser = clap::value_parser!(i64).range(1..))]
    step_bytes: i64,
    #[command(flatten)]
    form: OutputArguments,
}

impl Balance {
    pub(super) async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        let kind = match self.replicas {
            None => PlanKind::Balance,
            Some(replicas) => PlanKind::Raise { topics: self.topics(&client.admin()).await?, replicas },
        };
        self.execution.run(client, &kind, output).await
    }

    async fn topics(&self, admin: &Admin) -> Result<Vec<String>, Failure> {
        if !self.topic.is_empty() {
            return Ok(self.topic.clone());
        }
        let topics = admin.list_all_topics().await;
        let topics = topics.map_err(|error| failed("cannot list the topics", &error))?.into_iter();
        Ok(topics.filter(|topic| topic.internal).map(|topic| topic.name).collect())
    }
}

impl Drain {
    pub(super) async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        self.execution.run(client, &PlanKind::Drain(self.drained), output).await
    }
}

impl Execution {
    async fn run(&self, client: &Client, kind: &PlanKind, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let admin = client.admin();
        let limit = StepLimit { partitions: self.step_partitions, bytes: self.step_bytes };
        let sizes = sizes(&admin, output).await?;
        let plan = admin.plan_moves(kind, limit, &sizes).await;
        let plan = plan.map_err(|error| failed("cannot plan", &error))?;
        show(&plan, output)?;
        if plan.steps.is_empty() && plan.elections.is_empty() {
            return if output.is_json() { Ok(()) } else { output.text("nothing to move") };
        }
        if !self.execute {
            return if output.is_json() {
                Ok(())
            } else {
                output.text("nothing has moved: --execute does it")
            };
        }
        for (at, step) in plan.steps.iter().enumerate() {
            output.note(format_args!(
                "step {} of {}: {}, {}",
                at + 1,
                plan.steps.len(),
                count(i64::try_from(step.len()).unwrap_or(i64::MAX), "partition"),
                size(step.iter().map(|planned| planned.bytes).sum())
            ));
            carry_out(&admin, step, output).await?;
        }
        let elections: Vec<_> = plan.elections.iter().map(|(t, p)| (t.as_str(), *p)).collect();
        elect(&admin, &elections, output).await?;
        if output.is_json() { Ok(()) } else { output.text("done") }
    }
}

/// Begins the moves of one step, waits until they are done, and elects its leaders.
async fn carry_out(admin: &Admin, step: &[PlannedMove], output: &mut Output<'_>) -> Result<(), Failure> {
    let asked: Vec<_> = step.iter().map(|m| Reassignment::to(&m.topic, m.partition, m.to.clone())).collect();
    let outcomes = admin.alter_reassignments(&asked, false).await;
    for outcome in outcomes.map_err(|error| failed("cannot move replicas", &error))? {
        if let Err(error) = outcome.outcome {
            let what = format!("cannot move {}-{}", outcome.topic, outcome.partition);
            return Err(failed(what, &error));
        }
    }
    let named: Vec<_> = step.iter().map(|m| (m.topic.as_str(), m.partition)).collect();
    while ongoing(admin).await?.iter().any(|m| named.contains(&(m.topic.as_str(), m.partition))) {
        tokio::time::sleep(GLANCE).await;
    }
    elect(admin, &named, output).await
}

/// Gives leaderships to the preferred leaders. One that is not in sync yet does not lead: nothing asks for it again by itself.
async fn elect(admin: &Admin, partitions: &[(&str, i32)], output: &mut Output<'_>) -> Result<(), Failure> {
    if partitions.is_empty() {
        return Ok(());
    }
    let outcomes = admin.elect_leaders(partitions, false).await;
    for outcome in outcomes.map_err(|error| failed("cannot elect leaders", &error))? {
        let Err(error) = outcome.outcome else { continue };
        let name = format!("{}-{}", outcome.topic, outcome.partition);
        match error.kafka_name() {
            Some("ELECTION_NOT_NEEDED") => {}
            Some("PREFERRED_LEADER_NOT_AVAILABLE") => output.warn(format_args!(
                "{name} is not led by its preferred leader, which is not in sync: `ottla cluster elect` later"
            )),
            _ => return Err(failed(format!("cannot elect a leader of {name}"), &error)),
        }
    }
    Ok(())
}

/// The sizes of partitions that brokers have, asked one by one: each knows its own.
async fn sizes(admin: &Admin, output: &mut Output<'_>) -> Result<Vec<LogSize>, Failure> {
    let cluster = admin.describe_cluster().await;
    let cluster = cluster.map_err(|error| failed("cannot see the cluster", &error))?;
    let mut sizes = Vec::new();
    for broker in cluster.brokers.iter().filter(|broker| broker.id != cluster.answered_by && !broker.fenced) {
        let address = broker.endpoints.iter().find(|endpoint| endpoint.listener == "API");
        let asked = async {
            let endpoint = address?;
            let other = Client::builder().bootstrap(format!("http://{}:{}", endpoint.host, endpoint.port));
            let other = other.request_timeout(Duration::from_secs(5)).build().ok()?;
            other.admin().describe_log_dir(&[]).await.ok()
        };
        match asked.await {
            Some(directory) => sizes.extend(directory.logs),
            None => output.warn(format_args!(
                "broker {} does not say how large its logs are: those that only it has count as empty",
                broker.id
            )),
        }
    }
    Ok(sizes)
}

fn show(plan: &MovePlan, output: &mut Output<'_>) -> Result<(), Failure> {
    if output.is_json() {
        let planned = |m: &PlannedMove| json!({ "topic": m.topic, "partition": m.partition, "from": m.from, "to": m.to, "bytes": m.bytes });
        let steps: Vec<Vec<_>> = plan.steps.iter().map(|step| step.iter().map(planned).collect()).collect();
        let load = |l: &ottla_client::BrokerLoad| json!({ "replicas": l.replicas, "leaders": l.leaders, "bytes": l.bytes });
        let brokers = plan
            .brokers
            .iter()
            .map(|(id, before, after)| json!({ "id": id, "before": load(before), "after": load(after) }));
        let elections = plan.elections.iter().map(|(t, p)| json!({ "topic": t, "partition": p }));
        return output.json(&json!({
            "steps": steps, "elections": elections.collect::<Vec<_>>(), "brokers": brokers.collect::<Vec<_>>(),
        }));
    }
    if !plan.steps.is_empty() {
        let mut table = Table::new([
            ("step", Align::Right),
            ("partition", Align::Left),
            ("from", Align::Left),
            ("to", Align::Left),
            ("copies", Align::Right),
        ]);
        for (at, step) in plan.steps.iter().enumerate() {
            for m in step {
                let partition = format!("{}-{}", m.topic, m.partition);
                table.row([(at + 1).to_string(), partition, ids(&m.from), ids(&m.to), size(m.bytes)]);
            }
        }
        output.table(&table)?;
        output.text("")?;
    }
    if !plan.elections.is_empty() {
        let elections = count(i64::try_from(plan.elections.len()).unwrap_or(i64::MAX), "partition");
        output.text(format_args!("{elections} to be led by the preferred leader"))?;
    }
    let mut table = Table::new([
        ("broker", Align::Right),
        ("replicas", Align::Right),
        ("then", Align::Right),
        ("leads", Align::Right),
        ("then", Align::Right),
        ("size", Align::Right),
        ("then", Align::Right),
    ]);
    for (id, before, after) in &plan.brokers {
        table.row([
            id.to_string(),
            before.replicas.to_string(),
            after.replicas.to_string(),
            before.leaders.to_string(),
            after.leaders.to_string(),
            size(before.bytes),
            size(after.bytes),
        ]);
    }
    output.table(&table)
}

fn size(bytes: i64) -> String {
    Bytes(u64::try_from(bytes).unwrap_or(0)).to_string()
}
