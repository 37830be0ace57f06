//! The one map from our errors to what a gRPC client sees: Kafka's name of the error, its topic and partition, and gRPC's
//! code beside it.

use http::Response;
use ottla_node::admin::AdminError;
use ottla_node::admin::configs::DescribeConfigsError;
use ottla_node::admin::offsets::OffsetError;
use ottla_node::admin::records::DeletionError;
use ottla_node::coordination::group::GroupError;
use ottla_node::coordination::metadata::plan::DrainError;
use ottla_node::coordination::metadata::voters::VoterRefusal;
use ottla_node::coordination::metadata::{
    AlterConfigError, BrokerError, ConfigResource, CreatePartitionsError, CreateTopicError, DeleteTopicError,
    ElectLeaderError, ReassignError,
};
use ottla_node::ports::VoterError;
use ottla_node::producer_ids::ProducerIdError;
use ottla_node::record::error::{BatchError, Refusal};
use ottla_node::storage::AppendError;
use ottla_node::{CoordinatorError, FetchError, LookupError, ProduceError, replication};
use ottla_rpc::{KafkaError, status, v1};
use tonic::body::Body;
use tonic::{Code, Status};

/// Why something was not done: a text for people, and the rest for programs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) detail: Box<v1::ErrorDetail>,
}

impl Failure {
    pub(crate) fn new(error: KafkaError, message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: Box::new(status::detail(error)) }
    }

    /// What it is about. Said once: what another broker answered says it already.
    #[must_use]
    pub(crate) fn about(mut self, topic: &str, partition: Option<i32>) -> Self {
        if self.detail.topic == topic && self.detail.partition == partition && !topic.is_empty() {
            return self;
        }
        topic.clone_into(&mut self.detail.topic);
        self.detail.partition = partition;
        let subject = match partition {
            Some(partition) => format!("{topic}-{partition}"),
            None => topic.to_owned(),
        };
        if !subject.is_empty() {
            self.message = format!("{subject}: {}", self.message);
        }
        self
    }

    /// The detail alone, with the text in it nowhere: where the message has a field of its own.
    pub(crate) fn into_detail(self) -> v1::ErrorDetail {
        *self.detail
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        status::to_status(failure.message, *failure.detail)
    }
}

/// What a request gets that does not make sense.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(KafkaError::INVALID_REQUEST, message)
}

/// What open streams end with when the broker stops.
pub(crate) fn stopping() -> Status {
    Status::unavailable("the broker is shutting down; another one, or this one in a moment, goes on")
}

/// Says in this broker's words what the transport refused: a message that is too large.
pub(crate) fn clarify(response: Response<Body>, max_request_bytes: usize) -> Response<Body> {
    // Only an answer that failed before it began has its status in the headers.
    match Status::from_header_map(response.headers()) {
        Some(status) if is_oversize(&status) => oversize(&status, max_request_bytes).into_http(),
        _ => response,
    }
}

/// The same for the messages of a stream.
pub(crate) fn clarify_status(status: Status, max_request_bytes: usize) -> Status {
    if is_oversize(&status) { oversize(&status, max_request_bytes) } else { status }
}

/// OUT_OF_RANGE without a detail is never ours.
fn is_oversize(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.details().is_empty()
}

fn oversize(status: &Status, max: usize) -> Status {
    let message = format!("a message may have {max} bytes (socket.request.max.bytes); {}", status.message());
    Failure::new(KafkaError::MESSAGE_TOO_LARGE, message).into()
}

