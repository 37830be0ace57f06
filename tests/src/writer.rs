//! A writer process, an idempotent producer of some client, and the history it records.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::clients::python_command;
use crate::history::{Acknowledged, Writes};
use crate::{project, toolbox, wait};

/// Whose producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// librdkafka: `tests/clients/history_writer.py`.
    Librdkafka,
    /// Kafka's own: `tests/clients/HistoryWriter.java`.
    Java,
    /// Ours, over gRPC: `tests/examples/history_writer.rs`.
    Rust,
}

/// A running writer.
#[derive(Debug)]
pub struct Writer {
    name: String,
    partitions: usize,
    child: Child,
    writes: Arc<Mutex<Writes>>,
    reader: JoinHandle<anyhow::Result<u64>>,
}

impl Writer {
    /// Starts one over librdkafka that writes so many records a second, to the partitions in turn.
    pub fn start(bootstrap: &str, topic: &str, name: &str, partitions: i32, per_second: u32) -> Self {
        Self::start_of(Library::Librdkafka, bootstrap, topic, name, partitions, per_second)
    }

    /// The same of any client; the addresses of [`Library::Rust`] are API listeners.
    pub fn start_of(
        library: Library,
        bootstrap: &str,
        topic: &str,
        name: &str,
        partitions: i32,
        per_second: u32,
    ) -> Self {
        let (count, rate) = (partitions.to_string(), per_second.to_string());
        let mut command = match library {
            Library::Librdkafka => python_command("history_writer.py", &[]),
            Library::Java => {
                let mut java = toolbox::java();
                java.arg("HistoryWriter");
                java
            }
            Library::Rust => Command::new(project::example("history_writer").expect("it compiles")),
        };
        command.args([bootstrap, topic, name, &count, &rate]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let writes = Arc::new(Mutex::new(Writes { name: name.to_owned(), ..Writes::default() }));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let reader = thread::spawn({
            let writes = writes.clone();
            move || record(lines.map_while(Result::ok), &writes)
        });
        Self {
            name: name.to_owned(),
            partitions: usize::try_from(partitions).expect("a count"),
            child,
            writes,
            reader,
        }
    }

    /// The name in its values.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many records were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.writes.lock().expect("no panic").acknowledged.len()
    }

    /// The longest outage of a partition since then; see [`Writes::longest_gap`].
    pub fn longest_gap(&self, from: Instant) -> Duration {
        self.writes.lock().expect("no panic").longest_gap(from)
    }

    /// Waits until so many more records of every partition are acknowledged.
    pub fn wait_progress(&mut self, more: usize, within: Duration) -> anyhow::Result<()> {
        let before = self.writes.lock().expect("no panic").by_partition();
        let (writes, child, name, partitions) = (&self.writes, &mut self.child, &self.name, self.partitions);
        wait::until(&format!("the writer {name} to go on everywhere"), within, || {
            if let Some(status) = child.try_wait()? {
                bail!("it ended with {status}");
            }
            let now = writes.lock().expect("no panic").by_partition();
            let moved = |(partition, count): (&i32, &usize)| {
                *count >= before.get(partition).copied().unwrap_or_default() + more
            };
            Ok((now.len() == partitions && now.iter().all(moved)).then_some(()))
        })
    }

    /// Lets it finish what it has sent.
    pub fn finish(mut self) -> anyhow::Result<Writes> {
        drop(self.child.stdin.take());
        let sent = self.reader.join().expect("no panic");
        let status = self.child.wait()?;
        ensure!(status.success(), "the writer {} ended with {status}", self.name);
        let mut writes = std::mem::take(&mut *self.writes.lock().expect("no panic"));
        writes.sent = sent.with_context(|| format!("the writer {}", self.name))?;
        Ok(writes)
    }
}

/// Notes what the lines say, each at the moment it comes.
fn record(lines: impl Iterator<Item = String>, writes: &Mutex<Writes>) -> anyhow::Result<u64> {
    for line in lines {
        let at = Instant::now();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["sent", count] => return Ok(count.parse()?),
            ["acked", number, partition, offset] => {
                let offset = Some(offset.parse()?).filter(|offset| *offset >= 0);
                let (number, partition) = (number.parse()?, partition.parse()?);
                let acknowledged = Acknowledged { number, partition, offset, at };
                writes.lock().expect("no panic").acknowledged.push(acknowledged);
            }
            ["unknown", number, ..] => {
                writes.lock().expect("no panic").unknown.insert(number.parse()?);
            }
            _ => bail!("it said: {line}"),
        }
    }
    bail!("it ended without saying how many it sent")
}
