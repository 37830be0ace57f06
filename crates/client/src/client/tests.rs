use std::io;
use std::net::TcpListener;

use parking_lot::Mutex;
use tracing::Level;

use super::*;
use crate::ProducerRecord;

/// Where a subscriber writes, for the test to read.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl io::Write for Said {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

#[tokio::test]
async fn what_the_client_says_stands_in_the_span_of_its_cause() {
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let within = Duration::from_millis(300);
    let client =
        Client::builder().bootstrap(format!("http://{nobody}")).request_timeout(within).build().unwrap();

    client.admin().describe_cluster().await.unwrap_err();
    let call = said.text();
    let again = call.lines().find(|line| line.contains("trying again")).expect(&call);
    assert!(again.contains("call{what=\"describing the cluster\"}: ottla_client::"), "{again}");

    let producer = client.producer().delivery_timeout(within).linger(Duration::ZERO).build().unwrap();
    producer.send(ProducerRecord::to("orders").value("1")).await.unwrap().await.unwrap_err();
    let producing = said.text().split_off(call.len());
    assert!(
        producing.contains("producer: ottla_client::") || producing.contains("producer:call{"),
        "{producing}"
    );
}

#[tokio::test]
async fn a_broker_that_does_not_reach_the_others_is_left_for_the_next_one() {
    let builder = Client::builder().bootstrap("http://a:1").bootstrap("http://b:1");
    let client = builder.build().unwrap();
    let fails = |kafka: KafkaError| {
        let picked = client.connection().pick().unwrap();
        client.failure(&picked, &ottla_rpc::status::to_status("no", ottla_rpc::status::detail(kafka)));
        (picked.address.to_string(), client.connection().pick().unwrap().address.to_string())
    };
    let (a, b) = ("http://a:1".to_owned(), "http://b:1".to_owned());
    assert_eq!(fails(KafkaError::NETWORK_EXCEPTION), (a.clone(), b.clone()));
    assert_eq!(fails(KafkaError::NOT_COORDINATOR), (b, a.clone()));
    assert_eq!(fails(KafkaError::COORDINATOR_LOAD_IN_PROGRESS), (a.clone(), a), "this one is the right one");
}
