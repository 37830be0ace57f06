//! A client that costs almost nothing: it replays ready-made requests over blocking sockets, from one thread.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use it::batch::{Batch, extents};
use it::broker::{Broker, cpu_of};
use it::cluster::Cluster;
use it::raw::{Connection, api, error, fetch_body, fetched_slices, frame, produce_body, produced};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const BATCH_BYTES: usize = 65_536;
const RECORD_BYTES: usize = 1_000;
const SINGLE_RECORD_BYTES: usize = 100;
/// Kafka's clients keep as many unanswered produce requests.
const PIPELINE: usize = 5;
const FETCH_PARTITION_BYTES: i32 = 1 << 20;
const FETCH_WAIT_MS: i32 = 500;

/// What a load cost.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Bytes of record batches acknowledged or read.
    pub(crate) bytes: u64,
    /// Wall time.
    pub(crate) elapsed: Duration,
    /// The broker's CPU time.
    pub(crate) cpu: Duration,
    /// Of each request, sorted; from the moment it was due where there is a rate, so that a stall is not left out.
    pub(crate) latencies: Vec<Duration>,
}

impl Outcome {
    /// The latency that this fraction of the requests did not exceed.
    pub(crate) fn percentile(&self, fraction: f64) -> Duration {
        let index = (self.latencies.len() as f64 * fraction) as usize;
        self.latencies.get(index).or(self.latencies.last()).copied().unwrap_or_default()
    }
}

/// Loads one topic of a broker, or of a cluster.
#[derive(Debug)]
pub(crate) struct Load {
    /// The broker that is asked for metadata, and for everything where there is one broker only.
    address: String,
    /// Whose CPU time counts.
    pids: Vec<u32>,
    topic: String,
}

impl Load {
    /// For an existing topic.
    pub(crate) fn new(broker: &Broker, topic: &str) -> Self {
        Self { address: broker.address(), pids: vec![broker.pid()], topic: topic.to_owned() }
    }

    /// For an existing topic of a cluster, of whose brokers one may be down. Of the loads only those to leaders are for this.
    pub(crate) fn of_cluster(cluster: &mut Cluster, topic: &str) -> Self {
        let running: Vec<i32> = cluster.ids().into_iter().filter(|id| cluster.is_running(*id)).collect();
        let brokers: Vec<&Broker> = running.into_iter().map(|id| cluster.broker(id)).collect();
        Self {
            address: brokers.first().map(|broker| broker.address()).unwrap_or_default(),
            pids: brokers.into_iter().map(Broker::pid).collect(),
            topic: topic.to_owned(),
        }
    }

    /// Requests of one 64 KiB batch for every partition, acks=all, on one connection; at a steady rate in MB/s if given.
    pub(crate) fn produce(&self, bytes: u64, rate: Option<f64>) -> anyhow::Result<Outcome> {
        let batch = Batch::of_size(BATCH_BYTES, RECORD_BYTES).bytes();
        let partitions = self.partitions()?;
        let payload = (batch.len() * partitions.len()) as u64;
        let request = frame(api::PRODUCE, 8, 7, &produce_body(&self.topic, &partitions, -1, &batch));
        let gap = rate.map(|rate| Duration::from_secs_f64(payload as f64 / (rate * 1e6)));
        let lanes = self.lanes(1, &[request]);
        self.replay(&Plan { lanes, payload, count: bytes.div_ceil(payload), pipeline: PIPELINE, gap })
    }

    /// Requests of one 64 KiB batch for one partition, acks=all, to the leaders of all partitions in turn, on a connection for each partition;
    /// at a steady rate in MB/s if given.
    pub(crate) fn produce_to_leaders(
        &self,
        cluster: &Cluster,
        bytes: u64,
        rate: Option<f64>,
    ) -> anyhow::Result<Outcome> {
        let batch = Batch::of_size(BATCH_BYTES, RECORD_BYTES).bytes();
        let payload = batch.len() as u64;
        let lane = |partition| LanePlan {
            address: cluster.broker(cluster.leader(&self.topic, partition)).address(),
            requests: vec![frame(api::PRODUCE, 8, 7, &produce_body(&self.topic, &[partition], -1, &batch))],
        };
        let lanes = self.partitions()?.into_iter().map(lane).collect();
        let gap = rate.map(|rate| Duration::from_secs_f64(payload as f64 / (rate * 1e6)));
        self.replay(&Plan { lanes, payload, count: bytes.div_ceil(payload), pipeline: PIPELINE, gap })
    }

