//! Bits that the device turned over: where, in which batch, and whether they still stand.
//!
//! Only what the formats can tell is turned over: batches from their CRC on (and their length), offset and time indexes,
//! whose entries are compared with the batches they name, and producer snapshots, which have a CRC. Kafka's formats
//! protect neither a batch's base offset and leader epoch nor the checkpoint files.

use std::path::{Path, PathBuf};

use ottla_record::{BatchView, Offset};

use crate::disk::{Content, SimDisk};
use crate::rng::Rng;

/// One bit.
#[derive(Clone, Debug)]
pub struct Damage {
    path: PathBuf,
    byte: u64,
    bit: u8,
    /// What the whole byte is with the bit turned over.
    turned: u8,
    /// The batch it is in: first and last offset. `None` for an index or a snapshot.
    pub batch: Option<(Offset, Offset)>,
}

impl Damage {
    /// Turns over a bit of a partition's files. `None` if there is nothing to turn over.
    pub fn draw(disk: &SimDisk, dir: &Path, rng: &mut Rng) -> Option<Self> {
        let kind = match rng.below(10) {
            0..6 => "log",
            6 | 7 => "index",
            8 => "timeindex",
            _ => "snapshot",
        };
        let files: Vec<(PathBuf, Content)> = disk
            .image()
            .files()
            .into_iter()
            .filter(|(path, content)| {
                path.parent() == Some(dir)
                    && path.extension().is_some_and(|found| found == kind)
                    && !content.is_empty()
            })
            .collect();
        let (path, content) = rng.pick(&files)?;
        let (byte, batch) = if kind == "log" {
            let batches = batches(content);
            let (position, len, first, last) = *rng.pick(&batches)?;
            // The length, or anything from the magic on.
            let within = if rng.chance(1, 12) { rng.range(8, 11) } else { rng.range(16, len - 1) };
            (position + within, Some((first, last)))
        } else {
            (rng.below(content.len()), None)
        };
        let mut there = [0];
        content.read(&mut there, byte);
        let bit = u8::try_from(rng.below(8)).unwrap_or(0);
        let damage = Self { path: path.clone(), byte, bit, turned: there[0] ^ (1 << bit), batch };
        damage.turn(disk);
        Some(damage)
    }

    /// Turns the bit over, or back.
    pub fn turn(&self, disk: &SimDisk) {
        disk.flip(&self.path, self.byte, self.bit);
    }

    /// True if the bit stands turned over: the file is there and nothing was written in its place.
    pub fn stands(&self, disk: &SimDisk) -> bool {
        disk.byte(&self.path, self.byte) == Some(self.turned)
    }
}

/// Position, length, first and last offset of each batch in a segment.
fn batches(content: &Content) -> Vec<(u64, u64, Offset, Offset)> {
    let mut bytes = vec![0; usize::try_from(content.len()).unwrap_or(0)];
    content.read(&mut bytes, 0);
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(view) = bytes.get(position..).and_then(|rest| BatchView::parse(rest).ok()) {
        if view.verify_crc().is_err() {
            break;
        }
        found.push((position as u64, view.len() as u64, view.base_offset(), view.last_offset()));
        position += view.len();
    }
    found
}
