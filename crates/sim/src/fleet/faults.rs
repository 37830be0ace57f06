//! What goes wrong in a run: processes, networks, disks and controllers, and the ends of all that.

use super::Fleet;
use super::happening::{Happening, Recovery};
use super::machine::around;
use super::network::Site;
use super::process::End;
use super::queue::Micros;
use super::shape::{MILLI, SECOND};
use crate::disk::{Fault, OpKind, Planned};
use crate::invariants::Violation;

type Verdict = Result<(), Violation>;

impl Fleet {
    /// Something goes wrong.
    pub(super) fn fault(&mut self) -> Verdict {
        if self.healing {
            return Ok(());
        }
        self.queue.plan(self.now + around(self.shape.fault_every, &mut self.rng), Happening::Fault);
        self.tally.faults += 1;
        let one = self.rng.index(self.machines.len());
        match self.rng.below(100) {
            0..14 => self.end(one, End::Killed),
            14..18 => self.end_some(End::Killed),
            18..21 => self.end_all(End::Killed),
            21..31 => self.end(one, self.cut_or_kill()),
            31..34 => self.end_some(self.cut_or_kill()),
            34..38 => self.end_all(self.cut_or_kill()),
            38..48 => {
                let long = if self.rng.chance(1, 8) { 60 } else { 8 };
                let time = self.rng.range(300 * MILLI, long * SECOND);
                self.pause(one, time);
                Ok(())
            }
            48..70 => {
                self.cut_links(one);
                Ok(())
            }
            70..75 => {
                self.slow_links(one);
                Ok(())
            }
            75..79 => {
                self.slow_disk(one);
                Ok(())
            }
            79..86 => {
                self.fail_disk_soon(one);
                Ok(())
            }
            86..93 => {
                self.note(|| format!("broker {} is asked to stop", one + 1));
                self.stop(one);
                Ok(())
            }
            93..96 => {
                self.become_controller(one);
                Ok(())
            }
            96..98 => self.lose_directory(one),
            _ => {
                let other = self.site(one);
                self.network.reset(Site::Broker(one), other);
                Ok(())
            }
        }
    }

    /// A machine's disk is replaced by an empty one, if nobody depends on it alone.
    fn lose_directory(&mut self, one: usize) -> Verdict {
        let id = super::machine::id_of(one);
        let is_alone = |ledger: &super::ledger::Ledger| {
            let partition = self.metadata.head.partition(ledger.topic, ledger.index());
            partition.is_some_and(|partition| {
                partition.isr.contains(&id) && self.keepers(&partition.isr).iter().all(|other| *other == id)
            })
        };
        if self.ledgers.iter().any(|ledger| !ledger.lossy && is_alone(ledger)) {
            return self.end(one, self.cut_or_kill());
        }
        self.end(one, End::Killed)?;
        self.note(|| format!("broker {} has lost its directory", one + 1));
        self.tally.lost_directories += 1;
        let seed = self.rng.next();
        let empty = super::metadata::Metadata::new().head;
        if let Some(machine) = self.machines.get_mut(one) {
            machine.lose_directory(&empty, seed);
        }
        for copy in self.ledgers.iter_mut().filter_map(|ledger| ledger.copies.get_mut(one)) {
            *copy = super::ledger::Copy::default();
        }
        Ok(())
    }

    fn cut_or_kill(&self) -> End {
        if self.shape.power { End::PowerCut } else { End::Killed }
    }

    fn end_some(&mut self, end: End) -> Verdict {
        for broker in 0..self.machines.len() {
            if self.rng.chance(1, 2) {
                self.end(broker, end)?;
            }
        }
        Ok(())
    }

    fn end_all(&mut self, end: End) -> Verdict {
        (0..self.machines.len()).try_for_each(|broker| self.end(broker, end))
    }

    fn pause(&mut self, broker: usize, time: Micros) {
        let until = self.now + time;
        let Some(machine) = self.machines.get_mut(broker) else { return };
        if machine.process.is_none() || machine.paused.is_some() {
            return;
        }
        machine.paused = Some(until);
        self.tally.pauses += 1;
        self.note(|| format!("broker {} is paused for {} ms", broker + 1, time / MILLI));
        self.queue.plan(until, Happening::Resume { broker, pause: until });
    }

    /// A paused process goes on, with everything that has come meanwhile.
    pub(super) fn resume(&mut self, broker: usize, pause: u64) {
        let Some(machine) = self.machines.get_mut(broker) else { return };
        if machine.paused != Some(pause) {
            return;
        }
        machine.paused = None;
        for happening in std::mem::take(&mut machine.frozen) {
            self.queue.plan(self.now, happening);
        }
    }

    /// Some site other than a broker.
    fn site(&mut self, than: usize) -> Site {
        match self.rng.index(self.machines.len() + 1) {
            number if number == self.machines.len() || number == than => Site::Clients,
            number => Site::Broker(number),
        }
    }

