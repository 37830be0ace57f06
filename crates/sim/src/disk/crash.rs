//! What the two kinds of crash leave of a file system. A process death keeps everything written; a power cut keeps
//! what was synced and, of the rest, whatever part the device happened to have taken.

use std::sync::Arc;

use super::content::Content;
use super::image::{FileOp, Image, Node};
use crate::rng::Rng;

/// Bytes of a page of the page cache.
const PAGE: u64 = 4096;

/// Which part of the unsynced operations a power cut keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Survival {
    /// Nothing: the device had taken none of it.
    Nothing,
    /// All: the device was fast, only the acknowledgement of the sync is missing.
    Everything,
    /// Everything up to some operation in the order in which they were made, and a torn part of that one.
    Prefix,
    /// Each operation for itself: whole, torn, or not at all.
    Subset,
    /// The sizes and names, none of the data: zeros where files grew.
    Sizes,
    /// The data and sizes of the files, none of the names.
    Contents,
    /// The names, nothing of the files: what a rename without a sync before it leaves.
    Names,
}

impl Survival {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Everything,
        Self::Prefix,
        Self::Subset,
        Self::Sizes,
        Self::Contents,
        Self::Names,
    ];
}

/// What of one operation survives.
enum Fate {
    Whole,
    Torn,
    Size,
    Gone,
}

impl Image {
    /// What the next start finds after the power went.
    pub fn power_cut(&self, survival: Survival, rng: &mut Rng) -> Self {
        let mut cut = self.clone();
        let last = match survival {
            Survival::Prefix => rng.pick(&self.pending()).copied().unwrap_or(0),
            _ => 0,
        };
        let fate = |seq: u64, name: bool, rng: &mut Rng| match survival {
            Survival::Nothing => Fate::Gone,
            Survival::Everything => Fate::Whole,
            Survival::Prefix if seq == last => Fate::Torn,
            Survival::Prefix if seq < last => Fate::Whole,
            Survival::Prefix => Fate::Gone,
            Survival::Subset => match rng.below(4) {
                0 => Fate::Gone,
                1 => Fate::Torn,
                _ => Fate::Whole,
            },
            Survival::Sizes if name => Fate::Whole,
            Survival::Sizes => Fate::Size,
            Survival::Contents if name => Fate::Gone,
            Survival::Names if !name => Fate::Gone,
            Survival::Contents | Survival::Names => Fate::Whole,
        };
        for node in cut.nodes.values_mut() {
            match Arc::make_mut(node) {
                Node::File(file) => {
                    for (seq, op) in std::mem::take(&mut file.pending) {
                        match fate(seq, false, rng) {
                            Fate::Whole => op.apply(&mut file.synced),
                            Fate::Torn => tear(&op, &mut file.synced, rng),
                            Fate::Size => grow(&op, &mut file.synced),
                            Fate::Gone => {}
                        }
                    }
                    file.written = file.synced.clone();
                }
                Node::Dir(dir) => {
                    for (seq, op) in std::mem::take(&mut dir.pending) {
                        let kept = match fate(seq, true, rng) {
                            Fate::Whole | Fate::Size => true,
                            Fate::Torn => rng.chance(1, 2),
                            Fate::Gone => false,
                        };
                        if kept {
                            op.apply(&mut dir.synced);
                        }
                    }
                    dir.written = dir.synced.clone();
                }
            }
        }
        cut.collect();
        cut
    }

    /// What the next start finds after the process died: the page cache, with everything unsynced still so.
    pub fn process_death(&self) -> Self {
        let mut kept = self.clone();
        kept.collect();
        kept
    }

    /// Drops pages that have nothing left to write, each with a chance of `parts` in `of`: after a failed sync the page
    /// cache holds bytes that are not on the device, and any moment may show it.
    pub fn evict(&mut self, (parts, of): (u64, u64), rng: &mut Rng) {
        for node in self.nodes.values_mut() {
            let Node::File(file) = Arc::make_mut(node) else { continue };
            let mut page = vec![0; usize::try_from(PAGE).unwrap_or(0)];
            for at in (0..file.written.len()).step_by(page.len().max(1)) {
                let dirty = file.pending.iter().any(|(_, op)| op.touches(at, PAGE));
                if dirty || !rng.chance(parts, of) {
                    continue;
                }
                let len = file.written.read(&mut page, at);
                let page = page.split_at_mut(len).0;
                page.fill(0);
                file.synced.read(page, at);
                file.written.write(page, at);
            }
        }
    }

    /// True if a power cut now could lose something.
    pub fn is_dirty(&self) -> bool {
        !self.pending().is_empty()
    }

    /// Numbers of the operations that are not known to be durable.
    fn pending(&self) -> Vec<u64> {
        let mut all: Vec<u64> = Vec::new();
        for node in self.nodes.values() {
            match &**node {
                Node::File(file) => all.extend(file.pending.iter().map(|(seq, _)| seq)),
                Node::Dir(dir) => all.extend(dir.pending.iter().map(|(seq, _)| seq)),
            }
        }
        all.sort_unstable();
        all
    }
}

/// Applies a part of an operation: to a byte, or by sectors and pages that each made it or not.
pub(crate) fn tear(op: &FileOp, content: &mut Content, rng: &mut Rng) {
    let FileOp::Write { position, bytes } = op else {
        if rng.chance(1, 2) {
            op.apply(content);
        }
        return;
    };
    // The size may have become durable before the data.
    if rng.chance(1, 2) {
        grow(op, content);
    }
    let unit = match rng.below(3) {
        0 => {
            let kept = bytes.split_at(rng.index(bytes.len() + 1)).0;
            return content.write(kept, *position);
        }
        1 => 512,
        _ => PAGE,
    };
    let mut at = *position;
    let mut rest: &[u8] = bytes;
    while !rest.is_empty() {
        let to_boundary = usize::try_from(unit - at % unit).unwrap_or(usize::MAX);
        let (piece, after) = rest.split_at(to_boundary.min(rest.len()));
        if rng.chance(1, 2) {
            content.write(piece, at);
        }
        at += piece.len() as u64;
        rest = after;
    }
}

/// Applies an operation's effect on the size alone.
fn grow(op: &FileOp, content: &mut Content) {
    let end = match op {
        FileOp::Write { position, bytes } => position + bytes.len() as u64,
        FileOp::SetLen(len) => *len,
    };
    if end > content.len() {
        content.set_len(end);
    }
}
