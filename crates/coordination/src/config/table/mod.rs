//! Every key of Kafka 4.3 and Ottla's own, one row each.
//!
//! The tables are checked against `facts/kafka-4.3-configs.tsv`, which says what Kafka's own `ConfigDef`s say.

mod client_metrics;
mod cluster;
mod group;
mod groups;
mod log;
mod operations;
mod own;
mod replication;
mod security;
mod server;
mod share;
mod tiered;
mod topic;
mod transactions;

use std::sync::LazyLock;

use super::{Definition, Scope};

const TABLES: &[&[Definition]] = &[
    topic::TOPIC,
    server::SERVER,
    log::LOG,
    replication::REPLICATION,
    cluster::CLUSTER,
    groups::GROUPS,
    share::SHARE,
    transactions::TRANSACTIONS,
    security::SECURITY,
    tiered::TIERED,
    operations::OPERATIONS,
    group::GROUP,
    client_metrics::CLIENT_METRICS,
    own::TOPIC,
    own::BROKER,
];

/// All rows by scope, then by name.
static SORTED: LazyLock<Vec<&'static Definition>> = LazyLock::new(|| {
    let mut rows: Vec<&'static Definition> = TABLES.iter().flat_map(|table| table.iter()).collect();
    rows.sort_unstable_by_key(|row| (row.scope, row.name));
    rows
});

/// All keys of a scope, by name.
pub fn definitions(scope: Scope) -> &'static [&'static Definition] {
    let start = SORTED.partition_point(|row| row.scope < scope);
    let end = SORTED.partition_point(|row| row.scope <= scope);
    SORTED.get(start..end).unwrap_or_default()
}

/// A key by its name.
pub fn find(scope: Scope, name: &str) -> Option<&'static Definition> {
    let rows = definitions(scope);
    rows.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|at| rows.get(at).copied())
}
