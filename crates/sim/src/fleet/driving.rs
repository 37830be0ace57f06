//! Events for a replica, and what it asks for: flushes, checkpoints, answers, changes of its in-sync set, and views that are
//! compared with what is known.

use ottla_coordination::metadata::{
    AlterPartition, AlterPartitionError, Command, IsrChange, IsrMember, Response,
};
use ottla_record::{BrokerEpoch, Monotonic};
use ottla_replication::{Availability, Effect, Event, IsrProposal, IsrRefused, IsrState};

use super::Fleet;
use super::happening::{Key, Task};
use super::machine::{Purpose, around};
use super::process::End;
use super::promises;
use super::queue::Micros;
use super::shape::{MILLI, SECOND};
use crate::disk::SimDisk;
use crate::invariants::{Invariant, Violation, broken};

type Verdict = Result<(), Violation>;

impl Fleet {
    /// Hands an event to a replica and does what it asks for.
    pub(super) fn drive(&mut self, broker: usize, key: Key, event: Event<u64>) -> Verdict {
        self.check_power(broker)?;
        let now = self.now_of(broker);
        if self.is_watched(key) {
            self.note(|| format!("broker {}: {}", broker + 1, shortened(&format!("{event:?}"))));
        }
        let Some(machine) = self.machines.get_mut(broker) else { return Ok(()) };
        let Some(host) = machine.process.as_deref_mut().and_then(|process| process.hosts.get_mut(&key))
        else {
            return Ok(());
        };
        let mut effects = std::mem::take(&mut self.effects);
        host.partition.handle(event, now, &mut effects);
        self.tally.events += 1;
        let deadline = host.partition.next_deadline();
        if machine.disk.is_off() {
            self.effects = Vec::new();
            return self.power_failed(broker);
        }
        let executed = self.execute(broker, key, &mut effects);
        effects.clear();
        self.effects = effects;
        executed?;
        self.arm(broker, key, deadline);
        Ok(())
    }

    /// Sets a timer for a replica's next deadline.
    fn arm(&mut self, broker: usize, key: Key, deadline: Monotonic) {
        if deadline == Monotonic::NEVER {
            return;
        }
        let now = self.now;
        let Some(process) = self.process(broker) else { return };
        let micros = u64::try_from(deadline.since_start().as_micros()).unwrap_or(u64::MAX);
        let at = process.started.saturating_add(micros).saturating_add(1).max(now + 1);
        let Some(host) = process.hosts.get_mut(&key) else { return };
        if at < host.armed || host.armed <= now {
            host.armed = at;
            self.later(broker, at - now, Task::Deadline { key });
        }
    }

    fn execute(&mut self, broker: usize, key: Key, effects: &mut Vec<Effect<u64>>) -> Verdict {
        let (mut failed, mut flush) = (false, None);
        let is_watched = self.is_watched(key);
        for effect in effects.drain(..) {
            if is_watched {
                self.note(|| format!("broker {}: -> {}", broker + 1, told(&effect)));
            }
            match effect {
                Effect::Flush(job) => flush = Some(job),
                Effect::Checkpoint(job) => {
                    let after = self.sync_takes(broker);
                    let serial = self.serial(broker, key);
                    self.later(broker, after, Task::Checkpointed { key, serial, job: Box::new(job) });
                }
                Effect::Produced { waiter, outcome } => self.produced(broker, key, waiter, outcome)?,
                Effect::FollowerFetched { waiter, outcome } => self.answered.push((waiter, outcome)),
                Effect::AlterIsr(proposal) => self.alter_isr(broker, key, &proposal),
                Effect::Publish(view) => self.published(broker, key, view)?,
                Effect::Remove(segments) => {
                    let Some(process) = self.machines.get(broker).and_then(|m| m.process.as_deref()) else {
                        continue;
                    };
                    let due = segments.iter().map(|segment| segment.due).max().unwrap_or(Monotonic::ZERO);
                    let micros = u64::try_from(due.since_start().as_micros()).unwrap_or(u64::MAX);
                    let after = process.started.saturating_add(micros).saturating_sub(self.now) + 1;
                    self.later(broker, after, Task::Remove(segments));
                }
                Effect::Failed => failed = true,
                Effect::CopyRefused(error) => {
                    let disk = matches!(
                        error,
                        ottla_storage::AppendError::NoSpace { .. }
                            | ottla_storage::AppendError::Io(_)
                            | ottla_storage::AppendError::Poisoned
                    );
                    if !disk {
                        return Err(broken(Invariant::CopyTaken, format!("broker {}: {error}", broker + 1)));
                    }
                    let until = self.now + FETCH_BACKOFF;
                    if let Some(host) = self.host(broker, key) {
                        host.fetch_not_before = until;
                    }
                }
                // Whoever asked has heard enough. Nothing is compacted in these runs.
                Effect::RecordsDeleted { .. } | Effect::Swapped { .. } => {}
            }
        }
        if failed {
            return self.end(broker, End::DiskFailed);
        }
        // It may be the machine's last operation. What else has come of the event is done and seen by then.
        if let Some(job) = flush {
            self.begin_flush(broker, key, job);
        }
        self.check_power(broker)
    }

