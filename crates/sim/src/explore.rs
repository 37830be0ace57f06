//! Crash enumeration: a story is told once with every moment kept, then crashed at each of them and told on, and the
//! recovery and the life after it are crashed in their turn, the two kinds of crash alternating in both orders.
//!
//! A moment is the disk as it stands just before an operation, and what the world had been promised by then. It costs a
//! few pointers, so nothing has to be run again to reach the next one.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::disk::{CrashPoint, Image, Operation, SimDisk, Survival};
use crate::invariants::{Invariant, Violation, broken};
use crate::rng::{Rng, mix};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Killed between two operations: the page cache stays.
    Death,
    /// Killed in the middle of a write.
    DeathInMidWrite,
    /// The power goes: of what was not synced, some part stays.
    PowerCut(Survival),
}

impl Crash {
    /// True if the page cache goes with it.
    pub const fn cuts_power(self) -> bool {
        matches!(self, Self::PowerCut(_))
    }
}

/// A program of which each life begins with what the crash before left on the disk.
pub trait Story: Sync {
    /// What outlives the process: what clients remember, and the cluster's metadata.
    type World: Clone;

    /// Its name, for messages and for `cargo xtask sim`.
    fn name(&self) -> String;

    /// The world before the first life.
    fn world(&self) -> Self::World;

    /// One life: opens what is on the disk, checks all invariants, works. Life 0 is the scenario itself, later ones
    /// are short. Keeps every moment in `moments`.
    fn live(
        &self,
        disk: &SimDisk,
        world: &mut Self::World,
        life: Life,
        moments: &mut Moments<Self::World>,
    ) -> Result<(), Violation>;

    /// What the crash takes from the world: promises that held only as long as the page cache did.
    fn crashed(&self, world: &mut Self::World, crash: Crash);
}

/// Which life of a story this is.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// How many crashes came before.
    pub number: usize,
    /// Fixes what happens in it.
    pub seed: u64,
    /// It ends with the checks after opening; nothing is done.
    pub only_check: bool,
}

/// A moment at which a crash could hit.
struct Moment<W> {
    point: CrashPoint,
    world: Arc<W>,
}

/// Collects the moments of one life.
pub struct Moments<W> {
    kept: Option<Vec<Moment<W>>>,
}

impl<W: Clone> Moments<W> {
    /// Keeps nothing: for lives whose moments nobody looks at.
    pub const fn ignore() -> Self {
        Self { kept: None }
    }

    /// Keeps the crash points since the last call. `world` is what had been promised when they happened, with whatever
    /// was being attempted. To be called before an outcome is told to the world.
    pub fn keep(&mut self, disk: &SimDisk, world: &W) {
        let Some(kept) = &mut self.kept else { return };
        let points = disk.take_crash_points();
        if points.is_empty() {
            return;
        }
        let world = Arc::new(world.clone());
        kept.extend(points.into_iter().map(|point| Moment { point, world: Arc::clone(&world) }));
    }

    /// Keeps the moment as it is now: after the last operation.
    pub fn keep_now(&mut self, disk: &SimDisk, world: &W) {
        self.keep(disk, world);
        if let Some(kept) = &mut self.kept {
            kept.push(Moment { point: disk.crash_point_now(), world: Arc::new(world.clone()) });
        }
    }
}

/// How thoroughly a story is crashed.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// Seeded power cuts at each moment of the scenario, besides the one that keeps nothing.
    pub cuts: usize,
    /// Moments of each life after a first crash that are crashed again.
    pub second: usize,
    /// The same after a second crash.
    pub third: usize,
}

/// What was explored.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Distinct crash points: number of syncs before, and hash of what the crash left.
    pub points: BTreeSet<(u64, u64)>,
    /// Lives lived.
    pub lives: u64,
}

impl Coverage {
    /// Adds another exploration; what both reached counts once.
    pub fn add(&mut self, other: Self) {
        self.points.extend(other.points);
        self.lives += other.lives;
    }
}

/// A promise broken, with the crashes that led there.
#[derive(Debug)]
pub struct Failure {
    /// The story.
    pub story: String,
    /// Its seed.
    pub seed: u64,
    /// The crashes before, in order.
    pub crashes: Vec<String>,
    /// What was broken.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        for crash in &self.crashes {
            writeln!(f, "  after {crash}")?;
        }
        write!(f, "replay: cargo xtask sim --story {} --seed {}", self.story, self.seed)
    }
}

impl std::error::Error for Failure {}

/// Tells a story and crashes it at every moment.
///
/// # Errors
/// The first broken promise. The same story and seed always find the same one.
pub fn explore<S: Story>(story: &S, seed: u64, depth: Depth) -> Result<Coverage, Failure> {
    let mut explorer = Explorer { story, seed, depth, coverage: Coverage::default(), crashes: Vec::new() };
    match explorer.run() {
        Ok(()) => Ok(explorer.coverage),
        Err(violation) => Err(Failure { story: story.name(), seed, crashes: explorer.crashes, violation }),
    }
}

