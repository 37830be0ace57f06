//! How followers copy: each asks the leaders of its partitions, together for those of one leader, and asks again as soon as
//! it has an answer; a leader that has nothing new lets a fetch wait.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_record::{BrokerId, LeaderEpoch, Offset};
use ottla_replication::{Availability, Event};
use ottla_replication::{FetchedFromLeader, FetchedOutcome, FollowerFetch, FollowerFetchError};

use super::Fleet;
use super::driving::FETCH_BACKOFF;
use super::happening::{FetchRequest, Key, Message, Task};
use super::machine::Parked;
use super::network::Site;
use super::promises::number_of;
use super::shape::SECOND;
use crate::invariants::{Invariant, Violation, broken};

type Verdict = Result<(), Violation>;
type Part = (Key, LeaderEpoch, ottla_replication::FetchPosition, Option<FetchedOutcome>);

impl Fleet {
    /// Sends what may be sent: for every replica that follows and has no fetch out, one.
    pub(super) fn pump_fetches(&mut self, broker: usize) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(broker) else { return };
        let follower = machine.id;
        let Some(process) = machine.process.as_deref_mut() else { return };
        let Some(broker_epoch) = process.epoch else { return };
        let mut by_leader: BTreeMap<BrokerId, Vec<_>> = BTreeMap::new();
        for (key, host) in &mut process.hosts {
            let Some(following) = host.view.following else { continue };
            let Some(position) = following.fetch else { continue };
            let out = host.fetch.is_some_and(|(_, leader, epoch)| {
                (leader, epoch) == (following.leader, following.leader_epoch)
            });
            if out || host.fetch_not_before > now {
                continue;
            }
            host.fetch = None;
            by_leader.entry(following.leader).or_default().push((*key, following.leader_epoch, position));
        }
        for (leader, parts) in by_leader {
            let Some(process) = self.process(broker) else { return };
            let request = process.next_number;
            process.next_number += 1;
            process.fetching.insert(request, leader);
            for (key, epoch, _) in &parts {
                if let Some(host) = process.hosts.get_mut(key) {
                    host.fetch = Some((request, leader, *epoch));
                }
            }
            let fetch = FetchRequest { request, follower, broker_epoch, parts };
            self.send(Site::Broker(broker), Site::Broker(number_of(leader)), Message::Fetch(fetch));
            // A connection on which nothing comes is given up.
            self.later(broker, 2 * SECOND, Task::FetchAgain { request });
        }
    }

    /// A fetch has no answer, or had to wait before the next one.
    pub(super) fn fetch_again(&mut self, broker: usize, request: u64) {
        let Some(process) = self.process(broker) else { return };
        let Some(leader) = process.fetching.remove(&request) else {
            // It was answered; whoever backed off may fetch now.
            self.pump_fetches(broker);
            return;
        };
        for host in process.hosts.values_mut() {
            if host.fetch.is_some_and(|(out, ..)| out == request) {
                host.fetch = None;
            }
        }
        self.network.reset(Site::Broker(broker), Site::Broker(number_of(leader)));
        self.pump_fetches(broker);
    }

    /// A follower's fetch arrives at a leader.
    pub(super) fn serve_fetch(&mut self, broker: usize, from: Site, fetch: FetchRequest) -> Verdict {
        let Some(machine) = self.machines.get(broker) else { return Ok(()) };
        let Some(process) = machine.process.as_deref() else { return Ok(()) };
        // KIP-903: a process that was replaced counts no more; one that was not heard of here does not yet.
        let registered = process.followed.broker(fetch.follower).map(|b| b.epoch);
        if registered != Some(fetch.broker_epoch) {
            let parts =
                fetch.parts.iter().map(|(key, epoch, position)| (*key, *epoch, *position, None)).collect();
            self.send(Site::Broker(broker), from, Message::Fetched { request: fetch.request, parts });
            return Ok(());
        }
        let mut refused = BTreeMap::new();
        for (number, (key, leader_epoch, position)) in fetch.parts.iter().enumerate() {
            let event = Event::FollowerFetch(FollowerFetch {
                waiter: number as u64,
                follower: fetch.follower,
                broker_epoch: fetch.broker_epoch,
                leader_epoch: *leader_epoch,
                offset: position.offset,
                last_epoch: position.last_epoch,
                log_start: position.log_start,
            });
            self.answered.clear();
            self.drive(broker, *key, event)?;
            let Some((_, outcome)) = self.answered.pop() else {
                refused.insert(*key, None);
                continue;
            };
            let outcome = match outcome {
                Ok(position) => match position.diverging {
                    Some(end) => Some(FetchedOutcome::Diverging(end)),
                    None => continue,
                },
                Err(FollowerFetchError::OutOfRange { log_start, log_end, producers }) => {
                    Some(FetchedOutcome::OutOfRange { log_start, log_end, producers })
                }
                Err(_) => None,
            };
            refused.insert(*key, outcome);
        }
        // The process may have ended over it.
        if self.process(broker).is_none() {
            return Ok(());
        }
        let urgent = !refused.is_empty();
        self.answer_fetch(broker, from, fetch, refused, urgent)
    }

    /// Answers a fetch, or lets it wait while there is nothing to say.
    fn answer_fetch(
        &mut self,
        broker: usize,
        from: Site,
        fetch: FetchRequest,
        mut refused: BTreeMap<Key, Option<FetchedOutcome>>,
        urgent: bool,
    ) -> Verdict {
        let mut parts: Vec<Part> = Vec::with_capacity(fetch.parts.len());
        let mut found = urgent;
        for (key, epoch, position) in &fetch.parts {
            let outcome = match refused.remove(key) {
                Some(outcome) => outcome,
                None => self.read_for(broker, *key, *epoch, position.offset)?,
            };
            found |= match &outcome {
                Some(FetchedOutcome::Records { bytes, .. }) => !bytes.is_empty(),
                Some(_) | None => true,
            };
            parts.push((*key, *epoch, *position, outcome));
        }
        let request = fetch.request;
        if found {
            self.send(Site::Broker(broker), from, Message::Fetched { request, parts });
            return Ok(());
        }
        let wait = self.shape.fetch_wait;
        let Some(process) = self.process(broker) else { return Ok(()) };
        let number = process.next_number;
        process.next_number += 1;
        process.parked.insert(number, Parked { from, request: fetch });
        self.later(broker, wait, Task::Unpark { request: number });
        Ok(())
    }

    /// Reads what a follower gets, from one view that leads in the follower's term.
    fn read_for(
        &mut self,
        broker: usize,
        key: Key,
        epoch: LeaderEpoch,
        offset: Offset,
    ) -> Result<Option<FetchedOutcome>, Violation> {
        let Some(host) = self.host(broker, key) else { return Ok(None) };
        let view = &host.view;
        if view.availability.leading() != Some(epoch) {
            return Ok(None);
        }
        let (high_watermark, log_start) = (view.high_watermark, view.log_start);
        if offset < log_start || offset > view.log_end {
            // Its end or its start has moved while the fetch waited: the replica answers the next one.
            return Ok(None);
        }
        let slice = view.log.read(offset, FETCH_BYTES, view.log_end, true);
        let bytes = match slice {
            Ok(None) => Bytes::new(),
            Ok(Some(slice)) if slice.base_offset > offset || slice.end_offset <= offset => {
                let found = format!("asked for {offset}, read from {}", slice.base_offset);
                return Err(broken(Invariant::NothingSkipped, found));
            }
            Ok(Some(slice)) => match slice.read() {
                Ok(bytes) => bytes.into(),
                Err(_) => return Ok(None),
            },
            Err(_) => return Ok(None),
        };
        Ok(Some(FetchedOutcome::Records { bytes, high_watermark, log_start }))
    }

    /// A partition has more, or leads no more: the fetches that wait for it are answered.
    pub(super) fn unpark_for(&mut self, broker: usize, key: Key) {
        let Some(process) = self.process(broker) else { return };
        if process.parked.is_empty() {
            return;
        }
        let wakes: Vec<u64> = process
            .parked
            .iter()
            .filter(|(_, parked)| parked.request.parts.iter().any(|(of, ..)| *of == key))
            .map(|(number, _)| *number)
            .collect();
        for request in wakes {
            // Soon, not within what happens now.
            self.later(broker, 10, Task::Unpark { request });
        }
    }

    /// A fetch has waited long enough, or there is something for it.
    pub(super) fn unpark(&mut self, broker: usize, request: u64) -> Verdict {
        let Some(parked) = self.process(broker).and_then(|process| process.parked.remove(&request)) else {
            return Ok(());
        };
        self.answer_fetch(broker, parked.from, parked.request, BTreeMap::new(), true)
    }

    /// A leader's answer arrives.
    pub(super) fn take_fetched(&mut self, broker: usize, request: u64, parts: Vec<Part>) -> Verdict {
        let now = self.now;
        let Some(process) = self.process(broker) else { return Ok(()) };
        // An answer that comes twice, or too late, is handed over all the same: the replica is to know better.
        process.fetching.remove(&request);
        let mut backs_off = false;
        for (key, leader_epoch, position, outcome) in parts {
            let Some(host) = self.host(broker, key) else { continue };
            if host.fetch.is_some_and(|(out, ..)| out == request) {
                host.fetch = None;
            }
            match outcome {
                Some(outcome) => {
                    let fetched = FetchedFromLeader {
                        leader_epoch,
                        from: position.offset,
                        last_epoch: position.last_epoch,
                        outcome,
                    };
                    self.drive(broker, key, Event::Fetched(fetched))?;
                }
                None => {
                    host.fetch_not_before = now + FETCH_BACKOFF;
                    backs_off = true;
                }
            }
        }
        if backs_off {
            self.later(broker, FETCH_BACKOFF, Task::FetchAgain { request: 0 });
        }
        self.pump_fetches(broker);
        Ok(())
    }

    /// True if a replica leads, for those who ask who does.
    pub(super) fn leads(&self, broker: usize, key: Key) -> bool {
        let host = self.machines.get(broker).and_then(|m| m.process.as_deref()?.hosts.get(&key));
        host.is_some_and(|host| matches!(host.view.availability, Availability::Leading { .. }))
    }
}

/// `replica.fetch.max.bytes`
const FETCH_BYTES: usize = 4_000;
