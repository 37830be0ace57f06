//! DescribeLogDirs: what lies in the log directory, and how much room is left.

use std::sync::Arc;

use ottla_node::admin::log_directories::{LogDirectoryDescription, WantedPartitionsByTopic};
use ottla_wire::ErrorCode;
use ottla_wire::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use crate::dispatch::Call;

pub(crate) async fn describe_log_dirs(
    call: Arc<Call>,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let directory = call.front.node.describe_log_directory(wanted(request)).await;
    // A broker has one log directory.
    DescribeLogDirsResponse { results: vec![describe(&directory)], ..Default::default() }
}

/// `None` for all. A topic may be named more than once.
fn wanted(request: DescribeLogDirsRequest) -> Option<WantedPartitionsByTopic> {
    let mut wanted = WantedPartitionsByTopic::new();
    for topic in request.topics? {
        wanted.entry(topic.topic).or_default().extend(topic.partitions);
    }
    Some(wanted)
}

fn describe(directory: &LogDirectoryDescription) -> DescribeLogDirsResult {
    let log_dir = directory.path.display().to_string();
    if directory.is_offline {
        return DescribeLogDirsResult {
            error_code: ErrorCode::KAFKA_STORAGE_ERROR,
            log_dir,
            ..Default::default()
        };
    }
    let bytes = |count: Option<u64>| count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
    let topics = directory.topics.iter().map(|(name, replicas)| DescribeLogDirsTopic {
        name: name.to_string(),
        partitions: replicas
            .iter()
            .map(|replica| DescribeLogDirsPartition {
                partition_index: replica.partition.get(),
                partition_size: bytes(Some(replica.size_bytes)),
                offset_lag: replica.lag,
                is_future_key: false,
            })
            .collect(),
    });
    DescribeLogDirsResult {
        error_code: ErrorCode::NONE,
        log_dir,
        topics: topics.collect(),
        total_bytes: bytes(directory.space.map(|space| space.total)),
        usable_bytes: bytes(directory.space.map(|space| space.free)),
        // Keeping new partitions away from a directory needs a second one to put them in.
        is_cordoned: false,
    }
}
