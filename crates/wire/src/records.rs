//! The records of the coordinators' topics, and other messages that carry their version with them.
//!
//! A record of `__consumer_offsets`, `__transaction_state` or `__share_group_state` has a key of `int16` record type and the
//! key message at its only version 0, and a value of `int16` value version and the value message at that version. A record
//! without a value deletes what the key names. The same number means another type in each topic.
//!
//! ```
//! use ottla_wire::messages::{OffsetCommitKey, OffsetCommitValue};
//! use ottla_wire::records::GroupRecord;
//!
//! let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 1 };
//! let value = OffsetCommitValue { offset: 42, ..Default::default() };
//! let record = GroupRecord::OffsetCommit(key, Some(value));
//!
//! let (key, value) = (record.encode_key()?, record.encode_value(3)?);
//! assert_eq!(GroupRecord::decode(key, value)?, record);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::messages::*;
use crate::{Error, Message, Reader, ToTree, Tree, Writer};

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A newer broker wrote it. A loader skips the record and says so; to stop would make a downgrade impossible.
    #[error("record type {0} is unknown to this version")]
    UnknownType(i16),
    /// The bytes are not what the type says.
    #[error("a record's {part} is broken: {source}")]
    Broken {
        /// `key`, or the name of the message.
        part: &'static str,
        /// What is wrong.
        source: Error,
    },
}

/// A record, to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The number its key begins with.
    pub record_type: i16,
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub key: Tree,
    /// What it says of that, with the version it is written in; `None` if it deletes.
    pub value: Option<(i16, Tree)>,
}

macro_rules! record_types {
    ($(#[$doc:meta])* $name:ident { $($code:literal $(| $also:literal)* $variant:ident: $key:ident => $value:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $(
                #[doc = concat!("Type ", $code, ".")]
                $variant($key, Option<$value>),
            )*
        }

        impl $name {
            /// The types as written, with the names of their key and value messages.
            pub const TYPES: &[(i16, &str, &str)] = &[$(($code, $key::NAME, $value::NAME),)*];

            /// Reads a record.
            ///
            /// # Errors
            /// An unknown type, or bytes that are not what their type says.
            pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<Self, RecordError> {
                let broken = |part| move |source| RecordError::Broken { part, source };
                let mut key = Reader::new(key);
                match key.i16().map_err(broken("key"))? {
                    $($code $(| $also)* => Ok(Self::$variant(
                        $key::decode(&mut key, 0).map_err(broken($key::NAME))?,
                        value.map(|value| decode_versioned(value).map_err(broken($value::NAME))).transpose()?,
                    )),)*
                    unknown => Err(RecordError::UnknownType(unknown)),
                }
            }

            /// The key's bytes.
            ///
            /// # Errors
            /// A text of more than 32,767 bytes.
            pub fn encode_key(&self) -> Result<Bytes, Error> {
                let mut writer = Writer::new();
                match self {
                    $(Self::$variant(key, _) => {
                        writer.i16($code);
                        key.encode(&mut writer, 0)?;
                    })*
                }
                Ok(writer.into_parts().0.into())
            }

            /// The value's bytes at a version of [`value_versions`](Self::value_versions); `None` for a record that deletes.
            ///
            /// # Errors
            /// A value that the version cannot carry, or a version that does not exist.
            pub fn encode_value(&self, version: i16) -> Result<Option<Bytes>, Error> {
                match self {
                    $(Self::$variant(_, value) => {
                        value.as_ref().map(|value| encode_versioned(value, version)).transpose()
                    })*
                }
            }

            /// A record as it can be shown to people.
            ///
            /// # Errors
            /// An unknown type, or bytes that are not what their type says.
            pub fn describe(key: Bytes, value: Option<Bytes>) -> Result<Described, RecordError> {
                let record = Self::decode(key.clone(), value.clone())?;
                let number = |bytes: Option<&Bytes>| bytes.and_then(|bytes| Reader::new(bytes.clone()).i16().ok());
                let record_type = number(Some(&key)).unwrap_or_default();
                let version = number(value.as_ref()).unwrap_or_default();
                Ok(match record {
                    $(Self::$variant(key, value) => Described {
                        record_type,
                        name: stringify!($variant),
                        key: key.tree(0),
                        value: value.map(|value| (version, value.tree(version))),
                    },)*
                })
            }

            /// The versions there are of the value.
            pub fn value_versions(&self) -> RangeInclusive<i16> {
                match self {
                    $(Self::$variant(..) => $value::VERSIONS,)*
                }
            }
        }
    };
}

