//! What the quorum needs of a store for its hard state. sled is behind it today; another store can be.

use std::io;
use std::ops::Range;

/// The values that are not log entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// The newest term this node knows and whom it voted for in it.
    Vote,
    /// The newest entry that was removed from the log's start.
    Purged,
}

/// A change that is made as a whole.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Values to set.
    pub(crate) cells: Vec<(Cell, Vec<u8>)>,
    /// Log entries to remove, by index, before the others are added.
    pub(crate) remove: Range<u64>,
    /// Log entries to add, by index.
    pub(crate) append: Vec<(u64, Vec<u8>)>,
}

/// Vote and log of one node, as bytes. All methods block.
pub(crate) trait HardState: Send + Sync + 'static {
    /// One value.
    fn cell(&self, cell: Cell) -> Result<Option<Vec<u8>>, HardStateError>;
    /// The entries in a range of indexes, in order.
    fn entries(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, HardStateError>;
    /// Makes a change, all of it or nothing. When it returns, the change survives a power cut. After an error every
    /// later call is an error too.
    fn commit(&self, change: &Change) -> Result<(), HardStateError>;
}

/// Why the hard state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HardStateError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Damaged(String),
    #[error("an earlier write failed: what is on disk is not known")]
    Poisoned,
    #[error("a value of {0} bytes is too large")]
    TooLarge(usize),
}
