//! The small files that say whose a directory is: `meta.properties`, `partition.metadata`, `.kafka_cleanshutdown`.

use ottla_record::{BrokerId, ClusterId, DirectoryId, TopicId};

/// `meta.properties`, version 1 (KIP-631, KIP-858), in Java's properties format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// Absent until the node has joined a cluster.
    pub cluster_id: Option<ClusterId>,
    /// `node.id`
    pub node_id: BrokerId,
    /// The directory's own id (KIP-858).
    pub directory_id: DirectoryId,
}

impl MetaProperties {
    pub(crate) fn write(&self) -> String {
        let cluster = self.cluster_id.map(|id| format!("cluster.id={id}\n")).unwrap_or_default();
        format!("{cluster}directory.id={}\nnode.id={}\nversion=1\n", self.directory_id, self.node_id)
    }

    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
        let (mut cluster_id, mut node_id, mut directory_id, mut version) = (None, None, None, None);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once('=').ok_or_else(|| format!("'{line}' is not key=value"))?;
            let bad = || format!("{key} cannot be '{value}'");
            match key.trim() {
                "version" => version = Some(value.trim().to_owned()),
                "cluster.id" => cluster_id = Some(ClusterId(value.parse().map_err(|_| bad())?)),
                "directory.id" => directory_id = Some(DirectoryId(value.parse().map_err(|_| bad())?)),
                "node.id" | "broker.id" => {
                    let id = value.parse().ok().and_then(BrokerId::from_wire);
                    node_id = Some(id.ok_or_else(bad)?);
                }
                _ => {}
            }
        }
        if version.as_deref() != Some("1") {
            return Err("its version is not 1".to_owned());
        }
        Ok(Self {
            cluster_id,
            node_id: node_id.ok_or("node.id is missing")?,
            directory_id: directory_id.ok_or("directory.id is missing")?,
        })
    }
}

/// `partition.metadata`, version 0 (KIP-516).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Id of the topic.
    pub topic_id: TopicId,
}

impl PartitionMetadata {
    pub(crate) fn write(&self) -> String {
        format!("version: 0\ntopic_id: {}", self.topic_id)
    }

    pub(crate) fn read(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not text".to_owned())?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(str::trim).ok_or_else(|| format!("{key} is missing"))
        };
        if value("version")? != "0" {
            return Err("its version is not 0".to_owned());
        }
        let topic_id = value("topic_id")?.parse().map_err(|error| format!("topic_id: {error}"))?;
        Ok(Self { topic_id: TopicId(topic_id) })
    }
}

/// `.kafka_cleanshutdown`: `{"version":"0","broker_epoch":"12"}`, all values as strings (KIP-966).
pub(crate) mod clean_shutdown {
    use ottla_record::BrokerEpoch;

    pub(crate) fn write(epoch: Option<BrokerEpoch>) -> String {
        format!(r#"{{"version":"0","broker_epoch":"{}"}}"#, BrokerEpoch::to_wire(epoch))
    }

    /// The file's presence is what counts; an epoch that cannot be read is none.
    pub(crate) fn read(text: &[u8]) -> Option<BrokerEpoch> {
        let text = std::str::from_utf8(text).ok()?;
        let (_, rest) = text.split_once(r#""broker_epoch""#)?;
        let digits =
            rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split('"').next()?;
        BrokerEpoch::from_wire(digits.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_record::{BrokerEpoch, Uuid};

    #[test]
    fn meta_properties_are_kafkas() {
        let id = |byte| Uuid::from_random([byte; 16]);
        let meta = MetaProperties {
            cluster_id: Some(ClusterId(id(1))),
            node_id: BrokerId::new(7),
            directory_id: DirectoryId(id(2)),
        };
        let text = meta.write();
        assert_eq!(
            text,
            "cluster.id=AQEBAQEBQQGBAQEBAQEBAQ\ndirectory.id=AgICAgICQgKCAgICAgICAg\nnode.id=7\nversion=1\n"
        );
        assert_eq!(MetaProperties::read(text.as_bytes()), Ok(meta));
        let kafkas = format!("#\n#Sun Nov 22 2026\n{text}");
        assert_eq!(MetaProperties::read(kafkas.as_bytes()), Ok(meta));
        let alone = MetaProperties { cluster_id: None, ..meta };
        assert_eq!(MetaProperties::read(alone.write().as_bytes()), Ok(alone));
        for (bad, why) in [
            ("", "its version is not 1"),
            ("version=0\nnode.id=1\n", "its version is not 1"),
            ("version=1\ndirectory.id=AgICAgICQgKCAgICAgICAg\n", "node.id is missing"),
            ("version=1\nnode.id=-1\n", "node.id cannot be '-1'"),
            ("version=1\nnode.id=1\n", "directory.id is missing"),
            ("version\n", "'version' is not key=value"),
        ] {
            assert_eq!(MetaProperties::read(bad.as_bytes()).unwrap_err(), why);
        }
    }

    #[test]
    fn partition_metadata_is_kafkas() {
        let metadata = PartitionMetadata { topic_id: TopicId(Uuid::from_random([3; 16])) };
        assert_eq!(metadata.write(), "version: 0\ntopic_id: AwMDAwMDQwODAwMDAwMDAw");
        assert_eq!(PartitionMetadata::read(metadata.write().as_bytes()), Ok(metadata));
        assert!(PartitionMetadata::read(b"version: 1\ntopic_id: AwMDAwMDQwODAwMDAwMDAw").is_err());
        assert!(PartitionMetadata::read(b"version: 0\ntopic_id: x").is_err());
        assert!(PartitionMetadata::read(b"").is_err());
    }

    #[test]
    fn a_clean_stop_tells_the_epoch() {
        let epoch = Some(BrokerEpoch::new(12));
        assert_eq!(clean_shutdown::read(clean_shutdown::write(epoch).as_bytes()), epoch);
        assert_eq!(
            clean_shutdown::read(br#"{ "broker_epoch" : "5", "version":"0"}"#),
            Some(BrokerEpoch::new(5))
        );
        assert_eq!(clean_shutdown::read(clean_shutdown::write(None).as_bytes()), None);
        assert_eq!(clean_shutdown::read(b""), None);
    }
}
