//! The record batch against Kafka's own, and against damage.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod any_bytes;
mod damage;
mod kafka_corpus;
mod properties;
