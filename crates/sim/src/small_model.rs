//! Every order in which a little can happen: three replicas, two leaders' terms, three records. The partitions are production's,
//! the metadata is production's; what can come next is tried in every order, and a state that was met before is not gone
//! through again.
//!
//! A partition cannot be copied, so a state is reached by doing the steps that lead to it from the beginning. What a state
//! is consists of everything that what follows depends on: the copies, the marks, who believes what, what is on its way.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use ottla_coordination::metadata::{
    AlterPartition, Command, CreateTopics, FenceBroker, FormCluster, Image, IsrChange, IsrMember, Layout,
    ManualAssignment, NewTopic, RegisterBroker, Response, UnfenceBroker,
};
use ottla_record::{
    BrokerEpoch, BrokerId, LeaderEpoch, Monotonic, Now, Offset, PartitionEpoch, PartitionIndex, Timestamp,
    TopicId,
};
use ottla_replication::{
    Acks, Assignment, Availability, Durability, Effect, Event, FetchPosition, FetchedFromLeader,
    FetchedOutcome, FollowerFetch, FollowerFetchError, FollowerPosition, IsrProposal, Partition,
    PartitionConfig, Produce, View,
};
use ottla_storage::{DirectoryLimits, Log, LogConfig, LogDirectory, TopicPartition};

use crate::client::Producer;
use crate::cluster::cluster_id;
use crate::disk::{Image as DiskImage, SimDisk};
use crate::fleet::driving::isr_outcome;
use crate::fleet::ledger::Ledger;
use crate::fleet::machine::{id_of, uuid};
use crate::fleet::promises::{self, number_of};
use crate::invariants::{Invariant, Violation, broken};
use crate::rng::Rng;

type Verdict = Result<(), Violation>;

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Records, each in a batch of its own.
    pub records: usize,
    /// Leaders that are lost.
    pub elections: usize,
    /// Times that a follower is found to lag.
    pub lags: usize,
    /// True to let a fetch be sent, served and taken in three steps. Otherwise it is one, or ends early because its follower
    /// hears of another term: only that changes what a fetch on its way means, whatever its leader does meanwhile.
    pub fine: bool,
    /// States that are looked at, at most.
    pub states: usize,
}

/// What was gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest way to a new state.
    pub depth: usize,
    /// False if the bound on states was reached.
    pub complete: bool,
}

/// One thing that can come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A producer's record reaches a broker that believes to lead.
    Produce(usize),
    /// A broker's flush ends.
    Flush(usize),
    /// A follower sends its fetch.
    Ask(usize),
    /// A follower sends its fetch, it is served, and the answer is taken.
    Exchange(usize),
    /// A follower sends its fetch, and then hears of another term.
    AskAndHear(usize),
    /// The oldest fetch of a follower reaches its leader.
    Serve(usize),
    /// The oldest answer reaches its follower.
    Take(usize),
    /// A broker hears what the metadata is now.
    Hear(usize),
    /// The controller decides what a leader has proposed.
    Decide(usize),
    /// The leader hears that it was refused.
    Decided(usize),
    /// Another copy of what a leader has proposed arrives, and is decided.
    DecideAgain(usize),
    /// The leader is lost: it is fenced.
    Fence,
    /// It is heard of again.
    Unfence,
    /// A leader finds that a follower lags.
    Lag(usize),
}

/// A way that breaks a promise.
#[derive(Debug)]
pub struct Broken {
    /// The steps.
    pub way: Vec<Step>,
    /// What was broken.
    pub violation: Violation,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n  after {:?}", self.violation, self.way)
    }
}

