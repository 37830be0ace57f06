//! Which cluster a node with an empty directory belongs to, and who forms a new quorum.
//!
//! | voters listed | bootstrap servers | a node with no metadata |
//! |---|---|---|
//! | none | none | forms a quorum of its own |
//! | none | itself alone | forms a quorum of its own |
//! | none | others | joins the quorum it finds there, and waits until it finds one |
//! | it is the lowest | any | forms a quorum of all listed voters, once each of them has answered and none is a member of one; joins if one is |
//! | others are lower | any | joins the quorum that it finds |
//!
//! Every listed voter must answer, not a majority: the one that is silent may be the one that remembers.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_record::{BrokerId, ClusterId, Incarnation};
use ottla_rpc::control::{self, InvalidField, Party, v1};
use tokio::task::JoinSet;

use crate::peers::{CallError, Peers};
use crate::raft::{Member, NodeId, node_id};

/// Time for an answer. Whoever takes longer is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A voter as it is listed in `controller.quorum.voters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its `node.id`.
    pub node: BrokerId,
    /// `host:port` of its control listener.
    pub address: String,
}

/// Where other members may be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) voters: Vec<Voter>,
    pub(crate) bootstrap: Vec<String>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) party: Party,
    pub(crate) incarnation: Incarnation,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) term: u64,
    pub(crate) leader: Option<BrokerId>,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member, as a node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) party: Party,
    pub(crate) address: Option<String>,
}

/// What a node with an empty directory does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It belongs to this cluster.
    Adopt(ClusterId),
    /// It forms a new one.
    Form,
    /// It asks again.
    Wait(String),
}

impl Seeds {
    /// Where to ask: everybody but this node, unless it is the only one there is.
    pub(crate) fn addresses(&self, me: BrokerId) -> Vec<String> {
        let own = self.voters.iter().find(|voter| voter.node == me).map(|voter| &voter.address);
        let voters = self.voters.iter().filter(|voter| voter.node != me).map(|voter| &voter.address);
        let bootstrap = self.bootstrap.iter().filter(|address| Some(*address) != own);
        let mut addresses: Vec<String> = voters.chain(bootstrap).cloned().collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// What a node with an empty directory does after these answers.
    pub(crate) fn decide(
        &self,
        me: Party,
        address: &str,
        answers: &[(String, Option<Described>)],
    ) -> Decision {
        let mut clusters: Vec<ClusterId> =
            answers.iter().filter_map(|(_, answer)| answer.as_ref()?.cluster).collect();
        clusters.sort();
        clusters.dedup();
        match clusters.as_slice() {
            [cluster] => Decision::Adopt(*cluster),
            [] => match self.founders(me, address, answers) {
                Ok(_) => Decision::Form,
                Err(why) => Decision::Wait(why),
            },
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                Decision::Wait(format!(
                    "the nodes it is told to ask are of several clusters: {}",
                    names.join(", ")
                ))
            }
        }
    }

    /// The members of a new quorum, if forming it is this node's to do.
    pub(crate) fn founders(
        &self,
        me: Party,
        address: &str,
        answers: &[(String, Option<Described>)],
    ) -> Result<BTreeMap<NodeId, Member>, String> {
        if let Some((at, _)) =
            answers.iter().find(|(_, answer)| answer.as_ref().is_some_and(|d| !d.members.is_empty()))
        {
            return Err(format!("{at} is a member of a quorum"));
        }
        let own = Member { directory: me.directory, address: Some(address.to_owned()) };
        let mut members = BTreeMap::from([(node_id(me.node), own)]);
        let Some(lowest) = self.voters.iter().map(|voter| voter.node).min() else {
            return match self.found_only(me, answers) {
                true => Ok(members),
                false => Err(format!("no member of a quorum answers at {}", self.bootstrap.join(", "))),
            };
        };
        if lowest != me.node {
            return Err(format!("node {lowest} is the lowest listed voter, and forms the quorum"));
        }
        for voter in self.voters.iter().filter(|voter| voter.node != me.node) {
            let answer = answers.iter().find(|(at, _)| *at == voter.address).and_then(|(_, a)| a.as_ref());
            let Some(described) = answer else {
                return Err(format!("voter {} does not answer at {}", voter.node, voter.address));
            };
            if described.party.node != voter.node {
                return Err(format!(
                    "at {} answers node {}, not voter {}",
                    voter.address, described.party.node, voter.node
                ));
            }
            let member =
                Member { directory: described.party.directory, address: Some(voter.address.clone()) };
            members.insert(node_id(voter.node), member);
        }
        Ok(members)
    }

    /// Whether there is nobody else to ask.
    fn found_only(&self, me: Party, answers: &[(String, Option<Described>)]) -> bool {
        let is_me = |answer: &Option<Described>| answer.as_ref().is_some_and(|d| d.party == me);
        self.bootstrap.is_empty() || (self.bootstrap.len() == 1 && answers.iter().all(|(_, a)| is_me(a)))
    }
}

/// Asks all of these addresses at once.
pub(crate) async fn probe(
    peers: &std::sync::Arc<Peers>,
    addresses: &[String],
) -> Vec<(String, Option<Described>)> {
    let mut asked = JoinSet::new();
    for address in addresses.iter().cloned() {
        let peers = std::sync::Arc::clone(peers);
        asked.spawn(async move {
            let answer = describe(&peers, &address).await;
            if let Err(error) = &answer {
                tracing::debug!(address, %error, "a node was asked who it is and did not say");
            }
            (address, answer.ok())
        });
    }
    asked.join_all().await
}

/// Asks one address who is there.
pub(crate) async fn describe(peers: &Peers, address: &str) -> Result<Described, CallError> {
    let mut client = peers.control(address)?;
    let asked = tokio::time::timeout(ANSWER_TIMEOUT, client.describe(v1::DescribeRequest {})).await;
    let answer = asked.map_err(|_| CallError::Unknown(format!("{address} does not answer")))?;
    let answer = answer.map_err(|status| CallError::from_status(&status))?.into_inner();
    described(answer).map_err(|invalid| CallError::Unknown(invalid.to_string()))
}

fn described(answer: v1::DescribeResponse) -> Result<Described, InvalidField> {
    let member = |member: v1::Member| {
        let party = member.party.ok_or(InvalidField("members.party"))?.try_into()?;
        Ok(DescribedMember { party, address: member.address })
    };
    Ok(Described {
        party: answer.party.ok_or(InvalidField("party"))?.try_into()?,
        incarnation: Incarnation(control::id("incarnation", &answer.incarnation)?),
        cluster: match answer.cluster_id {
            Some(bytes) => Some(ClusterId(control::id("cluster_id", &bytes)?)),
            None => None,
        },
        term: answer.term,
        leader: answer.leader.map(BrokerId::new),
        members: answer.members.into_iter().map(member).collect::<Result<_, InvalidField>>()?,
    })
}

#[cfg(test)]
mod tests;
