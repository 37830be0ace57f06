//! Several nodes in one process, over loopback: elections, forwarding, failures, disks that were lost.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_coordination::metadata::voters::{VoterChange, VoterRefusal};
use ottla_coordination::metadata::{Image, ImageHash};
use ottla_quorum::{
    Announcement, ControlConfig, ControlListener, LivenessConfig, MembershipError, ProposeError, Voter,
};
use ottla_record::BrokerEpoch;

use super::*;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long, so that what is noticed without it is told apart from what it brings to light.
const SESSION: Duration = Duration::from_secs(10);

/// Nodes with their directories, by number from 1, some of them running.
struct Nodes {
    scratch: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
    voters: usize,
    running: Vec<Option<Arc<Quorum>>>,
    /// How often each directory was wiped: it has another id each time.
    lives: Vec<u8>,
    /// How often each node was killed: it is another process each time.
    deaths: Vec<u8>,
}

impl Nodes {
    /// `all` nodes, of which the first `voters` are listed as such. None runs.
    fn new(voters: usize, all: usize) -> Self {
        // Ports that the system gave out a moment ago and, since they are bound to be used again, does not give to others soon.
        let held: Vec<TcpListener> =
            (0..all).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        Self {
            scratch: tempfile::tempdir().unwrap(),
            addresses: held.iter().map(|socket| socket.local_addr().unwrap()).collect(),
            voters,
            running: vec![None; all],
            lives: vec![0; all],
            deaths: vec![0; all],
        }
    }

    /// All of them, running and ready.
    async fn start(voters: usize, all: usize) -> Self {
        let mut nodes = Self::new(voters, all);
        let starting: Vec<_> =
            (1..=all).map(|n| nodes.config(n)).map(|c| tokio::spawn(Quorum::start(c))).collect();
        for (slot, start) in nodes.running.iter_mut().zip(starting) {
            *slot = Some(Arc::new(within(start).await.unwrap().unwrap()));
        }
        for n in 1..=all {
            within(nodes.node(n).ready()).await.unwrap();
        }
        nodes
    }

    async fn run(&mut self, n: usize) {
        assert!(self.running[n - 1].is_none());
        let quorum = within(Quorum::start(self.config(n))).await.unwrap();
        self.running[n - 1] = Some(Arc::new(quorum));
    }

    async fn run_ready(&mut self, n: usize) {
        self.run(n).await;
        within(self.node(n).ready()).await.unwrap();
    }

    fn dir(&self, n: usize) -> PathBuf {
        self.scratch.path().join(format!("node{n}"))
    }

    fn directory(&self, n: usize) -> DirectoryId {
        let mut bytes = [u8::try_from(n).unwrap(); 16];
        bytes[0] = self.lives[n - 1];
        DirectoryId(Uuid::from_bytes(bytes))
    }

    fn incarnation(&self, n: usize) -> Incarnation {
        Incarnation(Uuid::from_bytes(
            [u8::try_from(n).unwrap(), self.deaths[n - 1]].repeat(8).try_into().unwrap(),
        ))
    }

    fn config(&self, n: usize) -> QuorumConfig {
        let address = self.addresses[n - 1];
        let voter = |(i, address): (usize, &SocketAddr)| Voter {
            node: BrokerId::new(i32::try_from(i + 1).unwrap()),
            address: address.to_string(),
        };
        QuorumConfig {
            dir: self.dir(n),
            node: BrokerId::new(i32::try_from(n).unwrap()),
            directory: self.directory(n),
            incarnation: self.incarnation(n),
            // Each would form another cluster.
            cluster: ClusterId(Uuid::from_bytes([u8::try_from(100 + n).unwrap(); 16])),
            if_missing: IfMissing::Form,
            control: Some(ControlConfig {
                listener: ControlListener::bind(address).unwrap(),
                address: address.to_string(),
                voters: self.addresses.iter().take(self.voters).enumerate().map(voter).collect(),
                bootstrap_servers: Vec::new(),
                liveness: LivenessConfig { session: SESSION, heartbeat: Duration::from_millis(300) },
                leader_check_interval: None,
            }),
        }
    }

