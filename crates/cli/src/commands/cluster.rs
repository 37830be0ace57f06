//! `ottla cluster`: the brokers, what is wrong with any partition, who votes, and replicas and leaderships that move.

mod elect;
mod plan;
mod quorum;
mod reassign;
mod throttle;

use clap::{Args, Subcommand};
use ottla_client::{Client, Cluster as Description};
use serde_json::json;

use crate::commands::topic::count;
use crate::failure::Failure;
use crate::online::{BrokerArguments, failed};
use crate::output::{Align, Bytes, Output, OutputArguments, Table};

/// `ottla cluster`, with what it asks.
#[derive(Debug, Args)]
pub struct Cluster {
    #[command(flatten)]
    broker: BrokerArguments,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Shows the brokers, who votes on the cluster's metadata, and partitions without a leader or with too few replicas in sync.
    Status(Status),
    /// Moves partitions to other brokers, shows and cancels moves.
    Reassign(reassign::Reassign),
    /// Gives leaderships back to the preferred leaders, the first replicas.
    Elect(elect::Elect),
    /// Plans how all brokers get as many replicas, bytes and leaderships as the next, in as many racks as there are; then does it.
    Balance(plan::Balance),
    /// Plans how a broker gets rid of everything, its leaderships first; then does it.
    Drain(plan::Drain),
    /// Gives nodes a vote on the cluster's metadata, or takes it.
    #[command(subcommand)]
    Voter(quorum::Voter),
}

#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    form: OutputArguments,
}

impl Cluster {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        self.broker.run(async |client: Client| match &self.command {
            ClusterCommand::Status(status) => status.execute(&client, output).await,
            ClusterCommand::Reassign(reassign) => reassign.execute(&client, output).await,
            ClusterCommand::Elect(elect) => elect.execute(&client, output).await,
            ClusterCommand::Balance(balance) => balance.execute(&client, output).await,
            ClusterCommand::Drain(drain) => drain.execute(&client, output).await,
            ClusterCommand::Voter(voter) => voter.execute(&client, output).await,
        })
    }
}

impl Status {
    async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        output.set_form(self.form.form());
        let asked = |error| failed("cannot see the cluster", &error);
        let cluster = client.admin().describe_cluster().await.map_err(asked)?;
        let disk = client.admin().describe_log_dir(&[]).await.map_err(asked)?;
        let used: i64 = disk.logs.iter().map(|log| log.size_bytes).sum();
        // Whoever looks for what is wrong wants the rest all the more while nobody leads.
        let quorum = client.admin().describe_quorum().await;
        if output.is_json() {
            let mut status = as_json(&cluster);
            if let Some(status) = status.as_object_mut() {
                let log_dir = json!({
                    "path": disk.path, "total_bytes": disk.total_bytes, "free_bytes": disk.free_bytes,
                    "log_bytes": used,
                });
                status.insert("log_dir".to_owned(), log_dir);
                status.insert("quorum".to_owned(), quorum.ok().as_ref().map_or(json!(null), quorum::as_json));
            }
            return output.json(&status);
        }
        let controller = cluster.controller.map_or_else(|| "none".to_owned(), |id| format!("broker {id}"));
        output.text(format_args!("cluster {}, controller {controller}", cluster.cluster_id))?;
        output.text(format_args!(
            "{} with {}: {} without a leader, {} under-replicated",
            count(cluster.topics.into(), "topic"),
            count(cluster.partitions.into(), "partition"),
            cluster.leaderless_partitions,
            cluster.under_replicated_partitions
        ))?;
        let bytes = |bytes: i64| Bytes(u64::try_from(bytes).unwrap_or(0));
        output.text(format_args!(
            "{} of logs in {} of broker {}, {} of {} free",
            bytes(used),
            disk.path,
            cluster.answered_by,
            bytes(disk.free_bytes),
            bytes(disk.total_bytes)
        ))?;
        output.text("")?;
        output.table(&table(&cluster))?;
        output.text("")?;
        match &quorum {
            Ok(quorum) => {
                output.text(quorum::headline(quorum))?;
                output.text("")?;
                output.table(&quorum::table(quorum))
            }
            Err(error) => output.text(format_args!("metadata quorum: {error}")),
        }
    }
}

/// `1,2,3`
fn ids(brokers: &[i32]) -> String {
    if brokers.is_empty() {
        return "-".to_owned();
    }
    brokers.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn table(cluster: &Description) -> Table {
    let mut table = Table::new([
        ("broker", Align::Right),
        ("state", Align::Left),
        ("rack", Align::Left),
        ("leads", Align::Right),
        ("replicas", Align::Right),
        ("listeners", Align::Left),
    ]);
    for broker in &cluster.brokers {
        let listeners: Vec<_> = broker
            .endpoints
            .iter()
            .map(|endpoint| format!("{}://{}:{}", endpoint.listener, endpoint.host, endpoint.port))
            .collect();
        let state = match (broker.fenced, broker.disk_full) {
            (true, _) => "fenced",
            (false, true) => "full",
            (false, false) => "serving",
        };
        table.row([
            broker.id.to_string(),
            state.to_owned(),
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            broker.leaders.to_string(),
            broker.replicas.to_string(),
            listeners.join(" "),
        ]);
    }
    table
}

fn as_json(cluster: &Description) -> serde_json::Value {
    let brokers: Vec<_> = cluster
        .brokers
        .iter()
        .map(|broker| {
            let endpoints: Vec<_> = broker
                .endpoints
                .iter()
                .map(|endpoint| {
                    json!({ "listener": endpoint.listener, "host": endpoint.host, "port": endpoint.port })
                })
                .collect();
            json!({
                "id": broker.id, "fenced": broker.fenced, "disk_full": broker.disk_full, "rack": broker.rack, "leaders": broker.leaders,
                "replicas": broker.replicas, "endpoints": endpoints,
            })
        })
        .collect();
    json!({
        "cluster_id": cluster.cluster_id, "controller": cluster.controller,
        "answered_by": cluster.answered_by, "metadata_version": cluster.metadata_version,
        "topics": cluster.topics, "partitions": cluster.partitions,
        "leaderless_partitions": cluster.leaderless_partitions,
        "under_replicated_partitions": cluster.under_replicated_partitions, "brokers": brokers,
    })
}
