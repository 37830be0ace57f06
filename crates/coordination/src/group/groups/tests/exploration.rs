//! Every order of what three members, time and the coordinator's fate can do to a group, to a depth, each state once.
//!
//! Clients follow the protocol as Kafka's do. What is checked after every event:
//! - a partition has one owner in a generation,
//! - a commit with a generation that is not the group's is refused,
//! - an offset once answered as committed is never older, whoever coordinates,
//! - nobody waits for ever: from every state, when no more goes wrong, all become members of one generation and the
//!   partitions are shared out.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_record::{Monotonic, Now, Offset, PartitionIndex, Timestamp, Uuid};

use super::story::{image, settings};
use crate::group::groups::Group;
use crate::group::request::*;
use crate::group::response::*;
use crate::group::settings::GroupSettings;
use crate::group::{Generation, GroupId, Groups, InstanceId, MemberId, Record};
use crate::metadata::Image;
use crate::shard::{Machine, Step};

const CLIENTS: usize = 3;
const PARTITIONS: i32 = 3;

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A client does what it would do next: join, sync, or a heartbeat.
    Goes(usize),
    /// The same, but what the coordinator writes for it is lost, and another one takes over.
    GoesLost(usize),
    /// A client commits in every partition it owns.
    Commits(usize),
    /// The same, and that is lost.
    CommitsLost(usize),
    /// A client leaves.
    Leaves(usize),
    /// A client dies and starts again, without a word.
    Dies(usize),
    /// Time passes until something is due.
    Waits,
    /// Another coordinator takes over.
    Reload,
}

/// Where a client stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Not in the group, or called to join again.
    Out,
    /// Its JoinGroup waits.
    Joining,
    /// It knows the generation; a leader also who is in it.
    Joined { generation: i32, members: Vec<MemberId> },
    /// Its SyncGroup waits.
    Syncing { generation: i32 },
    /// It has its partitions.
    Owner { generation: i32, partitions: Vec<i32> },
}

#[derive(Clone, Debug, Hash)]
struct Client {
    id: Option<MemberId>,
    phase: Phase,
}

#[derive(Clone)]
struct World {
    groups: Groups<usize>,
    clients: Vec<Client>,
    /// The log, compacted.
    log: BTreeMap<Bytes, Bytes>,
    now: Monotonic,
    fresh: u8,
    /// What was answered as committed.
    committed: BTreeMap<i32, i64>,
    owners: BTreeMap<(i32, i32), usize>,
    /// Members and generations that were.
    past: BTreeSet<(MemberId, i32)>,
}

struct Explorer {
    settings: Arc<GroupSettings>,
    image: Image,
    group: GroupId,
}

impl Explorer {
    fn new() -> Self {
        Self { settings: Arc::new(settings()), image: image(&["t"]), group: GroupId::from("g") }
    }

    fn world(&self) -> World {
        let mut world = World {
            groups: Groups::new(Arc::clone(&self.settings)),
            clients: vec![Client { id: None, phase: Phase::Out }; CLIENTS],
            log: BTreeMap::new(),
            now: Monotonic::ZERO,
            fresh: 0,
            committed: BTreeMap::new(),
            owners: BTreeMap::new(),
            past: BTreeSet::new(),
        };
        world.groups.loaded(&self.image, world.time());
        world
    }

    /// All three are in and own a partition each.
    fn settled(&self) -> World {
        let mut world = self.world();
        self.converge(&mut world, &mut BTreeSet::new()).unwrap();
        world
    }

    fn happen(&self, world: &mut World, event: Event) -> Result<(), String> {
        match event {
            Event::Goes(client) => self.send(world, client, self.next_request(world, client), false),
            Event::GoesLost(client) => self.send(world, client, self.next_request(world, client), true),
            Event::Commits(client) => self.send(world, client, self.commit(world, client), false),
            Event::CommitsLost(client) => self.send(world, client, self.commit(world, client), true),
            Event::Leaves(client) => {
                let leaver = Leaver {
                    member: world.clients[client].id.clone(),
                    instance: instance(client),
                    reason: None,
                };
                let leave = Leave { group: self.group.clone(), members: vec![leaver] };
                self.send(world, client, Some(Request::Leave(leave)), false)?;
                world.clients[client] = Client { id: None, phase: Phase::Out };
                Ok(())
            }
            Event::Dies(client) => {
                world.clients[client] = Client { id: None, phase: Phase::Out };
                Ok(())
            }
            Event::Waits => {
                let Some(due) = world.groups.next_deadline() else { return Ok(()) };
                world.now = world.now.max(due);
                let step = world.groups.tick(&self.image, world.time());
                self.follow(world, step)
            }
            Event::Reload => self.reload(world),
        }?;
        world.groups.check_invariants()?;
        self.refuses_old_generations(world)
    }

