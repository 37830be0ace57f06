//! What a group coordinator answers, and every error it answers with.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{PartitionIndex, TopicId};

use super::ids::{Generation, GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};
use super::record::CommittedOffset;
use super::request::{Leaver, TopicPartitions, TopicRef};

/// The answer to a [`Request`](super::Request) of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The generation joined.
    Join(Result<Joined, GroupError>),
    /// The member's part of it.
    Sync(Result<Synced, GroupError>),
    /// Still a member, or what to do about it.
    Heartbeat(Result<(), GroupError>),
    /// One per member that leaves, in the order asked.
    Leave(Result<Vec<Left>, GroupError>),
    /// One per partition, in the order asked.
    CommitOffsets(Result<Vec<TopicOutcome>, GroupError>),
    /// One per partition, in the order asked; all there are by name if none was named.
    FetchOffsets(Result<Vec<FetchedTopic>, GroupError>),
    /// One per partition, in the order asked.
    DeleteOffsets(Result<Vec<TopicOutcome>, GroupError>),
    /// The groups of this coordinator by name.
    List(Vec<Listed>),
    /// One per group, in the order asked.
    Describe(Vec<(GroupId, Result<ClassicDescription, GroupError>)>),
    /// One per group, in the order asked.
    Delete(Vec<(GroupId, Result<(), GroupError>)>),
    /// What the member is and has.
    ConsumerHeartbeat(Result<ConsumerBeat, GroupError>),
    /// One per group, in the order asked.
    DescribeConsumer(Vec<(GroupId, Result<ConsumerDescription, GroupError>)>),
}

/// A member has joined a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: Generation,
    /// The group's kind (KIP-559; version 7 and later).
    pub protocol_type: Option<Arc<str>>,
    /// The chosen strategy.
    pub protocol_name: Option<Arc<str>>,
    /// Who assigns.
    pub leader: MemberId,
    /// The leader need not assign: nothing changed (KIP-814).
    pub skip_assignment: bool,
    /// The member's id.
    pub member: MemberId,
    /// For the leader, all members. Empty for the others.
    pub members: Vec<JoinedMember>,
}

/// One member, as the leader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: MemberId,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// Its metadata for the chosen strategy.
    pub metadata: Bytes,
}

/// A member's part of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The group's kind (KIP-559; version 5 and later).
    pub protocol_type: Option<Arc<str>>,
    /// The chosen strategy.
    pub protocol_name: Option<Arc<str>>,
    /// What the leader assigned to the member; empty if nothing.
    pub assignment: Bytes,
}

/// What became of one member that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// As asked.
    pub member: Option<MemberId>,
    /// As asked.
    pub instance: Option<InstanceId>,
    /// Done, or why not.
    pub result: Result<(), GroupError>,
}

impl Left {
    /// The group is not there, so nobody is in it.
    pub(super) fn unknown(leaver: Leaver) -> Self {
        Self { member: leaver.member, instance: leaver.instance, result: Err(GroupError::UnknownMemberId) }
    }
}

/// What became of one topic's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOutcome {
    /// As asked.
    pub topic: TopicRef,
    /// One per partition, in the order asked.
    pub partitions: Vec<(PartitionIndex, Result<(), GroupError>)>,
}

/// The committed offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Its name; `None` if it was asked for by an identity nothing has.
    pub name: Option<Arc<str>>,
    /// Its identity, as asked or as it is now; `None` if there is no such topic now.
    pub id: Option<TopicId>,
    /// One per partition: the offset, `None` if nothing was committed, or why it cannot be told.
    pub partitions: Vec<(PartitionIndex, Result<Option<CommittedOffset>, GroupError>)>,
}

/// One group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub group: GroupId,
    /// Its kind: `consumer`, `connect`, …; empty for a group of offsets only.
    pub protocol_type: Arc<str>,
    /// Its state.
    pub state: GroupState,
    /// Its protocol.
    pub group_type: GroupType,
}

/// The states of groups of both protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members.
    Empty,
    /// Classic: waiting for members to join the next generation.
    PreparingRebalance,
    /// Classic: waiting for the leader's assignment.
    CompletingRebalance,
    /// Everyone has what it shall have.
    Stable,
    /// Removed.
    Dead,
    /// Consumer protocol: the target assignment is older than the group.
    Assigning,
    /// Consumer protocol: members move towards the target assignment.
    Reconciling,
}

impl GroupState {
    /// Kafka's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The protocols of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupType {
    /// JoinGroup and SyncGroup: the members assign.
    Classic,
    /// KIP-848: the coordinator assigns.
    Consumer,
}

impl GroupType {
    /// Kafka's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// A classic group as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicDescription {
    /// Its state.
    pub state: GroupState,
    /// Its kind; empty for a group of offsets only.
    pub protocol_type: Arc<str>,
    /// The chosen strategy, while the group is stable.
    pub protocol: Option<Arc<str>>,
    /// Its members by id.
    pub members: Vec<ClassicMemberDescription>,
}

/// A member of a classic group as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberDescription {
    /// Its id.
    pub member: MemberId,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Its address.
    pub client_host: Arc<str>,
    /// Its metadata for the chosen strategy, while the group is stable.
    pub metadata: Bytes,
    /// What it was assigned, while the group is stable.
    pub assignment: Bytes,
}

/// The answer to a member of a consumer-protocol group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerBeat {
    /// Its id.
    pub member: MemberId,
    /// Its epoch now.
    pub epoch: MemberEpoch,
    /// Milliseconds until it shall be heard again.
    pub heartbeat_interval_ms: i32,
    /// What it shall hold; `None`: as it was told before.
    pub assignment: Option<Vec<TopicPartitions>>,
}

