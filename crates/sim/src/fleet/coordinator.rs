//! The coordinators of groups: production's shard and group machine on the leader of each partition of `__consumer_offsets`, as
//! `node::coordinator` runs them. One is loaded when its broker leads in a new term, serves once all that it has read is committed,
//! answers while its broker's session lasts, and resigns when the broker hears of another leader.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_coordination::group::Groups;
use ottla_coordination::group::request::Request;
use ottla_coordination::group::response::Response;
use ottla_coordination::shard::{AppendId, Effect, Event, Shard};
use ottla_record::{LeaderEpoch, Monotonic, Offset};
use ottla_replication::{Acks, Produce};

use super::Fleet;
use super::happening::{Key, Message, Task};
use super::machine::Waiting;
use super::members::{SESSION_MS, TIMEOUT};
use super::metadata::SESSION;
use super::network::Site;
use super::queue::Micros;
use super::shape::MILLI;
use crate::groups::process::{batch, read_records};
use crate::groups::settings;
use crate::invariants::{Invariant, Violation, broken};

type Verdict = Result<(), Violation>;

/// A shard, for one term of its partition's leadership.
pub struct ShardHost {
    epoch: LeaderEpoch,
    /// The replica that it writes to.
    serial: u64,
    shard: Shard<Groups<u64>>,
    /// It has read up to here, and serves once that is committed.
    read_to: Option<Offset>,
    /// Who waits: the client's number for each request.
    waiting: BTreeMap<u64, u64>,
    /// The earliest deadline that a timer is set for.
    armed: Micros,
}

impl ShardHost {
    fn new(epoch: LeaderEpoch, serial: u64) -> Self {
        Self {
            epoch,
            serial,
            shard: Shard::loading(machine(), AppendId::FIRST),
            read_to: None,
            waiting: BTreeMap::new(),
            armed: Micros::MAX,
        }
    }
}

fn machine() -> Groups<u64> {
    Groups::new(settings(RETENTION, SESSION_MS))
}

impl Fleet {
    /// Brings the shards to what the metadata says that a process has applied.
    pub(super) fn follow_shards(&mut self, broker: usize) -> Verdict {
        for key in self.offsets_keys() {
            let Some(ledger) = self.ledgers.get(key) else { continue };
            let (topic, index) = (ledger.topic, ledger.index());
            let serial = self.serial(broker, key);
            let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
            let Some(process) = machine.process.as_deref_mut() else { return Ok(()) };
            let partition = process.followed.partition(topic, index);
            let leads = partition.filter(|partition| serial > 0 && partition.leader == Some(machine.id));
            let wanted = leads.map(|partition| (partition.leader_epoch, serial));
            let is_kept =
                process.shards.get(&key).is_some_and(|known| wanted == Some((known.epoch, known.serial)));
            if is_kept {
                self.shard(broker, key, Event::Tick)?;
                continue;
            }
            if process.shards.contains_key(&key) {
                self.shard(broker, key, Event::Resign)?;
            }
            let Some(process) = self.process(broker) else { return Ok(()) };
            process.shards.remove(&key);
            if let Some((epoch, serial)) = wanted {
                process.shards.insert(key, ShardHost::new(epoch, serial));
                self.load_later(broker, key);
            }
        }
        Ok(())
    }

    fn load_later(&mut self, broker: usize, key: Key) {
        let after = self.rng.range(10, 30 * MILLI);
        self.later(broker, after, Task::LoadShard { key });
    }

    /// A shard that is not in charge yet takes the next step: it reads its log, or serves if that is committed.
    pub(super) fn load_shard(&mut self, broker: usize, key: Key) -> Verdict {
        let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
        let Some(process) = machine.process.as_deref_mut() else { return Ok(()) };
        let (Some(host), Some(shard)) = (process.hosts.get(&key), process.shards.get_mut(&key)) else {
            return Ok(());
        };
        // The partition hears of its term a little later, or has gone on to another: then this one is about to go.
        if shard.shard.is_active() || host.view.availability.leading() != Some(shard.epoch) {
            return Ok(());
        }
        match shard.read_to {
            None => {
                let (start, end) = (host.view.log_start, host.view.log_end);
                let read = machine.disk.quietly(|| read_records(&host.view.log, start, end));
                let records = read.map_err(|found| broken(Invariant::Readable, found))?;
                shard.read_to = Some(end);
                self.shard(broker, key, Event::Replayed(records))?;
                self.load_shard(broker, key)
            }
            Some(end) if host.view.high_watermark >= end => {
                self.tally.loads += 1;
                self.shard(broker, key, Event::Loaded)
            }
            Some(_) => Ok(()),
        }
    }

    /// The log of a shard shows something new.
    pub(super) fn shard_sees(&mut self, broker: usize, key: Key) {
        let shard = self.process(broker).and_then(|process| process.shards.get(&key));
        if shard.is_some_and(|shard| !shard.shard.is_active()) {
            self.later(broker, 10, Task::LoadShard { key });
        }
    }

