//! The quorum as an operator sees it, and who votes as an operator wants it: asked for on any node, answered by the leader.
//!
//! What may be done is decided by [`ottla_coordination::metadata::voters`]. A change that is possible in a moment (the leader is
//! being elected, the new voter has almost caught up) is asked for again until the asker's time is over.
//!
//! openraft lets a member lead that does not vote. So a leader that takes its own vote leaves the members for a moment: the
//! others elect another one, at which it asks to be a learner, like any node that is not a member.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use ottla_coordination::metadata::voters::{
    QuorumDescription, QuorumMember, VoterChange, VoterRefusal, check,
};
use ottla_record::BrokerId;
use ottla_rpc::control::v1::{change_voter_response, describe_quorum_response};
use ottla_rpc::control::{InvalidField, Party, v1};
use tokio::time::{Instant, timeout_at};

use crate::error::MembershipError;
use crate::joining::{self, ChangeFailure};
use crate::member::{Core, Metrics, leads};
use crate::peers::CallError;
use crate::raft::{NodeId, broker_id, node_id};

/// Time for a description. Whoever takes longer may have been replaced: the next leader is asked.
const DESCRIBED_WITHIN: Duration = Duration::from_millis(500);
/// Pause before the leader, or a new one, is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The quorum as this node sees it, where it leads.
pub(crate) fn describe(core: &Core) -> Result<QuorumDescription, MembershipError> {
    let metrics = core.metrics();
    let leader = metrics.current_leader.and_then(broker_id);
    match leader {
        Some(leader) if leads(&metrics) => Ok(description(core, &metrics, leader)),
        _ => Err(MembershipError::NotLeader { leader }),
    }
}

fn description(core: &Core, metrics: &Metrics, leader: BrokerId) -> QuorumDescription {
    let voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
    let end = |index: u64| index.saturating_add(1);
    let leader_end = metrics.last_log_index.map(end);
    let members = metrics.membership_config.nodes().filter_map(|(id, member)| {
        let is_self = *id == metrics.id;
        let matched = metrics.replication.as_ref().and_then(|known| known.get(id).copied().flatten());
        let log_end = if is_self { leader_end } else { matched.map(|matched| end(matched.index)) };
        let has_all = log_end.is_some() && log_end >= leader_end;
        let ages = core.contacts.ages(metrics.current_term, *id, has_all, core.monotonic());
        let here = |age| if is_self { Some(Duration::ZERO) } else { age };
        Some(QuorumMember {
            node: broker_id(*id)?,
            directory: member.directory,
            address: member.address.clone(),
            votes: voters.contains(id),
            log_end,
            silent: here(ages.silent),
            behind_for: here(ages.behind_for),
        })
    });
    // What is applied is committed. Before its own first entry is, a leader does not know how far the former one came.
    let applied = metrics.last_applied.filter(|last| last.leader_id.term == metrics.current_term);
    QuorumDescription {
        leader,
        term: metrics.current_term,
        high_watermark: applied.map(|last| end(last.index)),
        members: members.collect(),
    }
}

/// The quorum as its leader sees it, wherever that is.
pub(crate) async fn describe_wherever(
    core: &Core,
    within: Duration,
) -> Result<QuorumDescription, MembershipError> {
    until_done(within, || async move {
        match core.leader() {
            Some((to, address)) if to != core.me.party => ask_for_description(core, to, &address).await,
            _ => describe(core),
        }
    })
    .await
}

/// Makes a change, where this node leads. It goes on if the caller does not wait.
pub(crate) async fn change(
    core: &Arc<Core>,
    change: VoterChange,
    listed: &[BrokerId],
) -> Result<(), MembershipError> {
    check(change, &describe(core)?, listed)?;
    let id = |node: BrokerId| BTreeSet::from([node_id(node)]);
    let (members, retain) = match change {
        VoterChange::Add { node, .. } => (ChangeMembers::AddVoterIds(id(node)), true),
        VoterChange::Remove { node, .. } => {
            (ChangeMembers::RemoveVoters(id(node)), node != core.me.party.node)
        }
    };
    let changing = {
        let core = Arc::clone(core);
        tokio::spawn(async move { joining::change_members(&core, members, retain).await })
    };
    match changing.await {
        Ok(Ok(())) => {
            tracing::info!(?change, "the voters of the metadata quorum have changed");
            Ok(())
        }
        Ok(Err(ChangeFailure::Busy)) => Err(VoterRefusal::Busy.into()),
        Ok(Err(ChangeFailure::Unknown(why))) => Err(MembershipError::Unknown(why)),
        Err(ended) => Err(MembershipError::Unknown(ended.to_string())),
    }
}

/// Makes a change, wherever the leader is. Returns when a majority has taken it.
pub(crate) async fn change_wherever(
    core: &Arc<Core>,
    wanted: VoterChange,
    listed: &[BrokerId],
    within: Duration,
) -> Result<(), MembershipError> {
    until_done(within, || async move {
        match core.leader() {
            Some((to, address)) if to != core.me.party => ask_for_change(core, to, &address, wanted).await,
            _ => change(core, wanted, listed).await,
        }
    })
    .await
}

