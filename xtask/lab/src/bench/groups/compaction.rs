//! How fast one pass compacts 50 M records of 1 M keys, and what producers beside it notice.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use it::batch::{Batch, noise};
use it::broker::Broker;
use it::scrape::Scrape;
use ottla_wire::messages::IncrementalAlterConfigsRequest;
use ottla_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::Run;
use super::member;
use crate::bench::load::Load;

const RECORDS: usize = 50_000_000;
const KEYS: usize = 1_000_000;
const RECORDS_A_BATCH: usize = 1_000;
const VALUE_BYTES: usize = 100;
/// Odd and no multiple of five: steps through all keys in an order that jumps about.
const KEY_STEP: usize = 7_368_787;
const SEGMENT_BYTES: &str = "104857600";
const RATE_MB_PER_S: f64 = 100.0;
/// How long producers are watched without compaction.
const WATCHED: Duration = Duration::from_secs(30);
/// They are watched in stretches of this length while a pass runs, which ends when it ends.
const STRETCH: Duration = Duration::from_secs(2);
const STEADY_PARTITIONS: i32 = 6;
const PASS_WITHIN: Duration = Duration::from_secs(1_800);

const COUNT: &str = "ottla_compaction_pass_duration_seconds_count";
/// How often the broker is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SECONDS: &str = "ottla_compaction_pass_duration_seconds_sum";

pub(super) fn run(run: &mut Run) -> anyhow::Result<()> {
    let broker = run.broker(&[("log.cleaner.backoff.ms", "100")]);
    let mut connection = broker.connect();
    // Nothing is compacted before it is allowed to.
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", SEGMENT_BYTES),
        ("min.compaction.lag.ms", "86400000"),
    ];
    connection.create_topic("compacted", 1, &settings)?;
    connection.create_topic("steady", STEADY_PARTITIONS, &[])?;
    fill(run, &broker)?;
    let before = sealed_bytes(&broker.data_dir().join("compacted-0"))?;
    run.record("log before", "MB", before as f64 / 1e6);

    run.calm()?;
    let load = Load::new(&broker, "steady");
    let watched = if run.quick { WATCHED / 10 } else { WATCHED };
    let done = AtomicBool::new(false);
    // As it is looked at while the log is compacted: what producing and being looked at take is not the pass's.
    let (quiet, rss) = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::SeqCst) {
                let _unused = look(&broker, &mut peak);
                thread::sleep(LOOK_EVERY);
            }
            peak
        });
        // In stretches, as below: each begins with a new connection.
        let until = Instant::now() + watched;
        let mut quiet = Vec::new();
        let mut produced = Ok(());
        while produced.is_ok() && Instant::now() < until {
            produced = steady(&load, STRETCH).map(|latencies| quiet.extend(latencies));
        }
        done.store(true, Ordering::SeqCst);
        (produced.map(|()| quiet), looking.join().unwrap_or(0))
    });
    let quiet = quiet?;
    done.store(false, Ordering::SeqCst);
    let (busy, peak) = thread::scope(|scope| {
        let producing = scope.spawn(|| {
            let mut latencies = Vec::new();
            while !done.load(Ordering::SeqCst) {
                latencies.extend(steady(&load, STRETCH)?);
            }
            anyhow::Ok(latencies)
        });
        let peak = compact(&broker);
        done.store(true, Ordering::SeqCst);
        (producing.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the steady producer broke off"))), peak)
    });
    let (busy, peak) = (busy?, peak?);

    let scrape = Scrape::of(&broker);
    let seconds = scrape.value(SECONDS);
    run.record("pass", "s", seconds);
    run.record("rate", "MB/s", before as f64 / 1e6 / seconds);
    run.record("read rate", "MB/s", scrape.value("ottla_compaction_read_bytes_total") / 1e6 / seconds);
    run.record("passes", "", scrape.value(COUNT));
    let (read, dropped) = (
        scrape.value("ottla_compaction_read_records_total"),
        scrape.value("ottla_compaction_dropped_records_total"),
    );
    run.record("records kept", "", read - dropped);
    run.record("log after", "MB", sealed_bytes(&broker.data_dir().join("compacted-0"))? as f64 / 1e6);
    run.record("memory of the pass", "MB", peak.saturating_sub(rss) as f64 / 1e6);
    let (quiet, busy) = (percentile(quiet, 0.99), percentile(busy, 0.99));
    run.record("produce p99 before", "ms", quiet);
    run.record("produce p99 during", "ms", busy);
    run.record("produce p99 ratio", "", busy / quiet);
    run.said.extend(broker.log().lines().filter(|line| line.contains("compacted")).map(str::to_owned));
    Ok(())
}

