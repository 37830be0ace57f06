//! Crash enumeration around a sync that fails once: what it should have written stays in the page cache, clean, and is
//! not on the device. The broker goes offline and is started again; nothing acknowledged may be lost by then, and nothing
//! that the new process serves may be lost by a power cut after that.

use crate::broker::{Process, StartError, World};
use crate::disk::{Fault, OpKind, Planned, SimDisk};
use crate::explore::{Crash, Life, Moments, Story};
use crate::invariants::Violation;
use crate::rng::Rng;
use crate::scenario::{PROFILES, Profile};

/// A scenario in whose first life a sync fails.
#[derive(Clone, Copy, Debug)]
pub struct FailedSync(pub Profile);

/// The scenarios that promise durability. (With `os`, what a failed write-back loses was only ever promised from the
/// page cache.)
pub fn stories() -> impl Iterator<Item = FailedSync> {
    let durable = |profile: &&Profile| profile.durability == ottla_replication::Durability::Fsync;
    PROFILES.iter().filter(durable).map(|profile| FailedSync(*profile))
}

impl Story for FailedSync {
    type World = World;

    fn name(&self) -> String {
        format!("{}-and-a-failed-sync", self.0.name)
    }

    fn world(&self) -> World {
        self.0.world()
    }

    fn live(
        &self,
        disk: &SimDisk,
        world: &mut World,
        life: Life,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        if life.number > 0 {
            return self.0.live(disk, world, life, moments);
        }
        let mut rng = Rng::new(life.seed);
        disk.plan(Planned { kind: OpKind::Sync, at: rng.range(0, SYNCS), fault: Fault::Io });
        let mut process = match Process::start(disk, &self.0.config(), world, moments) {
            Ok(process) => process,
            Err(StartError::Violation(violation)) => return Err(violation),
            // The sync that failed was one of the start's.
            Err(StartError::Open(_)) => return Ok(()),
        };
        // What comes after the failure is refused; a little of it belongs to the story.
        let mut after = AFTER;
        for _ in 0..self.0.actions {
            let action = self.0.draw(&mut rng);
            self.0.act(action, &mut process, world, moments, &mut rng)?;
            if process.failed {
                after -= 1;
            }
            if after == 0 {
                break;
            }
        }
        process.check(&world.oracle)
    }

    fn crashed(&self, world: &mut World, crash: Crash) {
        self.0.crashed(world, crash);
    }
}

/// Among so many syncs of the first life is the one that fails.
const SYNCS: u64 = 40;
/// Actions after it.
const AFTER: usize = 4;