/// Goes through everything.
///
/// # Errors
/// The first way found that breaks a promise.
pub fn explore(bounds: Bounds) -> Result<Explored, Box<Broken>> {
    let mut explored = Explored { complete: true, ..Explored::default() };
    // What was met, and the steps that were not taken from there, because others lead to the same.
    let mut seen: BTreeMap<u64, Vec<Step>> = BTreeMap::new();
    let mut todo = vec![Turn { way: Vec::new(), asleep: Vec::new() }];
    while let Some(Turn { mut way, mut asleep }) = todo.pop() {
        let mut model = reach(&way, bounds)?;
        // Goes on from here as long as there is something new, and keeps the other turns for later.
        loop {
            let enabled = model.enabled();
            let awake: Vec<Step> = match seen.get_mut(&model.state()) {
                None => {
                    explored.states += 1;
                    explored.depth = explored.depth.max(way.len());
                    seen.insert(model.state(), asleep.clone());
                    enabled.iter().copied().filter(|step| !asleep.contains(step)).collect()
                }
                Some(slept) => {
                    let awake = slept.iter().copied().filter(|step| !asleep.contains(step)).collect();
                    slept.retain(|step| asleep.contains(step));
                    awake
                }
            };
            if explored.states >= bounds.states {
                explored.complete = false;
                return Ok(explored);
            }
            explored.steps += awake.len();
            let mut first = None;
            let mut before = asleep;
            for step in awake {
                let asleep = before.iter().copied().filter(|other| model.commute(*other, step)).collect();
                before.push(step);
                if first.is_none() {
                    first = Some((step, asleep));
                } else {
                    todo.push(Turn { way: way.iter().copied().chain([step]).collect(), asleep });
                }
            }
            let Some((step, next)) = first else { break };
            asleep = next;
            way.push(step);
            model.step(step).map_err(|violation| Box::new(Broken { way: way.clone(), violation }))?;
        }
    }
    Ok(explored)
}

/// A way that is to be gone, and the steps that need not be taken at its end.
struct Turn {
    way: Vec<Step>,
    asleep: Vec<Step>,
}

fn reach(way: &[Step], bounds: Bounds) -> Result<Model, Box<Broken>> {
    let at_start = |violation| Box::new(Broken { way: Vec::new(), violation });
    let mut model = Model::new(bounds).map_err(at_start)?;
    for (done, step) in way.iter().enumerate() {
        let so_far = || way.iter().take(done + 1).copied().collect();
        model.step(*step).map_err(|violation| Box::new(Broken { way: so_far(), violation }))?;
    }
    Ok(model)
}

/// A follower's fetch or its answer on its way.
#[derive(Clone, Debug)]
enum Transit {
    Asks { leader: usize, epoch: LeaderEpoch, position: FetchPosition },
    Answer { epoch: LeaderEpoch, position: FetchPosition, outcome: FetchedOutcome },
}

struct Replica {
    partition: Partition<u64>,
    disk: SimDisk,
    view: View,
    flush: Option<ottla_storage::FlushJob>,
    heard: u64,
    proposal: Option<IsrProposal>,
    decision: Option<(PartitionEpoch, Response)>,
    /// A second copy of the proposal that was decided, still on its way.
    copy: Option<IsrProposal>,
    transit: Vec<Transit>,
    /// What the machine keeps and does not show, of its leadership: the newest version that it knows; the proposal that counts, and the
    /// one that a newer version has overtaken; whom a refusal makes fetch again, and when that was; of each follower's last fetch, when it came and what the log's end was.
    known: PartitionEpoch,
    counts: Option<IsrProposal>,
    overtaken: Option<IsrProposal>,
    refused: BTreeSet<usize>,
    refused_at: Option<Duration>,
    fetched: BTreeMap<usize, (Duration, Offset)>,
    /// The high watermark that its leader has told it.
    told: Offset,
    /// The log was cut since the flush began that is under way.
    void: bool,
}

struct Model {
    bounds: Bounds,
    image: Image,
    epochs: Vec<BrokerEpoch>,
    replicas: Vec<Replica>,
    ledger: Ledger,
    produced: usize,
    elections: usize,
    lags: usize,
    fenced: Option<usize>,
    clock: Duration,
}

const REPLICAS: usize = 3;
const LAG: Duration = Duration::from_secs(10);
/// A broker that was fenced is heard of again after so long.
const UNFENCED_AFTER: Duration = Duration::from_secs(1);

