//! The metadata quorum: commands are ordered by Raft and applied to the cluster image on every node.
//!
//! | module | what it holds |
//! |---|---|
//! | [`quorum`] | [`Quorum`]: start, propose, watch the image, stop |
//! | [`identity`] | whose metadata a directory holds |
//! | [`error`] | what can go wrong |
//! | `raft` | openraft's types and settings |
//! | `log`, `port` | openraft's log and vote, over a small port |
//! | `hard_state` | that port over sled, made durable |
//! | `witness` | a lower bound of the hard state, to notice what the store lost |
//! | `frame` | values with checksums |
//! | `state_machine`, `snapshot` | the image, and its files |
//! | `network` | the way to other members: none yet |
//!
//! Today a quorum has one member. A directory holds:
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
//! use ottla_record::{BrokerId, ClusterId, DirectoryId, Uuid};
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
//!     if_missing: IfMissing::Form,
//! })
//! .await?;
//! assert_eq!(quorum.images().borrow().cluster_id(), Some(quorum.cluster_id()));
//! assert_eq!(quorum.status().leader, Some(BrokerId::new(1)));
//! quorum.shutdown().await?;
//! # Ok(()) })
//! # }
//! ```

pub mod error;
pub mod identity;
pub mod quorum;

mod frame;
mod hard_state;
mod log;
mod network;
mod port;
mod raft;
mod snapshot;
mod state_machine;
mod witness;

pub use error::{ProposeError, QuorumError};
pub use identity::Identity;
pub use quorum::{IfMissing, MAX_COMMAND_BYTES, Quorum, QuorumConfig, QuorumStatus};
