//! `cargo xtask mutants`: the production code is broken in known ways, and the simulator must catch each break.
//!
//! A patch of `crates/sim/mutants` puts a break behind a switch, `ottla_record::mutant("name of the patch")`. All of them are
//! applied to one copy of the sources, so that there is one build however many there are; then the judge is run once for
//! each with its switch on. Above the patch stand the rule that it breaks, what it does, which invariants may report it,
//! and where it is caught: that and nothing else is run, and a mutant that survives it is an error.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

/// A patch, and what its head says of it.
struct Mutant {
    name: String,
    patch: PathBuf,
    /// Of the list in docs/TESTING.md.
    rule: String,
    does: String,
    /// Names of invariants. One of them must be reported.
    breaks: String,
    /// Where it is caught: in each of these.
    searches: Vec<Search>,
}

/// What is run on a mutant.
enum Search {
    /// Random runs of one broker.
    Storms,
    /// Random runs of a cluster.
    Cluster,
    /// Every order of one record, three replicas and two terms.
    Orders,
    /// The crashes of a story.
    Story(String),
}

/// Applies every patch and runs the judge on those whose name contains `only`.
pub(crate) fn run(only: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let root = it::project::root();
    let mutants = read_all(root)?;
    let chosen: Vec<&Mutant> = mutants.iter().filter(|mutant| mutant.name.contains(only)).collect();
    ensure!(!chosen.is_empty(), "there is no such mutant");
    let scratch = root.join("target/mutants");
    let judge = build(root, &scratch, &mutants)?;
    println!("{} mutants built in {} s", mutants.len(), started.elapsed().as_secs());
    // With no switch on, the patches must change nothing, or what follows would prove nothing.
    for search in [Search::Storms, Search::Cluster, Search::Orders] {
        let (sound, said) = judge_with(&judge, "", &search)?;
        ensure!(sound, "the simulator finds a broken promise without any mutant:\n{said}");
    }
    let mut missed = Vec::new();
    for mutant in &chosen {
        for search in &mutant.searches {
            match caught(&judge, mutant, search)? {
                Ok(line) => println!("caught {} by {search}: {line}", mutant.name),
                Err(said) => missed
                    .push(format!("{} ({}: {}) by {search}: {said}", mutant.name, mutant.rule, mutant.does)),
            }
        }
    }
    ensure!(missed.is_empty(), "not caught as they should be:\n{}", missed.join("\n"));
    println!("{} mutants, all caught, in {} s", chosen.len(), started.elapsed().as_secs());
    Ok(())
}

/// What the judge said of a mutant: the line that reports one of the invariants it breaks, or else everything.
fn caught(judge: &Path, mutant: &Mutant, search: &Search) -> anyhow::Result<Result<String, String>> {
    let (survived, said) = judge_with(judge, &mutant.name, search)?;
    let reported = |line: &&str| {
        mutant.breaks.split(", ").any(|invariant| line.starts_with(&format!("{invariant} is broken")))
    };
    match said.lines().find(reported) {
        Some(line) if !survived => Ok(Ok(line.to_owned())),
        _ => Ok(Err(said)),
    }
}

/// True if the judge found nothing with this mutant switched on, and what it said.
fn judge_with(judge: &Path, mutant: &str, search: &Search) -> anyhow::Result<(bool, String)> {
    let where_to_look = match search {
        Search::Storms => "storms",
        Search::Cluster => "cluster",
        Search::Orders => "orders",
        Search::Story(story) => story,
    };
    let output = Command::new(judge).arg(where_to_look).env(VARIABLE, mutant).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}

/// Patches a copy of the sources and builds the judge from it.
fn build(root: &Path, scratch: &Path, mutants: &[Mutant]) -> anyhow::Result<PathBuf> {
    let (patched, source) = (scratch.join("patched"), scratch.join("source"));
    // What it uses of others is built there once for all. Its own crates have another version than the project's: cargo would
    // take the ones for the others.
    let target = it::project::target();
    if patched.exists() {
        fs::remove_dir_all(&patched)?;
    }
    copy_sources(root, &patched)?;
    let switch = patched.join("crates/record/src/lib.rs");
    fs::write(&switch, fs::read_to_string(&switch)? + &SWITCH.replace("VARIABLE", VARIABLE))?;
    for mutant in mutants {
        // The copy lies inside the project's own working tree, which git must not take for the tree to patch.
        let applied = Command::new("git")
            .args(["apply", "--unidiff-zero", "--recount", "-p1"])
            .arg(&mutant.patch)
            .env("GIT_CEILING_DIRECTORIES", scratch)
            .current_dir(&patched)
            .status()?;
        ensure!(
            applied.success(),
            "{} does not apply any more behind those before it: make it anew",
            mutant.name
        );
    }
    mirror(&patched, &source)?;
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--package", "ottla-sim", "--example", "judge"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(&source)
        .status()?;
    ensure!(built.success(), "the mutants do not compile");
    Ok(target.join("debug/examples/judge"))
}

