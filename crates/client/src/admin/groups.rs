//! Groups: what there are, how far behind they are, and where they go on.

use std::time::Duration;

use ottla_record::Offset;
use ottla_rpc::v1;
use ottla_rpc::v1::groups_client::GroupsClient;

use super::Admin;
use crate::client::Repeat;
use crate::consumer::Start;
use crate::error::Error;
use crate::group::TopicPartition;

/// Which protocol a group's members speak.
///
/// ```
/// assert_eq!(ottla_client::GroupProtocol::Classic.to_string(), "classic");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// Members share out the partitions themselves.
    Classic,
    /// The broker shares them out (KIP-848).
    Consumer,
    /// A newer broker's.
    Unknown,
}

impl GroupProtocol {
    fn of(group_type: i32) -> Self {
        match v1::GroupType::try_from(group_type) {
            Ok(v1::GroupType::Classic) => Self::Classic,
            Ok(v1::GroupType::Consumer) => Self::Consumer,
            _ => Self::Unknown,
        }
    }
}

impl std::fmt::Display for GroupProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Unknown => "unknown",
        })
    }
}

/// One group in a list.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let stable = |group: &ottla_client::GroupListing| group.state == "Stable";
/// println!("{} stable groups", admin.list_groups().await?.iter().filter(|group| stable(group)).count());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// Its name.
    pub group: String,
    /// Its protocol.
    pub protocol: GroupProtocol,
    /// Its state, by Kafka's name: `Empty`, `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Assigning`,
    /// `Reconciling`, `Dead`.
    pub state: String,
    /// What its members are: `consumer` for those that read topics; empty where only offsets were committed.
    pub protocol_type: String,
}

impl From<v1::GroupListing> for GroupListing {
    fn from(listing: v1::GroupListing) -> Self {
        let v1::GroupListing { group, r#type, state, protocol_type } = listing;
        Self { group, protocol: GroupProtocol::of(r#type), state, protocol_type }
    }
}

/// One group with its members and offsets.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let group: ottla_client::Group = admin.describe_group("billing").await?;
/// println!("{} members", group.members.len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// Name, protocol, state.
    pub listing: GroupListing,
    /// How it shares out its partitions, for example `uniform` or `range`; empty while it has no members.
    pub assignor: String,
    /// Of a consumer-protocol group: grows with every change of members, subscriptions or topics.
    pub epoch: Option<i32>,
    /// Its members, by id.
    pub members: Vec<GroupMember>,
    /// What it has committed or is assigned, by topic and partition.
    pub offsets: Vec<GroupOffset>,
}

/// A member of a group.
///
/// ```no_run
/// # fn show(member: &ottla_client::GroupMember) {
/// println!("{} on {}: {} partitions", member.client_id, member.host, member.assignment.len());
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// Its instance id, if it is static.
    pub instance_id: Option<String>,
    /// What it calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it owns now.
    pub assignment: Vec<TopicPartition>,
    /// What it is to own; of a consumer-protocol member.
    pub target: Vec<TopicPartition>,
    /// Its epoch; of a consumer-protocol member.
    pub epoch: Option<i32>,
    /// Topics it subscribes to by name; of a consumer-protocol member.
    pub topics: Vec<String>,
    /// Topics it subscribes to by pattern; of a consumer-protocol member.
    pub topic_regex: Option<String>,
}

impl From<v1::GroupMember> for GroupMember {
    fn from(member: v1::GroupMember) -> Self {
        let partitions = |list: Vec<v1::TopicPartition>| list.into_iter().map(TopicPartition::from).collect();
        Self {
            member_id: member.member_id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.host,
            assignment: partitions(member.assignment),
            target: partitions(member.target),
            epoch: member.member_epoch,
            topics: member.topics,
            topic_regex: member.topic_regex,
        }
    }
}

impl From<v1::TopicPartition> for TopicPartition {
    fn from(named: v1::TopicPartition) -> Self {
        Self { topic: named.topic.into(), partition: named.partition }
    }
}

/// How far a group is in one partition.
///
/// ```no_run
/// # fn show(offset: &ottla_client::GroupOffset) {
/// println!("{}: {:?} records behind, {:?}", offset.partition, offset.lag, offset.lag_age);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset the group reads, if it has committed one.
    pub committed: Option<Offset>,
    /// What was committed with it.
    pub metadata: String,
    /// First offset the log still holds, if the answering broker knows.
    pub log_start: Option<Offset>,
    /// End of what consumers may read, if the answering broker knows.
    pub log_end: Option<Offset>,
    /// Records that are not read yet.
    pub lag: Option<i64>,
    /// Age of the first record that is not read yet; zero if all are.
    pub lag_age: Option<Duration>,
    /// The member that owns the partition, if one does.
    pub member_id: Option<String>,
}

