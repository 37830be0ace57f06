//! How fast a log is compacted: writes records with keys, and makes one pass over them, in a folder that is removed in the end.
//!
//! ```text
//! cargo run --release -p ottla-storage --example compact -- FOLDER RECORDS KEYS [VALUE_BYTES]
//! ```

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures, and tells what"
)]

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use ottla_record::produce::{Origin, ProduceRules, validate};
use ottla_record::{
    BatchBuilder, BrokerId, Codec, DirectoryId, LeaderEpoch, Monotonic, Now, PartitionIndex, Timestamp,
    TimestampType, TopicId, Uuid,
};
use ottla_storage::compaction::{Pass, PassMemory, PassOrder};
use ottla_storage::{
    CompactionConfig, DirectoryLimits, DirtyRatio, FsDisk, Log, LogConfig, LogDirectory, TopicPartition,
};

/// Kafka's defaults of `log.cleaner.dedupe.buffer.size`, `log.cleaner.io.buffer.load.factor`, `log.cleaner.io.buffer.size`.
const MEMORY: PassMemory =
    PassMemory { map_bytes: 134_217_728, load_factor: 0.9, buffer_bytes: 524_288, secret: [0x5a; 16] };
const RECORDS_A_BATCH: u64 = 400;
const NOW: Now = Now { monotonic: Monotonic::ZERO, wall: Timestamp::from_millis(1_700_000_000_000) };

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: compact FOLDER RECORDS KEYS [VALUE_BYTES]";
    let folder = arguments.first().ok_or(usage)?;
    let number = |at: usize| arguments.get(at).map(|text| text.parse::<u64>()).transpose();
    let records = number(1)?.ok_or(usage)?;
    let keys = number(2)?.ok_or(usage)?;
    let value_bytes = number(3)?.unwrap_or(100);
    let folder = tempfile::tempdir_in(folder)?;
    let disk = Arc::new(FsDisk::open(folder.path())?);
    let limits = DirectoryLimits { open_files: 1_000, reserve_bytes: Some(0) };
    let id = DirectoryId(Uuid::from_random([1; 16]));
    let root = Arc::new(LogDirectory::open(disk, BrokerId::new(1), id, limits)?);
    let mut log = open(&root)?;

    let began = Instant::now();
    fill(&mut log, records, keys, usize::try_from(value_bytes)?)?;
    log.checkpoint()?;
    let (written, took) = (log.size_bytes() / 1_000_000, began.elapsed().as_secs_f64());
    println!("{records} records of {keys} keys written: {written} MB in {took:.1} s");

    let (began, cpu) = (Instant::now(), cpu_seconds()?);
    let (view, config) = (log.view(), log.config().clone());
    let compaction = config.compaction.ok_or("not compacted")?;
    let cleanable = view.cleanable(None, log.recovery_point(), &compaction, NOW.wall)?;
    let producers = log.last_of_producers();
    let order = PassOrder { view, cleanable, config, producers, now: NOW.wall };
    let mut pace = |_| ControlFlow::Continue(());
    let mut pass = Pass::begin(&root, order, MEMORY, &mut pace)?;
    let mapped = began.elapsed().as_secs_f64();
    while let Some(cleaned) = pass.next_cleaned(&mut pace)? {
        for replaced in log.swap_cleaned(cleaned, NOW)? {
            replaced.remove(&**root.disk())?;
        }
    }
    root.store_cleaned_to(log.name(), pass.end())?;
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let report = pass.report();
    println!("keys read in {mapped:.1} s, the whole pass took {took:.1} s: {report:?}");
    let dirty = cleanable.dirty_bytes as f64 / 1e6;
    let moved = (report.map_bytes_read + report.bytes_read + report.bytes_written) as f64 / 1e6;
    println!(
        "{dirty:.0} MB of log compacted at {:.0} MB/s, {:.0} MB a CPU second ({:.0} MB/s read and written), {} MB are left",
        dirty / took,
        dirty / cpu,
        moved / took,
        log.size_bytes() / 1_000_000
    );
    let status = std::fs::read_to_string("/proc/self/status")?;
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}

/// What this thread, the only one, has taken of a processor.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos: f64 = text.split_whitespace().next().ok_or("no schedstat")?.parse()?;
    Ok(nanos / 1e9)
}

fn open(root: &Arc<LogDirectory>) -> Result<Log, Box<dyn Error>> {
    let config = LogConfig {
        segment_bytes: 256 << 20,
        segment_ms: i64::MAX,
        segment_jitter_ms: 0,
        segment_index_bytes: 10 << 20,
        index_interval_bytes: 4096,
        retention_bytes: None,
        retention_ms: None,
        delete_expired: false,
        compacted: true,
        compaction: Some(CompactionConfig {
            delete_retention_ms: 86_400_000,
            min_lag_ms: 0,
            max_lag_ms: i64::MAX,
            min_dirty_ratio: DirtyRatio::new(0.5),
        }),
        file_delete_delay_ms: 0,
        preallocate: false,
        producer_id_expiration_ms: i64::MAX,
    };
    let name = TopicPartition { topic: "bench".to_owned(), partition: PartitionIndex::ZERO };
    let topic = TopicId(Uuid::from_random([2; 16]));
    let start = root.log_start_of(&name);
    Ok(Log::open(root, name.directory(), topic, config, start, NOW)?.0)
}

fn fill(log: &mut Log, records: u64, keys: u64, value_bytes: usize) -> Result<(), Box<dyn Error>> {
    let rules = ProduceRules {
        origin: Origin::Client,
        max_batch_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: None,
        compacted: true,
        allow_zstd: true,
        max_decompressed_bytes: 1 << 20,
    };
    let mut draw = 1u64;
    let value = vec![0x61; value_bytes];
    for batch in 0..records.div_ceil(RECORDS_A_BATCH) {
        let mut builder = BatchBuilder::new(Codec::None);
        for _ in 0..RECORDS_A_BATCH {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = format!("key-{:012}", (draw >> 20) % keys);
            builder.push(Some(NOW.wall), Some(key.as_bytes()), Some(&value), &[]);
        }
        log.append_as_leader(&validate(builder.build()?, &rules, NOW.wall)?, LeaderEpoch::ZERO, NOW)?;
        if batch % 1_000 == 999 {
            flush(log)?;
        }
    }
    flush(log)
}

fn flush(log: &mut Log) -> Result<(), Box<dyn Error>> {
    let Some(job) = log.begin_flush() else { return Ok(()) };
    for file in &job.files {
        file.sync()?;
    }
    log.complete_flush(job.end);
    Ok(())
}
