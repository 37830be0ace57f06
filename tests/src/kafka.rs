//! How Apache Kafka is started as a peer: a process that is broker and controller, or several that are a cluster.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;

use crate::broker::Spec;
use crate::place::{Place, Ports, Role};
use crate::tools;

/// Any valid cluster id; a fresh directory has no other.
const CLUSTER_ID: &str = "G_BBSZcOSfuktpIyOqM7CQ";

/// Writes the configuration and formats the data directory, unless it was formatted before.
pub fn format(spec: &Spec, scratch: &Path, data_dir: &Path, ports: Ports) -> anyhow::Result<()> {
    std::fs::write(scratch.join("log.yaml"), "Configuration:\n  Loggers:\n    Root: {level: \"OFF\"}\n")?;
    std::fs::write(scratch.join("server.properties"), properties(spec, data_dir, ports))?;
    if data_dir.join("meta.properties").exists() {
        return Ok(());
    }
    let output = java(scratch, "256m")
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(scratch.join("server.properties"))
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "formatting: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The process itself. Logging is off, as in a fair measurement, and the collector's flags are those of Kafka's start script.
pub fn command(spec: &Spec, scratch: &Path) -> Command {
    let mut command = java(scratch, spec.kafka_heap);
    command.arg("kafka.Kafka").arg(scratch.join("server.properties"));
    command
}

fn java(scratch: &Path, heap: &str) -> Command {
    let mut command = Command::new("java");
    command.args([format!("-Xmx{heap}"), format!("-Xms{heap}")]);
    command.args([
        "-server",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
    ]);
    command.arg(format!("-Dlog4j2.configurationFile={}", scratch.join("log.yaml").display()));
    command.arg("-cp").arg(tools::kafka_jars().join("*"));
    command
}

fn properties(spec: &Spec, data_dir: &Path, ports: Ports) -> String {
    let place = spec.place.clone().unwrap_or_else(|| alone(ports));
    let mut text = format!("{}log.dirs={}\n", place.kafka_properties(), data_dir.display());
    for (key, value) in spec.settings.iter().filter(|(key, _)| !key.starts_with("ottla.")) {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

/// The place of a broker by itself, which is its own controller.
fn alone(ports: Ports) -> Place {
    let host = "127.0.0.1".to_owned();
    let voters = Place::voter(1, &host, ports);
    Place { id: 1, host, ports, voters, role: Role::Both, brokers: 1, namespace: None }
}
