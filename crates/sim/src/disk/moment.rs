//! The moments at which a crash could hit.

use std::path::Path;
use std::sync::Arc;

use super::image::{FileOp, Image, Inode};
use crate::rng::Rng;

/// A moment at which a crash could hit: just before an operation that changes the disk, or makes it durable.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    /// How many syncs were done before, over the life of this [`SimDisk`].
    pub syncs: u64,
    /// What was about to be done.
    pub before: Operation,
    /// The disk at that moment.
    pub image: Image,
    /// The write that was about to be made, of which any part may have happened.
    pub(super) in_flight: Option<(Inode, FileOp)>,
}

/// An operation, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub(super) verb: &'static str,
    pub(super) path: Arc<Path>,
    pub(super) position: u64,
    pub(super) len: u64,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} [{}+{}]", self.verb, self.path.display(), self.position, self.len)
    }
}

impl CrashPoint {
    /// The image as it stands once a part of the write that was about to be made has reached the page cache: a kill
    /// may end a process in the middle of one.
    #[must_use]
    pub fn in_mid_write(&self, rng: &mut Rng) -> Image {
        let mut image = self.image.clone();
        if let Some((inode, FileOp::Write { position, bytes })) = &self.in_flight {
            let part: Arc<[u8]> = bytes.split_at(rng.index(bytes.len() + 1)).0.into();
            if let Some(file) = image.file_mut(*inode) {
                let op = FileOp::Write { position: *position, bytes: part };
                op.apply(&mut file.written);
                file.pending.push((u64::MAX, op));
            }
        }
        image
    }

    /// True if the operation was a write of bytes.
    pub const fn is_write(&self) -> bool {
        self.in_flight.is_some()
    }
}
pub(super) fn operation(verb: &'static str, path: &Path) -> Operation {
    Operation { verb, path: path.into(), position: 0, len: 0 }
}
