//! The metadata's log and its controller. The quorum promises an ordered log that survives; that is another crate's promise,
//! and taken for granted here. What it does not promise is left to the seed: when each broker hears of a command, who is
//! controller, and whether a command whose controller was replaced meanwhile is in the log.

use ottla_coordination::metadata::{
    Command, ElectLeaders, Election, FenceBroker, FormCluster, Image, Response, Topic, TopicChange,
    UnfenceBroker,
};
use ottla_record::{BrokerId, PartitionIndex};
use ottla_storage::TopicPartition;

use super::happening::{Happening, Key, Message};
use super::ledger::Ledger;
use super::machine::Heard;
use super::network::Site;
use super::queue::Micros;
use super::shape::{Kind, MILLI, SECOND};
use super::{Fleet, promises};
use crate::cluster::cluster_id;
use crate::invariants::{Invariant, Violation, broken};

/// The log, and who may append to it.
#[derive(Debug)]
pub struct Metadata {
    /// Every command, in its order.
    pub log: Vec<Command>,
    /// What they make.
    pub head: Image,
    /// Who is controller, and since when.
    pub controller: Option<(usize, Micros)>,
    /// Raised with every controller.
    pub term: u64,
    /// When the last controller was lost.
    lost_at: Micros,
    /// When the command that was appended last is stored.
    stored_at: Micros,
}

/// The topic's configuration that lets somebody lead who is not in sync.
pub const UNCLEAN: &str = "unclean.leader.election.enable";
/// A broker that was not heard of for so long is lost (`broker.session.timeout.ms`).
pub const SESSION: Micros = 1_500 * MILLI;
/// How often brokers say that they live (`broker.heartbeat.interval.ms`).
pub const HEARTBEAT: Micros = 300 * MILLI;
/// How often the controller looks.
const LOOK: Micros = 100 * MILLI;

impl Metadata {
    /// A cluster that was formed, and nothing more.
    pub fn new() -> Self {
        let mut head = Image::empty();
        head.apply(&Command::FormCluster(FormCluster { cluster: cluster_id() }));
        Self { log: Vec::new(), head, controller: None, term: 0, lost_at: 0, stored_at: 0 }
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self::new()
    }
}

impl Fleet {
    /// A command reaches a broker. If that is the controller, it appends it; if not, it forwards it.
    pub(super) fn take_proposal(&mut self, from: Site, at: usize, number: u64, command: Box<Command>) {
        match self.metadata.controller {
            Some((controller, _)) if controller == at => self.append(Some((from, number)), command),
            Some((controller, _))
                if (from != Site::Broker(at) || self.rng.chance(1, 2))
                    && self.network.passes(Site::Broker(at), Site::Broker(controller)) =>
            {
                // Forwarded with the first asker's name on it, who gets the answer.
                let delay = self.rng.range(100, 2_000);
                let message = Message::Propose { number, command };
                let forwarded = Happening::Arrives { from, to: Site::Broker(controller), message };
                self.queue.plan(self.now + delay, forwarded);
            }
            _ => {}
        }
    }

    /// Appends a command: once a majority has stored it, it counts.
    pub(super) fn append(&mut self, answer: Option<(Site, u64)>, command: Box<Command>) {
        let stored = self.now + self.rng.range(200, 6_000);
        self.metadata.stored_at = self.metadata.stored_at.max(stored);
        let term = self.metadata.term;
        self.queue.plan(self.metadata.stored_at, Happening::Commit { term, answer, command });
    }

    /// A command is stored on a majority.
    pub(super) fn commit(
        &mut self,
        term: u64,
        answer: Option<(Site, u64)>,
        command: &Command,
    ) -> Result<(), Violation> {
        // Of what a replaced controller has appended, the next one may have something or not.
        if term != self.metadata.term && self.rng.chance(1, 2) {
            return Ok(());
        }
        let before = self.metadata.head.clone();
        let response = self.metadata.head.apply(command);
        self.metadata.log.push(command.clone());
        self.note(|| format!("command {command:?}: {response:?}"));
        let accepted =
            matches!(command, Command::ElectLeaders(ElectLeaders { election: Election::Unclean, .. }));
        self.check_head(&before, accepted)?;
        let version = self.metadata.log.len();
        let Some((controller, _)) = self.metadata.controller else { return Ok(()) };
        let here = Site::Broker(controller);
        for broker in 0..self.machines.len() {
            self.send(here, Site::Broker(broker), Message::Metadata { upto: version });
        }
        if let (Some((asker, number)), true) = (answer, term == self.metadata.term) {
            let response = Box::new(response);
            self.send(here, asker, Message::Decided { number, response, version });
        }
        Ok(())
    }

