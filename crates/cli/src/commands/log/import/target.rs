//! The port through which an import reaches the cluster metadata of the directory it imports into. The binary implements it.

use std::path::Path;
use std::sync::Arc;

use ottla_record::{BrokerId, LeaderEpoch, Now, ProducerId, TopicId};
use ottla_storage::LogDirectory;

/// A data directory of a broker that does not run, opened and locked for this process.
pub trait ImportTarget {
    /// Its logs.
    fn directory(&self) -> &Arc<LogDirectory>;
    /// The topic that has this name in its cluster.
    fn topic_named(&self, name: &str) -> Option<TopicId>;
    /// The name of the topic that has this id in its cluster.
    fn topic_with_id(&self, id: TopicId) -> Option<String>;
    /// What time it is.
    fn now(&self) -> Now;
    /// Whether these topics could be created, without creating them.
    ///
    /// # Errors
    /// Why not, for all that could not.
    fn check(&mut self, topics: &[NewTopic], next_producer_id: ProducerId) -> Result<(), String>;
    /// Creates these topics, durably: all of them or none.
    ///
    /// # Errors
    /// Why none was created.
    fn create(&mut self, topics: &[NewTopic], next_producer_id: ProducerId) -> Result<(), String>;
    /// Closes it as a clean stop would.
    ///
    /// # Errors
    /// What could not be written. Nothing of what was created is lost by it.
    fn close(self: Box<Self>) -> Result<(), String>;
}

/// What the binary lends to an import.
pub trait ImportHost {
    /// Opens a data directory, which becomes that of `new_node` if it is new.
    ///
    /// # Errors
    /// It is in use, belongs to another node than `new_node`, or cannot be read.
    fn open(&self, data_dir: &Path, new_node: Option<BrokerId>) -> Result<Box<dyn ImportTarget>, String>;
    /// Whether topics have a config of this name here.
    fn is_topic_config(&self, name: &str) -> bool;
}

/// A topic to create, whose partitions lie in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// The id it had.
    pub id: TopicId,
    /// The configs it had.
    pub configs: Vec<(String, String)>,
    /// The epoch in which each partition starts, above all in its log.
    pub leader_epochs: Vec<LeaderEpoch>,
}
