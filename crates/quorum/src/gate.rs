//! Who is let through to openraft: pure checks of who speaks to whom.
//!
//! A node that lost its directory has forgotten whom it voted for and what it acknowledged. It comes back with its number
//! and another directory, and openraft, which knows numbers only, would count its voice twice. So every call names both
//! directories, and:
//!
//! - what is meant for another cluster, node or directory than ours is refused;
//! - what comes from a member with another directory than the one that was admitted is refused, unless the call itself shows
//!   that it was admitted anew, by an entry of the log that has not come here yet: an asker for votes whose log goes on past
//!   the membership we know, a leader whose term is newer than that membership's. Both are impossible for a node that has just lost everything.

use ottla_rpc::control::{Envelope, Party};

use crate::raft::{LogId, StoredMembership, node_id};

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this is another cluster")]
    OtherCluster,
    #[error("this is {here}, not {meant}")]
    NotMeant { here: Party, meant: Party },
    #[error("{from} is not the member that was admitted: that one has another log directory")]
    NotAdmitted { from: Party },
}

/// What shows that a sender knows a newer membership than we do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Evidence {
    /// An asker for votes has this log.
    LogEnd(Option<LogId>),
    /// A majority elected the sender in this term.
    Term(u64),
}

/// Checks that a call is for this node.
pub(crate) fn is_meant(ours: &Envelope, call: &Envelope) -> Result<(), Refusal> {
    if call.cluster != ours.cluster {
        return Err(Refusal::OtherCluster);
    }
    if call.to != ours.from {
        return Err(Refusal::NotMeant { here: ours.from, meant: call.to });
    }
    Ok(())
}

/// Checks that the sender is the member it says it is.
pub(crate) fn is_admitted(
    from: Party,
    evidence: Evidence,
    membership: &StoredMembership,
) -> Result<(), Refusal> {
    let admitted = membership.membership().get_node(&node_id(from.node));
    if admitted.is_none_or(|member| member.directory == from.directory) {
        return Ok(());
    }
    let knows_more = match evidence {
        Evidence::LogEnd(last) => last > *membership.log_id(),
        Evidence::Term(term) => membership.log_id().is_none_or(|known| term > known.leader_id.term),
    };
    if knows_more { Ok(()) } else { Err(Refusal::NotAdmitted { from }) }
}

#[cfg(test)]
mod tests;