    fn send(
        &self,
        world: &mut World,
        client: usize,
        request: Option<Request>,
        lost: bool,
    ) -> Result<(), String> {
        let Some(request) = request else { return Ok(()) };
        world.fresh += 1;
        match &request {
            Request::Join(_) => world.clients[client].phase = Phase::Joining,
            Request::Sync(sync) => {
                world.clients[client].phase = Phase::Syncing { generation: sync.generation.get() };
            }
            _ => {}
        }
        let now = world.time();
        let step = world.groups.handle(client, request, &self.image, now);
        if lost && !step.records.is_empty() {
            // Nobody hears of it: the answers waited for the records. Who waits is turned away.
            for (waiter, _) in &step.replies {
                world.turn_away(*waiter);
            }
            return self.reload(world);
        }
        self.follow(world, step)
    }

    fn next_request(&self, world: &World, client: usize) -> Option<Request> {
        let group = self.group.clone();
        let Client { id, phase } = &world.clients[client];
        let member = id.clone();
        let instance = instance(client);
        match phase {
            Phase::Out => Some(Request::Join(Join {
                group,
                member,
                instance,
                client: ClientFacts { client_id: format!("c{client}").into(), host: "/h".into() },
                protocol_type: "consumer".into(),
                protocols: vec![Protocol { name: "range".into(), metadata: Bytes::new() }],
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: Some(8_000),
                require_known_member: client == 0,
                can_skip_assignment: true,
                reason: None,
                fresh: Uuid::from_bytes([world.fresh; 16]),
            })),
            Phase::Joined { generation, members } => {
                let mut assignments = vec![Vec::new(); members.len()];
                for partition in 0..PARTITIONS {
                    if let Some(at) = usize::try_from(partition).unwrap().checked_rem(members.len()) {
                        assignments[at].push(u8::try_from(partition).unwrap());
                    }
                }
                let assignments = members.iter().cloned().zip(assignments.into_iter().map(Bytes::from));
                Some(Request::Sync(Sync {
                    group,
                    generation: Generation::new(*generation),
                    member: member?,
                    instance,
                    protocol_type: None,
                    protocol_name: None,
                    assignments: assignments.collect(),
                }))
            }
            Phase::Owner { generation, .. } => Some(Request::Heartbeat(Heartbeat {
                group,
                generation: Generation::new(*generation),
                member: member?,
                instance,
            })),
            Phase::Joining | Phase::Syncing { .. } => None,
        }
    }

    fn commit(&self, world: &World, client: usize) -> Option<Request> {
        let Client { id: Some(id), phase: Phase::Owner { generation, partitions } } = &world.clients[client]
        else {
            return None;
        };
        let commit = |partition: &i32| CommitPartition {
            partition: PartitionIndex::new(*partition),
            offset: Offset::new(world.committed.get(partition).copied().unwrap_or(0) + 1),
            leader_epoch: None,
            metadata: None,
        };
        Some(Request::CommitOffsets(CommitOffsets {
            group: self.group.clone(),
            member: Some(id.clone()),
            instance: instance(client),
            generation_or_epoch: Some(*generation),
            knows_member_epochs: true,
            retention_ms: None,
            topics: vec![CommitTopic {
                topic: TopicRef::Name("t".into()),
                partitions: partitions.iter().map(commit).collect(),
            }],
        }))
    }

    fn follow(&self, world: &mut World, step: Step<Groups<usize>>) -> Result<(), String> {
        for record in &step.records {
            world.groups.apply(record, world.time());
            let (key, value) = record.encode().map_err(|error| error.to_string())?;
            match value {
                Some(value) => world.log.insert(key, value),
                None => world.log.remove(&key),
            };
            if let Record::Classic { value: None, .. } = record {
                // A group that was forgotten begins again with the first generation, and with other member ids.
                world.owners.clear();
            }
            if let Record::Offset { partition, value: Some(value), .. } = record {
                let before = world.committed.insert(partition.get(), value.offset.get());
                if before.is_some_and(|before| before > value.offset.get()) {
                    return Err(format!("partition {partition} went back to {}", value.offset));
                }
            }
        }
        for (client, response) in step.replies {
            world.hear(client, response)?;
        }
        Ok(())
    }

