//! The cluster's metadata around one simulated broker: the image that production keeps in its quorum, changed by the
//! commands that production proposes. It outlives every crash; that the quorum keeps it is another crate's promise.

use ottla_coordination::metadata::{
    Command, CreateTopics, FormCluster, Image, Layout, NewTopic, Partition, PlacementSeed, RegisterBroker,
    Response, UnfenceBroker,
};
use ottla_record::{BrokerId, ClusterId, DirectoryId, Incarnation, PartitionIndex, TopicId, Uuid};
use ottla_storage::TopicPartition;

use crate::invariants::{Invariant, Violation, broken};

/// The one simulated broker.
pub const BROKER: BrokerId = BrokerId::new(1);
/// The one simulated topic.
pub const TOPIC: &str = "orders";

/// The metadata of a cluster of one.
#[derive(Clone, Debug)]
pub struct Cluster {
    image: Image,
    starts: u8,
    partitions: i32,
}

impl Cluster {
    /// A new cluster without a broker, whose topic has one partition.
    pub fn new() -> Self {
        Self::with_partitions(1)
    }

    /// The same with a topic of so many partitions.
    pub fn with_partitions(partitions: i32) -> Self {
        let mut image = Image::empty();
        image.apply(&Command::FormCluster(FormCluster { cluster: cluster_id() }));
        Self { image, starts: 0, partitions }
    }

    /// A broker's process starts, with the log directory it has: it registers, and once its logs are open it may lead.
    /// Returns what it leads in the topic's first partition.
    ///
    /// # Errors
    /// The metadata refuses what a restarting broker must be given.
    pub fn restart(&mut self, directory: DirectoryId) -> Result<Partition, Violation> {
        self.starts = self.starts.wrapping_add(1);
        let incarnation = Incarnation(id(self.starts));
        let replaces = self.image.broker(BROKER).map(|broker| broker.epoch);
        let register = RegisterBroker {
            broker: BROKER,
            incarnation,
            cluster: cluster_id(),
            directory,
            endpoints: Vec::new(),
            rack: None,
            replaces,
        };
        let epoch = match self.image.apply(&Command::RegisterBroker(register)) {
            Response::RegisterBroker(Ok(epoch)) => epoch,
            other => return Err(refused(&other)),
        };
        match self.image.apply(&Command::UnfenceBroker(UnfenceBroker { broker: BROKER, epoch })) {
            Response::UnfenceBroker(Ok(())) => {}
            other => return Err(refused(&other)),
        }
        if self.image.topic(TOPIC).is_none() {
            self.create_topic()?;
        }
        self.image.check_invariants().map_err(|found| broken(Invariant::Progress, found))?;
        self.assignment(PartitionIndex::ZERO)
    }

    /// The metadata.
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// The directory of the simulated topic's one partition.
    pub fn partition() -> TopicPartition {
        Self::partition_at(PartitionIndex::ZERO)
    }

    /// The directory of any partition.
    pub fn partition_at(partition: PartitionIndex) -> TopicPartition {
        TopicPartition { topic: TOPIC.to_owned(), partition }
    }

    /// The simulated topic's id.
    pub fn topic_id() -> TopicId {
        TopicId(id(200))
    }

    fn create_topic(&mut self) -> Result<(), Violation> {
        let layout =
            Layout::Placed { partitions: self.partitions, replication_factor: 1, seed: PlacementSeed(0) };
        let topic = NewTopic { name: TOPIC.to_owned(), id: Self::topic_id(), layout, configs: Vec::new() };
        match self.image.apply(&Command::CreateTopics(CreateTopics { topics: vec![topic] })) {
            Response::CreateTopics(created) if created.iter().all(Result::is_ok) => Ok(()),
            other => Err(refused(&other)),
        }
    }

    /// Who leads a partition now: the one broker, or something is wrong.
    ///
    /// # Errors
    /// [`Invariant::Progress`] if nobody leads it.
    pub fn assignment(&self, partition: PartitionIndex) -> Result<Partition, Violation> {
        let partition = self.image.partition(Self::topic_id(), partition);
        let partition = partition.ok_or_else(|| broken(Invariant::Progress, "the topic is gone"))?;
        if partition.leader != Some(BROKER) {
            let found = format!("a lone broker has restarted, and the leader is {:?}", partition.leader);
            return Err(broken(Invariant::Progress, found));
        }
        Ok(Partition::clone(partition))
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

/// The cluster's id.
pub fn cluster_id() -> ClusterId {
    ClusterId(id(100))
}

/// The id that the broker's log directory gets when it is made.
pub fn directory_id() -> DirectoryId {
    DirectoryId(id(101))
}

fn id(n: u8) -> Uuid {
    Uuid::from_random([n; 16])
}

fn refused(response: &Response) -> Violation {
    broken(Invariant::Progress, format!("the cluster refuses a restarting broker: {response:?}"))
}
