//! Asks a node for what only it knows, at every scrape.

use std::sync::Weak;

use crate::metrics::{Collector, Page, cluster, directory, partition, quorum, traffic};
use crate::node::Node;

/// The node, as long as it lives: its metrics may outlive it in whoever serves them.
pub(crate) struct NodeMetrics(pub(crate) Weak<Node>);

impl Collector for NodeMetrics {
    fn collect(&self, page: &mut Page) {
        let Some(node) = self.0.upgrade() else { return };
        let (topics, image) = (node.topics(), node.image());
        traffic::collect(&topics, page);
        partition::collect(&topics, &image, node.id(), page);
        node.shell.metrics.collect(page);
        node.shell.replication.collect(page);
        node.shell.cleaner.metrics().collect(page);
        directory::collect(&node.directory, &topics, node.shell.oldest_unfinished_flush(), page);
        let shards = &node.groups.shards;
        shards.shared.metrics.collect(shards, page);
        node.groups.lags.collect(page);
        cluster::collect(&image, page);
        if let Some(status) = node.metadata.quorum() {
            quorum::collect(&status, page);
        }
    }
}
