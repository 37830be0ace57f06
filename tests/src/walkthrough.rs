//! Runs a document's blocks in order, as a reader would who pastes them: one shell, one clean directory, `ottla` and the
//! foreign tools on the path, the default ports.
//!
//! The shell gets a network and a process tree of its own where the system allows it, so that documents may name the default
//! ports while other brokers run, and so that nothing it started outlives it. Elsewhere the ports must be free.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::document::{Block, Document, Language, is_as_expected};
use crate::project::{self, Profile};
use crate::{tools, wait};

/// For a whole document; its slowest commands are Kafka's tools, two seconds each.
const ENDS_WITHIN: Duration = Duration::from_secs(600);

/// The ports that documents name.
const DEFAULT_PORTS: [u16; 2] = [9092, 9095];

/// Kafka's scripts and the classes they start.
const KAFKA_TOOLS: [(&str, &str); 9] = [
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ("kafka-console-producer.sh", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-console-consumer.sh", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("kafka-get-offsets.sh", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-delete-records.sh", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("kafka-log-dirs.sh", "org.apache.kafka.tools.LogDirsCommand"),
    ("kafka-cluster.sh", "org.apache.kafka.tools.ClusterTool"),
    ("kafka-dump-log.sh", "org.apache.kafka.tools.DumpLogSegments"),
];

/// The shell's side: a block is sourced with its output in a file of its own; the first command that fails ends the shell and
/// leaves its status, line and text behind.
const DRIVER: &str = r#"
set -E -o pipefail
blocked() {
    printf '%s\n%s\n%s\n' "$1" "$2" "$3" >"$OTTLA_DOC_STATE/failed"
    exit 1
}
trap 'blocked "$?" "$LINENO" "$BASH_COMMAND"' ERR
await_ready() {
    for _ in {1..3000}; do
        grep -q 'is ready after' "$1" && return
        sleep 0.01
    done
    blocked 1 "$2" 'the broker did not become ready'
}
"#;

/// The foreign tools a document's blocks call.
pub fn needs(document: &Document) -> Vec<tools::Tool> {
    let says = |text: &str| document.blocks.iter().any(|block| block.text.contains(text));
    let python = document.blocks.iter().any(|block| block.language == Language::Python);
    let mut needed = Vec::new();
    needed.extend(says("kcat ").then_some(tools::Tool::Kcat));
    needed.extend(KAFKA_TOOLS.iter().any(|(script, _)| says(script)).then_some(tools::Tool::Kafka));
    needed.extend((python || says("python3 ")).then_some(tools::Tool::Python));
    needed
}

/// Runs all blocks; the first that fails, or prints something else than the document says, is the error.
pub fn run(document: &Document) -> anyhow::Result<()> {
    let session = Session::prepare(document)?;
    let outcome = session.run();
    outcome.with_context(|| format!("the blocks of {}", document.name))
}

struct Session<'a> {
    document: &'a Document,
    scratch: TempDir,
}

