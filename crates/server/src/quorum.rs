//! The metadata quorum: the part of the service `Cluster` that is about who votes.

use std::sync::Arc;
use std::time::Duration;

use ottla_node::Node;
use ottla_node::coordination::metadata::voters::{
    QuorumDescription, QuorumMember, VoterChange, VoterRefusal,
};
use ottla_node::record::{BrokerId, DirectoryId};
use ottla_rpc::v1;

use crate::errors::{self, Failure};

/// Part of the time of a change that is left for its answer to come in before the client gives up.
const ANSWER_SHARE: u32 = 10;

pub(crate) async fn describe(node: &Arc<Node>) -> Result<v1::DescribeQuorumResponse, Failure> {
    let quorum = node.describe_quorum().await.map_err(|error| errors::voter(&error))?;
    Ok(v1::DescribeQuorumResponse {
        leader: quorum.leader.get(),
        term: number(quorum.term),
        high_watermark: quorum.high_watermark.map(number),
        members: quorum.members.iter().map(|of| member(&quorum, of)).collect(),
    })
}

fn member(quorum: &QuorumDescription, member: &QuorumMember) -> v1::QuorumMember {
    let millis = |age: Duration| i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    v1::QuorumMember {
        node: member.node.get(),
        directory_id: member.directory.to_string(),
        address: member.address.clone().unwrap_or_default(),
        votes: member.votes,
        log_end: member.log_end.map(number),
        lag: quorum.lag(member).map(number),
        silent_ms: member.silent.map(millis),
        behind_for_ms: member.behind_for.map(millis),
    }
}

pub(crate) async fn add_voter(
    node: &Arc<Node>,
    voter: Option<v1::VoterName>,
    within: Duration,
) -> Result<(), Failure> {
    let (voter, directory) = named(node, voter).await?;
    let directory = directory.ok_or_else(|| errors::voter(&VoterRefusal::NoMember(voter).into()))?;
    change(node, VoterChange::Add { node: voter, directory }, within).await
}

pub(crate) async fn remove_voter(
    node: &Arc<Node>,
    voter: Option<v1::VoterName>,
    within: Duration,
) -> Result<(), Failure> {
    let (voter, directory) = named(node, voter).await?;
    let directory = directory.ok_or_else(|| errors::voter(&VoterRefusal::NoVoter(voter).into()))?;
    change(node, VoterChange::Remove { node: voter, directory }, within).await
}

async fn change(node: &Arc<Node>, change: VoterChange, within: Duration) -> Result<(), Failure> {
    let within = within - within / ANSWER_SHARE;
    node.change_voter(None, change, within).await.map_err(|error| errors::voter(&error))
}

/// The node that is meant, and its directory: the one that is named, or the one with which it takes part.
async fn named(
    node: &Arc<Node>,
    voter: Option<v1::VoterName>,
) -> Result<(BrokerId, Option<DirectoryId>), Failure> {
    let v1::VoterName { node: id, directory_id } =
        voter.ok_or_else(|| errors::invalid("voter is not set: whose vote is it?"))?;
    let id = BrokerId::from_wire(id).ok_or_else(|| errors::invalid(format!("node {id} is negative")))?;
    if directory_id.is_empty() {
        let directory = node.quorum_directory(id).await.map_err(|error| errors::voter(&error))?;
        return Ok((id, directory));
    }
    let directory = directory_id.parse().map(DirectoryId).map_err(|_| {
        errors::invalid(format!("directory_id {directory_id:?} is no id in Kafka's base64 spelling"))
    })?;
    Ok((id, Some(directory)))
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