    fn node(&self, n: usize) -> &Arc<Quorum> {
        self.running[n - 1].as_ref().unwrap()
    }

    fn all(&self) -> impl Iterator<Item = (usize, &Arc<Quorum>)> {
        self.running.iter().enumerate().filter_map(|(i, node)| Some((i + 1, node.as_ref()?)))
    }

    /// Without a goodbye, as a process dies: its sockets close and nothing else is said.
    async fn kill(&mut self, n: usize) {
        let quorum = Arc::into_inner(self.running[n - 1].take().unwrap()).unwrap();
        within(quorum.shutdown()).await.unwrap();
        self.deaths[n - 1] += 1;
    }

    fn wipe(&mut self, n: usize) {
        std::fs::remove_dir_all(self.dir(n)).unwrap();
        self.lives[n - 1] += 1;
    }

    /// The one that leads, once all that run agree about it.
    async fn leader(&self) -> usize {
        let agreed = || {
            let (leader, _) = self.all().find(|(_, node)| node.status().is_leader)?;
            let term = self.node(leader).status().term;
            let id = Some(BrokerId::new(i32::try_from(leader).unwrap()));
            let follows = |node: &Quorum| (node.status().leader, node.status().term) == (id, term);
            self.all().all(|(_, node)| follows(node)).then_some(leader)
        };
        eventually("a leader that all agree about", agreed).await
    }

    /// All that run have the same image, which is the newest one.
    async fn converge(&self) -> ImageHash {
        let converged = || {
            let images: Vec<Arc<Image>> =
                self.all().map(|(_, node)| node.images().borrow().clone()).collect();
            let newest = images.iter().map(|image| image.version()).max()?;
            let same = images.iter().all(|image| image.version() == newest);
            let hash = images[0].hash().unwrap();
            (same && images.iter().all(|image| image.hash().unwrap() == hash)).then_some(hash)
        };
        eventually("one image", converged).await
    }
}

async fn within<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