fn topic() -> TopicId {
    TopicId(uuid(0x70, 1))
}

impl Model {
    fn new(bounds: Bounds) -> Result<Self, Violation> {
        let mut image = Image::empty();
        image.apply(&Command::FormCluster(FormCluster { cluster: cluster_id() }));
        let mut epochs = Vec::new();
        for number in 0..REPLICAS {
            let id = id_of(number);
            let register = RegisterBroker {
                broker: id,
                incarnation: ottla_record::Incarnation(uuid(1, number as u64)),
                cluster: cluster_id(),
                directory: ottla_record::DirectoryId(uuid(2, number as u64)),
                endpoints: Vec::new(),
                rack: None,
                replaces: None,
            };
            let Response::RegisterBroker(Ok(epoch)) = image.apply(&Command::RegisterBroker(register)) else {
                return Err(broken(Invariant::Progress, "a broker may not register"));
            };
            image.apply(&Command::UnfenceBroker(UnfenceBroker { broker: id, epoch }));
            epochs.push(epoch);
        }
        let replicas = (0..REPLICAS).map(id_of).collect();
        let small = NewTopic {
            name: "small".to_owned(),
            id: topic(),
            layout: Layout::Manual(vec![ManualAssignment { partition: PartitionIndex::ZERO, replicas }]),
            configs: Vec::new(),
        };
        image.apply(&Command::CreateTopics(CreateTopics { topics: vec![small] }));
        let name = TopicPartition { topic: "small".to_owned(), partition: PartitionIndex::ZERO };
        let ledger = Ledger::new(name.clone(), topic(), config(), REPLICAS);
        let replicas = (0..REPLICAS).map(|number| Replica::open(number, &name)).collect::<Result<_, _>>()?;
        let mut model = Self {
            bounds,
            image,
            epochs,
            replicas,
            ledger,
            produced: 0,
            elections: 0,
            lags: 0,
            fenced: None,
            clock: Duration::ZERO,
        };
        for number in 0..REPLICAS {
            model.hear(number)?;
        }
        Ok(model)
    }

    fn now(&self) -> Now {
        Now { monotonic: Monotonic::from_start(self.clock), wall: Timestamp::from_millis(1_700_000_000_000) }
    }

    fn partition(&self) -> Option<&ottla_coordination::metadata::Partition> {
        self.image.partition(topic(), PartitionIndex::ZERO).map(|partition| &**partition)
    }

    fn enabled(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(truth) = self.partition() else { return steps };
        for (number, replica) in self.replicas.iter().enumerate() {
            let leads = matches!(replica.view.availability, Availability::Leading { .. });
            if self.has_news_for(number) {
                steps.push(Step::Hear(number));
            }
            if leads && self.produced < self.bounds.records {
                steps.push(Step::Produce(number));
            }
            if leads && self.lags < self.bounds.lags {
                steps.push(Step::Lag(number));
            }
            if replica.flush.is_some() {
                steps.push(Step::Flush(number));
            }
            if replica.proposal.is_some() && replica.decision.is_none() {
                steps.push(Step::Decide(number));
            }
            if replica.decision.is_some() {
                steps.push(Step::Decided(number));
            }
            if replica.copy.is_some() {
                steps.push(Step::DecideAgain(number));
            }
            match self.asks(number).is_some() {
                true if self.bounds.fine => steps.push(Step::Ask(number)),
                true => {
                    steps.push(Step::Exchange(number));
                    if self.has_news_for(number) {
                        steps.push(Step::AskAndHear(number));
                    }
                }
                false => {}
            }
            match replica.transit.first() {
                Some(Transit::Asks { .. }) => steps.push(Step::Serve(number)),
                Some(Transit::Answer { .. }) => steps.push(Step::Take(number)),
                None => {}
            }
        }
        if self.fenced.is_none() && self.elections < self.bounds.elections && truth.isr.len() > 1 {
            steps.push(Step::Fence);
        }
        if self.fenced.is_some() {
            steps.push(Step::Unfence);
        }
        steps
    }

