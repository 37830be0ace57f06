//! Three brokers that are one cluster: what is acknowledged survives each of them.

use std::time::{Duration, Instant};

use anyhow::Context;
use it::broker::Kind as BrokerKind;
use it::cluster::{Cluster, PartitionView, Plan};
use it::history::{Stored, Violation, check};
use it::raw::{self, api, error};
use it::small_disk::SmallDisk;
use it::tools::{self, Tool};
use it::wait;
use it::writer::{Library, Writer};

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 3;
/// Records of each partition between two steps of a story.
const SOME: usize = 50;
/// What a story waits for records to go on after a fault.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);

/// Nobody waits for a leader to be missed: leaderships move before a broker stops. Far above what it takes, for a busy machine.
const RESTART_PAUSE: Duration = Duration::from_millis(1_500);

/// Two seconds until a publisher takes a broker for gone, some for the next leader, and as much again for a busy machine.
const SILENCE_BORNE: Duration = Duration::from_secs(8);

/// The disk that is filled, what is left of it then, and what the broker keeps in reserve.
const DISK: u64 = 256 << 20;
const LEFT: u64 = 256 << 10;
const RESERVE: u64 = 8 << 20;
/// A full disk is noticed within half a second. Far above what follows, for a busy machine; a follower that lags is waited for longer.
const FULL_DISK_BORNE: Duration = Duration::from_secs(6);
/// A session of 1.5 s, a second without followers, and as much again for a busy machine.
const CUT_BORNE: Duration = Duration::from_secs(6);

/// Two writers on a fresh topic of a fresh cluster.
struct Story {
    cluster: Cluster,
    writers: Vec<Writer>,
}

impl Story {
    /// `None` after a loud skip.
    fn begin() -> Option<Self> {
        if !tools::require(&[Tool::Python]) {
            return None;
        }
        Some(Self::on(Plan::under_test(3).start(), &[]))
    }

    fn on(cluster: Cluster, configs: &[(&str, &str)]) -> Self {
        cluster.create_topic(TOPIC, PARTITIONS, configs);
        let start = |name| Writer::start(&cluster.bootstrap(), TOPIC, name, PARTITIONS, 300);
        let writers = ["a", "b"].map(start).into();
        let mut story = Self { cluster, writers };
        story.go_on();
        story
    }

    /// Waits until every partition has taken more records of every writer.
    fn go_on(&mut self) {
        for writer in &mut self.writers {
            writer.wait_progress(SOME, RECOVERED_WITHIN).unwrap();
        }
    }

    fn longest_gap(&self, from: Instant) -> Duration {
        self.writers.iter().map(|writer| writer.longest_gap(from)).max().unwrap_or_default()
    }