impl From<v1::GroupOffset> for GroupOffset {
    fn from(offset: v1::GroupOffset) -> Self {
        let age = |millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        Self {
            partition: TopicPartition { topic: offset.topic.into(), partition: offset.partition },
            committed: offset.committed.map(Offset::new),
            metadata: offset.metadata,
            log_start: offset.log_start_offset.map(Offset::new),
            log_end: offset.log_end_offset.map(Offset::new),
            lag: offset.lag_records,
            lag_age: offset.lag_ms.map(age),
            member_id: offset.member_id,
        }
    }
}

/// Where a group shall go on in one partition. An offset outside of the log is taken to the nearer end of it.
///
/// ```
/// use ottla_client::{OffsetReset, Start};
///
/// let reset = OffsetReset::of("orders", 0, Start::Earliest);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetReset {
    /// The partition.
    pub partition: TopicPartition,
    /// The place.
    pub to: Start,
}

impl OffsetReset {
    /// A place in a partition.
    ///
    /// ```
    /// let reset = ottla_client::OffsetReset::of("orders", 0, ottla_client::Start::Latest);
    /// ```
    pub fn of(topic: impl Into<std::sync::Arc<str>>, partition: i32, to: Start) -> Self {
        Self { partition: TopicPartition { topic: topic.into(), partition }, to }
    }
}

/// What became of one reset.
///
/// ```no_run
/// # fn show(outcome: &ottla_client::ResetOutcome) {
/// println!("{}: {:?} -> {:?}", outcome.partition, outcome.previous, outcome.result);
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResetOutcome {
    /// The partition.
    pub partition: TopicPartition,
    /// Where the group would have gone on before, if it had committed anything.
    pub previous: Option<Offset>,
    /// Where it goes on now, or why that was not changed.
    pub result: Result<Offset, Error>,
}

impl From<v1::OffsetResetResult> for ResetOutcome {
    fn from(result: v1::OffsetResetResult) -> Self {
        let v1::OffsetResetResult { topic, partition, offset, previous, error, message } = result;
        Self {
            partition: TopicPartition { topic: topic.into(), partition },
            previous: previous.map(Offset::new),
            result: error.map_or(Ok(Offset::new(offset)), |detail| Err(Error::from_detail(message, detail))),
        }
    }
}

