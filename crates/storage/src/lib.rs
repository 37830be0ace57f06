//! The segmented partition log, in Kafka's file formats, over a small [`Disk`] port.
//!
//! | module | what it holds |
//! |---|---|
//! | [`disk`] | the port through which every byte goes: [`Disk`] and [`File`] |

pub mod disk;

pub use disk::{Disk, Entry, EntryKind, File, OpenMode, Space};
