//! docs/compatibility.md, written by a run.

use std::fmt::Write as _;

use super::Outcome;

const HEAD: &str = "\
# Compatibility

Consumer groups with foreign clients, written by `cargo xtask interop`: every line was run, against this source tree.

For each client three members share a topic while records flow; one is killed with `kill -9`, one joins, one leaves by
SIGTERM, all stop and one comes back. Every record must be delivered at least once, none again that was committed, a
client must not be told of a commit that the broker does not know, and each partition must have one owner in the end. Static members must find
their partitions again and disturb nobody; where rebalances are incremental, only what moves may be given up.
[TESTING.md](TESTING.md) says how to run it, against Apache Kafka as well.

| client | version | feature | |
|---|---|---|---|
";

/// The document of a run of all cells.
pub(crate) fn document(outcomes: &[Outcome]) -> String {
    let mut document = HEAD.to_owned();
    for Outcome { cell, version, failure } in outcomes {
        let verdict = if failure.is_none() { "works" } else { "**fails**" };
        let _ = writeln!(document, "| {} | {version} | {} | {verdict} |", cell.client, cell.feature);
    }
    document
}
