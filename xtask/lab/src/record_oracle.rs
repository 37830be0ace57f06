//! `cargo xtask record-oracle`: our record batches against Kafka's own classes, both ways.
//!
//! Kafka writes random batches; we must read in them what Kafka reads, and write the uncompressed ones byte for byte.
//! Then we write the same records in every codec, and Kafka must accept each batch and read the same in it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use flate2::write::GzEncoder;
use it::project::root;
use ottla_record::{BatchBuilder, BatchView, Codec, Compression, dump};

use xtask::kafka_jars::kafka_jars;
use xtask::process;

/// Batches per run; the committed corpus is one run, and should stay below 300 KB.
const BATCHES: u32 = 240;
/// No batch of the oracle comes near this.
const MAX_DECOMPRESSED: usize = 16 << 20;

/// Every codec, at its ends and its default.
const CODECS: [Codec; 10] = [
    Codec::None,
    Codec::Gzip { level: -1 },
    Codec::Gzip { level: 1 },
    Codec::Gzip { level: 9 },
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd { level: -131_072 },
    Codec::Zstd { level: 1 },
    Codec::Zstd { level: 3 },
    Codec::Zstd { level: 22 },
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seed of the first run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of runs, each with the next seed.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// Writes the first run to the corpus under crates/record/tests.
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let kafka = Kafka { classes: format!("{}/*", kafka_jars()?.display()) };
    let corpus = root().join("crates/record/tests/corpus/kafka-4.3.txt.gz");
    let mut counts = (0, 0);
    for seed in options.seed..options.seed + options.runs {
        let text = kafka.write(seed)?;
        if options.write && seed == options.seed {
            pack(&corpus, &text)?;
        }
        let (read, written) = compare(&kafka, &text).with_context(|| format!("seed {seed}"))?;
        counts = (counts.0 + read, counts.1 + written);
    }
    println!("read {} batches of Kafka's as Kafka reads them; Kafka read {} of ours", counts.0, counts.1);
    Ok(())
}

/// One run, both ways: how many batches we read, and how many Kafka did.
fn compare(kafka: &Kafka, text: &str) -> anyhow::Result<(usize, usize)> {
    let mut read = 0;
    let mut ours: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let (hex, expected) = line.split_once('\t').context("a line without a tab")?;
        let bytes = from_hex(hex)?;
        let view = BatchView::parse(&bytes)?;
        view.verify_crc()?;
        let json = dump::json(&view, MAX_DECOMPRESSED)?;
        ensure!(json == expected, "we read\n{json}\nKafka reads\n{expected}\nin {hex}");
        read += 1;
        for codec in CODECS {
            let rewritten = rewrite(&view, codec)?;
            if codec == Codec::None && view.header().compression() == Compression::None {
                ensure!(rewritten == bytes, "we write {}\nKafka writes {hex}", to_hex(&rewritten));
            }
            let json = dump::json(&BatchView::parse(&rewritten)?, MAX_DECOMPRESSED)?;
            ensure!(records(&json) == records(expected), "{codec:?} changed the records of {hex}");
            ours.push((to_hex(&rewritten), json));
        }
    }
    let sent: String = ours.iter().map(|(hex, _)| format!("{hex}\n")).collect();
    let answers = kafka.read(sent)?;
    ensure!(answers.lines().count() == ours.len(), "Kafka stopped: {answers}");
    for ((hex, json), answer) in ours.iter().zip(answers.lines()) {
        ensure!(json == answer, "we read\n{json}\nKafka reads\n{answer}\nin our {hex}");
    }
    Ok((read, ours.len()))
}

fn rewrite(view: &BatchView<'_>, codec: Codec) -> anyhow::Result<Vec<u8>> {
    let mut builder = BatchBuilder::rewriting(view.header(), codec);
    for record in &view.records(MAX_DECOMPRESSED)? {
        builder.push_record(&record?);
    }
    Ok(builder.build()?.to_vec())
}

/// What is the same whatever the codec.
fn records(json: &str) -> Option<&str> {
    json.find("\"timestampType\"").and_then(|at| json.get(at..))
}

struct Kafka {
    classes: String,
}

impl Kafka {
    fn oracle(&self) -> Command {
        let mut java = Command::new("java");
        java.arg("-cp").arg(&self.classes).arg(root().join("crates/record/oracle/RecordOracle.java"));
        java
    }

    fn write(&self, seed: u64) -> anyhow::Result<String> {
        let (seed, count) = (seed.to_string(), BATCHES.to_string());
        process::capture(self.oracle().args(["write", &seed, &count]))
    }

    fn read(&self, lines: String) -> anyhow::Result<String> {
        let mut command = self.oracle();
        let mut java = command
            .arg("read")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let mut input = java.stdin.take().context("the oracle's input")?;
        // It answers while it reads: writing from here would block both once the pipes are full.
        let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = java.wait_with_output()?;
        ensure!(output.status.success(), "the oracle ended with {}", output.status);
        writer.join().map_err(|_| anyhow::anyhow!("the oracle's writer panicked"))??;
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn pack(file: &Path, text: &str) -> anyhow::Result<()> {
    let file = File::create(file).with_context(|| format!("creating {}", file.display()))?;
    let mut packed = GzEncoder::new(file, flate2::Compression::best());
    packed.write_all(text.as_bytes())?;
    packed.finish()?;
    Ok(())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    text.as_bytes().chunks(2).map(byte).collect()
}
