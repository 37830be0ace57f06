//! The `ottla` binary's parts: from a command line to a running broker, and to its clean end.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`settings`] | from files and arguments to a checked configuration |
//! | [`logging`] | where log lines go, how much is said, and what a panic does
//! | [`reload`] | reading the configuration file anew |
//! | [`serve`] | the order in which a broker starts and stops |
//! | `controller` | the same of a node that only votes |
//! | [`import`] | a directory without its broker, for `ottla log import` |
//! | `limits` | what the system lets this process have |
//! | `connection_limits` | what its settings let clients have |
//! | `sockets` | the addresses it listens on |
//! | `membership` | how it joins its cluster |
//! | `metadata_plane` | the quorum, as the node wants to see it |
//! | `greeting` | what it tells a person when it is ready |
//! | `service_manager` | telling systemd when it is ready |
//! | `signals` | when it is asked to stop, or to read its file anew |

pub mod cli;
mod connection_limits;
mod controller;
mod greeting;
pub mod import;
mod limits;
pub mod logging;
mod membership;
mod metadata_plane;
pub mod reload;
pub mod serve;
mod service_manager;
pub mod settings;
mod signals;
mod sockets;
