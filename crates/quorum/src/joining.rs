//! How a node becomes a member of the quorum and stays one: it asks the leader until it is what it wishes to be, and each
//! time the leader takes one step.
//!
//! | the membership has of the asker | step |
//! |---|---|
//! | nothing | it becomes a learner |
//! | another log directory, whose process is gone | that one is removed: its votes and its log are lost |
//! | another address | the address changes |
//! | a learner that shall vote and has caught up | it becomes a voter |
//! | what it wishes | none |
//!
//! A learner that nobody has heard of for a broker's session, and that is registered as no broker, leaves the members: it was unregistered, or
//! never came to be one. If it comes back it finds that nobody leads it, and asks like a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use ottla_coordination::metadata::voters::CAUGHT_UP;
use ottla_record::BrokerId;
use ottla_rpc::control::{Party, v1};

use crate::bootstrap::{self, Described};
use crate::elections::Elections;
use crate::member::{Core, Metrics, leads};
use crate::peers::CallError;
use crate::raft::{Member, NodeId, StoredMembership, broker_id, node_id};

/// How long the leader waits for a change to be committed before it lets the asker ask again.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two questions of a node that is not yet what it wishes to be.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A node that is what it wishes to be looks again when the membership changes, and this often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A member that knows of no leader for so long may be one no longer, and asks; and so often.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2);
const FORGOTTEN_ASKS: Duration = Duration::from_secs(1);
/// Questions without success after which the log says so, and again after as many.
const QUESTIONS_PER_WARNING: u32 = 100;

/// What a node wishes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) party: Party,
    pub(crate) address: String,
    pub(crate) votes: bool,
}

/// What the leader does next for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    AddLearner,
    Remove { votes: bool },
    Move,
    CatchUp,
    Promote,
}

/// What came of a question.
pub(crate) enum Outcome {
    Member(v1::Member),
    NotLeader(Option<BrokerId>),
    Later(String),
}

/// The next step towards the wish. `lag` is by how many entries the node is behind, if that is known.
pub(crate) fn next_step(membership: &StoredMembership, wish: &Wish, lag: Option<u64>) -> Step {
    let id = node_id(wish.party.node);
    let votes = membership.voter_ids().any(|voter| voter == id);
    match membership.membership().get_node(&id) {
        None => Step::AddLearner,
        Some(member) if member.directory != wish.party.directory => Step::Remove { votes },
        Some(member) if member.address.as_ref() != Some(&wish.address) => Step::Move,
        Some(_) if votes || !wish.votes => Step::Nothing,
        Some(_) if lag.is_some_and(|lag| lag <= CAUGHT_UP) => Step::Promote,
        Some(_) => Step::CatchUp,
    }
}

/// All members, as they are told to others.
pub(crate) fn members(membership: &StoredMembership) -> Vec<v1::Member> {
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let told = |(id, member): (&NodeId, &Member)| {
        let party = Party { node: broker_id(*id)?, directory: member.directory };
        Some(v1::Member {
            party: Some(party.into()),
            address: member.address.clone(),
            votes: voters.contains(id),
        })
    };
    membership.nodes().filter_map(told).collect()
}

/// By how many entries a member is behind, as the leader knows it.
pub(crate) fn lag(metrics: &Metrics, node: NodeId) -> Option<u64> {
    let last = metrics.last_log_index?;
    let matched = metrics.replication.as_ref()?.get(&node)?.map(|log_id| log_id.index);
    matched.map(|matched| last.saturating_sub(matched))
}

/// Takes the next step for a node, where this node leads.
pub(crate) async fn admit(core: &Arc<Core>, wish: Wish) -> Outcome {
    let metrics = core.metrics();
    if !leads(&metrics) {
        return Outcome::NotLeader(metrics.current_leader.and_then(broker_id));
    }
    let membership = &metrics.membership_config;
    if is_joint(membership) {
        return match finish(core).await {
            Ok(()) => Outcome::Later("another change of the members is done".to_owned()),
            Err(why) => Outcome::Later(why.to_string()),
        };
    }
    let id = node_id(wish.party.node);
    let member = Member { directory: wish.party.directory, address: Some(wish.address.clone()) };
    let (change, retain) = match next_step(membership, &wish, lag(&metrics, id)) {
        Step::Nothing => return standing(membership, wish.party.node),
        Step::CatchUp => return Outcome::Later("its log has not caught up".to_owned()),
        Step::AddLearner => (ChangeMembers::AddNodes(BTreeMap::from([(id, member)])), true),
        Step::Move => (ChangeMembers::SetNodes(BTreeMap::from([(id, member)])), true),
        Step::Promote => (ChangeMembers::AddVoterIds(BTreeSet::from([id])), true),
        Step::Remove { votes } => {
            if let Some(former) = is_still_there(core, wish.party).await {
                return Outcome::Later(format!(
                    "{former} is a member and is running: two nodes have node.id {}",
                    wish.party.node
                ));
            }
            tracing::warn!(
                node = %wish.party.node, directory = %wish.party.directory,
                "this node has lost its log directory: it leaves the metadata quorum and joins it again as a new member"
            );
            match votes {
                true => (ChangeMembers::RemoveVoters(BTreeSet::from([id])), false),
                false => (ChangeMembers::RemoveNodes(BTreeSet::from([id])), false),
            }
        }
    };
    match change_members(core, change, retain).await {
        Ok(()) => Outcome::Later("one step is done".to_owned()),
        Err(why) => Outcome::Later(why.to_string()),
    }
}

