//! What a broker tells a person when it is ready.

use std::time::Duration;

use ottla_node::coordination::config::BrokerConfig;
use ottla_node::coordination::metadata::{Endpoint, SecurityProtocol};

/// How to publish and read, in commands that can be pasted.
pub(crate) fn greeting(config: &BrokerConfig, endpoints: &[Endpoint], took: Duration) -> String {
    let spoken = |api: bool| {
        endpoints.iter().filter(move |endpoint| (endpoint.protocol == SecurityProtocol::Api) == api)
    };
    let address_of = |endpoint: Option<&Endpoint>| endpoint.map(address).unwrap_or_default();
    let address = address_of(spoken(false).next());
    let api = match spoken(true).next() {
        Some(endpoint) => format!("gRPC, metrics and health on http://{}\n", self::address(endpoint)),
        None => String::new(),
    };
    format!(
        "\
Ottla {version} is ready after {took} ms: node {node}, data in {data}
Kafka clients connect to {address}
{api}
  publish   echo 'hello' | kcat -b {address} -t greetings -P
  read      kcat -b {address} -t greetings -C -o beginning -e
  or with Kafka's tools
            kafka-console-producer.sh --bootstrap-server {address} --topic greetings
            kafka-console-consumer.sh --bootstrap-server {address} --topic greetings --from-beginning --group readers

Stop with Ctrl-C.
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
