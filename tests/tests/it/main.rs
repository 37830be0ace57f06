//! The broker as its users meet it: real processes, sockets, files and clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: a surprise is a failed test"
)]

mod advertised_versions;
mod assigned_consumers;
mod bad_input;
mod chaos;
mod cli;
mod cli_terminal;
mod client_apis;
mod clients_agree;
mod cluster;
mod cluster_clients;
mod committed_offsets;
mod compaction;
mod connection_limits;
mod consumer_groups;
mod copies_begin_late;
mod debian_corpus;
mod deploy;
mod dump_log;
mod full_disk;
mod grpc;
mod grpc_forwarding;
mod hostile_connections;
mod import;
mod import_groups;
mod import_interrupted;
mod jmx_names;
mod kafka_tools;
mod kill_nine;
mod lifecycle;
mod metrics;
mod quorum_tools;
mod racks;
mod reload;
mod rolling_restart;
mod rust_client;
mod rust_client_examples;
mod rust_client_kill_nine;
mod subscribe;
mod sync_calls;
mod throttled_moves;
