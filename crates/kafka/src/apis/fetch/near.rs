//! Reading near: a consumer is sent to the replica in its rack (KIP-392).

use ottla_node::coordination::metadata::{Image, Partition};
use ottla_record::{BrokerId, PartitionIndex};

use crate::dispatch::Call;
use crate::fetch_session::{Topic, Want};

/// The version from which a consumer says its rack and is told of a replica.
pub(super) const FROM: i16 = 11;

/// For each partition the replica that the consumer does better to ask; `None` if it is right here with all of them.
///
/// Kafka's `RackAwareReplicaSelector`: the leader if it is in the consumer's rack, or nobody is; otherwise a replica there.
/// Which of several has come furthest is not asked: all are in sync, and one that lacks the offset sends the consumer back.
pub(super) fn replicas(call: &Call, rack: &str, wants: &[Want]) -> Option<Vec<Option<BrokerId>>> {
    let node = &call.front.node;
    if call.version < FROM || rack.is_empty() || !node.settings().config.replication.rack_aware_reading {
        return None;
    }
    let image = node.image();
    let chosen = |want: &Want| {
        let topic = match &want.topic {
            Topic::Name(name) => image.topic(name),
            Topic::Id(id) => image.topic_by_id(*id),
        };
        let partition = topic?.partition(PartitionIndex::new(want.partition))?;
        let leads = partition.leader == Some(node.id());
        choose(&image, &call.front.listener, partition, rack).filter(|_| leads)
    };
    let chosen: Vec<_> = wants.iter().map(chosen).collect();
    chosen.iter().any(Option::is_some).then_some(chosen)
}

fn choose(image: &Image, listener: &str, partition: &Partition, rack: &str) -> Option<BrokerId> {
    let is_near = |id: &&BrokerId| {
        image.broker(**id).is_some_and(|broker| {
            !broker.fenced && broker.rack.as_deref() == Some(rack) && broker.endpoint(listener).is_some()
        })
    };
    if partition.leader.iter().any(|leader| is_near(&leader)) {
        return None;
    }
    partition.isr.iter().find(is_near).copied()
}
