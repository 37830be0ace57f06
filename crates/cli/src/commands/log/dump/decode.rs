//! Records of the internal topics, as their schemas say.

use bytes::Bytes;
use ottla_record::Record;
use ottla_wire::records::{GroupRecord, RecordError, TransactionRecord};
use serde_json::{Value, json};

use super::Decode;

/// What a record says.
pub(super) fn record(topic: Decode, record: &Record<'_>) -> Result<Value, RecordError> {
    let key = Bytes::copy_from_slice(record.key.unwrap_or_default());
    let value = record.value.map(Bytes::copy_from_slice);
    let deletes = value.is_none();
    Ok(match topic {
        Decode::Offsets => described(format!("{:?}", GroupRecord::decode(key, value)?), deletes),
        Decode::Transactions => described(format!("{:?}", TransactionRecord::decode(key, value)?), deletes),
    })
}

fn described(text: String, deletes: bool) -> Value {
    json!({ "record": text, "tombstone": deletes })
}
