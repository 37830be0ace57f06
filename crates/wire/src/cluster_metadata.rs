//! The records of Kafka's cluster metadata (`__cluster_metadata`, KIP-631): those that an import of its topics has to
//! understand.
//!
//! A record's value is a frame: `uvarint` frame version 1, `uvarint` record type, `uvarint` version, and the message at that
//! version. There is no key. Records between a `BeginTransaction` and an `AbortTransaction` do not count (KIP-868).
//!
//! ```
//! use ottla_wire::cluster_metadata::MetadataRecord;
//! use ottla_wire::messages::RemoveTopicRecord;
//!
//! let mut value = vec![1, 9, 0];
//! value.extend([7; 16]);
//! value.push(0);
//! let record = MetadataRecord::decode(value.into())?;
//! let topic_id = ottla_wire::codec::Uuid::from_bytes([7; 16]);
//! assert_eq!(record, Some(MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id })));
//! # Ok::<(), ottla_wire::records::RecordError>(())
//! ```

use bytes::Bytes;

use crate::messages::*;
use crate::records::RecordError;
use crate::{Error, Message, Reader};

/// The only frame version there is.
const FRAME_VERSION: u32 = 1;

macro_rules! metadata_records {
    ($($code:literal $variant:ident: $message:ident,)*) => {
        /// A record of Kafka's cluster metadata.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum MetadataRecord {
            $(
                #[doc = concat!("Type ", $code, ".")]
                $variant($message),
            )*
        }

        impl MetadataRecord {
            /// Reads a record's value; `None` for a type that is none of these.
            ///
            /// # Errors
            /// Bytes that are no frame or not what their type says, and a frame or a version newer than Kafka 4.3's.
            pub fn decode(value: Bytes) -> Result<Option<Self>, RecordError> {
                let broken = |part| move |source| RecordError::Broken { part, source };
                let mut value = Reader::new(value);
                let frame = value.uvarint().map_err(broken("frame"))?;
                if frame != FRAME_VERSION {
                    let version = i16::try_from(frame).unwrap_or(i16::MAX);
                    return Err(broken("frame")(Error::UnsupportedVersion { message: "frame", version }));
                }
                let code = value.uvarint().map_err(broken("type"))?;
                let version = value.uvarint().map_err(broken("version"))?;
                let version = i16::try_from(version).unwrap_or(i16::MAX);
                match code {
                    $($code => {
                        let message = $message::decode(&mut value, version).map_err(broken($message::NAME))?;
                        Ok(Some(Self::$variant(message)))
                    })*
                    _ => Ok(None),
                }
            }
        }
    };
}

metadata_records! {
    2 Topic: TopicRecord,
    3 Partition: PartitionRecord,
    4 Config: ConfigRecord,
    5 PartitionChange: PartitionChangeRecord,
    9 RemoveTopic: RemoveTopicRecord,
    15 ProducerIds: ProducerIdsRecord,
    23 BeginTransaction: BeginTransactionRecord,
    24 EndTransaction: EndTransactionRecord,
    25 AbortTransaction: AbortTransactionRecord,
}