/// Writes every key fifty times, in batches of 1,000 records.
fn fill(run: &mut Run, broker: &Broker) -> anyhow::Result<()> {
    let batches: Vec<Vec<u8>> = (0..KEYS / RECORDS_A_BATCH)
        .map(|batch| {
            let records = (0..RECORDS_A_BATCH).map(|record| {
                let key = (batch * RECORDS_A_BATCH + record) * KEY_STEP % KEYS;
                (Some(format!("key-{key:07}").into_bytes()), noise(VALUE_BYTES, key as u64))
            });
            Batch::of_records(records.collect()).bytes()
        })
        .collect();
    run.calm()?;
    let count = (run.volume(RECORDS) / RECORDS_A_BATCH) as u64;
    let outcome = Load::new(broker, "compacted").replay_batches(&batches, count)?;
    run.record("filled at", "MB/s", outcome.bytes as f64 / 1e6 / outcome.elapsed.as_secs_f64());
    Ok(())
}

/// Produces at the steady rate: the latency of each request.
fn steady(load: &Load, time: Duration) -> anyhow::Result<Vec<Duration>> {
    let bytes = (RATE_MB_PER_S * 1e6 * time.as_secs_f64()) as u64;
    Ok(load.produce(bytes, Some(RATE_MB_PER_S))?.latencies)
}

/// Allows the topic to be compacted, and waits until nothing is left to do: the most memory that the broker had meanwhile.
fn compact(broker: &Broker) -> anyhow::Result<u64> {
    let config = AlterableConfig {
        name: "min.compaction.lag.ms".to_owned(),
        config_operation: 0,
        value: Some("0".to_owned()),
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: "compacted".to_owned(),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = member::ask(&mut broker.connect(), &request, 1)?;
    let response = answer.responses.first().context("one resource")?;
    ensure!(!response.error_code.is_error(), "altering the topic: {:?}", response.error_message);

    let (start, mut peak) = (Instant::now(), 0);
    loop {
        let scrape = look(broker, &mut peak);
        if scrape.value(COUNT) >= 1.0 && scrape.value("ottla_compaction_max_dirty_ratio") < 0.5 {
            return Ok(peak);
        }
        ensure!(start.elapsed() < PASS_WITHIN, "not compacted within {PASS_WITHIN:?}");
        thread::sleep(LOOK_EVERY);
    }
}

/// What the broker counts, and the most memory it has had whenever it was looked at.
fn look(broker: &Broker, peak: &mut u64) -> Scrape {
    *peak = broker.rss_bytes().max(*peak);
    Scrape::of(broker)
}

/// What the segments hold that are no longer written to.
fn sealed_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|kind| kind == "log") {
            segments.push((entry.file_name(), entry.metadata()?.len()));
        }
    }
    segments.sort();
    segments.pop();
    Ok(segments.into_iter().map(|(_, len)| len).sum())
}

fn percentile(mut latencies: Vec<Duration>, fraction: f64) -> f64 {
    latencies.sort_unstable();
    let index = (latencies.len() as f64 * fraction) as usize;
    latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
}
