//! The metadata quorum: commands are ordered by Raft and applied to the cluster image on every node.
//!
//! | module | what it holds |
//! |---|---|
//! | [`quorum`] | [`Quorum`]: start, propose, watch the image, stop |
//! | [`cluster`] | what a node among others runs beside openraft |
//! | [`identity`] | whose metadata a directory holds |
//! | [`bootstrap`] | which cluster a node with an empty directory belongs to, and who forms a new quorum |
//! | [`listener`] | the control listener |
//! | [`pulse`] | a broker's heartbeats to the voters |
//! | [`error`] | what can go wrong |
//! | `election`, `elections` | our pre-vote: the machine, and what drives it |
//! | `joining` | how a node becomes a member, and stays one |
//! | `voters`, `contact` | the quorum as an operator sees and changes it, and what the leader notes of its members for that |
//! | `controller`, `dial` | fences and unfences brokers |
//! | `forwarding` | how a command reaches the leader |
//! | `gate` | whose calls are let through to openraft |
//! | `service`, `peers`, `network` | calls: those that come, the connections, and those that openraft makes |
//! | `member` | what all of these share |
//! | `raft` | openraft's types and settings |
//! | `log`, `port` | openraft's log and vote, over a small port |
//! | `hard_state` | that port over sled, made durable |
//! | `witness` | a lower bound of the hard state, to notice what the store lost |
//! | `frame` | values with checksums |
//! | `state_machine`, `snapshot` | the image, and its files |
//!
//! A node that is told of no other is a quorum of one voter, and opens no listener. Otherwise some nodes vote and all others are
//! learners, so that every broker has the whole image. A directory holds:
//!
//! ```text
//! identity             node, log directory and cluster; written last when the quorum is formed
//! witness              lower bound of vote and log
//! state/               sled: vote and log (`db`, `conf`, `snap.*`, `blobs/`)
//! snapshots/           <index>-<term>.snapshot, the newest two
//! ```
//!
//! ```
//! use ottla_quorum::{IfMissing, Quorum, QuorumConfig};
//! use ottla_record::{BrokerId, ClusterId, DirectoryId, Incarnation, Uuid};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let quorum = Quorum::start(QuorumConfig {
//!     dir: scratch.path().join("metadata"),
//!     node: BrokerId::new(1),
//!     directory: DirectoryId(Uuid::from_random([1; 16])),
//!     cluster: ClusterId(Uuid::from_random([2; 16])),
//!     incarnation: Incarnation(Uuid::from_random([3; 16])),
//!     if_missing: IfMissing::Form,
//!     control: None,
//! })
//! .await?;
//! assert_eq!(quorum.images().borrow().cluster_id(), Some(quorum.cluster_id()));
//! assert_eq!(quorum.status().leader, Some(BrokerId::new(1)));
//! quorum.shutdown().await?;
//! # Ok(()) })
//! # }
//! ```

pub mod bootstrap;
pub mod cluster;
pub mod error;
pub mod identity;
pub mod listener;
pub mod pulse;
pub mod quorum;

mod contact;
mod controller;
mod descriptor;
mod dial;
mod election;
mod elections;
mod forwarding;
mod frame;
mod gate;
mod hard_state;
mod joining;
mod log;
mod member;
mod network;
mod peers;
mod port;
mod raft;
mod service;
mod snapshot;
mod state_machine;
mod voters;
mod witness;

pub use bootstrap::Voter;
pub use cluster::ControlConfig;
pub use error::{MembershipError, ProposeError, QuorumError};
pub use identity::Identity;
pub use listener::ControlListener;
pub use ottla_coordination::metadata::liveness::LivenessConfig;
pub use pulse::Announcement;
pub use quorum::{IfMissing, MAX_COMMAND_BYTES, MemberStatus, Quorum, QuorumConfig, QuorumStatus};
