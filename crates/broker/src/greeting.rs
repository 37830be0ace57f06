//! What a broker tells a person when it is ready.

use std::time::Duration;

use ottla_node::coordination::config::BrokerConfig;
use ottla_node::coordination::metadata::Endpoint;

/// How to publish and read, in commands that can be pasted.
pub(crate) fn greeting(config: &BrokerConfig, endpoints: &[Endpoint], took: Duration) -> String {
    let address = endpoints.first().map(address).unwrap_or_default();
    format!(
        "\
Ottla {version} is ready after {took} ms: node {node}, data in {data}
Kafka clients connect to {address}

  publish   echo 'hello' | kcat -b {address} -t greetings -P
  read      kcat -b {address} -t greetings -C -o beginning -e
  or with Kafka's tools
            kafka-console-producer.sh --bootstrap-server {address} --topic greetings
            kafka-console-consumer.sh --bootstrap-server {address} --topic greetings --partition 0 --offset earliest

Consumer groups are not part of this version yet: readers name their partitions. Stop with Ctrl-C.
",
        version = env!("CARGO_PKG_VERSION"),
        took = took.as_millis(),
        node = config.node_id,
        data = config.data_dir.display(),
    )
}

fn address(endpoint: &Endpoint) -> String {
    let Endpoint { host, port, .. } = endpoint;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
