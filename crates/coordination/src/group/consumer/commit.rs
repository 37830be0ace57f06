//! Whether a member may commit and read offsets.

use ottla_record::{PartitionIndex, TopicId};

use super::{ConsumerGroup, Member};
use crate::group::ids::{MemberEpoch, MemberId};
use crate::group::request::{CommitOffsets, TopicRef};
use crate::group::response::GroupError;
use crate::metadata::Image;

/// What a commit may touch.
#[derive(Clone, Copy, Debug)]
pub(super) enum CommitCheck<'a> {
    /// Every partition.
    All,
    /// The member came with an older epoch: partitions that it has held since then or longer (KIP-1251).
    HeldSince(&'a Member, MemberEpoch),
}

impl CommitCheck<'_> {
    /// # Errors
    /// [`GroupError::StaleMemberEpoch`], or [`GroupError::IllegalGeneration`] for a member of the classic protocol.
    pub(super) fn partition(
        &self,
        topic: Option<TopicId>,
        partition: PartitionIndex,
    ) -> Result<(), GroupError> {
        match self {
            Self::All => Ok(()),
            Self::HeldSince(member, epoch) => {
                let since = topic.and_then(|topic| member.held_since(topic, partition));
                if since.is_some_and(|since| since <= *epoch) { Ok(()) } else { Err(member.stale()) }
            }
        }
    }
}

impl ConsumerGroup {
    /// Whether a commit may be made: all of it or nothing, as in Kafka.
    ///
    /// # Errors
    /// Those of [`validate_commit`](Self::validate_commit).
    pub(in crate::group) fn check_commit(
        &self,
        commit: &CommitOffsets,
        image: &Image,
    ) -> Result<(), GroupError> {
        let CommitOffsets { member, generation_or_epoch, knows_member_epochs, .. } = commit;
        let check = self.validate_commit(member.as_ref(), *generation_or_epoch, *knows_member_epochs)?;
        if matches!(check, CommitCheck::All) {
            return Ok(());
        }
        for topic in &commit.topics {
            let id = match &topic.topic {
                TopicRef::Name(name) => image.topic(name).map(|topic| topic.id()),
                TopicRef::Id(id) => Some(*id),
            };
            for partition in &topic.partitions {
                check.partition(id, partition.partition)?;
            }
        }
        Ok(())
    }

    /// Whether a member may commit. `epoch` is `None` for a client that is no member, which may commit while the group is empty.
    ///
    /// # Errors
    /// [`GroupError::UnknownMemberId`], [`GroupError::StaleMemberEpoch`] and its classic sibling, [`GroupError::UnsupportedVersion`] if the
    /// member could not understand the answers (OffsetCommit before version 9).
    pub(super) fn validate_commit(
        &self,
        member: Option<&MemberId>,
        epoch: Option<i32>,
        knows_member_epochs: bool,
    ) -> Result<CommitCheck<'_>, GroupError> {
        if epoch.is_none_or(|epoch| epoch < 0) && self.is_empty() {
            return Ok(CommitCheck::All);
        }
        let member = member.and_then(|id| self.member(id)).ok_or(GroupError::UnknownMemberId)?;
        if !member.is_classic() && !knows_member_epochs {
            return Err(GroupError::UnsupportedVersion);
        }
        let epoch = MemberEpoch::new(epoch.unwrap_or(-1));
        match epoch {
            _ if epoch == member.epoch => Ok(CommitCheck::All),
            _ if epoch > member.epoch => Err(member.stale()),
            _ => Ok(CommitCheck::HeldSince(member, epoch)),
        }
    }

    /// Whether a member may read offsets. Without a member and an epoch anyone may.
    ///
    /// # Errors
    /// [`GroupError::UnknownMemberId`], [`GroupError::StaleMemberEpoch`] and its classic sibling.
    pub(in crate::group) fn validate_fetch(
        &self,
        member: Option<&MemberId>,
        epoch: Option<MemberEpoch>,
    ) -> Result<(), GroupError> {
        let epoch = epoch.filter(|epoch| *epoch >= MemberEpoch::JOIN);
        if member.is_none() && epoch.is_none() {
            return Ok(());
        }
        let member = member.and_then(|id| self.member(id)).ok_or(GroupError::UnknownMemberId)?;
        if epoch == Some(member.epoch) { Ok(()) } else { Err(member.stale()) }
    }
}

impl Member {
    /// The error for an epoch that is not the member's.
    fn stale(&self) -> GroupError {
        if self.is_classic() { GroupError::IllegalGeneration } else { GroupError::StaleMemberEpoch }
    }
}
