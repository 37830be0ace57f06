//! What can be asked of a group coordinator: one struct an operation, free of any protocol's spelling.
//!
//! Absence is `Option`, never -1 or the empty text; versions of a protocol appear as what they mean. Random values come
//! with the request (`fresh`), so that the same requests lead to the same groups.

use std::sync::Arc;

use bytes::Bytes;
use ottla_record::{LeaderEpoch, Offset, PartitionIndex, TopicId, Uuid};

use super::ids::{Generation, GroupId, InstanceId, MemberEpoch, MemberId};

/// One operation on groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Become a member of a classic group, or say that one still is, and wait for the next generation.
    Join(Join),
    /// Get the assignment of a generation; the leader brings everyone's.
    Sync(Sync),
    /// Stay a member.
    Heartbeat(Heartbeat),
    /// Stop being one.
    Leave(Leave),
    /// Remember positions.
    CommitOffsets(CommitOffsets),
    /// Read remembered positions.
    FetchOffsets(FetchOffsets),
    /// Forget positions.
    DeleteOffsets(DeleteOffsets),
    /// Which groups there are.
    List(List),
    /// What classic groups look like.
    Describe(Describe),
    /// Remove groups that have no members, with their offsets.
    Delete(Delete),
    /// Everything a member of a consumer-protocol group does (KIP-848).
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// What consumer-protocol groups look like.
    DescribeConsumer(DescribeConsumer),
}

impl Request {
    /// The group it is about, if it is about one: that decides which partition's coordinator answers.
    pub fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Join(request) => Some(&request.group),
            Self::Sync(request) => Some(&request.group),
            Self::Heartbeat(request) => Some(&request.group),
            Self::Leave(request) => Some(&request.group),
            Self::CommitOffsets(request) => Some(&request.group),
            Self::FetchOffsets(request) => Some(&request.group),
            Self::DeleteOffsets(request) => Some(&request.group),
            Self::ConsumerHeartbeat(request) => Some(&request.group),
            Self::List(_) | Self::Describe(_) | Self::Delete(_) | Self::DescribeConsumer(_) => None,
        }
    }
}

/// Who asks, as its connection tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// What the client calls itself; may be empty.
    pub client_id: Arc<str>,
    /// Its address as Kafka shows it (`/127.0.0.1`).
    pub host: Arc<str>,
}

/// A topic as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// By name.
    Name(Arc<str>),
    /// By identity (OffsetCommit and OffsetFetch from version 10).
    Id(TopicId),
}

/// JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The group.
    pub group: GroupId,
    /// Its id, if it has been given one.
    pub member: Option<MemberId>,
    /// Its name, if it is a static member (KIP-345).
    pub instance: Option<InstanceId>,
    /// Who it is.
    pub client: ClientFacts,
    /// What kind of group this is: `consumer`, `connect`, … All members name the same.
    pub protocol_type: Arc<str>,
    /// The assignment strategies it knows, the one it likes best first, each with its metadata (a consumer's: its subscription).
    pub protocols: Vec<Protocol>,
    /// Milliseconds of silence after which it is no longer a member.
    pub session_timeout_ms: i32,
    /// Milliseconds it may take to come back when the group rebalances; `None`: as long as its session (version 0).
    pub rebalance_timeout_ms: Option<i32>,
    /// A new member is given its id first and joins with it (KIP-394; version 4 and later).
    pub require_known_member: bool,
    /// A leader that returns can be told to leave the assignment as it is (KIP-814; version 9 and later).
    pub can_skip_assignment: bool,
    /// Why it joins, for the log.
    pub reason: Option<Arc<str>>,
    /// What its id is made of, should it need one.
    pub fresh: Uuid,
}

/// One assignment strategy of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name: `range`, `cooperative-sticky`, …
    pub name: Arc<str>,
    /// What the strategy needs to know about the member; opaque to the coordinator but for a consumer's topics.
    pub metadata: Bytes,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The group.
    pub group: GroupId,
    /// The generation the member joined.
    pub generation: Generation,
    /// The member.
    pub member: MemberId,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// The group's kind as the member understood it (KIP-559; version 5 and later).
    pub protocol_type: Option<Arc<str>>,
    /// The chosen strategy as the member understood it.
    pub protocol_name: Option<Arc<str>>,
    /// From the leader: everyone's part. Empty from the others.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// Heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group.
    pub group: GroupId,
    /// The generation the member is in.
    pub generation: Generation,
    /// The member.
    pub member: MemberId,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
}

/// LeaveGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// The group.
    pub group: GroupId,
    /// Who leaves: one (versions 0 to 2) or several.
    pub members: Vec<Leaver>,
}

/// One member that leaves or is removed by an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// Its id; may be left out for a static member.
    pub member: Option<MemberId>,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// Why, for the log (KIP-800).
    pub reason: Option<Arc<str>>,
}

/// OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffsets {
    /// The group.
    pub group: GroupId,
    /// The member; `None` from a client that is in no group ("simple").
    pub member: Option<MemberId>,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// The member's generation, in a consumer-protocol group its epoch; `None` from a client that is in no group.
    pub generation_or_epoch: Option<i32>,
    /// The client knows the errors of KIP-848 (version 9 and later).
    pub knows_member_epochs: bool,
    /// Milliseconds to keep these offsets (versions 2 to 4); `None`: by the broker's rule.
    pub retention_ms: Option<i64>,
    /// What to remember.
    pub topics: Vec<CommitTopic>,
}

/// Positions in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopic {
    /// The topic.
    pub topic: TopicRef,
    /// Its partitions.
    pub partitions: Vec<CommitPartition>,
}

/// The position in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset to resume at.
    pub offset: Offset,
    /// The leader epoch of the last record read, if known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// A note of the client's, returned with the offset.
    pub metadata: Option<Arc<str>>,
}

/// OffsetFetch of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOffsets {
    /// The group.
    pub group: GroupId,
    /// The member that asks, to be checked (version 9 and later); `None`: no check.
    pub member: Option<MemberId>,
    /// Its epoch in a consumer-protocol group, to be checked.
    pub epoch: Option<MemberEpoch>,
    /// Which topics; `None` for all there are.
    pub topics: Option<Vec<TopicPartitionRefs>>,
    /// Partitions with offsets of a transaction under way answer an error instead of the older offset (KIP-447).
    pub require_stable: bool,
}

/// Partitions of one topic as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitionRefs {
    /// The topic.
    pub topic: TopicRef,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// The group.
    pub group: GroupId,
    /// What to forget.
    pub topics: Vec<TopicPartitionRefs>,
}

/// ListGroups. A name that no state or type has matches nothing; names are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct List {
    /// Only groups in one of these states; empty: in any.
    pub states: Vec<String>,
    /// Only groups of one of these types; empty: of any.
    pub types: Vec<String>,
}

/// DescribeGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Describe {
    /// The groups.
    pub groups: Vec<GroupId>,
}

/// DeleteGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The groups.
    pub groups: Vec<GroupId>,
}

/// ConsumerGroupHeartbeat. `None` in a field of the member's means: as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: GroupId,
    /// Its id, if it has one.
    pub member: Option<MemberId>,
    /// Its epoch, or what it wants: [`MemberEpoch::JOIN`], [`MemberEpoch::LEAVE`], [`MemberEpoch::LEAVE_STATIC`].
    pub epoch: MemberEpoch,
    /// A member must bring its own id (KIP-1082; version 1 and later).
    pub brings_own_id: bool,
    /// Its name, if it is a static member.
    pub instance: Option<InstanceId>,
    /// Who it is.
    pub client: ClientFacts,
    /// The rack it stands in.
    pub rack: Option<Arc<str>>,
    /// Milliseconds it may take to give up partitions.
    pub rebalance_timeout_ms: Option<i32>,
    /// The topics it wants, by name.
    pub topics: Option<Vec<Arc<str>>>,
    /// The topics it wants, by pattern (RE2). The empty text takes a pattern back.
    pub regex: Option<Arc<str>>,
    /// The strategy it wants the coordinator to assign by.
    pub assignor: Option<Arc<str>>,
    /// The partitions it holds.
    pub owned: Option<Vec<TopicPartitions>>,
    /// What its id is made of, should it need one.
    pub fresh: Uuid,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: TopicId,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// ConsumerGroupDescribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeConsumer {
    /// The groups.
    pub groups: Vec<GroupId>,
}