    /// What a replica shows from now on.
    fn published(&mut self, broker: usize, key: Key, view: ottla_replication::View) -> Verdict {
        let durable = self.shape.power;
        let (Some(machine), Some(ledger)) = (self.machines.get_mut(broker), self.ledgers.get_mut(key)) else {
            return Ok(());
        };
        let Some(process) = machine.process.as_deref_mut() else { return Ok(()) };
        let Some(host) = process.hosts.get_mut(&key) else { return Ok(()) };
        let before = std::mem::replace(&mut host.view, view);
        let view = &host.view;
        if view.availability == Availability::Offline {
            // What it has answered before its disk failed, in the same event, is committed.
            return match before.availability {
                Availability::Leading { epoch, .. } if ledger.counts(epoch) => {
                    if let Some(copy) = ledger.copies.get_mut(broker) {
                        copy.flushed = copy.flushed.max(view.flushed_end.min(copy.end));
                    }
                    promises::commits(ledger, broker, view.high_watermark)
                }
                _ => Ok(()),
            };
        }
        machine.disk.quietly(|| promises::copies_agree(ledger, broker, view))?;
        let mut rose = false;
        if let Availability::Leading { epoch, epoch_start } = view.availability {
            promises::one_leader_per_term(ledger, epoch, machine.id, process.incarnation)?;
            if before.availability == view.availability {
                let in_sync = host.assignment.as_ref().map_or(0, |assignment| assignment.isr.len());
                let replicas = host.assignment.as_ref().map_or(1, |assignment| assignment.replicas.len());
                let required = host.min_in_sync.min(replicas);
                promises::enough_are_in_sync(before.high_watermark, view.high_watermark, in_sync, required)?;
            }
            if before.availability != view.availability {
                promises::producers_are_known(ledger, broker, epoch, host.partition.log())?;
            }
            // One that does not know that it was replaced uncleanly speaks of a log that is given up.
            if ledger.counts(epoch) {
                rose = view.high_watermark > ledger.committed_end();
                promises::commits(ledger, broker, view.high_watermark)?;
                if view.high_watermark >= epoch_start {
                    promises::shown_never_falls(ledger, epoch, view.high_watermark)?;
                }
            }
        }
        promises::marks_are_committed(ledger, broker, view)?;
        let grown = view.log_end != before.log_end || view.availability != before.availability;
        let (topic, index) = (ledger.topic, ledger.index());
        if rose && let Some(partition) = self.metadata.head.partition(topic, index) {
            let members = self.keepers(&partition.isr);
            let Some(ledger) = self.ledgers.get_mut(key) else { return Ok(()) };
            promises::in_sync_replicas_have_it(ledger, &members, durable)?;
        }
        if grown {
            self.unpark_for(broker, key);
        }
        self.shard_sees(broker, key);
        Ok(())
    }