    /// P1, P2: what the metadata has just decided leaves nothing committed behind.
    fn check_head(&mut self, before: &Image, accepted: bool) -> Result<(), Violation> {
        let head = self.metadata.head.clone();
        head.check_invariants().map_err(|found| broken(Invariant::LeaderInSync, found))?;
        for change in head.topic_changes(before) {
            match change {
                TopicChange::Created(topic) | TopicChange::Changed { new: topic, .. } => {
                    for (index, partition) in topic.partitions() {
                        let Some(key) = self.key_for(&topic, index) else { continue };
                        let power = self.shape.power;
                        let members = self.keepers(&partition.isr);
                        let Some(ledger) = self.ledgers.get_mut(key) else { continue };
                        let mut loses = false;
                        if let (Some(before), Some(leader)) =
                            (before.partition(topic.id(), index), partition.leader)
                            && promises::elected_out_of_sync(ledger, before, partition, accepted)?
                        {
                            ledger.elect_uncleanly(
                                partition.leader_epoch,
                                promises::number_of(leader),
                                power,
                            );
                            self.tally.unclean_elections += 1;
                            loses = true;
                        }
                        promises::in_sync_replicas_have_it(ledger, &members, power)?;
                        let fenced = |id| head.broker(id).is_none_or(|broker| broker.fenced);
                        promises::lost_brokers_are_out_of_sync(&partition.isr, fenced)?;
                        if loses {
                            self.members_lose(key);
                        }
                    }
                }
                TopicChange::Deleted(topic) => {
                    for ledger in self.ledgers.iter_mut().filter(|ledger| ledger.topic == topic.id()) {
                        ledger.deleted = true;
                    }
                }
            }
        }
        Ok(())
    }

    /// Those of some brokers whose machines still have the directory that they registered. What another has lost with its directory
    /// counts against it once it registers the new one.
    pub(super) fn keepers(&self, brokers: &[BrokerId]) -> Vec<BrokerId> {
        let keeps = |id: &BrokerId| {
            let has = self.machines.get(promises::number_of(*id)).map(super::machine::Machine::directory_id);
            self.metadata.head.broker(*id).is_none_or(|broker| Some(broker.directory) == has)
        };
        brokers.iter().copied().filter(keeps).collect()
    }

    /// The number of a partition, which gets one when the metadata has it for the first time.
    fn key_for(&mut self, topic: &Topic, index: PartitionIndex) -> Option<Key> {
        let known = self.key_of(topic.id(), index);
        if known.is_some() {
            return known;
        }
        let slot = self.topics.iter().position(|slot| slot.name == topic.name().as_str())?;
        let config = &self.shape.topics.get(slot)?.config;
        let name = TopicPartition { topic: topic.name().as_str().to_owned(), partition: index };
        let key = self.ledgers.len();
        let mut ledger = Ledger::new(name, topic.id(), config.clone(), self.machines.len());
        ledger.opaque = self.topics.get(slot).is_some_and(|slot| slot.kind != Kind::Records);
        ledger.lossy = topic.configs().get(UNCLEAN).is_some_and(|value| value == "true");
        self.ledgers.push(ledger);
        self.keys.insert((topic.id(), index), key);
        Some(key)
    }

    /// The controller looks at its brokers; where there is none, or it cannot do its work, another takes over in time.
    pub(super) fn control(&mut self) {
        self.queue.plan(self.now + LOOK, Happening::Control);
        let sound = self.metadata.controller.is_some_and(|(number, _)| self.has_majority(number));
        if !sound {
            if self.metadata.controller.take().is_some() {
                self.metadata.lost_at = self.now;
                self.note(|| "the controller is lost".to_owned());
            }
            if self.now >= self.metadata.lost_at + self.election_takes {
                let able: Vec<usize> = (0..self.machines.len()).filter(|n| self.has_majority(*n)).collect();
                if let Some(number) = self.rng.pick(&able).copied() {
                    self.become_controller(number);
                }
            }
            return;
        }
        let Some((controller, since)) = self.metadata.controller else { return };
        for broker in 0..self.machines.len() {
            self.judge(controller, since, broker);
        }
    }

