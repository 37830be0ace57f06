//! `uniform` for members that subscribe to different topics: keep, deal out what is free, then even out topic by topic (Kafka's
//! `UniformHeterogeneousAssignmentBuilder`).
//!
//! Perfectly even among members with the same subscription. Where subscriptions overlap without being equal, each topic's subscribers end up
//! within one partition of each other if the topic has partitions to move, which does not make the whole perfect: with members subscribed to
//! (a), (a, b), (b) loads of 9, 10 and 11 are left as they are.

use std::cmp::Ordering;

use super::{NOBODY, owned, racks, topic_slots, unowned};
use crate::group::assignor::racks::{Unit, exchange};
use crate::group::assignor::{Member, Topic};

/// How often the topics are gone through at most. One round converges when all subscribers of a topic subscribe to the same, and one more finds
/// nothing to do; with overlapping subscriptions each round about halves the imbalance.
const MAX_ROUNDS: usize = 16;

/// The owners of every topic's partitions.
pub(super) fn share(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<u32>> {
    let mut subscribers = vec![Vec::new(); topics.len()];
    for (at, member) in members.iter().enumerate() {
        for topic in member.topics {
            subscribers[*topic as usize].push(at as u32);
        }
    }
    let mut sharing = Sharing { topics, subscribers, owners: unowned(topics), loads: vec![0; members.len()] };
    sharing.keep(members);
    let order = sharing.order();
    sharing.deal(&order);
    sharing.even_out(&order);
    sharing.bring_near(members);
    sharing.owners
}

struct Sharing<'a> {
    topics: &'a [Topic<'a>],
    /// By topic, ascending.
    subscribers: Vec<Vec<u32>>,
    owners: Vec<Vec<u32>>,
    /// How many partitions each member owns.
    loads: Vec<u32>,
}

impl Sharing<'_> {
    fn keep(&mut self, members: &[Member<'_>]) {
        for (at, member) in members.iter().enumerate() {
            for (topic, partition) in owned(self.topics, member) {
                if self.owners[topic][partition] == NOBODY {
                    self.give(topic, partition, at as u32);
                }
            }
        }
    }

    /// The topics with subscribers: most partitions per subscriber first, as these leave the least choice; then fewest subscribers.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.topics.len()).filter(|topic| !self.subscribers[*topic].is_empty()).collect();
        order.sort_by(|a, b| {
            let size = |topic: usize| u64::from(self.topics[topic].partitions);
            let wanted = |topic: usize| self.subscribers[topic].len() as u64;
            let density = (size(*b) * wanted(*a)).cmp(&(size(*a) * wanted(*b)));
            density.then(wanted(*a).cmp(&wanted(*b))).then(a.cmp(b))
        });
        order
    }

    fn deal(&mut self, order: &[usize]) {
        for topic in order {
            let free: Vec<_> = topic_slots(*topic, &self.owners).collect();
            let mut scale = Scale::new(&self.subscribers[*topic], &self.loads);
            for (topic, partition) in free {
                let to = scale.lightest(&self.loads);
                self.give(topic, partition, to);
            }
        }
    }

    fn even_out(&mut self, order: &[usize]) {
        let movable: Vec<usize> =
            order.iter().copied().filter(|topic| self.subscribers[*topic].len() > 1).collect();
        let mut last_moved = None;
        for _ in 0..MAX_ROUNDS {
            for topic in &movable {
                if last_moved == Some(*topic) {
                    return;
                }
                if self.even_out_topic(*topic) > 0 || last_moved.is_none() {
                    last_moved = Some(*topic);
                }
            }
        }
    }

    /// Exchanges what moves anyway among the subscribers of each topic.
    fn bring_near(&mut self, members: &[Member<'_>]) {
        let racks = racks(members);
        if racks.iter().all(Option::is_none) {
            return;
        }
        let mut before = unowned(self.topics);
        for (at, member) in members.iter().enumerate() {
            for (topic, partition) in owned(self.topics, member) {
                before[topic][partition] = at as u32;
            }
        }
        for ((topic, owners), before) in self.topics.iter().zip(&mut self.owners).zip(before) {
            let moves = |at: &usize| owners[*at] != NOBODY && owners[*at] != before[*at];
            let moving: Vec<usize> = (0..owners.len()).filter(moves).collect();
            let unit = |at: &usize| Unit { owner: owners[*at], racks: topic.racks_of(*at) };
            let mut units: Vec<Unit> = moving.iter().map(unit).collect();
            exchange(&mut units, &racks);
            for (at, unit) in moving.into_iter().zip(units) {
                owners[at] = unit.owner;
            }
        }
    }

    /// Moves partitions of a topic from its heaviest subscribers to its lightest until they are within one; tells how many moved.
    fn even_out_topic(&mut self, topic: usize) -> usize {
        let mut scale = Scale::new(&self.subscribers[topic], &self.loads);
        if scale.imbalance(&self.loads) <= 1 {
            return 0;
        }
        // Each member's partitions of this topic; it gives the last one first.
        let mut held: Vec<(u32, u32)> =
            self.owners[topic].iter().enumerate().map(|(p, owner)| (*owner, p as u32)).collect();
        held.sort_unstable();
        let mut ends: Vec<(u32, usize, usize)> = Vec::new();
        for (at, (owner, _)) in held.iter().enumerate() {
            match ends.last_mut() {
                Some((last, _, end)) if last == owner => *end = at + 1,
                _ => ends.push((*owner, at, at + 1)),
            }
        }

        let mut moved = 0;
        while let Some(from) = scale.heaviest(&self.loads) {
            let range = ends.binary_search_by_key(&from, |(owner, ..)| *owner).ok().map(|at| &mut ends[at]);
            let Some((_, _, end)) = range.filter(|(_, start, end)| start < end) else {
                scale.exclude_heaviest();
                continue;
            };
            *end -= 1;
            let (_, partition) = held[*end];
            let to = scale.lightest(&self.loads);
            if scale.is_even() {
                break;
            }
            self.loads[from as usize] -= 1;
            self.give(topic, partition as usize, to);
            moved += 1;
        }
        moved
    }

    fn give(&mut self, topic: usize, partition: usize, to: u32) {
        self.owners[topic][partition] = to;
        self.loads[to as usize] += 1;
    }
}