    /// What a follower may ask now. It asks nobody a second time while a fetch of the term is out.
    fn asks(&self, number: usize) -> Option<Transit> {
        let replica = self.replicas.get(number)?;
        let following = replica.view.following?;
        let position = following.fetch?;
        let out = replica.transit.iter().any(|transit| match transit {
            Transit::Asks { epoch, .. } | Transit::Answer { epoch, .. } => *epoch == following.leader_epoch,
        });
        let leader = number_of(following.leader);
        let epoch = following.leader_epoch;
        if out || replica.transit.len() > 1 {
            return None;
        }
        // A fetch that can change nothing is left out: the leader knows all it says, and has nothing to send.
        let at = self.replicas.get(leader)?;
        let said = at.partition.followers().find(|progress| progress.broker == id_of(number));
        let known = said.is_some_and(|progress| progress.end == Some(position.offset))
            && !at.refused.contains(&number)
            && at.fetched.get(&number) == Some(&(self.clock, at.view.log_end));
        let nothing = at.view.log_end == position.offset && at.view.high_watermark <= replica.told;
        if known && nothing && at.view.availability.leading() == Some(epoch) {
            return None;
        }
        Some(Transit::Asks { leader, epoch, position })
    }

    /// Takes a step, and drops what can have no effect any more.
    fn step(&mut self, step: Step) -> Verdict {
        self.take_step(step)?;
        self.forget_what_is_void();
        Ok(())
    }

    fn take_step(&mut self, step: Step) -> Verdict {
        match step {
            Step::Produce(number) => self.produce(number),
            Step::Flush(number) => self.flush(number),
            Step::Ask(number) => self.ask(number),
            Step::Exchange(number) => {
                self.ask(number)?;
                self.serve_last(number)?;
                self.take_last(number)
            }
            Step::AskAndHear(number) => {
                self.ask(number)?;
                self.hear(number)
            }
            Step::Serve(number) => self.serve(number),
            Step::Take(number) => self.take(number),
            Step::Hear(number) => self.hear(number),
            Step::Decide(number) => self.decide(number),
            Step::DecideAgain(number) => self.decide_again(number),
            Step::Decided(number) => {
                let Some(replica) = self.replicas.get_mut(number) else { return Ok(()) };
                replica.proposal = None;
                let Some((partition_epoch, response)) = replica.decision.take() else { return Ok(()) };
                let outcome = isr_outcome(response);
                replica.was_refused(partition_epoch, &outcome, self.clock);
                self.drive(number, Event::IsrDecided { partition_epoch, outcome })
            }
            Step::Fence => {
                let leader = self.partition().and_then(|partition| partition.leader);
                let Some(leader) = leader else { return Ok(()) };
                self.elections += 1;
                self.fenced = Some(number_of(leader));
                let epoch = self.epochs.get(number_of(leader)).copied().unwrap_or(BrokerEpoch::ZERO);
                self.image.apply(&Command::FenceBroker(FenceBroker { broker: leader, epoch }));
                self.check_isr()
            }
            Step::Unfence => {
                let Some(number) = self.fenced.take() else { return Ok(()) };
                let epoch = self.epochs.get(number).copied().unwrap_or(BrokerEpoch::ZERO);
                self.image.apply(&Command::UnfenceBroker(UnfenceBroker { broker: id_of(number), epoch }));
                // Long enough for a leader to propose again what was refused.
                self.clock += UNFENCED_AFTER;
                self.check_isr()
            }
            Step::Lag(number) => {
                self.lags += 1;
                self.clock += LAG + Duration::from_millis(1);
                self.drive(number, Event::Tick)
            }
        }
    }

