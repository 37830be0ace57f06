//! Every order of events for three members and three partitions: joins, goodbyes, ends of sessions, heartbeats with what was given up, lost
//! answers, a topic that grows, another coordinator. Nobody ever holds what another holds, everyone gets there, and old epochs commit nothing.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use ottla_record::{PartitionIndex, TopicId};

use super::super::ConsumerGroup;
use super::world::{Client, World, apply, context, durable, pairs, topic_id, topics_of};
use crate::group::ids::{MemberEpoch, MemberId};
use crate::group::response::GroupState;

/// How many events follow each other.
const DEPTH: usize = 8;
const MEMBERS: [&str; 3] = ["m1", "m2", "m3"];

#[derive(Clone, Copy, Debug)]
enum Event {
    Join(usize),
    /// A heartbeat that says nothing new.
    Beat(usize),
    /// A heartbeat that reports what the client has, after it gave up what it was told to.
    Report(usize),
    /// A heartbeat whose answer does not arrive.
    Lose(usize),
    Leave(usize),
    Expire(usize),
    Grow,
    Reload,
}

/// A state of the world that can be gone back to.
#[derive(Clone)]
struct State {
    group: Option<ConsumerGroup>,
    clients: Vec<Option<Client>>,
    grown: bool,
    path: Vec<Event>,
}

#[test]
fn no_order_of_events_gives_a_partition_two_holders() {
    let mut explorer = Explorer::new();
    let start = State { group: None, clients: vec![None; MEMBERS.len()], grown: false, path: Vec::new() };
    let mut seen = BTreeSet::from([key(&start)]);
    let mut todo = VecDeque::from([start]);
    while let Some(state) = todo.pop_front() {
        if state.path.len() < DEPTH {
            for event in events(&state) {
                let mut next = state.clone();
                next.path.push(event);
                explorer.run(&mut next, event);
                explorer.check(&next);
                if seen.insert(key(&next)) {
                    todo.push_back(next);
                }
            }
        }
        explorer.settle(state);
    }
    assert!(seen.len() > 1_000, "only {} states", seen.len());
}

fn events(state: &State) -> Vec<Event> {
    let mut events = vec![Event::Reload];
    if !state.grown {
        events.push(Event::Grow);
    }
    // Members are alike: the next to join for the first time is the first that never did.
    let newcomer = state.clients.iter().position(Option::is_none);
    for (m, client) in state.clients.iter().enumerate() {
        match client {
            None if newcomer == Some(m) => events.push(Event::Join(m)),
            None => {}
            Some(client) if client.epoch == 0 => events.extend([Event::Join(m), Event::Expire(m)]),
            Some(_) => events.extend([
                Event::Join(m),
                Event::Beat(m),
                Event::Report(m),
                Event::Lose(m),
                Event::Leave(m),
                Event::Expire(m),
            ]),
        }
    }
    events
}

struct Explorer {
    small: World,
    large: World,
}

impl Explorer {
    fn new() -> Self {
        let (mut small, mut large) = (World::new(), World::new());
        small.topic("a", 2);
        large.topic("a", 2);
        large.topic("a", 3);
        Self { small, large }
    }

    /// The world at a state. Its log is not kept: a reload is checked by the records that describe the group.
    fn at(&mut self, state: &State) -> &mut World {
        let world = if state.grown { &mut self.large } else { &mut self.small };
        world.group.clone_from(&state.group);
        world.clients = MEMBERS
            .iter()
            .zip(&state.clients)
            .filter_map(|(m, c)| Some(((*m).to_owned(), c.clone()?)))
            .collect();
        world.log.clear();
        world
    }