    fn begin_flush(&mut self, broker: usize, key: Key, job: ottla_storage::FlushJob) {
        let after = self.sync_takes(broker);
        // The device may have taken what is there now only, or also what is written until it answers.
        let synced = self
            .rng
            .chance(1, 2)
            .then(|| self.machines.get(broker).is_some_and(|machine| job.run(&*machine.disk.port()).is_ok()));
        let serial = self.serial(broker, key);
        self.later(broker, after, Task::Flushed { key, serial, job, synced });
    }

    /// Which of a process's replicas has a partition now; 0 for none.
    pub(super) fn serial(&self, broker: usize, key: Key) -> u64 {
        let process = self.machines.get(broker).and_then(|machine| machine.process.as_deref());
        process.and_then(|process| process.hosts.get(&key)).map_or(0, |host| host.serial)
    }

    fn sync_takes(&mut self, broker: usize) -> Micros {
        let slow = self.machines.get(broker).map_or(1, |machine| machine.slow);
        around(self.shape.sync, &mut self.rng) * slow
    }

    fn alter_isr(&mut self, broker: usize, key: Key, proposal: &IsrProposal) {
        let (Some(machine), Some(ledger)) = (self.machines.get(broker), self.ledgers.get(key)) else {
            return;
        };
        let Some(epoch) = machine.process.as_deref().and_then(|process| process.epoch) else { return };
        let image = &machine.image.0;
        let registered = |id| image.broker(id).map_or(BrokerEpoch::ZERO, |b| b.epoch);
        let isr = proposal
            .isr
            .iter()
            .map(|(id, epoch)| IsrMember { broker: *id, epoch: epoch.unwrap_or_else(|| registered(*id)) })
            .collect();
        let change = IsrChange {
            topic: ledger.topic,
            partition: ledger.index(),
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            isr,
        };
        self.tally.isr_changes += 1;
        let command =
            Command::AlterPartition(AlterPartition { broker: machine.id, epoch, changes: vec![change] });
        self.propose(broker, command, Purpose::Isr(key, proposal.partition_epoch));
    }

    /// Something within a process.
    pub(super) fn within(&mut self, broker: usize, task: Task) -> Verdict {
        match task {
            // The replica was taken away meanwhile, and another may have come.
            Task::Flushed { key, serial, .. } | Task::Checkpointed { key, serial, .. }
                if self.serial(broker, key) != serial =>
            {
                Ok(())
            }
            Task::Flushed { key, job, synced, .. } => {
                let Some(machine) = self.machines.get(broker) else { return Ok(()) };
                let done = synced.unwrap_or_else(|| job.run(&*machine.disk.port()).is_ok());
                self.drive(broker, key, Event::Flushed { end: job.end, succeeded: done })?;
                self.pump_fetches(broker);
                self.check_power(broker)
            }
            Task::Checkpointed { key, job, .. } => {
                let Some(machine) = self.machines.get(broker) else { return Ok(()) };
                let succeeded = run_checkpoint(&job, &machine.disk);
                self.drive(broker, key, Event::Checkpointed { job: *job, succeeded })
            }
            Task::Deadline { key } => {
                if let Some(host) = self.host(broker, key) {
                    host.armed = Micros::MAX;
                }
                self.drive(broker, key, Event::Tick)
            }
            Task::Remove(segments) => {
                let Some(machine) = self.machines.get(broker) else { return Ok(()) };
                for segment in segments {
                    // A file that cannot be removed is removed at the next start.
                    let _ = segment.remove(&*machine.disk.port());
                }
                self.check_power(broker)
            }
            Task::Keep => self.keep(broker),
            Task::Heartbeat => {
                self.heartbeat(broker);
                Ok(())
            }
            Task::Propose { number } => {
                self.propose_again(broker, number);
                Ok(())
            }
            Task::FetchAgain { request } => {
                self.fetch_again(broker, request);
                Ok(())
            }
            Task::Unpark { request } => self.unpark(broker, request),
            Task::IsrDecided { key, partition_epoch, outcome } => {
                if let (Ok(state), Some(host)) = (&outcome, self.host(broker, key))
                    && let Some(assignment) = &mut host.assignment
                    && assignment.partition_epoch == partition_epoch
                {
                    assignment.partition_epoch = state.partition_epoch;
                    assignment.isr.clone_from(&state.isr);
                }
                self.drive(broker, key, Event::IsrDecided { partition_epoch, outcome })
            }
            Task::LoadShard { key } => self.load_shard(broker, key),
            Task::ShardTick { key } => self.shard_tick(broker, key),
            Task::Appended { key, epoch, append } => self.shard_appended(broker, key, epoch, append),
            Task::Stop => self.end(broker, End::Stopped),
        }
    }