    fn reload(&self, world: &mut World) -> Result<(), String> {
        let before = std::mem::replace(&mut world.groups, Groups::new(Arc::clone(&self.settings)));
        for waiter in before.dissolve() {
            world.turn_away(waiter);
        }
        for (key, value) in &world.log {
            let record = Record::decode(key, Some(value)).map_err(|error| error.to_string())?.unwrap();
            world.groups.apply(&record, world.time());
        }
        world.groups.loaded(&self.image, world.time());
        for (partition, committed) in &world.committed {
            let found = world.groups.offsets.get(&self.group, "t", PartitionIndex::new(*partition));
            if found.as_ref().is_none_or(|found| found.offset.get() < *committed) {
                return Err(format!("partition {partition} was committed at {committed}, now {found:?}"));
            }
        }
        Ok(())
    }

    /// Whoever was a member in another generation tries to commit in it.
    fn refuses_old_generations(&self, world: &World) -> Result<(), String> {
        let Some(Group::Classic(group)) = world.groups.groups.get(&self.group) else { return Ok(()) };
        for (id, generation) in &world.past {
            if *generation == group.generation().get() && group.members().contains_key(id) {
                continue;
            }
            if group.check_commit(Some(id), None, Some(*generation)).is_ok() {
                return Err(format!("{id} commits in generation {generation} of {}", group.generation()));
            }
        }
        Ok(())
    }

    /// Nothing goes wrong any more: everyone does what it would do, and time passes, until the partitions are shared out or a
    /// state is reached from which that is known to happen.
    fn converge(&self, world: &mut World, known: &mut BTreeSet<u64>) -> Result<(), String> {
        let mut way = Vec::new();
        for _ in 0..60 {
            let digest = world.digest();
            way.push(digest);
            if known.contains(&digest) {
                known.extend(way);
                return Ok(());
            }
            for client in 0..CLIENTS {
                self.happen(world, Event::Goes(client))?;
            }
            if world.is_shared_out() {
                known.extend(way);
                return Ok(());
            }
            // Half a session at most, so that whoever is there is heard in time.
            let half = world.now + Duration::from_secs(4);
            while world.groups.next_deadline().is_some_and(|due| due <= half) {
                self.happen(world, Event::Waits)?;
            }
            world.now = world.now.max(half);
        }
        Err(format!("never shared out: {:?} {:?}", world.clients, world.groups.groups))
    }

    /// All states that some order of at most `depth` events leads to. Returns how many.
    fn explore(&self, start: World, depth: usize) -> usize {
        let mut events: Vec<Event> = vec![Event::Waits, Event::Reload];
        for client in 0..CLIENTS {
            events.extend([
                Event::Goes(client),
                Event::GoesLost(client),
                Event::Commits(client),
                Event::CommitsLost(client),
                Event::Leaves(client),
                Event::Dies(client),
            ]);
        }
        let mut seen = BTreeSet::from([start.digest()]);
        let mut known = BTreeSet::new();
        let mut level = vec![(start, Vec::new())];
        for _ in 0..depth {
            let mut next = Vec::new();
            for (world, path) in level {
                for event in events.iter().filter(|event| world.can(**event)) {
                    let mut after = world.clone();
                    let path: Vec<Event> = [&path[..], &[*event]].concat();
                    if let Err(why) = self.happen(&mut after, *event) {
                        panic!("{why}, after {path:?}");
                    }
                    if seen.insert(after.digest()) {
                        if let Err(why) = self.converge(&mut after.clone(), &mut known) {
                            panic!("{why}, after {path:?}");
                        }
                        next.push((after, path));
                    }
                }
            }
            level = next;
        }
        seen.len()
    }
}

/// The last client is a static member.
fn instance(client: usize) -> Option<InstanceId> {
    (client == CLIENTS - 1).then(|| InstanceId::from("static"))
}

impl World {
    /// The wall stands still: no offset expires, and two ways to one state are equal.
    fn time(&self) -> Now {
        Now { monotonic: self.now, wall: Timestamp::from_millis(1) }
    }

