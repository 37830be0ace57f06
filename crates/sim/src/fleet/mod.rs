//! A cluster in one thread: brokers that run production's partitions on disks that cut power, a network that delays, loses,
//! doubles and cuts, the metadata's log with a controller that may be lost, and clients. One seed fixes all of it. While faults
//! come, the promises are checked after every event; then faults stop, and everything must work again within a stated time.
//!
//! | module | what it holds |
//! |---|---|
//! | [`shape`] | what the seed fixes before anything happens |
//! | [`queue`], [`happening`] | what is going to happen, in the order of time |
//! | [`network`] | links, one for each direction |
//! | [`metadata`] | the log of commands, the controller, who is heard of |
//! | [`machine`], [`process`] | a broker's disk, and its process from start to end |
//! | [`hosting`], [`driving`] | the replicas in it, and what they ask for |
//! | [`fetching`] | how followers copy |
//! | [`clients`] | producers and consumers |
//! | [`coordinator`], [`members`] | the coordinators of groups, and who shares a topic in them |
//! | [`operator`], [`faults`] | what people do, and what goes wrong |
//! | [`ledger`], [`promises`] | what is known of a partition from outside, and what must hold |
//! | [`rest`] | the end: everything works, everything is there |

pub mod clients;
pub mod coordinator;
pub mod driving;
pub mod faults;
pub mod fetching;
pub mod happening;
pub mod hosting;
pub mod ledger;
pub mod machine;
pub mod members;
pub mod metadata;
pub mod network;
pub mod operator;
pub mod process;
pub mod promises;
pub mod queue;
pub mod rest;
pub mod shape;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ottla_record::{Offset, PartitionIndex, TopicId};
use ottla_replication::Effect;
use ottla_replication::{FollowerFetchError, FollowerPosition};
use ottla_storage::TopicPartition;

use self::clients::Clients;
use self::happening::{Happening, Key, Message, Polled};
use self::ledger::Ledger;
use self::machine::{Machine, Waiting};
use self::members::Members;
use self::metadata::Metadata;
use self::network::{Network, Site};
use self::operator::{Operator, TopicSlot};
use self::queue::{Micros, Queue};
use self::shape::{Kind, SECOND, Shape};
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
        write!(f, "replay: cargo xtask sim --cluster --seed {}", self.seed)
    }
}

impl std::error::Error for Failure {}

/// What a run did, for the proof that it did anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that partitions have handled.
    pub events: u64,
    /// Processes started.
    pub lives: u64,
    /// Of their ends, those by a power cut.
    pub power_cuts: u64,
    /// Of their ends, those that left nothing to recover.
    pub clean_stops: u64,
    /// Pauses.
    pub pauses: u64,
    /// Faults.
    pub faults: u64,
    /// Batches acknowledged.
    pub acknowledged: u64,
    /// Batches whose fate a client did not hear in time.
    pub unknown: u64,
    /// Records that consumers got.
    pub consumed: u64,
    /// Changes of in-sync sets asked for.
    pub isr_changes: u64,
    /// Terms of leaders.
    pub terms: u64,
    /// What operators asked for and was answered.
    pub operations: u64,
    /// Of that, moves of replicas, and moves that were cancelled.
    pub moves: u64,
    /// Requests to delete records that a leader took.
    pub deletions: u64,
    /// Log directories lost.
    pub lost_directories: u64,
    /// Leaders that were elected out of sync.
    pub unclean_elections: u64,
    /// Consumers that were told that what they had read is gone.
    pub truncations_told: u64,
    /// Coordinators of groups that came into charge.
    pub loads: u64,
    /// What they answered to members.
    pub group_answers: u64,
    /// Times that the offsets of a group were read.
    pub offsets_read: u64,
    /// Idempotent producers.
    pub producers: u64,
    /// Simulated microseconds.
    pub micros: u64,
}

impl Tally {
    /// Adds what another run did.
    pub const fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.lives += other.lives;
        self.power_cuts += other.power_cuts;
        self.clean_stops += other.clean_stops;
        self.pauses += other.pauses;
        self.faults += other.faults;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.consumed += other.consumed;
        self.isr_changes += other.isr_changes;
        self.terms += other.terms;
        self.operations += other.operations;
        self.moves += other.moves;
        self.deletions += other.deletions;
        self.lost_directories += other.lost_directories;
        self.unclean_elections += other.unclean_elections;
        self.truncations_told += other.truncations_told;
        self.loads += other.loads;
        self.group_answers += other.group_answers;
        self.offsets_read += other.offsets_read;
        self.producers += other.producers;
        self.micros += other.micros;
    }
}

