//! Random fault runs: one seed fixes several partitions on one disk, the clients that write to and read from them, and
//! every fault. While faults come, every promise is checked after every event; then they stop, and everything that was
//! asked must be answered.
//!
//! | module | what it holds |
//! |---|---|
//! | [`shape`] | what the seed fixes before anything happens |
//! | [`world`] | what outlives the broker: clients, metadata, clock, known damage |
//! | [`broker`] | the process: partitions driven as `node` drives them |
//! | [`flush_rounds`] | group flush, with a device that finishes in any order |
//! | [`workload`] | what clients and operators do |
//! | [`cleaner`] | compaction of some partitions |
//! | [`faults`] | what goes wrong |
//! | [`answers`], [`consumer`], [`promises`] | what writers are told, what readers see, what must hold |
//! | [`damage`] | bits that the device turned over |
//!
//! After a failed sync the page cache holds, as clean, what the device does not have; at the death of the process any page
//! of it may go.

pub mod answers;
pub mod broker;
pub mod cleaner;
pub mod consumer;
pub mod damage;
pub mod faults;
pub mod flush_rounds;
pub mod promises;
pub mod shape;
pub mod workload;
pub mod world;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use self::broker::{Broker, StartError};
use self::shape::Shape;
use self::world::{Tally, World};
use crate::disk::{Image, SimDisk, Survival};
use crate::explore::message;
use crate::invariants::{Invariant, Violation, broken};
use crate::rng::{Rng, mix};

/// A promise broken in a run.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The last things that happened.
    pub trail: Vec<String>,
    /// What was broken.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        for line in &self.trail {
            writeln!(f, "  after {line}")?;
        }
        write!(f, "replay: cargo xtask sim --seed {}", self.seed)
    }
}

impl std::error::Error for Failure {}

/// Runs a seed to its end.
///
/// # Errors
/// The first broken promise. The same seed always finds the same one.
pub fn run(seed: u64) -> Result<Tally, Failure> {
    let mut run = Run::new(seed);
    let lived = catch_unwind(AssertUnwindSafe(|| run.live()));
    let result = lived.unwrap_or_else(|panic| Err(broken(Invariant::NoPanic, message(&*panic))));
    match result {
        Ok(()) => Ok(run.world.tally),
        Err(violation) => Err(Failure { seed, trail: run.trail.into(), violation }),
    }
}

