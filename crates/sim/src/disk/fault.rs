//! Faults that a disk is told to show, by schedule: the n-th operation of a kind fails in a given way.

use std::io;

/// A kind of operation that can be made to fail. Each kind is counted on its own, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKind {
    /// Reading bytes.
    Read,
    /// Writing bytes, or changing a file's size.
    Write,
    /// Making a file or a directory durable.
    Sync,
    /// Creating, renaming or removing a name, and opening a file.
    Name,
}

/// What happens instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`. A failed sync loses what it should have written: the kernel calls those pages clean, and the next sync
    /// succeeds without them. A failed write leaves any part of itself.
    Io,
    /// `ENOSPC`; a write leaves any part of itself.
    NoSpace,
    /// The operation takes a hundred milliseconds.
    Slow,
    /// The machine stops before the operation: it and everything after fails, and the image stands as it was.
    Off,
    /// The machine stops in the middle of a write, of which any part is done. Any other operation is not.
    OffMidway,
}

/// When what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which operations are counted.
    pub kind: OpKind,
    /// The number of the one that fails.
    pub at: u64,
    /// How.
    pub fault: Fault,
}

/// What a planned fault looks like to the caller; `None` for one that only takes time.
pub(crate) fn error(fault: Fault) -> Option<io::Error> {
    match fault {
        Fault::Io => Some(io::Error::from_raw_os_error(EIO)),
        Fault::NoSpace => Some(no_space()),
        Fault::Off | Fault::OffMidway => Some(power_off()),
        Fault::Slow => None,
    }
}

pub(crate) fn no_space() -> io::Error {
    io::Error::from_raw_os_error(ENOSPC)
}

pub(crate) fn power_off() -> io::Error {
    io::Error::other("the simulated machine is off")
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
