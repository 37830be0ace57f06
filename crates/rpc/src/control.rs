//! What the nodes of a cluster say to each other: stubs, and ids on the wire.
//!
//! Ids are 16 bytes, and a node's number is never negative. What does not hold is refused with the name of the field.

use bytes::Bytes;
use ottla_record::{BrokerId, ClusterId, DirectoryId, Uuid};

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::indexing_slicing,
    reason = "generated; the comments are in the .proto files"
)]
pub mod v1 {
    //! Generated from `proto/ottla/control/v1`.
    tonic::include_proto!("ottla.control.v1");
}

/// A field that is missing or holds what it cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidField(pub &'static str);

impl std::fmt::Display for InvalidField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "field {} is missing or malformed", self.0)
    }
}

impl std::error::Error for InvalidField {}

impl From<InvalidField> for tonic::Status {
    fn from(invalid: InvalidField) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}

/// One log directory of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// The node.
    pub node: BrokerId,
    /// Its directory.
    pub directory: DirectoryId,
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} with log directory {}", self.node, self.directory)
    }
}

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// In which cluster.
    pub cluster: ClusterId,
    /// Who sends.
    pub from: Party,
    /// Whom it is for.
    pub to: Party,
}

/// An id as it is sent.
pub fn id_bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// An id as it was received in this field.
pub fn id(field: &'static str, bytes: &[u8]) -> Result<Uuid, InvalidField> {
    bytes.try_into().map(Uuid::from_bytes).map_err(|_| InvalidField(field))
}

impl From<Party> for v1::Party {
    fn from(party: Party) -> Self {
        Self { node_id: party.node.get(), directory_id: id_bytes(party.directory.0) }
    }
}

impl TryFrom<v1::Party> for Party {
    type Error = InvalidField;

    fn try_from(party: v1::Party) -> Result<Self, InvalidField> {
        if party.node_id < 0 {
            return Err(InvalidField("node_id"));
        }
        Ok(Self {
            node: BrokerId::new(party.node_id),
            directory: DirectoryId(id("directory_id", &party.directory_id)?),
        })
    }
}

impl From<Envelope> for v1::Envelope {
    fn from(envelope: Envelope) -> Self {
        Self {
            cluster_id: id_bytes(envelope.cluster.0),
            from: Some(envelope.from.into()),
            to: Some(envelope.to.into()),
        }
    }
}

impl TryFrom<v1::Envelope> for Envelope {
    type Error = InvalidField;

    fn try_from(envelope: v1::Envelope) -> Result<Self, InvalidField> {
        Ok(Self {
            cluster: ClusterId(id("cluster_id", &envelope.cluster_id)?),
            from: envelope.from.ok_or(InvalidField("from"))?.try_into()?,
            to: envelope.to.ok_or(InvalidField("to"))?.try_into()?,
        })
    }
}

#[cfg(test)]
mod tests;
