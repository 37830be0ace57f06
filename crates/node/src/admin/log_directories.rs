//! What lies in the log directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_record::PartitionIndex;
use ottla_replication::Availability;
use ottla_storage::Space;

use crate::node::Node;

/// A broker's log directory.
#[derive(Clone, Debug)]
pub struct LogDirectoryDescription {
    /// Where it is.
    pub path: PathBuf,
    /// True after a failed write or flush.
    pub is_offline: bool,
    /// Of its file system; `None` if that does not say.
    pub space: Option<Space>,
    /// What was asked for and is there, by topic and number.
    pub topics: BTreeMap<Arc<str>, Vec<ReplicaSize>>,
}

/// One replica in a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaSize {
    /// Number of the partition.
    pub partition: PartitionIndex,
    /// Bytes in its segments.
    pub size_bytes: u64,
    /// How far its end lies behind the high watermark.
    pub lag: i64,
}

/// Partitions by topic, their numbers as the client sent them.
pub type WantedPartitionsByTopic = BTreeMap<String, Vec<i32>>;

impl Node {
    /// Describes the log directory with the replicas asked for, or with `None` all.
    pub async fn describe_log_directory(
        self: &Arc<Self>,
        wanted: Option<WantedPartitionsByTopic>,
    ) -> LogDirectoryDescription {
        let directory = Arc::clone(&self.directory);
        let space = tokio::task::spawn_blocking(move || directory.disk().space().ok()).await;
        let hosted = self.topics();
        // The first failure takes every partition offline.
        let is_offline = hosted.partitions().any(|host| host.view().availability == Availability::Offline);
        let is_wanted = |topic: &str, partition: PartitionIndex| match &wanted {
            None => true,
            Some(wanted) => wanted.get(topic).is_some_and(|numbers| numbers.contains(&partition.get())),
        };
        let mut topics: BTreeMap<Arc<str>, Vec<ReplicaSize>> = BTreeMap::new();
        for host in hosted.partitions().filter(|host| is_wanted(host.topic(), host.index())) {
            let view = host.view();
            let size = ReplicaSize {
                partition: host.index(),
                size_bytes: view.size_bytes,
                lag: (view.high_watermark - view.log_end).max(0),
            };
            topics.entry(Arc::clone(host.topic())).or_default().push(size);
        }
        topics.values_mut().for_each(|replicas| replicas.sort_unstable_by_key(|replica| replica.partition));
        LogDirectoryDescription {
            path: self.log_directory_path(),
            is_offline,
            space: space.ok().flatten(),
            topics,
        }
    }

    fn log_directory_path(&self) -> PathBuf {
        let root = self.directory.disk().root();
        let path = root.unwrap_or_else(|| self.settings().config.data_dir.clone());
        std::path::absolute(&path).unwrap_or(path)
    }
}
