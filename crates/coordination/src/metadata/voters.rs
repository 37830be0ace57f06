//! Who votes in the metadata quorum, as an operator sees it and changes it (KIP-595, KIP-853).
//!
//! A voter is one log directory of one node: whoever names a node with another directory means somebody else, who lost its
//! votes and its log. A vote is given to a member that has the log already, and taken from one that has a vote:
//!
//! | asked for | the members have of the node | outcome |
//! |---|---|---|
//! | a vote | a vote, with any directory | refused: it votes |
//! | a vote | nothing | refused: it has to follow the log first |
//! | a vote | another directory | refused: somebody else |
//! | a vote | this directory, silent for longer than [`HEARD_WITHIN`] | refused for now: with its vote a majority may need it |
//! | a vote | this directory, its log behind by more than [`CAUGHT_UP`] | refused for now |
//! | a vote | this directory, its log caught up | done |
//! | none | no vote, or a vote of another directory | refused: no voter |
//! | none | the only vote | refused |
//! | none | a vote that `controller.quorum.voters` gives it | refused: it would get it back |
//! | none | a vote | done; a leader that takes its own hands over |

use std::time::Duration;

use ottla_record::{BrokerId, DirectoryId};
use serde::{Deserialize, Serialize};

/// A member that is behind by no more entries than this becomes a voter at the cost of no pause.
pub const CAUGHT_UP: u64 = 10;

/// A member that is there answers ten times a second. One that was not heard of for this long gets no vote.
pub const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// The quorum, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// Who leads, and describes.
    pub leader: BrokerId,
    /// Its term.
    pub term: u64,
    /// End of what a majority has, in entries from 0; `None` while a new leader does not know it.
    pub high_watermark: Option<u64>,
    /// All members, voters or not, by id. The leader is one of them.
    pub members: Vec<QuorumMember>,
}

/// One member of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumMember {
    /// Its `node.id`.
    pub node: BrokerId,
    /// The log directory that was admitted.
    pub directory: DirectoryId,
    /// `host:port` of its control listener; `None` for a node that is alone.
    pub address: Option<String>,
    /// Whether it votes. The others follow the whole log too.
    pub votes: bool,
    /// End of its log, in entries from 0, as far as the leader knows; `None` for one that this leader has not reached yet.
    pub log_end: Option<u64>,
    /// For how long it has been silent; `None` for one that this leader has not heard of.
    pub silent: Option<Duration>,
    /// How long ago it had everything that the leader had; `None` for one that never had, under this leader.
    pub behind_for: Option<Duration>,
}

impl QuorumDescription {
    /// By how many entries a member is behind the leader; `None` for one whose log the leader does not know.
    pub fn lag(&self, member: &QuorumMember) -> Option<u64> {
        let leader = self.members.iter().find(|other| other.node == self.leader)?;
        Some(leader.log_end?.saturating_sub(member.log_end?))
    }
}

/// A change of who votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VoterChange {
    /// Gives a member a vote.
    Add {
        /// Its `node.id`.
        node: BrokerId,
        /// Its log directory.
        directory: DirectoryId,
    },
    /// Takes the vote of a voter, which stays a member and follows the log.
    Remove {
        /// Its `node.id`.
        node: BrokerId,
        /// Its log directory.
        directory: DirectoryId,
    },
}

