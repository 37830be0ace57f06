//! The small files: producers, checkpoints, and whose a directory is.

use std::io;
use std::path::Path;

use ottla_record::{BrokerEpoch, Offset, Timestamp};
use ottla_storage::offline;

use super::item::{Item, Producer, RecentBatch};
use super::{Report, Trouble};

pub(super) fn producers(path: &Path, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    for (id, producer) in read(offline::snapshot(path))?.iter() {
        report.item(Item::Producer(Producer {
            producer_id: id.get(),
            producer_epoch: producer.epoch.get(),
            coordinator_epoch: producer.coordinator_epoch,
            last_timestamp: producer.last_timestamp.map(Timestamp::millis),
            transaction_start: producer.transaction_start.map(Offset::get),
            recent_batches: producer
                .recent
                .iter()
                .map(|batch| RecentBatch {
                    last_sequence: batch.last_sequence.get(),
                    first_offset: batch.first_offset().get(),
                    last_offset: batch.last_offset.get(),
                    timestamp: batch.timestamp.map(Timestamp::millis),
                })
                .collect(),
        }))?;
    }
    Ok(())
}

pub(super) fn offsets(path: &Path, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    for (name, offset) in read(offline::offset_checkpoint(path))? {
        let (topic, partition) = (name.topic.as_str(), name.partition.get());
        report.item(Item::PartitionOffset { topic, partition, offset: offset.get() })?;
    }
    Ok(())
}

pub(super) fn leader_epochs(path: &Path, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    for entry in read(offline::leader_epochs(path))?.entries() {
        report.item(Item::LeaderEpoch { epoch: entry.epoch.get(), start_offset: entry.start.get() })?;
    }
    Ok(())
}

pub(super) fn meta_properties(path: &Path, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let meta = read(offline::meta_properties(path))?;
    Ok(report.item(Item::Directory {
        cluster_id: meta.cluster_id.map(|id| id.to_string()),
        node_id: meta.node_id.get(),
        directory_id: meta.directory_id.to_string(),
    })?)
}

pub(super) fn partition_metadata(path: &Path, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let topic_id = read(offline::partition_metadata(path))?.topic_id.to_string();
    Ok(report.item(Item::Partition { topic_id })?)
}

pub(super) fn clean_shutdown(path: &Path, report: &mut Report<'_, '_>) -> Result<(), Trouble> {
    let broker_epoch = read(offline::clean_shutdown(path))?.map(BrokerEpoch::get);
    Ok(report.item(Item::CleanShutdown { broker_epoch })?)
}

fn read<T>(result: io::Result<T>) -> Result<T, Trouble> {
    result.map_err(Trouble::Read)
}
