//! kcat and the Python clients, run to their end, or listened to while they run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::{project, tools};

/// Runs kcat and returns its output; fails on another exit status than 0.
pub fn kcat(args: &[&str]) -> anyhow::Result<Vec<u8>> {
    kcat_with_input(args, &[])
}

/// Runs kcat with bytes on its standard input.
pub fn kcat_with_input(args: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut command = tools::kcat();
    command.args(args);
    finish(command, input)
}

/// Runs one of `tests/clients/*.py` in the virtual environment and returns its output.
pub fn python(script: &str, args: &[&str]) -> anyhow::Result<Vec<u8>> {
    finish(python_command(script, args), &[])
}

/// The same with bytes on its standard input.
pub fn python_with_input(script: &str, args: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    finish(python_command(script, args), input)
}

/// Starts one of `tests/clients/*.py` and leaves it running, its output piped.
pub fn start_python(script: &str, args: &[&str]) -> anyhow::Result<Child> {
    Ok(python_command(script, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// A command that runs one of `tests/clients/grpc_*.py`, with stubs that grpcio-tools generated from `proto/` alone.
pub fn grpc_python(script: &str, args: &[&str]) -> anyhow::Result<Command> {
    let mut command = python_command(script, args);
    command.env("PYTHONPATH", grpc_stubs()?);
    Ok(command)
}

/// Generated once a test process: another one may be writing its own.
fn grpc_stubs() -> anyhow::Result<&'static Path> {
    static STUBS: OnceLock<TempDir> = OnceLock::new();
    if let Some(stubs) = STUBS.get() {
        return Ok(stubs.path());
    }
    let stubs = TempDir::new()?;
    let proto = project::root().join("proto");
    let mut generate = Command::new(tools::python());
    generate.args(["-m", "grpc_tools.protoc", "-I"]).arg(&proto);
    for option in ["--python_out", "--grpc_python_out"] {
        generate.arg(format!("{option}={}", stubs.path().display()));
    }
    for entry in std::fs::read_dir(proto.join("ottla/v1"))? {
        generate.arg(entry?.path());
    }
    finish(generate, &[])?;
    Ok(STUBS.get_or_init(|| stubs).path())
}

/// A command that runs one of `tests/clients/*.py` in the virtual environment.
pub(crate) fn python_command(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new(tools::python());
    command.arg(project::client(script)).args(args);
    command
}

/// A program that says what it does line by line; dropping it kills it.
#[derive(Debug)]
pub struct Telling {
    child: Child,
    lines: Receiver<String>,
    told: Vec<String>,
}

impl Telling {
    /// Starts it and listens.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().context("piped")?);
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, lines, told: Vec::new() })
    }

    /// Everything that it has said so far.
    pub fn told(&mut self) -> &[String] {
        self.told.extend(self.lines.try_iter());
        &self.told
    }

    /// The end of its standard input, at which it ends by itself.
    pub fn close(&mut self) {
        drop(self.child.stdin.take());
    }

    /// How it ended, waiting for that.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command to its end with bytes on its standard input; its standard error is part of the failure.
pub fn finish(mut command: Command, input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let mut stdin = child.stdin.take().context("piped")?;
    let output = std::thread::scope(|scope| {
        // Written beside the reading, or both sides wait on a full pipe.
        let writer = scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output();
        let _ = writer.join();
        output
    })?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout[..output.stdout.len().min(2000)])
    );
    Ok(output.stdout)
}
