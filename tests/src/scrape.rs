//! What a running broker tells Prometheus, read as a scraper does.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::broker::Broker;

/// A scrape: each sample with its value.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The page as it was sent.
    pub text: String,
    /// Each sample, labels included, with its value.
    pub samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Scrapes `/metrics` once.
    pub fn of(broker: &Broker) -> Self {
        let mut stream = TcpStream::connect(broker.api_address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains("content-length: "), "not in chunks: {head}");
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self { samples: samples.collect(), text: text.to_owned() }
    }

    /// The value of a sample that must be there.
    pub fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in\n{}", self.text))
    }

    /// Name and type of each family.
    pub fn families(&self) -> BTreeMap<&str, &str> {
        self.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
    }
}