/// One run.
pub struct Run {
    shape: Shape,
    /// Draws what happens. Faults and crashes have their own, so that a change to one keeps the others.
    rng: Rng,
    faults: Rng,
    /// The same for clients that were replaced.
    zombies: Rng,
    /// The same for compaction.
    cleaners: Rng,
    disk: SimDisk,
    world: World,
    /// Free space that is left to us, while others fill the disk.
    capacity: Option<u64>,
    short_reads: u64,
    trail: VecDeque<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(mix(seed ^ 0x5707_0a11));
        let shape = Shape::draw(&mut rng);
        let mut world = World::new(&shape, &mut rng);
        let mut cleaners = Rng::new(mix(seed ^ 0xc1ea_4e45));
        cleaner::choose(&mut world, &mut cleaners);
        let faults = rng.fork(1);
        let disk = SimDisk::new(Image::empty(), rng.next());
        let zombies = Rng::new(mix(seed ^ 0x2042_b1e5));
        Self {
            shape,
            rng,
            faults,
            zombies,
            cleaners,
            disk,
            world,
            capacity: None,
            short_reads: 0,
            trail: VecDeque::new(),
        }
    }

    fn live(&mut self) -> Result<(), Violation> {
        let mut broker = self.start()?;
        for _ in 0..self.shape.steps {
            broker = self.step(broker)?;
        }
        self.prove_progress(broker)
    }

    /// One thing happens, and everything is checked.
    fn step(&mut self, mut broker: Broker) -> Result<Broker, Violation> {
        self.world.tally.steps += 1;
        if self.faults.chance(1, self.shape.fault_every) {
            let plan = self.faults.next();
            if let Some(ended) = self.fault(&mut broker, plan) {
                self.end(broker, ended)?;
                return self.start();
            }
        }
        let number = self.rng.index(broker.hosts.len());
        self.act(number, &mut broker)?;
        if self.zombies.chance(1, 8) && !self.disk.is_off() {
            self.a_zombie_writes(number, &mut broker)?;
        }
        if self.cleaners.chance(1, 4) && !self.disk.is_off() {
            self.compact(number, &mut broker)?;
        }
        if self.disk.is_off() || broker.failed && self.faults.chance(1, 12) {
            self.end(broker, faults::End::Crash)?;
            return self.start();
        }
        if self.world.tally.steps.is_multiple_of(DEEP_CHECK_EVERY) {
            broker.check_deeply(number, &self.world)?;
        } else {
            broker.check(number, &self.world)?;
        }
        Ok(broker)
    }

    /// Ends a process and leaves the disk as the next one finds it.
    fn end(&mut self, mut broker: Broker, end: faults::End) -> Result<(), Violation> {
        if end == faults::End::Stop {
            // What is being synced is waited for, as in production: it may have failed.
            self.settle(&mut broker)?;
        }
        let sync_failed = self.disk.failed_syncs() > 0;
        let stopped = end == faults::End::Stop && !broker.failed && broker.stop();
        // What a stop that went well has left is durable; the power may go all the same.
        let cut = self.faults.chance(1, 2);
        self.note(|| {
            format!("the process ends (clean: {stopped}, power cut: {cut}, sync failed: {sync_failed})")
        });
        self.restart_machine(cut);
        if self.faults.chance(1, 2) {
            self.restore();
        }
        Ok(())
    }

    fn restart_machine(&mut self, cut: bool) {
        let sync_failed = self.disk.failed_syncs() > 0;
        let image = self.disk.image();
        let image = if cut {
            self.world.tally.power_cuts += 1;
            let survival = *self.faults.pick(&Survival::ALL).unwrap_or(&Survival::Nothing);
            image.power_cut(survival, &mut self.faults)
        } else {
            let mut image = image.process_death();
            if self.faults.chance(1, 2) {
                image.evict((1, 3), &mut self.faults);
            }
            image
        };
        self.world.crashed(cut || sync_failed);
        self.disk = SimDisk::new(image, self.faults.next());
        self.disk.shorten_reads(self.short_reads);
        if let Some(capacity) = self.capacity {
            self.disk.set_capacity(capacity);
        }
    }

    /// The operator restores damaged files from a backup.
    fn restore(&mut self) {
        for clients in &mut self.world.partitions {
            for damage in clients.damage.drain(..).filter(|damage| damage.stands(&self.disk)) {
                damage.turn(&self.disk);
            }
        }
    }

    /// Starts a process, again and again while the disk does not let it.
    fn start(&mut self) -> Result<Broker, Violation> {
        for attempt in 0..START_ATTEMPTS {
            if self.faults.chance(1, self.shape.fault_every) {
                self.fail_soon();
            }
            match Broker::start(&self.disk, self.shape.reserve_bytes, &mut self.world) {
                Ok(broker) if !self.disk.is_off() => {
                    let disk = self.disk.clone();
                    self.note(|| format!("a start, {} syncs in", disk.syncs()));
                    return Ok(broker);
                }
                Ok(_) | Err(StartError::Disk) => {}
                Err(StartError::Violation(violation)) => return Err(violation),
            }
            let cut = self.faults.chance(1, 2);
            self.note(|| format!("a start that the disk did not let through (power cut: {cut})"));
            if attempt > 2 {
                self.capacity = None;
            }
            self.restart_machine(cut);
        }
        Err(broken(Invariant::Progress, "the broker does not start, though faults have stopped"))
    }

    /// L1, L2. No more faults: damage is restored from a backup, and everything comes to rest with every request
    /// answered, every transaction ended, everything read to the end, and a clean stop that leaves nothing to recover.
    fn prove_progress(&mut self, broker: Broker) -> Result<(), Violation> {
        self.end(broker, faults::End::Crash)?;
        self.shape.fault_every = u64::MAX;
        (self.capacity, self.short_reads) = (None, 0);
        self.disk.heal();
        self.restore();
        self.note(|| "all faults stopped".to_owned());
        let mut broker = self.start()?;
        for _ in 0..REST_ROUNDS {
            for number in 0..broker.hosts.len() {
                self.finish(number, &mut broker)?;
            }
            self.settle(&mut broker)?;
            broker.pass(Duration::from_millis(1_100), &mut self.world);
            broker.keep(&mut self.world)?;
        }
        for number in 0..broker.hosts.len() {
            self.is_at_rest(number, &broker)?;
            broker.check_deeply(number, &self.world)?;
        }
        if broker.failed || broker.unanswered() > 0 {
            let found =
                format!("{} requests were not answered, failed: {}", broker.unanswered(), broker.failed);
            return Err(broken(Invariant::Progress, found));
        }
        if !broker.stop() {
            return Err(broken(Invariant::Progress, "a stop without faults was not clean"));
        }
        self.restart_machine(true);
        let broker = self.start()?;
        for number in 0..broker.hosts.len() {
            broker.check_deeply(number, &self.world)?;
        }
        Ok(())
    }

    /// Everything that waits to be synced is, and is reported.
    fn settle(&mut self, broker: &mut Broker) -> Result<(), Violation> {
        while !broker.rounds.is_idle() && !self.disk.is_off() {
            broker.rounds.step(&self.disk, &mut self.rng);
            while let Some((number, event)) = broker.rounds.report(&mut self.rng) {
                broker.handle(number, event, &mut self.world)?;
            }
        }
        Ok(())
    }

    fn is_at_rest(&self, number: usize, broker: &Broker) -> Result<(), Violation> {
        let stuck = |found: String| Err(broken(Invariant::Progress, found));
        let Some((host, clients)) = broker.serving(number, &self.world) else {
            return stuck(format!("partition {number} is offline"));
        };
        let view = &host.view;
        if view.high_watermark != view.log_end || view.last_stable != view.log_end {
            return stuck(format!(
                "partition {number} ends at {}, its high watermark is {}, its last stable offset {}",
                view.log_end, view.high_watermark, view.last_stable
            ));
        }
        if view.recovery_point != view.log_end {
            return stuck(format!("the recovery point stays at {} of {}", view.recovery_point, view.log_end));
        }
        let left: usize = clients.writers.iter().map(|writer| writer.producer.unanswered.len()).sum();
        if left > 0 || clients.readers.iter().any(|reader| !reader.is_done(view)) {
            return stuck(format!("{left} batches of partition {number} were not answered, or readers wait"));
        }
        Ok(())
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trail.len() == TRAIL {
            self.trail.pop_front();
        }
        self.trail.push_back(format!("step {}: {}", self.world.tally.steps, what()));
    }
}

/// Starts in a row that the disk may fail.
const START_ATTEMPTS: usize = 40;
/// Rounds in which everything must come to rest.
const REST_ROUNDS: usize = 12;
/// Every so many steps the indexes are gone through as well.
const DEEP_CHECK_EVERY: u64 = 16;
/// Things remembered for the message of a failure.
const TRAIL: usize = 20;
