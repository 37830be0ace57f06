//! `cargo xtask sim`: random fault runs and crash enumeration from seeds, and the mutants that must be caught.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use ottla_sim::campaign::{self, DEPTH, all_stories};

/// What to simulate.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Replays one random fault run; with --story, the crashes of that story with this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// How many random fault runs, from seed --from.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed of --seeds.
    #[arg(long, default_value_t = 0, requires = "seeds")]
    from: u64,
    /// Crashes one story at every moment; 'all' for all of them.
    #[arg(long, conflicts_with = "seeds")]
    story: Option<String>,
    /// Breaks the production code in known ways and demands that each break is caught.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "story"])]
    mutants: bool,
    /// The mutants whose name contains this.
    #[arg(long, requires = "mutants")]
    only: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options {
        Options { mutants: true, only, .. } => mutants(only.as_deref().unwrap_or_default()),
        Options { story: Some(story), seed, .. } => stories(story, seed.map_or(0..4, |seed| seed..seed + 1)),
        Options { seed: Some(seed), .. } => storms(*seed..seed + 1),
        Options { seeds: Some(seeds), from, .. } => storms(*from..from + seeds),
        _ => {
            stories("all", 0..1)?;
            storms(0..200)
        }
    }
}

/// Random fault runs.
fn storms(seeds: Range<u64>) -> anyhow::Result<()> {
    let started = Instant::now();
    let tally = campaign::storms(seeds.clone())?;
    println!(
        "{} seeds, no promise broken: {} steps and {} faults in {} lives ({} ended by a power cut), {} requests \
         acknowledged, {} records consumed, {} markers, {} damaged logs refused; {} simulated in {} s",
        seeds.end - seeds.start,
        tally.steps,
        tally.faults,
        tally.lives,
        tally.power_cuts,
        tally.acknowledged,
        tally.consumed,
        tally.markers,
        tally.refused,
        format_args!("{:.1} h", tally.millis as f64 / 3_600_000.0),
        started.elapsed().as_secs()
    );
    Ok(())
}

/// Crash enumeration.
fn stories(story: &str, seeds: Range<u64>) -> anyhow::Result<()> {
    let mut jobs = all_stories(seeds, DEPTH);
    if story != "all" {
        jobs.retain(|job| job.story == story);
        ensure!(!jobs.is_empty(), "there is no story named {story}");
    }
    for (story, coverage) in &campaign::run(&jobs)? {
        println!(
            "{story}: {} crash points, {} lives, no promise broken",
            coverage.points.len(),
            coverage.lives
        );
    }
    Ok(())
}

/// Applies each patch of `crates/sim/mutants` to a copy of the sources and simulates there. The first line of
/// a patch names the invariants of which one must be reported broken.
pub(crate) fn mutants(only: &str) -> anyhow::Result<()> {
    let root = it::project::root();
    let mut patches: Vec<PathBuf> = fs::read_dir(root.join("crates/sim/mutants"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    patches.retain(|path| {
        path.extension().is_some_and(|kind| kind == "patch") && path.to_string_lossy().contains(only)
    });
    patches.sort();
    ensure!(!patches.is_empty(), "there are no mutants");
    let scratch = root.join("target/mutants");
    let mut missed = Vec::new();
    for patch in &patches {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let caught = try_mutant(root, &scratch, patch).with_context(|| format!("mutant {name}"))?;
        match caught {
            Some(line) => println!("caught {name}: {line}"),
            None => missed.push(name),
        }
    }
    ensure!(missed.is_empty(), "not caught: {}", missed.join(", "));
    println!("{} mutants, all caught", patches.len());
    Ok(())
}

/// What the simulator said of a mutant, if they caught it by one of the promises its patch names.
fn try_mutant(root: &Path, scratch: &Path, patch: &Path) -> anyhow::Result<Option<String>> {
    let copy = scratch.join("source");
    copy_sources(root, &copy)?;
    let text = fs::read_to_string(patch)?;
    let promises = text.lines().next().and_then(|line| line.strip_prefix("Breaks: "));
    let promises =
        promises.context("the first line does not name what it breaks ('Breaks: Invariant, …')")?;
    // The copy lies inside the project's own working tree, which git must not take for the tree to patch.
    let applied = Command::new("git")
        .args(["apply", "--unidiff-zero", "--recount", "-p1"])
        .arg(patch)
        .env("GIT_CEILING_DIRECTORIES", scratch)
        .current_dir(&copy)
        .status()?;
    ensure!(applied.success(), "the patch does not apply any more: make it anew");
    let output = Command::new("cargo")
        .args(["run", "--quiet", "--package", "ottla-sim", "--example", "judge"])
        .env("CARGO_TARGET_DIR", scratch.join("build"))
        .current_dir(&copy)
        .output()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if said.contains("could not compile") {
        bail!("the mutant does not compile:\n{said}");
    }
    if output.status.success() {
        return Ok(None);
    }
    let line = said
        .lines()
        .find(|line| promises.split(", ").any(|promise| line.contains(&format!("{promise} is broken"))));
    match line {
        Some(line) => Ok(Some(line.trim().to_owned())),
        None => bail!("something else broke than {promises}:\n{said}"),
    }
}

/// Copies what the crash tests are built from; files that have not changed keep their time, so builds stay incremental.
fn copy_sources(root: &Path, copy: &Path) -> anyhow::Result<()> {
    let members = ["record", "storage", "replication", "coordination", "sim"];
    fs::create_dir_all(copy.join("crates"))?;
    for member in members {
        let (from, to) = (root.join("crates").join(member), copy.join("crates").join(member));
        copy_changed(&from, &to)?;
    }
    for file in ["Cargo.lock", "clippy.toml", "rust-toolchain.toml"] {
        copy_file(&fs::read(root.join(file))?, &copy.join(file))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: Vec<&str> = manifest
        .lines()
        .map(|line| match line {
            line if line.starts_with("members") => "members = [\"crates/*\"]",
            line if line.starts_with("default-members") || line.starts_with("exclude") => "",
            line => line,
        })
        .collect();
    copy_file((manifest.join("\n") + "\n").as_bytes(), &copy.join("Cargo.toml"))
}

fn copy_changed(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_changed(&entry.path(), &target)?;
        } else {
            copy_file(&fs::read(entry.path())?, &target)?;
        }
    }
    Ok(())
}

fn copy_file(bytes: &[u8], to: &Path) -> anyhow::Result<()> {
    if fs::read(to).ok().as_deref() != Some(bytes) {
        fs::write(to, bytes)?;
    }
    Ok(())
}
