//! Snapshots of the image as plain files, the newest two of them.
//!
//! A snapshot is written under another name, synced, renamed, and the directory synced: a file that has its name is
//! whole. The one before it is kept, together with the log entries since, so that one damaged file loses nothing.
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `OTLSNAP1` |
//! | 8–15 | CRC-64/NVME (little-endian) of all bytes after it |
//! | 16–19 | length of what follows (little-endian) |
//! | 20– | last entry and membership it holds, as JSON |
//! | then | the image, as JSON |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_coordination::metadata::Image;

use crate::error::QuorumError;
use crate::raft::{InUse, LogId, SnapshotMeta};

const MAGIC: &[u8; 8] = b"OTLSNAP1";
const SUFFIX: &str = ".snapshot";
const UNFINISHED: &str = "unfinished";
/// The newest, and one to fall back to.
const KEPT: usize = 2;

/// The directory of snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    written: Arc<AtomicU64>,
    _in_use: InUse,
}

/// A snapshot that was read.
pub(crate) struct Loaded {
    pub(crate) meta: SnapshotMeta,
    pub(crate) image: Image,
    /// The image as it stands in the file.
    pub(crate) bytes: Vec<u8>,
}

impl Snapshots {
    pub(crate) fn open(dir: PathBuf, in_use: InUse) -> Result<Self, QuorumError> {
        fs::create_dir_all(&dir).map_err(QuorumError::io(&dir))?;
        match fs::remove_file(dir.join(UNFINISHED)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(QuorumError::Io { path: dir, source: e });
            }
            _ => {}
        }
        Ok(Self { dir, written: Arc::default(), _in_use: in_use })
    }

    /// The newest snapshot that is whole; `None` if there is no snapshot. If all are damaged, that is an error.
    pub(crate) fn newest(&self) -> Result<Option<Loaded>, QuorumError> {
        let mut damage = None;
        for path in self.paths().map_err(QuorumError::io(&self.dir))?.into_iter().rev() {
            match read(&path) {
                Ok(loaded) => return Ok(Some(loaded)),
                Err(e) => {
                    tracing::error!(error = %e, "a metadata snapshot cannot be used, trying the one before it");
                    damage.get_or_insert(e);
                }
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// Stores a snapshot durably and removes those that are no longer needed.
    pub(crate) fn write(&self, meta: &SnapshotMeta, image: &[u8]) -> io::Result<()> {
        let unfinished = self.dir.join(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(&header(meta, image)?)?;
        file.write_all(image)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.dir.join(name(meta.last_log_id)))?;
        File::open(&self.dir)?.sync_all()?;
        let paths = self.paths()?;
        for old in paths.iter().take(paths.len().saturating_sub(KEPT)) {
            fs::remove_file(old)?;
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many snapshots this process has written. Kept apart from the files, so that who reads it does not hold them.
    pub(crate) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// All snapshots, the oldest first.
    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// Names sort as the log does.
fn name(last: Option<LogId>) -> String {
    let (index, term) = last.map_or((0, 0), |l| (l.index, l.leader_id.term));
    format!("{index:020}-{term:020}{SUFFIX}")
}

fn header(meta: &SnapshotMeta, image: &[u8]) -> io::Result<Vec<u8>> {
    let meta = serde_json::to_vec(meta)?;
    let length =
        u32::try_from(meta.len()).map_err(|_| io::Error::other("too many members for a snapshot"))?;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    digest.update(&length.to_le_bytes());
    digest.update(&meta);
    digest.update(image);
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&digest.finalize().to_le_bytes());
    header.extend_from_slice(&length.to_le_bytes());
    header.extend_from_slice(&meta);
    Ok(header)
}

fn read(path: &Path) -> Result<Loaded, QuorumError> {
    let bytes = fs::read(path).map_err(QuorumError::io(path))?;
    let damaged = |what: &str| QuorumError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("this is no snapshot"))?;
    let (sum, content) = rest.split_first_chunk::<8>().ok_or_else(|| damaged("the snapshot is cut off"))?;
    if crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, content) != u64::from_le_bytes(*sum) {
        return Err(damaged("the snapshot is damaged: its checksum does not match"));
    }
    let cut = || damaged("the snapshot contradicts itself");
    let (length, content) = content.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
    let (meta, image) = content.split_at_checked(length).ok_or_else(cut)?;
    let meta = serde_json::from_slice(meta).map_err(|e| damaged(&e.to_string()))?;
    Ok(Loaded { meta, image: Image::decode(image)?, bytes: image.to_vec() })
}

#[cfg(test)]
mod tests;
