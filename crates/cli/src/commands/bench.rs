//! `ottla bench`: what this machine, this network and this cluster give to a client.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use ottla_client::{ByteSize, Client, Event, NewTopic, Producer, ProducerRecord, Sent, Start, Timestamp};
use serde_json::json;
use tokio::sync::mpsc;

use crate::commands::produce::Compression;
use crate::commands::topic::bounds;
use crate::failure::Failure;
use crate::online::{BrokerArguments, failed};
use crate::output::{Output, OutputArguments, Progress};

/// `ottla bench`, with what it asks.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    broker: BrokerArguments,
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Publishes random records as fast as it can, or at a steady rate, and tells how long acknowledgements took.
    Produce(ProduceLoad),
    /// Reads a topic from its start as fast as it can.
    Consume(ConsumeLoad),
    /// Publishes one record at a time and reads it back: how long that takes from end to end.
    Latency(LatencyLoad),
}

/// Which topic, and how the result is written.
#[derive(Debug, Args)]
struct Common {
    /// The topic; it is created with --partitions if it is missing.
    #[arg(long, short, default_value = "ottla-bench")]
    topic: String,
    /// Partitions of a topic that is missing.
    #[arg(long, short, value_name = "N", default_value_t = 6)]
    partitions: i32,
    #[command(flatten)]
    form: OutputArguments,
}

#[derive(Debug, Args)]
struct ProduceLoad {
    #[command(flatten)]
    common: Common,
    /// Records to publish.
    #[arg(long, short = 'n', default_value_t = 1_000_000)]
    records: u64,
    /// Bytes of each value.
    #[arg(long, short, default_value_t = 1_000)]
    size: usize,
    /// Records a second; without it, as many as go.
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// How batches are compressed. The values are random and compress badly.
    #[arg(long, short = 'z', value_enum, default_value_t)]
    compression: Compression,
    /// How long a batch waits to fill.
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = humantime::parse_duration)]
    linger: Duration,
}

#[derive(Debug, Args)]
struct ConsumeLoad {
    #[command(flatten)]
    common: Common,
    /// Ends after so many records; without it, at the end of the topic.
    #[arg(long, short = 'n')]
    records: Option<u64>,
}

#[derive(Debug, Args)]
struct LatencyLoad {
    #[command(flatten)]
    common: Common,
    /// Records, one after the other.
    #[arg(long, short = 'n', default_value_t = 10_000)]
    records: u64,
    /// Bytes of each value.
    #[arg(long, short, default_value_t = 100)]
    size: usize,
}

impl Bench {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        self.broker.run(async |client: Client| {
            let common = match &self.command {
                BenchCommand::Produce(load) => &load.common,
                BenchCommand::Consume(load) => &load.common,
                BenchCommand::Latency(load) => &load.common,
            };
            output.set_form(common.form.form());
            let report = match &self.command {
                BenchCommand::Produce(load) => load.run(&client).await?,
                BenchCommand::Consume(load) => load.run(&client).await?,
                BenchCommand::Latency(load) => load.run(&client).await?,
            };
            report.write(output)
        })
    }
}

impl Common {
    async fn create_topic(&self, client: &Client) -> Result<(), Failure> {
        match client.admin().create_topic(NewTopic::named(&self.topic).partitions(self.partitions)).await {
            Err(error) if error.kafka_name() != Some("TOPIC_ALREADY_EXISTS") => {
                Err(failed(format_args!("cannot create {}", self.topic), &error))
            }
            _ => Ok(()),
        }
    }

    fn cannot(&self, what: &str) -> impl Fn(ottla_client::Error) -> Failure + Copy {
        move |error| failed(format_args!("cannot {what} {}", self.topic), &error)
    }
}

/// What a load came to.
struct Report {
    what: &'static str,
    records: u64,
    bytes: u64,
    took: Duration,
    /// Sorted; empty where none were measured.
    latencies: Vec<Duration>,
}

impl Report {
    fn write(mut self, output: &mut Output<'_>) -> Result<(), Failure> {
        self.latencies.sort_unstable();
        let seconds = self.took.as_secs_f64().max(1e-9);
        let (per_second, megabytes) = (self.records as f64 / seconds, self.bytes as f64 / seconds / 1e6);
        let percentiles = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
            .map(|(name, share)| (name, percentile(&self.latencies, share)));
        if output.is_json() {
            let mut report = json!({
                "bench": self.what, "records": self.records, "bytes": self.bytes, "seconds": seconds,
                "records_per_second": per_second, "megabytes_per_second": megabytes,
            });
            if let Some(report) = report.as_object_mut() {
                for (name, latency) in percentiles {
                    let millis = latency.map(|latency| latency.as_secs_f64() * 1e3);
                    report.insert(format!("{name}_ms"), json!(millis));
                }
            }
            return output.json(&report);
        }
        output.text(format_args!(
            "{}: {} records, {:.1} MB in {:.2} s: {per_second:.0} records/s, {megabytes:.1} MB/s",
            self.what,
            self.records,
            self.bytes as f64 / 1e6,
            seconds
        ))?;
        let known: Vec<_> = percentiles
            .iter()
            .filter_map(|(name, latency)| Some(format!("{name} {:.2} ms", (*latency)?.as_secs_f64() * 1e3)))
            .collect();
        if known.is_empty() { Ok(()) } else { output.text(format_args!("latency: {}", known.join(", "))) }
    }
}

