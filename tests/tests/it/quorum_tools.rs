//! The metadata quorum through Kafka's own tool, on three brokers: seen, grown by votes, and shrunk again.

use std::time::Duration;

use it::cluster::{Cluster, Plan};
use it::toolbox::{Run, Toolbox};
use it::tools::{self, Tool};
use it::wait;

const WITHIN: Duration = Duration::from_secs(60);

/// Kafka's tool, asked at the first broker that is named.
struct Operator {
    tools: Toolbox,
}

impl Operator {
    fn run(&mut self, address: &str, command: &str) -> Run {
        let words: Vec<&str> = command.split_whitespace().collect();
        let to: &[&str] = &["--bootstrap-server", address];
        self.tools.run("org.apache.kafka.tools.MetadataQuorumCommand", &[to, &words].concat())
    }

    fn status(&mut self, address: &str) -> String {
        let lines = self.run(address, "describe --status").success();
        let single = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        lines.lines().map(single).collect::<Vec<_>>().join("\n")
    }

    /// What `describe --replication` says of each node: its directory, its log's end, and whether it leads, follows or observes.
    fn replication(&mut self, address: &str) -> Vec<Replica> {
        let table = self.run(address, "describe --replication").success();
        let line = |line: &str| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            Some(Replica {
                node: cells.first()?.parse().ok()?,
                directory: (*cells.get(1)?).to_owned(),
                log_end: cells.get(2)?.parse().ok()?,
                status: (*cells.last()?).to_owned(),
            })
        };
        let mut replicas: Vec<Replica> = table.lines().filter_map(line).collect();
        assert!(!replicas.is_empty(), "{table}");
        replicas.sort_by_key(|replica| replica.node);
        replicas
    }

    fn roles(&mut self, address: &str) -> Vec<(i32, String)> {
        self.replication(address).into_iter().map(|replica| (replica.node, replica.status)).collect()
    }

    /// Gives a broker a vote, with what its own configuration says of it.
    fn add(&mut self, cluster: &Cluster, id: i32, address: &str) -> Run {
        let (broker, data_dir) = (cluster.broker(id), cluster.data_dir(id).display());
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("server.properties");
        let properties = format!(
            "process.roles=broker,controller\nnode.id={id}\nlog.dirs={data_dir}\ncontroller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://{},CONTROLLER://{}\ncontroller.quorum.bootstrap.servers={}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n",
            broker.address(),
            broker.control_address(),
            broker.control_address(),
        );
        std::fs::write(&config, properties).unwrap();
        let config = config.display().to_string();
        let to: &[&str] = &["--bootstrap-server", address, "--command-config", &config];
        self.tools.run("org.apache.kafka.tools.MetadataQuorumCommand", &[to, &["add-controller"]].concat())
    }

    fn remove(&mut self, replica: &Replica, address: &str) -> Run {
        let Replica { node, directory, .. } = replica;
        self.run(
            address,
            &format!("remove-controller --controller-id {node} --controller-directory-id {directory}"),
        )
    }
}

#[derive(Clone, Debug)]
struct Replica {
    node: i32,
    directory: String,
    log_end: u64,
    status: String,
}

/// Waits until the tool says this of every node.
fn wait_roles(operator: &mut Operator, address: &str, expected: [&str; 3]) {
    wait::until("the roles", WITHIN, || {
        let roles = operator.roles(address);
        let found: Vec<&str> = roles.iter().map(|(_, role)| role.as_str()).collect();
        anyhow::ensure!(found == expected, "{roles:?}");
        Ok(Some(()))
    })
    .unwrap();
}

#[test]
fn kafkas_tool_describes_the_quorum_and_changes_its_voters() {
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    // One voter is listed; the others follow until they are given a vote.
    let mut cluster = Plan { voters: 1, ..Plan::under_test(3) }.start();
    cluster.create_topic("orders", 1, &[]);
    let mut operator = Operator { tools: Toolbox::start() };
    let addresses: Vec<String> = (1..=3).map(|id| cluster.broker(id).address()).collect();
    let [one, two, three] = addresses.as_slice() else { panic!("three brokers") };

    // Every broker answers, whoever leads.
    for address in &addresses {
        let status = operator.status(address);
        for expected in ["LeaderId: 1", "ClusterId: ", "HighWatermark: ", "CurrentVoters: "] {
            assert!(status.contains(expected), "{expected} in {status}");
        }
        let listener = format!("CONTROLLER://{}", cluster.broker(1).control_address());
        assert!(status.contains(&listener), "{status}");
        wait_roles(&mut operator, address, ["Leader", "Observer", "Observer"]);
    }
    let replicas = operator.replication(two);
    assert!(replicas.iter().all(|replica| replica.log_end > 0), "{replicas:?}");

    // Votes: added through any broker, with what their own configuration says.
    for (id, address) in [(2, three), (3, one)] {
        let added = operator.add(&cluster, id, address).success();
        assert!(added.contains(&format!("Added controller {id} with directory id")), "{added}");
    }
    wait_roles(&mut operator, one, ["Leader", "Follower", "Follower"]);
    let again = operator.add(&cluster, 3, one).failure();
    assert!(again.contains("DuplicateVoter"), "{again}");

    // What is not possible is refused, and why is said.
    let stranger = Replica { directory: replicas[1].directory.clone(), ..replicas[2].clone() };
    let refused = operator.remove(&stranger, two).failure();
    assert!(refused.contains("VoterNotFound"), "{refused}");
    let listed = operator.remove(&replicas[0], two).failure();
    assert!(listed.contains("controller.quorum.voters"), "{listed}");

    // A voter is removed and killed: the others are a quorum, and one that may lose nobody.
    operator.remove(&replicas[2], two).success();
    wait_roles(&mut operator, two, ["Leader", "Follower", "Observer"]);
    cluster.kill(3);
    let create = ["--create", "--topic", "without-three", "--partitions", "1", "--replication-factor", "2"];
    let arguments = [&["--bootstrap-server", two.as_str()], &create[..]].concat();
    operator.tools.run("org.apache.kafka.tools.TopicCommand", &arguments).success();
    cluster.restart(3);
    wait_roles(&mut operator, three, ["Leader", "Follower", "Observer"]);

    // Added back it counts: the first voter can go.
    operator.add(&cluster, 3, three).success();
    wait_roles(&mut operator, three, ["Leader", "Follower", "Follower"]);
    cluster.kill(1);
    assert_ne!(cluster.quorum_leader(), 1);
    let status = operator.status(two);
    assert!(status.contains("LeaderId: 2") || status.contains("LeaderId: 3"), "{status}");
    cluster.restart(1);

    // The one that leads takes its own vote: it hands over, and follows.
    let leader = cluster.quorum_leader();
    let leader = operator.replication(one).into_iter().find(|replica| replica.node == leader).unwrap();
    assert!(leader.node != 1, "the first voter is listed, and would be refused: {leader:?}");
    let address = cluster.broker(leader.node).address();
    operator.remove(&leader, &address).success();
    wait::until("another leader", WITHIN, || {
        let roles = operator.roles(&address);
        let role = roles.iter().find(|(node, _)| *node == leader.node).map(|(_, role)| role.as_str());
        anyhow::ensure!(role == Some("Observer"), "{roles:?}");
        anyhow::ensure!(roles.iter().any(|(_, role)| role == "Leader"), "{roles:?}");
        Ok(Some(()))
    })
    .unwrap();
    cluster.wait_in_sync("orders");
}
