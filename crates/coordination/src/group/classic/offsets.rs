//! Who may commit offsets in a classic group, which topics it reads, and when its offsets expire.

use std::collections::BTreeSet;
use std::time::Duration;

use ottla_record::{Now, Timestamp};
use ottla_wire::messages::ConsumerProtocolSubscription;
use ottla_wire::records::decode_consumer_protocol;

use super::ClassicGroup;
use crate::group::ids::{Generation, InstanceId, MemberId};
use crate::group::record::CommittedOffset;
use crate::group::response::{GroupError, GroupState};

/// Kafka's name of the kind of group whose members' metadata the coordinator can read: their topics stand in it.
const CONSUMER: &str = "consumer";

/// From when an offset's retention counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::group) enum Retention {
    /// From its commit.
    SinceCommit,
    /// From this time: when the group became empty.
    Since(Timestamp),
    /// Not at all.
    Forever,
}

impl<W> ClassicGroup<W> {
    /// Members commit in their generation; a client that is in no group commits while nobody is in it.
    pub(in crate::group) fn check_commit(
        &self,
        member: Option<&MemberId>,
        instance: Option<&InstanceId>,
        generation: Option<i32>,
    ) -> Result<(), GroupError> {
        if generation.is_none() && self.state == GroupState::Empty {
            return Ok(());
        }
        if generation.is_none() && member.is_none() && instance.is_none() {
            return Err(GroupError::UnknownMemberId);
        }
        let unknown = MemberId::from("");
        self.check_member(member.unwrap_or(&unknown), instance)?;
        if generation.map(Generation::new) != Some(self.generation) {
            return Err(GroupError::IllegalGeneration);
        }
        // It knows the generation from JoinGroup, but not yet which partitions are its own in it.
        if self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit is a sign of life.
    pub(in crate::group) fn heard_by_commit(&mut self, member: Option<&MemberId>, now: Now) {
        if let (Some(member), GroupState::Stable | GroupState::PreparingRebalance) = (member, self.state) {
            self.extend_session(member, now);
        }
    }

    /// Offsets of a group with members can be deleted if it can be told which of them are in use.
    pub(in crate::group) fn check_delete_offsets(&self) -> Result<(), GroupError> {
        if self.state == GroupState::Empty || self.is_consumer_group() {
            Ok(())
        } else {
            Err(GroupError::NonEmptyGroup)
        }
    }

    /// A group without members can be deleted.
    pub(in crate::group) fn check_delete(&self) -> Result<(), GroupError> {
        if self.state == GroupState::Empty { Ok(()) } else { Err(GroupError::NonEmptyGroup) }
    }

    fn is_consumer_group(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// The topics its members read. `None` if that cannot be told.
    pub(in crate::group) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_consumer_group() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_ref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let subscription = member.metadata(Some(protocol));
            let subscription: ConsumerProtocolSubscription = decode_consumer_protocol(subscription).ok()?;
            topics.extend(subscription.topics);
        }
        Some(topics)
    }

    /// KIP-211: offsets of topics that a stable group reads stay; those of an empty group go some time after it became empty;
    /// those of a client that is in no group some time after their commit.
    pub(in crate::group) fn retention(&self) -> Retention {
        match (&self.protocol_type, self.state) {
            (None, _) => Retention::SinceCommit,
            (Some(_), GroupState::Empty) => self.state_since.map_or(Retention::SinceCommit, Retention::Since),
            (Some(_), GroupState::Stable) if self.subscribed_topics().is_some() => Retention::SinceCommit,
            _ => Retention::Forever,
        }
    }
}

impl Retention {
    /// True if the offset's time is over. One that came with an expiry (OffsetCommit before version 5) goes by that.
    pub(in crate::group) fn is_over(
        self,
        offset: &CommittedOffset,
        now: Timestamp,
        retention: Duration,
    ) -> bool {
        if self == Self::Forever {
            return false;
        }
        if let Some(expires_at) = offset.expires_at {
            return now >= expires_at;
        }
        let since = match self {
            Self::Since(since) => since,
            _ => offset.committed_at,
        };
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        now.millis_since(since) >= retention_ms
    }
}
