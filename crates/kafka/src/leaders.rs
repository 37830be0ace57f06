//! Who leads instead: the hint that spares a client the question (KIP-951).

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_node::TopicKey;
use ottla_node::coordination::metadata::{Broker, Endpoint, Image};
use ottla_record::{BrokerId, LeaderEpoch, PartitionIndex};
use ottla_wire::messages::{fetch_response, produce_response};

use crate::front::Front;

/// The leaders that one answer names.
pub(crate) struct Leaders<'a> {
    image: Arc<Image>,
    listener: &'a str,
    named: BTreeSet<BrokerId>,
}

impl<'a> Leaders<'a> {
    pub(crate) fn new(front: &'a Front) -> Self {
        Self { image: front.node.image(), listener: &front.listener, named: BTreeSet::new() }
    }

    /// The leader of a partition, if it has one.
    pub(crate) fn of(&mut self, topic: TopicKey<'_>, partition: i32) -> Option<(BrokerId, LeaderEpoch)> {
        let topic = match topic {
            TopicKey::Name(name) => self.image.topic(name),
            TopicKey::Id(id) => self.image.topic_by_id(id),
        };
        let partition = topic?.partition(PartitionIndex::new(partition))?;
        let leader = partition.leader?;
        self.named.insert(leader);
        Some((leader, partition.leader_epoch))
    }

    fn endpoints(&self) -> impl Iterator<Item = (&Broker, &Endpoint)> {
        self.named.iter().filter_map(|id| {
            let broker = self.image.broker(*id)?;
            Some((&**broker, broker.endpoint(self.listener)?))
        })
    }

    /// Where those are that were named.
    pub(crate) fn into_fetch_endpoints(self) -> Vec<fetch_response::NodeEndpoint> {
        let endpoints = self.endpoints().map(|(broker, endpoint)| fetch_response::NodeEndpoint {
            node_id: broker.id.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        });
        endpoints.collect()
    }

    /// The same for an answer to a producer.
    pub(crate) fn into_produce_endpoints(self) -> Vec<produce_response::NodeEndpoint> {
        let endpoints = self.endpoints().map(|(broker, endpoint)| produce_response::NodeEndpoint {
            node_id: broker.id.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.clone(),
        });
        endpoints.collect()
    }
}
