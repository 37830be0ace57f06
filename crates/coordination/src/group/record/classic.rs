//! `GroupMetadata`: a classic group as a whole, written when a generation is complete.

use std::sync::Arc;

use bytes::Bytes;
use ottla_record::Timestamp;
use ottla_wire::messages::{GroupMetadataKey, GroupMetadataValue, group_metadata_value::MemberMetadata};
use ottla_wire::records::GroupRecord;

use crate::group::ids::{Generation, GroupId, InstanceId, MemberId};

/// A classic group between rebalances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicGroupValue {
    /// Its kind; empty if it never had members.
    pub protocol_type: Arc<str>,
    /// Its generation.
    pub generation: Generation,
    /// The chosen strategy; `None` without members.
    pub protocol: Option<Arc<str>>,
    /// Who assigned; `None` without members.
    pub leader: Option<MemberId>,
    /// Since when it is in its state: offsets of an empty group expire from then.
    pub state_since: Option<Timestamp>,
    /// Its members.
    pub members: Vec<ClassicMemberValue>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberValue {
    /// Its id.
    pub member: MemberId,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Its address.
    pub client_host: Arc<str>,
    /// Milliseconds it may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// Milliseconds of silence after which it is no longer a member.
    pub session_timeout_ms: i32,
    /// Its metadata for the chosen strategy.
    pub subscription: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

/// The version Kafka writes.
const VERSION: i16 = 3;

pub(super) fn to_wire(group: &GroupId, value: Option<&ClassicGroupValue>) -> (GroupRecord, i16) {
    let key = GroupMetadataKey { group: group.as_str().to_owned() };
    (GroupRecord::GroupMetadata(key, value.map(ClassicGroupValue::to_wire)), VERSION)
}

impl ClassicGroupValue {
    /// About how many bytes it takes; more rather than fewer.
    pub(super) fn weight(&self) -> usize {
        let member = |member: &ClassicMemberValue| {
            64 + member.member.as_str().len()
                + member.instance.as_ref().map_or(0, |name| name.as_str().len())
                + member.client_id.len()
                + member.client_host.len()
                + member.subscription.len()
                + member.assignment.len()
        };
        64 + self.protocol_type.len()
            + self.protocol.as_ref().map_or(0, |name| name.len())
            + self.leader.as_ref().map_or(0, |leader| leader.as_str().len())
            + self.members.iter().map(member).sum::<usize>()
    }

    fn to_wire(&self) -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: self.protocol_type.to_string(),
            generation: self.generation.get(),
            protocol: self.protocol.as_ref().map(|name| name.to_string()),
            leader: self.leader.as_ref().map(|leader| leader.as_str().to_owned()),
            current_state_timestamp: Timestamp::to_wire(self.state_since),
            members: self.members.iter().map(ClassicMemberValue::to_wire).collect(),
        }
    }

    pub(super) fn from_wire(value: GroupMetadataValue) -> Self {
        Self {
            protocol_type: value.protocol_type.into(),
            generation: Generation::new(value.generation),
            protocol: value.protocol.map(Into::into),
            leader: value.leader.map(MemberId::new),
            state_since: Timestamp::from_wire(value.current_state_timestamp),
            members: value.members.into_iter().map(ClassicMemberValue::from_wire).collect(),
        }
    }
}

impl ClassicMemberValue {
    fn to_wire(&self) -> MemberMetadata {
        MemberMetadata {
            member_id: self.member.as_str().to_owned(),
            group_instance_id: self.instance.as_ref().map(|name| name.as_str().to_owned()),
            client_id: self.client_id.to_string(),
            client_host: self.client_host.to_string(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: self.subscription.clone(),
            assignment: self.assignment.clone(),
        }
    }

    fn from_wire(value: MemberMetadata) -> Self {
        let session_timeout_ms = value.session_timeout;
        Self {
            member: MemberId::new(value.member_id),
            instance: value.group_instance_id.map(InstanceId::new),
            client_id: value.client_id.into(),
            client_host: value.client_host.into(),
            // Version 0 has no such field: then a member may take as long to rejoin as it may be silent.
            rebalance_timeout_ms: match value.rebalance_timeout {
                ..0 => session_timeout_ms,
                given => given,
            },
            session_timeout_ms,
            // What was read is part of a whole fetch: a copy lets go of it.
            subscription: Bytes::copy_from_slice(&value.subscription),
            assignment: Bytes::copy_from_slice(&value.assignment),
        }
    }
}
