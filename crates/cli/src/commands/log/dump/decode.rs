//! Records of the internal topics, as their schemas say: named as in Kafka's JSON, in the shape that its `DumpLogSegments`
//! prints with `--offsets-decoder` and `--transaction-log-decoder`.

use std::fmt;

use bytes::Bytes;
use ottla_record::Record;
use ottla_wire::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use ottla_wire::records::{Described, GroupRecord, RecordError, TransactionRecord, decode_versioned};
use ottla_wire::{Message, ToTree, Tree};
use serde::{Serialize, Serializer};

use super::Decode;

/// `protocolType` of groups whose members say what they subscribe to in Kafka's own format.
const CONSUMER: &str = "consumer";

/// What a record says.
#[derive(Serialize)]
pub(super) struct Decoded {
    /// The record's kind, as the schemas name it.
    record: &'static str,
    key: Key,
    /// `null` deletes what the key names.
    value: Option<Body>,
}

/// Numbers are texts, as Kafka writes them.
#[derive(Serialize)]
struct Key {
    r#type: String,
    #[serde(serialize_with = "as_json")]
    data: Tree,
}

#[derive(Serialize)]
struct Body {
    version: String,
    #[serde(serialize_with = "as_json")]
    data: Tree,
}

fn as_json<S: Serializer>(tree: &Tree, serializer: S) -> Result<S::Ok, S::Error> {
    Json(tree).serialize(serializer)
}

pub(super) fn record(topic: Decode, record: &Record<'_>) -> Result<Decoded, RecordError> {
    let key = Bytes::copy_from_slice(record.key.unwrap_or_default());
    let value = record.value.map(Bytes::copy_from_slice);
    let Described { record_type, name, key, mut value } = match topic {
        Decode::Offsets => GroupRecord::describe(key, value)?,
        Decode::Transactions => TransactionRecord::describe(key, value)?,
    };
    if let Some((_, value)) = &mut value {
        open_members(value);
    }
    Ok(Decoded {
        record: name,
        key: Key { r#type: record_type.to_string(), data: key },
        value: value.map(|(version, value)| Body { version: version.to_string(), data: value }),
    })
}

/// Shows what the members of a classic consumer group have said, in place of its bytes. Bytes that are something else stay.
fn open_members(group: &mut Tree) {
    if group.field_mut("protocolType") != Some(&mut Tree::Text(CONSUMER.to_owned())) {
        return;
    }
    let Some(Tree::List(members)) = group.field_mut("members") else { return };
    for member in members {
        open::<ConsumerProtocolSubscription>(member.field_mut("subscription"));
        open::<ConsumerProtocolAssignment>(member.field_mut("assignment"));
    }
}

fn open<M: Message + ToTree>(field: Option<&mut Tree>) {
    let Some(field) = field else { return };
    let Tree::Bytes(bytes) = field else { return };
    let Some(version) = bytes.first_chunk() else { return };
    if let Ok(message) = decode_versioned::<M>(bytes.clone()) {
        *field = message.tree(i16::from_be_bytes(*version));
    }
}

/// A tree as Kafka's converters write it: bytes in base64.
struct Json<'a>(&'a Tree);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Tree::Null => serializer.serialize_unit(),
            Tree::Bool(value) => serializer.serialize_bool(*value),
            Tree::Integer(value) => serializer.serialize_i64(*value),
            Tree::Float(value) => serializer.serialize_f64(*value),
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::Bytes(bytes) => serializer.serialize_str(&base64(bytes)),
            Tree::List(values) => serializer.collect_seq(values.iter().map(Json)),
            Tree::Fields(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, Json(value))))
            }
        }
    }
}

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = (bits >> (18 - 6 * at)) as usize & 63;
            let letter = ALPHABET.get(letter).copied().unwrap_or_default();
            text.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |tree| serde_json::to_string(&Json(tree)).map_err(|_| fmt::Error);
        write!(f, "{} {}", self.record, text(&self.key.data)?)?;
        match &self.value {
            Some(Body { version, data }) => write!(f, " = version {version} {}", text(data)?),
            None => f.write_str(" deleted"),
        }
    }
}