record_types! {
    /// A record of `__consumer_offsets`. Types 9 and 18 do not exist.
    ///
    /// Type 0, an offset commit of old Kafkas as it may survive in an imported directory, has the layout of type 1 and
    /// is read as one; 1 is what is written.
    GroupRecord {
        1 | 0 OffsetCommit: OffsetCommitKey => OffsetCommitValue,
        2 GroupMetadata: GroupMetadataKey => GroupMetadataValue,
        3 ConsumerGroupMetadata: ConsumerGroupMetadataKey => ConsumerGroupMetadataValue,
        4 ConsumerGroupPartitionMetadata: ConsumerGroupPartitionMetadataKey => ConsumerGroupPartitionMetadataValue,
        5 ConsumerGroupMemberMetadata: ConsumerGroupMemberMetadataKey => ConsumerGroupMemberMetadataValue,
        6 ConsumerGroupTargetAssignmentMetadata:
            ConsumerGroupTargetAssignmentMetadataKey => ConsumerGroupTargetAssignmentMetadataValue,
        7 ConsumerGroupTargetAssignmentMember:
            ConsumerGroupTargetAssignmentMemberKey => ConsumerGroupTargetAssignmentMemberValue,
        8 ConsumerGroupCurrentMemberAssignment:
            ConsumerGroupCurrentMemberAssignmentKey => ConsumerGroupCurrentMemberAssignmentValue,
        10 ShareGroupMemberMetadata: ShareGroupMemberMetadataKey => ShareGroupMemberMetadataValue,
        11 ShareGroupMetadata: ShareGroupMetadataKey => ShareGroupMetadataValue,
        12 ShareGroupTargetAssignmentMetadata:
            ShareGroupTargetAssignmentMetadataKey => ShareGroupTargetAssignmentMetadataValue,
        13 ShareGroupTargetAssignmentMember:
            ShareGroupTargetAssignmentMemberKey => ShareGroupTargetAssignmentMemberValue,
        14 ShareGroupCurrentMemberAssignment:
            ShareGroupCurrentMemberAssignmentKey => ShareGroupCurrentMemberAssignmentValue,
        15 ShareGroupStatePartitionMetadata:
            ShareGroupStatePartitionMetadataKey => ShareGroupStatePartitionMetadataValue,
        16 ConsumerGroupRegularExpression: ConsumerGroupRegularExpressionKey => ConsumerGroupRegularExpressionValue,
        17 StreamsGroupMetadata: StreamsGroupMetadataKey => StreamsGroupMetadataValue,
        19 StreamsGroupMemberMetadata: StreamsGroupMemberMetadataKey => StreamsGroupMemberMetadataValue,
        20 StreamsGroupTargetAssignmentMetadata:
            StreamsGroupTargetAssignmentMetadataKey => StreamsGroupTargetAssignmentMetadataValue,
        21 StreamsGroupTargetAssignmentMember:
            StreamsGroupTargetAssignmentMemberKey => StreamsGroupTargetAssignmentMemberValue,
        22 StreamsGroupCurrentMemberAssignment:
            StreamsGroupCurrentMemberAssignmentKey => StreamsGroupCurrentMemberAssignmentValue,
        23 StreamsGroupTopology: StreamsGroupTopologyKey => StreamsGroupTopologyValue,
    }
}

record_types! {
    /// A record of `__transaction_state`.
    TransactionRecord {
        0 TransactionLog: TransactionLogKey => TransactionLogValue,
    }
}

record_types! {
    /// A record of `__share_group_state`.
    ShareRecord {
        0 ShareSnapshot: ShareSnapshotKey => ShareSnapshotValue,
        1 ShareUpdate: ShareUpdateKey => ShareUpdateValue,
    }
}

/// Reads a message behind its `int16` version: a record's value, a transaction marker's key or value, a producers' snapshot file.
///
/// # Errors
/// The version does not exist, or the bytes are not the message.
pub fn decode_versioned<M: Message>(bytes: Bytes) -> Result<M, Error> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    M::decode(&mut reader, version)
}

/// Writes a message behind its `int16` version.
///
/// # Errors
/// The version does not exist or cannot carry a value.
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, Error> {
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version)?;
    Ok(writer.into_parts().0.into())
}

/// Reads what a consumer put into JoinGroup or SyncGroup, [`ConsumerProtocolSubscription`] or [`ConsumerProtocolAssignment`]:
/// behind its version, and one newer than we know reads as the newest we know, since these only ever grow at their end.
///
/// # Errors
/// A negative version, or bytes that are not the message.
pub fn decode_consumer_protocol<M: Message>(bytes: Bytes) -> Result<M, Error> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    M::decode(&mut reader, version.min(*M::VERSIONS.end()))
}

#[cfg(test)]
mod tests;
