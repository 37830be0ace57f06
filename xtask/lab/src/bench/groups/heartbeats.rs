//! What a heartbeat costs the broker, and a member its memory: 1,000 groups of five, of either protocol, on Kafka and on Ottla.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use it::broker::{Broker, Kind, cpu_of};
use it::raw::Connection;

use super::Run;
use super::member::{self, ClassicMember, ConsumerMember};

const GROUPS: usize = 1_000;
const MEMBERS: usize = 5;
const TOPIC: &str = "five";
/// Groups that are formed at the same time.
const AT_ONCE: usize = 200;
/// Kafka's clients send a heartbeat as often.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long the broker is watched at that pace.
const WATCHED: Duration = Duration::from_secs(30);
/// Heartbeats that are on their way together when the broker is to be kept busy.
const IN_FLIGHT: usize = 64;
/// Rounds of heartbeats within which groups of five have settled.
const MAX_ROUNDS: usize = 200;

pub(super) fn run(run: &mut Run) -> anyhow::Result<()> {
    let settings =
        [("group.initial.rebalance.delay.ms", "1000"), ("group.consumer.session.timeout.ms", "60000")];
    for (protocol, form) in [("classic", classic as Form), ("consumer", consumer)] {
        for (kind, of) in [(Kind::Kafka, "kafka "), (Kind::Ottla, "")] {
            let broker = run.broker_of(kind, &settings);
            broker.connect().create_topic(TOPIC, MEMBERS as i32, &[])?;
            member::await_coordinators(&broker, TOPIC)?;
            let groups = run.volume(GROUPS);
            let (connected, mut beating) = form(&broker, groups)?;
            // A JVM's heap was there before.
            if kind == Kind::Ottla {
                let each = (broker.rss_bytes() as f64 - connected as f64) / beating.len() as f64;
                run.record(&format!("{protocol} member memory"), "bytes", each.max(0.0));
            }

            let watched = if run.quick { WATCHED / 10 } else { WATCHED };
            let gap = INTERVAL.div_f64(beating.len() as f64);
            let count = (watched.as_secs_f64() / gap.as_secs_f64()) as usize;
            let paced = pace(&broker, &mut beating, gap, count)?;
            run.record(&format!("{of}{protocol} heartbeat paced cpu"), "µs", paced.cpu_us);
            run.record(&format!("{of}{protocol} heartbeat paced p50"), "ms", paced.percentile(0.5));
            run.record(&format!("{of}{protocol} heartbeat paced p99"), "ms", paced.percentile(0.99));
            let packed = press(&broker, &mut beating, run.volume(200_000))?;
            run.record(&format!("{of}{protocol} heartbeat packed cpu"), "µs", packed);
        }
    }
    Ok(())
}

/// Forms groups; the broker's memory once all members were connected, before they joined.
type Form = fn(&Broker, usize) -> anyhow::Result<(u64, Vec<Beating>)>;

/// A member that has nothing to do but to say that it lives.
struct Beating {
    connection: Connection,
    frame: Vec<u8>,
    /// Where the error code lies in the answer.
    error_at: usize,
}

impl Beating {
    fn send(&mut self) -> anyhow::Result<()> {
        Ok(self.connection.stream.write_all(&self.frame)?)
    }

    fn heard(&mut self) -> anyhow::Result<()> {
        let answer = self.connection.receive()?;
        let code = answer.get(self.error_at..self.error_at + 2).context("a whole answer")?;
        ensure!(code == [0, 0], "a heartbeat: error {code:?}");
        Ok(())
    }
}

fn classic(broker: &Broker, groups: usize) -> anyhow::Result<(u64, Vec<Beating>)> {
    let mut members: Vec<ClassicMember> = (0..groups * MEMBERS)
        .map(|index| ClassicMember::new(broker, &format!("group-{}", index / MEMBERS), TOPIC))
        .collect();
    let connected = broker.rss_bytes();
    for together in members.chunks_mut(AT_ONCE * MEMBERS) {
        together.iter_mut().try_for_each(ClassicMember::send_join)?;
        let generations = together
            .iter_mut()
            .map(|member| member.joined_then_send_sync(TOPIC))
            .collect::<anyhow::Result<Vec<i32>>>()?;
        ensure!(generations.iter().all(|generation| *generation == 1), "a member came too late to join");
        together.iter_mut().try_for_each(ClassicMember::synced)?;
    }
    let beating = members.into_iter().map(|member| {
        // Correlation id and throttle time lie before it.
        Ok(Beating { frame: member.heartbeat()?, connection: member.connection, error_at: 8 })
    });
    Ok((connected, beating.collect::<anyhow::Result<_>>()?))
}