/// The smallest of the sorted latencies that so large a share is not above.
fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Records whose acknowledgement is not known yet; the producer bounds their bytes.
const MAX_UNCONFIRMED: usize = 100_000;
/// Latencies that are kept: of more records, every n-th.
const MAX_SAMPLES: u64 = 1_000_000;

impl ProduceLoad {
    async fn run(&self, client: &Client) -> Result<Report, Failure> {
        self.common.create_topic(client).await?;
        let producer = client
            .producer()
            .linger(self.linger)
            .batch_size(ByteSize::kib(64))
            .compression(self.compression.into())
            .build()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let cannot = self.common.cannot("publish to");
        let progress = Progress::records(Some(self.records));
        let every = (self.records / MAX_SAMPLES).max(1);
        let started = Instant::now();
        let (sent, mut unconfirmed) = mpsc::channel::<(Instant, Sent)>(MAX_UNCONFIRMED);
        let publish = async {
            let value = bytes::Bytes::from(noise(self.size));
            for number in 0..self.records {
                let due = self.due(started, number);
                if let Some(due) = due {
                    tokio::time::sleep_until(due.into()).await;
                }
                let record = ProducerRecord::to(self.common.topic.as_str()).value(value.clone());
                // At a steady rate, time counts from when the record was due, not from when there was room for it.
                let from = due.unwrap_or_else(Instant::now);
                let on_its_way = producer.send(record).await.map_err(cannot)?;
                if sent.send((from, on_its_way)).await.is_err() {
                    break;
                }
            }
            drop(sent);
            Ok::<_, Failure>(())
        };
        let confirm = async {
            let (mut latencies, mut records) = (Vec::new(), 0_u64);
            while let Some((from, sent)) = unconfirmed.recv().await {
                sent.await.map_err(cannot)?;
                if records % every == 0 {
                    latencies.push(from.elapsed());
                }
                records += 1;
                progress.advance(1);
            }
            Ok::<_, Failure>((latencies, records))
        };
        let ((), (latencies, records)) = tokio::try_join!(publish, confirm)?;
        let took = started.elapsed();
        close(producer).await?;
        Ok(Report { what: "produce", records, bytes: records * self.size as u64, took, latencies })
    }

    fn due(&self, started: Instant, number: u64) -> Option<Instant> {
        let rate = self.rate.filter(|rate| *rate > 0)?;
        Some(started + Duration::from_secs_f64(number as f64 / rate as f64))
    }
}

impl ConsumeLoad {
    async fn run(&self, client: &Client) -> Result<Report, Failure> {
        let bounds = bounds(&client.admin(), &self.common.topic).await?;
        let there: i64 = bounds.values().map(|(start, end)| end.get() - start.get()).sum();
        let there = u64::try_from(there).unwrap_or(0);
        let mut builder = client.consumer().stop_at_end().prefetch(ByteSize::mib(16));
        for partition in bounds.keys() {
            builder = builder.partition(self.common.topic.as_str(), *partition, Start::Earliest);
        }
        let cannot = self.common.cannot("read");
        let mut consumer = builder.build().map_err(cannot)?;
        let wanted = self.records.unwrap_or(u64::MAX);
        let progress = Progress::records(Some(there.min(wanted)));
        let started = Instant::now();
        let (mut records, mut bytes) = (0_u64, 0_u64);
        while records < wanted {
            match consumer.next().await {
                None => break,
                Some(record) => {
                    let record = record.map_err(cannot)?;
                    records += 1;
                    bytes += [&record.key, &record.value]
                        .into_iter()
                        .flatten()
                        .map(|b| b.len() as u64)
                        .sum::<u64>();
                    progress.advance(1);
                }
            }
        }
        Ok(Report { what: "consume", records, bytes, took: started.elapsed(), latencies: Vec::new() })
    }
}

impl LatencyLoad {
    async fn run(&self, client: &Client) -> Result<Report, Failure> {
        self.common.create_topic(client).await?;
        let cannot = self.common.cannot("publish to and read");
        let topic = self.common.topic.as_str();
        let end = bounds(&client.admin(), topic).await?.get(&0).map(|(_, end)| *end);
        let start = end.map_or(Start::Latest, Start::Offset);
        let mut consumer = client.consumer().partition(topic, 0, start).build().map_err(cannot)?;
        let producer = client
            .producer()
            .linger(Duration::ZERO)
            .build()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let value = bytes::Bytes::from(noise(self.size));
        let progress = Progress::records(Some(self.records));
        let mut latencies = Vec::new();
        let started = Instant::now();
        for _ in 0..self.records {
            let sent_at = Instant::now();
            let record = ProducerRecord::to(topic).partition(0).timestamp(now()).value(value.clone());
            let delivery = producer.publish(record).await.map_err(cannot)?;
            loop {
                match consumer.next_event().await.transpose().map_err(cannot)? {
                    Some(Event::Record(record)) if record.offset >= delivery.offset => break,
                    Some(_) => {}
                    None => {
                        return Err(Failure::with(format_args!("{topic} ended"), "it was deleted meanwhile"));
                    }
                }
            }
            latencies.push(sent_at.elapsed());
            progress.advance(1);
        }
        let took = started.elapsed();
        close(producer).await?;
        Ok(Report {
            what: "latency",
            records: self.records,
            bytes: self.records * self.size as u64,
            took,
            latencies,
        })
    }
}

async fn close(producer: Producer) -> Result<(), Failure> {
    producer.close().await.map_err(|error| failed("cannot finish", &error))
}

fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Bytes that do not compress (splitmix64).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31).to_le_bytes()
    };
    std::iter::repeat_with(&mut word).flatten().take(len).collect()
}
