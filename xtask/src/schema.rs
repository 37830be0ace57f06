//! `cargo xtask schema`: reduces the message definitions in Kafka's jars to the bare facts under `crates/wire/schema/`.
//!
//! Kafka's JSON files say for every field its name, type, versions, default, … besides prose and hints for Kafka's
//! own generator. Only facts are kept, one line per field, so that `crates/wire/build/` needs no JSON parser:
//!
//! ```text
//! request ProduceRequest api=0 versions=3-13 flexible=9+ listeners=broker
//!   TransactionalId string 3+ nullable=3+ default=null
//!   TopicData []TopicProduceData 0+
//!     Name string 0-12
//!   struct NAME VERSIONS          a struct that several fields use
//! ```
//!
//! Field options: `nullable=VERSIONS`, `tag=N`, `default=VALUE`, `ignorable`, `flexible=none`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use it::project::root;
use it::tools::KAFKA_VERSION;
use serde_json::Value;

use xtask::kafka_jars::kafka_jars;
use xtask::process;

/// Jar, folder inside it, and the file of `schema/` for what is neither request nor response.
const SOURCES: [(&str, &str, &str); 6] = [
    ("kafka-clients", "common/message", "data"),
    ("kafka-group-coordinator", "common/message", "group-records"),
    ("kafka-transaction-coordinator", "common/message", "transaction-records"),
    ("kafka-share-coordinator", "common/message", "share-records"),
    ("kafka-storage", "message", "storage"),
    ("kafka-metadata", "common/metadata", "metadata-records"),
];

/// Of Kafka's cluster metadata, what an import of its topics has to understand.
const METADATA_RECORDS: [&str; 9] = [
    "TopicRecord",
    "PartitionRecord",
    "PartitionChangeRecord",
    "ConfigRecord",
    "RemoveTopicRecord",
    "ProducerIdsRecord",
    "BeginTransactionRecord",
    "EndTransactionRecord",
    "AbortTransactionRecord",
];

/// Regenerates `crates/wire/schema/*.schema`.
pub(crate) fn run() -> anyhow::Result<()> {
    let jars = kafka_jars()?;
    let mut files: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (jar, folder, rest) in SOURCES {
        let messages = read_definitions(&jars.join(format!("{jar}-{KAFKA_VERSION}.jar")), folder)?;
        let apis = broker_apis(&messages);
        for message in messages.values() {
            let name = text(message, "name")?;
            // Of `kafka-storage` only the producers' snapshot is a file of the log; the others are tiered storage's.
            if rest == "storage" && name != "ProducerSnapshot" {
                continue;
            }
            if rest == "metadata-records" && !METADATA_RECORDS.contains(&name) {
                continue;
            }
            let file = match text(message, "type")? {
                "request" | "response" => match message["apiKey"].as_i64().and_then(|key| apis.get(&key)) {
                    Some(file) => file.clone(),
                    None => continue,
                },
                "header" => "headers".to_owned(),
                _ => rest.to_owned(),
            };
            let reduced = reduce(message).with_context(|| format!("in {name}"))?;
            files.entry(file).or_default().push((order(message)?, reduced));
        }
    }
    let out = root().join("crates/wire/schema");
    fs::create_dir_all(&out)?;
    for entry in fs::read_dir(&out)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "schema") {
            fs::remove_file(path)?;
        }
    }
    for (file, mut messages) in files {
        messages.sort();
        let mut content =
            format!("# Facts of Apache Kafka {KAFKA_VERSION}; written by `cargo xtask schema`.\n");
        messages.iter().for_each(|(_, message)| content.push_str(message));
        fs::write(out.join(format!("{file}.schema")), content)?;
    }
    Ok(())
}

/// All definitions of one jar by name. (`ZkMigrationRecord.json` shows that the file's name may differ.)
fn read_definitions(jar: &Path, folder: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let unpacked = jar.with_extension("definitions");
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked)?;
    process::run(Command::new("jar").arg("xf").arg(jar).arg(folder).current_dir(&unpacked))?;
    let mut found = BTreeMap::new();
    for entry in
        fs::read_dir(unpacked.join(folder)).with_context(|| format!("{folder} in {}", jar.display()))?
    {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let source = fs::read_to_string(&path)?;
        let source: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let message: Value =
            serde_json::from_str(&source.join("\n")).with_context(|| format!("in {}", path.display()))?;
        found.insert(text(&message, "name")?.to_owned(), message);
    }
    Ok(found)
}

