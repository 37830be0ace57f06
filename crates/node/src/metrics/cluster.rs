//! The cluster as this broker's metadata shows it.

use ottla_coordination::metadata::Image;

use crate::metrics::{Family, Kind, Page};

pub(super) static FAMILIES: &[&Family] = &[&BROKERS, &FENCED, &TOPICS, &PARTITIONS, &LEADERLESS, &VERSION];

static BROKERS: Family = Family {
    name: "ottla_cluster_active_brokers",
    kind: Kind::Gauge,
    labels: &[],
    help: "Registered brokers that are not fenced.",
    kafka: Some("kafka.controller:type=KafkaController,name=ActiveBrokerCount"),
};

static FENCED: Family = Family {
    name: "ottla_cluster_fenced_brokers",
    kind: Kind::Gauge,
    labels: &[],
    help: "Registered brokers that may not lead: stopped, starting, or not heard of. Should be 0.",
    kafka: Some("kafka.controller:type=KafkaController,name=FencedBrokerCount"),
};

static TOPICS: Family = Family {
    name: "ottla_cluster_topics",
    kind: Kind::Gauge,
    labels: &[],
    help: "Topics of the cluster.",
    kafka: Some("kafka.controller:type=KafkaController,name=GlobalTopicCount"),
};

static PARTITIONS: Family = Family {
    name: "ottla_cluster_partitions",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions of the cluster.",
    kafka: Some("kafka.controller:type=KafkaController,name=GlobalPartitionCount"),
};

static LEADERLESS: Family = Family {
    name: "ottla_cluster_leaderless_partitions",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions of the cluster that nobody leads, so that they can be neither written nor read. Should be 0.",
    kafka: Some("kafka.controller:type=KafkaController,name=OfflinePartitionsCount"),
};

static VERSION: Family = Family {
    name: "ottla_metadata_version",
    kind: Kind::Gauge,
    labels: &[],
    help: "Changes of the cluster's metadata up to the image that this broker works with; a broker that stays behind the others has lost touch.",
    kafka: Some("kafka.server:type=broker-metadata-metrics, last-applied-record-offset"),
};

pub(super) fn collect(image: &Image, page: &mut Page) {
    let leaderless = image
        .topics()
        .flat_map(|topic| topic.partitions())
        .filter(|(_, partition)| partition.leader.is_none());
    page.add(&LEADERLESS, &[], leaderless.count());
    page.add(&BROKERS, &[], image.brokers().filter(|broker| !broker.fenced).count());
    page.add(&FENCED, &[], image.brokers().filter(|broker| broker.fenced).count());
    page.add(&TOPICS, &[], image.topic_count());
    page.add(&PARTITIONS, &[], image.partition_count());
    page.add(&VERSION, &[], image.version());
}
