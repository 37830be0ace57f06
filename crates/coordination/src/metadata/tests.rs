//! Scenarios as text: one line a command, its answer after `=>`, and with `show` the state. Only [`run`] knows the API.

mod brokers;
mod configs;
mod imports;
mod liveness;
mod partitions;
mod properties;
mod reassignments;
mod sharing;
mod snapshots;
mod topics;

use std::fmt::Write;

use expect_test::Expect;
use ottla_record::{
    BrokerEpoch, BrokerId, ClusterId, DirectoryId, Incarnation, LeaderEpoch, PartitionEpoch, PartitionIndex,
    TopicId, Uuid,
};

use super::*;

/// Runs a scenario on a formed cluster and compares what is answered and shown.
fn check(script: &str, expected: Expect) {
    let mut image = cluster();
    let mut out = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "show" {
            out.push_str(&show(&image));
        } else {
            let response = image.apply(&parse(line, &image));
            writeln!(out, "{line} => {}", answer(&response)).unwrap();
        }
        image.check_invariants().unwrap();
    }
    expected.assert_eq(&out);
}

/// A cluster that was formed and has no brokers.
pub(super) fn cluster() -> Image {
    let mut image = Image::empty();
    image.apply(&Command::FormCluster(FormCluster { cluster: cluster_id() }));
    image
}

/// A cluster of living brokers 1 to `n`.
fn cluster_of(n: i32) -> Image {
    let mut image = cluster();
    for id in 1..=n {
        run(&mut image, &format!("register {id}"));
        run(&mut image, &format!("unfence {id}"));
    }
    image
}

pub(super) fn run(image: &mut Image, line: &str) -> Response {
    image.apply(&parse(line, image))
}