    fn produce(&mut self, number: usize) -> Verdict {
        self.produced += 1;
        let ids = self.ledger.draw(crate::fleet::ledger::FIRST_PLAIN, 1);
        let wall = self.now().wall;
        // Plain, so that each is a write of its own wherever it goes.
        let batch = Producer::new(None).batch(ids, wall, &mut Rng::new(self.produced as u64))?;
        let deadline = Monotonic::NEVER;
        let produce = Produce { waiter: 0, batches: batch.validated(wall)?, acks: Acks::All, deadline };
        self.drive(number, Event::Produce(produce))
    }

    fn flush(&mut self, number: usize) -> Verdict {
        let Some(replica) = self.replicas.get_mut(number) else { return Ok(()) };
        let Some(job) = replica.flush.take() else { return Ok(()) };
        let succeeded = job.run(&*replica.disk.port()).is_ok();
        self.drive(number, Event::Flushed { end: job.end, succeeded })
    }

    fn ask(&mut self, number: usize) -> Verdict {
        let asks = self.asks(number);
        if let (Some(replica), Some(asks)) = (self.replicas.get_mut(number), asks) {
            replica.transit.push(asks);
        }
        Ok(())
    }

    fn serve(&mut self, number: usize) -> Verdict {
        self.serve_at(number, 0)
    }

    fn serve_last(&mut self, number: usize) -> Verdict {
        let last = self.replicas.get(number).map_or(0, |replica| replica.transit.len().saturating_sub(1));
        self.serve_at(number, last)
    }

    fn take_last(&mut self, number: usize) -> Verdict {
        let last = self.replicas.get(number).map_or(0, |replica| replica.transit.len().saturating_sub(1));
        self.take_at(number, last)
    }

    fn serve_at(&mut self, number: usize, at: usize) -> Verdict {
        let Some(replica) = self.replicas.get_mut(number) else { return Ok(()) };
        if !matches!(replica.transit.get(at), Some(Transit::Asks { .. })) {
            return Ok(());
        }
        let Transit::Asks { leader, epoch, position } = replica.transit.remove(at) else { return Ok(()) };
        let place = at;
        let fetch = FollowerFetch {
            waiter: 1,
            follower: id_of(number),
            broker_epoch: self.epochs.get(number).copied().unwrap_or(BrokerEpoch::ZERO),
            leader_epoch: epoch,
            offset: position.offset,
            last_epoch: position.last_epoch,
            log_start: position.log_start,
        };
        let mut answer: Option<Result<FollowerPosition, FollowerFetchError>> = None;
        self.drive_with(leader, Event::FollowerFetch(fetch), |_, outcome| answer = Some(outcome))?;
        let Some(at) = self.replicas.get_mut(leader) else { return Ok(()) };
        let outcome = match answer {
            Some(Ok(FollowerPosition { diverging: Some(end), .. })) => FetchedOutcome::Diverging(end),
            Some(Ok(_)) => {
                at.fetched.insert(number, (self.clock, at.view.log_end));
                at.refused.remove(&number);
                let view = &at.view;
                let slice = view.log.read(position.offset, 1 << 16, view.log_end, true);
                let bytes = slice.ok().flatten().and_then(|slice| slice.read().ok()).unwrap_or_default();
                let (high_watermark, log_start) = (view.high_watermark, view.log_start);
                FetchedOutcome::Records { bytes: Bytes::from(bytes), high_watermark, log_start }
            }
            Some(Err(FollowerFetchError::OutOfRange { log_start, log_end, producers })) => {
                FetchedOutcome::OutOfRange { log_start, log_end, producers }
            }
            Some(Err(_)) | None => return Ok(()),
        };
        if let Some(replica) = self.replicas.get_mut(number) {
            replica.transit.insert(place, Transit::Answer { epoch, position, outcome });
        }
        Ok(())
    }

    fn take(&mut self, number: usize) -> Verdict {
        self.take_at(number, 0)
    }

