//! The HTTP port: gRPC, metrics and health pages.
//!
//! | module | what it holds |
//! |---|---|
//! | [`listener`] | the listening socket: bounds, tuning, draining |
//! | [`front`] | what all connections share: [`Front`], [`Limits`] |
//! | `connection` | one connection: which HTTP it speaks, and how long it may idle |
//! | `memory` | what a connection's requests take of the memory for all requests |
//! | `router` | from a path to a service or a page |
//! | `pages` | `/metrics`, `/health/live`, `/health/ready` |
//! | `log`, `topics`, `configs`, `groups`, `cluster` | the services of `proto/ottla/v1` |
//! | `rebalance` | the part of `cluster` that moves replicas and leaderships |
//! | `publish`, `fetch` | what the service `Log` does with records |
//! | `subscribe` | one member of a group: what its stream does |
//! | `peers` | the other brokers: what is theirs to answer is handed on |
//! | `positions` | from what a reader names to an offset |
//! | `answer` | the body of a response, and what may end it from outside |
//! | `calls` | what is counted of each call |
//! | `reflection` | what a client asks that has no `.proto` |
//! | `errors` | the one map from our errors to what a gRPC client sees |
//! | `deadline` | how long a caller waits |
//!
//! Invariant: nothing is queued for a client that does not read. A stream's next read of the log happens when HTTP/2 has
//! room for its result; a stream that waits for records holds no buffer. A Subscribe holds one message ready, and besides
//! records only what the client has asked for.
//!
//! Invariant: a request's memory is bounded by `socket.request.max.bytes`, and that of all requests by
//! `queued.max.request.bytes`, together with those of the other front doors ([`ottla_node::connections`]).

mod answer;
mod calls;
mod cluster;
mod configs;
mod connection;
mod deadline;
mod errors;
mod fetch;
pub mod front;
mod groups;
pub mod listener;
mod log;
mod memory;
mod pages;
mod peers;
mod positions;
mod publish;
mod quorum;
mod rebalance;
mod reflection;
mod router;
mod subscribe;
mod topics;

pub use front::{Front, Limits};
pub use listener::{DRAIN_TIMEOUT, Listener};