/// `verb subject key=value …`. Epochs that are not given are the image's own.
fn parse(line: &str, image: &Image) -> Command {
    let mut words = line.split_whitespace();
    let (verb, subject) = (words.next().unwrap(), words.next().unwrap_or(""));
    let pairs: Vec<(&str, &str)> = words.map(|w| w.split_once('=').unwrap_or((w, ""))).collect();
    let get = |key: &str| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    let broker = BrokerId::new(subject.parse().unwrap_or(-1));
    let epoch = get("epoch").map_or_else(
        || image.broker(broker).map_or(BrokerEpoch::ZERO, |b| b.epoch),
        |e| BrokerEpoch::new(e.parse().unwrap()),
    );
    let seed = PlacementSeed(get("seed").unwrap_or("0").parse().unwrap());
    match verb {
        "register" => Command::RegisterBroker(RegisterBroker {
            broker,
            incarnation: Incarnation(id(get("run").unwrap_or("first"))),
            cluster: get("cluster").map_or(cluster_id(), |c| ClusterId(id(c))),
            directory: DirectoryId(id(get("dir").unwrap_or(subject))),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                protocol: SecurityProtocol::Plaintext,
                host: format!("host{subject}"),
                port: 9092,
            }],
            rack: get("rack").map(str::to_owned),
            replaces: match get("replaces") {
                Some("none") => None,
                Some(epoch) => Some(BrokerEpoch::new(epoch.parse().unwrap())),
                None => image.broker(broker).map(|b| b.epoch),
            },
        }),
        "unregister" => Command::UnregisterBroker(UnregisterBroker { broker, epoch }),
        "fence" => Command::FenceBroker(FenceBroker { broker, epoch }),
        "unfence" => Command::UnfenceBroker(UnfenceBroker { broker, epoch }),
        // disk 1 full, and when it has room again: disk 1
        "disk" => Command::ReportDisk(ReportDisk { broker, epoch, full: get("full").is_some() }),
        "shutdown" => Command::BeginShutdown(BeginShutdown { broker, epoch }),
        "producer-ids" => Command::AllocateProducerIds(AllocateProducerIds { broker, epoch }),
        // create NAME,NAME 3x2 or on=1,2/2,3
        "create" => Command::CreateTopics(CreateTopics {
            topics: subject
                .split(',')
                .map(|name| NewTopic {
                    name: name.to_owned(),
                    id: TopicId(id(get("id").unwrap_or(name))),
                    layout: layout(&pairs, seed),
                    configs: get("configs").map(configs).unwrap_or_default(),
                })
                .collect(),
        }),
        "delete" => Command::DeleteTopics(DeleteTopics {
            topics: subject
                .split(',')
                .map(|name| match name.strip_prefix('#') {
                    Some(name) => TopicSelector::Id(TopicId(id(name))),
                    None => TopicSelector::Name(name.to_owned()),
                })
                .collect(),
        }),
        "grow" => Command::CreatePartitions(CreatePartitions {
            topics: subject
                .split(',')
                .map(|topic| NewPartitions {
                    topic: topic.to_owned(),
                    count: get("to").unwrap().parse().unwrap(),
                    assignments: get("on").map(replica_lists),
                    seed,
                })
                .collect(),
        }),
        "isr" => {
            let (topic, index) = subject.rsplit_once('-').unwrap();
            let topic = image.topic(topic);
            let index = PartitionIndex::new(index.parse().unwrap());
            let partition = topic.and_then(|t| t.partition(index));
            let broker = BrokerId::new(get("by").unwrap().parse().unwrap());
            Command::AlterPartition(AlterPartition {
                broker,
                epoch: image.broker(broker).map_or(BrokerEpoch::ZERO, |b| b.epoch),
                changes: vec![IsrChange {
                    topic: topic.map_or(TopicId(Uuid::ZERO), |t| t.id()),
                    partition: index,
                    leader_epoch: get("leader-epoch").map_or_else(
                        || partition.map_or(LeaderEpoch::ZERO, |p| p.leader_epoch),
                        |e| LeaderEpoch::new(e.parse().unwrap()),
                    ),
                    partition_epoch: get("partition-epoch").map_or_else(
                        || partition.map_or(PartitionEpoch::ZERO, |p| p.partition_epoch),
                        |e| PartitionEpoch::new(e.parse().unwrap()),
                    ),
                    isr: ids(get("to").unwrap())
                        .into_iter()
                        .map(|broker| IsrMember {
                            broker,
                            epoch: get("member-epoch").map_or_else(
                                || image.broker(broker).map_or(BrokerEpoch::ZERO, |b| b.epoch),
                                |e| BrokerEpoch::new(e.parse().unwrap()),
                            ),
                        })
                        .collect(),
                }],
            })
        }
        "elect" => Command::ElectLeaders(ElectLeaders {
            election: if get("unclean").is_some() { Election::Unclean } else { Election::Preferred },
            partitions: (subject != "all").then(|| {
                let (topic, index) = subject.rsplit_once('-').unwrap();
                vec![(topic.to_owned(), PartitionIndex::new(index.parse().unwrap()))]
            }),
        }),
        // reassign t-0 to=2,3, or cancel; fixed refuses another number of replicas
        "reassign" => {
            let (topic, index) = subject.rsplit_once('-').unwrap();
            Command::AlterReassignments(AlterReassignments {
                partitions: vec![Reassign {
                    topic: topic.to_owned(),
                    partition: PartitionIndex::new(index.parse().unwrap()),
                    target: get("to").map(ids),
                }],
                may_change_replication_factor: get("fixed").is_none(),
            })
        }
        // import NAME,NAME by=1 epochs=3,7 producer-ids=2000
        "import" => {
            let broker = BrokerId::new(get("by").unwrap().parse().unwrap());
            Command::ImportTopics(ImportTopics {
                broker,
                epoch: get("epoch").map_or_else(
                    || image.broker(broker).map_or(BrokerEpoch::ZERO, |b| b.epoch),
                    |e| BrokerEpoch::new(e.parse().unwrap()),
                ),
                topics: subject
                    .split(',')
                    .map(|name| ImportedTopic {
                        name: name.to_owned(),
                        id: TopicId(id(get("id").unwrap_or(name))),
                        leader_epochs: get("epochs")
                            .unwrap()
                            .split(',')
                            .filter(|epoch| !epoch.is_empty())
                            .map(|epoch| LeaderEpoch::new(epoch.parse().unwrap()))
                            .collect(),
                        configs: get("configs").map(configs).unwrap_or_default(),
                    })
                    .collect(),
                next_producer_id: ottla_record::ProducerId::new(
                    get("producer-ids").unwrap_or("0").parse().unwrap(),
                ),
            })
        }
        // config topic:foo a=1 b- c+x d~x (delete, append, subtract), or first word `replace`
        "config" => {
            let resource = match subject.split_once(':').unwrap() {
                ("topic", name) => ConfigResource::Topic(name.to_owned()),
                ("group", name) => ConfigResource::Group(name.to_owned()),
                (_, "") => ConfigResource::Broker(None),
                (_, id) => ConfigResource::Broker(Some(BrokerId::new(id.parse().unwrap()))),
            };
            let words: Vec<&str> = line.split_whitespace().skip(2).collect();
            let edit = match words.split_first() {
                Some((&"replace", rest)) => {
                    ConfigEdit::Replace(rest.iter().flat_map(|w| configs(w)).collect())
                }
                _ => ConfigEdit::Incremental(words.iter().map(|w| step(w)).collect()),
            };
            Command::AlterConfigs(AlterConfigs { changes: vec![ConfigChange { resource, edit }] })
        }
        other => panic!("unknown verb {other}"),
    }
}

fn layout(pairs: &[(&str, &str)], seed: PlacementSeed) -> Layout {
    if let Some((_, lists)) = pairs.iter().find(|(k, _)| *k == "on") {
        let assign = |(i, replicas): (usize, Vec<BrokerId>)| ManualAssignment {
            partition: PartitionIndex::new(i32::try_from(i).unwrap()),
            replicas,
        };
        return Layout::Manual(replica_lists(lists).into_iter().enumerate().map(assign).collect());
    }
    let (partitions, factor) = pairs[0].0.split_once('x').unwrap();
    Layout::Placed {
        partitions: partitions.parse().unwrap(),
        replication_factor: factor.parse().unwrap(),
        seed,
    }
}