/// Runs a seed to its end.
///
/// # Errors
/// The first broken promise. The same seed always finds the same one.
pub fn run(seed: u64) -> Result<Tally, Failure> {
    let once = |trace: bool| {
        let mut fleet = Fleet::new(seed, trace);
        let lived = catch_unwind(AssertUnwindSafe(|| fleet.live()));
        let result = lived.unwrap_or_else(|panic| Err(broken(Invariant::NoPanic, message(&*panic))));
        (fleet, result)
    };
    let (fleet, result) = once(false);
    match result {
        Ok(()) => Ok(fleet.tally),
        // The same once more, and this time it is written down what happens.
        Err(violation) => {
            let (fleet, _) = once(true);
            Err(Failure { seed, trail: fleet.trail.into(), violation })
        }
    }
}

/// What of a run is to be told in full.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Every event of the replicas of this partition.
    pub partition: TopicPartition,
    /// From this simulated time on, in seconds.
    pub from: u64,
}

/// Runs a seed once more and tells everything that happened to a partition, with what is noted anyway.
pub fn watch(seed: u64, watch: Watch) -> Vec<String> {
    let mut fleet = Fleet::new(seed, true);
    fleet.watch = Some(watch);
    let lived = catch_unwind(AssertUnwindSafe(|| fleet.live()));
    let result = lived.unwrap_or_else(|panic| Err(broken(Invariant::NoPanic, message(&*panic))));
    let mut trail: Vec<String> = fleet.trail.into();
    trail.extend(result.err().map(|violation| violation.to_string()));
    trail
}

/// One run.
pub struct Fleet {
    shape: Shape,
    rng: Rng,
    now: Micros,
    queue: Queue<Happening>,
    network: Network,
    metadata: Metadata,
    machines: Vec<Machine>,
    ledgers: Vec<Ledger>,
    keys: BTreeMap<(TopicId, PartitionIndex), Key>,
    topics: Vec<TopicSlot>,
    clients: Clients,
    members: Members,
    operator: Operator,
    /// Who sent a request.
    requests: BTreeMap<u64, usize>,
    /// Answers to followers of the event at hand.
    answered: Vec<(u64, Result<FollowerPosition, FollowerFetchError>)>,
    /// Answers to producers of the event at hand: partition, broker, first offset, what.
    promised: Vec<(Key, usize, Offset, Waiting)>,
    effects: Vec<Effect<u64>>,
    /// When clients last asked who leads.
    asked_at: Micros,
    /// How long the quorum takes to find a controller.
    election_takes: Micros,
    healing: bool,
    heals_at: Micros,
    tally: Tally,
    trace: bool,
    watch: Option<Watch>,
    trail: VecDeque<String>,
}