fn consumer(broker: &Broker, groups: usize) -> anyhow::Result<(u64, Vec<Beating>)> {
    let topic = member::topic_id(broker, TOPIC)?;
    let mut members: Vec<ConsumerMember> = (0..groups * MEMBERS)
        .map(|index| {
            let group = format!("group-{}", index / MEMBERS);
            ConsumerMember::new(broker, &group, &format!("member-{index}-of-a-group-of-five"))
        })
        .collect();
    let connected = broker.rss_bytes();
    for together in members.chunks_mut(AT_ONCE * MEMBERS) {
        together.iter_mut().try_for_each(|member| member.send_join(TOPIC))?;
        together.iter_mut().try_for_each(ConsumerMember::heard)?;
    }
    for turn in 0.. {
        let open = members
            .chunks_mut(MEMBERS)
            .filter(|group| !member::is_settled(group.iter(), topic, MEMBERS as i32))
            .flatten();
        let mut open: Vec<&mut ConsumerMember> = open.collect();
        if open.is_empty() {
            break;
        }
        ensure!(turn < MAX_ROUNDS, "{} members have not settled", open.len());
        open.chunks_mut(AT_ONCE * MEMBERS)
            .try_for_each(|together| member::round(together.iter_mut().map(|member| &mut **member)))?;
        thread::sleep(Duration::from_millis(50));
    }
    let beating = members.into_iter().map(|member| {
        // Correlation id, tags and throttle time lie before it.
        Ok(Beating { frame: member.heartbeat()?, connection: member.connection, error_at: 9 })
    });
    Ok((connected, beating.collect::<anyhow::Result<_>>()?))
}

/// What heartbeats cost at a steady pace.
struct Paced {
    cpu_us: f64,
    /// From the moment each was due, sorted.
    latencies: Vec<Duration>,
}

impl Paced {
    fn percentile(&self, fraction: f64) -> f64 {
        let index = (self.latencies.len() as f64 * fraction) as usize;
        self.latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// All members in turn, each once an interval: what a broker with so many members sees all day.
fn pace(broker: &Broker, members: &mut [Beating], gap: Duration, count: usize) -> anyhow::Result<Paced> {
    let before = cpu_of(broker.pid())?;
    let mut latencies = Vec::with_capacity(count);
    let mut due = Instant::now();
    for index in order(members.len()).take(count) {
        due += gap;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        members[index].send()?;
        members[index].heard()?;
        latencies.push(due.elapsed());
    }
    let cpu = cpu_of(broker.pid())?.saturating_sub(before);
    latencies.sort_unstable();
    Ok(Paced { cpu_us: cpu.as_secs_f64() * 1e6 / count as f64, latencies })
}

/// As many as the broker can answer: CPU each, in microseconds.
fn press(broker: &Broker, members: &mut [Beating], count: usize) -> anyhow::Result<f64> {
    let before = cpu_of(broker.pid())?;
    let order: Vec<usize> = order(members.len()).take(count).collect();
    for together in order.chunks(IN_FLIGHT) {
        together.iter().try_for_each(|index| members[*index].send())?;
        together.iter().try_for_each(|index| members[*index].heard())?;
    }
    Ok(cpu_of(broker.pid())?.saturating_sub(before).as_secs_f64() * 1e6 / count as f64)
}

/// Every member once a cycle, neighbours of a group far apart; the pace of a cycle is each member's.
fn order(members: usize) -> impl Iterator<Item = usize> {
    let groups = (members / MEMBERS).max(1);
    (0..members).cycle().map(move |turn| (turn % groups) * MEMBERS + turn / groups)
}
