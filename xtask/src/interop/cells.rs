//! The cells of the matrix: which client in which version must be able to do what.

use it::broker::Broker;
use it::interop::client::Protocol::{Consumer, Cooperative, Eager, Static};
use it::interop::client::{Client, Protocol};
use it::interop::stories;
use it::tools::KAFKA_VERSION;

/// What is told.
#[derive(Clone, Copy)]
pub(crate) enum Story {
    /// The members of a group share a topic: `it::interop::scenario`.
    Share(Client, Protocol),
    /// An operator uses one of Kafka's tools.
    Tool(fn(&Broker)),
}

/// One line of docs/compatibility.md.
pub(crate) struct Cell {
    pub(crate) client: &'static str,
    pub(crate) feature: &'static str,
    pub(crate) story: Story,
}

impl Cell {
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.client, self.feature)
    }

    pub(crate) fn version(&self) -> anyhow::Result<String> {
        match self.story {
            Story::Share(client, _) => client.version(),
            Story::Tool(_) => Ok(KAFKA_VERSION.to_owned()),
        }
    }
}

const EAGER: &str = "classic group";
const COOPERATIVE: &str = "classic group, cooperative rebalancing (KIP-429)";
const STATIC: &str = "classic group, static members (KIP-345)";
const CONSUMER: &str = "consumer group protocol (KIP-848)";

const fn share(name: &'static str, client: Client, protocol: Protocol) -> Cell {
    let feature = match protocol {
        Eager => EAGER,
        Cooperative => COOPERATIVE,
        Static => STATIC,
        Consumer => CONSUMER,
    };
    Cell { client: name, feature, story: Story::Share(client, protocol) }
}

const fn tool(name: &'static str, feature: &'static str, story: fn(&Broker)) -> Cell {
    Cell { client: name, feature, story: Story::Tool(story) }
}

/// All of them. What a client cannot do is not a cell: kafkajs and kafka-go know the eager protocol alone.
pub(crate) const CELLS: &[Cell] = &[
    share("Java client", Client::Java, Eager),
    share("Java client", Client::Java, Cooperative),
    share("Java client", Client::Java, Static),
    share("Java client", Client::Java, Consumer),
    share("confluent-kafka (Python)", Client::ConfluentKafka, Eager),
    share("confluent-kafka (Python)", Client::ConfluentKafka, Cooperative),
    share("confluent-kafka (Python)", Client::ConfluentKafka, Static),
    share("confluent-kafka (Python)", Client::ConfluentKafka, Consumer),
    share("kafka-python", Client::KafkaPython, Eager),
    share("kafka-python", Client::KafkaPython, Cooperative),
    share("kafka-python", Client::KafkaPython, Static),
    share("aiokafka (Python)", Client::Aiokafka, Eager),
    share("aiokafka (Python)", Client::Aiokafka, Static),
    share("kcat", Client::Kcat, Eager),
    share("kcat", Client::Kcat, Cooperative),
    share("kafkajs (Node.js)", Client::KafkaJs, Eager),
    share("@confluentinc/kafka-javascript (Node.js)", Client::ConfluentKafkaJavascript, Eager),
    share("@confluentinc/kafka-javascript (Node.js)", Client::ConfluentKafkaJavascript, Cooperative),
    share("@confluentinc/kafka-javascript (Node.js)", Client::ConfluentKafkaJavascript, Consumer),
    share("franz-go (Go)", Client::FranzGo, Eager),
    share("franz-go (Go)", Client::FranzGo, Cooperative),
    share("franz-go (Go)", Client::FranzGo, Static),
    share("franz-go (Go)", Client::FranzGo, Consumer),
    share("sarama (Go)", Client::Sarama, Eager),
    share("sarama (Go)", Client::Sarama, Cooperative),
    share("sarama (Go)", Client::Sarama, Static),
    share("segmentio/kafka-go (Go)", Client::KafkaGo, Eager),
    share("rust-rdkafka", Client::Rdkafka, Eager),
    share("rust-rdkafka", Client::Rdkafka, Cooperative),
    share("rust-rdkafka", Client::Rdkafka, Static),
    share("rust-rdkafka", Client::Rdkafka, Consumer),
    tool("kafka-console-consumer", "`--group`, both protocols", stories::the_console_consumer_goes_on),
    tool(
        "kafka-consumer-groups",
        "resets in every mode, deletion of offsets and groups",
        stories::offsets_are_reset_and_deleted,
    ),
    tool("kafka-consumer-groups", "a live classic group", stories::a_live_classic_group_is_described),
    tool("kafka-consumer-groups", "a live consumer group", stories::a_live_consumer_group_is_described),
    tool("kafka-consumer-perf-test", "with a group", stories::the_consumer_is_measured),
    tool("kafka-e2e-latency", "there and back", stories::the_way_from_end_to_end_is_measured),
    tool("verifiable consumer", "both protocols", stories::the_verifiable_consumer_commits_what_it_read),
];
