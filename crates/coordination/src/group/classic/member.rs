//! A member of a classic group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_record::Monotonic;

use crate::group::ids::{InstanceId, MemberId};
use crate::group::record::ClassicMemberValue;
use crate::group::request::{Join, Protocol};
use crate::group::response::{ClassicMemberDescription, JoinedMember};

/// One member, with whoever waits for an answer to it.
#[derive(Clone, Debug)]
pub(in crate::group) struct Member<W> {
    pub(in crate::group) instance: Option<InstanceId>,
    pub(in crate::group) client_id: Arc<str>,
    pub(in crate::group) client_host: Arc<str>,
    pub(in crate::group) rebalance_timeout_ms: i32,
    pub(in crate::group) session_timeout_ms: i32,
    /// The one it likes best first.
    pub(in crate::group) protocols: Vec<Protocol>,
    pub(in crate::group) assignment: Bytes,
    /// Its JoinGroup, waiting for the next generation.
    pub(super) joining: Option<W>,
    /// Its SyncGroup, waiting for the leader's.
    pub(super) syncing: Option<W>,
    /// It has joined this generation and not asked for its assignment yet.
    pub(super) owes_sync: bool,
    /// It has never had an answer to JoinGroup, so it cannot be heard: its session is the longest a join may take.
    pub(super) new: bool,
    /// When it will have been silent for too long.
    pub(super) session_ends: Monotonic,
}

impl<W> Member<W> {
    /// One that joins for the first time.
    pub(super) fn new(join: &Join, waiter: W, session_ends: Monotonic) -> Self {
        Self {
            instance: join.instance.clone(),
            client_id: Arc::clone(&join.client.client_id),
            client_host: Arc::clone(&join.client.host),
            rebalance_timeout_ms: join.rebalance_timeout_ms.unwrap_or(join.session_timeout_ms),
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            joining: Some(waiter),
            syncing: None,
            owes_sync: false,
            new: true,
            session_ends,
        }
    }

    /// One that a record tells of. Only the chosen strategy is known.
    pub(super) fn loaded(value: &ClassicMemberValue, protocol: &Arc<str>) -> Self {
        Self {
            instance: value.instance.clone(),
            client_id: Arc::clone(&value.client_id),
            client_host: Arc::clone(&value.client_host),
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            session_timeout_ms: value.session_timeout_ms,
            protocols: vec![Protocol { name: Arc::clone(protocol), metadata: value.subscription.clone() }],
            assignment: value.assignment.clone(),
            joining: None,
            syncing: None,
            owes_sync: false,
            new: false,
            session_ends: Monotonic::NEVER,
        }
    }

    /// How long it may be silent.
    pub(super) fn session(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    /// Waiting for an answer it is not silent, unless it is new: then nobody may be there any more.
    pub(super) fn is_silent(&self) -> bool {
        self.new || (self.joining.is_none() && self.syncing.is_none())
    }

    /// What it said for a strategy; empty if it does not know it.
    pub(super) fn metadata(&self, protocol: Option<&Arc<str>>) -> Bytes {
        let known = self.protocols.iter().find(|known| Some(&known.name) == protocol);
        known.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    /// True if the strategies and what it says for each are the same, in the same order.
    pub(super) fn says_the_same(&self, join: &Join) -> bool {
        self.protocols == join.protocols
    }

    /// What the leader is told of it.
    pub(super) fn as_joined(&self, id: &MemberId, protocol: Option<&Arc<str>>) -> JoinedMember {
        JoinedMember {
            member: id.clone(),
            instance: self.instance.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// What is written of it.
    pub(super) fn as_value(
        &self,
        id: &MemberId,
        protocol: Option<&Arc<str>>,
        assignment: Bytes,
    ) -> ClassicMemberValue {
        ClassicMemberValue {
            member: id.clone(),
            instance: self.instance.clone(),
            client_id: Arc::clone(&self.client_id),
            client_host: Arc::clone(&self.client_host),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    /// What an administrator is told of it; without a protocol only who it is.
    pub(super) fn describe(&self, id: &MemberId, protocol: Option<&Arc<str>>) -> ClassicMemberDescription {
        ClassicMemberDescription {
            member: id.clone(),
            instance: self.instance.clone(),
            client_id: Arc::clone(&self.client_id),
            client_host: Arc::clone(&self.client_host),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }
}

/// A protocol's milliseconds; negative ones are none.
pub(super) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