/// Names the mutant that is switched on.
const VARIABLE: &str = "OTTLA_MUTANT";

/// Goes to the end of the copy's `record` crate, which all others use.
const SWITCH: &str = r#"
/// True if this mutant is switched on.
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("VARIABLE").unwrap_or_default()) == name
}
"#;

fn read_all(root: &Path) -> anyhow::Result<Vec<Mutant>> {
    let mut patches: Vec<PathBuf> = fs::read_dir(root.join("crates/sim/mutants"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    patches.sort();
    patches
        .into_iter()
        .map(|patch| Mutant::read(&patch).with_context(|| patch.display().to_string()))
        .collect()
}

impl Mutant {
    fn read(patch: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(patch)?;
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let switches = text.matches("ottla_record::mutant(").count();
        let own = text.matches(&format!("ottla_record::mutant(\"{name}\")")).count();
        ensure!(own > 0 && own == switches, "its switch must have its name");
        let field = |field: &str| {
            let mut head = text.lines().take_while(|line| !line.starts_with("diff "));
            let value = head.find_map(|line| line.strip_prefix(field)?.strip_prefix(": "));
            value.map(str::to_owned).with_context(|| format!("no line '{field}: …' above the patch"))
        };
        let caught_by = field("Caught by")?;
        let searches = caught_by.split(", ").map(Search::read).collect::<anyhow::Result<_>>()?;
        let (rule, does, breaks) = (field("Rule")?, field("Does")?, field("Breaks")?);
        Ok(Self { name, patch: patch.to_owned(), rule, does, breaks, searches })
    }
}

impl Search {
    fn read(text: &str) -> anyhow::Result<Self> {
        match (text, text.strip_prefix("story ")) {
            ("random runs", _) => Ok(Self::Storms),
            ("cluster runs", _) => Ok(Self::Cluster),
            ("every order", _) => Ok(Self::Orders),
            (_, Some(story)) => Ok(Self::Story(story.to_owned())),
            _ => bail!(
                "caught by 'random runs', 'cluster runs', 'every order' or 'story NAME', or several of them"
            ),
        }
    }
}

impl std::fmt::Display for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Storms => f.write_str("random runs"),
            Self::Cluster => f.write_str("cluster runs"),
            Self::Orders => f.write_str("every order of a record"),
            Self::Story(story) => write!(f, "the crashes of story `{story}`"),
        }
    }
}

/// Copies what the judge is built from.
fn copy_sources(root: &Path, copy: &Path) -> anyhow::Result<()> {
    for member in ["record", "wire", "storage", "replication", "coordination", "sim"] {
        mirror(&root.join("crates").join(member), &copy.join("crates").join(member))?;
    }
    for file in ["Cargo.lock", "clippy.toml", "rust-toolchain.toml"] {
        fs::copy(root.join(file), copy.join(file))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: Vec<&str> = manifest
        .lines()
        .map(|line| match line {
            line if line.starts_with("members") => "members = [\"crates/*\"]",
            line if line.starts_with("default-members") || line.starts_with("exclude") => "",
            line if line.starts_with("version = ") => "version = \"0.0.0+mutants\"",
            line => line,
        })
        .collect();
    fs::write(copy.join("Cargo.toml"), manifest.join("\n") + "\n")?;
    Ok(())
}

/// Makes a folder equal to another; files that have not changed keep their time, so that builds stay incremental.
fn mirror(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        match (from.join(entry.file_name()).exists(), entry.file_type()?.is_dir()) {
            (true, _) => {}
            (false, true) => fs::remove_dir_all(entry.path())?,
            (false, false) => fs::remove_file(entry.path())?,
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            mirror(&entry.path(), &target)?;
        } else {
            let bytes = fs::read(entry.path())?;
            if fs::read(&target).ok().as_deref() != Some(&*bytes) {
                fs::write(target, bytes)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
