//! `ottla produce`: lines become records.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ottla_client::{Acks, Client, Codec, Header, Producer, ProducerRecord, Sent};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;

use crate::commands::config::key_and_value;
use crate::commands::topic::{count, no_partition};
use crate::failure::Failure;
use crate::online::{BrokerArguments, failed};
use crate::output::{Output, Progress};

/// `ottla produce`, with what it asks.
#[derive(Debug, Args)]
pub struct Produce {
    #[command(flatten)]
    broker: BrokerArguments,
    /// Where to.
    topic: String,
    /// Reads this file instead of standard input.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What stands between key and value in a line; without it, the whole line is the value. \t is a tab.
    #[arg(long, short = 'K', value_name = "TEXT", value_parser = unescape)]
    key_separator: Option<String>,
    /// The key of every record.
    #[arg(long, short, value_name = "KEY", conflicts_with = "key_separator")]
    key: Option<String>,
    /// A header of every record. May be given several times.
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = key_and_value)]
    headers: Vec<(String, String)>,
    /// A key or value that is exactly this text is null: in a compacted topic, the value of a tombstone.
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
    /// The partition of every record; without it, the key decides, or chance.
    #[arg(long, short, value_name = "N")]
    partition: Option<i32>,
    /// How batches are compressed.
    #[arg(long, short = 'z', value_enum, default_value_t)]
    compression: Compression,
    /// What an acknowledgement means.
    #[arg(long, value_enum, default_value_t)]
    acks: AcksArgument,
    /// Says nothing at the end.
    #[arg(long, short)]
    quiet: bool,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Compression {
    /// Not at all.
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum AcksArgument {
    /// Every in-sync replica has it.
    #[default]
    All,
    /// The leader has it.
    Leader,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip { level: -1 },
            Compression::Snappy => Self::Snappy,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd { level: 3 },
        }
    }
}

impl From<AcksArgument> for Acks {
    fn from(acks: AcksArgument) -> Self {
        match acks {
            AcksArgument::All => Self::All,
            AcksArgument::Leader => Self::Leader,
        }
    }
}

/// Bytes of one line: a broker's default for the largest batch is 1 MiB, its upper limit for a request 100 MiB.
const MAX_LINE_BYTES: u64 = 100 << 20;
/// Records whose acknowledgement is not known yet. The producer bounds their bytes.
const MAX_UNCONFIRMED: usize = 100_000;
/// A person who types wants to see an error soon; a pipe wants full batches.
const LINGER_TYPED: Duration = Duration::ZERO;
const LINGER_PIPED: Duration = Duration::from_millis(5);

impl Produce {
    pub(super) fn execute(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        self.broker.run(async |client: Client| {
            self.check_partition(&client).await?;
            let started = Instant::now();
            let typed = self.file.is_none() && io::stdin().is_terminal();
            let producer = client
                .producer()
                .linger(if typed { LINGER_TYPED } else { LINGER_PIPED })
                .compression(self.compression.into())
                .acks(self.acks.into())
                // Only what all replicas have can be told apart from a repetition (KIP-98).
                .idempotent(matches!(self.acks, AcksArgument::All))
                .delivery_timeout(self.broker.timeout)
                .build()
                .map_err(|error| Failure::Usage(error.to_string()))?;
            let (records, bytes) = match &self.file {
                Some(path) => {
                    let cannot = |error| Failure::with(format_args!("cannot read {}", path.display()), error);
                    let file = tokio::fs::File::open(path).await.map_err(cannot)?;
                    let total = file.metadata().await.map_err(cannot)?.len();
                    self.publish(producer, BufReader::new(file), Progress::bytes(Some(total))).await?
                }
                // A person sees what they type; a bar would write over it.
                None if typed => {
                    self.publish(producer, BufReader::new(tokio::io::stdin()), Progress::hidden()).await?
                }
                None => {
                    self.publish(producer, BufReader::new(tokio::io::stdin()), Progress::bytes(None)).await?
                }
            };
            if self.quiet || !io::stderr().is_terminal() {
                return Ok(());
            }
            let seconds = started.elapsed();
            let rate = bytes as f64 / seconds.as_secs_f64().max(1e-9) / 1e6;
            let sent = count(i64::try_from(records).unwrap_or(i64::MAX), "record");
            output.note(format_args!(
                "{sent} acknowledged by {} in {}, {rate:.1} MB/s",
                self.topic,
                crate::output::Duration(seconds)
            ));
            Ok(())
        })
    }