    /// Every record once, in order, and no write that was not acknowledged in the end.
    fn end(self) {
        let writes: Vec<_> = self.writers.into_iter().map(|writer| writer.finish().unwrap()).collect();
        self.cluster.wait_in_sync(TOPIC);
        let mut stored = Stored::default();
        for partition in 0..PARTITIONS {
            stored.add(partition, &self.cluster.read_all(TOPIC, partition));
        }
        let violations: Vec<String> =
            check(&writes, &stored, PARTITIONS).iter().map(Violation::to_string).collect();
        assert!(violations.is_empty(), "{}", violations.join("\n"));
        for writes in &writes {
            assert_eq!(writes.acknowledged.len() as u64, writes.sent, "writer {}", writes.name);
        }
        eprintln!("{} records", stored.count());
    }
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back() {
    let Some(mut story) = Story::begin() else { return };
    let leader = story.cluster.leader(TOPIC, 0);
    let killed = Instant::now();
    story.cluster.kill(leader);
    story.go_on();
    eprintln!("outage {:?}", story.longest_gap(killed));
    assert_ne!(story.cluster.leader(TOPIC, 0), leader);
    story.cluster.restart(leader);
    story.cluster.wait_in_sync(TOPIC);
    story.go_on();
    story.end();
}

#[test]
fn two_of_three_are_killed_and_then_all_three() {
    let Some(mut story) = Story::begin() else { return };
    story.cluster.kill(1);
    story.cluster.kill(2);
    story.cluster.restart_all(&[1, 2]);
    story.go_on();
    for id in [1, 2, 3] {
        story.cluster.kill(id);
    }
    story.cluster.restart_all(&[1, 2, 3]);
    story.go_on();
    story.end();
}

#[test]
fn a_broker_that_lost_its_disk_is_filled_again() {
    let Some(mut story) = Story::begin() else { return };
    let leader = story.cluster.leader(TOPIC, 1);
    story.cluster.kill(leader);
    story.cluster.wipe(leader);
    story.go_on();
    story.cluster.restart(leader);
    story.cluster.wait_in_sync(TOPIC);
    story.go_on();
    // The others can go now: what the refilled one has is everything.
    let other = story.cluster.ids().into_iter().find(|id| *id != leader).unwrap();
    story.cluster.kill(other);
    story.go_on();
    story.cluster.restart(other);
    story.end();
}

#[test]
fn a_silent_leader_is_replaced_and_speaks_again() {
    let Some(mut story) = Story::begin() else { return };
    let leader = story.cluster.leader(TOPIC, 2);
    let frozen = Instant::now();
    story.cluster.freeze(leader);
    story.go_on();
    eprintln!("outage {:?}", story.longest_gap(frozen));
    story.cluster.thaw(leader);
    story.cluster.wait_in_sync(TOPIC);
    story.go_on();
    story.end();
}

/// A connection over which nothing comes is given up by its pings after 15 s. A publisher that waits for an answer does not wait so long.
#[test]
fn a_rust_publisher_leaves_a_broker_that_falls_silent() {
    let cluster = Plan::under_test(3).start();
    cluster.create_topic(TOPIC, PARTITIONS, &[]);
    let bootstrap = cluster.api_bootstrap();
    let mut writer = Writer::start_of(Library::Rust, &bootstrap, TOPIC, "a", PARTITIONS, 300);
    writer.wait_progress(SOME, RECOVERED_WITHIN).unwrap();
    let mut story = Story { cluster, writers: vec![writer] };
    // The one that it is connected to, and that leads a partition.
    let frozen = Instant::now();
    story.cluster.freeze(1);
    story.go_on();
    let outage = story.longest_gap(frozen);
    eprintln!("outage {outage:?}");
    assert!(outage < SILENCE_BORNE, "the publisher waited {outage:?}");
    story.cluster.thaw(1);
    story.cluster.wait_in_sync(TOPIC);
    story.end();
}

#[test]
fn others_lead_while_a_disk_is_full() {
    if BrokerKind::under_test() == BrokerKind::Kafka {
        return tools::note("Kafka takes the directory offline and ends");
    }
    if !tools::require(&[Tool::Python]) {
        return;
    }
    let Some(disk) = SmallDisk::mount(DISK) else { return };
    let mut plan = Plan::under_test(3).set("ottla.disk.reserve.bytes", RESERVE);
    plan.data_dirs = vec![(3, disk.path().join("data"))];
    let mut story = Story::on(plan.start(), &[]);
    ["disk", "space"].iter().for_each(|text| story.cluster.expect_log(text));
    let full = Instant::now();
    disk.fill(LEFT).unwrap();
    let moved = wait::until("others to lead and to be in sync", RECOVERED_WITHIN, || {
        let view = story.cluster.view(Some(TOPIC))?;
        let without = |one: &PartitionView| one.leader.is_some_and(|id| id != 3) && !one.in_sync.contains(&3);
        Ok(view.partitions.iter().all(without).then_some(()))
    });
    moved.unwrap();
    story.go_on();
    let outage = story.longest_gap(full);
    eprintln!("outage {outage:?}");
    assert!(outage < FULL_DISK_BORNE, "somebody waited {outage:?}");
    disk.free().unwrap();
    story.cluster.wait_in_sync(TOPIC);
    story.go_on();
    story.end();
}

#[test]
fn a_leader_that_is_cut_off_from_the_others_sends_its_producers_away() {
    if !tools::require(&[Tool::Python]) {
        return;
    }
    let cluster = match Plan::under_test(3).own_network().try_start() {
        Ok(cluster) => cluster,
        Err(error) => return tools::skip(&format!("{error:#}")),
    };
    let mut story = Story::on(cluster, &[]);
    story.cluster.expect_log("this broker is lost: its leaderships move");
    let leader = story.cluster.leader(TOPIC, 0);
    let cut = Instant::now();
    story.cluster.network().isolate(leader, false).unwrap();
    story.go_on();
    let outage = story.longest_gap(cut);
    eprintln!("outage {outage:?}");
    story.cluster.network().isolate(leader, true).unwrap();
    if BrokerKind::under_test() == BrokerKind::Ottla {
        assert!(outage < CUT_BORNE, "somebody waited {outage:?}");
    }
    story.cluster.wait_in_sync(TOPIC);
    story.go_on();
    story.end();
}

#[test]
fn a_rolling_restart_stops_nobody() {
    let Some(mut story) = Story::begin() else { return };
    let began = Instant::now();
    for id in story.cluster.ids() {
        assert!(story.cluster.terminate(id).success());
        story.go_on();
        story.cluster.restart(id);
        story.cluster.wait_in_sync(TOPIC);
    }
    let pause = story.longest_gap(began);
    eprintln!("longest pause {pause:?}");
    assert!(pause < RESTART_PAUSE, "somebody waited {pause:?}");
    story.end();
}

/// Whoever votes on metadata is no broker, and no broker votes.
#[test]
fn the_active_of_three_controllers_is_killed_under_two_brokers() {
    if !tools::require(&[Tool::Python]) {
        return;
    }
    let plan = Plan { controllers: 3, ..Plan::under_test(2) };
    // One of the two brokers may be lost.
    let mut story = Story::on(plan.start(), &[("min.insync.replicas", "1")]);
    let controllers = story.cluster.controller_ids();
    let active = story.cluster.quorum_leader();
    assert!(controllers.contains(&active), "{active} leads the quorum");
    let killed = Instant::now();
    story.cluster.kill(active);
    story.go_on();
    // It takes another one to create a topic.
    story.cluster.create_topic("more", 1, &[]);
    let next = story.cluster.quorum_leader();
    assert!(next != active && controllers.contains(&next), "{next} leads the quorum");
    eprintln!("another controller after {:?} at most", killed.elapsed());
    let pause = story.longest_gap(killed);
    eprintln!("longest pause {pause:?}");
    assert!(pause < RESTART_PAUSE, "records waited {pause:?} for a controller");

    // Nobody is as well informed as the one that has just begun: it replaces a leader.
    let leader = story.cluster.leader(TOPIC, 0);
    let killed = Instant::now();
    story.cluster.kill(leader);
    story.go_on();
    eprintln!("outage {:?}", story.longest_gap(killed));
    story.cluster.restart(leader);
    story.cluster.restart(active);
    story.cluster.wait_in_sync(TOPIC);

    let began = Instant::now();
    for id in controllers {
        let status = story.cluster.terminate(id);
        assert!(status.success() || story.cluster.kind() == BrokerKind::Kafka, "{status}");
        story.cluster.restart(id);
        story.go_on();
    }
    let pause = story.longest_gap(began);
    assert!(pause < RESTART_PAUSE, "somebody waited {pause:?} while controllers were restarted");
    story.end();
}

#[test]
fn a_leader_that_came_back_leads_again_by_itself() {
    let mut cluster = Plan::under_test(3).set("leader.imbalance.check.interval.seconds", 1).start();
    cluster.create_topic(TOPIC, PARTITIONS, &[]);
    let leads_all_it_should = |cluster: &Cluster| {
        let view = cluster.view(Some(TOPIC))?;
        let led = |partition: &PartitionView| partition.leader == partition.replicas.first().copied();
        Ok((view.partitions.len() == 3 && view.partitions.iter().all(led)).then_some(()))
    };
    let home = |cluster: &Cluster| {
        wait::until("the preferred leaders", RECOVERED_WITHIN, || leads_all_it_should(cluster)).unwrap();
    };
    home(&cluster);
    let leader = cluster.leader(TOPIC, 0);
    cluster.kill(leader);
    cluster.wait_led(TOPIC);
    assert_ne!(cluster.leader(TOPIC, 0), leader);
    cluster.restart(leader);
    home(&cluster);
    assert_eq!(cluster.leader(TOPIC, 0), leader);
    cluster.wait_in_sync(TOPIC);
}

#[test]
fn a_coordinator_that_reaches_no_controller_says_so_and_coordinates_again_afterwards() {
    const GROUP: &str = "g";
    const NOT_COORDINATOR: i16 = 16;
    let mut cluster = Plan::under_test(3).start();
    cluster.create_topic(TOPIC, 1, &[]);
    let coordinator = cluster.coordinator(GROUP);
    cluster.wait_in_sync("__consumer_offsets");
    let others: Vec<i32> = cluster.ids().into_iter().filter(|id| *id != coordinator).collect();
    let mut connection = cluster.broker(coordinator).connect();
    connection.committed(GROUP, TOPIC, 1).unwrap();
    // Its own vote is no majority.
    others.iter().for_each(|id| cluster.freeze(*id));
    let body =
        raw::Writer::default().string(GROUP).i32(1).string(TOPIC).array(&[0], |writer, p| writer.i32(*p));
    let ask = |connection: &mut raw::Connection| {
        let answer = connection.call(api::OFFSET_FETCH, 2, &body.0)?;
        // The error stands at the end of version 2.
        answer.last_chunk().copied().map(i16::from_be_bytes).context("an error code")
    };
    let told = wait::until("another answer", RECOVERED_WITHIN, || {
        Ok(Some(ask(&mut connection)?).filter(|code| *code != error::NONE))
    });
    assert_eq!(told.unwrap(), NOT_COORDINATOR);
    others.iter().for_each(|id| cluster.thaw(*id));
    let again = wait::until("a coordinator that answers", RECOVERED_WITHIN, || {
        // It may be another one by now.
        let code = ask(&mut cluster.broker(cluster.coordinator(GROUP)).connect())?;
        Ok((code == error::NONE).then_some(()))
    });
    again.unwrap();
}