struct Explorer<'a, S: Story> {
    story: &'a S,
    seed: u64,
    depth: Depth,
    coverage: Coverage,
    crashes: Vec<String>,
}

impl<S: Story> Explorer<'_, S> {
    fn run(&mut self) -> Result<(), Violation> {
        let moments = self.live(Image::empty(), self.story.world(), 0, self.seed)?;
        let mut rng = Rng::new(mix(self.seed ^ 0x00c0_ffee));
        for (index, moment) in moments.iter().enumerate() {
            let mut crashes = vec![Crash::Death, Crash::PowerCut(Survival::Nothing)];
            if moment.point.is_write() {
                crashes.push(Crash::DeathInMidWrite);
            }
            if moment.point.image.is_dirty() {
                for _ in 0..self.depth.cuts {
                    let partly = Survival::ALL.split_at(1).1;
                    crashes.push(Crash::PowerCut(rng.pick(partly).copied().unwrap_or(Survival::Subset)));
                }
            }
            for crash in crashes {
                self.crash(moment, crash, 0, 1, mix(self.seed ^ (index as u64) << 8))?;
            }
        }
        Ok(())
    }

    fn live(
        &mut self,
        image: Image,
        mut world: S::World,
        number: usize,
        seed: u64,
    ) -> Result<Vec<Moment<S::World>>, Violation> {
        self.coverage.lives += 1;
        let disk = SimDisk::new(image, seed);
        disk.record_crash_points();
        // A port may read less than it was asked for: nobody may take that for the end of a file.
        disk.shorten_reads(SHORT_READS);
        let mut moments = Moments { kept: Some(Vec::new()) };
        let life = Life { number, seed, only_check: number >= LAST_LIFE };
        let alive = AssertUnwindSafe(|| self.story.live(&disk, &mut world, life, &mut moments));
        catch_unwind(alive).unwrap_or_else(|panic| Err(broken(Invariant::NoPanic, message(&*panic))))?;
        moments.keep_now(&disk, &world);
        Ok(moments.kept.unwrap_or_default())
    }

    /// Ends a life at this moment, lives the next one, and crashes that too.
    fn crash(
        &mut self,
        moment: &Moment<S::World>,
        crash: Crash,
        syncs_before: u64,
        number: usize,
        seed: u64,
    ) -> Result<(), Violation> {
        let mut rng = Rng::new(seed);
        let (image, hash) = match crash {
            Crash::Death => {
                let mut image = moment.point.image.process_death();
                // Of no effect but after a failed sync.
                if rng.chance(1, 2) {
                    image.evict((1, 3), &mut rng);
                }
                written(image)
            }
            Crash::DeathInMidWrite => written(moment.point.in_mid_write(&mut rng)),
            Crash::PowerCut(survival) => {
                // A write that the power interrupts may have come as far as the device in any part too.
                let image = match rng.chance(1, 2) {
                    true => moment.point.in_mid_write(&mut rng),
                    false => moment.point.image.clone(),
                };
                let left = image.power_cut(survival, &mut rng);
                let hash = left.durable_hash();
                (left, hash)
            }
        };
        let syncs = syncs_before + moment.point.syncs;
        if !self.coverage.points.insert((syncs, hash)) && number > 1 {
            return Ok(());
        }
        self.crashes.push(describe(crash, syncs, &moment.point.before));
        let mut world = (*moment.world).clone();
        self.story.crashed(&mut world, crash);
        let moments = self.live(image, world, number, rng.next())?;
        let width = match number {
            1 => self.depth.second,
            2 => self.depth.third,
            _ => 0,
        };
        for _ in 0..width {
            let Some(next) = rng.pick(&moments) else { break };
            // The other kind, so that each meets what the other left.
            let kind = match crash.cuts_power() {
                true if next.point.is_write() && rng.chance(1, 3) => Crash::DeathInMidWrite,
                true => Crash::Death,
                false if rng.chance(1, 2) => Crash::PowerCut(Survival::Nothing),
                false => Crash::PowerCut(*rng.pick(&Survival::ALL).unwrap_or(&Survival::Subset)),
            };
            self.crash(next, kind, syncs, number + 1, rng.next())?;
        }
        self.crashes.pop();
        Ok(())
    }
}

fn written(image: Image) -> (Image, u64) {
    let hash = image.written_hash();
    (image, hash)
}

fn describe(crash: Crash, syncs: u64, before: &Operation) -> String {
    let what = match crash {
        Crash::Death => "a kill".to_owned(),
        Crash::DeathInMidWrite => "a kill in the middle of it, begun just".to_owned(),
        Crash::PowerCut(survival) => format!("a power cut that kept {survival:?}"),
    };
    format!("{what} before '{before}', {syncs} syncs in")
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// One read in so many is short.
const SHORT_READS: u64 = 6;
/// The life after the third crash only checks what it finds.
const LAST_LIFE: usize = 3;