    /// A client asks a coordinator.
    pub(super) fn serve_group(&mut self, broker: usize, request: u64, key: Key, asked: Request) -> Verdict {
        let open = self.session_is_open(broker);
        let Some(process) = self.process(broker) else { return Ok(()) };
        let waiter = process.next_number;
        process.next_number += 1;
        match process.shards.get_mut(&key).filter(|_| open) {
            Some(shard) => {
                shard.waiting.insert(waiter, request);
                self.shard(broker, key, Event::Request { waiter, request: asked })
            }
            None => {
                self.answer_group(broker, request, None);
                Ok(())
            }
        }
    }

    /// A broker answers for groups only while it knows that nobody else does: it has heard of the controller within a session.
    fn session_is_open(&self, broker: usize) -> bool {
        let process = self.machines.get(broker).and_then(|machine| machine.process.as_deref());
        let renewed = process.and_then(|process| process.renewed);
        self.machines.len() == 1 || renewed.is_some_and(|sent| self.now < sent + SESSION)
    }

    pub(super) fn answer_group(&mut self, broker: usize, request: u64, answer: Option<Response>) {
        let answer = answer.map(Box::new);
        self.send(Site::Broker(broker), Site::Clients, Message::GroupAnswer { request, answer });
    }

    /// An append of a shard is committed, or is not.
    pub(super) fn shard_appended(
        &mut self,
        broker: usize,
        key: Key,
        epoch: LeaderEpoch,
        append: (AppendId, bool),
    ) -> Verdict {
        let shard = self.process(broker).and_then(|process| process.shards.get(&key));
        if shard.is_none_or(|shard| shard.epoch != epoch) {
            return Ok(());
        }
        let (id, committed) = append;
        self.shard(broker, key, if committed { Event::Committed(id) } else { Event::Failed(id) })
    }

    /// Time has come for a shard.
    pub(super) fn shard_tick(&mut self, broker: usize, key: Key) -> Verdict {
        if let Some(shard) = self.process(broker).and_then(|process| process.shards.get_mut(&key)) {
            shard.armed = Micros::MAX;
        }
        self.shard(broker, key, Event::Tick)
    }

    /// Hands an event to a shard, and does all that comes of it.
    fn shard(&mut self, broker: usize, key: Key, event: Event<Groups<u64>>) -> Verdict {
        let now = self.now_of(broker);
        let Some(process) = self.process(broker) else { return Ok(()) };
        let Some(host) = process.shards.get_mut(&key) else { return Ok(()) };
        let failed = matches!(event, Event::Failed(_));
        let mut effects = Vec::new();
        host.shard.handle(event, &process.followed, now, &mut effects);
        let epoch = host.epoch;
        let starts_over = failed && host.shard.is_resigned();
        if starts_over {
            // What it had decided may not be in the log.
            host.shard = Shard::loading(machine(), host.shard.next_append());
            host.read_to = None;
        }
        let deadline = host.shard.next_deadline();
        for effect in effects {
            match effect {
                Effect::Reply { waiter, outcome } => {
                    let open = self.session_is_open(broker);
                    let shard = self.process(broker).and_then(|process| process.shards.get_mut(&key));
                    if let Some(request) = shard.and_then(|shard| shard.waiting.remove(&waiter)) {
                        self.answer_group(broker, request, outcome.ok().filter(|_| open));
                    }
                }
                Effect::Append { id, records } => {
                    let batches = batch(&records, now)?;
                    self.append_for_shard(broker, key, (epoch, id), batches)?;
                }
            }
        }
        if starts_over {
            self.load_later(broker, key);
        }
        self.arm_shard(broker, key, deadline);
        Ok(())
    }

    fn append_for_shard(
        &mut self,
        broker: usize,
        key: Key,
        append: (LeaderEpoch, AppendId),
        batches: ottla_record::ValidatedBatches,
    ) -> Verdict {
        let Some(process) = self.process(broker) else { return Ok(()) };
        let waiter = process.next_number;
        process.next_number += 1;
        let Some(host) = process.hosts.get_mut(&key) else { return Ok(()) };
        host.waiting.insert(waiter, Waiting { request: 0, ids: Vec::new(), all: true, append: Some(append) });
        let (base, leads) = (host.partition.log().log_end(), host.view.availability.leading());
        let deadline = Monotonic::NEVER;
        let produce = Produce { waiter, batches, acks: Acks::All, deadline };
        self.drive(broker, key, ottla_replication::Event::Produce(produce))?;
        if let (Some(epoch), None, Some(ledger)) =
            (leads, self.process(broker).map(drop), self.ledgers.get_mut(key))
        {
            ledger.attempted(base, epoch, &[]);
        }
        Ok(())
    }

    fn arm_shard(&mut self, broker: usize, key: Key, deadline: Monotonic) {
        if deadline == Monotonic::NEVER {
            return;
        }
        let now = self.now;
        let Some(process) = self.process(broker) else { return };
        let micros = u64::try_from(deadline.since_start().as_micros()).unwrap_or(u64::MAX);
        let at = process.started.saturating_add(micros).saturating_add(1).max(now + 1);
        let Some(shard) = process.shards.get_mut(&key) else { return };
        if at < shard.armed || shard.armed <= now {
            shard.armed = at;
            self.later(broker, at - now, Task::ShardTick { key });
        }
    }
}

/// `offsets.retention.minutes`: nothing expires in a run.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
const _: () = assert!(TIMEOUT > SESSION, "a client asks anew when whoever it asked may answer no more");