    /// False for what would change nothing.
    fn can(&self, event: Event) -> bool {
        let phase = |client: usize| &self.clients[client].phase;
        match event {
            Event::Goes(client) | Event::GoesLost(client) => {
                !matches!(phase(client), Phase::Joining | Phase::Syncing { .. })
            }
            Event::Commits(client) | Event::CommitsLost(client) => {
                matches!(phase(client), Phase::Owner { .. })
            }
            Event::Dies(client) => self.clients[client].id.is_some() || *phase(client) != Phase::Out,
            Event::Leaves(client) => self.clients[client].id.is_some() || instance(client).is_some(),
            Event::Waits | Event::Reload => true,
        }
    }

    fn hear(&mut self, client: usize, response: Response) -> Result<(), String> {
        let Client { id, phase } = &mut self.clients[client];
        match (response, &phase) {
            (Response::Join(Ok(joined)), Phase::Joining) => {
                self.past.insert((joined.member.clone(), joined.generation.get()));
                let members = if joined.skip_assignment { Vec::new() } else { joined.members };
                let members = members.into_iter().map(|member| member.member).collect();
                *id = Some(joined.member);
                *phase = Phase::Joined { generation: joined.generation.get(), members };
            }
            (Response::Join(Err(GroupError::MemberIdRequired { member })), Phase::Joining) => {
                *id = Some(member);
                *phase = Phase::Out;
            }
            (Response::Sync(Ok(synced)), Phase::Syncing { generation }) => {
                let generation = *generation;
                let partitions: Vec<i32> = synced.assignment.iter().map(|byte| i32::from(*byte)).collect();
                for partition in &partitions {
                    let owner = *self.owners.entry((generation, *partition)).or_insert(client);
                    if owner != client {
                        return Err(format!("{owner} and {client} own {partition} in {generation}"));
                    }
                }
                *phase = Phase::Owner { generation, partitions };
            }
            (
                Response::Join(Err(GroupError::UnknownMemberId | GroupError::FencedInstanceId)),
                Phase::Joining,
            )
            | (
                Response::Sync(Err(GroupError::UnknownMemberId | GroupError::FencedInstanceId)),
                Phase::Syncing { .. },
            )
            | (
                Response::Heartbeat(Err(GroupError::UnknownMemberId | GroupError::FencedInstanceId)),
                Phase::Owner { .. },
            ) => {
                *id = None;
                *phase = Phase::Out;
            }
            (Response::Join(Err(_)), Phase::Joining)
            | (Response::Sync(Err(_)), Phase::Syncing { .. })
            | (Response::Heartbeat(Err(_)), Phase::Owner { .. }) => *phase = Phase::Out,
            // An answer to a client that is no longer there, or to a commit.
            _ => {}
        }
        Ok(())
    }

    /// The client's request was not answered: it asks again.
    fn turn_away(&mut self, client: usize) {
        let phase = &mut self.clients[client].phase;
        if matches!(phase, Phase::Joining | Phase::Syncing { .. }) {
            *phase = Phase::Out;
        }
    }

    fn is_shared_out(&self) -> bool {
        let mut owned = BTreeMap::new();
        let mut generations = BTreeSet::new();
        for client in &self.clients {
            let Phase::Owner { generation, partitions } = &client.phase else { return false };
            generations.insert(*generation);
            owned.extend(partitions.iter().map(|partition| (*partition, ())));
        }
        let current = self.groups.groups.values().all(|group| {
            let Group::Classic(group) = group else { return false };
            group.state() == GroupState::Stable && generations.contains(&group.generation().get())
        });
        generations.len() == 1 && owned.len() == CLIENTS && current
    }

    /// What decides the future: all but absolute time.
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.clients.hash(&mut hasher);
        self.log.hash(&mut hasher);
        for (id, group) in self.groups.groups.iter() {
            let Group::Classic(group) = group else { continue };
            id.as_str().hash(&mut hasher);
            crate::group::classic::tests::hash_from(group, self.now, &mut hasher);
        }
        hasher.finish()
    }
}

#[test]
fn three_members_from_nothing() {
    let explorer = Explorer::new();
    let states = explorer.explore(explorer.world(), 8);
    assert!(states > 10_000, "{states} states are too few: is something left out?");
}

#[test]
fn three_members_that_share_three_partitions() {
    let explorer = Explorer::new();
    let states = explorer.explore(explorer.settled(), 6);
    assert!(states > 10_000, "{states} states are too few: is something left out?");
}
