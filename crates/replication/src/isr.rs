//! The in-sync replicas of a partition: what the cluster has committed, what the leader has proposed, and what counts
//! meanwhile (KIP-497).

use std::time::Duration;

use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, Monotonic, PartitionEpoch};

/// How long a leader waits before it asks again for what the controller did not answer or did not allow.
pub const ISR_RETRY: Duration = Duration::from_millis(500);

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
    /// A member is fenced, stopping, or registered anew. Nothing was changed but the version, so that no copy of the proposal can
    /// be accepted later; whoever was to be added must fetch again first.
    #[error("a member is not eligible")]
    Ineligible,
    /// The controller will not have it: nothing was changed, and the same would be refused again.
    #[error("the change was refused")]
    Rejected,
}

/// The in-sync set of one term of a leader.
///
/// What has been proposed may have been committed already, however the answer reads or fails to come. So until it is settled,
/// a member that is to join counts, and one that is to leave counts still: the maximal set.
#[derive(Debug)]
pub(crate) struct InSync {
    /// What the cluster has committed, the leader among them.
    committed: Vec<BrokerId>,
    pending: Option<Pending>,
    /// What was proposed last, if a newer version came before an answer to it.
    overtaken: Option<IsrProposal>,
    /// No new proposal before: the last one was turned down.
    not_before: Monotonic,
}

#[derive(Debug)]
struct Pending {
    proposal: IsrProposal,
    /// When it is sent once more; `None` while an answer, or a newer version, is waited for.
    resend_at: Option<Monotonic>,
}

impl InSync {
    pub(crate) fn committed(isr: Vec<BrokerId>) -> Self {
        Self { committed: isr, pending: None, overtaken: None, not_before: Monotonic::ZERO }
    }

    /// A newer version: it settles whatever was proposed on an older one.
    pub(crate) fn commit(&mut self, isr: &[BrokerId]) {
        self.committed.clear();
        self.committed.extend_from_slice(isr);
        if let Some(pending) = self.pending.take() {
            self.overtaken = Some(pending.proposal);
        }
    }

    /// Members that the cluster has committed.
    pub(crate) fn len(&self) -> usize {
        self.committed.len()
    }

    pub(crate) fn is_committed(&self, broker: BrokerId) -> bool {
        self.committed.contains(&broker)
    }

    /// True for a member that the cluster may count, now or as soon as the proposal is accepted.
    pub(crate) fn counts(&self, broker: BrokerId) -> bool {
        self.is_committed(broker)
            || self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.proposal.isr.iter().any(|(member, _)| *member == broker))
    }

    /// True if a new proposal may be made.
    pub(crate) fn may_propose(&self, now: Monotonic) -> bool {
        self.pending.is_none() && now >= self.not_before
    }

    pub(crate) fn propose(&mut self, proposal: IsrProposal) {
        self.pending = Some(Pending { proposal, resend_at: None });
    }

    /// The proposal, if it is time to send it once more.
    pub(crate) fn resend(&mut self, now: Monotonic) -> Option<IsrProposal> {
        let pending = self.pending.as_mut()?;
        pending.resend_at.take_if(|at| *at <= now)?;
        Some(pending.proposal.clone())
    }

    /// What is out and was built on this version.
    pub(crate) fn pending_on(&self, version: PartitionEpoch) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.proposal.partition_epoch == version)
    }

    /// The proposal was not accepted. Returns whom it would have added, if it is certain that it did not.
    pub(crate) fn refused(&mut self, why: IsrRefused, now: Monotonic) -> Vec<BrokerId> {
        let retry_at = now + ISR_RETRY;
        match why {
            IsrRefused::Retry => {
                if let Some(pending) = &mut self.pending {
                    pending.resend_at = Some(retry_at);
                }
                Vec::new()
            }
            IsrRefused::Fenced => Vec::new(),
            IsrRefused::Ineligible | IsrRefused::Rejected => {
                let proposal = self.pending.take().map(|pending| pending.proposal);
                self.turned_down(proposal, retry_at)
            }
        }
    }

    /// The answer to a proposal on this version that a newer version has overtaken: the one that the refusal itself has made,
    /// or another. Returns whom it would have added.
    pub(crate) fn refused_late(
        &mut self,
        version: PartitionEpoch,
        why: IsrRefused,
        now: Monotonic,
    ) -> Vec<BrokerId> {
        match self.overtaken.take_if(|proposal| proposal.partition_epoch == version) {
            Some(proposal) if why == IsrRefused::Ineligible => {
                self.turned_down(Some(proposal), now + ISR_RETRY)
            }
            _ => Vec::new(),
        }
    }

    fn turned_down(&mut self, proposal: Option<IsrProposal>, retry_at: Monotonic) -> Vec<BrokerId> {
        self.not_before = retry_at;
        let members = proposal.map(|proposal| proposal.isr).unwrap_or_default();
        members.into_iter().map(|(id, _)| id).filter(|id| !self.is_committed(*id)).collect()
    }

    /// When the proposal is to be sent again, or a new one may be wanted that is wanted at `wanted`.
    pub(crate) fn next_deadline(&self, wanted: Monotonic) -> Monotonic {
        match &self.pending {
            Some(pending) => pending.resend_at.unwrap_or(Monotonic::NEVER),
            None => wanted.max(self.not_before),
        }
    }
}