impl Admin {
    /// The groups, by name.
    ///
    /// # Errors
    /// See [`Admin`].
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// for group in admin.list_groups().await? {
    ///     println!("{} is {}", group.group, group.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, Error> {
        let request = v1::ListGroupsRequest { states: Vec::new() };
        let answer = self
            .client
            .call("listing groups", Repeat::Harmless, |channel| {
                let request = self.with_deadline(request.clone());
                async move { GroupsClient::new(channel).list_groups(request).await }
            })
            .await?;
        Ok(answer.groups.into_iter().map(GroupListing::from).collect())
    }

    /// One group with its members, its offsets, and how far it is behind.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let lag: i64 = admin.describe_group("billing").await?.offsets.iter().filter_map(|offset| offset.lag).sum();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_group(&self, group: &str) -> Result<Group, Error> {
        let request = v1::DescribeGroupRequest { group: group.to_owned() };
        let answer = self
            .client
            .call("describing a group", Repeat::Harmless, |channel| {
                let request = self.with_deadline(request.clone());
                async move {
                    GroupsClient::new(channel)
                        .max_decoding_message_size(usize::MAX)
                        .describe_group(request)
                        .await
                }
            })
            .await?;
        let listing = answer.group.ok_or_else(|| Error::Protocol("a group without a name".to_owned()))?;
        Ok(Group {
            listing: listing.into(),
            assignor: answer.assignor,
            epoch: answer.group_epoch,
            members: answer.members.into_iter().map(GroupMember::from).collect(),
            offsets: answer.offsets.into_iter().map(GroupOffset::from).collect(),
        })
    }

    /// Deletes a group that has no members, with everything it has committed.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// admin.delete_group("billing-trial").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let request = v1::DeleteGroupRequest { group: group.to_owned() };
        self.client
            .call("deleting a group", Repeat::UnlessDone, |channel| {
                let request = self.with_deadline(request.clone());
                async move { GroupsClient::new(channel).delete_group(request).await }
            })
            .await?;
        Ok(())
    }

    /// Says where a group without members goes on. Each partition succeeds or fails alone. With `dry_run` nothing changes,
    /// and the outcomes say what would.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP while the group has members: they would overwrite it.
    ///
    /// ```no_run
    /// use ottla_client::{OffsetReset, Start};
    ///
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// for outcome in admin.reset_offsets("billing", &[OffsetReset::of("orders", 0, Start::Earliest)], false).await? {
    ///     println!("{} goes on at {}", outcome.partition, outcome.result?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reset_offsets(
        &self,
        group: &str,
        resets: &[OffsetReset],
        dry_run: bool,
    ) -> Result<Vec<ResetOutcome>, Error> {
        let reset = |reset: &OffsetReset| {
            let TopicPartition { topic, partition } = &reset.partition;
            let v1::FetchPartition { topic, partition, from } = reset.to.to_v1(topic, *partition);
            v1::OffsetReset { topic, partition, to: from }
        };
        let resets = resets.iter().map(reset).collect();
        let request = v1::ResetOffsetsRequest { group: group.to_owned(), resets, validate_only: dry_run };
        let answer = self
            .client
            .call("resetting offsets", Repeat::Harmless, |channel| {
                let request = self.with_deadline(request.clone());
                async move {
                    GroupsClient::new(channel)
                        .max_decoding_message_size(usize::MAX)
                        .reset_offsets(request)
                        .await
                }
            })
            .await?;
        Ok(answer.results.into_iter().map(ResetOutcome::from).collect())
    }

    /// Forgets what a group has committed of partitions that none of its members subscribes to.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, GROUP_SUBSCRIBED_TO_TOPIC; the first that was met.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let partition = ottla_client::TopicPartition { topic: "orders".into(), partition: 0 };
    /// admin.delete_offsets("billing", &[partition]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<(), Error> {
        let named = |partition: &TopicPartition| v1::TopicPartition {
            topic: partition.topic.to_string(),
            partition: partition.partition,
        };
        let partitions = partitions.iter().map(named).collect();
        let request = v1::DeleteOffsetsRequest { group: group.to_owned(), partitions };
        let answer = self
            .client
            .call("deleting offsets", Repeat::Harmless, |channel| {
                let request = self.with_deadline(request.clone());
                async move { GroupsClient::new(channel).delete_offsets(request).await }
            })
            .await?;
        match answer.failures.into_iter().next() {
            None => Ok(()),
            Some(failure) => Err(Error::from_detail(failure.message, failure.detail.unwrap_or_default())),
        }
    }
}
