//! What lies behind every clone and every open file of one simulated disk: the image, the counters, the faults to come.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::crash;
use super::fault::{self, Fault, OpKind, Planned};
use super::image::{FileOp, Image, Inode, NameOp, Node};
use super::moment::{CrashPoint, Operation};
use crate::rng::{Rng, mix};

#[derive(Debug)]
pub(super) struct State {
    pub(super) image: Image,
    pub(super) rng: Rng,
    /// Number of the next operation that changes something.
    pub(super) seq: u64,
    /// Operations seen, by [`OpKind`].
    pub(super) counts: [u64; 4],
    pub(super) plan: Vec<Planned>,
    pub(super) off: bool,
    /// Nothing is counted and nothing fails: the checker is reading.
    pub(super) quiet: bool,
    pub(super) failed_syncs: u64,
    pub(super) capacity: u64,
    /// One read in so many is short; 0 for none.
    pub(super) short_reads: u64,
    /// Draws which reads are short; apart from `rng`, so that reading does not change what failing writes leave.
    reads: Rng,
    /// Every crash point since the last [`SimDisk::take_crash_points`]; `None` if nobody asked.
    pub(super) points: Option<Vec<CrashPoint>>,
    pub(super) trace: u64,
    pub(super) elapsed: Duration,
}

impl State {
    pub(super) fn new(image: Image, seed: u64) -> Self {
        Self {
            image,
            rng: Rng::new(seed),
            seq: 1,
            counts: [0; 4],
            plan: Vec::new(),
            off: false,
            quiet: false,
            failed_syncs: 0,
            capacity: u64::MAX,
            short_reads: 0,
            reads: Rng::new(mix(seed ^ 0x7ead)),
            points: None,
            trace: 0,
            elapsed: Duration::ZERO,
        }
    }

    /// How many of `wanted` bytes the next read gives.
    pub(super) fn shortened(&mut self, wanted: usize) -> usize {
        let short =
            !self.quiet && self.short_reads > 0 && wanted > 1 && self.reads.chance(1, self.short_reads);
        if short { 1 + self.reads.index(wanted - 1) } else { wanted }
    }

    /// Counts an operation, keeps a crash point, and says which fault it is to show.
    pub(super) fn begin(
        &mut self,
        kind: OpKind,
        operation: Operation,
        in_flight: Option<(Inode, &FileOp)>,
    ) -> Result<Option<Fault>, io::Error> {
        if self.off {
            return Err(fault::power_off());
        }
        if self.quiet {
            return Ok(None);
        }
        let verb = operation.verb.as_bytes().first().copied().unwrap_or(0);
        self.note(u64::from(verb) << 56 ^ operation.position << 24 ^ operation.len);
        let [read, write, sync, name] = &mut self.counts;
        let syncs = *sync;
        let count = match kind {
            OpKind::Read => read,
            OpKind::Write => write,
            OpKind::Sync => sync,
            OpKind::Name => name,
        };
        let number = *count;
        *count += 1;
        if kind != OpKind::Read
            && let Some(points) = &mut self.points
        {
            let in_flight = in_flight.map(|(inode, op)| (inode, op.clone()));
            points.push(CrashPoint { syncs, before: operation, image: self.image.clone(), in_flight });
        }
        let planned = self.plan.iter().position(|p| p.kind == kind && p.at == number);
        let Some(fault) = planned.map(|index| self.plan.swap_remove(index).fault) else { return Ok(None) };
        self.note(fault as u64 + 1);
        match fault {
            Fault::Slow => self.elapsed += SLOW,
            Fault::OffMidway => {
                if let Some((inode, op)) = in_flight {
                    self.change_in_part(inode, op);
                }
                self.off = true;
            }
            Fault::Off => self.off = true,
            Fault::Io | Fault::NoSpace => self.failed_syncs += u64::from(kind == OpKind::Sync),
        }
        match fault {
            Fault::Off | Fault::OffMidway => Err(fault::power_off()),
            Fault::Slow => Ok(None),
            Fault::Io | Fault::NoSpace => Ok(Some(fault)),
        }
    }

