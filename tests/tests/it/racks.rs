//! Brokers in racks, and Kafka's own consumers that say where they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::ensure;
use it::batch::Batch;
use it::broker::Kind;
use it::cluster::{Cluster, Plan};
use it::interop::client::{Client as Library, Protocol};
use it::interop::member::{Event, Heard, Member, Membership};
use it::raw::error;
use it::scrape::Scrape;
use it::toolbox::Toolbox;
use it::tools::{self, Tool};
use it::wait;
use ottla_client::Client;

const TOPIC: &str = "local";
const WITHIN: Duration = Duration::from_secs(60);
const RECORDS: usize = 40;

fn rack(broker: i32) -> String {
    format!("rack-{broker}")
}

/// A rack each, and consumers may read from followers (KIP-392).
fn cluster() -> Cluster {
    let plan = Plan::under_test(3)
        .set("replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector")
        .set("auto.create.topics.enable", false);
    [1, 2, 3].into_iter().fold(plan, |plan, id| plan.set_of(id, "broker.rack", rack(id))).start()
}

/// Members in the racks of these brokers, and what they say.
struct Members {
    heard: Receiver<Heard>,
    said: Vec<Heard>,
    _members: Vec<Member>,
    _scratch: tempfile::TempDir,
}

impl Members {
    fn start(cluster: &Cluster, group: &str, racks: &[i32]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let (mouth, heard) = sync_channel(10_000);
        let bootstrap = cluster.bootstrap();
        let protocol = Protocol::Consumer;
        let membership = Membership { bootstrap: &bootstrap, group, topic: TOPIC, protocol };
        let start = |broker: &i32| {
            let mut program = Library::Java.program();
            program.env("CLIENT_RACK", rack(*broker));
            Member::start_program(program, &membership, &rack(*broker), scratch.path(), &mouth).unwrap()
        };
        let members = racks.iter().map(start).collect();
        Self { heard, said: Vec::new(), _members: members, _scratch: scratch }
    }

    fn said(&mut self) -> &[Heard] {
        self.said.extend(self.heard.try_iter());
        &self.said
    }

    /// What each has now.
    fn owned(&mut self) -> BTreeMap<String, BTreeSet<i32>> {
        let mut owned: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for (member, event) in self.said() {
            let of_member = owned.entry(member.clone()).or_default();
            match event {
                Ok(Event::Assigned { partitions }) => of_member.extend(partitions),
                Ok(Event::Revoked { partitions }) => {
                    of_member.retain(|partition| !partitions.contains(partition));
                }
                _ => {}
            }
        }
        owned
    }

    fn records(&mut self) -> usize {
        let records = self.said().iter().filter(|(_, event)| matches!(event, Ok(Event::Record { .. })));
        records.count()
    }
}

/// The consumer protocol's assignors look at where replicas are; Kafka 4.3's do not, and give the partitions out in their order.
#[test]
fn members_in_java_are_given_the_partitions_of_their_rack() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    if Kind::under_test() == Kind::Kafka {
        tools::note("Kafka's assignors of the consumer protocol do not look at racks");
        return;
    }
    let cluster = cluster();
    let mut members = Members::start(&cluster, "neighbours", &[1, 2, 3]);
    // Who has a partition keeps it: so they are all there when the partitions come.
    let client = async { Client::connect(format!("http://{}", cluster.broker(1).api_address())).await };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let admin = runtime.block_on(client).unwrap().admin();
    wait::until("the members to be in the group", WITHIN, || {
        let group = runtime.block_on(admin.describe_group("neighbours"))?;
        Ok((group.members.len() == 3).then_some(()))
    })
    .unwrap();
    // In an order in which no assignor gives them out without looking.
    let racks = [3, 1, 3, 2, 1, 2];
    let assignment = racks.map(|broker| broker.to_string()).join(",");
    let bootstrap = cluster.bootstrap();
    let create =
        ["--bootstrap-server", &bootstrap, "--create", "--topic", TOPIC, "--replica-assignment", &assignment];
    Toolbox::start().run("org.apache.kafka.tools.TopicCommand", &create).success();
    wait::until("each member to have what is in its rack", WITHIN, || {
        let owned = members.owned();
        let wanted = [1, 2, 3].map(|broker| {
            let local = (0..).zip(racks).filter(|(_, at)| *at == broker).map(|(partition, _)| partition);
            (rack(broker), local.collect::<BTreeSet<i32>>())
        });
        ensure!(owned == BTreeMap::from(wanted), "{owned:?}");
        Ok(Some(()))
    })
    .unwrap();
}

#[test]
fn a_consumer_in_java_reads_from_the_follower_in_its_rack() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    if Kind::under_test() == Kind::Kafka {
        tools::note("who sent what is told by Ottla's metrics");
        return;
    }
    let cluster = cluster();
    cluster.create_topic(TOPIC, 1, &[]);
    let leader = cluster.leader(TOPIC, 0);
    let follower = cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    for number in 0..RECORDS {
        let batch = Batch::of_values([number.to_string()]).bytes();
        let (code, _) = cluster.connect_to_leader(TOPIC, 0).produce_once_led(TOPIC, 0, &batch).unwrap();
        assert_eq!(code, error::NONE);
    }
    let mut members = Members::start(&cluster, "near", &[follower]);
    wait::until("the member to read all", WITHIN, || {
        let read = members.records();
        ensure!(read >= RECORDS, "{read} of {RECORDS}");
        Ok(Some(()))
    })
    .unwrap();
    let sent = |broker: i32| {
        let samples = Scrape::of(cluster.broker(broker)).samples;
        samples.get("ottla_topic_sent_bytes_total{topic=\"local\"}").copied().unwrap_or_default()
    };
    let (near, far) = (sent(follower), sent(leader));
    assert!(near > 0.0 && far == 0.0, "the follower sent {near} bytes, the leader {far}");
}