pub(crate) fn lookup(error: LookupError) -> Failure {
    let code = match error {
        LookupError::UnknownTopicOrPartition => KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
        LookupError::UnknownTopicId => KafkaError::UNKNOWN_TOPIC_ID,
        LookupError::NotHosted => KafkaError::NOT_LEADER_OR_FOLLOWER,
        LookupError::Offline => KafkaError::KAFKA_STORAGE_ERROR,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn produce(error: &ProduceError) -> Failure {
    let code = match error {
        ProduceError::Lookup(error) => return lookup(*error),
        ProduceError::InternalTopic => KafkaError::INVALID_TOPIC_EXCEPTION,
        ProduceError::Batch(error) => batch(error),
        ProduceError::Partition(error) => match error {
            replication::ProduceError::NotLeader | replication::ProduceError::Deserted => {
                KafkaError::NOT_LEADER_OR_FOLLOWER
            }
            replication::ProduceError::NotEnoughReplicas { .. } => KafkaError::NOT_ENOUGH_REPLICAS,
            replication::ProduceError::TimedOut => KafkaError::REQUEST_TIMED_OUT,
            // Retriable, and nothing was written: the client comes back when the queue is shorter.
            replication::ProduceError::Overloaded => KafkaError::REQUEST_TIMED_OUT,
            replication::ProduceError::Offline => KafkaError::KAFKA_STORAGE_ERROR,
            replication::ProduceError::Append(error) => append(error),
            _ => KafkaError::UNKNOWN_SERVER_ERROR,
        },
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    let mut failure = Failure::new(code, error.to_string());
    if let ProduceError::Batch(error) = error {
        let refused = error.record_errors().iter().map(|record| v1::RefusedRecord {
            index: i32::try_from(record.index).unwrap_or(i32::MAX),
            reason: record.reason.to_string(),
        });
        failure.detail.refused_records = refused.collect();
    }
    failure
}

fn batch(error: &BatchError) -> KafkaError {
    match error.refusal() {
        Refusal::CorruptMessage => KafkaError::CORRUPT_MESSAGE,
        Refusal::MessageTooLarge => KafkaError::MESSAGE_TOO_LARGE,
        Refusal::InvalidTimestamp => KafkaError::INVALID_TIMESTAMP,
        Refusal::UnsupportedForMessageFormat => KafkaError::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        Refusal::UnsupportedCompressionType => KafkaError::UNSUPPORTED_COMPRESSION_TYPE,
        Refusal::InvalidRecord => KafkaError::INVALID_RECORD,
    }
}

fn append(error: &AppendError) -> KafkaError {
    match error {
        AppendError::OutOfOrderSequence { .. } => KafkaError::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => KafkaError::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTransactionState { .. } => KafkaError::INVALID_TXN_STATE,
        AppendError::CoordinatorFenced { .. } => KafkaError::TRANSACTION_COORDINATOR_FENCED,
        AppendError::TooLarge { .. } => KafkaError::RECORD_LIST_TOO_LARGE,
        AppendError::Batch(error) => batch(error),
        AppendError::NoSpace { .. } | AppendError::Poisoned | AppendError::Io(_) => {
            KafkaError::KAFKA_STORAGE_ERROR
        }
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    }
}

/// Records of which nobody will say what became of them: the partition was closed with them in it.
pub(crate) fn closed() -> Failure {
    Failure::new(KafkaError::NOT_LEADER_OR_FOLLOWER, "the partition was closed; the records may be in it")
}

pub(crate) fn fetch(error: FetchError) -> Failure {
    let code = match error {
        FetchError::Lookup(error) => return lookup(error),
        FetchError::NotLeader => KafkaError::NOT_LEADER_OR_FOLLOWER,
        FetchError::FencedLeaderEpoch { .. } => KafkaError::FENCED_LEADER_EPOCH,
        FetchError::UnknownLeaderEpoch { .. } => KafkaError::UNKNOWN_LEADER_EPOCH,
        FetchError::OffsetOutOfRange { .. } => KafkaError::OFFSET_OUT_OF_RANGE,
        FetchError::Storage => KafkaError::KAFKA_STORAGE_ERROR,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    let mut failure = Failure::new(code, error.to_string());
    if let FetchError::OffsetOutOfRange { log_start, high_watermark } = error {
        failure.detail.log_start_offset = Some(log_start.get());
        failure.detail.high_watermark = Some(high_watermark.get());
    }
    failure
}

/// Why nothing of a request was done.
pub(crate) fn admin(error: &AdminError) -> Failure {
    let code = match error {
        // Clients look for the controller again, and come back.
        AdminError::Propose(_) => KafkaError::NOT_CONTROLLER,
        AdminError::TimedOut => KafkaError::REQUEST_TIMED_OUT,
        AdminError::DeletionDisabled => KafkaError::TOPIC_DELETION_DISABLED,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

/// An answer that does not fit the question: a defect, said where it is met.
pub(crate) fn mismatch() -> Failure {
    admin(&AdminError::Mismatch)
}

pub(crate) fn create_topic(error: &CreateTopicError) -> Failure {
    let code = match error {
        CreateTopicError::Name(_) | CreateTopicError::Collides { .. } => KafkaError::INVALID_TOPIC_EXCEPTION,
        CreateTopicError::Exists(_) => KafkaError::TOPIC_ALREADY_EXISTS,
        CreateTopicError::Duplicate => KafkaError::INVALID_REQUEST,
        CreateTopicError::PartitionsNotPositive => KafkaError::INVALID_PARTITIONS,
        CreateTopicError::TooManyPartitionsInRequest | CreateTopicError::TooManyPartitions { .. } => {
            KafkaError::POLICY_VIOLATION
        }
        CreateTopicError::ReplicationFactor(_) => KafkaError::INVALID_REPLICATION_FACTOR,
        CreateTopicError::Assignment(_) => KafkaError::INVALID_REPLICA_ASSIGNMENT,
        CreateTopicError::Config(_) => KafkaError::INVALID_CONFIG,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn delete_topic(error: &DeleteTopicError) -> Failure {
    let code = match error {
        DeleteTopicError::UnknownTopic => KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
        DeleteTopicError::UnknownTopicId => KafkaError::UNKNOWN_TOPIC_ID,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn create_partitions(error: &CreatePartitionsError) -> Failure {
    let code = match error {
        CreatePartitionsError::UnknownTopic => KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
        CreatePartitionsError::Duplicate => KafkaError::INVALID_REQUEST,
        CreatePartitionsError::Same(_) | CreatePartitionsError::Fewer { .. } => {
            KafkaError::INVALID_PARTITIONS
        }
        CreatePartitionsError::TooManyPartitionsInRequest
        | CreatePartitionsError::TooManyPartitions { .. } => KafkaError::POLICY_VIOLATION,
        CreatePartitionsError::ReplicationFactor(_) => KafkaError::INVALID_REPLICATION_FACTOR,
        CreatePartitionsError::Assignment(_) => KafkaError::INVALID_REPLICA_ASSIGNMENT,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn reassign(error: &ReassignError) -> Failure {
    let code = match error {
        ReassignError::UnknownTopic(_) | ReassignError::UnknownPartition { .. } => {
            KafkaError::UNKNOWN_TOPIC_OR_PARTITION
        }
        ReassignError::Assignment(_) | ReassignError::NobodyInSync { .. } => {
            KafkaError::INVALID_REPLICA_ASSIGNMENT
        }
        ReassignError::ReplicationFactor { .. } => KafkaError::INVALID_REPLICATION_FACTOR,
        ReassignError::NotInProgress => KafkaError::NO_REASSIGNMENT_IN_PROGRESS,
        ReassignError::TooMany => KafkaError::POLICY_VIOLATION,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn drain(error: &DrainError) -> Failure {
    let code = match error {
        DrainError::NotRegistered(_) => KafkaError::BROKER_ID_NOT_REGISTERED,
        DrainError::NowhereToGo { .. } => KafkaError::INVALID_REPLICATION_FACTOR,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn election(error: &ElectLeaderError) -> Failure {
    let code = match error {
        ElectLeaderError::UnknownTopic(_) | ElectLeaderError::UnknownPartition(..) => {
            KafkaError::UNKNOWN_TOPIC_OR_PARTITION
        }
        ElectLeaderError::NotNeeded => KafkaError::ELECTION_NOT_NEEDED,
        ElectLeaderError::PreferredNotAvailable => KafkaError::PREFERRED_LEADER_NOT_AVAILABLE,
        ElectLeaderError::EligibleNotAvailable => KafkaError::ELIGIBLE_LEADERS_NOT_AVAILABLE,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn voter(error: &VoterError) -> Failure {
    let code = match error {
        VoterError::Unavailable(_) => KafkaError::NOT_CONTROLLER,
        VoterError::OtherCluster { .. } => KafkaError::INCONSISTENT_CLUSTER_ID,
        VoterError::Unknown(_) => KafkaError::REQUEST_TIMED_OUT,
        VoterError::Refused(refusal) => match refusal {
            VoterRefusal::Duplicate { .. } => KafkaError::DUPLICATE_VOTER,
            VoterRefusal::NotFound { .. } | VoterRefusal::NoVoter(_) => KafkaError::VOTER_NOT_FOUND,
            VoterRefusal::NoMember(_)
            | VoterRefusal::Silent(_)
            | VoterRefusal::Lagging { .. }
            | VoterRefusal::Busy => KafkaError::REQUEST_TIMED_OUT,
            VoterRefusal::OtherDirectory { .. } | VoterRefusal::LastVoter(_) | VoterRefusal::Listed(_) => {
                KafkaError::INVALID_REQUEST
            }
            _ => KafkaError::UNKNOWN_SERVER_ERROR,
        },
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn describe_configs(error: &DescribeConfigsError) -> Failure {
    let code = match error {
        DescribeConfigsError::Name(_) => KafkaError::INVALID_TOPIC_EXCEPTION,
        DescribeConfigsError::UnknownTopic => KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
        DescribeConfigsError::AnotherBroker { .. } | DescribeConfigsError::EmptyGroup => {
            KafkaError::INVALID_REQUEST
        }
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn alter_config(resource: &ConfigResource, error: &AlterConfigError) -> Failure {
    let code = match (error, resource) {
        (AlterConfigError::UnknownTopic(_), _) => KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
        (AlterConfigError::UnknownBroker(_), _) => KafkaError::BROKER_ID_NOT_REGISTERED,
        // Kafka's brokers check their own settings and call them bad requests (KAFKA-13609).
        (AlterConfigError::Invalid(_), ConfigResource::Broker(_)) => KafkaError::INVALID_REQUEST,
        (AlterConfigError::Invalid(_), _) => KafkaError::INVALID_CONFIG,
        (AlterConfigError::Duplicate, _) => KafkaError::INVALID_REQUEST,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn offset(error: OffsetError) -> Failure {
    match error {
        OffsetError::Partition(error) => fetch(error),
        OffsetError::NotAvailable => Failure::new(KafkaError::OFFSET_NOT_AVAILABLE, error.to_string()),
        _ => Failure::new(KafkaError::UNKNOWN_SERVER_ERROR, error.to_string()),
    }
}

pub(crate) fn deletion(error: DeletionError) -> Failure {
    let code = match error {
        DeletionError::Lookup(error) => return lookup(error),
        DeletionError::Partition(error) => match error {
            replication::DeleteRecordsError::NotLeader => KafkaError::NOT_LEADER_OR_FOLLOWER,
            replication::DeleteRecordsError::OutOfRange { .. } => KafkaError::OFFSET_OUT_OF_RANGE,
            replication::DeleteRecordsError::Policy => KafkaError::POLICY_VIOLATION,
            replication::DeleteRecordsError::Offline => KafkaError::KAFKA_STORAGE_ERROR,
            replication::DeleteRecordsError::TimedOut | replication::DeleteRecordsError::Overloaded => {
                KafkaError::REQUEST_TIMED_OUT
            }
            _ => KafkaError::UNKNOWN_SERVER_ERROR,
        },
        DeletionError::TimedOut => KafkaError::REQUEST_TIMED_OUT,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

/// Why a group was not served.
pub(crate) fn coordinator(error: &CoordinatorError) -> Failure {
    let code = match error {
        CoordinatorError::NotAvailable => KafkaError::COORDINATOR_NOT_AVAILABLE,
        CoordinatorError::LoadInProgress => KafkaError::COORDINATOR_LOAD_IN_PROGRESS,
        CoordinatorError::NotCoordinator => KafkaError::NOT_COORDINATOR,
        CoordinatorError::TimedOut => KafkaError::REQUEST_TIMED_OUT,
        CoordinatorError::Unsupported => KafkaError::UNSUPPORTED_VERSION,
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}

/// What a group coordinator refuses.
pub(crate) fn group(error: &GroupError) -> Failure {
    let code = match error {
        GroupError::UnknownMemberId => KafkaError::UNKNOWN_MEMBER_ID,
        GroupError::IllegalGeneration => KafkaError::ILLEGAL_GENERATION,
        GroupError::RebalanceInProgress => KafkaError::REBALANCE_IN_PROGRESS,
        GroupError::MemberIdRequired { .. } => KafkaError::MEMBER_ID_REQUIRED,
        GroupError::FencedInstanceId => KafkaError::FENCED_INSTANCE_ID,
        GroupError::GroupMaxSizeReached { .. } => KafkaError::GROUP_MAX_SIZE_REACHED,
        GroupError::InconsistentGroupProtocol { .. } => KafkaError::INCONSISTENT_GROUP_PROTOCOL,
        GroupError::InvalidSessionTimeout { .. } => KafkaError::INVALID_SESSION_TIMEOUT,
        GroupError::InvalidGroupId => KafkaError::INVALID_GROUP_ID,
        GroupError::GroupIdNotFound(_) => KafkaError::GROUP_ID_NOT_FOUND,
        GroupError::NonEmptyGroup => KafkaError::NON_EMPTY_GROUP,
        GroupError::GroupSubscribedToTopic => KafkaError::GROUP_SUBSCRIBED_TO_TOPIC,
        GroupError::UnreleasedInstanceId(_) => KafkaError::UNRELEASED_INSTANCE_ID,
        GroupError::FencedMemberEpoch(_) => KafkaError::FENCED_MEMBER_EPOCH,
        GroupError::StaleMemberEpoch => KafkaError::STALE_MEMBER_EPOCH,
        GroupError::UnsupportedAssignor(_) => KafkaError::UNSUPPORTED_ASSIGNOR,
        GroupError::UnsupportedVersion => KafkaError::UNSUPPORTED_VERSION,
        GroupError::InvalidRequest(_) => KafkaError::INVALID_REQUEST,
        GroupError::InvalidRegularExpression(_) => KafkaError::INVALID_REGULAR_EXPRESSION,
        GroupError::OffsetMetadataTooLarge { .. } => KafkaError::OFFSET_METADATA_TOO_LARGE,
        GroupError::InvalidCommitOffsetSize => KafkaError::INVALID_COMMIT_OFFSET_SIZE,
        GroupError::GroupMetadataTooLarge => KafkaError::UNKNOWN_SERVER_ERROR,
        GroupError::UnknownTopicOrPartition => KafkaError::UNKNOWN_TOPIC_OR_PARTITION,
        GroupError::UnknownTopicId => KafkaError::UNKNOWN_TOPIC_ID,
        GroupError::UnstableOffsetCommit => KafkaError::UNSTABLE_OFFSET_COMMIT,
        GroupError::Overloaded => KafkaError::COORDINATOR_LOAD_IN_PROGRESS,
    };
    Failure::new(code, error.to_string())
}

pub(crate) fn producer_id(error: &ProducerIdError) -> Failure {
    let code = match error {
        // Producers ask again.
        ProducerIdError::Propose(_) => KafkaError::COORDINATOR_LOAD_IN_PROGRESS,
        ProducerIdError::Refused(BrokerError::StaleEpoch { .. } | BrokerError::NotRegistered(_)) => {
            KafkaError::COORDINATOR_LOAD_IN_PROGRESS
        }
        _ => KafkaError::UNKNOWN_SERVER_ERROR,
    };
    Failure::new(code, error.to_string())
}
