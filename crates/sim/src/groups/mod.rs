//! Crash enumeration of a group coordinator: members of a classic and of a consumer-protocol group join, commit, fall
//! silent and come back, while the coordinator's shard runs on a partition whose disk cuts power, and is loaded again.
//!
//! | module | what it holds |
//! |---|---|
//! | [`process`] | the broker's process: the shard of production on the partition of production |
//! | [`classic`] | a member that joins and syncs, as Kafka's clients have for ten years |
//! | [`lone`] | a client in no group, whose offsets expire |
//! | [`consumer`] | a member of KIP-848: it heartbeats and is told what to hold |
//! | [`promises`] | what members were told, and what must hold of it: G1 to G4; what may be forgotten, and when it must be |

pub mod classic;
pub mod consumer;
pub mod lone;
pub mod process;
pub mod promises;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla_coordination::group::response::Response;
use ottla_coordination::group::settings::{
    Bounded, ClassicSettings, ConsumerSettings, GroupSettings, MigrationPolicy, OffsetSettings,
};
use ottla_record::Timestamp;

use self::classic::ClassicMember;
use self::consumer::ConsumerMember;
use self::lone::LoneClient;
use self::process::{Process, StartError};
use self::promises::Promises;
use crate::cluster::Cluster;
use crate::disk::SimDisk;
use crate::explore::{Crash, Life, Moments, Story};
use crate::invariants::{Invariant, Violation, broken};
use crate::rng::Rng;

/// Partitions of the topic that the groups read.
pub const PARTITIONS: i32 = 3;
/// Milliseconds of silence after which a member is no longer one.
pub const SESSION_MS: i32 = 600;
/// Milliseconds after which an offset of a client in no group is forgotten (`offsets.retention.minutes`). Of groups, nothing is forgotten while
/// they are read, or were read so shortly ago.
pub const RETENTION_MS: i64 = 700;
/// Milliseconds a member may take to come back, or to give partitions up.
pub const REBALANCE_MS: i32 = 1_500;

/// A coordinator and the members of its groups.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// Name of the story.
    pub name: &'static str,
    /// Members of the classic group.
    pub classic: usize,
    /// Members of the consumer-protocol group.
    pub consumer: usize,
    /// Clients in no group.
    pub lone: usize,
    /// Things that happen in the first life.
    pub actions: usize,
}

/// The stories of groups.
pub const GROUPS: &[Groups] = &[
    Groups { name: "classic-group", classic: 3, consumer: 0, lone: 0, actions: 300 },
    Groups { name: "consumer-group", classic: 0, consumer: 3, lone: 0, actions: 300 },
    Groups { name: "expiring-offsets", classic: 0, consumer: 0, lone: 2, actions: 520 },
];

/// What outlives the coordinator's process.
#[derive(Clone, Debug)]
pub struct World {
    /// The metadata.
    pub cluster: Cluster,
    /// The wall clock.
    pub wall: Timestamp,
    /// The members' processes.
    pub members: Vec<Member>,
    /// Members whose process died and was not started again.
    pub gone: BTreeSet<usize>,
    /// What members were told.
    pub promises: Promises,
}

impl World {
    /// What a member asks next, if its process runs and it does not wait.
    fn next_of(&mut self, number: usize, may_leave: bool, rng: &mut Rng) -> Option<process::Asked> {
        let member = self.members.get_mut(number).filter(|_| !self.gone.contains(&number))?;
        member.act(number, may_leave, &mut self.promises, rng)
    }
}

/// One member.
#[derive(Clone, Debug)]
pub enum Member {
    /// Of the classic group.
    Classic(ClassicMember),
    /// Of the consumer-protocol group.
    Consumer(ConsumerMember),
    /// Of none.
    Lone(LoneClient),
}

impl Member {
    /// What it asks next; `None` while it waits for an answer, or is dead.
    pub fn act(
        &mut self,
        number: usize,
        may_leave: bool,
        promises: &mut Promises,
        rng: &mut Rng,
    ) -> Option<process::Asked> {
        match self {
            Self::Classic(member) => member.act(may_leave, promises, rng),
            Self::Consumer(member) => member.act(number, may_leave, promises, rng),
            Self::Lone(client) => client.act(!may_leave, promises, rng),
        }
    }

    /// Takes an answer; `None` if the coordinator was not there.
    ///
    /// # Errors
    /// A broken promise.
    pub fn answered(
        &mut self,
        number: usize,
        asked: &process::Asked,
        answer: Option<Response>,
        promises: &mut Promises,
    ) -> Result<(), Violation> {
        match self {
            Self::Classic(member) => member.answered(number, asked, answer, promises),
            Self::Consumer(member) => member.answered(number, asked, answer, promises),
            Self::Lone(client) => {
                client.answered(asked, answer, promises);
                Ok(())
            }
        }
    }

    /// Its process dies, and starts again without a memory.
    pub fn die(&mut self, promises: &mut Promises, number: usize) {
        promises.forget(number);
        match self {
            Self::Classic(member) => *member = ClassicMember::new(),
            Self::Consumer(member) => *member = member.reborn(),
            Self::Lone(client) => *client = LoneClient::default(),
        }
    }

    /// The coordinator's connection broke: what was asked will not be answered.
    pub fn disconnected(&mut self) {
        match self {
            Self::Classic(member) => member.disconnected(),
            Self::Consumer(member) => member.disconnected(),
            Self::Lone(client) => client.disconnected(),
        }
    }
}

