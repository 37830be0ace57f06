//! Copying a partition's files: shared blocks where the file system can, in the kernel where it can, durable in the end.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::plan::PlannedPartition;
use crate::failure::Failure;

/// Bytes copied by one call: progress moves, and Ctrl-C is heeded.
const CHUNK_BYTES: usize = 16 << 20;

/// Copies the files into a fresh directory and makes them, and the directory, durable.
pub(super) fn partition(
    from: &PlannedPartition,
    to: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    fs::create_dir(to).map_err(|error| Failure::with(to.display(), error))?;
    for (name, bytes) in &from.files {
        let (source, copy) = (from.source.path.join(name), to.join(name));
        let copied = file(&source, &copy, progress).map_err(|error| {
            Failure::with(format!("copying {} to {}", source.display(), copy.display()), error)
        })?;
        if copied != *bytes {
            return Err(Failure::with(
                source.display(),
                "it changed while it was copied: is its broker running?",
            ));
        }
    }
    sync_dir(to)
}

/// Copies one file durably; returns its size.
fn file(from: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<u64> {
    let source = File::open(from)?;
    let copy = OpenOptions::new().write(true).create_new(true).open(to)?;
    let size = source.metadata()?.len();
    if size > 0 && rustix::fs::ioctl_ficlone(&copy, &source).is_ok() {
        progress(size);
    } else {
        copy_bytes(source, &copy, size, progress)?;
    }
    copy.sync_all()?;
    Ok(size)
}

fn copy_bytes(mut source: File, mut copy: &File, size: u64, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut done = 0;
    while done < size {
        let chunk = usize::try_from(size - done).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        // Both file positions move.
        match rustix::fs::copy_file_range(&source, None, copy, None, chunk) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
            Ok(copied) => {
                done += copied as u64;
                progress(copied as u64);
            }
            Err(rustix::io::Errno::INTR) => {}
            // Between file systems that cannot do it, through this process.
            Err(_) => {
                let copied = io::copy(&mut io::Read::take(&mut source, chunk as u64), &mut copy)?;
                if copied == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
                }
                done += copied;
                progress(copied);
            }
        }
    }
    Ok(())
}

/// True if a copy of `file` below `root` would take no space, because the file system lets both share their blocks.
pub(super) fn shares_blocks(file: &Path, root: &Path) -> bool {
    let probe = root.join("probe.importing");
    let shared = File::open(file)
        .and_then(|file| Ok(rustix::fs::ioctl_ficlone(File::create(&probe)?, &file)?))
        .is_ok();
    // What is left of it if this fails is nothing but an empty file.
    let _ = fs::remove_file(&probe);
    shared
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), Failure> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| Failure::with(dir.display(), error))
}

/// Removes a directory of files, if it is there.
pub(super) fn remove_dir(dir: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::with(dir.display(), error)),
        _ => Ok(()),
    }
}

/// Where a partition is gathered before it takes its name: no name of a partition, so no broker opens it.
pub(super) fn staging(root: &Path, partition: &PlannedPartition) -> PathBuf {
    root.join(format!("{}.importing", partition.name.directory().display()))
}