    /// Requests of one 100-byte record, acks=all, so many a second, to the leaders in turn on a connection each, and there to so many of their
    /// partitions in turn.
    pub(crate) fn single_records_to_leaders(
        &self,
        cluster: &Cluster,
        partitions: usize,
        count: u64,
        per_second: f64,
    ) -> anyhow::Result<Outcome> {
        let batch = Batch::of_size(1, SINGLE_RECORD_BYTES).bytes();
        let leaders = Connection::open(&self.address)?.leaders(&self.topic)?;
        let lane = |leader| {
            let led = (0..).zip(&leaders).filter(|(_, its)| **its == leader);
            let request = |(partition, _)| {
                frame(api::PRODUCE, 8, 7, &produce_body(&self.topic, &[partition], -1, &batch))
            };
            let requests = led.map(request).take(partitions).collect();
            LanePlan { address: cluster.broker(leader).address(), requests }
        };
        let lanes = cluster.ids().into_iter().filter(|id| leaders.contains(id)).map(lane).collect();
        let gap = Some(Duration::from_secs_f64(1.0 / per_second));
        self.replay(&Plan { lanes, payload: batch.len() as u64, count, pipeline: PIPELINE, gap })
    }

    /// Requests of one 100-byte record, acks=all, one unanswered at a time on each connection, over the partitions in turn.
    pub(crate) fn single_records(&self, count: u64, connections: usize) -> anyhow::Result<Outcome> {
        let batch = Batch::of_size(1, SINGLE_RECORD_BYTES).bytes();
        let request = |partition: &i32| {
            frame(api::PRODUCE, 8, 7, &produce_body(&self.topic, &[*partition], -1, &batch))
        };
        let requests: Vec<_> = self.partitions()?.iter().map(request).collect();
        let lanes = self.lanes(connections, &requests);
        self.replay(&Plan { lanes, payload: batch.len() as u64, count, pipeline: 1, gap: None })
    }

    /// Requests of one batch each, used in turn, to the first partition, acks=all, on one connection.
    pub(crate) fn replay_batches(&self, batches: &[Vec<u8>], count: u64) -> anyhow::Result<Outcome> {
        let request =
            |batch: &Vec<u8>| frame(api::PRODUCE, 8, 7, &produce_body(&self.topic, &[0], -1, batch));
        let payload = batches.first().context("a batch")?.len() as u64;
        let requests: Vec<_> = batches.iter().map(request).collect();
        let lanes = self.lanes(1, &requests);
        self.replay(&Plan { lanes, payload, count, pipeline: PIPELINE, gap: None })
    }

    /// So many connections to the one broker.
    fn lanes(&self, connections: usize, requests: &[Vec<u8>]) -> Vec<LanePlan> {
        let lane = || LanePlan { address: self.address.clone(), requests: requests.to_vec() };
        std::iter::repeat_with(lane).take(connections).collect()
    }

    /// Reads at least as many bytes from the start of all partitions, on one connection.
    pub(crate) fn fetch(&self, bytes: u64) -> anyhow::Result<Outcome> {
        let mut positions: Vec<(i32, i64)> =
            self.partitions()?.into_iter().map(|partition| (partition, 0)).collect();
        let mut connection = Connection::open(&self.address)?;
        let mut answer = Vec::new();
        let mut outcome = self.begin()?;
        let start = Instant::now();
        while outcome.bytes < bytes {
            let asked = Instant::now();
            let body = fetch_body(&self.topic, &positions, FETCH_WAIT_MS, FETCH_PARTITION_BYTES);
            connection.stream.write_all(&frame(api::FETCH, 11, 9, &body))?;
            read_frame(&mut connection, &mut answer)?;
            let before = outcome.bytes;
            for (head, records) in fetched_slices(answer.get(4..).context("a whole answer")?)? {
                ensure!(head.error == error::NONE, "fetch: error {}", head.error);
                let position = positions.iter_mut().find(|(partition, _)| *partition == head.partition);
                let position = position.context("a partition we asked for")?;
                outcome.bytes += records.len() as u64;
                position.1 = extents(records).last().map_or(position.1, |(_, last, _)| last + 1);
            }
            outcome.latencies.push(asked.elapsed());
            ensure!(outcome.bytes > before, "{} has only {} bytes", self.topic, outcome.bytes);
        }
        outcome.elapsed = start.elapsed();
        self.finish(outcome)
    }

    fn partitions(&self) -> anyhow::Result<Vec<i32>> {
        let leaders = Connection::open(&self.address)?.leaders(&self.topic)?;
        Ok((0..i32::try_from(leaders.len())?).collect())
    }