/// A consumer-protocol group as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Its state.
    pub state: GroupState,
    /// Its term.
    pub epoch: GroupEpoch,
    /// The term its target assignment was made for.
    pub assignment_epoch: GroupEpoch,
    /// The strategy.
    pub assignor: Arc<str>,
    /// Its members by id.
    pub members: Vec<ConsumerMemberDescription>,
}

/// A member of a consumer-protocol group as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// Its id.
    pub member: MemberId,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// The rack it stands in.
    pub rack: Option<Arc<str>>,
    /// Its epoch.
    pub epoch: MemberEpoch,
    /// What its client calls itself.
    pub client_id: Arc<str>,
    /// Its address.
    pub client_host: Arc<str>,
    /// The topics it asked for by name.
    pub topics: Vec<Arc<str>>,
    /// The pattern it asked for.
    pub regex: Option<Arc<str>>,
    /// What it holds.
    pub assignment: Vec<NamedPartitions>,
    /// What it shall hold.
    pub target: Vec<NamedPartitions>,
    /// It speaks the classic protocol in a group that has moved on.
    pub classic: bool,
}

/// Partitions of one topic, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPartitions {
    /// The topic.
    pub topic: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// Why a group coordinator refuses; one case a Kafka error, with Kafka's text where clients or tools show it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// `UNKNOWN_MEMBER_ID`: it was removed, or never was.
    #[error("the coordinator is not aware of this member")]
    UnknownMemberId,
    /// `ILLEGAL_GENERATION`: the generation is not the group's.
    #[error("the generation is not the group's current one")]
    IllegalGeneration,
    /// `REBALANCE_IN_PROGRESS`: join again.
    #[error("the group is rebalancing, so a rejoin is needed")]
    RebalanceInProgress,
    /// `MEMBER_ID_REQUIRED`: join again, with this id (KIP-394).
    #[error("the member needs to have a member id before joining: {member}")]
    MemberIdRequired {
        /// The id to join with.
        member: MemberId,
    },
    /// `FENCED_INSTANCE_ID`: another process has taken the static member's name.
    #[error("the static member's name is held by another member id")]
    FencedInstanceId,
    /// `GROUP_MAX_SIZE_REACHED`.
    #[error("the consumer group has reached its maximum capacity of {limit} members")]
    GroupMaxSizeReached {
        /// `group.max.size` or `group.consumer.max.size`.
        limit: usize,
    },
    /// `INCONSISTENT_GROUP_PROTOCOL`: its kind or strategies do not go with those of the other members.
    #[error("the protocol type or the strategies do not go with the group's: {why}")]
    InconsistentGroupProtocol {
        /// What does not.
        why: &'static str,
    },
    /// `INVALID_SESSION_TIMEOUT`.
    #[error("the session timeout is not within {min_ms} to {max_ms} ms")]
    InvalidSessionTimeout {
        /// `group.min.session.timeout.ms`.
        min_ms: i32,
        /// `group.max.session.timeout.ms`.
        max_ms: i32,
    },
    /// `INVALID_GROUP_ID`: the empty one, where it is not allowed.
    #[error("the group id is invalid")]
    InvalidGroupId,
    /// `GROUP_ID_NOT_FOUND`, with Kafka's text.
    #[error("{0}")]
    GroupIdNotFound(String),
    /// `NON_EMPTY_GROUP`: it has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// `GROUP_SUBSCRIBED_TO_TOPIC`: members still read it.
    #[error("the group is actively subscribed to the topic")]
    GroupSubscribedToTopic,
    /// `UNRELEASED_INSTANCE_ID`: another live member has the name.
    #[error("{0}")]
    UnreleasedInstanceId(String),
    /// `FENCED_MEMBER_EPOCH`: it must give up everything and join again.
    #[error("{0}")]
    FencedMemberEpoch(String),
    /// `STALE_MEMBER_EPOCH`: it must learn its epoch by a heartbeat and try again.
    #[error("the member epoch is stale")]
    StaleMemberEpoch,
    /// `UNSUPPORTED_ASSIGNOR`.
    #[error("{0}")]
    UnsupportedAssignor(String),
    /// `UNSUPPORTED_VERSION`: the request's version cannot be about this kind of group.
    #[error("this version of the request cannot be used with this group")]
    UnsupportedVersion,
    /// `INVALID_REQUEST`.
    #[error("{0}")]
    InvalidRequest(String),
    /// `INVALID_REGULAR_EXPRESSION`.
    #[error("{0}")]
    InvalidRegularExpression(String),
    /// `OFFSET_METADATA_TOO_LARGE`.
    #[error("the committing offset data size is not valid: metadata of more than {limit} bytes")]
    OffsetMetadataTooLarge {
        /// `offset.metadata.max.bytes`.
        limit: usize,
    },
    /// `INVALID_COMMIT_OFFSET_SIZE`: more offsets than one batch of records may hold.
    #[error("the committing offset data size is not valid")]
    InvalidCommitOffsetSize,
    /// `UNKNOWN_SERVER_ERROR`, as Kafka has it: the members' data do not fit into the group's record.
    #[error("the group's metadata is larger than a record may be")]
    GroupMetadataTooLarge,
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("this server does not host this topic-partition")]
    UnknownTopicOrPartition,
    /// `UNKNOWN_TOPIC_ID`.
    #[error("this server does not host this topic id")]
    UnknownTopicId,
    /// `UNSTABLE_OFFSET_COMMIT`: a transaction that commits an offset of the partition is under way.
    #[error("there are unstable offsets that need to be cleared")]
    UnstableOffsetCommit,
    /// `COORDINATOR_LOAD_IN_PROGRESS`, told by a coordinator that holds more waiting requests than it may.
    #[error("the coordinator holds too many waiting requests")]
    Overloaded,
}
