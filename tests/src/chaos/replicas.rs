//! Whether the replicas of a partition hold the same bytes: the same offset and epoch mean the same batch on all of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Base offset to whole batch, with its leader epoch, of one replica.
type Batches = BTreeMap<i64, Vec<u8>>;

/// Compares the logs of a partition in the data directories of stopped brokers, over the offsets that several of them hold: how far
/// the last flush got may differ, and where segments end.
pub(super) fn agree(folders: &[PathBuf], topic: &str, partition: i32) -> anyhow::Result<()> {
    let name = format!("{topic}-{partition}");
    let mut logs = Vec::new();
    for folder in folders {
        logs.push((folder, batches(&folder.join(&name)).with_context(|| folder.display().to_string())?));
    }
    let Some(((first_folder, first), others)) = logs.split_first() else { return Ok(()) };
    ensure!(!first.is_empty(), "{name} is empty in {}", first_folder.display());
    for (folder, other) in others {
        let end = first.keys().next_back().min(other.keys().next_back()).copied().unwrap_or(-1);
        ensure!(
            first.range(..=end).eq(other.range(..=end)),
            "{name} differs between {} and {}",
            first_folder.display(),
            folder.display()
        );
    }
    Ok(())
}

fn batches(folder: &Path) -> anyhow::Result<Batches> {
    let mut found = Batches::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let bytes = fs::read(&path)?;
            let mut rest = bytes.as_slice();
            while let Some((head, _)) = rest.split_at_checked(12) {
                let offset = i64::from_be_bytes(head[..8].try_into()?);
                let length = usize::try_from(i32::from_be_bytes(head[8..].try_into()?))?;
                if length == 0 {
                    // Where the segment was extended ahead.
                    break;
                }
                let (batch, after) =
                    rest.split_at_checked(12 + length).with_context(|| format!("torn at {offset}"))?;
                found.insert(offset, batch.to_vec());
                rest = after;
            }
        }
    }
    Ok(found)
}