    /// Another broker is controller from now on.
    pub(super) fn become_controller(&mut self, number: usize) {
        self.metadata.term += 1;
        self.metadata.controller = Some((number, self.now));
        self.election_takes = self.rng.range(200 * MILLI, SECOND);
        self.note(|| format!("broker {} is controller", number + 1));
    }

    /// True if a voter reaches most voters, itself among them, both ways.
    fn has_majority(&self, number: usize) -> bool {
        let up = |n: usize| self.machines.get(n).is_some_and(super::machine::Machine::is_up);
        let reached = (0..self.machines.len())
            .filter(|other| up(*other) && self.network.connects(Site::Broker(number), Site::Broker(*other)))
            .count();
        up(number) && reached * 2 > self.machines.len()
    }

    /// Fences a broker that was silent for too long, and lets one that is ready lead.
    fn judge(&mut self, controller: usize, since: Micros, broker: usize) {
        let Some(machine) = self.machines.get(controller) else { return };
        let Some(heard) = machine.heard.get(broker).copied() else { return };
        let Some(registered) = self.metadata.head.broker(super::machine::id_of(broker)).cloned() else {
            return;
        };
        let (id, epoch) = (registered.id, registered.epoch);
        let newest = heard.filter(|heard| heard.epoch == epoch && !heard.gone);
        let fresh = newest.is_some_and(|heard| self.now < heard.at + SESSION);
        // A new controller has not listened for a whole session yet; but what it knows to be gone is gone.
        let known_gone = heard.is_some_and(|heard| heard.epoch == epoch && heard.gone);
        let silent = !fresh && self.now >= since + SESSION;
        if !registered.fenced && (silent || known_gone) {
            self.append(None, Box::new(Command::FenceBroker(FenceBroker { broker: id, epoch })));
        } else if registered.fenced && fresh && newest.is_some_and(|heard| heard.ready) {
            self.append(None, Box::new(Command::UnfenceBroker(UnfenceBroker { broker: id, epoch })));
        }
    }

    /// A broker has said that it lives. Every voter listens, so that each can take over; the controller answers with what
    /// the broker may have missed of the log.
    pub(super) fn hear(
        &mut self,
        at: usize,
        broker: usize,
        (epoch, ready): (Option<ottla_record::BrokerEpoch>, bool),
        applied: usize,
        sent: Micros,
    ) {
        let now = self.now;
        let controls = self.metadata.controller.is_some_and(|(controller, _)| controller == at);
        if let (Some(epoch), Some(place)) =
            (epoch, self.machines.get_mut(at).and_then(|machine| machine.heard.get_mut(broker)))
            && place.is_none_or(|known| known.epoch <= epoch && !(known.epoch == epoch && known.gone))
        {
            *place = Some(Heard { at: now, epoch, ready, gone: false });
            if controls {
                self.send(Site::Broker(at), Site::Broker(broker), Message::Heard { sent });
            }
        }
        let upto = self.metadata.log.len();
        if applied < upto && controls {
            self.send(Site::Broker(at), Site::Broker(broker), Message::Metadata { upto });
        }
    }

    /// A broker's connection has ended, and its machine refuses a new one: the process is gone.
    pub(super) fn hear_end(&mut self, at: usize, broker: usize, incarnation: u64) {
        let ended = self.machines.get(broker).map(|machine| machine.incarnation_id(incarnation));
        let registered = self.metadata.head.broker(super::machine::id_of(broker)).cloned();
        let Some(registered) = registered.filter(|registered| Some(registered.incarnation) == ended) else {
            return;
        };
        let now = self.now;
        if let Some(place) = self.machines.get_mut(at).and_then(|machine| machine.heard.get_mut(broker)) {
            *place = Some(Heard { at: now, epoch: registered.epoch, ready: false, gone: true });
        }
    }

    /// What an operator or a client would be told by a controller that answers.
    pub(super) fn was_refused(response: &Response) -> bool {
        match response {
            Response::CreateTopics(results) => results.iter().any(Result::is_err),
            Response::DeleteTopics(results) => results.iter().any(Result::is_err),
            Response::AlterConfigs(results) => results.iter().any(Result::is_err),
            Response::AlterReassignments(results) => results.iter().any(Result::is_err),
            _ => false,
        }
    }
}
