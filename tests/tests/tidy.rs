//! Rules about the source tree that no compiler checks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use it::project::{cargo, root};

/// Past this a file holds more than one concept.
const MAX_LINES: usize = 800;

/// Which of our crates each crate may use, as docs/ARCHITECTURE.md draws it. Development dependencies are not arrows.
const ARROWS: [(&str, &[&str]); 14] = [
    ("record", &[]),
    ("wire", &["record"]),
    ("storage", &["record"]),
    ("replication", &["storage", "record"]),
    ("coordination", &["wire", "record"]),
    ("quorum", &["coordination", "rpc", "record"]),
    ("rpc", &["record"]),
    ("node", &["replication", "coordination", "storage", "record"]),
    ("kafka", &["node", "wire", "record"]),
    ("server", &["node", "rpc"]),
    ("client", &["rpc", "record"]),
    ("cli", &["client", "storage", "wire", "record"]),
    ("broker", &["node", "server", "kafka", "quorum", "rpc", "cli"]),
    ("sim", &["replication", "coordination", "storage", "record"]),
];

/// Crates under which no async runtime may appear, however deep.
const WITHOUT_RUNTIME: [&str; 5] = ["record", "wire", "storage", "replication", "coordination"];

#[test]
fn every_source_file_says_what_it_is() {
    // `tests.rs` says by its name that it tests the module beside it.
    let named = |file: &PathBuf| file.file_name().is_some_and(|name| name == "tests.rs");
    let silent: Vec<_> =
        sources().into_iter().filter(|file| !named(file) && !starts_with_module_doc(file)).collect();
    assert!(silent.is_empty(), "no `//!` line at the top of {silent:#?}");
}

fn starts_with_module_doc(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap();
    // A generated file may say so first.
    text.lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("// @generated"))
        .is_some_and(|line| line.starts_with("//!"))
}

#[test]
fn no_source_file_is_too_long() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|file| fs::read_to_string(file).unwrap().lines().count() > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:#?}");
}

#[test]
fn every_source_file_is_part_of_its_crate() {
    let mut dead = Vec::new();
    for package in packages() {
        let reached = reached_files(&package);
        dead.extend(rust_files(&package.folder).into_iter().filter(|file| !reached.contains(file)));
    }
    assert!(dead.is_empty(), "no `mod` leads to {dead:#?}");
}

/// Every file that `mod` declarations lead to from the package's targets.
fn reached_files(package: &Package) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<(PathBuf, bool)> =
        package.targets.iter().map(|target| (target.clone(), true)).collect();
    while let Some((file, is_root)) = open.pop() {
        if !reached.insert(file.clone()) {
            continue;
        }
        let owns_folder = is_root || file.file_name().is_some_and(|name| name == "mod.rs");
        let folder = if owns_folder { file.parent().unwrap().to_owned() } else { file.with_extension("") };
        for (module, path) in declared_modules(&file) {
            let candidates = match path {
                Some(path) => vec![file.parent().unwrap().join(path)],
                None => vec![folder.join(format!("{module}.rs")), folder.join(&module).join("mod.rs")],
            };
            open.extend(candidates.into_iter().filter(|file| file.exists()).map(|file| (file, false)));
        }
    }
    reached
}

/// The modules a file declares without a body, each with its `#[path]`.
fn declared_modules(file: &Path) -> Vec<(String, Option<String>)> {
    let text = fs::read_to_string(file).unwrap();
    let mut found = Vec::new();
    let mut path = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            path = rest.split('"').next().map(str::to_owned);
        }
        let Some(declaration) = line.strip_suffix(';') else { continue };
        let words: Vec<&str> = declaration.split_whitespace().collect();
        if let [.., "mod", name] = words[..] {
            found.push((name.to_owned(), path.take()));
        }
    }
    found
}

