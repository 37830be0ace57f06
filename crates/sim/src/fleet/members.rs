//! Members of groups: those of `groups`, three of each protocol, whose coordinators fail over; and somebody who reads the offsets
//! that they have committed. What they are told is compared with what they were told before, whoever told it.

use std::collections::{BTreeMap, BTreeSet};

use ottla_coordination::group::request::{FetchOffsets, Request};
use ottla_coordination::group::response::Response;

use super::Fleet;
use super::happening::{Happening, Key, Message};
use super::machine::around;
use super::network::Site;
use super::promises::number_of;
use super::queue::Micros;
use super::shape::{Kind, MILLI, SECOND};
use crate::groups::Member;
use crate::groups::classic::ClassicMember;
use crate::groups::consumer::ConsumerMember;
use crate::groups::process::Asked;
use crate::groups::promises::{Answered, CLASSIC, CONSUMER, Promises, Timing, group_id};
use crate::invariants::{Invariant, Violation, broken};

type Verdict = Result<(), Violation>;

/// All members, and what they were told.
#[derive(Debug)]
pub struct Members {
    all: Vec<Member>,
    promises: Promises,
    /// What each waits for, and until when.
    out: Vec<Option<(u64, Micros)>>,
    asked: BTreeMap<u64, Asks>,
    /// Whose offsets were read when all had come to rest.
    read_at_rest: BTreeSet<&'static str>,
}

/// Who asked what.
#[derive(Debug)]
enum Asks {
    Member { number: usize, asked: Asked },
    Offsets { group: &'static str, asked: Asked, answered: Answered, at_rest: bool },
}

impl Members {
    /// Three of each protocol, or nobody.
    pub fn new(some: bool) -> Self {
        let count = if some { OF_EACH } else { 0 };
        let classic = (0..count).map(|_| Member::Classic(ClassicMember::new()));
        let all: Vec<Member> =
            classic.chain((count..2 * count).map(|n| Member::Consumer(ConsumerMember::new(n)))).collect();
        let timing = Timing { session_ms: SESSION_MS, rebalance_ms: REBALANCE_MS, overlap_ms: OVERLAP_MS };
        Self {
            out: vec![None; all.len()],
            all,
            promises: Promises::with(timing),
            asked: BTreeMap::new(),
            read_at_rest: BTreeSet::new(),
        }
    }
}

impl Fleet {
    /// Members come, if there are groups.
    pub(super) fn add_members(&mut self) {
        for number in 0..self.members.all.len() {
            self.queue.plan(3 * SECOND, Happening::Member(number));
        }
        if !self.members.all.is_empty() {
            self.queue.plan(3 * SECOND, Happening::Offsets);
        }
    }

    /// The partitions that coordinators write to.
    pub(super) fn offsets_keys(&self) -> Vec<Key> {
        let topic = self.topics.iter().find(|topic| topic.kind == Kind::Offsets);
        topic.and_then(|topic| topic.id).map(|id| self.keys_of(id)).unwrap_or_default()
    }

    /// The partition whose leader coordinates a group.
    fn partition_of(&self, group: &str) -> Option<Key> {
        let keys = self.offsets_keys();
        let place = usize::from(group != CLASSIC);
        keys.get(place % keys.len().max(1)).copied()
    }

    /// A partition has lost what was committed: so have the groups whose coordinator writes to it.
    pub(super) fn members_lose(&mut self, key: Key) {
        for group in [CLASSIC, CONSUMER] {
            if self.partition_of(group) == Some(key) {
                self.members.promises.loses(group);
            }
        }
    }

    /// A member's turn.
    pub(super) fn member(&mut self, number: usize) -> Verdict {
        let pace = around(self.shape.pace.clamp(200 * MILLI, SECOND), &mut self.rng);
        self.queue.plan(self.now + pace, Happening::Member(number));
        if self.clients.finishing && self.members_wait_for().is_none() {
            return Ok(());
        }
        let (now, healing) = (self.now, self.healing);
        let Members { all, promises, out, .. } = &mut self.members;
        let (Some(member), Some(out)) = (all.get_mut(number), out.get_mut(number)) else { return Ok(()) };
        if !healing && self.rng.chance(1, 150) {
            // Its process dies, and the next one begins.
            member.die(promises, number);
            *out = None;
            return Ok(());
        }
        match *out {
            Some((_, until)) if now < until => return Ok(()),
            Some(_) => {
                member.disconnected();
                *out = None;
            }
            None => {}
        }
        let group = if matches!(member, Member::Classic(_)) { CLASSIC } else { CONSUMER };
        let Some(asked) = member.act(number, !healing, promises, &mut self.rng) else { return Ok(()) };
        let asked = asked.asked(self.wall(), self.members.promises.newest_synced());
        let request = self.ask_group(group, asked.request().clone());
        if let (Some(request), Some(out)) = (request, self.members.out.get_mut(number)) {
            let joins = matches!(asked.request(), Request::Join(_) | Request::Sync(_));
            *out = Some((request, now + if joins { TIMEOUT } else { TIMEOUT / 4 }));
            self.members.asked.insert(request, Asks::Member { number, asked });
            return Ok(());
        }
        // Nobody coordinates.
        self.tell_member(number, &asked, None)
    }

