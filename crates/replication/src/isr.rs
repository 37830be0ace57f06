//! The in-sync replicas of a partition: what the cluster has committed, what the leader has proposed, and what counts
//! meanwhile (KIP-497).

use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch};

/// A change of the in-sync replicas that the leader asks the controller for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// The leader's term.
    pub leader_epoch: LeaderEpoch,
    /// The version on which the change builds: it is refused if there is a newer one.
    pub partition_epoch: PartitionEpoch,
    /// Who is to be in sync, this broker among them, each with the registration that caught up (KIP-903). `None` for this
    /// broker and for a member that stays without having fetched in this term: theirs is the registered one. A member that
    /// was registered anew has left the set by that, with a newer version, so nothing slips through.
    pub isr: Vec<(BrokerId, Option<BrokerEpoch>)>,
}

/// The in-sync replicas after a proposal was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrState {
    /// The version now.
    pub partition_epoch: PartitionEpoch,
    /// The in-sync replicas.
    pub isr: Vec<BrokerId>,
}

/// Why a proposal was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsrRefused {
    /// No answer, or none that says whether it was applied. It still counts, and is sent again after a while.
    #[error("whether the change was made is not known")]
    Retry,
    /// The term has ended, or there is a newer version (which may be this very change, sent twice). It still counts until
    /// the newer version is heard of.
    #[error("the change builds on an old version of the partition")]
    Fenced,
    /// A member is fenced, stopping, or registered anew. Nothing was changed; whoever was to be added must fetch again first.
    #[error("a member is not eligible")]
    Ineligible,
    /// The controller will not have it: nothing was changed, and the same would be refused again.
    #[error("the change was refused")]
    Rejected,
}
