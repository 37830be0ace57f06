//! What all commands share that ask a broker: where it is, the runtime, Ctrl-C, and errors with a next step.

use std::future::Future;
use std::time::Duration;

use ottla_client::{Client, Error};

use crate::failure::Failure;

/// Resolves when the user or the system wants the command to end.
pub type Interrupted = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Where the broker is, and how long to wait for it.
#[derive(Clone, Debug, clap::Args)]
pub struct BrokerArguments {
    /// Addresses of the API listener of any broker of the cluster, with commas between them.
    #[arg(
        long,
        short = 'b',
        value_name = "ADDRESS",
        env = "OTTLA_BROKER",
        default_value = "127.0.0.1:9095",
        value_delimiter = ',',
        global = true
    )]
    pub broker: Vec<String>,
    /// How long one request may take, for example 500ms, 30s or 2m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration, global = true)]
    pub timeout: Duration,
}

impl BrokerArguments {
    /// Runs a command against the broker until it ends, or until Ctrl-C or SIGTERM, which is the failure `Interrupted`.
    pub fn run<F: Future<Output = Result<(), Failure>>>(
        &self,
        command: impl FnOnce(Client) -> F,
    ) -> Result<(), Failure> {
        self.run_to_its_end(async |client, interrupted| {
            tokio::select! {
                // A command that is done is done, also if the signal came just then.
                biased;
                outcome = command(client) => outcome,
                () = interrupted => Err(Failure::Interrupted),
            }
        })
    }

    /// The same for a command that has something to do before it ends: it is given what resolves at Ctrl-C or SIGTERM.
    pub fn run_to_its_end<F: Future<Output = Result<(), Failure>>>(
        &self,
        command: impl FnOnce(Client, Interrupted) -> F,
    ) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::with("cannot start the runtime", error))?;
        let outcome = runtime.block_on(async {
            let client = self.client()?;
            let interrupted: Interrupted = Box::pin(interrupted()?);
            command(client, interrupted).await
        });
        // A read of standard input that nobody waits for any more would hold up the end of the process.
        runtime.shutdown_background();
        outcome
    }

    fn client(&self) -> Result<Client, Failure> {
        let builder = self.broker.iter().fold(Client::builder(), |builder, address| {
            let scheme = if address.contains("://") { "" } else { "http://" };
            builder.bootstrap(format!("{scheme}{address}"))
        });
        builder.request_timeout(self.timeout).build().map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// Resolves when the user or the system wants the command to end.
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| Failure::with("cannot listen for signals", error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A client's error about `what`, with what to do next where that is known.
pub fn failed(what: impl std::fmt::Display, error: &Error) -> Failure {
    let about = match (error.topic(), error.partition()) {
        (Some(topic), Some(partition)) => format!(" [{topic}-{partition}]"),
        _ => String::new(),
    };
    let next = next_step(error).map(|next| format!("\n  {next}")).unwrap_or_default();
    Failure::with(what, format!("{error}{about}{next}"))
}

fn next_step(error: &Error) -> Option<&'static str> {
    if let Some(name) = error.kafka_name() {
        return Some(match name {
            "UNKNOWN_TOPIC_OR_PARTITION" => {
                "`ottla topic list` shows the topics, `ottla topic describe TOPIC` its partitions"
            }
            "TOPIC_ALREADY_EXISTS" => {
                "`ottla topic describe TOPIC` shows it; --if-not-exists takes it as it is"
            }
            "INVALID_PARTITIONS" => "partitions only grow: name a larger number than there are, at least 1",
            "INVALID_REPLICATION_FACTOR" => "`ottla cluster status` shows how many brokers there are",
            "INVALID_TOPIC_EXCEPTION" => "names have 1 to 249 letters, digits, '.', '_' and '-'",
            "INVALID_CONFIG" => "docs/configuration.md has the names and ranges",
            "OFFSET_OUT_OF_RANGE" => "--from start reads from the first record that is left",
            "MESSAGE_TOO_LARGE" | "RECORD_LIST_TOO_LARGE" => {
                "`ottla config set --topic TOPIC max.message.bytes=BYTES` allows larger ones"
            }
            "KAFKA_STORAGE_ERROR" => "the broker's log says what is wrong with its disk",
            "NOT_ENOUGH_REPLICAS" | "NOT_ENOUGH_REPLICAS_AFTER_APPEND" => {
                "`ottla cluster status` shows which brokers are missing"
            }
            "TOPIC_DELETION_DISABLED" => "the broker's delete.topic.enable is false",
            "NON_EMPTY_GROUP" => {
                "`ottla group members GROUP` shows who is in it; what they commit would undo this"
            }
            "GROUP_ID_NOT_FOUND" => "`ottla group list` shows the groups",
            "GROUP_SUBSCRIBED_TO_TOPIC" => "members still read it; `ottla group members GROUP` shows them",
            "INVALID_REGULAR_EXPRESSION" => "patterns have RE2's syntax, and match a topic's whole name",
            "COORDINATOR_NOT_AVAILABLE" | "COORDINATOR_LOAD_IN_PROGRESS" | "NOT_COORDINATOR" => {
                "the broker is still loading the group; try again in a moment"
            }
            "RESOURCE_NOT_FOUND" => "`ottla topic list` and `ottla cluster status` show what there is",
            _ => return None,
        });
    }
    match error {
        Error::Unavailable { .. } | Error::TimedOut { .. } => Some(
            "is a broker running there? `ottla serve` starts one; --broker names another (its API listener, not Kafka's port)",
        ),
        _ => None,
    }
}
