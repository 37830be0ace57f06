//! Each partition's marks, and how many partitions are in need of an operator.

use std::sync::Arc;

use ottla_coordination::metadata::Image;
use ottla_record::BrokerId;
use ottla_replication::{Availability, View};

use crate::metrics::{Family, Kind, Page};
use crate::topics::{HostedTopic, TopicTable};

pub(super) static FAMILIES: &[&Family] = &[
    &LOG_SIZE,
    &LOG_START,
    &LOG_END,
    &HIGH_WATERMARK,
    &LAST_STABLE,
    &FLUSHED_END,
    &SEGMENTS,
    &HOSTED,
    &LED,
    &OFFLINE,
    &UNDER_REPLICATED,
    &UNDER_MIN_ISR,
    &AT_MIN_ISR,
];

const OF_PARTITION: &[&str] = &["topic", "partition"];

static LOG_SIZE: Family = Family {
    name: "ottla_partition_log_size_bytes",
    kind: Kind::Gauge,
    labels: OF_PARTITION,
    help: "Bytes of record batches in all segments.",
    kafka: Some("kafka.log:type=Log,name=Size,topic=*,partition=*"),
};

static LOG_START: Family = Family {
    name: "ottla_partition_log_start_offset",
    kind: Kind::Gauge,
    labels: OF_PARTITION,
    help: "First offset that can be read; retention and deleted records raise it.",
    kafka: Some("kafka.log:type=Log,name=LogStartOffset,topic=*,partition=*"),
};

static LOG_END: Family = Family {
    name: "ottla_partition_log_end_offset",
    kind: Kind::Gauge,
    labels: OF_PARTITION,
    help: "The offset that the next record will get.",
    kafka: Some("kafka.log:type=Log,name=LogEndOffset,topic=*,partition=*"),
};

static HIGH_WATERMARK: Family = Family {
    name: "ottla_partition_high_watermark_offset",
    kind: Kind::Gauge,
    labels: OF_PARTITION,
    help: "End of what consumers may read: every in-sync replica has it, and with ottla.ack.durability=fsync on disk.",
    kafka: None,
};

static LAST_STABLE: Family = Family {
    name: "ottla_partition_last_stable_offset",
    kind: Kind::Gauge,
    labels: OF_PARTITION,
    help: "End of what read_committed consumers may read; an open transaction holds it back.",
    kafka: Some("kafka.cluster:type=Partition,name=LastStableOffsetLag,topic=*,partition=*"),
};

static FLUSHED_END: Family = Family {
    name: "ottla_partition_flushed_end_offset",
    kind: Kind::Gauge,
    labels: OF_PARTITION,
    help: "Everything below it is on this broker's disk.",
    kafka: None,
};

static SEGMENTS: Family = Family {
    name: "ottla_partition_segments",
    kind: Kind::Gauge,
    labels: OF_PARTITION,
    help: "Segments of the log, the active one included.",
    kafka: Some("kafka.log:type=Log,name=NumLogSegments,topic=*,partition=*"),
};

static HOSTED: Family = Family {
    name: "ottla_partitions",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions of which this broker holds a replica.",
    kafka: Some("kafka.server:type=ReplicaManager,name=PartitionCount"),
};

static LED: Family = Family {
    name: "ottla_partitions_led",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions that this broker leads.",
    kafka: Some("kafka.server:type=ReplicaManager,name=LeaderCount"),
};

static OFFLINE: Family = Family {
    name: "ottla_partitions_offline",
    kind: Kind::Gauge,
    labels: &[],
    help: "Replicas here that cannot be used: their log did not open, or a write or flush failed. Should be 0; the log says why.",
    kafka: Some("kafka.server:type=ReplicaManager,name=OfflineReplicaCount"),
};

static UNDER_REPLICATED: Family = Family {
    name: "ottla_partitions_under_replicated",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions led here of which a replica is not in sync. Should be 0 but for moments.",
    kafka: Some("kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions"),
};

