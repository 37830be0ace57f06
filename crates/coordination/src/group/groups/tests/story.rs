//! The language of the stories, and the coordinator they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use expect_test::Expect;
use ottla_record::{
    BrokerId, ClusterId, DirectoryId, Incarnation, Monotonic, Now, Offset, PartitionIndex, Timestamp,
    TopicId, Uuid,
};
use ottla_wire::messages::ConsumerProtocolSubscription;
use ottla_wire::records::encode_versioned;

use crate::group::request::*;
use crate::group::response::*;
use crate::group::settings::*;
use crate::group::{Generation, GroupId, Groups, InstanceId, MemberId, Record};
use crate::metadata::{
    Command, CreateTopics, DeleteTopics, FormCluster, Image, Layout, NewTopic, PlacementSeed, RegisterBroker,
    TopicSelector, UnfenceBroker,
};
use crate::shard::{Machine, Step};

/// Tells a story to a coordinator whose image has the topics `t` and `u`, and compares what came of it.
pub(super) fn check(script: &str, expected: Expect) {
    let mut world = World::new(settings());
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        world.tell(line);
    }
    expected.assert_eq(&world.out);
}

pub(super) fn settings() -> GroupSettings {
    let bounded = Bounded { value: 5000, min: 5000, max: 15000 };
    GroupSettings {
        classic: ClassicSettings {
            min_session_timeout_ms: 6000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay: Duration::from_secs(3),
            max_size: 4,
        },
        offsets: OffsetSettings {
            metadata_max_bytes: 16,
            retention: Duration::from_secs(3600),
            retention_check_interval: Duration::from_secs(600),
        },
        consumer: ConsumerSettings {
            enabled: true,
            session_timeout_ms: bounded,
            heartbeat_interval_ms: bounded,
            assignment_interval_ms: bounded,
            max_size: 4,
            assignors: vec!["uniform".into(), "range".into()],
            migration: MigrationPolicy::Bidirectional,
            regex_refresh_interval: Duration::from_secs(600),
        },
    }
}

pub(super) struct World {
    pub(super) groups: Groups<String>,
    pub(super) image: Image,
    pub(super) now: Now,
    /// The log, as bytes.
    pub(super) log: Vec<(Bytes, Option<Bytes>)>,
    pub(super) out: String,
    /// Who got which member id.
    pub(super) ids: BTreeMap<String, MemberId>,
    generations: BTreeMap<String, Generation>,
    draws: u8,
    settings: GroupSettings,
    /// The rebalance timeout of members for whom a story names none.
    pub(super) rebalance_seconds: i32,
}

