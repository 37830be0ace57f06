//! A disk that reads as the port allows it: any number of bytes at a time, and interrupted now and then. Everything
//! that is opened, looked up and read through it is as from a disk that fills every buffer.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_record::{Offset, Timestamp};
use ottla_storage::{Disk, File};

use crate::any_files::{self, Input};
use crate::directory::root_on;
use crate::replay::corpus;
use crate::wrapped_disk::{Wrap, WrappedDisk};

/// Any disk, read in pieces that follow from a seed.
pub(crate) fn short_reads(inner: Arc<dyn Disk>, seed: u64) -> Arc<dyn Disk> {
    Arc::new(WrappedDisk { inner, wrap: Pieces(Arc::new(AtomicU64::new(seed))) })
}

#[derive(Debug)]
struct Pieces(Arc<AtomicU64>);

impl Wrap for Pieces {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(ShortFile { inner, random: Arc::clone(&self.0) })
    }
}

#[derive(Debug)]
struct ShortFile {
    inner: Arc<dyn File>,
    random: Arc<AtomicU64>,
}

/// SplitMix64.
fn next(random: &AtomicU64) -> u64 {
    let step = 0x9e37_79b9_7f4a_7c15;
    let mut z = random.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl File for ShortFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let random = next(&self.random);
        if random.is_multiple_of(8) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // Down to one byte; mostly large pieces, so that a scan of 256 KiB does not take a day.
        let piece = 1 + (random >> 8) as usize % buf.len().max(1);
        let len = piece.min(buf.len());
        self.inner.read_at(&mut buf[..len], position)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn write_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.inner.write_at(slices, position)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.inner.reserve(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        // What is sent from a descriptor does not pass here.
        None
    }
}

/// What a start makes of an input, and what readers then find: all of it in one text.
fn outcome(input: &Input, disk: Arc<dyn Disk>) -> String {
    let root = root_on(disk, 0);
    let (mut log, recovery) = match any_files::open(&root, &input.config, input.start) {
        Ok(opened) => opened,
        Err(error) => return error.to_string(),
    };
    let view = log.view();
    let end = log.log_end();
    let found: Vec<_> = (0..60)
        .map(|number| {
            let slice = view.read(Offset::new(number), 300, end, true).map(|slice| {
                slice.map(|slice| (slice.position, slice.base_offset, slice.read().map_err(|e| e.kind())))
            });
            let at = Timestamp::from_millis(1_600_000_000_000 + number * 1_000_000);
            let slice = slice.map_err(|error| error.to_string());
            (slice, view.offset_for_timestamp(at, end).map_err(|error| error.to_string()))
        })
        .collect();
    let aborted = view.aborted_transactions(Offset::ZERO, end).map_err(|error| error.to_string());
    let point = log.checkpoint().map_err(|error| error.to_string());
    root.store_checkpoints().unwrap();
    let (epochs, producers) = (log.leader_epochs(), log.producers());
    format!("{recovery:?} {end} {found:?} {aborted:?} {point:?} {epochs:?} {producers:?}")
}

#[test]
fn what_is_read_in_pieces_is_what_is_there() {
    let mut opened = 0;
    for entry in fs::read_dir(corpus("index_recover")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let Some(input) = Input::read(&bytes) else { continue };
        let whole = Arc::new(input.disk());
        let expected = outcome(&input, Arc::clone(&whole) as _);
        opened += usize::from(expected.starts_with("Recovery"));
        for seed in 0..8 {
            let pieces = Arc::new(input.disk());
            let got = outcome(&input, short_reads(Arc::clone(&pieces) as _, seed));
            assert_eq!(got, expected, "seed {seed}");
            assert_eq!(pieces.contents(), whole.contents(), "seed {seed}");
        }
    }
    assert!(opened >= 5, "{opened} logs were opened");
}
