//! Topics that belong to Kafka itself.

/// Where group coordinators keep their records.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// Where transaction coordinators keep theirs.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// Where share coordinators keep theirs.
pub const SHARE_GROUP_STATE: &str = "__share_group_state";

/// True for the topics that brokers write and clients may only read.
pub fn is_internal(topic: &str) -> bool {
    [CONSUMER_OFFSETS, TRANSACTION_STATE, SHARE_GROUP_STATE].contains(&topic)
}
