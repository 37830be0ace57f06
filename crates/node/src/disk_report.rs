//! Tells the cluster when this broker's disk is full, and when it has room again.
//!
//! Appends are refused as soon as the disk is full, and nobody is served better by that unless others lead and are in sync instead.

use std::sync::Weak;
use std::time::Duration;

use ottla_coordination::metadata::{Command, ReportDisk};
use tokio::time::{Instant, sleep};

use crate::node::Node;

/// How often the file system is asked.
const INTERVAL: Duration = Duration::from_millis(500);

/// A disk has room again when it has had room for so long: what retention frees, the next records may take.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Reports as long as the node serves.
pub(crate) async fn run(node: Weak<Node>) {
    let mut full_until: Option<Instant> = None;
    loop {
        sleep(INTERVAL).await;
        let Some(node) = node.upgrade() else { return };
        let directory = std::sync::Arc::clone(&node.directory);
        let asked = tokio::task::spawn_blocking(move || directory.is_full()).await;
        let now = Instant::now();
        if asked.unwrap_or(false) {
            full_until = Some(now + SETTLED_AFTER);
        }
        let full = full_until.is_some_and(|until| now < until);
        let image = node.image();
        let known = image.broker(node.id()).filter(|broker| broker.epoch == node.broker_epoch);
        // Alone, nobody could do anything about it.
        if image.brokers().nth(1).is_none() || known.is_none_or(|broker| broker.disk_full == full) {
            continue;
        }
        let report = ReportDisk { broker: node.id(), epoch: node.broker_epoch, full };
        match node.propose(Command::ReportDisk(report)).await {
            Ok(_) if full => tracing::warn!(
                "the disk is full: others lead in place of this broker where enough are in sync; make room, or let others have its replicas"
            ),
            Ok(_) => tracing::info!("the disk has room again: this broker takes part in everything again"),
            Err(error) => {
                tracing::debug!(%error, "the cluster could not be told about the disk; it is tried again")
            }
        }
    }
}
