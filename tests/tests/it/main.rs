//! The broker as its users meet it: real processes, sockets, files and clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: a surprise is a failed test"
)]

mod assigned_consumers;
mod bad_input;
mod debian_corpus;
mod hostile_connections;
mod kafka_tools;
mod lifecycle;
