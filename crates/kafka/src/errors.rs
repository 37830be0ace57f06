//! The one map from our errors to Kafka's error codes.

use ottla_node::admin::AdminError;
use ottla_node::admin::configs::DescribeConfigsError;
use ottla_node::admin::offsets::OffsetError;
use ottla_node::admin::records::DeletionError;
use ottla_node::coordination::group::GroupError;
use ottla_node::coordination::metadata::voters::VoterRefusal;
use ottla_node::coordination::metadata::{
    AlterConfigError, BrokerError, ConfigResource, CreatePartitionsError, CreateTopicError, DeleteTopicError,
    ElectLeaderError, ReassignError,
};
use ottla_node::ports::VoterError;
use ottla_node::producer_ids::ProducerIdError;
use ottla_node::storage::AppendError;
use ottla_node::{CoordinatorError, FetchError, LookupError, ProduceError, replication};
use ottla_record::error::{BatchError, Refusal};
use ottla_wire::ErrorCode;

use crate::apis::Refused;

pub(crate) fn lookup(error: LookupError) -> ErrorCode {
    match error {
        LookupError::UnknownTopicOrPartition => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        LookupError::UnknownTopicId => ErrorCode::UNKNOWN_TOPIC_ID,
        LookupError::NotHosted => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        LookupError::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn produce(error: &ProduceError) -> ErrorCode {
    match error {
        ProduceError::Lookup(error) => lookup(*error),
        ProduceError::InternalTopic => ErrorCode::INVALID_TOPIC_EXCEPTION,
        ProduceError::Batch(error) => batch(error),
        ProduceError::Partition(error) => match error {
            replication::ProduceError::NotLeader | replication::ProduceError::Deserted => {
                ErrorCode::NOT_LEADER_OR_FOLLOWER
            }
            replication::ProduceError::NotEnoughReplicas { .. } => ErrorCode::NOT_ENOUGH_REPLICAS,
            replication::ProduceError::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
            // Retriable, and nothing was written: the client comes back when the queue is shorter.
            replication::ProduceError::Overloaded => ErrorCode::REQUEST_TIMED_OUT,
            replication::ProduceError::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
            replication::ProduceError::Append(error) => append(error),
            _ => ErrorCode::UNKNOWN_SERVER_ERROR,
        },
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// The refused records of a batch (Produce 8 and above).
pub(crate) fn record_errors(error: &ProduceError) -> impl Iterator<Item = (i32, String)> {
    let records = match error {
        ProduceError::Batch(error) => error.record_errors(),
        _ => &[],
    };
    records.iter().map(|record| (i32::try_from(record.index).unwrap_or(i32::MAX), record.reason.to_string()))
}

fn batch(error: &BatchError) -> ErrorCode {
    match error.refusal() {
        Refusal::CorruptMessage => ErrorCode::CORRUPT_MESSAGE,
        Refusal::MessageTooLarge => ErrorCode::MESSAGE_TOO_LARGE,
        Refusal::InvalidTimestamp => ErrorCode::INVALID_TIMESTAMP,
        Refusal::UnsupportedForMessageFormat => ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        Refusal::UnsupportedCompressionType => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        Refusal::InvalidRecord => ErrorCode::INVALID_RECORD,
    }
}

fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTransactionState { .. } => ErrorCode::INVALID_TXN_STATE,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::TooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::Batch(error) => batch(error),
        AppendError::NoSpace { .. } | AppendError::Poisoned | AppendError::Io(_) => {
            ErrorCode::KAFKA_STORAGE_ERROR
        }
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn fetch(error: FetchError) -> ErrorCode {
    match error {
        FetchError::Lookup(error) => lookup(error),
        FetchError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        FetchError::FencedLeaderEpoch { .. } => ErrorCode::FENCED_LEADER_EPOCH,
        FetchError::UnknownLeaderEpoch { .. } => ErrorCode::UNKNOWN_LEADER_EPOCH,
        FetchError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        FetchError::Storage => ErrorCode::KAFKA_STORAGE_ERROR,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// Why nothing of a request was done, with the text for the client.
pub(crate) fn admin(error: &AdminError) -> Refused {
    let code = match error {
        // Clients look for the controller again, and come back.
        AdminError::Propose(_) => ErrorCode::NOT_CONTROLLER,
        AdminError::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
        AdminError::DeletionDisabled => ErrorCode::TOPIC_DELETION_DISABLED,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    };
    Refused::new(code, error.to_string())
}

pub(crate) fn create_topic(error: &CreateTopicError) -> ErrorCode {
    match error {
        CreateTopicError::Name(_) | CreateTopicError::Collides { .. } => ErrorCode::INVALID_TOPIC_EXCEPTION,
        CreateTopicError::Exists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
        CreateTopicError::Duplicate => ErrorCode::INVALID_REQUEST,
        CreateTopicError::PartitionsNotPositive => ErrorCode::INVALID_PARTITIONS,
        CreateTopicError::TooManyPartitionsInRequest | CreateTopicError::TooManyPartitions { .. } => {
            ErrorCode::POLICY_VIOLATION
        }
        CreateTopicError::ReplicationFactor(_) => ErrorCode::INVALID_REPLICATION_FACTOR,
        CreateTopicError::Assignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        CreateTopicError::Config(_) => ErrorCode::INVALID_CONFIG,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn delete_topic(error: &DeleteTopicError) -> ErrorCode {
    match error {
        DeleteTopicError::UnknownTopic => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        DeleteTopicError::UnknownTopicId => ErrorCode::UNKNOWN_TOPIC_ID,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn create_partitions(error: &CreatePartitionsError) -> ErrorCode {
    match error {
        CreatePartitionsError::UnknownTopic => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        CreatePartitionsError::Duplicate => ErrorCode::INVALID_REQUEST,
        CreatePartitionsError::Same(_) | CreatePartitionsError::Fewer { .. } => ErrorCode::INVALID_PARTITIONS,
        CreatePartitionsError::TooManyPartitionsInRequest
        | CreatePartitionsError::TooManyPartitions { .. } => ErrorCode::POLICY_VIOLATION,
        CreatePartitionsError::ReplicationFactor(_) => ErrorCode::INVALID_REPLICATION_FACTOR,
        CreatePartitionsError::Assignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn reassign(error: &ReassignError) -> ErrorCode {
    match error {
        ReassignError::UnknownTopic(_) | ReassignError::UnknownPartition { .. } => {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        }
        ReassignError::Assignment(_) | ReassignError::NobodyInSync { .. } => {
            ErrorCode::INVALID_REPLICA_ASSIGNMENT
        }
        ReassignError::ReplicationFactor { .. } => ErrorCode::INVALID_REPLICATION_FACTOR,
        ReassignError::NotInProgress => ErrorCode::NO_REASSIGNMENT_IN_PROGRESS,
        ReassignError::TooMany => ErrorCode::POLICY_VIOLATION,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn describe_configs(error: &DescribeConfigsError) -> ErrorCode {
    match error {
        DescribeConfigsError::Name(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        DescribeConfigsError::UnknownTopic => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        DescribeConfigsError::AnotherBroker { .. } | DescribeConfigsError::EmptyGroup => {
            ErrorCode::INVALID_REQUEST
        }
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn alter_config(resource: &ConfigResource, error: &AlterConfigError) -> ErrorCode {
    match (error, resource) {
        (AlterConfigError::UnknownTopic(_), _) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        (AlterConfigError::UnknownBroker(_), _) => ErrorCode::BROKER_ID_NOT_REGISTERED,
        // Kafka's brokers check their own settings and call them bad requests (KAFKA-13609).
        (AlterConfigError::Invalid(_), ConfigResource::Broker(_)) => ErrorCode::INVALID_REQUEST,
        (AlterConfigError::Invalid(_), _) => ErrorCode::INVALID_CONFIG,
        (AlterConfigError::Duplicate, _) => ErrorCode::INVALID_REQUEST,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn offset(error: OffsetError) -> ErrorCode {
    match error {
        OffsetError::Partition(error) => fetch(error),
        OffsetError::NotAvailable => ErrorCode::OFFSET_NOT_AVAILABLE,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn deletion(error: DeletionError) -> ErrorCode {
    match error {
        DeletionError::Lookup(error) => lookup(error),
        DeletionError::Partition(error) => match error {
            replication::DeleteRecordsError::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            replication::DeleteRecordsError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            replication::DeleteRecordsError::Policy => ErrorCode::POLICY_VIOLATION,
            replication::DeleteRecordsError::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
            replication::DeleteRecordsError::TimedOut | replication::DeleteRecordsError::Overloaded => {
                ErrorCode::REQUEST_TIMED_OUT
            }
            _ => ErrorCode::UNKNOWN_SERVER_ERROR,
        },
        DeletionError::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn producer_id(error: &ProducerIdError) -> ErrorCode {
    match error {
        // Producers ask again.
        ProducerIdError::Propose(_) => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        ProducerIdError::Refused(BrokerError::StaleEpoch { .. } | BrokerError::NotRegistered(_)) => {
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        }
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

pub(crate) fn elect_leader(error: &ElectLeaderError) -> ErrorCode {
    match error {
        ElectLeaderError::UnknownTopic(_) | ElectLeaderError::UnknownPartition(..) => {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        }
        ElectLeaderError::NotNeeded => ErrorCode::ELECTION_NOT_NEEDED,
        ElectLeaderError::PreferredNotAvailable => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
        ElectLeaderError::EligibleNotAvailable => ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// Why nothing is done about a broker.
pub(crate) fn broker(error: &BrokerError) -> ErrorCode {
    match error {
        BrokerError::NotRegistered(_) => ErrorCode::BROKER_ID_NOT_REGISTERED,
        BrokerError::StaleEpoch { .. } => ErrorCode::STALE_BROKER_EPOCH,
        BrokerError::StillRunning(_) => ErrorCode::INVALID_REQUEST,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// Why a vote was neither given nor taken.
pub(crate) fn voter(error: &VoterError) -> Refused {
    let code = match error {
        VoterError::Unavailable(_) => ErrorCode::NOT_CONTROLLER,
        VoterError::OtherCluster { .. } => ErrorCode::INCONSISTENT_CLUSTER_ID,
        VoterError::Unknown(_) => ErrorCode::REQUEST_TIMED_OUT,
        VoterError::Refused(refusal) => match refusal {
            VoterRefusal::Duplicate { .. } => ErrorCode::DUPLICATE_VOTER,
            VoterRefusal::NotFound { .. } | VoterRefusal::NoVoter(_) => ErrorCode::VOTER_NOT_FOUND,
            // What Kafka says of a voter-to-be that it does not reach, or that is behind.
            VoterRefusal::NoMember(_)
            | VoterRefusal::Silent(_)
            | VoterRefusal::Lagging { .. }
            | VoterRefusal::Busy => ErrorCode::REQUEST_TIMED_OUT,
            VoterRefusal::OtherDirectory { .. } | VoterRefusal::LastVoter(_) | VoterRefusal::Listed(_) => {
                ErrorCode::INVALID_REQUEST
            }
            _ => ErrorCode::UNKNOWN_SERVER_ERROR,
        },
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    };
    Refused::new(code, error.to_string())
}

/// Why no coordinator answered.
pub(crate) fn coordinator(error: CoordinatorError) -> ErrorCode {
    match error {
        CoordinatorError::LoadInProgress => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        CoordinatorError::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        // What takes too long is asked again, as on Kafka.
        CoordinatorError::NotAvailable | CoordinatorError::TimedOut => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        // COORDINATOR_NOT_AVAILABLE would be asked again until the client's timeout; this one is final.
        CoordinatorError::Unsupported => ErrorCode::UNSUPPORTED_VERSION,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}

/// What a group's coordinator refuses.
pub(crate) fn group(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::UnknownMemberId => ErrorCode::UNKNOWN_MEMBER_ID,
        GroupError::IllegalGeneration => ErrorCode::ILLEGAL_GENERATION,
        GroupError::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
        GroupError::MemberIdRequired { .. } => ErrorCode::MEMBER_ID_REQUIRED,
        GroupError::FencedInstanceId => ErrorCode::FENCED_INSTANCE_ID,
        GroupError::GroupMaxSizeReached { .. } => ErrorCode::GROUP_MAX_SIZE_REACHED,
        GroupError::InconsistentGroupProtocol { .. } => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        GroupError::InvalidSessionTimeout { .. } => ErrorCode::INVALID_SESSION_TIMEOUT,
        GroupError::InvalidGroupId => ErrorCode::INVALID_GROUP_ID,
        GroupError::GroupIdNotFound(_) => ErrorCode::GROUP_ID_NOT_FOUND,
        GroupError::NonEmptyGroup => ErrorCode::NON_EMPTY_GROUP,
        GroupError::GroupSubscribedToTopic => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
        GroupError::UnreleasedInstanceId(_) => ErrorCode::UNRELEASED_INSTANCE_ID,
        GroupError::FencedMemberEpoch(_) => ErrorCode::FENCED_MEMBER_EPOCH,
        GroupError::StaleMemberEpoch => ErrorCode::STALE_MEMBER_EPOCH,
        GroupError::UnsupportedAssignor(_) => ErrorCode::UNSUPPORTED_ASSIGNOR,
        GroupError::UnsupportedVersion => ErrorCode::UNSUPPORTED_VERSION,
        GroupError::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
        GroupError::InvalidRegularExpression(_) => ErrorCode::INVALID_REGULAR_EXPRESSION,
        GroupError::OffsetMetadataTooLarge { .. } => ErrorCode::OFFSET_METADATA_TOO_LARGE,
        GroupError::InvalidCommitOffsetSize => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
        GroupError::GroupMetadataTooLarge => ErrorCode::UNKNOWN_SERVER_ERROR,
        GroupError::UnknownTopicOrPartition => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        GroupError::UnknownTopicId => ErrorCode::UNKNOWN_TOPIC_ID,
        GroupError::UnstableOffsetCommit => ErrorCode::UNSTABLE_OFFSET_COMMIT,
        GroupError::Overloaded => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    }
}