/// Why the members were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeFailure {
    /// Another change has not been committed. Nothing was done.
    #[error("another change of the members is under way")]
    Busy,
    /// It may have been done or not.
    #[error("{0}")]
    Unknown(String),
}

/// Changes the members and waits for that to be committed. Finishes before what another change has left.
pub(crate) async fn change_members(
    core: &Core,
    change: ChangeMembers<NodeId, Member>,
    retain: bool,
) -> Result<(), ChangeFailure> {
    let _turn = core.changing.lock().await;
    if core.member(core.me.party.node).is_none() {
        // The change before was that this node leaves: it is not its business any more.
        return Err(ChangeFailure::Busy);
    }
    if is_joint(&core.membership()) {
        change_once(core, nothing(), true).await?;
    }
    change_once(core, change, retain).await
}

/// A change of the voters is two entries: one by which the former and the new voters decide together, and one by which they no longer
/// do. A leader that is lost in between leaves the second to the next.
async fn finish(core: &Core) -> Result<(), ChangeFailure> {
    let _turn = core.changing.lock().await;
    match is_joint(&core.membership()) {
        true => change_once(core, nothing(), true).await,
        false => Ok(()),
    }
}

fn is_joint(membership: &StoredMembership) -> bool {
    membership.membership().get_joint_config().len() > 1
}

/// Adds nobody to the new voters.
fn nothing() -> ChangeMembers<NodeId, Member> {
    ChangeMembers::AddVoterIds(BTreeSet::new())
}

async fn change_once(
    core: &Core,
    change: ChangeMembers<NodeId, Member>,
    retain: bool,
) -> Result<(), ChangeFailure> {
    let changed = core.raft.change_membership(change, retain);
    let error = match tokio::time::timeout(CHANGE_TIMEOUT, changed).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => return Err(ChangeFailure::Unknown("no majority has taken the change yet".to_owned())),
    };
    match error {
        RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(
            _,
        ))) => Err(ChangeFailure::Busy),
        other => Err(ChangeFailure::Unknown(other.to_string())),
    }
}

/// The member that stands under the same number with another directory, if its process answers.
async fn is_still_there(core: &Core, asker: Party) -> Option<Party> {
    let member = core.member(asker.node)?;
    let former = Party { node: asker.node, directory: member.directory };
    let found = bootstrap::describe(&core.peers, &member.address?).await.ok()?;
    (found.party == former).then_some(former)
}

fn standing(membership: &StoredMembership, node: BrokerId) -> Outcome {
    let is_it = |member: &v1::Member| member.party.as_ref().is_some_and(|p| p.node_id == node.get());
    match members(membership).into_iter().find(is_it) {
        Some(member) => Outcome::Member(member),
        None => Outcome::Later("the members changed meanwhile".to_owned()),
    }
}

/// Learners that nobody expects any more: registered as no broker, and not heard of for `patience`.
pub(crate) fn departed(
    membership: &StoredMembership,
    is_registered: impl Fn(BrokerId) -> bool,
    silent: impl Fn(NodeId) -> Duration,
    patience: Duration,
) -> BTreeSet<NodeId> {
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let learners = membership.nodes().map(|(id, _)| *id).filter(|id| !voters.contains(id));
    learners.filter(|id| !broker_id(*id).is_some_and(&is_registered) && silent(*id) >= patience).collect()
}

/// Takes those away who are gone for good, where this node leads.
async fn dismiss(core: &Core, leads_since: Instant, patience: Duration) -> Result<(), ChangeFailure> {
    let (metrics, image) = (core.metrics(), Arc::clone(&core.images.borrow()));
    let term = metrics.current_term;
    let silent = |id| {
        let ages = core.contacts.ages(term, id, false, core.monotonic());
        ages.silent.unwrap_or_else(|| leads_since.elapsed())
    };
    let gone = departed(&metrics.membership_config, |id| image.broker(id).is_some(), silent, patience);
    if gone.is_empty() {
        return Ok(());
    }
    tracing::info!(nodes = ?gone, "these have left the cluster: they are no members of the metadata quorum any more");
    change_members(core, ChangeMembers::RemoveNodes(gone), true).await
}