static UNDER_MIN_ISR: Family = Family {
    name: "ottla_partitions_under_min_isr",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions led here with fewer in-sync replicas than min.insync.replicas: producers with acks=all are refused. Should be 0.",
    kafka: Some("kafka.server:type=ReplicaManager,name=UnderMinIsrPartitionCount"),
};

static AT_MIN_ISR: Family = Family {
    name: "ottla_partitions_at_min_isr",
    kind: Kind::Gauge,
    labels: &[],
    help: "Partitions led here with just min.insync.replicas in sync and more replicas than that: losing one more refuses producers.",
    kafka: Some("kafka.server:type=ReplicaManager,name=AtMinIsrPartitionCount"),
};

type OfView = fn(&View) -> u64;

const GAUGES: [(&Family, OfView); 7] = [
    (&LOG_SIZE, |view| view.size_bytes),
    (&LOG_START, |view| view.log_start.get().unsigned_abs()),
    (&LOG_END, |view| view.log_end.get().unsigned_abs()),
    (&HIGH_WATERMARK, |view| view.high_watermark.get().unsigned_abs()),
    (&LAST_STABLE, |view| view.last_stable.get().unsigned_abs()),
    (&FLUSHED_END, |view| view.flushed_end.get().unsigned_abs()),
    (&SEGMENTS, |view| view.log.segment_count() as u64),
];

/// Reads every partition's view: one scrape costs some microseconds a partition, an idle partition between scrapes nothing.
pub(super) fn collect(topics: &TopicTable, image: &Image, own: BrokerId, page: &mut Page) {
    let mut views: Vec<_> = topics.partitions().map(|host| (host, host.view())).collect();
    views.sort_unstable_by(|(one, _), (other, _)| {
        (one.topic(), one.index()).cmp(&(other.topic(), other.index()))
    });
    for (family, gauge) in GAUGES {
        let mut samples = page.family(family);
        for (host, view) in &views {
            samples.add(&[host.topic(), &host.index()], gauge(view));
        }
    }
    let counts =
        topics.topics().map(|topic| Counts::of(topic, image, own)).fold(Counts::default(), Counts::plus);
    page.add(&HOSTED, &[], counts.hosted);
    page.add(&LED, &[], counts.led);
    page.add(&OFFLINE, &[], counts.offline);
    page.add(&UNDER_REPLICATED, &[], counts.under_replicated);
    page.add(&UNDER_MIN_ISR, &[], counts.under_min_isr);
    page.add(&AT_MIN_ISR, &[], counts.at_min_isr);
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    hosted: u64,
    led: u64,
    offline: u64,
    under_replicated: u64,
    under_min_isr: u64,
    at_min_isr: u64,
}

impl Counts {
    fn of(hosted: &Arc<HostedTopic>, image: &Image, own: BrokerId) -> Self {
        let mut counts = Self::default();
        let Some(topic) = image.topic_by_id(hosted.id) else { return counts };
        let min_insync_replicas = hosted.settings().partition.min_insync_replicas;
        for ((_, partition), slot) in topic.partitions().zip(hosted.partitions()) {
            if !partition.replicas.contains(&own) {
                continue;
            }
            counts.hosted += 1;
            let availability = slot.host().map(|host| host.view().availability);
            if matches!(availability, None | Some(Availability::Offline)) {
                counts.offline += 1;
            }
            if !matches!(availability, Some(Availability::Leading { .. })) {
                continue;
            }
            let (replicas, in_sync) = (partition.replicas.len(), partition.isr.len());
            // More than there are replicas can never be in sync (KIP-966).
            let required = min_insync_replicas.min(replicas).max(1);
            counts.led += 1;
            counts.under_replicated += u64::from(in_sync < replicas);
            counts.under_min_isr += u64::from(in_sync < required);
            counts.at_min_isr += u64::from(in_sync == required && required < replicas);
        }
        counts
    }

    fn plus(self, other: Self) -> Self {
        Self {
            hosted: self.hosted + other.hosted,
            led: self.led + other.led,
            offline: self.offline + other.offline,
            under_replicated: self.under_replicated + other.under_replicated,
            under_min_isr: self.under_min_isr + other.under_min_isr,
            at_min_isr: self.at_min_isr + other.at_min_isr,
        }
    }
}
