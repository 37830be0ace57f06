//! Every family there is. What is exported stands here, and the documentation is written from here.

use crate::metrics::{
    Family, cleaner, cluster, connection, coordinator, directory, group_lag, partition, process, quorum,
    replication, request, traffic,
};

/// Families that belong together, under the title they have in the documentation.
#[derive(Debug)]
pub struct Section {
    /// The title.
    pub title: &'static str,
    /// What the section's families have in common, for the documentation.
    pub about: &'static str,
    /// The families.
    pub families: &'static [&'static Family],
}

/// The sections, in the order of the documentation.
pub static SECTIONS: &[Section] = &[
    Section {
        title: "Topics",
        about: "What goes in and out. They count from the start of the process, as long as the topic exists.",
        families: traffic::FAMILIES,
    },
    Section {
        title: "Requests",
        about: "By protocol (kafka, grpc) and API. An API appears with its first request. There is no label for clients: their number has no bound.",
        families: request::FAMILIES,
    },
    Section { title: "Connections", about: "By listener.", families: connection::FAMILIES },
    Section {
        title: "Partitions",
        about: "Computed when somebody looks, so that an idle partition costs nothing in between.",
        families: partition::FAMILIES,
    },
    Section {
        title: "Replication",
        about: "Copies that this broker makes of what others lead, and that others make of what it leads.",
        families: replication::FAMILIES,
    },
    Section {
        title: "Log directory",
        about: "Flushes, retention, recovery, room.",
        families: directory::FAMILIES,
    },
    Section {
        title: "Compaction",
        about: "What the cleaner does to topics with `cleanup.policy=compact`: one thread for the log directory, one log after the other.",
        families: cleaner::FAMILIES,
    },
    Section {
        title: "Groups",
        about: "The groups that this broker coordinates: those whose partition of __consumer_offsets it leads.",
        families: coordinator::FAMILIES,
    },
    Section {
        title: "Lag of groups",
        about: "Of the groups coordinated here, in the partitions led here. Measured every 5 s while somebody scrapes, so the first scrape has none.",
        families: group_lag::FAMILIES,
    },
    Section {
        title: "Cluster",
        about: "The cluster as this broker's copy of the metadata shows it.",
        families: cluster::FAMILIES,
    },
    Section {
        title: "Metadata quorum",
        about: "The Raft quorum that keeps the cluster's metadata, as this broker takes part in it.",
        families: quorum::FAMILIES,
    },
    Section {
        title: "Process",
        about: "The names that Prometheus's own clients give them, so that common dashboards and alerts fit.",
        families: process::FAMILIES,
    },
];

/// All families.
pub fn families() -> impl Iterator<Item = &'static Family> {
    SECTIONS.iter().flat_map(|section| section.families.iter().copied())
}