    fn take_at(&mut self, number: usize, at: usize) -> Verdict {
        let Some(replica) = self.replicas.get_mut(number) else { return Ok(()) };
        if !matches!(replica.transit.get(at), Some(Transit::Answer { .. })) {
            return Ok(());
        }
        let Transit::Answer { epoch, position, outcome } = replica.transit.remove(at) else { return Ok(()) };
        if let FetchedOutcome::Records { high_watermark, .. } = &outcome {
            replica.told = replica.told.max(*high_watermark);
        }
        let fetched = FetchedFromLeader {
            leader_epoch: epoch,
            from: position.offset,
            last_epoch: position.last_epoch,
            outcome,
        };
        self.drive(number, Event::Fetched(fetched))
    }

    fn hear(&mut self, number: usize) -> Verdict {
        let version = self.image.version();
        let Some(partition) = self.partition().cloned() else { return Ok(()) };
        if let Some(replica) = self.replicas.get_mut(number) {
            replica.heard = version;
            replica.learn(&partition);
        }
        let assignment = Assignment {
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            leader: partition.leader,
            replicas: partition.replicas,
            isr: partition.isr,
        };
        self.drive(number, Event::Assign(assignment))
    }

    fn decide(&mut self, number: usize) -> Verdict {
        let Some(replica) = self.replicas.get_mut(number) else { return Ok(()) };
        let Some(proposal) = replica.proposal.clone() else { return Ok(()) };
        replica.copy = Some(proposal.clone());
        let on = proposal.partition_epoch;
        let response = self.alter_partition(number, proposal);
        if let Some(replica) = self.replicas.get_mut(number) {
            replica.decision = Some((on, response));
        }
        self.check_isr()
    }

    fn decide_again(&mut self, number: usize) -> Verdict {
        let copy = self.replicas.get_mut(number).and_then(|replica| replica.copy.take());
        if let Some(proposal) = copy {
            self.alter_partition(number, proposal);
        }
        self.check_isr()
    }

    fn alter_partition(&mut self, number: usize, proposal: IsrProposal) -> Response {
        let epoch_of = |id: BrokerId| self.epochs.get(number_of(id)).copied().unwrap_or(BrokerEpoch::ZERO);
        let isr = proposal
            .isr
            .iter()
            .map(|(broker, epoch)| IsrMember {
                broker: *broker,
                epoch: epoch.unwrap_or_else(|| epoch_of(*broker)),
            })
            .collect();
        let change = IsrChange {
            topic: topic(),
            partition: PartitionIndex::ZERO,
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            isr,
        };
        let command =
            AlterPartition { broker: id_of(number), epoch: epoch_of(id_of(number)), changes: vec![change] };
        self.image.apply(&Command::AlterPartition(command))
    }

    fn drive(&mut self, number: usize, event: Event<u64>) -> Verdict {
        self.drive_with(number, event, |_, _| {})
    }

    fn drive_with(
        &mut self,
        number: usize,
        event: Event<u64>,
        mut fetched: impl FnMut(u64, Result<FollowerPosition, FollowerFetchError>),
    ) -> Verdict {
        let now = self.now();
        let Some(replica) = self.replicas.get_mut(number) else { return Ok(()) };
        let mut effects = Vec::new();
        replica.partition.handle(event, now, &mut effects);
        let mut shown = false;
        let mut acknowledged = Vec::new();
        for effect in effects {
            match effect {
                Effect::Flush(job) => {
                    replica.flush = Some(job);
                    replica.void = false;
                }
                Effect::AlterIsr(proposal) => {
                    replica.counts = Some(proposal.clone());
                    replica.proposal = Some(proposal);
                    replica.decision = None;
                }
                Effect::Produced { outcome: Ok(produced), .. } => {
                    acknowledged.push(produced.base_offset);
                }
                Effect::FollowerFetched { waiter, outcome } => fetched(waiter, outcome),
                Effect::Publish(view) => {
                    if view.log_end < replica.view.log_end {
                        replica.void |= replica.flush.is_some();
                        replica.told = Offset::ZERO;
                    }
                    replica.view = view;
                    shown = true;
                }
                Effect::CopyRefused(error) => return Err(broken(Invariant::CopyTaken, error.to_string())),
                Effect::Failed => return Err(broken(Invariant::Progress, "a partition went offline")),
                _ => {}
            }
        }
        let following = matches!(replica.view.following, Some(following) if following.fetch.is_none());
        if shown {
            self.check(number)?;
        }
        // P6. Whoever is answered has what is committed, in whichever term.
        if let Some(base) = acknowledged.into_iter().find(|base| self.ledger.committed_at(*base).is_none()) {
            return Err(broken(
                Invariant::AnswerIsTrue,
                format!("{base} was acknowledged, and is not committed"),
            ));
        }
        // A follower's flush is no step of its own: nothing happens to it before.
        if following && self.replicas.get(number).is_some_and(|replica| replica.flush.is_some()) {
            return self.flush(number);
        }
        Ok(())
    }

