//! From the cluster's configs to what one topic's partitions are run with.

use std::time::Duration;

use ottla_coordination::config::{AckDurability, BrokerConfig, Layers, Settings, TopicConfig};
use ottla_coordination::metadata::{Image, Topic};
use ottla_record::BrokerId;
use ottla_record::produce::{Origin, ProduceRules};
use ottla_replication::{Durability, PartitionConfig};
use ottla_storage::{CompactionConfig, DirtyRatio, LogConfig};

use crate::topics::TopicSettings;

/// A broker's settings as they stand in its file, with what they come to.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// The keys as written in the file and on the command line.
    pub file: Settings,
    /// What they come to.
    pub config: BrokerConfig,
}

impl BrokerSettings {
    /// The layers of settings that hold on this broker now; `body` sees them.
    pub fn with_layers<T>(&self, image: &Image, body: impl FnOnce(Layers<'_>) -> T) -> T {
        let none = Settings::new();
        let of = |broker: Option<BrokerId>| image.broker_configs(broker).map_or(&none, |configs| &**configs);
        body(Layers {
            broker: of(Some(self.config.node_id)),
            cluster: of(None),
            file: &self.file,
            brokers: image.brokers().count(),
        })
    }

    /// What a topic's configuration comes to on this broker.
    pub fn topic_config(&self, image: &Image, topic: &Topic) -> TopicConfig {
        self.with_layers(image, |layers| {
            TopicConfig::resolve(layers, topic.configs(), topic.replication_factor())
        })
    }

    pub(crate) fn topic_settings(&self, image: &Image, topic: &Topic) -> TopicSettings {
        let config = self.topic_config(image, topic);
        TopicSettings {
            produce: self.produce_rules(&config),
            partition: PartitionConfig {
                durability: match config.ack_durability {
                    AckDurability::Fsync => Durability::Fsync,
                    AckDurability::Os => Durability::Os,
                },
                min_insync_replicas: config.min_insync_replicas,
                flush_records: config.flush_messages.unsigned_abs(),
                flush_interval: Duration::from_millis(config.flush_ms.unsigned_abs()),
                replica_lag_max: self.config.replica_lag_max,
                log: self.log_config(&config),
            },
            leader_throttled: config.leader_throttled,
            follower_throttled: config.follower_throttled,
        }
    }

    fn produce_rules(&self, config: &TopicConfig) -> ProduceRules {
        ProduceRules {
            origin: Origin::Client,
            max_batch_bytes: config.max_message_bytes,
            timestamp_type: config.message_timestamp_type,
            before_max_ms: config.message_timestamp_before_max_ms,
            after_max_ms: config.message_timestamp_after_max_ms,
            compression: config.compression,
            compacted: config.compact,
            allow_zstd: true,
            max_decompressed_bytes: self.config.max_decompressed_bytes,
        }
    }

    fn log_config(&self, config: &TopicConfig) -> LogConfig {
        LogConfig {
            segment_bytes: config.segment_bytes,
            // What is to be compacted in time must leave the active segment in time.
            segment_ms: match config.compact {
                true => config.segment_ms.min(config.max_compaction_lag_ms),
                false => config.segment_ms,
            },
            segment_jitter_ms: 0,
            segment_index_bytes: config.segment_index_bytes,
            index_interval_bytes: config.index_interval_bytes,
            retention_bytes: config.retention_bytes,
            retention_ms: config.retention_ms,
            delete_expired: config.delete,
            compacted: config.compact,
            compaction: config.compact.then(|| CompactionConfig {
                delete_retention_ms: config.delete_retention_ms,
                min_lag_ms: config.min_compaction_lag_ms,
                max_lag_ms: config.max_compaction_lag_ms,
                min_dirty_ratio: DirtyRatio::new(config.min_cleanable_dirty_ratio),
            }),
            file_delete_delay_ms: config.file_delete_delay_ms,
            preallocate: config.preallocate,
            producer_id_expiration_ms: i64::try_from(self.config.producer_id_expiration.as_millis())
                .unwrap_or(i64::MAX),
        }
    }
}