/// Keeps this node what it wishes to be and, where it leads, those out who are gone. Runs until it is aborted.
pub(crate) async fn keep(
    core: Arc<Core>,
    elections: Arc<Elections>,
    wish: Wish,
    seeds: bootstrap::Seeds,
    patience: Duration,
) {
    let mut metrics = core.raft.metrics();
    let mut questions: u32 = 0;
    let (mut leads_since, mut unled_since) = (None, None);
    loop {
        metrics.borrow_and_update();
        leads_since = leads(&core.metrics()).then(|| leads_since.unwrap_or_else(Instant::now));
        let is_led = leads_since.is_some() || elections.hears_a_leader(core.monotonic());
        unled_since = (!is_led).then(|| unled_since.unwrap_or_else(Instant::now));
        let is_forgotten = unled_since.is_some_and(|since| since.elapsed() >= FORGOTTEN_AFTER);
        if next_step(&core.membership(), &wish, None) == Step::Nothing && !is_forgotten {
            questions = 0;
            if let Some(since) = leads_since {
                let done = match is_joint(&core.membership()) {
                    true => finish(&core).await,
                    false => dismiss(&core, since, patience).await,
                };
                if let Err(why) = done {
                    tracing::debug!(%why, "the change of the members is not finished yet");
                }
            }
            let look_again = if is_led { LOOK_AGAIN } else { FORGOTTEN_AFTER };
            let _ = tokio::time::timeout(look_again, metrics.changed()).await;
            continue;
        }
        questions = questions.saturating_add(1);
        // What its own log says of a leader may be old then.
        let known = core.leader().filter(|_| is_led);
        if let Err(why) = ask(&core, known, &wish, &seeds).await
            && questions.is_multiple_of(QUESTIONS_PER_WARNING)
        {
            tracing::warn!("this node is not what it shall be in the metadata quorum yet: {why}");
        }
        tokio::time::sleep(if is_forgotten { FORGOTTEN_ASKS } else { ASK_AGAIN }).await;
    }
}

/// One question, to whoever leads. Where nobody does because there is no quorum yet, forms it if that is this node's to do.
async fn ask(
    core: &Arc<Core>,
    leader: Option<(Party, String)>,
    wish: &Wish,
    seeds: &bootstrap::Seeds,
) -> Result<(), String> {
    if leads(&core.metrics()) {
        return match admit(core, wish.clone()).await {
            Outcome::Member(_) => Ok(()),
            Outcome::NotLeader(_) => Err("this node leads no longer".to_owned()),
            Outcome::Later(why) => Err(why),
        };
    }
    let leader = match leader {
        Some(leader) => leader,
        None => {
            let answers = bootstrap::probe(&core.peers, &addresses(core, wish, seeds)).await;
            if core.membership().nodes().next().is_none()
                && let Ok(members) = seeds.founders(wish.party, &wish.address, &answers)
            {
                // Already formed meanwhile is as good.
                let _ = core.raft.initialize(members).await;
                return Ok(());
            }
            leader_among(&answers)?
        }
    };
    let (to, address) = leader;
    let request = v1::JoinRequest {
        envelope: Some(core.me.envelope(to).into()),
        address: wish.address.clone(),
        wants_to_vote: wish.votes,
    };
    let mut client = core.peers.control(&address).map_err(|e| e.to_string())?;
    let asked = tokio::time::timeout(2 * CHANGE_TIMEOUT, client.join(request));
    let answer = asked.await.map_err(|_| format!("{to} does not answer"))?;
    match answer.map_err(|s| CallError::from_status(&s).to_string())?.into_inner().outcome {
        Some(v1::join_response::Outcome::Member(_)) => Ok(()),
        Some(v1::join_response::Outcome::Later(why)) => Err(why),
        Some(v1::join_response::Outcome::NotLeader(_)) | None => Err(format!("{to} does not lead")),
    }
}

/// Where somebody may know of a leader: where this node was told to ask, and where it has met others since.
fn addresses(core: &Core, wish: &Wish, seeds: &bootstrap::Seeds) -> Vec<String> {
    let membership = core.membership();
    let met = membership.nodes().filter_map(|(_, member)| member.address.clone());
    let mut addresses: Vec<String> = seeds.addresses(wish.party.node);
    addresses.extend(met.filter(|address| *address != wish.address));
    addresses.sort();
    addresses.dedup();
    addresses
}

/// The leader that others speak of, and where it is.
fn leader_among(answers: &[(String, Option<Described>)]) -> Result<(Party, String), String> {
    let described = answers.iter().filter_map(|(_, answer)| answer.as_ref());
    // The newest term is right about who leads.
    let newest = described.filter(|d| d.leader.is_some()).max_by_key(|d| d.term);
    let leader = newest.and_then(|d| d.members.iter().find(|m| Some(m.party.node) == d.leader));
    match leader.map(|member| (member.party, member.address.clone())) {
        Some((party, Some(address))) => Ok((party, address)),
        Some((party, None)) => Err(format!("{party} leads and has no address")),
        None => Err("nobody knows of a leader".to_owned()),
    }
}

#[cfg(test)]
mod tests;