    /// The promises, after what a replica has shown.
    fn check(&mut self, number: usize) -> Verdict {
        let Some(replica) = self.replicas.get(number) else { return Ok(()) };
        let view = &replica.view;
        promises::copies_agree(&mut self.ledger, number, view)?;
        if let Availability::Leading { epoch, epoch_start } = view.availability {
            promises::one_leader_per_term(&mut self.ledger, epoch, id_of(number), 1)?;
            promises::commits(&mut self.ledger, number, view.high_watermark)?;
            if view.high_watermark >= epoch_start {
                promises::shown_never_falls(&mut self.ledger, epoch, view.high_watermark)?;
            }
        }
        self.check_isr()
    }

    fn check_isr(&mut self) -> Verdict {
        let Some(isr) = self.partition().map(|partition| partition.isr.clone()) else { return Ok(()) };
        promises::in_sync_replicas_have_it(&mut self.ledger, &isr, true)?;
        let fenced = |id| self.image.broker(id).is_none_or(|broker| broker.fenced);
        promises::lost_brokers_are_out_of_sync(&isr, fenced)
    }
}

impl Replica {
    fn open(number: usize, name: &TopicPartition) -> Result<Self, Violation> {
        let disk = SimDisk::new(DiskImage::empty(), 0);
        let opened = |error: &dyn std::fmt::Display| broken(Invariant::Opens, error.to_string());
        let limits = DirectoryLimits { open_files: 8, reserve_bytes: Some(0) };
        let directory = ottla_record::DirectoryId(uuid(2, number as u64));
        let root =
            LogDirectory::open(disk.port(), id_of(number), directory, limits).map_err(|e| opened(&e))?;
        let root = std::sync::Arc::new(root);
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_700_000_000_000) };
        let start = root.log_start_of(name);
        let (log, _) =
            Log::open(&root, name.directory(), topic(), config().log, start, now).map_err(|e| opened(&e))?;
        let partition = Partition::new(id_of(number), log, config());
        let view = partition.view();
        Ok(Self {
            partition,
            disk,
            view,
            flush: None,
            heard: 0,
            proposal: None,
            decision: None,
            copy: None,
            transit: Vec::new(),
            known: PartitionEpoch::new(-1),
            counts: None,
            overtaken: None,
            refused: BTreeSet::new(),
            refused_at: None,
            fetched: BTreeMap::new(),
            told: Offset::ZERO,
            void: false,
        })
    }
}

fn config() -> PartitionConfig {
    PartitionConfig {
        durability: Durability::Fsync,
        min_insync_replicas: 1,
        flush_records: 1,
        flush_interval: Duration::from_secs(1),
        replica_lag_max: LAG,
        log: LogConfig {
            segment_bytes: 1 << 20,
            segment_ms: i64::MAX,
            segment_jitter_ms: 0,
            segment_index_bytes: 1 << 20,
            index_interval_bytes: 4096,
            retention_bytes: None,
            retention_ms: None,
            delete_expired: true,
            compacted: false,
            compaction: None,
            file_delete_delay_ms: 0,
            preallocate: false,
            producer_id_expiration_ms: i64::MAX,
        },
    }
}
