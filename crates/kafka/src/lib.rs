//! The Kafka wire front door: framing, ordering, dispatch, zero-copy fetch.
//!
//! | module | what it holds |
//! |---|---|
//! | [`listener`] | the listening socket: bounds, tuning, draining |
//! | [`front`] | what all connections share: [`Front`], [`Limits`] |
//! | `connection` | one task a connection: reads, starts requests, sends the answers in order |
//! | `frame`, `outbox` | the bytes that come in, the bytes and file ranges that go out |
//! | `dispatch` | the table of what is served, from which ApiVersions answers |
//! | `reply` | a request's place in the order of answers |
//! | `timing` | where a request's time goes |
//! | `fetch_session` | incremental fetch sessions (KIP-227) |
//! | `apis` | one file an API or family of APIs |
//! | `leaders` | who leads instead, where a client asks the wrong broker |
//! | [`peer`] | the other end: this broker as a follower of others |
//! | `errors` | the one map to Kafka's error codes |
//!
//! Invariant: answers leave in the order of their requests. Only Produce requests overlap; anything else waits until what
//! came before it on its connection has been answered, as on Kafka.
//!
//! Invariant: a request's memory is bounded by what has arrived of it, never by what it claims; and that of all requests by
//! `queued.max.request.bytes`, together with those of the other front doors ([`ottla_node::connections`]).

mod apis;
mod authorized_operations;
mod connection;
mod dispatch;
mod errors;
mod fetch_session;
mod frame;
pub mod front;
mod leaders;
pub mod listener;
mod outbox;
pub mod peer;
mod reply;
mod timing;

pub use front::{Front, Limits};
pub use listener::{DRAIN_TIMEOUT, Listener, SocketBuffers};
pub use peer::{PeerClient, PeerOptions};