/// The subscribers of one topic by load, with a range of the lightest that grows to the right as they fill and a range of the heaviest that
/// grows to the left as they give. `loads` must change only by what the scale handed out.
struct Scale {
    members: Vec<u32>,
    light_end: usize,
    /// The load that members of the light range had before this turn. One below the lightest at first, so that the first turn opens the range.
    light_level: i64,
    next_light: usize,
    heavy_start: usize,
    /// Not always the end of the list: members without a partition to give are put behind it.
    heavy_end: usize,
    heavy_level: i64,
    /// Position of the next giver, one above it, so that zero means "past the start".
    next_heavy: usize,
}

impl Scale {
    fn new(subscribers: &[u32], loads: &[u32]) -> Self {
        let mut members = subscribers.to_vec();
        members.sort_by(|a, b| match load(loads, *a).cmp(&load(loads, *b)) {
            Ordering::Equal => a.cmp(b),
            order => order,
        });
        let end = members.len();
        let level = |member: Option<&u32>| member.map_or(0, |m| load(loads, *m));
        let (light_level, heavy_level) = (level(members.first()) - 1, level(members.last()) + 1);
        Self {
            members,
            light_end: 0,
            light_level,
            next_light: 0,
            heavy_start: end,
            heavy_end: end,
            heavy_level,
            next_heavy: end,
        }
    }

    fn imbalance(&self, loads: &[u32]) -> i64 {
        let level = |member: Option<&u32>| member.map_or(0, |m| load(loads, *m));
        level(self.members.last()) - level(self.members.first())
    }

    /// The member to give the next partition to.
    fn lightest(&mut self, loads: &[u32]) -> u32 {
        if self.next_light >= self.light_end {
            self.light_level += 1;
            while self.light_end < self.members.len()
                && load(loads, self.members[self.light_end]) == self.light_level
            {
                self.light_end += 1;
            }
            self.next_light = 0;
        }
        self.next_light += 1;
        self.members[self.next_light - 1]
    }

    /// The member to take the next partition from; `None` when nobody has one to give.
    fn heaviest(&mut self, loads: &[u32]) -> Option<u32> {
        if self.next_heavy <= self.heavy_start {
            if self.heavy_end <= self.heavy_start && self.heavy_start > 0 {
                // Everyone in the range was excluded: open it at the next level that has a member.
                self.heavy_level = load(loads, self.members[self.heavy_start - 1]);
            } else {
                self.heavy_level -= 1;
            }
            while self.heavy_start > 0 && load(loads, self.members[self.heavy_start - 1]) == self.heavy_level
            {
                self.heavy_start -= 1;
            }
            self.next_heavy = self.heavy_end;
        }
        self.next_heavy = self.next_heavy.checked_sub(1)?;
        Some(self.members[self.next_heavy])
    }

    /// Puts the member that `heaviest` named last behind the range: it has nothing to give.
    fn exclude_heaviest(&mut self) {
        self.members.swap(self.next_heavy, self.heavy_end - 1);
        self.heavy_end -= 1;
    }

    /// True once the two ranges are within one partition of each other.
    fn is_even(&self) -> bool {
        self.heavy_level - self.light_level <= 1
    }
}

fn load(loads: &[u32], member: u32) -> i64 {
    i64::from(loads[member as usize])
}
