//! `cargo xtask oracle`: Kafka's own message classes as the judge of `crates/wire`.
//!
//! Without options it regenerates what is committed of their judgement: `crates/wire/tests/corpus/`, the seeds of the fuzz target
//! `request_decode`, and the table of error codes. The same Kafka gives the same bytes. `--live` asks them anew: Kafka's random messages go through our codec, ours
//! through Kafka's, and damaged ones through both.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use flate2::{Compression, GzBuilder};
use it::project::{cargo, root, target};

use xtask::kafka_jars::kafka_jars;
use xtask::process;

/// How to run `cargo xtask oracle`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Check new random messages both ways instead of writing the corpus.
    #[arg(long)]
    live: bool,
    /// Makes the same random messages again.
    #[arg(long, default_value_t = std::process::id())]
    seed: u32,
}

/// Runs what the options say.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.live { live(options.seed) } else { write_corpus() }
}

/// Writes `crates/wire/tests/corpus/`, the fuzzer's seeds, and `crates/wire/schema/error-codes.tsv`.
fn write_corpus() -> anyhow::Result<()> {
    let wire = root().join("crates/wire");
    let folder = exchange_folder()?;
    ask_kafka(&["generate", "4", "0"], &folder.join("names.txt"), &folder.join("messages.txt"))?;
    write_short_messages(&folder)?;
    ask_kafka(&["damage", "5", "0"], &folder.join("short.txt"), &folder.join("damaged.txt"))?;
    for name in ["messages", "damaged"] {
        let text = fs::read(folder.join(format!("{name}.txt")))?;
        // No time of writing in it: the same text is the same file.
        let packed = File::create(wire.join(format!("tests/corpus/{name}.gz")))?;
        let mut packed = GzBuilder::new().write(packed, Compression::best());
        packed.write_all(&text)?;
        packed.finish()?;
    }
    ask_kafka(&["frames"], &folder.join("short.txt"), &folder.join("frames.txt"))?;
    write_fuzz_seeds(&fs::read_to_string(folder.join("frames.txt"))?)?;
    ask_kafka(&["errors"], &folder.join("names.txt"), &wire.join("schema/error-codes.tsv"))
}

/// Checks new messages both ways; a failure names the message, and `seed` makes it again.
pub(crate) fn live(seed: u32) -> anyhow::Result<()> {
    eprintln!("cargo xtask oracle --live --seed {seed}");
    let folder = exchange_folder()?;
    let seed = seed.to_string();
    ask_kafka(&["generate", "20", &seed], &folder.join("names.txt"), &folder.join("kafkas.txt"))?;
    ask_kafka(&["damage", "5", &seed], &folder.join("kafkas.txt"), &folder.join("damaged.txt"))?;
    let ours = folder.join("ours.txt");
    let _ = fs::remove_file(&ours);
    process::run(
        cargo()
            .args(["test", "--package", "ottla-wire", "--test", "oracle", "--", "--nocapture"])
            .env("OTTLA_ORACLE", &folder)
            .env("OTTLA_ORACLE_SEED", &seed),
    )?;
    let verdict = folder.join("verdict.txt");
    ask_kafka(&["check"], &ours, &verdict)?;
    print!("{}", fs::read_to_string(verdict)?);
    Ok(())
}

/// Where both sides leave messages for each other, with the names of all in it.
fn exchange_folder() -> anyhow::Result<std::path::PathBuf> {
    let folder = target().join("oracle");
    fs::create_dir_all(&folder)?;
    let mut names = String::new();
    let mut files: Vec<_> = fs::read_dir(root().join("crates/wire/schema"))?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    for file in files.iter().filter(|file| file.path().extension().is_some_and(|e| e == "schema")) {
        for line in fs::read_to_string(file.path())?.lines() {
            // A message's line is the only one that begins with its kind: `request NAME …`.
            if line.starts_with(|c: char| c.is_ascii_lowercase()) {
                names.push_str(line.split(' ').nth(1).context("a message without a name")?);
                names.push('\n');
            }
        }
    }
    fs::write(folder.join("names.txt"), names)?;
    Ok(folder)
}

/// The messages that stay short when damaged, so that the corpus does.
fn write_short_messages(folder: &Path) -> anyhow::Result<()> {
    let messages = fs::read_to_string(folder.join("messages.txt"))?;
    let short = messages.lines().filter(|line| line.split(' ').nth(2).is_some_and(|hex| hex.len() < 240));
    let short: Vec<&str> = short.collect();
    ensure!(!short.is_empty(), "no short message");
    Ok(fs::write(folder.join("short.txt"), short.join("\n") + "\n")?)
}

/// Writes the first and the last version of every request as a seed for the fuzzer, one file each.
fn write_fuzz_seeds(frames: &str) -> anyhow::Result<()> {
    let folder = root().join("fuzz/corpus/request_decode");
    fs::create_dir_all(&folder)?;
    let frames = frames.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut by_name: BTreeMap<&str, BTreeMap<i16, &str>> = BTreeMap::new();
    for words in frames {
        let [name, version, hex] = words[..] else { bail!("a frame of {words:?}") };
        by_name.entry(name).or_default().entry(version.parse()?).or_insert(hex);
    }
    for (name, versions) in by_name {
        for (version, hex) in versions.iter().next().into_iter().chain(versions.iter().next_back()) {
            fs::write(folder.join(format!("{name}-v{version}")), from_hex(hex)?)?;
        }
    }
    Ok(())
}

fn from_hex(hex: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    pairs.collect()
}

/// Runs `oracle/WireOracle.java` over Kafka's jars.
fn ask_kafka(args: &[&str], input: &Path, output: &Path) -> anyhow::Result<()> {
    let classes = kafka_jars()?.join("*");
    let mut java = Command::new("java");
    java.arg("-cp").arg(classes).arg(root().join("xtask/oracle/WireOracle.java")).args(args);
    java.stdin(File::open(input)?).stdout(File::create(output)?).stderr(Stdio::inherit());
    process::run(&mut java)
}