/// Why a vote was neither given nor taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum VoterRefusal {
    /// It votes already (`DUPLICATE_VOTER`).
    #[error(
        "The voter id for node {node} is already part of the set of voters, with log directory {directory}."
    )]
    Duplicate {
        /// The node.
        node: BrokerId,
        /// The directory that votes.
        directory: DirectoryId,
    },
    /// Nothing is known of it: it is not started, or was told of another cluster (`REQUEST_TIMED_OUT`, which Kafka says of a
    /// node that it does not reach).
    #[error(
        "Node {0} is no member of the metadata quorum yet: start it with controller.quorum.bootstrap.servers first"
    )]
    NoMember(BrokerId),
    /// The member has another log directory (`INVALID_REQUEST`).
    #[error("Node {node} takes part with log directory {admitted}, not with {asked}")]
    OtherDirectory {
        /// The node.
        node: BrokerId,
        /// The directory it has.
        admitted: DirectoryId,
        /// The one asked for.
        asked: DirectoryId,
    },
    /// It is not there now (`REQUEST_TIMED_OUT`).
    #[error("Node {0} is not heard of: it gets a vote when it answers")]
    Silent(BrokerId),
    /// It does not have the log yet (`REQUEST_TIMED_OUT`).
    #[error("Node {node} is lagging behind{}: it gets a vote when it has caught up", lag.map(|lag| format!(" by {lag} entries")).unwrap_or_default())]
    Lagging {
        /// The node.
        node: BrokerId,
        /// By how many entries; `None` for one that has not been reached.
        lag: Option<u64>,
    },
    /// It does not vote, or another directory of it does (`VOTER_NOT_FOUND`).
    #[error(
        "Cannot remove node {node} with log directory {directory} from the set of voters: it is not in there."
    )]
    NotFound {
        /// The node.
        node: BrokerId,
        /// The directory asked for.
        directory: DirectoryId,
    },
    /// It takes part with no directory at all (`VOTER_NOT_FOUND`).
    #[error("node {0} takes no part in the metadata quorum")]
    NoVoter(BrokerId),
    /// The quorum would have no voter left (`INVALID_REQUEST`).
    #[error("node {0} is the only voter")]
    LastVoter(BrokerId),
    /// `controller.quorum.voters` gives it the vote, and it would vote again as soon as it could (`INVALID_REQUEST`).
    #[error("node {0} is listed in controller.quorum.voters: take it out there first")]
    Listed(BrokerId),
    /// Another change is under way (`REQUEST_TIMED_OUT`).
    #[error("another change of the members is under way")]
    Busy,
}

impl VoterRefusal {
    /// Whether the same change may be possible in a moment.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Lagging { .. } | Self::Busy)
    }
}

/// Whether a change may be made. `listed` are the nodes that `controller.quorum.voters` names.
///
/// # Errors
/// What the table above says.
pub fn check(
    change: VoterChange,
    quorum: &QuorumDescription,
    listed: &[BrokerId],
) -> Result<(), VoterRefusal> {
    match change {
        VoterChange::Add { node, directory } => check_add(node, directory, quorum),
        VoterChange::Remove { node, directory } => {
            let mut voters = quorum.members.iter().filter(|member| member.votes);
            if !voters.clone().any(|voter| voter.node == node && voter.directory == directory) {
                return Err(VoterRefusal::NotFound { node, directory });
            }
            if listed.contains(&node) {
                return Err(VoterRefusal::Listed(node));
            }
            if voters.all(|voter| voter.node == node) {
                return Err(VoterRefusal::LastVoter(node));
            }
            Ok(())
        }
    }
}

fn check_add(node: BrokerId, directory: DirectoryId, quorum: &QuorumDescription) -> Result<(), VoterRefusal> {
    let Some(member) = quorum.members.iter().find(|member| member.node == node) else {
        return Err(VoterRefusal::NoMember(node));
    };
    let admitted = member.directory;
    if member.votes {
        return Err(VoterRefusal::Duplicate { node, directory: admitted });
    }
    if admitted != directory {
        return Err(VoterRefusal::OtherDirectory { node, admitted, asked: directory });
    }
    if member.silent.is_none_or(|silent| silent > HEARD_WITHIN) {
        return Err(VoterRefusal::Silent(node));
    }
    match quorum.lag(member) {
        Some(lag) if lag <= CAUGHT_UP => Ok(()),
        lag => Err(VoterRefusal::Lagging { node, lag }),
    }
}

#[cfg(test)]
mod tests;
