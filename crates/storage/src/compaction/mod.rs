//! Log compaction (`cleanup.policy=compact`): of every key only the last record stays. Offsets never change, order never
//! changes, and the last value of a key is never lost.
//!
//! ```text
//!  LogView ──► cleanable: how dirty is it, and up to where may a pass go?
//!     │
//!     ▼
//!   Pass::begin ── reads the keys of the dirty part ──► KeyMap: hash of the key → last offset
//!     │
//!     ▼
//!   Pass::next_cleaned ── each batch through the Filter ──► CleanedSegment, durable, in place of some segments
//!     │                                                       │
//!     │          under the owner's lock, briefly              ▼
//!     │                                         Log::swap_cleaned
//!     ▼
//!   LogDirectory::store_cleaned_to ── the next pass begins there
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `cleanable` | [`Cleanable`]: the dirty part of a log |
//! | `key_map` | [`KeyMap`], in memory of a fixed size |
//! | `filter` | [`Filter`]: what stays of a batch, without any file |
//! | `transactions` | which markers are still needed |
//! | `pass` | [`Pass`]: reading, grouping, writing |
//! | `batch_reader`, `cleaned` | the files it reads and writes |
//! | `swap` | [`Log::swap_cleaned`](crate::Log::swap_cleaned), and what a crash in it leaves |
//!
//! Invariant: nothing is compacted above the last stable offset (it may still be aborted) or above the recovery point (it
//! may still be cut by a restart), and the active segment never is. A pass may be ended at any moment.

mod batch_reader;
mod cleanable;
mod cleaned;
mod filter;
mod key_map;
mod pass;
mod swap;
mod transactions;

pub use cleanable::Cleanable;
pub use cleaned::CleanedSegment;
pub use filter::{Filter, Filtered, LastOfProducer, LastOfProducers, Outcome};
pub use key_map::{ENTRY_BYTES, Full, KeyHash, KeyMap};
pub use pass::{Pace, Pass, PassError, PassMemory, PassOrder, PassReport};
pub use swap::SwapError;
pub(crate) use swap::take_final_names;