    fn run(&mut self, state: &mut State, event: Event) {
        let grown = state.grown || matches!(event, Event::Grow);
        state.grown = grown;
        let world = self.at(state);
        match event {
            Event::Join(m) => join(world, MEMBERS[m]),
            Event::Beat(m) => {
                let request = world.request(MEMBERS[m], world.clients[MEMBERS[m]].epoch);
                let answer = world.send(&request);
                world.receive(MEMBERS[m], &answer);
            }
            Event::Report(m) => report(world, MEMBERS[m]),
            Event::Lose(m) => {
                let client = world.clients.get_mut(MEMBERS[m]).unwrap();
                client.has.clone_from(&client.told);
                let request = world.full_request(MEMBERS[m], world.clients[MEMBERS[m]].epoch);
                let _lost = world.send(&request);
            }
            Event::Leave(m) => {
                let request = world.request(MEMBERS[m], -1);
                let answer = world.send(&request);
                world.receive(MEMBERS[m], &answer);
                let gone = world.clients.get_mut(MEMBERS[m]).unwrap();
                *gone = Client { topics: gone.topics.clone(), ..Client::default() };
            }
            Event::Expire(m) => expire(world, &MemberId::from(MEMBERS[m])),
            Event::Grow => {}
            Event::Reload => {
                let records = world.group.as_ref().map(records_of).unwrap_or_default();
                let mut group = None;
                apply(&mut group, &records, world.now);
                if let Some(group) = &mut group {
                    group.loaded(world.now.monotonic);
                }
                assert_eq!(group.as_ref().map(durable), world.group.as_ref().map(durable));
                world.group = group;
            }
        }
        state.group.clone_from(&world.group);
        state.clients = MEMBERS.iter().map(|m| world.clients.get(*m).cloned()).collect();
    }

    /// What holds in every state.
    fn check(&mut self, state: &State) {
        let Some(group) = &state.group else { return };
        group.check_invariants().unwrap_or_else(|why| panic!("{why} after {:?}", state.path));
        for (name, client) in MEMBERS.iter().zip(&state.clients) {
            let (Some(client), id) = (client, MemberId::from(*name)) else { continue };
            let member = group.member(&id);
            // What a client may still use is its own in the coordinator's eyes: as holders are unique, no two use one partition. A client that
            // was thrown out and does not know it may think it has something, but cannot commit.
            let current =
                member.filter(|m| client.epoch == m.epoch.get() || client.epoch == m.previous_epoch.get());
            if let Some(member) = current.filter(|_| client.epoch != 0) {
                for (topic, partition) in &client.has {
                    assert!(
                        member.held_since(*topic, *partition).is_some(),
                        "{name} uses {partition} which it does not hold, after {:?}",
                        state.path
                    );
                }
            }
            for epoch in 1..=group.epoch.get() + 1 {
                for partition in (0..3).map(PartitionIndex::new) {
                    check_commit(group, &id, epoch, (topic_id("a"), partition), &state.path);
                }
            }
        }
    }

    /// From here, if nothing else happens, everyone gets what the target says, all of it.
    fn settle(&mut self, state: State) {
        let path = format!("{:?}", state.path);
        let grown = state.grown;
        let world = self.at(&state);
        let live = |world: &World, id: &MemberId| world.clients.get(id.as_str()).is_some_and(|c| c.epoch > 0);
        // Those that were thrown out and come no more hold up what they had until their sessions end.
        let lost = world.group.iter().flat_map(|g| g.members.keys()).filter(|id| !live(world, id));
        for id in lost.cloned().collect::<Vec<_>>() {
            expire(world, &id);
        }
        for round in 0.. {
            assert!(round < 12, "no end after {path}");
            let before = (world.log.len(), world.clients.clone());
            for name in MEMBERS {
                let id = MemberId::from(name);
                if live(world, &id) {
                    report(world, name);
                } else if world.group.as_ref().is_some_and(|group| group.members.contains_key(&id)) {
                    // It was fenced in the round before, and comes again as clients do.
                    join(world, name);
                }
            }
            if before == (world.log.len(), world.clients.clone()) {
                break;
            }
        }
        let Some(group) = world.group.as_ref().filter(|group| !group.is_empty()) else { return };
        let mut all = 0;
        for (name, client) in world.clients.iter().filter(|(_, client)| client.epoch > 0) {
            let target: BTreeSet<_> = group.target_of(&MemberId::from(name.as_str())).iter().collect();
            assert_eq!(client.has, target, "{name} after {path}");
            all += client.has.len();
        }
        assert_eq!(all, if grown { 3 } else { 2 }, "after {path}");
        assert_eq!(group.state(), GroupState::Stable, "after {path}");
    }
}

fn expire(world: &mut World, id: &MemberId) {
    world.topics.observe(&world.image);
    let context = context(&world.image, &world.topics, &world.settings, world.now);
    let records = world.group.as_ref().map(|group| group.fence(&[id], &context)).unwrap_or_default();
    world.append(records);
}

fn join(world: &mut World, name: &str) {
    let client = Client { topics: vec!["a".to_owned()], ..Client::default() };
    world.clients.insert(name.to_owned(), client);
    let request = world.full_request(name, 0);
    let answer = world.send(&request);
    world.receive(name, &answer);
}

