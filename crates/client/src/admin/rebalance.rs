//! Replicas and leaderships that move, and plans of it.

use ottla_rpc::v1;
use ottla_rpc::v1::cluster_client::ClusterClient;
use ottla_rpc::v1::plan_moves_request::Kind;

use super::{Admin, LogSize};
use crate::client::Repeat;
use crate::error::Error;

/// A partition that should have these replicas, or whose move should be cancelled.
///
/// ```
/// let to_2_and_3 = ottla_client::Reassignment::to("orders", 0, [2, 3]);
/// let cancelled = ottla_client::Reassignment::cancel("orders", 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    topic: String,
    partition: i32,
    to: Option<Vec<i32>>,
}

impl Reassignment {
    /// The partition moves to these brokers; the first is the preferred leader.
    ///
    /// ```
    /// let to_2_and_3 = ottla_client::Reassignment::to("orders", 0, [2, 3]);
    /// ```
    pub fn to(topic: impl Into<String>, partition: i32, brokers: impl Into<Vec<i32>>) -> Self {
        Self { topic: topic.into(), partition, to: Some(brokers.into()) }
    }

    /// The partition returns to where it came from.
    ///
    /// ```
    /// let cancelled = ottla_client::Reassignment::cancel("orders", 1);
    /// ```
    pub fn cancel(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition, to: None }
    }

    fn to_v1(&self) -> v1::Reassignment {
        let Self { topic, partition, to } = self;
        let to = to.clone().map(|brokers| v1::Replicas { brokers });
        v1::Reassignment { topic: topic.clone(), partition: *partition, to }
    }
}

/// A move that is under way.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let moving: Vec<ottla_client::OngoingReassignment> = admin.list_reassignments().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OngoingReassignment {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its replicas now: those of the target, then those that it gives up.
    pub replicas: Vec<i32>,
    /// Those that it moves to.
    pub adding: Vec<i32>,
    /// Those that it leaves once all of its target are in sync.
    pub removing: Vec<i32>,
}

/// What became of one partition.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let elected: Vec<ottla_client::PartitionOutcome> = admin.elect_leaders(&[("orders", 0)], false).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct PartitionOutcome {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Done, or why not.
    pub outcome: Result<(), Error>,
}

/// What to plan.
///
/// ```
/// let plan = ottla_client::PlanKind::Drain(3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanKind {
    /// As much on each broker as on the next.
    Balance,
    /// Everything off one broker.
    Drain(i32),
    /// As many replicas as this for each partition of these topics that has fewer.
    Raise {
        /// The topics.
        topics: Vec<String>,
        /// Replicas; one on each broker that lives, if those are fewer.
        replicas: i32,
    },
}

/// How much a plan moves in one step.
///
/// ```
/// let one_by_one = ottla_client::StepLimit { partitions: 1, bytes: 0 };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepLimit {
    /// Partitions; 0 for the broker's default, which is ten.
    pub partitions: i32,
    /// Bytes to copy; 0 for the broker's default, which is 10 GiB. A partition that is larger moves alone.
    pub bytes: i64,
}

/// What should move.
///
/// ```no_run
/// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
/// let plan: ottla_client::MovePlan = admin.plan_moves(&ottla_client::PlanKind::Balance, Default::default(), &[]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovePlan {
    /// Moves in groups that may be under way together. When a step is done, the preferred leaders of its partitions should be
    /// elected, and the next one begun.
    pub steps: Vec<Vec<PlannedMove>>,
    /// Partitions that stay where they are, and whose preferred leader should be elected.
    pub elections: Vec<(String, i32)>,
    /// What each broker has to carry, now and afterwards, by id.
    pub brokers: Vec<(i32, BrokerLoad, BrokerLoad)>,
}

/// A partition that should have other replicas, or the same in another order.
///
/// ```
/// let copies = |planned: &ottla_client::PlannedMove| planned.bytes > 0;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedMove {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Its replicas before.
    pub from: Vec<i32>,
    /// Its replicas afterwards; the first should lead.
    pub to: Vec<i32>,
    /// Bytes to copy for that.
    pub bytes: i64,
}

/// What a broker has to carry.
///
/// ```
/// let idle = |load: &ottla_client::BrokerLoad| load.replicas == 0;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerLoad {
    /// Replicas on it.
    pub replicas: i32,
    /// Partitions whose preferred leader it is.
    pub leaders: i32,
    /// Bytes on it, as far as sizes are known.
    pub bytes: i64,
}