    /// What the keeper of the log directory does: ticks, checkpoints, retention.
    fn keep(&mut self, broker: usize) -> Verdict {
        let Some(process) = self.process(broker) else { return Ok(()) };
        process.keeps += 1;
        let (keeps, keys) = (process.keeps, process.hosts.keys().copied().collect::<Vec<_>>());
        for key in keys {
            self.drive(broker, key, Event::Tick)?;
            if keeps.is_multiple_of(RETAIN_EVERY) {
                self.drive(broker, key, Event::Retain)?;
            }
        }
        let Some(machine) = self.machines.get(broker) else { return Ok(()) };
        if let Some(process) = machine.process.as_deref() {
            for (key, host) in &process.hosts {
                if let Some(ledger) = self.ledgers.get(*key) {
                    process.directory.note_high_watermark(&ledger.name, host.view.high_watermark);
                }
            }
            // As production does: said in the log, and tried again a second later.
            let _ = process.directory.store_checkpoints();
        }
        self.check_power(broker)?;
        let again = around(SECOND, &mut self.rng);
        self.later(broker, again, Task::Keep);
        Ok(())
    }
}

/// An effect, so short that it can be read.
fn told(effect: &Effect<u64>) -> String {
    match effect {
        Effect::Publish(view) => format!(
            "log {} to {}, flushed {}, high watermark {}, recovery point {}, {:?}, {:?}",
            view.log_start,
            view.log_end,
            view.flushed_end,
            view.high_watermark,
            view.recovery_point,
            view.availability,
            view.following
        ),
        Effect::Flush(job) => format!("flush up to {}", job.end),
        Effect::Checkpoint(_) => "checkpoint".to_owned(),
        effect => shortened(&format!("{effect:?}")),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_NOTE).collect()
}

fn run_checkpoint(job: &ottla_storage::CheckpointJob, disk: &SimDisk) -> bool {
    let files = job.files.iter().all(|file| file.sync().is_ok());
    files && job.dirs.iter().all(|dir| disk.port().sync_dir(dir).is_ok())
}

/// What the controller's answer says of a change of the in-sync set, as `node::in_sync` reads it.
pub fn isr_outcome(response: Response) -> Result<IsrState, IsrRefused> {
    let results = match response {
        Response::AlterPartition(Ok(results)) => results,
        // Registered anew: this process is about to end, or has been replaced.
        _ => return Err(IsrRefused::Fenced),
    };
    match results.into_iter().next() {
        Some(Ok(state)) => Ok(IsrState { partition_epoch: state.partition_epoch, isr: state.isr }),
        Some(Err(AlterPartitionError::IneligibleReplica)) => Err(IsrRefused::Ineligible),
        Some(Err(AlterPartitionError::InvalidIsr)) => Err(IsrRefused::Rejected),
        // Another term (perhaps because this change ended a move), another version, or no such partition any more: what says so is
        // on its way.
        Some(Err(_)) | None => Err(IsrRefused::Fenced),
    }
}

/// A note of an event has no more characters.
const LONGEST_NOTE: usize = 400;
/// Of so many turns of the keeper one looks at the retention.
const RETAIN_EVERY: u64 = 4;
/// How long a follower waits after a fetch that brought nothing but a refusal (`replica.fetch.backoff.ms`).
pub const FETCH_BACKOFF: Micros = 100 * MILLI;