    /// As [`State::begin`] for an operation that does nothing at all when it fails.
    pub(super) fn begin_or_fail(&mut self, kind: OpKind, operation: Operation) -> io::Result<()> {
        match self.begin(kind, operation, None)?.and_then(fault::error) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn note(&mut self, what: u64) {
        self.trace = mix(self.trace ^ what);
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Makes a change to a file: visible at once, durable later.
    pub(super) fn change(&mut self, inode: Inode, op: FileOp) -> io::Result<()> {
        let seq = self.next_seq();
        let file = self.image.file_mut(inode).ok_or(io::ErrorKind::NotFound)?;
        op.apply(&mut file.written);
        file.pending.push((seq, op));
        Ok(())
    }

    /// Does a part of an operation that then fails.
    pub(super) fn change_in_part(&mut self, inode: Inode, op: &FileOp) {
        if let FileOp::Write { position, bytes } = op {
            let part = bytes.split_at(self.rng.index(bytes.len() + 1)).0.into();
            // A handle's file is there as long as the handle is; a failure here is the failure that is on its way.
            let _ = self.change(inode, FileOp::Write { position: *position, bytes: part });
        }
    }

    pub(super) fn rename_in(&mut self, dir: Inode, op: NameOp) -> io::Result<()> {
        let seq = self.next_seq();
        let dir = self.image.dir_mut(dir).ok_or(io::ErrorKind::NotFound)?;
        op.apply(&mut dir.written);
        dir.pending.push((seq, op));
        Ok(())
    }

    /// Makes a file or directory durable.
    fn sync(&mut self, inode: Inode) -> io::Result<()> {
        if let Some(file) = self.image.file_mut(inode) {
            // Not a copy of `written`: what a failed sync lost stays lost.
            for (_, op) in std::mem::take(&mut file.pending) {
                op.apply(&mut file.synced);
            }
            return Ok(());
        }
        let dir = self.image.dir_mut(inode).ok_or(io::ErrorKind::NotFound)?;
        for (_, op) in std::mem::take(&mut dir.pending) {
            op.apply(&mut dir.synced);
        }
        Ok(())
    }

    /// Loses what a failed sync should have written, but for the part the device happened to have taken. Readers go on
    /// seeing it, and the next sync does not write it. Sizes and names are the file system's: they stay to be synced.
    fn fail_sync(&mut self, inode: Inode) {
        let mut rng = self.rng.fork(inode.0);
        let seq = self.next_seq();
        let Some(file) = self.image.file_mut(inode) else { return };
        let mut kept = Vec::new();
        for (seq, op) in std::mem::take(&mut file.pending) {
            match op {
                FileOp::Write { .. } if rng.chance(1, 2) => crash::tear(&op, &mut file.synced, &mut rng),
                FileOp::Write { .. } => {}
                FileOp::SetLen(_) => kept.push((seq, op)),
            }
        }
        kept.push((seq, FileOp::SetLen(file.written.len())));
        file.pending = kept;
    }

    pub(super) fn sync_or_fail(&mut self, inode: Inode, operation: Operation) -> io::Result<()> {
        match self.begin(OpKind::Sync, operation, None)?.and_then(fault::error) {
            Some(error) => {
                self.fail_sync(inode);
                Err(error)
            }
            None => self.sync(inode),
        }
    }

    /// The directory and the last name of a path.
    pub(super) fn parent_of(&self, path: &Path) -> io::Result<(Inode, Arc<str>)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.image.lookup(path.parent().unwrap_or_else(|| Path::new("")));
        let parent = parent.ok_or(io::ErrorKind::NotFound)?;
        Ok((parent, name.into()))
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        self.image.lookup(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<Inode> {
        let (parent, name) = self.parent_of(path)?;
        let inode = self.image.add(node);
        self.rename_in(parent, NameOp::Link { name, to: inode })?;
        Ok(inode)
    }
}
/// What a slow operation takes.
const SLOW: Duration = Duration::from_millis(100);