impl Fleet {
    fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(mix(seed ^ 0xf1ee_7000));
        let shape = Shape::draw(&mut rng);
        let metadata = Metadata::new();
        let machines = (0..shape.brokers)
            .map(|number| Machine::new(number, shape.brokers, &metadata.head, rng.next()))
            .collect();
        let topics = shape.topics.iter().enumerate();
        let topics = topics.map(|(number, topic)| TopicSlot::new(number, topic, shape.replicas)).collect();
        let network = Network::new(shape.brokers, shape.weather);
        let mut fleet = Self {
            rng,
            now: 0,
            queue: Queue::new(),
            network,
            metadata,
            machines,
            ledgers: Vec::new(),
            keys: BTreeMap::new(),
            topics,
            clients: Clients {
                writers: Vec::new(),
                readers: Vec::new(),
                leaders: BTreeMap::new(),
                next_request: 1,
                finishing: false,
            },
            members: Members::new(shape.groups),
            operator: Operator::default(),
            requests: BTreeMap::new(),
            answered: Vec::new(),
            promised: Vec::new(),
            effects: Vec::new(),
            asked_at: 0,
            election_takes: 0,
            healing: false,
            heals_at: 0,
            tally: Tally::default(),
            trace,
            watch: None,
            trail: VecDeque::new(),
            shape,
        };
        fleet.begin();
        fleet
    }

    fn begin(&mut self) {
        for broker in 0..self.machines.len() {
            let late = self.shape.joins_late && broker + 1 == self.machines.len();
            let after = if late { self.shape.storm / 3 } else { self.rng.below(SECOND) };
            self.start_later(broker, after);
        }
        let targets: Vec<(usize, usize)> = (self.topics.iter().enumerate())
            .filter(|(_, topic)| topic.kind == Kind::Records)
            .flat_map(|(slot, topic)| (0..topic.partitions).map(move |partition| (slot, partition)))
            .collect();
        targets.into_iter().for_each(|target| self.add_clients(target));
        self.add_members();
        self.queue.plan(0, Happening::Control);
        self.queue.plan(SECOND, Happening::Refresh);
        self.queue.plan(SECOND, Happening::Operator);
        self.queue.plan(4 * SECOND, Happening::Fault);
    }

    fn live(&mut self) -> Result<(), Violation> {
        let mut look = 0;
        let mut deep = 0;
        while let Some((at, happening)) = self.queue.take_next() {
            self.now = at;
            if !self.healing && at >= self.shape.storm {
                self.heal();
            }
            self.happen(happening)?;
            if !self.promised.is_empty() {
                self.check_promised()?;
            }
            if self.tally.events >= deep {
                deep = self.tally.events + DEEP_CHECK_EVERY;
                self.check_some_copy()?;
            }
            if self.healing && at >= look {
                look = at + SECOND / 4;
                if self.rests()? {
                    break;
                }
            }
        }
        self.tally.micros = self.now;
        self.tally.terms = self.ledgers.iter().map(|ledger| ledger.terms.len() as u64).sum();
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Arrives { from, to, message } => match to {
                Site::Broker(broker) => self.arrives(from, broker, message),
                Site::Clients => self.arrives_at_clients(message),
            },
            Happening::Within { broker, incarnation, what } => {
                let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
                if machine.process.as_deref().is_none_or(|process| process.incarnation != incarnation) {
                    return Ok(());
                }
                if machine.paused.is_some() {
                    machine.frozen.push(Happening::Within { broker, incarnation, what });
                    return Ok(());
                }
                self.within(broker, what)
            }
            Happening::Start { broker } => self.start(broker),
            Happening::Resume { broker, pause } => {
                self.resume(broker, pause);
                Ok(())
            }
            Happening::Control => {
                self.control();
                Ok(())
            }
            Happening::Commit { term, answer, command } => self.commit(term, answer, &command),
            Happening::Producer(number) => self.write(number),
            Happening::Consumer(number) => {
                self.poll(number);
                Ok(())
            }
            Happening::Member(number) => self.member(number),
            Happening::Offsets => {
                self.look_at_offsets();
                Ok(())
            }
            Happening::Refresh => {
                self.refresh();
                Ok(())
            }
            Happening::Operator => {
                self.operate();
                self.delete_records()
            }
            Happening::Fault => self.fault(),
            Happening::FaultEnds(recovery) => {
                self.recover(recovery);
                Ok(())
            }
        }
    }

    fn arrives(&mut self, from: Site, broker: usize, message: Message) -> Result<(), Violation> {
        let here = Site::Broker(broker);
        let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
        if machine.process.is_none() {
            // Nobody listens: whoever connects is told so, if the machine has power.
            if self.rng.chance(1, 2) {
                match message {
                    Message::Produce { request, .. } => self.refuse_producer(broker, request),
                    Message::GroupAsk { request, .. } => self.answer_group(broker, request, None),
                    Message::Poll { consumer, request, .. } => {
                        let outcome = Polled::NotLeader;
                        self.send(here, Site::Clients, Message::Polled { consumer, request, outcome });
                    }
                    _ => {}
                }
            }
            return Ok(());
        }
        if machine.paused.is_some() {
            machine.frozen.push(Happening::Arrives { from, to: here, message });
            return Ok(());
        }
        match message {
            Message::Fetch(fetch) => self.serve_fetch(broker, from, fetch),
            Message::Fetched { request, parts } => self.take_fetched(broker, request, parts),
            Message::Heartbeat { incarnation: _, epoch, ready, applied, sent } => {
                if let Site::Broker(sender) = from {
                    self.hear(broker, sender, (epoch, ready), applied, sent);
                }
                Ok(())
            }
            Message::Heard { sent } => {
                if let Some(process) = self.process(broker).filter(|process| process.started <= sent) {
                    process.renewed = process.renewed.max(Some(sent));
                }
                Ok(())
            }
            Message::GroupAsk { request, key, asked } => self.serve_group(broker, request, key, *asked),
            Message::Ended { incarnation } => {
                if let Site::Broker(sender) = from {
                    self.hear_end(broker, sender, incarnation);
                }
                Ok(())
            }
            Message::Metadata { upto } => self.catch_up(broker, upto),
            Message::Propose { number, command } => {
                self.take_proposal(from, broker, number, command);
                Ok(())
            }
            Message::Decided { number, response, version } => {
                self.decided(broker, number, *response, version)
            }
            Message::Produce { request, key, all, batch } => {
                self.serve_produce(broker, request, key, all, &batch)
            }
            Message::Poll { consumer, request, key, position, epoch, last } => {
                let outcome = self.serve_poll(broker, key, position, epoch, last)?;
                self.send(here, Site::Clients, Message::Polled { consumer, request, outcome });
                Ok(())
            }
            Message::WhoLeads => {
                self.tell_who_leads(broker);
                Ok(())
            }
            Message::Produced { .. }
            | Message::Polled { .. }
            | Message::GroupAnswer { .. }
            | Message::Leaders(_) => Ok(()),
        }
    }

    fn arrives_at_clients(&mut self, message: Message) -> Result<(), Violation> {
        match message {
            Message::Produced { request, outcome } => {
                self.take_produced(request, outcome);
                Ok(())
            }
            Message::Polled { consumer, request, outcome } => self.take_polled(consumer, request, outcome),
            Message::Leaders(leaders) => {
                self.take_leaders(leaders);
                Ok(())
            }
            Message::GroupAnswer { request, answer } => {
                self.take_group_answer(request, answer.map(|answer| *answer))
            }
            Message::Decided { number, response, .. } => self.answered_operator(number, &response),
            _ => Ok(()),
        }
    }

    /// Sends a message.
    fn send(&mut self, from: Site, to: Site, message: Message) {
        let [once, twice] = self.network.send(from, to, self.now, &mut self.rng);
        if once.is_none() && matches!(message, Message::Fetch(_)) && self.rng.chance(1, 4) {
            // What lay in a connection that was cut may come long after its sender has turned to others.
            let at = self.now + self.rng.range(SECOND / 2, 8 * SECOND);
            self.queue.plan(at, Happening::Arrives { from, to, message });
            return;
        }
        if let Some(at) = twice.filter(|_| message.may_arrive_twice()) {
            self.queue.plan(at, Happening::Arrives { from, to, message: message.clone() });
        }
        if let Some(at) = once {
            self.queue.plan(at, Happening::Arrives { from, to, message });
        }
    }

    fn key_of(&self, topic: TopicId, index: PartitionIndex) -> Option<Key> {
        self.keys.get(&(topic, index)).copied()
    }

    /// The partitions of a topic, in their order.
    fn keys_of(&self, topic: TopicId) -> Vec<Key> {
        let all = (topic, PartitionIndex::ZERO)..=(topic, PartitionIndex::new(i32::MAX));
        self.keys.range(all).map(|(_, key)| *key).collect()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if !self.trace {
            return;
        }
        match &self.watch {
            Some(watch) if self.now < watch.from * SECOND => return,
            None if self.trail.len() == TRAIL => drop(self.trail.pop_front()),
            _ => {}
        }
        self.trail.push_back(format!("{} µs: {}", self.now, what()));
    }

    /// True if what happens to a partition is to be told in full.
    fn is_watched(&self, key: Key) -> bool {
        let watch = self.watch.as_ref().filter(|watch| self.now >= watch.from * SECOND);
        watch.is_some_and(|watch| self.ledgers.get(key).is_some_and(|ledger| ledger.name == watch.partition))
    }
}

/// Every so many events a whole log is gone through.
const DEEP_CHECK_EVERY: u64 = 2_048;
/// Things remembered for the message of a failure.
const TRAIL: usize = 60;
