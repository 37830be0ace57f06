//! Small files that are replaced as a whole: written under another name, synced, renamed, and the name synced. After a
//! crash there is the old content or the new, never a part.

use std::io::{self, IoSlice};
use std::path::Path;

use crate::disk::{Disk, OpenMode};
use crate::file_names::{TEMPORARY_SUFFIX, with_suffix};

/// Larger than any of these files gets; a damaged one must not take all the memory.
const MAX_BYTES: u64 = 256 << 20;

/// Reads a whole file; `None` if it does not exist.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?;
    if len > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{len} bytes are too many for this file"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_full_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Replaces a whole file, durably.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = with_suffix(path, TEMPORARY_SUFFIX);
    let file = disk.open(&temporary, OpenMode::Truncate)?;
    file.write_at(&[IoSlice::new(bytes)], 0)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("")))
}

/// Removes a file if it is there; the name is gone for good only after the directory is synced.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
