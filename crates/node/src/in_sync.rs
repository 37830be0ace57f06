//! Changes of in-sync sets, on their way to the cluster: what partitions propose is asked for together.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_coordination::metadata::{
    AlterPartition, AlterPartitionError, Command, Image, IsrChange, IsrMember, PartitionState, Response,
};
use ottla_record::{BrokerId, PartitionEpoch};
use ottla_replication::{Event, IsrProposal, IsrRefused, IsrState};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::host::PartitionHost;
use crate::metrics::replication::ReplicationMetrics;
use crate::node::Node;

/// Changes in one command at most.
const MAX_CHANGES: usize = 1_000;

/// The pause after the cluster could not be asked; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What waits to be asked for. A partition has one proposal out at a time, so this holds no more than there are partitions.
#[derive(Debug, Default)]
pub(crate) struct IsrProposals {
    waiting: Mutex<Vec<(Arc<PartitionHost>, IsrProposal)>>,
    arrived: Notify,
}

impl IsrProposals {
    /// Takes a partition's proposal. It is answered with [`Event::IsrDecided`], or by an assignment that has overtaken it.
    pub(crate) fn propose(&self, host: Arc<PartitionHost>, proposal: IsrProposal) {
        self.waiting.lock().push((host, proposal));
        self.arrived.notify_one();
    }

    async fn next(&self) -> Vec<(Arc<PartitionHost>, IsrProposal)> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.is_empty() {
                    let count = waiting.len().min(MAX_CHANGES);
                    return waiting.drain(..count).collect();
                }
            }
            self.arrived.notified().await;
        }
    }
}

/// Asks the cluster for what partitions propose, as long as the node serves. While one command is under way, what comes
/// waits for the next together.
pub(crate) async fn run(node: Weak<Node>) {
    let Some((shell, mut closing)) =
        node.upgrade().map(|node| (Arc::clone(&node.shell), node.subscribe_closing()))
    else {
        return;
    };
    loop {
        let mut batch = tokio::select! {
            _closed = closing.wait_for(|closing| *closing) => return,
            batch = shell.isr.next() => batch,
        };
        if let Some(node) = node.upgrade() {
            refuse_those_without_room(&node.image(), &mut batch);
        }
        if batch.is_empty() {
            continue;
        }
        let mut pause = FIRST_PAUSE;
        // What became of a command that was not answered is unknown. It is asked again as it stands until somebody knows:
        // a partition that took an addition for refused would not wait for the added replica any more. Applied twice it
        // does nothing, because it names the epoch it is based on.
        loop {
            let Some(node) = node.upgrade() else { return };
            let before = node.image();
            let outcome = node.metadata.propose(command(&node, &before, &batch)).await;
            drop(node);
            match outcome {
                Ok(response) => {
                    decided(&batch, response, &before, &shell.replication);
                    break;
                }
                Err(error) => {
                    shell.replication.isr_failures.inc();
                    tracing::debug!(%error, changes = batch.len(), "in-sync sets could not be changed; asking again");
                }
            }
            tokio::select! {
                _closed = closing.wait_for(|closing| *closing) => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

/// A follower that has everything and no room for more would be proposed again and again for as long as its disk is full. The
/// cluster would refuse it each time, and need not be asked.
fn refuse_those_without_room(image: &Image, batch: &mut Vec<(Arc<PartitionHost>, IsrProposal)>) {
    batch.retain(|(host, proposal)| {
        let known = image.partition(host.topic_id(), host.index());
        let is_full = |broker: BrokerId| image.broker(broker).is_some_and(|known| known.disk_full);
        let adds_one = proposal.isr.iter().any(|(broker, _)| {
            is_full(*broker) && known.is_some_and(|partition| !partition.isr.contains(broker))
        });
        if adds_one {
            settle(host, proposal.partition_epoch, Err(IsrRefused::Ineligible));
        }
        !adds_one
    });
}

fn command(node: &Node, image: &Image, batch: &[(Arc<PartitionHost>, IsrProposal)]) -> Command {
    // This broker speaks for its own registration and no later one.
    let registered = |broker: BrokerId| match image.broker(broker) {
        Some(known) if broker != node.id() => known.epoch,
        _ => node.broker_epoch,
    };
    let changes = batch.iter().map(|(host, proposal)| IsrChange {
        topic: host.topic_id(),
        partition: host.index(),
        leader_epoch: proposal.leader_epoch,
        partition_epoch: proposal.partition_epoch,
        isr: proposal
            .isr
            .iter()
            .map(|(broker, epoch)| IsrMember { broker: *broker, epoch: epoch.unwrap_or(registered(*broker)) })
            .collect(),
    });
    Command::AlterPartition(AlterPartition {
        broker: node.id(),
        epoch: node.broker_epoch,
        changes: changes.collect(),
    })
}

fn decided(
    batch: &[(Arc<PartitionHost>, IsrProposal)],
    response: Response,
    before: &Image,
    metrics: &ReplicationMetrics,
) {
    let mut results = match response {
        Response::AlterPartition(Ok(results)) => results.into_iter(),
        Response::AlterPartition(Err(error)) => {
            // Another process has this broker's id, or it is unregistered: nothing it leads is its to change.
            tracing::warn!(%error, "this broker may not change in-sync sets any more");
            batch.iter().for_each(|(host, proposal)| {
                settle(host, proposal.partition_epoch, Err(IsrRefused::Fenced));
            });
            return;
        }
        _ => {
            tracing::error!(
                "the controller's answer does not fit the question; this is a bug: please report this line"
            );
            Vec::new().into_iter()
        }
    };
    for (host, proposal) in batch {
        let outcome = match results.next() {
            Some(Ok(state)) => {
                count(host, &state, before, metrics);
                Ok(IsrState { partition_epoch: state.partition_epoch, isr: state.isr })
            }
            Some(Err(error)) => {
                metrics.isr_failures.inc();
                tracing::debug!(partition = ?host, %error, "a change of the in-sync set was refused");
                Err(refusal(error))
            }
            None => Err(IsrRefused::Retry),
        };
        settle(host, proposal.partition_epoch, outcome);
    }
}

fn settle(host: &Arc<PartitionHost>, partition_epoch: PartitionEpoch, outcome: Result<IsrState, IsrRefused>) {
    host.submit(Event::IsrDecided { partition_epoch, outcome });
}

fn refusal(error: AlterPartitionError) -> IsrRefused {
    match error {
        AlterPartitionError::IneligibleReplica => IsrRefused::Ineligible,
        AlterPartitionError::InvalidIsr => IsrRefused::Rejected,
        // Another term (perhaps because this change ended a move), another version, or no such partition any more: what says
        // so is on its way.
        _ => IsrRefused::Fenced,
    }
}

/// Counts what a change did to the set that stood before it.
fn count(host: &PartitionHost, after: &PartitionState, before: &Image, metrics: &ReplicationMetrics) {
    let Some(before) = before.partition(host.topic_id(), host.index()) else { return };
    let lacks = |set: &[BrokerId], of: &[BrokerId]| of.iter().any(|broker| !set.contains(broker));
    if lacks(&after.isr, &before.isr) {
        metrics.isr_shrinks.inc();
        tracing::info!(partition = ?host, from = ?before.isr, to = ?after.isr, "the in-sync set shrank");
    }
    if lacks(&before.isr, &after.isr) {
        metrics.isr_expands.inc();
        tracing::info!(partition = ?host, from = ?before.isr, to = ?after.isr, "the in-sync set grew");
    }
}
