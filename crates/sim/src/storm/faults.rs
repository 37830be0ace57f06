//! What goes wrong in a run: the disk's faults by plan, bits turned over, clocks that jump, and the ends of processes.

use ottla_record::Timestamp;

use super::Run;
use super::broker::Broker;
use super::damage::Damage;
use crate::disk::{Fault, OpKind, Planned};
use crate::rng::Rng;

/// How a process is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Killed, or its power cut.
    Crash,
    /// Asked to stop.
    Stop,
}

impl Run {
    /// Something goes wrong, now or soon. If it is the end of the process, says how.
    pub(super) fn fault(&mut self, broker: &mut Broker, seed: u64) -> Option<End> {
        let mut rng = Rng::new(seed);
        self.world.tally.faults += 1;
        match rng.below(100) {
            0..30 => self.fail_soon(),
            30..42 => self.damage(&mut rng),
            42..50 => self.fill_or_empty(&mut rng),
            50..58 => {
                self.short_reads = if self.short_reads > 0 { 0 } else { rng.range(2, 8) };
                self.disk.shorten_reads(self.short_reads);
            }
            58..66 => {
                let hours = 3_600_000 * i64::try_from(rng.range(1, 60)).unwrap_or(1) / 60;
                let jump = if rng.chance(1, 2) { hours } else { -hours };
                self.note(|| format!("the wall clock jumps by {jump} ms"));
                self.world.wall = Timestamp::from_millis(self.world.wall.millis() + jump);
            }
            66..74 => self.slow_down(&mut rng),
            74..80 => {
                // Only what the kernel calls clean goes; after a failed sync that is not what was written.
                if !broker.failed && self.disk.failed_syncs() == 0 {
                    self.disk.evict();
                }
            }
            80..90 => return Some(End::Crash),
            _ => return Some(End::Stop),
        }
        None
    }

    /// One of the next operations fails, or stops the machine.
    pub(super) fn fail_soon(&mut self) {
        let kinds = [OpKind::Read, OpKind::Write, OpKind::Sync, OpKind::Name];
        let kind = *self.faults.pick(&kinds).unwrap_or(&OpKind::Write);
        let fault = match (kind, self.faults.below(10)) {
            (OpKind::Write, 0 | 1) => Fault::NoSpace,
            (OpKind::Write, 2 | 3) => Fault::OffMidway,
            (_, 0..4) => Fault::Off,
            _ => Fault::Io,
        };
        let at = self.disk.count(kind) + self.faults.below(SOON);
        self.note(|| format!("{fault:?} planned for {kind:?} {at}"));
        self.disk.plan(Planned { kind, at, fault });
    }

    /// The device is slow for a while.
    fn slow_down(&mut self, rng: &mut Rng) {
        for kind in [OpKind::Read, OpKind::Write, OpKind::Sync] {
            for after in 0..rng.below(12) {
                let at = self.disk.count(kind) + after;
                self.disk.plan(Planned { kind, at, fault: Fault::Slow });
            }
        }
    }

    /// Others fill the disk, or make room again.
    fn fill_or_empty(&mut self, rng: &mut Rng) {
        self.capacity = match self.capacity {
            Some(_) => None,
            None => Some(self.disk.image().used() + rng.below(4_000)),
        };
        let capacity = self.capacity;
        self.note(|| format!("room on the disk: {capacity:?}"));
        self.disk.set_capacity(capacity.unwrap_or(u64::MAX));
    }

    /// The device turns over a bit.
    fn damage(&mut self, rng: &mut Rng) {
        let number = rng.index(self.world.partitions.len());
        let Some(clients) = self.world.partitions.get_mut(number) else { return };
        let Some(damage) = Damage::draw(&self.disk, &clients.name.directory(), rng) else { return };
        clients.indexes_damaged |= damage.batch.is_none();
        let said = format!("{damage:?}");
        clients.damage.push(damage);
        self.note(|| said);
    }
}

/// A planned fault comes within so many operations.
const SOON: u64 = 25;