impl World {
    pub(super) fn new(settings: GroupSettings) -> Self {
        let now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_000_000) };
        let image = image(&["t", "u"]);
        let mut groups = Groups::new(settings.clone());
        groups.loaded(&image, now);
        Self {
            groups,
            image,
            now,
            log: Vec::new(),
            out: String::new(),
            ids: BTreeMap::new(),
            generations: BTreeMap::new(),
            draws: 0,
            settings,
            rebalance_seconds: 60,
        }
    }

    /// One line: `verb subject key=value …`.
    pub(super) fn tell(&mut self, line: &str) {
        writeln!(self.out, "{line}").unwrap();
        let mut words = line.split_whitespace();
        let (verb, subject) = (words.next().unwrap(), words.next().unwrap_or(""));
        let rest: Vec<(&str, &str)> = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
        let get = |key: &str| rest.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        match verb {
            "wait" => return self.wait(subject.parse().unwrap()),
            "reload" => return self.reload(),
            "show" => return self.show(),
            "drop-topic" => {
                let topics = vec![TopicSelector::Name(subject.to_owned())];
                self.image.apply(&Command::DeleteTopics(DeleteTopics { topics }));
                return self.wait(0);
            }
            "make-topic" => {
                let mut topic = topic(subject);
                topic.id = TopicId(Uuid::from_bytes([b'2'; 16]));
                self.image.apply(&Command::CreateTopics(CreateTopics { topics: vec![topic] }));
                return self.wait(0);
            }
            _ => {}
        }
        let request = self.request(verb, subject, &get, &rest);
        self.ask(subject, request);
    }

    fn request<'a>(
        &mut self,
        verb: &str,
        subject: &str,
        get: &dyn Fn(&str) -> Option<&'a str>,
        rest: &[(&str, &str)],
    ) -> Request {
        let group = GroupId::from(get("group").unwrap_or("g"));
        let instance = get("static").map(InstanceId::from);
        let member = match get("id") {
            Some("none") => None,
            Some(other) => Some(self.ids.get(other).cloned().unwrap_or_else(|| MemberId::from(other))),
            None => self.ids.get(subject).cloned(),
        };
        let known = member.clone().unwrap_or_else(|| MemberId::from(subject));
        let generation = get("gen").map(|number| Generation::new(number.parse().unwrap()));
        let generation = generation.or(self.generations.get(subject).copied());
        let seconds = |key: &str, default: i32| get(key).map_or(default, |s| s.parse().unwrap()) * 1000;
        match verb {
            "join" => {
                self.draws += 1;
                Request::Join(Join {
                    group,
                    member,
                    instance,
                    client: ClientFacts { client_id: subject.into(), host: "/10.0.0.1".into() },
                    protocol_type: get("type").unwrap_or("consumer").into(),
                    protocols: get("by")
                        .unwrap_or("range")
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .map(|name| Protocol { name: name.into(), metadata: subscription(get("topics")) })
                        .collect(),
                    session_timeout_ms: seconds("session", 10),
                    rebalance_timeout_ms: Some(seconds("rebalance", self.rebalance_seconds)),
                    require_known_member: get("old").is_none(),
                    can_skip_assignment: get("old").is_none(),
                    reason: None,
                    fresh: Uuid::from_bytes([self.draws; 16]),
                })
            }
            "sync" => Request::Sync(Sync {
                group,
                generation: generation.unwrap_or_default(),
                member: known,
                instance,
                protocol_type: get("type").map(Into::into),
                protocol_name: get("by").map(Into::into),
                assignments: get("assign")
                    .into_iter()
                    .flat_map(|parts| parts.split(','))
                    .map(|part| {
                        let (who, what) = part.split_once(':').unwrap();
                        (self.ids[who].clone(), Bytes::copy_from_slice(what.as_bytes()))
                    })
                    .collect(),
            }),
            "beat" => Request::Heartbeat(Heartbeat {
                group,
                generation: generation.unwrap_or_default(),
                member: known,
                instance,
            }),
            "leave" => Request::Leave(Leave {
                group,
                members: subject
                    .split(',')
                    .map(|who| Leaver {
                        member: match get("static") {
                            Some(_) => None,
                            None => Some(self.ids.get(who).cloned().unwrap_or_else(|| MemberId::from(who))),
                        },
                        instance: instance.clone(),
                        reason: None,
                    })
                    .collect(),
            }),
            "commit" => Request::CommitOffsets(CommitOffsets {
                group,
                member,
                instance,
                generation_or_epoch: generation.map(Generation::get),
                knows_member_epochs: get("old").is_none(),
                retention_ms: get("keep").map(|seconds| seconds.parse::<i64>().unwrap() * 1000),
                topics: rest
                    .iter()
                    .filter_map(|(key, value)| Some((partition(key)?, value)))
                    .map(|((topic, partition), value)| {
                        let (offset, note) = value.split_once(':').unwrap_or((value, ""));
                        let partition = CommitPartition {
                            partition,
                            offset: Offset::new(offset.parse().unwrap()),
                            leader_epoch: None,
                            metadata: Some(note.into()),
                        };
                        CommitTopic { topic, partitions: vec![partition] }
                    })
                    .collect(),
            }),
            "fetch" => Request::FetchOffsets(FetchOffsets {
                group,
                member: None,
                epoch: None,
                topics: get("all").is_none().then(|| refs(rest)),
                require_stable: true,
            }),
            "delete-offsets" => Request::DeleteOffsets(DeleteOffsets { group, topics: refs(rest) }),
            "delete" => Request::Delete(Delete { groups: vec![group] }),
            "describe" => Request::Describe(Describe { groups: vec![group] }),
            "list" => Request::List(List {
                states: get("states").into_iter().flat_map(|s| s.split(',')).map(str::to_owned).collect(),
                types: get("types").into_iter().flat_map(|s| s.split(',')).map(str::to_owned).collect(),
            }),
            other => panic!("no such verb: {other}"),
        }
    }

    pub(super) fn ask(&mut self, who: &str, request: Request) {
        let step = self.groups.handle(who.to_owned(), request, &self.image, self.now);
        self.follow(step);
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        let until = self.now.monotonic + Duration::from_secs(seconds);
        let step = self.groups.tick(&self.image, self.now);
        self.follow(step);
        while let Some(due) = self.groups.next_deadline().filter(|due| *due <= until) {
            self.set_time(due.max(self.now.monotonic));
            let step = self.groups.tick(&self.image, self.now);
            self.follow(step);
        }
        self.set_time(until);
    }

    fn set_time(&mut self, to: Monotonic) {
        let passed = i64::try_from((to - self.now.monotonic).as_millis()).unwrap();
        self.now = Now { monotonic: to, wall: Timestamp::from_millis(self.now.wall.millis() + passed) };
    }

    /// Another broker takes over: whoever waits is turned away, and what the log says comes back.
    pub(super) fn reload(&mut self) {
        let before = std::mem::replace(&mut self.groups, Groups::new(self.settings.clone()));
        for waiter in before.dissolve() {
            writeln!(self.out, "    {waiter}: NotCoordinator").unwrap();
        }
        for (key, value) in &self.log {
            let record = Record::decode(key, value.as_ref()).unwrap().unwrap();
            self.groups.apply(&record, self.now);
        }
        self.groups.loaded(&self.image, self.now);
        self.groups.check_invariants().unwrap();
    }

    fn follow(&mut self, step: Step<Groups<String>>) {
        for (waiter, response) in &step.replies {
            self.learn(waiter, response);
        }
        let at = (self.now.monotonic - Monotonic::ZERO).as_secs();
        for record in &step.records {
            writeln!(self.out, "    {at}s: {}", self.written(record)).unwrap();
            self.groups.apply(record, self.now);
            self.log.push(record.encode().unwrap());
        }
        for (waiter, response) in step.replies {
            writeln!(self.out, "    {at}s {waiter}: {}", self.answer(&response)).unwrap();
        }
        self.groups.check_invariants().unwrap();
    }

    fn learn(&mut self, waiter: &str, response: &Response) {
        match response {
            Response::Join(Ok(joined)) => {
                self.ids.insert(waiter.to_owned(), joined.member.clone());
                self.generations.insert(waiter.to_owned(), joined.generation);
            }
            Response::Join(Err(GroupError::MemberIdRequired { member })) => {
                self.ids.insert(waiter.to_owned(), member.clone());
            }
            _ => {}
        }
    }

    fn show(&mut self) {
        let described = self.groups.handle(
            String::new(),
            Request::Describe(Describe { groups: vec![GroupId::from("g")] }),
            &self.image,
            self.now,
        );
        for (_, response) in described.replies {
            writeln!(self.out, "    {}", self.answer(&response)).unwrap();
        }
    }

    /// The state of the group `g`; `Dead` if there is none.
    pub(super) fn state(&self) -> &'static str {
        let listed = self.groups.list(&List::default()).into_iter().find(|group| group.group.as_str() == "g");
        listed.map_or("Dead", |group| group.state.as_str())
    }

    fn name(&self, id: &MemberId) -> String {
        let known = self.ids.iter().rev().find(|(_, known)| *known == id);
        known.map_or_else(|| "?".to_owned(), |(name, _)| name.clone())
    }

    fn written(&self, record: &Record) -> String {
        match record {
            Record::Offset { topic, partition, value, .. } => match value {
                Some(value) => format!("writes {topic}-{partition}={}", value.offset),
                None => format!("deletes {topic}-{partition}"),
            },
            Record::Classic { group, value: None } => format!("deletes group {group}"),
            Record::Classic { value: Some(value), .. } => {
                let members: Vec<_> = value
                    .members
                    .iter()
                    .map(|m| format!("{}:{}", self.name(&m.member), String::from_utf8_lossy(&m.assignment)))
                    .collect();
                format!("writes generation {} [{}]", value.generation, members.join(" "))
            }
            other => format!("{other:?}"),
        }
    }

    pub(super) fn answer(&self, response: &Response) -> String {
        let failed = |error: &GroupError| match error {
            GroupError::MemberIdRequired { .. } => "MemberIdRequired".to_owned(),
            other => format!("{other:?}"),
        };
        match response {
            Response::Join(Ok(joined)) => {
                let members: BTreeSet<_> = joined.members.iter().map(|m| self.name(&m.member)).collect();
                let mut out = format!("joined {}", joined.generation);
                write!(out, " by {}", joined.protocol_name.as_deref().unwrap_or("-")).unwrap();
                if joined.leader == joined.member {
                    write!(out, ", leads {members:?}").unwrap();
                }
                if joined.skip_assignment {
                    out.push_str(", skips assignment");
                }
                out
            }
            Response::Sync(Ok(synced)) => {
                format!("has [{}]", String::from_utf8_lossy(&synced.assignment))
            }
            Response::Heartbeat(Ok(())) => "ok".to_owned(),
            Response::Leave(Ok(left)) => {
                let each = left.iter().map(|left| match &left.result {
                    Ok(()) => "left".to_owned(),
                    Err(error) => failed(error),
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Response::CommitOffsets(Ok(topics)) | Response::DeleteOffsets(Ok(topics)) => {
                let each =
                    topics.iter().flat_map(|topic| &topic.partitions).map(|(_, result)| match result {
                        Ok(()) => "ok".to_owned(),
                        Err(error) => failed(error),
                    });
                each.collect::<Vec<_>>().join(", ")
            }
            Response::FetchOffsets(Ok(topics)) => {
                let mut out = Vec::new();
                for topic in topics {
                    for (partition, result) in &topic.partitions {
                        let name = topic.name.as_deref().unwrap_or("?");
                        out.push(match result {
                            Ok(Some(offset)) if offset.metadata.is_empty() => {
                                format!("{name}-{partition}={}", offset.offset)
                            }
                            Ok(Some(offset)) => {
                                format!("{name}-{partition}={}:{}", offset.offset, offset.metadata)
                            }
                            Ok(None) => format!("{name}-{partition}=none"),
                            Err(error) => format!("{name}-{partition}={}", failed(error)),
                        });
                    }
                }
                format!("[{}]", out.join(" "))
            }
            Response::List(groups) => {
                let each = groups.iter().map(|g| {
                    format!("{} {} {} '{}'", g.group, g.state, g.group_type.as_str(), g.protocol_type)
                });
                format!("[{}]", each.collect::<Vec<_>>().join(", "))
            }
            Response::Describe(groups) => match &groups[0].1 {
                Ok(group) => {
                    let members: Vec<_> = group
                        .members
                        .iter()
                        .map(|m| {
                            format!("{}:{}", self.name(&m.member), String::from_utf8_lossy(&m.assignment))
                        })
                        .collect();
                    let protocol = group.protocol.as_deref().unwrap_or("-");
                    format!("{} '{}' by {protocol} [{}]", group.state, group.protocol_type, members.join(" "))
                }
                Err(error) => failed(error),
            },
            Response::Delete(groups) => match &groups[0].1 {
                Ok(()) => "deleted".to_owned(),
                Err(error) => failed(error),
            },
            Response::Join(Err(error))
            | Response::Sync(Err(error))
            | Response::Heartbeat(Err(error))
            | Response::Leave(Err(error))
            | Response::CommitOffsets(Err(error))
            | Response::FetchOffsets(Err(error))
            | Response::DeleteOffsets(Err(error)) => failed(error),
            other => format!("{other:?}"),
        }
    }
}

fn partition(text: &str) -> Option<(TopicRef, PartitionIndex)> {
    let (topic, index) = text.rsplit_once('-')?;
    Some((TopicRef::Name(topic.into()), PartitionIndex::new(index.parse().ok()?)))
}

fn refs(words: &[(&str, &str)]) -> Vec<TopicPartitionRefs> {
    let named = words.iter().filter_map(|(key, _)| partition(key));
    named.map(|(topic, partition)| TopicPartitionRefs { topic, partitions: vec![partition] }).collect()
}

/// What a Java consumer says of itself.
fn subscription(topics: Option<&str>) -> Bytes {
    let topics: Vec<String> = topics.unwrap_or("t").split(',').map(str::to_owned).collect();
    encode_versioned(&ConsumerProtocolSubscription { topics, ..Default::default() }, 1).unwrap()
}

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        id: TopicId(Uuid::from_bytes([name.as_bytes()[0]; 16])),
        layout: Layout::Placed { partitions: 3, replication_factor: 1, seed: PlacementSeed(0) },
        configs: Vec::new(),
    }
}

pub(super) fn image(topics: &[&str]) -> Image {
    let uuid = Uuid::from_bytes([1; 16]);
    let mut image = Image::empty();
    let cluster = ClusterId(uuid);
    image.apply(&Command::FormCluster(FormCluster { cluster }));
    let broker = BrokerId::new(1);
    image.apply(&Command::RegisterBroker(RegisterBroker {
        broker,
        incarnation: Incarnation(uuid),
        cluster,
        directory: DirectoryId(uuid),
        endpoints: vec![crate::metadata::Endpoint {
            listener: "PLAINTEXT".to_owned(),
            protocol: crate::metadata::SecurityProtocol::Plaintext,
            host: "localhost".to_owned(),
            port: 9092,
        }],
        rack: None,
        replaces: None,
    }));
    let epoch = image.broker(broker).unwrap().epoch;
    image.apply(&Command::UnfenceBroker(UnfenceBroker { broker, epoch }));
    let topics = topics.iter().map(|name| topic(name)).collect();
    image.apply(&Command::CreateTopics(CreateTopics { topics }));
    assert!(image.topic("t").is_some());
    image
}
