//! Several brokers in one process: real listeners, the real way between brokers, real files. Only the metadata is simpler
//! than in life: one image that every command changes at once, and that all brokers see.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod administration;
mod client;
mod cluster;
mod failover;
mod groups;
mod near;
mod replication;