fn report(world: &mut World, name: &str) {
    let client = world.clients.get_mut(name).unwrap();
    client.has.clone_from(&client.told);
    let request = world.full_request(name, world.clients[name].epoch);
    let answer = world.send(&request);
    world.receive(name, &answer);
}

fn check_commit(
    group: &ConsumerGroup,
    id: &MemberId,
    epoch: i32,
    (topic, partition): (TopicId, PartitionIndex),
    path: &[Event],
) {
    let checked = group.validate_commit(Some(id), Some(epoch), true);
    let accepted = checked.and_then(|check| check.partition(Some(topic), partition)).is_ok();
    let right = group.member(id).is_some_and(|member| {
        let since = member.held_since(topic, partition);
        member.epoch.get() == epoch
            || epoch < member.epoch.get() && since.is_some_and(|since| since <= MemberEpoch::new(epoch))
    });
    // An empty group takes commits from those that are no members, which come without an epoch.
    assert_eq!(accepted, right, "{id} commits {partition} at {epoch} after {path:?}");
}

/// The records that a compacted log would have of a group.
fn records_of(group: &ConsumerGroup) -> Vec<crate::group::record::Record> {
    use super::super::member::to_topics;
    use crate::group::record::{ConsumerGroupValue, Record};
    let id = || group.id.clone();
    let mut records = Vec::new();
    // Targets first: in a compacted log they may be older than what the member said last.
    for (member, partitions) in &group.targets {
        let value = Some(to_topics(partitions));
        records.push(Record::TargetAssignment { group: id(), member: member.clone(), value });
    }
    for (member, seat) in &group.members {
        let value = Some(seat.member.current());
        records.push(Record::CurrentAssignment { group: id(), member: member.clone(), value });
        let value = Some(seat.member.profile.clone());
        records.push(Record::ConsumerMember { group: id(), member: member.clone(), value });
    }
    records.push(Record::TargetEpoch { group: id(), value: group.target });
    let value = Some(ConsumerGroupValue { epoch: group.epoch, metadata_hash: group.digest });
    records.push(Record::ConsumerGroup { group: id(), value });
    records
}

/// What makes two states alike: epochs count by their order alone.
fn key(state: &State) -> String {
    let mut epochs = BTreeSet::from([-1, 0]);
    if let Some(group) = &state.group {
        epochs.extend([group.epoch.get(), group.target_epoch().get()]);
        for seat in group.members.values() {
            epochs.extend([seat.member.epoch.get(), seat.member.previous_epoch.get()]);
            epochs.extend(
                seat.member
                    .assigned
                    .iter()
                    .chain(seat.member.revoking.iter())
                    .map(|(_, _, since)| since.get()),
            );
        }
    }
    epochs.extend(state.clients.iter().flatten().map(|client| client.epoch));
    let order: Vec<i32> = epochs.into_iter().collect();
    let rank = |epoch: i32| order.binary_search(&epoch).unwrap();

    let mut key = String::new();
    if let Some(group) = &state.group {
        write!(key, "{} {} {} ", rank(group.epoch.get()), rank(group.target_epoch().get()), group.digest)
            .unwrap();
        for (id, seat) in &group.members {
            let member = &seat.member;
            write!(
                key,
                "{id} {} {} {:?}",
                rank(member.epoch.get()),
                rank(member.previous_epoch.get()),
                member.state
            )
            .unwrap();
            for (held, mark) in [(&member.assigned, '+'), (&member.revoking, '-')] {
                for (_, partition, since) in held.iter() {
                    write!(key, " {mark}{partition}@{}", rank(since.get())).unwrap();
                }
            }
            write!(key, " {:?};", group.targets.get(id)).unwrap();
        }
        write!(key, "{:?}", group.looked.topics.is_some()).unwrap();
    }
    for client in &state.clients {
        match client {
            None => key.push('|'),
            Some(client) => {
                let told = pairs(&topics_of(&client.told)).map(|(_, p)| p.get()).collect::<Vec<_>>();
                let has = client.has.iter().map(|(_, p)| p.get()).collect::<Vec<_>>();
                write!(key, "| {} {told:?} {has:?}", rank(client.epoch)).unwrap();
            }
        }
    }
    write!(key, "{}", state.grown).unwrap();
    key
}
