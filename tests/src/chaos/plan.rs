//! What a chaos run does, decided by its seed before anything starts: the same seed is the same faults in the same order.
//!
//! Who is hit is named by role, because who leads is only known then; the rest is fixed.

use std::fmt;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Who is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Who leads this partition then.
    Leader(i32),
    /// Who leads the metadata quorum then.
    Quorum,
    /// This broker.
    Broker(i32),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kill -9`, started again after a while.
    Kill,
    /// `kill -9` of this and another one, so that no majority is left.
    KillTwo,
    /// `kill -9` of all at once.
    KillAll,
    /// SIGSTOP for a while.
    Freeze,
    /// Cut from all other brokers, both ways; clients still reach it.
    Isolate,
    /// What it sends to the other brokers is lost; what they send arrives.
    Mute,
    /// What the other brokers send to it is lost; what it sends arrives.
    Deafen,
    /// Cut from one other broker, both ways: each sees another majority.
    OneLink,
    /// Cut from the clients, both ways.
    NoClients,
    /// Isolated, then killed, so that nobody hears of it: connections are left half-open.
    Unplug,
    /// All that it sends to the other brokers passes at 2 Mbit/s, and waits for that.
    Throttle,
    /// All that it and the other brokers say to each other takes a tenth of a second each way.
    Far,
    /// Cut off and joined again ten times, half an election timeout each.
    Flap,
    /// The disk of the broker that has a small one is full for a while.
    FullDisk,
    /// Killed, and started again with an empty disk.
    Wipe,
    /// Each broker in turn: a controlled shutdown and a start.
    RollingRestart,
    /// Its wall clock jumps ahead, then behind, then back.
    Clock,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 17] = [
        Kind::Kill,
        Kind::KillTwo,
        Kind::KillAll,
        Kind::Freeze,
        Kind::Isolate,
        Kind::Mute,
        Kind::Deafen,
        Kind::OneLink,
        Kind::NoClients,
        Kind::Unplug,
        Kind::Throttle,
        Kind::Far,
        Kind::Flap,
        Kind::FullDisk,
        Kind::Wipe,
        Kind::RollingRestart,
        Kind::Clock,
    ];

    /// Its name in the report.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Kill => "kill -9 of one",
            Kind::KillTwo => "kill -9 of two",
            Kind::KillAll => "kill -9 of all",
            Kind::Freeze => "SIGSTOP",
            Kind::Isolate => "cut from the other brokers",
            Kind::Mute => "cut one way: not heard by the others",
            Kind::Deafen => "cut one way: does not hear the others",
            Kind::OneLink => "cut from one other broker",
            Kind::NoClients => "cut from the clients",
            Kind::Unplug => "cut off, then killed",
            Kind::Throttle => "links at 2 Mbit/s",
            Kind::Far => "links of 100 ms",
            Kind::Flap => "flapping links",
            Kind::FullDisk => "full disk",
            Kind::Wipe => "wiped disk",
            Kind::RollingRestart => "rolling restart",
            Kind::Clock => "wall clock off by 50 min",
        }
    }

    /// Whether it needs links that can be cut.
    pub fn needs_network(self) -> bool {
        matches!(
            self,
            Kind::Isolate
                | Kind::Mute
                | Kind::Deafen
                | Kind::OneLink
                | Kind::NoClients
                | Kind::Unplug
                | Kind::Throttle
                | Kind::Far
                | Kind::Flap
        )
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: Kind,
    /// To whom.
    pub target: Target,
    /// How long it lasts before it is healed.
    pub lasts: Duration,
    /// How long nothing happens before it.
    pub calm: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { kind, target, lasts, .. } = self;
        write!(to, "{} ({target:?}, {:.1} s)", kind.label(), lasts.as_secs_f64())
    }
}

/// The endless list of faults of a seed: every kind once in each round, in an order of the seed's.
#[derive(Clone, Debug)]
pub struct Faults {
    random: Random,
    kinds: Vec<Kind>,
    round: Vec<Kind>,
    brokers: i32,
    partitions: i32,
}

impl Faults {
    /// Of these kinds, for so many brokers and partitions.
    pub fn new(seed: u64, kinds: &[Kind], brokers: i32, partitions: i32) -> Self {
        Self { random: Random(seed), kinds: kinds.to_vec(), round: Vec::new(), brokers, partitions }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let target = match self.random.below(3) {
            0 => Target::Leader(self.pick(self.partitions)),
            1 => Target::Quorum,
            _ => Target::Broker(1 + self.pick(self.brokers)),
        };
        let lasts = Duration::from_millis(500 + self.random.below(11_500));
        let calm = Duration::from_millis(self.random.below(3_000));
        Fault { kind, target, lasts, calm }
    }

    fn pick(&mut self, count: i32) -> i32 {
        let count = u64::try_from(count).unwrap_or(1);
        i32::try_from(self.random.below(count)).unwrap_or(0)
    }
}

impl Iterator for Faults {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        if self.round.is_empty() {
            let mut left = self.kinds.clone();
            while !left.is_empty() {
                let index = usize::try_from(self.random.below(left.len() as u64)).unwrap_or(0);
                self.round.push(left.swap_remove(index));
            }
        }
        let kind = self.round.pop()?;
        Some(self.fault(kind))
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}
