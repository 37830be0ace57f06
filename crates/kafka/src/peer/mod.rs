//! The way to other brokers: this broker as a follower, asking leaders over Kafka's wire.
//!
//! | module | what it holds |
//! |---|---|
//! | `client` | [`PeerClient`]: one connection a peer, kept while it is of use |
//! | `wire` | one connection: a request out, its answer in |
//! | `fetch` | Fetch as followers send it |
//! | `session` | what a leader remembers of it, so that only what changed is sent |

mod client;
mod fetch;
mod session;
mod wire;

pub use client::{PeerClient, PeerOptions};

#[cfg(test)]
mod tests;