/// Sets a value although a leader may be lost with the command, which is safe to repeat.
async fn ok_at_last(quorum: &Quorum, group: &str, value: u64) {
    loop {
        match within(quorum.propose(set(group, value))).await {
            Ok(response) => return assert_eq!(response, Response::AlterConfigs(vec![Ok(())])),
            Err(ProposeError::Unknown(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "no {what} in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_voters_and_a_learner_form_one_cluster_and_everybody_may_propose() {
    let nodes = Nodes::start(3, 4).await;
    let leader = nodes.leader().await;
    let cluster = nodes.node(1).cluster_id();
    assert_eq!(cluster, ClusterId(Uuid::from_bytes([101; 16])), "the lowest voter forms it");
    for (n, node) in nodes.all() {
        assert_eq!(node.cluster_id(), cluster);
        let name = format!("from{n}");
        ok(node, set(&name, 45_000)).await;
        assert_eq!(value(node, &name), Some(45_000), "the image here shows the outcome");
    }
    nodes.converge().await;
    let status = nodes.node(leader).status();
    assert_eq!(status.voters, 3);
    let votes: Vec<(i32, bool)> = status.members.iter().map(|m| (m.node.get(), m.votes)).collect();
    assert_eq!(votes, [(1, true), (2, true), (3, true), (4, false)]);
    eventually("lag of nought", || {
        let status = nodes.node(leader).status();
        status.members.iter().all(|member| member.lag == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_lost_is_replaced_and_nothing_acknowledged_is() {
    let mut nodes = Nodes::start(3, 3).await;
    for round in 0..4 {
        let leader = nodes.leader().await;
        let term = nodes.node(leader).status().term;
        ok(nodes.node(leader), set("g", 45_000 + round)).await;
        nodes.kill(leader).await;
        let lost = Instant::now();
        let other = nodes.all().next().unwrap().1;
        ok_at_last(other, "h", 45_000 + round).await;
        let outage = lost.elapsed();
        println!("outage of {outage:?}");
        assert!(outage < Duration::from_secs(5), "{outage:?}");
        assert_eq!(value(other, "g"), Some(45_000 + round));
        assert!(other.status().term > term, "one leader a term");
        nodes.run_ready(leader).await;
        assert_eq!(nodes.all().count(), 3);
    }
    nodes.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_decides_nothing_and_says_so_in_time() {
    let mut nodes = Nodes::start(3, 3).await;
    let leader = nodes.leader().await;
    let (a, b) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    nodes.kill(a).await;
    nodes.kill(b).await;
    let asked = Instant::now();
    let refused = within(nodes.node(leader).propose(set("g", 45_001))).await.unwrap_err();
    println!("{refused} after {:?}", asked.elapsed());
    assert!(matches!(refused, ProposeError::NotLeader { .. } | ProposeError::Unknown(_)), "{refused}");
    assert!(!nodes.node(leader).status().is_leader, "without a majority it is none");
    nodes.run_ready(a).await;
    ok(nodes.node(a), set("g", 45_002)).await;
    nodes.run_ready(b).await;
    nodes.converge().await;
    assert_eq!(value(nodes.node(b), "g"), Some(45_002));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_was_away_deposes_nobody_when_it_returns() {
    let mut nodes = Nodes::start(3, 3).await;
    let leader = nodes.leader().await;
    let away = leader % 3 + 1;
    let term = nodes.node(leader).status().term;
    nodes.kill(away).await;
    for n in 0..200 {
        ok(nodes.node(leader), set(&format!("g{}", n % 5), 45_000 + n)).await;
    }
    nodes.run_ready(away).await;
    nodes.converge().await;
    let status = nodes.node(leader).status();
    assert_eq!((status.term, status.is_leader), (term, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_nobody_reaches_asks_in_vain_and_its_term_stays() {
    let mut nodes = Nodes::start(3, 3).await;
    let leader = nodes.leader().await;
    let cut = leader % 3 + 1;
    let term = nodes.node(leader).status().term;
    nodes.kill(cut).await;
    // It listens where nobody looks for it: it hears of no leader, and its own questions reach the others.
    let mut config = nodes.config(cut);
    if let Some(control) = &mut config.control {
        control.listener = ControlListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    }
    let quorum = within(Quorum::start(config)).await.unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    let mut n = 45_000;
    while Instant::now() < until {
        n += 1;
        ok(nodes.node(leader), set("g", n)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(quorum.status().term, term, "it stood for nothing");
    within(quorum.shutdown()).await.unwrap();
    nodes.deaths[cut - 1] += 1;
    nodes.run_ready(cut).await;
    nodes.converge().await;
    let status = nodes.node(leader).status();
    assert_eq!((status.term, status.is_leader), (term, true));
    assert_eq!(value(nodes.node(cut), "g"), Some(n));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_lost_its_disk_returns_as_a_new_member() {
    let mut nodes = Nodes::start(3, 3).await;
    let leader = nodes.leader().await;
    let wiped = leader % 3 + 1;
    ok(nodes.node(leader), set("g", 45_000)).await;
    let term = nodes.node(leader).status().term;
    nodes.kill(wiped).await;
    nodes.wipe(wiped);
    nodes.run_ready(wiped).await;
    let directory = nodes.directory(wiped);
    eventually("vote of the new member", || {
        let members = nodes.node(leader).status().members;
        members.iter().any(|member| member.directory == directory && member.votes).then_some(())
    })
    .await;
    assert_eq!(value(nodes.node(wiped), "g"), Some(45_000));
    let status = nodes.node(leader).status();
    assert_eq!((status.term, status.is_leader, status.voters), (term, true, 3), "nobody was deposed");
    nodes.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_voters_of_three_without_their_disks_win_no_election() {
    let mut nodes = Nodes::start(3, 3).await;
    let leader = nodes.leader().await;
    ok(nodes.node(leader), set("g", 45_000)).await;
    let all = [1, 2, 3];
    for n in all {
        nodes.kill(n).await;
    }
    let wiped: Vec<usize> = all.into_iter().filter(|n| *n != leader).collect();
    for n in &wiped {
        nodes.wipe(*n);
    }
    nodes.run(leader).await;
    for n in &wiped {
        // They find the cluster, and are admitted by nobody.
        nodes.run(*n).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(nodes.all().all(|(_, node)| !node.status().is_leader), "a majority has forgotten what it voted");
    let same = nodes.node(1).cluster_id();
    assert!(nodes.all().all(|(_, node)| node.cluster_id() == same), "and no new cluster hides it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_long_away_is_brought_back_by_a_snapshot() {
    let mut nodes = Nodes::start(3, 3).await;
    let leader = nodes.leader().await;
    let away = leader % 3 + 1;
    nodes.kill(away).await;
    let busy = Arc::clone(nodes.node(leader));
    for chunk in 0..50 {
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                let busy = Arc::clone(&busy);
                tokio::spawn(async move { ok(&busy, set(&format!("g{n}"), 45_000 + chunk)).await })
            })
            .collect();
        for task in tasks {
            within(task).await.unwrap();
        }
    }
    drop(busy);
    nodes.run_ready(away).await;
    nodes.converge().await;
    // The image is shown a moment before the status.
    eventually("snapshot", || nodes.node(away).status().snapshot_index).await;
    // What came by the snapshot is on its disk.
    nodes.kill(away).await;
    nodes.run_ready(away).await;
    nodes.converge().await;
    assert_eq!(value(nodes.node(away), "g99"), Some(45_049));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_becomes_three() {
    let mut nodes = Nodes::new(1, 1);
    // Alone first, without a listener.
    let alone = QuorumConfig { control: None, ..nodes.config(1) };
    let quorum = within(Quorum::start(alone)).await.unwrap();
    ok(&quorum, set("g", 45_000)).await;
    let cluster = quorum.cluster_id();
    quorum.shutdown().await.unwrap();
    // Then with others listed, and an address of its own.
    let more = Nodes::new(3, 2);
    nodes.addresses.extend(more.addresses);
    nodes.running.extend([None, None]);
    nodes.lives.extend([0, 0]);
    nodes.deaths.extend([0, 0]);
    nodes.voters = 3;
    for n in 1..=3 {
        nodes.run(n).await;
    }
    for n in 1..=3 {
        within(nodes.node(n).ready()).await.unwrap();
    }
    let voters = || (nodes.node(1).status().voters == 3).then_some(());
    eventually("three voters", voters).await;
    assert_eq!(nodes.node(3).cluster_id(), cluster);
    assert_eq!(value(nodes.node(3), "g"), Some(45_000));
    // And a lone start of one of them is refused.
    nodes.kill(1).await;
    let alone = QuorumConfig { control: None, ..nodes.config(1) };
    let error = refusal(alone).await;
    assert!(matches!(error, QuorumError::NotAlone { .. }), "{error}");
}

fn add(nodes: &Nodes, n: usize) -> VoterChange {
    VoterChange::Add { node: BrokerId::new(i32::try_from(n).unwrap()), directory: nodes.directory(n) }
}

fn remove(nodes: &Nodes, n: usize) -> VoterChange {
    VoterChange::Remove { node: BrokerId::new(i32::try_from(n).unwrap()), directory: nodes.directory(n) }
}

async fn change(node: &Quorum, change: VoterChange) -> Result<(), MembershipError> {
    within(node.change_voter(change, Duration::from_secs(10))).await
}

/// Who votes, as the leader tells a node.
async fn voters(node: &Quorum) -> Vec<i32> {
    let quorum = within(node.describe(Duration::from_secs(10))).await.unwrap();
    quorum.members.iter().filter(|member| member.votes).map(|member| member.node.get()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_are_added_and_removed_while_it_runs() {
    let nodes = Nodes::start(1, 3).await;
    let leader = nodes.node(1);
    // Whoever is asked, the leader does it.
    change(leader, add(&nodes, 2)).await.unwrap();
    change(nodes.node(3), add(&nodes, 3)).await.unwrap();
    assert_eq!(leader.status().voters, 3);
    ok(leader, set("g", 45_000)).await;
    change(nodes.node(2), remove(&nodes, 3)).await.unwrap();
    assert_eq!(leader.status().voters, 2);
    let mut text = String::new();
    let stranger = VoterChange::Remove { node: BrokerId::new(2), directory: nodes.directory(3) };
    for (node, asked) in [(1, remove(&nodes, 1)), (2, stranger), (3, add(&nodes, 2))] {
        text += &format!("{}\n", change(nodes.node(node), asked).await.unwrap_err());
    }
    expect_test::expect![[r#"
        node 1 is listed in controller.quorum.voters: take it out there first
        Cannot remove node 2 with log directory AAMDAwMDAwMDAwMDAwMDAw from the set of voters: it is not in there.
        The voter id for node 2 is already part of the set of voters, with log directory AAICAgICAgICAgICAgICAg.
    "#]]
    .assert_eq(&text);
    nodes.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_hands_over_and_follows() {
    let mut nodes = Nodes::start(1, 3).await;
    for n in [2, 3] {
        change(nodes.node(1), add(&nodes, n)).await.unwrap();
    }
    ok(nodes.node(1), set("g", 45_000)).await;
    // Nobody is listed any more: the votes stand in the log.
    nodes.voters = 0;
    for n in 1..=3 {
        nodes.kill(n).await;
    }
    for n in 1..=3 {
        nodes.run(n).await;
    }
    let leader = nodes.leader().await;
    let since = Instant::now();
    change(nodes.node(leader), remove(&nodes, leader)).await.unwrap();
    let removed = since.elapsed();
    let next = nodes.leader().await;
    println!("removed after {removed:?}, another leads after {:?}", since.elapsed());
    assert_ne!(next, leader);
    let others: Vec<i32> = [1, 2, 3].into_iter().filter(|n| *n != i32::try_from(leader).unwrap()).collect();
    assert_eq!(voters(nodes.node(next)).await, others);
    // It is a learner, with all that the others have.
    within(nodes.node(leader).ready()).await.unwrap();
    ok(nodes.node(leader), set("g", 46_000)).await;
    nodes.converge().await;
    assert_eq!(voters(nodes.node(leader)).await, others);
    // And may vote again.
    change(nodes.node(leader), add(&nodes, leader)).await.unwrap();
    assert_eq!(voters(nodes.node(next)).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_voter_is_removed_and_comes_back_as_what_it_is() {
    let mut nodes = Nodes::start(1, 3).await;
    for n in [2, 3] {
        change(nodes.node(1), add(&nodes, n)).await.unwrap();
    }
    nodes.kill(3).await;
    change(nodes.node(2), remove(&nodes, 3)).await.unwrap();
    assert_eq!(voters(nodes.node(2)).await, [1, 2]);
    for n in 45_000..45_020 {
        ok(nodes.node(2), set("g", n)).await;
    }
    let refused =
        within(nodes.node(2).change_voter(add(&nodes, 3), Duration::from_secs(3))).await.unwrap_err();
    let not_there =
        matches!(refused, MembershipError::Refused(VoterRefusal::Lagging { .. } | VoterRefusal::Silent(_)));
    assert!(not_there, "{refused}");
    nodes.run_ready(3).await;
    assert_eq!(voters(nodes.node(3)).await, [1, 2]);
    change(nodes.node(3), add(&nodes, 3)).await.unwrap();
    assert_eq!(voters(nodes.node(3)).await, [1, 2, 3]);
    nodes.converge().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_tells_how_far_everybody_is() {
    let mut nodes = Nodes::start(1, 3).await;
    change(nodes.node(1), add(&nodes, 2)).await.unwrap();
    ok(nodes.node(1), set("g", 45_000)).await;
    let end = nodes.node(1).status().last_index.unwrap() + 1;
    let described = || async {
        let quorum = within(nodes.node(3).describe(Duration::from_secs(10))).await.unwrap();
        quorum.members.iter().all(|member| member.log_end == Some(end)).then_some(quorum)
    };
    let mut quorum = described().await;
    while quorum.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        quorum = described().await;
    }
    let quorum = quorum.unwrap();
    assert_eq!((quorum.leader, quorum.high_watermark), (BrokerId::new(1), Some(end)));
    for (member, n) in quorum.members.iter().zip(1..) {
        assert_eq!((member.node.get(), member.votes), (n, n < 3));
        assert_eq!(member.directory, nodes.directory(usize::try_from(n).unwrap()));
        let (silent, behind_for) = (member.silent.unwrap(), member.behind_for.unwrap());
        assert!(silent < Duration::from_secs(2) && behind_for < Duration::from_secs(2), "{member:?}");
    }
    // A member that is gone falls silent, and falls behind.
    nodes.kill(3).await;
    ok(nodes.node(1), set("g", 45_001)).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let quorum = within(nodes.node(2).describe(Duration::from_secs(10))).await.unwrap();
    let gone = &quorum.members[2];
    assert_eq!(quorum.lag(gone), Some(1));
    assert!(gone.silent.unwrap() >= Duration::from_secs(1), "{gone:?}");
    assert!(gone.behind_for.unwrap() >= Duration::from_secs(1), "{gone:?}");
    assert!(quorum.members[1].silent.unwrap() < Duration::from_secs(1), "{quorum:?}");
}

/// Registers a node as a broker, which heartbeats from then on; its epoch.
async fn register_broker(nodes: &Nodes, n: usize) -> BrokerEpoch {
    let node = nodes.node(n);
    let id = BrokerId::new(i32::try_from(n).unwrap());
    let replaces = node.images().borrow().broker(id).map(|broker| broker.epoch);
    let command = Command::RegisterBroker(RegisterBroker {
        broker: id,
        incarnation: nodes.incarnation(n),
        cluster: node.cluster_id(),
        directory: nodes.directory(n),
        endpoints: Vec::new(),
        rack: None,
        replaces,
    });
    let epoch = match within(node.propose(command)).await.unwrap() {
        Response::RegisterBroker(epoch) => epoch.unwrap(),
        other => panic!("{other:?}"),
    };
    announce(nodes, n, epoch, false);
    epoch
}

fn announce(nodes: &Nodes, n: usize, epoch: BrokerEpoch, wants_to_stop: bool) {
    let oldest_flush = Arc::new(|| None);
    nodes.node(n).announce(Announcement { epoch, ready: true, wants_to_stop, oldest_flush });
}

/// Waits until this broker is fenced, or not, in the image of all that run; how long that took.
async fn fenced(nodes: &Nodes, n: usize, fenced: bool) -> Duration {
    let since = Instant::now();
    let id = BrokerId::new(i32::try_from(n).unwrap());
    let is = |node: &Quorum| node.images().borrow().broker(id).is_some_and(|b| b.fenced == fenced);
    eventually("fencing", || nodes.all().all(|(_, node)| is(node)).then_some(())).await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_die_are_fenced_at_once_and_come_back_by_their_heartbeats() {
    let mut nodes = Nodes::start(3, 4).await;
    let mut epochs = Vec::new();
    for n in 1..=4 {
        epochs.push(register_broker(&nodes, n).await);
    }
    for n in 1..=4 {
        fenced(&nodes, n, false).await;
    }
    // A learner dies: its address refuses, and nobody waits for its session.
    nodes.kill(4).await;
    let took = fenced(&nodes, 4, true).await;
    println!("a broker that died is fenced after {took:?}");
    assert!(took < SESSION / 2, "{took:?}");
    nodes.run_ready(4).await;
    let epoch = register_broker(&nodes, 4).await;
    assert!(epoch > epochs[3]);
    fenced(&nodes, 4, false).await;
    // The controller dies: the next one finds out about it.
    let leader = nodes.leader().await;
    nodes.kill(leader).await;
    let took = fenced(&nodes, leader, true).await;
    println!("a broker that led the quorum and died is fenced after {took:?}");
    assert!(took < SESSION / 2, "{took:?}");
    for (n, node) in nodes.all() {
        let age = node.session_age().unwrap();
        assert!(age < SESSION, "{n} is in session: {age:?}");
        fenced(&nodes, n, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_no_controller_renews_ages_and_is_young_again_when_there_is_one() {
    let mut nodes = Nodes::start(3, 3).await;
    for n in 1..=3 {
        register_broker(&nodes, n).await;
    }
    for n in 1..=3 {
        fenced(&nodes, n, false).await;
    }
    let is_over = |nodes: &Nodes, n| nodes.node(n).session_age().is_none_or(|age| age >= SESSION);
    eventually("all are in session", || (1..=3).all(|n| !is_over(&nodes, n)).then_some(())).await;
    nodes.kill(2).await;
    nodes.kill(3).await;
    // Also if it led the quorum: without a majority it is no controller, not even its own.
    eventually("the session ends", || is_over(&nodes, 1).then_some(())).await;
    nodes.run_ready(2).await;
    eventually("the session goes on", || (!is_over(&nodes, 1)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_fenced_in_error_is_unfenced_under_the_same_registration() {
    let nodes = Nodes::start(3, 3).await;
    let epoch = register_broker(&nodes, 2).await;
    fenced(&nodes, 2, false).await;
    let fence = ottla_coordination::metadata::FenceBroker { broker: BrokerId::new(2), epoch };
    let response = within(nodes.node(1).propose(Command::FenceBroker(fence))).await.unwrap();
    assert_eq!(response, Response::FenceBroker(Ok(())));
    fenced(&nodes, 2, false).await;
    assert_eq!(nodes.node(1).images().borrow().broker(BrokerId::new(2)).unwrap().epoch, epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_is_fenced_when_it_is_gone() {
    let mut nodes = Nodes::start(3, 4).await;
    let epoch = register_broker(&nodes, 4).await;
    fenced(&nodes, 4, false).await;
    announce(&nodes, 4, epoch, true);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!nodes.node(1).images().borrow().broker(BrokerId::new(4)).unwrap().fenced, "it still serves");
    nodes.kill(4).await;
    fenced(&nodes, 4, true).await;
}

/// Nobody registered it as a broker. Members that are brokers stay, however long they are away.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_is_gone_leaves_the_members_and_may_come_back() {
    let mut nodes = Nodes::start(3, 4).await;
    let leader = nodes.leader().await;
    let members = |nodes: &Nodes| nodes.node(leader).status().members.len();
    nodes.kill(4).await;
    assert_eq!(members(&nodes), 4, "it may be back in a moment");
    eventually("three members", || (members(&nodes) == 3).then_some(())).await;
    // Its own log says that it is one of four.
    nodes.run_ready(4).await;
    eventually("four members", || (members(&nodes) == 4).then_some(())).await;
    ok(nodes.node(4), set("g", 45_001)).await;
    nodes.converge().await;
}