    /// Somebody reads the committed offsets.
    pub(super) fn look_at_offsets(&mut self) {
        self.queue.plan(self.now + around(2 * SECOND, &mut self.rng), Happening::Offsets);
        let at_rest = self.clients.finishing;
        for group in [CLASSIC, CONSUMER] {
            let fetch = FetchOffsets {
                group: group_id(group),
                member: None,
                epoch: None,
                topics: None,
                require_stable: false,
            };
            let answered = self.members.promises.answered(group);
            let asked = Asked::of(Request::FetchOffsets(fetch));
            let asked = asked.asked(self.wall(), self.members.promises.newest_synced());
            if let Some(request) = self.ask_group(group, asked.request().clone()) {
                self.members.asked.insert(request, Asks::Offsets { group, asked, answered, at_rest });
            }
        }
    }

    fn ask_group(&mut self, group: &'static str, asked: Request) -> Option<u64> {
        let key = self.partition_of(group)?;
        let leader = self.clients.leaders.get(&key).and_then(|(leader, _)| *leader)?;
        let request = self.clients.next_request;
        self.clients.next_request += 1;
        let message = Message::GroupAsk { request, key, asked: Box::new(asked) };
        self.send(Site::Clients, Site::Broker(number_of(leader)), message);
        Some(request)
    }

    /// An answer of a coordinator; `None` if it was none.
    pub(super) fn take_group_answer(&mut self, request: u64, answer: Option<Response>) -> Verdict {
        if answer.is_none() {
            self.ask_who_leads();
        }
        match self.members.asked.remove(&request) {
            Some(Asks::Member { number, asked }) => {
                let Some(out) = self.members.out.get_mut(number) else { return Ok(()) };
                // It hung up, or died.
                if out.take_if(|(waits, _)| *waits == request).is_none() {
                    return Ok(());
                }
                self.tell_member(number, &asked, answer)
            }
            Some(Asks::Offsets { group, asked, answered, at_rest }) => match answer {
                Some(Response::FetchOffsets(Ok(topics))) => {
                    if at_rest {
                        self.members.read_at_rest.insert(group);
                    }
                    self.tally.offsets_read += 1;
                    self.members.promises.fetched_since(group, &topics, asked.at, &answered)
                }
                Some(Response::FetchOffsets(Err(error))) => {
                    Err(broken(Invariant::AnswerIsTrue, format!("a read of committed offsets: {error}")))
                }
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn tell_member(&mut self, number: usize, asked: &Asked, answer: Option<Response>) -> Verdict {
        self.tally.group_answers += u64::from(answer.is_some());
        self.note(|| format!("member {number} asked {:?} at {:?}: {answer:?}", asked.request(), asked.at));
        let Members { all, promises, .. } = &mut self.members;
        let Some(member) = all.get_mut(number) else { return Ok(()) };
        member.answered(number, asked, answer, promises)
    }

    /// G3. Why the groups are not at rest: every partition has one owner, whoever asked was answered, and the offsets are there.
    pub(super) fn members_wait_for(&self) -> Option<String> {
        if self.members.all.is_empty() {
            return None;
        }
        for group in [CLASSIC, CONSUMER] {
            if let Err(violation) = self.members.promises.everything_is_owned(group, &self.members.all) {
                return Some(violation.found);
            }
        }
        None
    }

    /// G1. Whose offsets nobody has read yet since everything came to rest.
    pub(super) fn offsets_not_read(&self) -> Option<String> {
        let groups = if self.members.all.is_empty() { &[][..] } else { &[CLASSIC, CONSUMER] };
        let unread = groups.iter().find(|group| !self.members.read_at_rest.contains(**group))?;
        Some(format!("the offsets of {unread} cannot be read"))
    }
}

/// Members of each group.
const OF_EACH: usize = 3;
/// Their session: longer than a broker's, by far.
pub const SESSION_MS: i32 = 6_000;
/// How long they may take to come back, or to give partitions up.
const REBALANCE_MS: i32 = 8_000;
/// A coordinator that was replaced may answer for a broker's session more, 1.5 s, and whoever is given what a silent member had may have
/// asked a quarter of [`TIMEOUT`] before.
const OVERLAP_MS: i32 = 4_000;
/// After so long a member gives up that it joins: longer than a rebalance, in which it waits. Anything else it asks again sooner.
pub const TIMEOUT: Micros = 9 * SECOND;
