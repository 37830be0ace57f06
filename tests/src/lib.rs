//! The harness of Ottla's tests with real processes, sockets, files and clients.
//!
//! A test starts a [`broker::Broker`] on a fresh data directory and a free loopback port, drives it with Kafka's own clients
//! ([`clients`], [`toolbox`]) or with hand-made frames ([`raw`]), and stops it; a WARN or ERROR line nobody announced fails
//! the test. The same tests run against Apache Kafka 4.3 with `OTTLA_IT_BROKER=kafka`, which is how we know that a test asks
//! for Kafka's behaviour and not for our idea of it. Many of them run against three brokers of either as well, with `OTTLA_IT_BROKERS=3`.
//!
//! | module | what it is for |
//! |---|---|
//! | [`project`] | where the workspace, the target directory and the data of this package are |
//! | [`tools`] | foreign programs under `target/tools`: present, or a loud skip (a failure when `CI` is set) |
//! | [`broker`] | the broker under test: what to start, ready, log, memory, CPU, signals |
//! | [`front`] | a cluster in the place of one broker, restarted while a test runs |
//! | [`kafka`] | how Apache Kafka is started as a peer |
//! | [`place`] | a broker's place in a cluster: id, listeners, voters |
//! | [`cluster`] | several brokers: faults one by one, who leads, who is in sync |
//! | [`history`] | what idempotent writers were told against what is stored: lost, doubled, reordered |
//! | [`chaos`] | faults of every kind on a cluster under writers, from a seed |
//! | [`writer`] | a writer process that records such a history |
//! | [`clock`] | a wall clock of its own for a process |
//! | [`small_disk`] | a file system that fills up |
//! | [`raw`] | hand-made request frames over a socket |
//! | [`http2`] | hand-made HTTP/2 requests over a socket |
//! | [`batch`] | hand-made record batches, right and wrong ones |
//! | [`clients`] | kcat and the Python clients |
//! | [`toolbox`] | Kafka's command-line tools, many in one JVM |
//! | [`interop`] | consumer groups of foreign clients, the same story for each |
//! | [`scrape`] | what a broker tells Prometheus |
//! | [`wait`] | waiting on a condition with a deadline |
//! | [`document`] | a document's code blocks: what is run, and what it should print |
//! | [`walkthrough`] | a document's blocks, run in order as a reader would paste them |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a harness: a surprise is a failed test, and the panic says where"
)]

pub mod batch;
pub mod broker;
pub mod chaos;
pub mod clients;
pub mod clock;
pub mod cluster;
pub mod document;
pub mod front;
pub mod history;
pub mod http2;
pub mod interop;
pub mod kafka;
pub mod place;
mod process;
pub mod project;
pub mod raw;
pub mod scrape;
pub mod small_disk;
pub mod toolbox;
pub mod tools;
pub mod wait;
pub mod walkthrough;
pub mod writer;
