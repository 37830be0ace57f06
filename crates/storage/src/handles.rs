//! The bounded set of open files. A segment's files are opened when they are needed and closed when others need the
//! place, so that 10,000 idle partitions hold no descriptor. Whoever works on a file keeps its own `Arc`: a file with
//! unflushed bytes stays open until it is flushed (an error of its write-back must reach us), and a reader's stays
//! open until its last byte has left.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use ottla_record::Offset;
use parking_lot::Mutex;

use crate::disk::{Disk, File, OpenMode};
use crate::file_names::{CLEANED_SUFFIX, FileKind, FileName, with_suffix};

/// Kinds of file a segment keeps open; a producer snapshot is read and written whole.
const KEPT_KINDS: usize = 4;

/// The open files of all segments of a log directory, closed in about the order of their last use (second chance).
#[derive(Debug)]
pub(crate) struct Handles {
    bound: usize,
    /// One entry for every file opened, oldest first. Entries of files that were closed meanwhile fall out in turn.
    opened: Mutex<VecDeque<Weak<SegmentFiles>>>,
}

impl Handles {
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound: bound.max(1), opened: Mutex::default() }
    }

    fn admit(&self, files: &Arc<SegmentFiles>) {
        let mut closing = Vec::new();
        let mut opened = self.opened.lock();
        opened.push_back(Arc::downgrade(files));
        let mut second_chances = opened.len();
        while opened.len() > self.bound {
            let Some(oldest) = opened.pop_front() else { break };
            let Some(segment) = oldest.upgrade() else { continue };
            if second_chances > 0 && segment.used.swap(false, Ordering::Relaxed) {
                second_chances -= 1;
                opened.push_back(oldest);
            } else {
                closing.push(segment);
            }
        }
        drop(opened);
        // Outside the lock: closing may take the disk's time.
        for segment in closing {
            if !Arc::ptr_eq(&segment, files) {
                segment.close();
            }
        }
    }

    /// How many files are open.
    pub(crate) fn open_files(&self) -> usize {
        // An entry a file: a segment with several open files stands there several times.
        let mut segments: Vec<_> = self.opened.lock().iter().filter_map(Weak::upgrade).collect();
        segments.sort_unstable_by_key(Arc::as_ptr);
        segments.dedup_by_key(|segment| Arc::as_ptr(segment));
        segments.iter().map(|segment| segment.open.lock().iter().flatten().count()).sum()
    }

    /// How many files are counted as open.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.opened.lock().len()
    }
}

/// The files of one segment, open or not.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    disk: Arc<dyn Disk>,
    handles: Arc<Handles>,
    dir: Arc<Path>,
    base: Offset,
    open: Mutex<[Option<Arc<dyn File>>; KEPT_KINDS]>,
    used: AtomicBool,
    /// Compaction writes the segment and it is not part of the log yet: its files have a suffix behind their names.
    cleaned: AtomicBool,
    /// Set before the files are cut, renamed or removed: from then on a name may mean another file.
    retired: AtomicBool,
}

impl SegmentFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, handles: Arc<Handles>, dir: Arc<Path>, base: Offset) -> Self {
        let (open, used, cleaned, retired) = Default::default();
        Self { disk, handles, dir, base, open, used, cleaned, retired }
    }

    /// The files of the segment that compaction writes in place of `first` and those behind it.
    pub(crate) fn cleaned(first: &Self) -> Self {
        let (disk, handles) = (Arc::clone(&first.disk), Arc::clone(&first.handles));
        let files = Self::new(disk, handles, Arc::clone(&first.dir), first.base);
        files.cleaned.store(true, Ordering::SeqCst);
        files
    }

    /// The files have the names of a segment from here on.
    pub(crate) fn take_final_names(&self) {
        self.cleaned.store(false, Ordering::SeqCst);
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Where a file is now.
    pub(crate) fn path(&self, kind: FileKind) -> PathBuf {
        let path = self.final_path(kind);
        if self.cleaned.load(Ordering::SeqCst) { with_suffix(&path, CLEANED_SUFFIX) } else { path }
    }

    /// Where a file is once it is part of the log.
    pub(crate) fn final_path(&self, kind: FileKind) -> PathBuf {
        self.dir.join(FileName { base: self.base, kind }.to_string())
    }

    /// The open file; opened if it is not.
    pub(crate) fn get(self: &Arc<Self>, kind: FileKind) -> io::Result<Arc<dyn File>> {
        self.get_or(kind, OpenMode::Write)
    }

    /// The open file; opened if it is not, created if it does not exist. True in second place if it was created.
    pub(crate) fn get_or_create(self: &Arc<Self>, kind: FileKind) -> io::Result<(Arc<dyn File>, bool)> {
        match self.get(kind) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_retired() => {
                Ok((self.get_or(kind, OpenMode::CreateNew)?, true))
            }
            result => Ok((result?, false)),
        }
    }

    fn get_or(self: &Arc<Self>, kind: FileKind, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.used.store(true, Ordering::Relaxed);
        let place = kind as usize;
        if let Some(Some(file)) = self.open.lock().get(place) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path(kind), mode)?;
        // Between the look and the opening, the name may have come to mean another segment's file.
        if self.is_retired() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the segment is no longer part of the log"));
        }
        if let Some(slot) = self.open.lock().get_mut(place) {
            *slot = Some(Arc::clone(&file));
        }
        self.handles.admit(self);
        Ok(file)
    }

    /// Closes every file; those still in use elsewhere close when they are done.
    pub(crate) fn close(&self) {
        let closed = std::mem::take(&mut *self.open.lock());
        drop(closed);
    }

    /// From here on nothing is opened by name any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_disk::FsDisk;

    #[test]
    fn no_more_files_than_the_bound_stay_open() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(FsDisk::open(dir.path()).unwrap());
        disk.create_dir(Path::new("t-0")).unwrap();
        let handles = Arc::new(Handles::new(3));
        let segments: Vec<_> = (0..10)
            .map(|base| {
                let (disk, handles) = (Arc::clone(&disk), Arc::clone(&handles));
                Arc::new(SegmentFiles::new(disk, handles, Path::new("t-0").into(), Offset::new(base)))
            })
            .collect();
        for segment in &segments {
            assert!(segment.get_or_create(FileKind::Log).unwrap().1);
            assert!(handles.len() <= 3);
        }
        let open = segments.iter().filter(|s| s.open.lock().iter().any(Option::is_some)).count();
        assert!(open <= 3, "{open}");
        assert_eq!(handles.open_files(), open);
        // Opened again on demand, and no longer once retired.
        assert!(!segments[0].get_or_create(FileKind::Log).unwrap().1);
        segments[1].retire();
        assert!(segments[1].get(FileKind::Log).is_err());
    }
}
