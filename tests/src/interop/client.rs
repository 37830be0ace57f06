//! The foreign clients: their programs under `tests/interop`, where they are installed, their versions and protocols.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::tools::{self, KAFKA_VERSION, Tool};
use crate::{project, toolbox};

/// How the members of a group agree on who reads what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Classic: everyone gives up everything at each rebalance.
    Eager,
    /// Classic and incremental (KIP-429): only what moves is given up.
    Cooperative,
    /// Classic with static members (KIP-345): who comes back in time finds its partitions.
    Static,
    /// The broker assigns (KIP-848).
    Consumer,
}

impl Protocol {
    /// The word the member programs take.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Eager => "eager",
            Protocol::Cooperative => "cooperative",
            Protocol::Static => "static",
            Protocol::Consumer => "consumer",
        }
    }
}

/// A client library, or a program that is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their own names")]
pub enum Client {
    Java,
    ConfluentKafka,
    KafkaPython,
    Aiokafka,
    Kcat,
    KafkaJs,
    ConfluentKafkaJavascript,
    FranzGo,
    Sarama,
    KafkaGo,
    Rdkafka,
}

impl Client {
    /// All of them.
    pub const ALL: [Client; 11] = [
        Client::Java,
        Client::ConfluentKafka,
        Client::KafkaPython,
        Client::Aiokafka,
        Client::Kcat,
        Client::KafkaJs,
        Client::ConfluentKafkaJavascript,
        Client::FranzGo,
        Client::Sarama,
        Client::KafkaGo,
        Client::Rdkafka,
    ];

    /// Its name, which is that of its folder under `tests/interop`.
    pub fn name(self) -> &'static str {
        match self {
            Client::Java => "java",
            Client::ConfluentKafka => "confluent-kafka",
            Client::KafkaPython => "kafka-python",
            Client::Aiokafka => "aiokafka",
            Client::Kcat => "kcat",
            Client::KafkaJs => "kafkajs",
            Client::ConfluentKafkaJavascript => "confluent-kafka-javascript",
            Client::FranzGo => "franz-go",
            Client::Sarama => "sarama",
            Client::KafkaGo => "kafka-go",
            Client::Rdkafka => "rdkafka",
        }
    }

    /// What its members can speak.
    pub fn protocols(self) -> &'static [Protocol] {
        use Protocol::{Consumer, Cooperative, Eager, Static};
        match self {
            Client::Java | Client::ConfluentKafka | Client::FranzGo | Client::Rdkafka => {
                &[Eager, Cooperative, Static, Consumer]
            }
            Client::ConfluentKafkaJavascript => &[Eager, Cooperative, Consumer],
            Client::KafkaPython | Client::Sarama => &[Eager, Cooperative, Static],
            Client::Aiokafka => &[Eager, Static],
            Client::Kcat => &[Eager, Cooperative],
            Client::KafkaJs | Client::KafkaGo => &[Eager],
        }
    }

    /// kcat commits what it was given and throws it away unseen when a signal comes in that moment: it can be stopped
    /// without a loss only when it has nothing to do.
    pub fn drops_records_at_sigterm(self) -> bool {
        self == Client::Kcat
    }

    /// Where its program lies in the source tree.
    pub fn source(self) -> PathBuf {
        project::root().join("tests/interop").join(self.name())
    }

    /// Where `cargo xtask interop` installs it, for those that need more than the tools of every test.
    pub fn installed(self) -> PathBuf {
        tools::folder().join("interop").join(self.name())
    }

    /// The tool that brings it, for those that `cargo xtask tools` installs.
    pub fn tool(self) -> Option<Tool> {
        match self {
            Client::Java => Some(Tool::Kafka),
            Client::ConfluentKafka | Client::KafkaPython | Client::Aiokafka => Some(Tool::Python),
            Client::Kcat => Some(Tool::Kcat),
            Client::KafkaJs
            | Client::ConfluentKafkaJavascript
            | Client::FranzGo
            | Client::Sarama
            | Client::KafkaGo
            | Client::Rdkafka => None,
        }
    }

    /// The program of one member, without its arguments. kcat has its own: see [`super::member`].
    pub fn program(self) -> Command {
        match self {
            Client::Java => {
                let mut java = toolbox::java();
                java.args(["-Xmx96m", "Member"]);
                java
            }
            Client::ConfluentKafka | Client::KafkaPython | Client::Aiokafka => {
                let mut python = Command::new(tools::python());
                python.arg(self.source().join("member.py"));
                python
            }
            Client::Kcat => tools::kcat(),
            Client::KafkaJs | Client::ConfluentKafkaJavascript => {
                let mut node = Command::new("node");
                node.arg(self.source().join("member.js"));
                node.env("NODE_PATH", self.installed().join("node_modules"));
                node
            }
            Client::FranzGo | Client::Sarama | Client::KafkaGo => {
                Command::new(self.installed().join("member"))
            }
            Client::Rdkafka => Command::new(self.installed().join("debug/interop-rdkafka")),
        }
    }

    /// The version that is installed, as its own package says it.
    pub fn version(self) -> anyhow::Result<String> {
        match self {
            Client::Java => Ok(KAFKA_VERSION.to_owned()),
            Client::ConfluentKafka | Client::KafkaPython | Client::Aiokafka => self.python_version(),
            Client::Kcat => {
                // "Version 1.7.1 (JSON, …, librdkafka 2.0.2 builtin.features=…)"
                let said = output(tools::kcat().arg("-V"))?;
                let after =
                    |word: &str| said.split(word).nth(1).and_then(|rest| rest.split_whitespace().next());
                let (kcat, library) = (after("Version "), after("librdkafka "));
                Ok(format!("{} (librdkafka {})", kcat.context("kcat -V")?, library.context("kcat -V")?))
            }
            Client::KafkaJs => self.node_version("kafkajs"),
            Client::ConfluentKafkaJavascript => self.node_version("@confluentinc/kafka-javascript"),
            Client::FranzGo => self.go_version("github.com/twmb/franz-go "),
            Client::Sarama => self.go_version("github.com/IBM/sarama "),
            Client::KafkaGo => self.go_version("github.com/segmentio/kafka-go "),
            Client::Rdkafka => {
                let lock = std::fs::read_to_string(self.source().join("Cargo.lock"))?;
                let locked = |package: &str| {
                    let entry = lock.split(&format!("name = \"{package}\"\nversion = \"")).nth(1)?;
                    entry.split('"').next()
                };
                let library = locked("rdkafka-sys").and_then(|version| version.rsplit('+').next());
                let version = locked("rdkafka").context("rdkafka in Cargo.lock")?;
                Ok(format!("{version} (librdkafka {})", library.context("rdkafka-sys in Cargo.lock")?))
            }
        }
    }

    fn python_version(self) -> anyhow::Result<String> {
        let mut python = Command::new(tools::python());
        let ask = format!("import importlib.metadata as m; print(m.version('{}'))", self.name());
        Ok(output(python.args(["-c", &ask]))?.trim().to_owned())
    }

    fn node_version(self, package: &str) -> anyhow::Result<String> {
        let manifest = self.installed().join("node_modules").join(package).join("package.json");
        let manifest: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(manifest)?)?;
        Ok(manifest["version"].as_str().context("a version")?.to_owned())
    }

    fn go_version(self, module: &str) -> anyhow::Result<String> {
        let manifest = std::fs::read_to_string(self.source().join("go.mod"))?;
        let rest = manifest.split(module).nth(1).context("the module in go.mod")?;
        Ok(rest.split_whitespace().next().context("a version")?.trim_start_matches('v').to_owned())
    }
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