impl<'a> Session<'a> {
    fn prepare(document: &'a Document) -> anyhow::Result<Self> {
        let parent = project::target().join("it");
        fs::create_dir_all(&parent)?;
        let scratch = tempfile::Builder::new().prefix("document-").tempdir_in(parent)?;
        let session = Self { document, scratch };
        for folder in ["state", "bin", "work", "home"] {
            fs::create_dir(session.folder(folder))?;
        }
        // A reader who needs these files is in a clone.
        if document.blocks.iter().any(|block| block.text.contains("proto/")) {
            symlink(project::root().join("proto"), session.folder("work").join("proto"))?;
        }
        session.put_on_path()?;
        Ok(session)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn put_on_path(&self) -> anyhow::Result<()> {
        let wrap = |name: &str, command: &str| -> anyhow::Result<()> {
            let path = self.folder("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\nexec {command} \"$@\"\n"))?;
            Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
        };
        wrap("ottla", &project::ottla(Profile::Dev)?.display().to_string())?;
        for tool in needs(self.document) {
            match tool {
                tools::Tool::Kcat if tools::on_path("kcat").is_none() => {
                    let command = tools::kcat();
                    let mut words: Vec<String> = vec!["env".to_owned()];
                    words.extend(
                        command.get_envs().filter_map(|(key, value)| {
                            Some(format!("{}={}", key.to_str()?, value?.to_str()?))
                        }),
                    );
                    words.push(command.get_program().to_string_lossy().into_owned());
                    wrap("kcat", &words.join(" "))?;
                }
                tools::Tool::Python => {
                    let python = tools::python().display().to_string();
                    wrap("python3", &python)?;
                }
                tools::Tool::Kafka => {
                    let jars = tools::kafka_jars().join("*").display().to_string();
                    for (script, class) in KAFKA_TOOLS {
                        let java = "java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp";
                        wrap(script, &format!("{java} '{jars}' {class}"))?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn run(&self) -> anyhow::Result<()> {
        let driver = self.folder("state").join("driver.sh");
        fs::write(&driver, self.driver()?)?;
        let mut shell = shell(&driver)?;
        let path = std::env::var("PATH").unwrap_or_default();
        shell
            .env("PATH", format!("{}:{path}", self.folder("bin").display()))
            .env("HOME", self.folder("home"))
            .env("OTTLA_DOC_STATE", self.folder("state"))
            .env_remove("RUST_LOG")
            .current_dir(self.folder("work"))
            .stdin(Stdio::null())
            .process_group(0);
        let mut shell = Group(shell.spawn().context("starting a shell")?);
        let ended = wait::until("the document's end", ENDS_WITHIN, || Ok(shell.0.try_wait()?));
        let failed = fs::read_to_string(self.folder("state").join("failed")).ok();
        drop(shell);
        for (number, block) in self.document.blocks.iter().enumerate() {
            let Ok(printed) = fs::read_to_string(self.output_of(number)) else {
                bail!("{}: not reached, and nothing failed before it", self.place(block.line));
            };
            let is_last = !self.output_of(number + 1).exists();
            if is_last && let Some(failed) = &failed {
                let mut failed = failed.lines();
                let (status, line) = (failed.next().unwrap_or("?"), failed.next().unwrap_or("?"));
                let command = failed.collect::<Vec<_>>().join("\n");
                let line = line.parse().ok().filter(|line| *line >= block.line).unwrap_or(block.line);
                bail!("{}: status {status} of `{command}`\n{printed}", self.place(line));
            }
            if is_last && ended.is_err() {
                bail!("{}: did not end\n{printed}", self.place(block.line));
            }
            if let Some(expected) = &block.output {
                ensure!(
                    is_as_expected(expected, &printed),
                    "{}: prints something else than the document says\n--- expected\n{expected}--- printed\n{printed}",
                    self.place(block.line)
                );
            }
        }
        let status = ended?;
        ensure!(status.success(), "the shell ended with {status}");
        Ok(())
    }

    /// Every block in a file with as many empty lines before it as in the document: what complains names the right line.
    fn driver(&self) -> anyhow::Result<String> {
        let mut driver = DRIVER.to_owned();
        for (number, block) in self.document.blocks.iter().enumerate() {
            let source = self.folder("state").join(format!("{number}.source"));
            fs::write(&source, format!("{}{}", "\n".repeat(block.line - 1), block.text))?;
            let source = source.display();
            let command = match &block.language {
                Language::Shell => format!(". {source}"),
                Language::Python => format!("python3 {source}"),
                Language::Rust(example) => built_example(example)?.display().to_string(),
            };
            let output = self.output_of(number);
            let output = output.display();
            driver.push_str(&format!("exec >{output} 2>&1\n{command}\n"));
            if leaves_a_broker_behind(block) {
                driver.push_str(&format!("await_ready {output} {}\n", block.line));
            }
        }
        Ok(driver)
    }

    fn output_of(&self, number: usize) -> PathBuf {
        self.folder("state").join(format!("{number}.output"))
    }

    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.document.name)
    }
}

/// A reader looks at the greeting before going on.
fn leaves_a_broker_behind(block: &Block) -> bool {
    block.text.lines().any(|line| line.contains("ottla serve") && line.trim_end().ends_with('&'))
}

/// The client's example, compiled out here where the compiler has what it needs.
fn built_example(name: &str) -> anyhow::Result<PathBuf> {
    let mut build = project::cargo();
    build.args(["build", "--quiet", "--package", "ottla-client", "--example", name]);
    let output = build.output()?;
    ensure!(output.status.success(), "building {name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(project::target().join("debug/examples").join(name))
}

/// A shell with a network of its own, or, where the system does not allow that, one in ours if the ports are free.
fn shell(driver: &Path) -> anyhow::Result<Command> {
    const APART: [&str; 8] =
        ["--user", "--map-root-user", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--"];
    let allowed = Command::new("unshare").args(APART).args(["ip", "link", "set", "lo", "up"]).output();
    if allowed.is_ok_and(|output| output.status.success()) {
        let mut command = Command::new("unshare");
        command.args(APART).args(["bash", "--noprofile", "--norc", "-c", "ip link set lo up && . \"$0\""]);
        command.arg(driver);
        return Ok(command);
    }
    for port in DEFAULT_PORTS {
        TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("documents name port {port}, this system gives their shell no network of its own, and the port is taken")
        })?;
    }
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc"]).arg(driver);
    Ok(command)
}

/// The shell and everything it started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