    fn replay(&self, plan: &Plan) -> anyhow::Result<Outcome> {
        let mut lanes = plan.lanes.iter().map(Lane::open).collect::<anyhow::Result<Vec<_>>>()?;
        let mut outcome = self.begin()?;
        let start = Instant::now();
        let mut due = start;
        let mut sent = 0;
        let mut answered = 0;
        while answered < plan.count {
            if let Some(gap) = plan.gap {
                // In turn: one that cannot take any more holds up the others, and their latency tells.
                while sent < plan.count && Instant::now() >= due {
                    let turn = sent as usize % lanes.len();
                    if lanes[turn].unanswered.len() == plan.pipeline {
                        break;
                    }
                    lanes[turn].send(&plan.lanes[turn], due)?;
                    sent += 1;
                    due += gap;
                }
            } else {
                for (lane, its_plan) in lanes.iter_mut().zip(&plan.lanes) {
                    while sent < plan.count && lane.unanswered.len() < plan.pipeline {
                        lane.send(its_plan, Instant::now())?;
                        sent += 1;
                    }
                }
            }
            let patience = match plan.gap {
                Some(_) if sent < plan.count => due.saturating_duration_since(Instant::now()),
                _ => Duration::from_secs(30),
            };
            for index in readable(&lanes, patience)? {
                let lane = &mut lanes[index];
                read_frame(&mut lane.connection, &mut lane.answer)?;
                let answer = lane.answer.get(4..).context("a whole answer")?;
                ensure!(
                    produced(answer)?.iter().all(|(code, _)| *code == error::NONE),
                    "produce: {:?}",
                    produced(answer)?
                );
                let asked = lane.unanswered.pop_front().context("an answer to a request")?;
                outcome.latencies.push(asked.elapsed());
                answered += 1;
            }
        }
        outcome.elapsed = start.elapsed();
        outcome.bytes = answered * plan.payload;
        self.finish(outcome)
    }

    fn begin(&self) -> anyhow::Result<Outcome> {
        Ok(Outcome { bytes: 0, elapsed: Duration::ZERO, cpu: self.cpu()?, latencies: Vec::new() })
    }

    /// Of all brokers together.
    fn cpu(&self) -> anyhow::Result<Duration> {
        self.pids.iter().map(|pid| cpu_of(*pid)).sum()
    }

    fn finish(&self, mut outcome: Outcome) -> anyhow::Result<Outcome> {
        outcome.cpu = self.cpu()?.saturating_sub(outcome.cpu);
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }
}

struct Plan {
    lanes: Vec<LanePlan>,
    /// Bytes of record batches in each request, or in the first where they differ by a few.
    payload: u64,
    count: u64,
    /// Unanswered requests a connection may have.
    pipeline: usize,
    /// Time between requests; as fast as they are answered when `None`.
    gap: Option<Duration>,
}

/// One connection.
struct LanePlan {
    address: String,
    /// Whole frames, used in turn.
    requests: Vec<Vec<u8>>,
}

struct Lane {
    connection: Connection,
    unanswered: VecDeque<Instant>,
    sent: usize,
    answer: Vec<u8>,
}

impl Lane {
    fn open(plan: &LanePlan) -> anyhow::Result<Self> {
        let connection = Connection::open(&plan.address)?;
        Ok(Self { connection, unanswered: VecDeque::new(), sent: 0, answer: Vec::new() })
    }

    /// Sends the next request, whose latency counts from this moment.
    fn send(&mut self, plan: &LanePlan, from: Instant) -> anyhow::Result<()> {
        self.unanswered.push_back(from);
        self.connection.stream.write_all(&plan.requests[self.sent % plan.requests.len()])?;
        self.sent += 1;
        Ok(())
    }
}

/// The lanes with unanswered requests that have something to read, after waiting for the first.
fn readable(lanes: &[Lane], patience: Duration) -> anyhow::Result<Vec<usize>> {
    let waiting: Vec<usize> = (0..lanes.len()).filter(|index| !lanes[*index].unanswered.is_empty()).collect();
    let mut descriptors: Vec<PollFd<'_>> =
        waiting.iter().map(|index| PollFd::new(&lanes[*index].connection.stream, PollFlags::IN)).collect();
    poll(&mut descriptors, Some(&Timespec::try_from(patience)?))?;
    let ready = waiting.iter().zip(&descriptors).filter(|(_, descriptor)| !descriptor.revents().is_empty());
    Ok(ready.map(|(index, _)| *index).collect())
}

/// Reads one frame without its length into a buffer that is kept.
fn read_frame(connection: &mut Connection, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut length = [0; 4];
    connection.stream.read_exact(&mut length)?;
    answer.resize(usize::try_from(i32::from_be_bytes(length))?, 0);
    connection.stream.read_exact(answer)?;
    Ok(())
}