    fn cut_links(&mut self, one: usize) {
        let here = Site::Broker(one);
        let count = self.machines.len();
        let others: Vec<Site> = (0..count).filter(|n| *n != one).map(Site::Broker).collect();
        let both = |other: Site| [(here, other), (other, here)];
        let links: Vec<(Site, Site)> = match self.rng.below(9) {
            // From everybody.
            0 => others.iter().copied().chain([Site::Clients]).flat_map(both).collect(),
            // From the other brokers; clients reach it.
            1 | 2 => others.iter().copied().flat_map(both).collect(),
            // From clients only.
            3 => both(Site::Clients).into(),
            // One way.
            4 => others.iter().map(|other| (here, *other)).collect(),
            5 => others.iter().map(|other| (*other, here)).collect(),
            // From the controller only.
            6 => {
                let controller = self.metadata.controller.map_or(0, |(controller, _)| controller);
                if controller == one {
                    both(self.site(one)).into()
                } else {
                    both(Site::Broker(controller)).into()
                }
            }
            // A ring: each sees its neighbours only.
            7 if count > 3 => (0..count)
                .flat_map(|a| (0..count).map(move |b| (a, b)))
                .filter(|(a, b)| a != b && (a + 1) % count != *b && (b + 1) % count != *a)
                .map(|(a, b)| (Site::Broker(a), Site::Broker(b)))
                .collect(),
            // From one site.
            _ => both(self.site(one)).into(),
        };
        self.note(|| format!("cut: {links:?}"));
        for (from, to) in &links {
            self.network.set_cut(*from, *to, true);
        }
        // Flapping at half the session, or longer than it.
        let time =
            if self.rng.chance(1, 3) { self.rng.below(SECOND) } else { self.rng.range(SECOND, 15 * SECOND) };
        self.queue.plan(self.now + time, Happening::FaultEnds(Recovery::Free(links)));
    }

    fn slow_links(&mut self, one: usize) {
        let other = self.site(one);
        let links = vec![(Site::Broker(one), other), (other, Site::Broker(one))];
        let slow = self.rng.range(10 * MILLI, SECOND);
        for (from, to) in &links {
            self.network.set_slow(*from, *to, slow);
        }
        self.note(|| format!("{links:?} take {} ms more", slow / MILLI));
        let time = self.rng.range(SECOND, 10 * SECOND);
        self.queue.plan(self.now + time, Happening::FaultEnds(Recovery::Quicken(links)));
    }

    fn slow_disk(&mut self, one: usize) {
        let slow = self.rng.range(10, 300);
        if let Some(machine) = self.machines.get_mut(one) {
            machine.slow = slow;
        }
        self.note(|| format!("the disk of broker {} is {slow} times slower", one + 1));
        let time = self.rng.range(SECOND, 10 * SECOND);
        self.queue.plan(self.now + time, Happening::FaultEnds(Recovery::QuickDisk(one)));
    }

    /// One of the next operations of a disk fails, or stops its machine.
    fn fail_disk_soon(&mut self, one: usize) {
        let kinds = [OpKind::Write, OpKind::Sync, OpKind::Name];
        let kind = *self.rng.pick(&kinds).unwrap_or(&OpKind::Write);
        let power = self.shape.power;
        let fault = match (kind, self.rng.below(10)) {
            (OpKind::Write, 0..3) => Fault::OffMidway,
            // Without `fsync` a disk that fails loses what was acknowledged.
            (_, 0..7) => Fault::Off,
            _ if power => Fault::Io,
            _ => Fault::Off,
        };
        let after = self.rng.below(40);
        self.note(|| {
            format!("{fault:?} for the disk of broker {}, in {after} operations ({kind:?})", one + 1)
        });
        if let Some(machine) = self.machines.get_mut(one) {
            let at = machine.disk.count(kind) + after;
            machine.disk.plan(Planned { kind, at, fault });
        }
    }

    /// A fault is over.
    pub(super) fn recover(&mut self, recovery: Recovery) {
        match recovery {
            Recovery::Free(links) => {
                for (from, to) in links {
                    self.network.set_cut(from, to, false);
                }
            }
            Recovery::Quicken(links) => {
                for (from, to) in links {
                    self.network.set_slow(from, to, 0);
                }
            }
            Recovery::QuickDisk(broker) => {
                if let Some(machine) = self.machines.get_mut(broker) {
                    machine.slow = 1;
                }
            }
        }
    }

    /// No more faults: networks and disks work, whoever was paused goes on. Whoever was down starts soon.
    pub(super) fn heal(&mut self) {
        self.healing = true;
        self.heals_at = self.now;
        self.network.heal();
        self.note(|| "all faults stopped".to_owned());
        for broker in 0..self.machines.len() {
            if let Some(machine) = self.machines.get_mut(broker) {
                machine.slow = 1;
                machine.disk.heal();
            }
            if let Some(pause) = self.machines.get(broker).and_then(|machine| machine.paused) {
                self.resume(broker, pause);
            }
        }
    }
}