/// What the broker's configuration says.
pub fn settings(retention: Duration, session_ms: i32) -> GroupSettings {
    let fixed = |value| Bounded { value, min: value, max: value };
    GroupSettings {
        classic: ClassicSettings {
            min_session_timeout_ms: 1,
            max_session_timeout_ms: 1_000_000,
            initial_rebalance_delay: Duration::from_millis(30),
            max_size: 100,
        },
        offsets: OffsetSettings {
            metadata_max_bytes: 100,
            retention,
            retention_check_interval: Duration::from_millis(500),
        },
        consumer: ConsumerSettings {
            enabled: true,
            session_timeout_ms: fixed(session_ms),
            heartbeat_interval_ms: fixed(100),
            assignment_interval_ms: fixed(0),
            max_size: 100,
            assignors: vec![Arc::from("uniform"), Arc::from("range")],
            migration: MigrationPolicy::Disabled,
            regex_refresh_interval: Duration::from_secs(600),
        },
    }
}

impl Groups {
    /// The groups there are.
    fn groups(&self) -> Vec<&'static str> {
        let all = [
            (promises::CLASSIC, self.classic),
            (promises::CONSUMER, self.consumer),
            (promises::LONE, self.lone),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).map(|(group, _)| group).collect()
    }

    /// Offsets of the groups outlive every run.
    fn retention(&self) -> Duration {
        match self.lone {
            0 => Duration::from_secs(7 * 24 * 3_600),
            _ => Duration::from_millis(RETENTION_MS.unsigned_abs()),
        }
    }

    fn act(
        &self,
        process: &mut Process,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        process.pass(Duration::from_millis(rng.range(1, 12)), world);
        match rng.below(100) {
            0..56 => {
                let number = rng.index(world.members.len());
                let asked = world.next_of(number, true, rng);
                match asked {
                    Some(asked) => process.ask(number, asked, world, moments),
                    None => Ok(()),
                }
            }
            56..69 => {
                process.run_flush(world, moments);
                Ok(())
            }
            69..82 => process.report_flush(world, moments),
            82..84 => process.checkpoint(world, moments),
            84..87 => process.look(&self.groups(), world, moments),
            87..97 => {
                process.pass(Duration::from_millis(rng.range(10, 200)), world);
                process.tick(world, moments)
            }
            _ => {
                let number = rng.index(world.members.len());
                if let Some(member) = world.members.get_mut(number) {
                    member.die(&mut world.promises, number);
                }
                process.hang_up(number);
                // Somebody is always there.
                if rng.chance(1, 2) && world.gone.len() + 1 < world.members.len() {
                    world.gone.insert(number);
                } else {
                    world.gone.remove(&number);
                }
                Ok(())
            }
        }
    }

    /// L1, G3. Nobody dies any more: in the end every partition has its owner, and everything asked was answered.
    fn settle(
        &self,
        process: &mut Process,
        world: &mut World,
        moments: &mut Moments<World>,
        rng: &mut Rng,
    ) -> Result<(), Violation> {
        for _ in 0..SETTLE_ROUNDS {
            for number in 0..world.members.len() {
                if let Some(asked) = world.next_of(number, false, rng) {
                    process.ask(number, asked, world, moments)?;
                }
            }
            process.pass(Duration::from_millis(40), world);
            process.tick(world, moments)?;
            process.run_flush(world, moments);
            process.report_flush(world, moments)?;
        }
        // Nobody has committed for so long that nothing of it may be left.
        world.promises.all_has_expired(true);
        process.look(&self.groups(), world, moments)?;
        process.run_flush(world, moments);
        process.report_flush(world, moments)?;
        world.promises.all_has_expired(false);
        for (group, count) in [(promises::CLASSIC, self.classic), (promises::CONSUMER, self.consumer)] {
            if count > 0 {
                world.promises.everything_is_owned(group, &world.members)?;
            }
        }
        process.at_rest()
    }
}

impl Story for Groups {
    type World = World;

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn world(&self) -> World {
        let classic = (0..self.classic).map(|_| Member::Classic(ClassicMember::new()));
        let consumer = (0..self.consumer).map(|n| Member::Consumer(ConsumerMember::new(n)));
        let lone = (0..self.lone).map(|_| Member::Lone(LoneClient::default()));
        World {
            cluster: Cluster::with_partitions(PARTITIONS),
            wall: Timestamp::from_millis(1_700_000_000_000),
            members: classic.chain(consumer).chain(lone).collect(),
            gone: BTreeSet::new(),
            promises: Promises::default(),
        }
    }

    fn live(
        &self,
        disk: &SimDisk,
        world: &mut World,
        life: Life,
        moments: &mut Moments<World>,
    ) -> Result<(), Violation> {
        let mut rng = Rng::new(life.seed);
        let mut process = match Process::start(disk, self.retention(), world, moments) {
            Ok(process) => process,
            Err(StartError::Violation(violation)) => return Err(violation),
            Err(StartError::Open(error)) => return Err(broken(Invariant::Opens, error.to_string())),
        };
        // What is committed is seen at once after a load.
        process.look(&self.groups(), world, moments)?;
        if life.only_check {
            return Ok(());
        }
        let actions = if life.number == 0 { self.actions } else { LATER_ACTIONS };
        for _ in 0..actions {
            self.act(&mut process, world, moments, &mut rng)?;
        }
        // Of the first life always: most of what a coordinator writes, and so most crashes, are there.
        if life.number == 0 || rng.chance(1, 3) {
            self.settle(&mut process, world, moments, &mut rng)?;
        }
        if process.failed {
            return Err(broken(Invariant::Progress, "the partition went offline, and no disk had failed"));
        }
        Ok(())
    }

    fn crashed(&self, world: &mut World, _crash: Crash) {
        world.promises.coordinator_died();
        world.members.iter_mut().for_each(Member::disconnected);
    }
}

/// Rounds in which everything must come to rest: longer than a session and a rebalance together.
const SETTLE_ROUNDS: usize = 120;
/// Things that happen in a life after a crash.
const LATER_ACTIONS: usize = 25;
