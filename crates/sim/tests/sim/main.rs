//! The simulator at work: crash points enumerated, and random fault runs of a broker and of clusters.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and tells what it covered")]

mod clusters;
mod crashes;
mod small_models;
mod storms;
mod truncations;