    /// The producer would look for a partition that is missing until its time is up: partitions may be added.
    async fn check_partition(&self, client: &Client) -> Result<(), Failure> {
        let Some(wanted) = self.partition else { return Ok(()) };
        match client.admin().describe_topic(&self.topic).await {
            Ok(info) if !info.partitions.iter().any(|partition| partition.partition == wanted) => {
                Err(no_partition(&self.topic, wanted, info.partitions.len()))
            }
            // A topic that is missing may be created by the first record; anything else the producer meets, too.
            _ => Ok(()),
        }
    }

    /// Publishes every line, and returns how many records and bytes were acknowledged.
    async fn publish(
        &self,
        producer: Producer,
        mut lines: impl AsyncBufRead + Unpin,
        progress: Progress,
    ) -> Result<(u64, u64), Failure> {
        let (sent, mut unconfirmed) = mpsc::channel::<Sent>(MAX_UNCONFIRMED);
        let cannot =
            |error: &ottla_client::Error| failed(format_args!("cannot publish to {}", self.topic), error);
        let confirm = async {
            let mut records = 0_u64;
            while let Some(sent) = unconfirmed.recv().await {
                sent.await.map_err(|error| cannot(&error))?;
                records += 1;
            }
            Ok(records)
        };
        let publish = async {
            let (mut bytes, mut line) = (0_u64, Vec::new());
            loop {
                line.clear();
                let read = (&mut lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await;
                let read = read.map_err(|error| Failure::with("cannot read the input", error))?;
                if read == 0 {
                    drop(sent);
                    return Ok(bytes);
                }
                if read as u64 == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                    return Err(Failure::with(
                        "a line is longer than",
                        format_args!("{MAX_LINE_BYTES} bytes"),
                    ));
                }
                let content = line.strip_suffix(b"\n").unwrap_or(&line);
                let record = self.record(content.strip_suffix(b"\r").unwrap_or(content))?;
                let on_its_way = producer.send(record).await.map_err(|error| cannot(&error))?;
                if sent.send(on_its_way).await.is_err() {
                    // The other side has failed, and says why.
                    return Ok(bytes);
                }
                bytes += read as u64;
                progress.advance(read as u64);
            }
        };
        // An error of either side ends both.
        let (bytes, records) = tokio::try_join!(publish, confirm)?;
        producer.close().await.map_err(|error| cannot(&error))?;
        Ok((records, bytes))
    }

    fn record(&self, line: &[u8]) -> Result<ProducerRecord, Failure> {
        let (key, value) = match &self.key_separator {
            None => (self.key.as_ref().map(|key| key.as_bytes()), line),
            Some(separator) => match find(line, separator.as_bytes()) {
                Some(at) => {
                    let (key, rest) = line.split_at(at);
                    (Some(key), rest.get(separator.len()..).unwrap_or_default())
                }
                None => {
                    let shown: String = String::from_utf8_lossy(line).chars().take(60).collect();
                    let why = format_args!("--key-separator {separator:?} does not stand in it");
                    return Err(Failure::with(format_args!("the line {shown:?} has no key"), why));
                }
            },
        };
        let null = self.null.as_ref().map(|null| null.as_bytes());
        let mut record = ProducerRecord::to(self.topic.as_str());
        record.partition = self.partition;
        record.key = key.filter(|key| Some(*key) != null).map(|key| key.to_vec().into());
        record.value = Some(line).filter(|_| Some(value) != null).map(|_| value.to_vec().into());
        record.headers = self
            .headers
            .iter()
            .map(|(name, value)| Header { name: name.clone(), value: Some(value.clone().into()) })
            .collect();
        Ok(record)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Reads `\t` and its like in a separator.
fn unescape(text: &str) -> Result<String, String> {
    let text = text.replace("\\t", "\t").replace("\\0", "\0");
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text) }
}