/// Tries until that succeeds, fails for good, or the time is over.
async fn until_done<T, F>(within: Duration, attempt: impl Fn() -> F) -> Result<T, MembershipError>
where
    F: Future<Output = Result<T, MembershipError>>,
{
    let deadline = Instant::now() + within;
    loop {
        let error = match timeout_at(deadline, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => return Err(MembershipError::Unknown(format!("no answer within {within:?}"))),
        };
        if !error.passes() || Instant::now() + ASK_AGAIN >= deadline {
            return Err(error);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn ask_for_description(
    core: &Core,
    to: Party,
    address: &str,
) -> Result<QuorumDescription, MembershipError> {
    let request = v1::DescribeQuorumRequest { envelope: Some(core.me.envelope(to).into()) };
    let mut client = core.peers.control(address).map_err(not_reached)?;
    let asked = tokio::time::timeout(DESCRIBED_WITHIN, client.describe_quorum(request)).await;
    let answer = asked.map_err(|_| not_reached(CallError::Unknown(format!("{to} does not answer"))))?;
    // A question has no effect: whatever became of it, it is asked again.
    let answer = answer.map_err(|status| not_reached(CallError::from_status(&status)))?;
    match answer.into_inner().outcome {
        Some(describe_quorum_response::Outcome::Quorum(quorum)) => {
            described(to.node, quorum).map_err(|invalid| MembershipError::Unknown(invalid.to_string()))
        }
        Some(describe_quorum_response::Outcome::NotLeader(other)) => Err(other_leader(other)),
        None => Err(MembershipError::Unknown(format!("{to} gave no answer"))),
    }
}

async fn ask_for_change(
    core: &Core,
    to: Party,
    address: &str,
    change: VoterChange,
) -> Result<(), MembershipError> {
    let unknown = |why: String| MembershipError::Unknown(why);
    let json = serde_json::to_vec(&change).map_err(|e| unknown(e.to_string()))?;
    let request = v1::ChangeVoterRequest { envelope: Some(core.me.envelope(to).into()), change: json.into() };
    let mut client = core.peers.control(address).map_err(not_reached)?;
    let answer = match client.change_voter(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => match CallError::from_status(&status) {
            error @ CallError::WithoutEffect(_) => return Err(not_reached(error)),
            CallError::Unknown(why) => return Err(unknown(why)),
        },
    };
    match answer.outcome {
        Some(change_voter_response::Outcome::Changed(v1::VoterChanged {})) => Ok(()),
        Some(change_voter_response::Outcome::NotLeader(other)) => Err(other_leader(other)),
        Some(change_voter_response::Outcome::Refused(json)) => {
            let refusal: VoterRefusal = serde_json::from_slice(&json).map_err(|e| unknown(e.to_string()))?;
            Err(refusal.into())
        }
        None => Err(unknown(format!("{to} gave no answer"))),
    }
}

fn not_reached(error: CallError) -> MembershipError {
    tracing::debug!(%error, "the leader of the metadata quorum was asked and did not answer");
    MembershipError::NotLeader { leader: None }
}

fn other_leader(v1::NotLeader { leader }: v1::NotLeader) -> MembershipError {
    MembershipError::NotLeader { leader: leader.map(BrokerId::new) }
}

/// A description as it is sent.
pub(crate) fn told(quorum: QuorumDescription) -> v1::Quorum {
    let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let members = quorum.members.into_iter().map(|member| v1::MemberStanding {
        member: Some(v1::Member {
            party: Some(Party { node: member.node, directory: member.directory }.into()),
            address: member.address,
            votes: member.votes,
        }),
        log_end: member.log_end,
        silent_ms: member.silent.map(millis),
        behind_for_ms: member.behind_for.map(millis),
    });
    v1::Quorum { term: quorum.term, high_watermark: quorum.high_watermark, members: members.collect() }
}

/// A description as it was received from this leader.
fn described(leader: BrokerId, quorum: v1::Quorum) -> Result<QuorumDescription, InvalidField> {
    let member = |standing: v1::MemberStanding| {
        let member = standing.member.ok_or(InvalidField("members.member"))?;
        let party: Party = member.party.ok_or(InvalidField("members.member.party"))?.try_into()?;
        Ok(QuorumMember {
            node: party.node,
            directory: party.directory,
            address: member.address,
            votes: member.votes,
            log_end: standing.log_end,
            silent: standing.silent_ms.map(Duration::from_millis),
            behind_for: standing.behind_for_ms.map(Duration::from_millis),
        })
    };
    Ok(QuorumDescription {
        leader,
        term: quorum.term,
        high_watermark: quorum.high_watermark,
        members: quorum.members.into_iter().map(member).collect::<Result<_, InvalidField>>()?,
    })
}