#[test]
fn crates_use_each_other_as_drawn() {
    let mut wrong = Vec::new();
    for package in packages() {
        let Some(name) = package.name.strip_prefix("ottla-") else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            wrong.push(format!("{name} is not in the drawing"));
            continue;
        };
        let used = package.dependencies.iter().filter_map(|dependency| dependency.strip_prefix("ottla-"));
        wrong.extend(used.filter(|to| !allowed.contains(to)).map(|to| format!("{name} uses {to}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_runtime_under_the_pure_crates() {
    for name in WITHOUT_RUNTIME.iter().filter(|name| root().join("crates").join(name).exists()) {
        let package = format!("ottla-{name}");
        let tree = cargo()
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", &package])
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let text = String::from_utf8(tree.stdout).unwrap();
        let runtime = text
            .lines()
            .find(|line| ["tokio ", "mio ", "async-std "].iter().any(|word| line.starts_with(word)));
        assert_eq!(runtime, None, "{package} must not depend on a runtime");
    }
}

#[test]
fn every_document_has_one_title() {
    let mut wrong = BTreeMap::new();
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        let mut in_code = false;
        let mut titles = 0;
        for line in text.lines() {
            in_code ^= line.starts_with("```");
            titles += usize::from(!in_code && line.starts_with("# "));
        }
        if titles != 1 || !text.starts_with("# ") {
            wrong.insert(file, titles);
        }
    }
    assert!(wrong.is_empty(), "not one title, at the top: {wrong:#?}");
}

/// Users of the gRPC API have these files and nothing else. A call's own message may leave its sentence to the call.
#[test]
fn every_test_named_for_a_known_defect_is_there() {
    let text = fs::read_to_string(root().join("docs/TESTING.md")).unwrap();
    let (_, rest) = text.split_once("<!-- elsewhere -->").expect("the table begins");
    let (table, _) = rest.split_once("<!-- /elsewhere -->").expect("the table ends");
    let sources: String = sources().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let missing: Vec<&str> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| !sources.contains(&format!("fn {name}()")))
        .filter(|name| !root().join(format!("crates/sim/mutants/{name}.patch")).exists())
        .collect();
    assert!(missing.is_empty(), "neither a test nor a mutant: {missing:#?}");
}

#[test]
fn every_part_of_the_grpc_api_is_commented() {
    let mut silent = Vec::new();
    for file in files(&root().join("proto"), "proto") {
        let text = fs::read_to_string(&file).unwrap();
        let mut above = "";
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            let is_call_message = line.starts_with("message ")
                && line.split(['{', ' ']).any(|word| word.ends_with("Request") || word.ends_with("Response"));
            let speaks_of_the_file =
                ["syntax ", "package ", "import ", "reserved "].iter().any(|word| line.starts_with(word));
            let declares = !line.is_empty() && !line.starts_with("//") && line != "}" && !speaks_of_the_file;
            if declares && !is_call_message && !above.starts_with("//") {
                silent.push(format!("{}:{number}: {line}", file.display()));
            }
            above = line;
        }
    }
    assert!(silent.is_empty(), "no comment above {silent:#?}");
}

/// What services link is learned from its examples, all of which `cargo test --doc` compiles.
#[test]
fn every_function_and_type_of_the_client_has_an_example() {
    const KINDS: [&str; 6] =
        ["pub fn ", "pub async fn ", "pub const fn ", "pub struct ", "pub enum ", "pub trait "];
    let (mut seen, mut without) = (0, Vec::new());
    let client = root().join("crates/client/src");
    for file in rust_files(&client).into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let mut has_example = false;
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.starts_with("///") {
                has_example |= line.contains("```");
                continue;
            }
            if line.starts_with("#[") {
                continue;
            }
            if KINDS.iter().any(|kind| line.starts_with(kind)) {
                seen += 1;
                if !has_example {
                    without.push(format!("{}:{number}: {line}", file.display()));
                }
            }
            has_example = false;
        }
    }
    assert!(seen > 100, "only {seen} items were found");
    assert!(without.is_empty(), "no example above {without:#?}");
}

struct Package {
    name: String,
    folder: PathBuf,
    targets: Vec<PathBuf>,
    dependencies: Vec<String>,
}

fn packages() -> Vec<Package> {
    let list = it::project::metadata()["packages"].as_array().unwrap();
    list.iter()
        .map(|package| Package {
            name: package["name"].as_str().unwrap().to_owned(),
            folder: Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned(),
            targets: package["targets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|target| target["src_path"].as_str().unwrap().into())
                .collect(),
            dependencies: package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect(),
        })
        .collect()
}

fn sources() -> Vec<PathBuf> {
    packages()
        .iter()
        .flat_map(|package| rust_files(&package.folder))
        .chain(rust_files(&root().join("fuzz")))
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files(folder, "rs")
}

fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let top = top.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    files(&root().join("docs"), "md").into_iter().chain(top).collect()
}

/// The files of a kind below a folder, build output left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        let hidden =
            path.file_name().is_some_and(|name| name == "target" || name.to_string_lossy().starts_with('.'));
        // A package of its own below another one, such as a foreign client's program, is not a part of it.
        let own = path.join("Cargo.toml").exists();
        if path.is_dir() && !hidden && !own {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}
