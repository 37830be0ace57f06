//! A lower bound of the hard state, outside of its store.
//!
//! A store that finds a damaged record may take it for the end of what was written and go on without the rest: an acknowledged
//! entry, or a vote, is gone, and nobody is told. The witness remembers the highest vote and log entry
//! that were made durable. At start the store must have at least those.
//!
//! It costs a write of some 50 bytes to the page cache per commit and no sync: written late or lost in a power cut, it is an
//! older bound, and still one. Only where the log gets shorter on purpose must the lower bound be durable first.
//!
//! Two slots, a page apart, are written in turn, so that a torn one leaves the other:
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `OTLWITN1` |
//! | 8–15 | number of the write, little-endian like all that follows; the slot is its parity |
//! | 16–23 | term of the vote |
//! | 24–31 | node voted for |
//! | 32–39 | index of the last entry + 1, 0 for none |
//! | 40–47 | term of the last entry |
//! | 48–51 | CRC-32C of the bytes before |

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"OTLWITN1";
const SLOT_DISTANCE: u64 = 4096;
const SLOT: usize = 52;

/// What the hard state has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Bound {
    /// Term of the vote and the node voted for; zeros for none.
    pub(crate) vote: (u64, u64),
    /// Term and index of the last log entry.
    pub(crate) last: Option<(u64, u64)>,
}

/// The file with the bound.
#[derive(Debug)]
pub(crate) struct Witness {
    file: File,
    path: PathBuf,
    writes: u64,
    bound: Bound,
}

impl Witness {
    /// Writes a witness of nothing.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let mut witness = Self { file, path: path.to_owned(), writes: 0, bound: Bound::default() };
        witness.set(Bound::default())?;
        witness.set(Bound::default())?;
        witness.file.sync_all()?;
        Ok(witness)
    }

    /// Reads the bound. A missing file is `NotFound`, one without an intact slot `InvalidData`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut newest: Option<(u64, Bound)> = None;
        for position in [0, SLOT_DISTANCE] {
            let mut slot = [0; SLOT];
            if file.read_exact_at(&mut slot, position).is_ok()
                && let Some(read) = decode(&slot)
                && newest.is_none_or(|(writes, _)| read.0 > writes)
            {
                newest = Some(read);
            }
        }
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()));
        let (writes, bound) = newest.ok_or_else(damaged)?;
        Ok(Self { file, path: path.to_owned(), writes, bound })
    }

    /// What the hard state has at least.
    pub(crate) fn bound(&self) -> Bound {
        self.bound
    }

    /// Where it is kept, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Remembers a bound whose state is durable already.
    pub(crate) fn set(&mut self, bound: Bound) -> io::Result<()> {
        self.writes += 1;
        self.bound = bound;
        self.file.write_all_at(&encode(self.writes, bound), (self.writes % 2) * SLOT_DISTANCE)
    }

    /// Remembers a bound before the state falls to it.
    pub(crate) fn lower(&mut self, bound: Bound) -> io::Result<()> {
        // Both slots, or a damaged newer one would bring the higher bound back.
        self.set(bound)?;
        self.set(bound)?;
        self.file.sync_data()
    }
}

fn encode(writes: u64, bound: Bound) -> Vec<u8> {
    let (term, next) = bound.last.map_or((0, 0), |(term, index)| (term, index.saturating_add(1)));
    let mut slot = MAGIC.to_vec();
    for number in [writes, bound.vote.0, bound.vote.1, next, term] {
        slot.extend_from_slice(&number.to_le_bytes());
    }
    let sum = checksum(&slot);
    slot.extend_from_slice(&sum.to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT]) -> Option<(u64, Bound)> {
    let (content, sum) = slot.split_last_chunk::<4>()?;
    if checksum(content) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut numbers =
        content.strip_prefix(MAGIC)?.chunks_exact(8).map(|c| c.try_into().map(u64::from_le_bytes));
    let mut number = || numbers.next()?.ok();
    let (writes, vote) = (number()?, (number()?, number()?));
    let (next, term) = (number()?, number()?);
    Some((writes, Bound { vote, last: next.checked_sub(1).map(|index| (term, index)) }))
}

fn checksum(bytes: &[u8]) -> u32 {
    // A CRC-32 in a wider integer.
    (crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests;
