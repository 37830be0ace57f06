//! Who votes on the cluster's metadata: a part of `ottla cluster status`, and `ottla cluster voter`.

use clap::{Args, Subcommand};
use ottla_client::{Client, Quorum, QuorumMember};
use serde_json::json;

use crate::failure::Failure;
use crate::online::failed;
use crate::output::{Align, Output, OutputArguments, Table};

#[derive(Debug, Subcommand)]
pub(super) enum Voter {
    /// Gives a vote to a node that runs and follows the metadata. It waits for one that is still catching up.
    Add(Named),
    /// Takes a node's vote; it goes on following. A leader hands over first.
    Remove(Named),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The node's id (node.id).
    node: i32,
    /// The id of its log directory, as `ottla cluster status` shows it. Without it, the one with which it takes part: a node that has
    /// lost its directory is another one.
    #[arg(long, value_name = "ID")]
    directory: Option<String>,
    #[command(flatten)]
    form: OutputArguments,
}

impl Voter {
    pub(super) async fn execute(&self, client: &Client, output: &mut Output<'_>) -> Result<(), Failure> {
        let (Self::Add(named) | Self::Remove(named)) = self;
        let Named { node, directory, form } = named;
        output.set_form(form.form());
        let (admin, directory) = (client.admin(), directory.as_deref());
        let (done, votes) = match self {
            Self::Add(_) => (admin.add_voter(*node, directory).await, true),
            Self::Remove(_) => (admin.remove_voter(*node, directory).await, false),
        };
        let what = if votes { "give a vote to" } else { "take the vote of" };
        done.map_err(|error| failed(format_args!("cannot {what} node {node}"), &error))?;
        if output.is_json() {
            return output.json(&json!({ "node": node, "votes": votes }));
        }
        output.text(format_args!("node {node} {}", if votes { "votes" } else { "votes no longer" }))
    }
}

pub(super) fn headline(quorum: &Quorum) -> String {
    let (voters, observers): (Vec<_>, Vec<_>) = quorum.members.iter().partition(|member| member.votes);
    let ids = |members: &[&QuorumMember]| super::ids(&members.iter().map(|m| m.node).collect::<Vec<_>>());
    let Quorum { leader, term, .. } = quorum;
    format!(
        "metadata quorum: node {leader} leads in term {term}, voters {}, observers {}",
        ids(&voters),
        ids(&observers)
    )
}

pub(super) fn table(quorum: &Quorum) -> Table {
    let mut table = Table::new([
        ("node", Align::Right),
        ("role", Align::Left),
        ("lag", Align::Right),
        ("log end", Align::Right),
        ("heard of", Align::Right),
        ("directory", Align::Left),
        ("control listener", Align::Left),
    ]);
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for member in &quorum.members {
        table.row([
            member.node.to_string(),
            role(quorum, member).to_owned(),
            number(member.lag),
            number(member.log_end),
            ago(quorum, member),
            member.directory_id.clone(),
            member.address.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}

fn role(quorum: &Quorum, member: &QuorumMember) -> &'static str {
    match member.votes {
        _ if member.node == quorum.leader => "leader",
        true => "voter",
        false => "observer",
    }
}

/// Members that are there answer ten times a second.
fn ago(quorum: &Quorum, member: &QuorumMember) -> String {
    const SILENT_MS: i64 = 1_000;
    match member.silent_ms {
        _ if member.node == quorum.leader => "-".to_owned(),
        None => "never".to_owned(),
        Some(ms) if ms < SILENT_MS => "now".to_owned(),
        Some(ms) => format!("{} s ago", ms / 1_000),
    }
}

pub(super) fn as_json(quorum: &Quorum) -> serde_json::Value {
    let member = |member: &QuorumMember| {
        json!({
            "node": member.node, "role": role(quorum, member), "votes": member.votes,
            "directory_id": member.directory_id, "address": member.address, "log_end": member.log_end,
            "lag": member.lag, "silent_ms": member.silent_ms, "behind_for_ms": member.behind_for_ms,
        })
    };
    json!({
        "leader": quorum.leader, "term": quorum.term, "high_watermark": quorum.high_watermark,
        "members": quorum.members.iter().map(member).collect::<Vec<_>>(),
    })
}
