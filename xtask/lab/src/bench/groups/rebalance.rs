//! How long a group of 100 takes to rebalance, from the last join on.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Run;
use super::member::{self, ClassicMember, ConsumerMember};

const MEMBERS: usize = 100;
const TOPIC: &str = "shared";
/// Three for each member, so that one that comes takes from three others.
const PARTITIONS: i32 = 300;
const REBALANCES: usize = 20;
const MAX_ROUNDS: usize = 200;
/// `group.consumer.assignment.interval.ms`: a change sooner after another waits for it.
const ASSIGNMENT_INTERVAL: Duration = Duration::from_millis(1_000);

pub(super) fn run(run: &mut Run) -> anyhow::Result<()> {
    let broker = run.broker(&[
        ("group.consumer.session.timeout.ms", "60000"),
        // Time for all to be members of the first generation.
        ("group.initial.rebalance.delay.ms", "1000"),
    ]);
    broker.connect().create_topic(TOPIC, PARTITIONS, &[])?;
    member::await_coordinators(&broker, TOPIC)?;
    let rebalances = if run.quick { 3 } else { REBALANCES };

    let mut members: Vec<ClassicMember> =
        (0..MEMBERS).map(|_| ClassicMember::new(&broker, "classic", TOPIC)).collect();
    classic(&mut members, 1)?;
    let mut took = Vec::new();
    for generation in 0..rebalances {
        took.push(classic(&mut members, i32::try_from(generation)? + 2)?);
    }
    record(run, "classic rebalance", took);
    drop(members);

    let topic = member::topic_id(&broker, TOPIC)?;
    let mut members: Vec<ConsumerMember> = (0..MEMBERS)
        .map(|index| ConsumerMember::new(&broker, "consumer", &format!("member-{index}")))
        .collect();
    let (last, others) = members.split_last_mut().context("a group has members")?;
    for member in others.iter_mut() {
        member.send_join(TOPIC)?;
        member.heard()?;
    }
    let mut took = Vec::new();
    for _ in 0..rebalances {
        for turn in 0.. {
            ensure!(turn < MAX_ROUNDS, "the group has not settled");
            member::round(others.iter_mut())?;
            if member::is_settled(others.iter(), topic, PARTITIONS) {
                break;
            }
            thread::sleep(ASSIGNMENT_INTERVAL / 10);
        }
        thread::sleep(ASSIGNMENT_INTERVAL + ASSIGNMENT_INTERVAL / 10);
        let start = Instant::now();
        last.send_join(TOPIC)?;
        last.heard()?;
        for turn in 0.. {
            let all = || others.iter().chain([&*last]);
            if member::is_settled(all(), topic, PARTITIONS) {
                break;
            }
            ensure!(turn < MAX_ROUNDS, "the group has not settled");
            member::round(others.iter_mut().chain([&mut *last]))?;
        }
        took.push(start.elapsed());
        last.leave()?;
    }
    record(run, "consumer rebalance", took);
    Ok(())
}

/// All members join: the leader sets it off, the last lets it begin. From then to the last assignment.
fn classic(members: &mut [ClassicMember], generation: i32) -> anyhow::Result<Duration> {
    // A member of a stable group that joins again as it was is told the generation that stands, until the leader has joined.
    let leader = members.iter().position(|member| member.leads);
    members.swap(0, leader.unwrap_or(0));
    let (last, others) = members.split_last_mut().context("a group has members")?;
    let (first, others) = others.split_first_mut().context("a group has two members")?;
    first.send_join()?;
    if leader.is_some() {
        last.await_rebalance()?;
    }
    others.iter_mut().try_for_each(ClassicMember::send_join)?;
    let start = Instant::now();
    last.send_join()?;
    for member in members.iter_mut() {
        let joined = member.joined_then_send_sync(TOPIC)?;
        ensure!(joined == generation, "generation {joined}, not {generation}");
    }
    members.iter_mut().try_for_each(ClassicMember::synced)?;
    Ok(start.elapsed())
}

fn record(run: &mut Run, name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |index: usize| took.get(index).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let (median, slowest) = (ms(took.len() / 2), ms(took.len() - 1));
    run.record(&format!("{name} median"), "ms", median);
    run.record(&format!("{name} slowest"), "ms", slowest);
}