/// The file of each API that a broker's listener serves: `00-produce`. Only the request names listeners, and the four
/// APIs removed in Kafka 4.0 have none.
fn broker_apis(messages: &BTreeMap<String, Value>) -> BTreeMap<i64, String> {
    let served = |m: &&Value| m["listeners"].as_array().is_some_and(|all| all.iter().any(|l| l == "broker"));
    let file = |m: &Value| {
        let key = m["apiKey"].as_i64()?;
        let name = m["name"].as_str()?.strip_suffix("Request")?;
        let mut file = format!("{key:02}");
        for c in name.chars() {
            if c.is_uppercase() {
                file.push('-');
            }
            file.extend(c.to_lowercase());
        }
        Some((key, file))
    };
    messages.values().filter(|m| m["type"] == "request").filter(served).filter_map(file).collect()
}

/// Sorts a request before its response, keys before values, and records by type.
fn order(message: &Value) -> anyhow::Result<String> {
    let key = message["apiKey"].as_i64().unwrap_or(0);
    Ok(format!("{key:04} {} {}", text(message, "type")?, text(message, "name")?))
}

fn reduce(message: &Value) -> anyhow::Result<String> {
    let mut out = String::new();
    write!(out, "\n{} {}", text(message, "type")?, text(message, "name")?)?;
    if let Some(key) = message["apiKey"].as_i64() {
        write!(out, " api={key}")?;
    }
    write!(
        out,
        " versions={} flexible={}",
        text(message, "validVersions")?,
        text(message, "flexibleVersions")?
    )?;
    if let Some(listeners) = message["listeners"].as_array() {
        let listeners: Vec<&str> = listeners.iter().filter_map(Value::as_str).collect();
        write!(out, " listeners={}", listeners.join(","))?;
    }
    if message["latestVersionUnstable"] == true {
        out.push_str(" unstable");
    }
    out.push('\n');
    reduce_fields(message, 1, &mut out)?;
    for shared in message["commonStructs"].as_array().into_iter().flatten() {
        writeln!(out, "  struct {} {}", text(shared, "name")?, text(shared, "versions")?)?;
        reduce_fields(shared, 2, &mut out)?;
    }
    Ok(out)
}

fn reduce_fields(parent: &Value, depth: usize, out: &mut String) -> anyhow::Result<()> {
    for field in parent["fields"].as_array().into_iter().flatten() {
        let (name, kind) = (text(field, "name")?, text(field, "type")?);
        // A tagged field of a coordinator record may leave its versions out: they are those of the tag.
        let versions = text(field, "versions").or_else(|_| text(field, "taggedVersions"))?;
        write!(out, "{:width$}{name} {kind} {versions}", "", width = 2 * depth)?;
        if let Some(nullable) = field["nullableVersions"].as_str() {
            write!(out, " nullable={nullable}")?;
        }
        if let Some(tag) = field["tag"].as_i64() {
            ensure!(
                field["taggedVersions"] == versions,
                "{name} is tagged in other versions than it exists: the schema cannot say that"
            );
            write!(out, " tag={tag}")?;
        }
        if let Some(default) = default(field, kind)? {
            write!(out, " default={default}")?;
        }
        if field["ignorable"] == true {
            out.push_str(" ignorable");
        }
        if let Some(flexible) = field["flexibleVersions"].as_str() {
            write!(out, " flexible={flexible}")?;
        }
        out.push('\n');
        reduce_fields(field, depth + 1, out)?;
    }
    Ok(())
}

/// A field's default, unless it is the type's zero. The *text* `"null"` means null; JSON's own null means that none is given.
fn default(field: &Value, kind: &str) -> anyhow::Result<Option<String>> {
    let given = match &field["default"] {
        Value::Null => return Ok(None),
        Value::String(s) => s.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        other => bail!("default {other}"),
    };
    let given = match given.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16)?.to_string(),
        None => given,
    };
    let zero = given.is_empty() || given == "false" || given == "0" && kind != "string";
    Ok((!zero).then_some(given))
}

fn text<'a>(value: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    value[key].as_str().with_context(|| format!("no '{key}'"))
}
