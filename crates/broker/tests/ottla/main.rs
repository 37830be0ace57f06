//! The `ottla` binary from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod cluster;
mod command_line;
mod help;
mod lifecycle;
