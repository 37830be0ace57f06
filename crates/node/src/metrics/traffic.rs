//! What goes in and out, topic by topic.

use crate::metrics::{Counter, Family, Kind, Page};
use crate::topics::TopicTable;

pub(super) static FAMILIES: &[&Family] = &[
    &BYTES_IN,
    &RECORDS_IN,
    &BYTES_OUT,
    &RECORDS_OUT,
    &PRODUCES,
    &PRODUCES_FAILED,
    &FETCHES,
    &FETCHES_FAILED,
];

static BYTES_IN: Family = Family {
    name: "ottla_topic_received_bytes_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Bytes of record batches appended for producers, as they came (compressed, if they were). \
           Refused batches and duplicates of an idempotent producer do not count.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic=*"),
};

static RECORDS_IN: Family = Family {
    name: "ottla_topic_received_records_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Records appended for producers. Refused batches and duplicates of an idempotent producer do not count.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec,topic=*"),
};

static BYTES_OUT: Family = Family {
    name: "ottla_topic_sent_bytes_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Bytes of record batches put into answers to consumers.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic=*"),
};

static RECORDS_OUT: Family = Family {
    name: "ottla_topic_sent_records_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Offsets put into answers to consumers, from the one asked for on. That is the number of records, except in a \
           compacted or transactional topic, whose offsets have gaps and markers.",
    kafka: None,
};

static PRODUCES: Family = Family {
    name: "ottla_topic_produce_requests_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Appends asked for by producers: a request counts once for each of its partitions.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec,topic=*"),
};

static PRODUCES_FAILED: Family = Family {
    name: "ottla_topic_produce_requests_failed_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Appends that were refused or not confirmed in time; ottla_request_errors_total says why.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec,topic=*"),
};

static FETCHES: Family = Family {
    name: "ottla_topic_fetch_requests_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Reads answered to consumers, empty ones included: a request counts once for each of its partitions.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=TotalFetchRequestsPerSec,topic=*"),
};

static FETCHES_FAILED: Family = Family {
    name: "ottla_topic_fetch_requests_failed_total",
    kind: Kind::Counter,
    labels: &["topic"],
    help: "Reads that were refused or failed; ottla_request_errors_total says why.",
    kafka: Some("kafka.server:type=BrokerTopicMetrics,name=FailedFetchRequestsPerSec,topic=*"),
};

/// What went in and out of one topic on this broker. Lives as long as the topic is hosted.
#[derive(Debug, Default)]
pub(crate) struct TopicTraffic {
    pub(crate) bytes_in: Counter,
    pub(crate) records_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) records_out: Counter,
    pub(crate) produces: Counter,
    pub(crate) produces_failed: Counter,
    pub(crate) fetches: Counter,
    pub(crate) fetches_failed: Counter,
}

type OfTopic = fn(&TopicTraffic) -> &Counter;

const COUNTERS: [(&Family, OfTopic); 8] = [
    (&BYTES_IN, |traffic| &traffic.bytes_in),
    (&RECORDS_IN, |traffic| &traffic.records_in),
    (&BYTES_OUT, |traffic| &traffic.bytes_out),
    (&RECORDS_OUT, |traffic| &traffic.records_out),
    (&PRODUCES, |traffic| &traffic.produces),
    (&PRODUCES_FAILED, |traffic| &traffic.produces_failed),
    (&FETCHES, |traffic| &traffic.fetches),
    (&FETCHES_FAILED, |traffic| &traffic.fetches_failed),
];

pub(super) fn collect(topics: &TopicTable, page: &mut Page) {
    let mut hosted: Vec<_> = topics.topics().collect();
    hosted.sort_unstable_by_key(|topic| &topic.name);
    for (family, counter) in COUNTERS {
        let mut samples = page.family(family);
        for topic in &hosted {
            samples.counter(&[&topic.name], counter(topic.traffic()));
        }
    }
}