impl Admin {
    /// Begins moves of replicas, and cancels moves, or with `validate_only` says what would become of it. A success means
    /// that the move has begun; [`list_reassignments`](Self::list_reassignments) tells what is not done yet.
    ///
    /// # Errors
    /// INVALID_REPLICA_ASSIGNMENT, NO_REASSIGNMENT_IN_PROGRESS, UNKNOWN_TOPIC_OR_PARTITION, of each partition alone.
    ///
    /// ```no_run
    /// use ottla_client::Reassignment;
    ///
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// for moved in admin.alter_reassignments(&[Reassignment::to("orders", 0, [2, 3])], false).await? {
    ///     moved.outcome?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn alter_reassignments(
        &self,
        reassignments: &[Reassignment],
        validate_only: bool,
    ) -> Result<Vec<PartitionOutcome>, Error> {
        let reassignments = reassignments.iter().map(Reassignment::to_v1).collect();
        let request = v1::AlterReassignmentsRequest { reassignments, validate_only };
        // To cancel a second time what the first time cancelled would be an error.
        let answer = self.client.call("moving replicas", Repeat::UnlessDone, |channel| {
            let request = self.with_deadline(request.clone());
            async { ClusterClient::new(channel).alter_reassignments(request).await }
        });
        Ok(answer.await?.outcomes.into_iter().map(PartitionOutcome::from).collect())
    }

    /// The moves that are under way, by topic and partition.
    ///
    /// # Errors
    /// None of its own.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// for moving in admin.list_reassignments().await? {
    ///     println!("{}-{} moves to {:?}", moving.topic, moving.partition, moving.adding);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_reassignments(&self) -> Result<Vec<OngoingReassignment>, Error> {
        let answer = self.client.call("listing moves", Repeat::Harmless, |channel| {
            let request = self.with_deadline(v1::ListReassignmentsRequest {});
            async { ClusterClient::new(channel).list_reassignments(request).await }
        });
        let ongoing = answer.await?.reassignments.into_iter().map(|moving| {
            let v1::OngoingReassignment { topic, partition, replicas, adding, removing } = moving;
            OngoingReassignment { topic, partition, replicas, adding, removing }
        });
        Ok(ongoing.collect())
    }

    /// Elects leaders of these partitions, or of all if none is named; then only those are answered that changed or could
    /// not. With `unclean`, any replica may win where nobody leads: acknowledged records may be lost by it.
    ///
    /// # Errors
    /// ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE, of each partition alone.
    ///
    /// ```no_run
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let elected = admin.elect_leaders(&[], false).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn elect_leaders(
        &self,
        partitions: &[(&str, i32)],
        unclean: bool,
    ) -> Result<Vec<PartitionOutcome>, Error> {
        let named = |(topic, partition): &(&str, i32)| v1::PartitionName {
            topic: (*topic).to_owned(),
            partition: *partition,
        };
        let request = v1::ElectLeadersRequest { partitions: partitions.iter().map(named).collect(), unclean };
        let answer = self.client.call("electing leaders", Repeat::UnlessDone, |channel| {
            let request = self.with_deadline(request.clone());
            async { ClusterClient::new(channel).elect_leaders(request).await }
        });
        Ok(answer.await?.outcomes.into_iter().map(PartitionOutcome::from).collect())
    }

    /// Plans what should move; nothing does. `sizes` are those of partitions that the answering broker may not have.
    ///
    /// # Errors
    /// BROKER_ID_NOT_REGISTERED; INVALID_REPLICATION_FACTOR if a broker's partitions have nowhere to go.
    ///
    /// ```no_run
    /// use ottla_client::{PlanKind, StepLimit};
    ///
    /// # async fn run(admin: ottla_client::Admin) -> Result<(), ottla_client::Error> {
    /// let plan = admin.plan_moves(&PlanKind::Drain(3), StepLimit::default(), &[]).await?;
    /// println!("{} steps", plan.steps.len());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn plan_moves(
        &self,
        kind: &PlanKind,
        limit: StepLimit,
        sizes: &[LogSize],
    ) -> Result<MovePlan, Error> {
        let kind = match kind {
            PlanKind::Balance => Kind::Balance(v1::BalancePlan {}),
            PlanKind::Drain(broker) => Kind::Drain(v1::DrainPlan { broker: *broker }),
            PlanKind::Raise { topics, replicas } => {
                Kind::Raise(v1::RaisePlan { topics: topics.clone(), replicas: *replicas })
            }
        };
        let size = |log: &LogSize| v1::LogSize {
            topic: log.topic.clone(),
            partition: log.partition,
            size_bytes: log.size_bytes,
        };
        let request = v1::PlanMovesRequest {
            kind: Some(kind),
            step_partitions: limit.partitions,
            step_bytes: limit.bytes,
            sizes: sizes.iter().map(size).collect(),
        };
        let answer = self.client.call("planning moves", Repeat::Harmless, |channel| {
            let request = self.with_deadline(request.clone());
            async { ClusterClient::new(channel).plan_moves(request).await }
        });
        answer.await.map(MovePlan::from)
    }
}

impl From<v1::PartitionOutcome> for PartitionOutcome {
    fn from(answer: v1::PartitionOutcome) -> Self {
        let v1::PartitionOutcome { topic, partition, error, message } = answer;
        let outcome = error.map_or(Ok(()), |detail| Err(Error::from_detail(message, detail)));
        Self { topic, partition, outcome }
    }
}

impl From<v1::PlanMovesResponse> for MovePlan {
    fn from(answer: v1::PlanMovesResponse) -> Self {
        let planned = |planned: v1::PlannedMove| {
            let v1::PlannedMove { topic, partition, from, to, bytes } = planned;
            PlannedMove { topic, partition, from, to, bytes }
        };
        let load = |load: Option<v1::BrokerLoad>| {
            let v1::BrokerLoad { replicas, leaders, bytes } = load.unwrap_or_default();
            BrokerLoad { replicas, leaders, bytes }
        };
        let steps = answer.steps.into_iter().map(|step| step.moves.into_iter().map(planned).collect());
        let brokers = answer.brokers.into_iter().map(|b| (b.broker, load(b.before), load(b.after)));
        Self {
            steps: steps.collect(),
            elections: answer.elections.into_iter().map(|name| (name.topic, name.partition)).collect(),
            brokers: brokers.collect(),
        }
    }
}
