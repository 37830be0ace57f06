//! The vote and the log on disk, in sled: the only file that names it.
//!
//! sled 0.34 alone is not enough, and this file is what makes it so:
//!
//! - **Durability.** sled's `flush` ends with `sync_file_range`, which flushes neither the file's size nor the device's
//!   cache. After it, [`SledHardState::commit`] calls `fdatasync` on sled's `db` file through a handle of its own. Values
//!   of more than a quarter of a segment would go to files of their own under `blobs/`, which that call does not
//!   reach; so larger ones are stored in pieces.
//! - **Damage.** sled takes a record with a wrong checksum for the end of its log and cuts there, silently. It also has
//!   assertions that fail on damaged files. So opening happens under `catch_unwind`, and whoever opens this compares what is there
//!   with what is known to have been (`crate::witness`).
//! - **Quiet.** No flush thread, a small cache. sled's own pool has a few idle threads once it was used.
//!
//! sled's directory holds `db` (all data), `conf` (written once), `snap.*` (its page table, written at open, synced) and `blobs/` (empty).

use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::port::{Cell, Change, HardState, HardStateError};

/// sled keeps up to 17 values a page and moves pages above a quarter of [`SEGMENT`] to a blob file.
const PIECE: usize = 1024;
/// sled's unit of allocation; one such buffer is in memory at all times, and up to one is rewritten at each open.
const SEGMENT: usize = 128 * 1024;
/// Hot data is the end of the log, which is read once to be applied.
const CACHE: u64 = 1024 * 1024;

const _: () = assert!(17 * (PIECE + 64) < SEGMENT / 4);

/// Pieces a value may have: their number is two bytes in the key.
const MAX_PIECES: usize = 1 << 16;

/// How often, and how long apart, it is looked whether sled has let go of its file: 5 s in all.
const RELEASE_TRIES: u32 = 1_000;
const RELEASE_PAUSE: Duration = Duration::from_millis(5);

/// sled in one directory.
pub(crate) struct SledHardState {
    db: sled::Db,
    /// After `db`, so that it is dropped after it.
    file: DataFile,
    /// Set while a commit runs and left set if it fails: after a failed sync nothing is known, so nothing is tried again.
    poisoned: AtomicBool,
}

/// sled's data file through our own handle, for `fdatasync`.
struct DataFile(File);

impl Drop for DataFile {
    /// Waits until sled lets go of the file. Its last task may still hold it when it was dropped, and the next one to open the
    /// directory, in this process too, would be refused.
    fn drop(&mut self) {
        for _ in 0..RELEASE_TRIES {
            if rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return;
            }
            std::thread::sleep(RELEASE_PAUSE);
        }
    }
}

impl SledHardState {
    /// Opens the store in `path`, which is created if missing.
    pub(crate) fn open(path: &Path) -> Result<Self, HardStateError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE)
            .segment_size(SEGMENT)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None);
        let db = guarded(|| config.open().map_err(error))?;
        let file = DataFile(File::options().read(true).write(true).open(path.join("db"))?);
        file.0.sync_all()?;
        File::open(path.join("conf"))?.sync_all()?;
        // sled renames `snap.*` without syncing the directory.
        File::open(path)?.sync_all()?;
        Ok(Self { db, file, poisoned: AtomicBool::new(false) })
    }

    fn pieces(&self, key: &[u8]) -> Result<Option<Vec<u8>>, HardStateError> {
        let mut value = None;
        for piece in self.db.scan_prefix(key) {
            let (_, piece) = piece.map_err(error)?;
            value.get_or_insert_with(Vec::new).extend_from_slice(&piece);
        }
        Ok(value)
    }

    fn apply(&self, change: &Change) -> Result<(), HardStateError> {
        let mut batch = sled::Batch::default();
        for (cell, value) in &change.cells {
            // A shorter value would not overwrite the later pieces of a longer one, so there is one piece only.
            if value.len() > PIECE {
                return Err(HardStateError::TooLarge(value.len()));
            }
            put(&mut batch, &cell_key(*cell), value)?;
        }
        if !change.remove.is_empty() {
            let range = entry_key(change.remove.start)..entry_key(change.remove.end);
            for key in self.db.range(range).keys() {
                batch.remove(key.map_err(error)?);
            }
        }
        for (index, value) in &change.append {
            put(&mut batch, &entry_key(*index), value)?;
        }
        self.db.apply_batch(batch).map_err(error)?;
        self.db.flush().map_err(error)?;
        self.file.0.sync_data()?;
        Ok(())
    }
}

impl HardState for SledHardState {
    fn cell(&self, cell: Cell) -> Result<Option<Vec<u8>>, HardStateError> {
        guarded(|| self.pieces(&cell_key(cell)))
    }

    fn entries(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, HardStateError> {
        guarded(|| {
            let mut entries: Vec<(u64, Vec<u8>)> = Vec::new();
            if range.is_empty() {
                return Ok(entries);
            }
            for piece in self.db.range(entry_key(range.start)..entry_key(range.end)) {
                let (key, piece) = piece.map_err(error)?;
                let index = entry_index(&key)
                    .ok_or_else(|| HardStateError::Damaged("a key is of no known kind".to_owned()))?;
                match entries.last_mut() {
                    Some((last, value)) if *last == index => value.extend_from_slice(&piece),
                    _ => entries.push((index, piece.to_vec())),
                }
            }
            Ok(entries)
        })
    }

    fn commit(&self, change: &Change) -> Result<(), HardStateError> {
        if self.poisoned.swap(true, Ordering::SeqCst) {
            return Err(HardStateError::Poisoned);
        }
        guarded(|| self.apply(change))?;
        self.poisoned.store(false, Ordering::SeqCst);
        Ok(())
    }
}

fn put(batch: &mut sled::Batch, key: &[u8], value: &[u8]) -> Result<(), HardStateError> {
    if value.len() > PIECE * MAX_PIECES {
        return Err(HardStateError::TooLarge(value.len()));
    }
    for (number, piece) in value.chunks(PIECE).enumerate() {
        let number = u16::try_from(number).map_err(|_| HardStateError::TooLarge(value.len()))?;
        batch.insert([key, &number.to_be_bytes()].concat(), piece);
    }
    Ok(())
}

fn cell_key(cell: Cell) -> [u8; 1] {
    match cell {
        Cell::Vote => *b"v",
        Cell::Purged => *b"p",
    }
}

/// Keys sort by index, then by piece.
fn entry_key(index: u64) -> [u8; 9] {
    let mut key = [b'e'; 9];
    if let Some(number) = key.get_mut(1..) {
        number.copy_from_slice(&index.to_be_bytes());
    }
    key
}

fn entry_index(key: &[u8]) -> Option<u64> {
    let index = key.strip_prefix(b"e")?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*index))
}

/// Runs something of sled's, whose assertions fail on damaged files.
fn guarded<T>(run: impl FnOnce() -> Result<T, HardStateError>) -> Result<T, HardStateError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(HardStateError::Damaged(why.to_owned()))
    })
}

fn error(error: sled::Error) -> HardStateError {
    match error {
        sled::Error::Io(e) => HardStateError::Io(e),
        other => HardStateError::Damaged(other.to_string()),
    }
}