fn replica_lists(text: &str) -> Vec<Vec<BrokerId>> {
    text.split('/').map(ids).collect()
}

fn ids(text: &str) -> Vec<BrokerId> {
    text.split(',').filter(|id| !id.is_empty()).map(|id| BrokerId::new(id.parse().unwrap())).collect()
}

fn configs(text: &str) -> Vec<(String, Option<String>)> {
    text.split(';')
        .map(|pair| match pair.split_once(['=', ':']) {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (pair.to_owned(), None),
        })
        .collect()
}

fn step(word: &str) -> (String, ConfigOp) {
    if let Some(name) = word.strip_suffix('-') {
        return (name.to_owned(), ConfigOp::Delete);
    }
    let at = word.find(['=', '+', '~']).unwrap();
    let (name, value) = (word[..at].to_owned(), word[at + 1..].to_owned());
    let op = match word.as_bytes()[at] {
        b'=' => ConfigOp::Set(value),
        b'+' => ConfigOp::Append(value),
        _ => ConfigOp::Subtract(value),
    };
    (name, op)
}

fn cluster_id() -> ClusterId {
    ClusterId(id("cluster"))
}

/// An id made of a word, so that scenarios can name ids.
fn id(word: &str) -> Uuid {
    let mut bytes = [b'.'; 16];
    for (slot, byte) in bytes.iter_mut().zip(word.bytes()) {
        *slot = byte;
    }
    Uuid::from_bytes(bytes)
}

/// The answer in words: errors as users see them.
fn answer(response: &Response) -> String {
    fn one<T: std::fmt::Debug, E: std::fmt::Display>(result: &Result<T, E>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("error: {error}"),
        }
    }
    fn all<T: std::fmt::Debug, E: std::fmt::Display>(results: &[Result<T, E>]) -> String {
        results.iter().map(one).collect::<Vec<_>>().join("; ")
    }
    match response {
        Response::FormCluster(r) => format!("{r:?}"),
        Response::RegisterBroker(r) => one(r),
        Response::UnregisterBroker(r)
        | Response::FenceBroker(r)
        | Response::UnfenceBroker(r)
        | Response::BeginShutdown(r)
        | Response::ReportDisk(r) => one(r),
        Response::AllocateProducerIds(r) => one(r),
        Response::CreateTopics(r) => all(&r
            .iter()
            .map(|r| r.as_ref().map(|t| (t.name.to_string(), t.partitions, t.replication_factor)))
            .collect::<Vec<_>>()),
        Response::DeleteTopics(r) => {
            all(&r.iter().map(|r| r.as_ref().map(|t| t.name.to_string())).collect::<Vec<_>>())
        }
        Response::CreatePartitions(r) => all(r),
        Response::AlterConfigs(r) => all(r),
        Response::AlterPartition(Ok(r)) => all(&r
            .iter()
            .map(|r| r.as_ref().map(|p| (p.leader, p.leader_epoch, &p.isr, p.partition_epoch)))
            .collect::<Vec<_>>()),
        Response::AlterPartition(Err(e)) => format!("error: {e}"),
        Response::ImportTopics(r) => one(r),
        Response::AlterReassignments(r) => all(r),
        Response::ElectLeaders(r) => {
            r.iter().map(|(t, i, r)| format!("{t}-{i}: {}", one(r))).collect::<Vec<_>>().join("; ")
        }
    }
}

/// Brokers, and every partition as `replicas / in sync / leader @leader epoch .partition epoch`.
fn show(image: &Image) -> String {
    let mut out = String::new();
    for b in image.brokers() {
        let state = match (b.fenced, b.shutting_down) {
            (true, _) => " fenced",
            (false, true) => " shutting down",
            (false, false) if b.disk_full => " full",
            (false, false) => "",
        };
        writeln!(out, "  broker {}@{}{state}", b.id, b.epoch).unwrap();
    }
    for topic in image.topics() {
        for (i, p) in topic.partitions() {
            let leader = p.leader.map_or("none".to_owned(), |l| l.to_string());
            writeln!(
                out,
                "  {}-{i}: {:?} / {:?} / {leader} @{} .{}",
                topic.name(),
                p.replicas,
                p.isr,
                p.leader_epoch,
                p.partition_epoch
            )
            .unwrap();
            if let Some(r) = &p.reassignment {
                writeln!(out, "    moving from {:?} to {:?}", r.original, r.target).unwrap();
            }
        }
        if !topic.configs().is_empty() {
            writeln!(out, "  {} {:?}", topic.name(), topic.configs()).unwrap();
        }
    }
    for (broker, configs) in image.configured_brokers() {
        writeln!(out, "  broker {broker:?} {configs:?}").unwrap();
    }
    for (group, configs) in image.configured_groups() {
        writeln!(out, "  group {group} {configs:?}").unwrap();
    }
    out
}
