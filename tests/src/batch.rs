//! Hand-made record batches (format v2), right ones and wrong ones.
//!
//! Like [`crate::raw`], written without the crate it tests. The layout is the one of Kafka's documentation, "Record Batch".

use std::time::{SystemTime, UNIX_EPOCH};

use crc_fast::{CrcAlgorithm, checksum};

/// Where the CRC lies, and where the bytes it covers begin.
const CRC_AT: usize = 17;
const COVERED_FROM: usize = 21;

/// A batch before it is written; every field may be made wrong.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Attribute bits: compression in the lowest three.
    pub attributes: i16,
    /// The second version byte; 2 is the only one Kafka 4 writes.
    pub magic: i8,
    /// Milliseconds since 1970, of every record.
    pub timestamp_ms: i64,
    /// Producer id, epoch and first sequence; -1 each without idempotence.
    pub producer: (i64, i16, i32),
    /// Keys and values.
    pub records: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    /// The record count the header claims, when it is not the true one.
    pub claimed_count: Option<i32>,
    /// The last offset delta the header claims, when it is not the true one.
    pub claimed_last_delta: Option<i32>,
    /// Bytes that stand for the records as they are, compressed ones for instance.
    pub payload: Option<Vec<u8>>,
}

impl Batch {
    /// Records without keys, stamped now.
    pub fn of_values<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::of_records(values.into_iter().map(|value| (None, value.as_ref().to_vec())).collect())
    }

    /// Records with keys, stamped now.
    pub fn of_records(records: Vec<(Option<Vec<u8>>, Vec<u8>)>) -> Self {
        Self {
            attributes: 0,
            magic: 2,
            timestamp_ms: now_ms(),
            producer: (-1, -1, -1),
            records,
            claimed_count: None,
            claimed_last_delta: None,
            payload: None,
        }
    }

    /// One batch of about `bytes` filled with records of `record` bytes each that do not compress to nothing.
    pub fn of_size(bytes: usize, record: usize) -> Self {
        let count = (bytes / (record + 12)).max(1);
        Self::of_values((0..count).map(|index| noise(record, index as u64)))
    }

    /// The batch's bytes with a correct length and CRC.
    pub fn bytes(&self) -> Vec<u8> {
        let payload = self.payload.clone().unwrap_or_else(|| self.record_bytes());
        let count = i32::try_from(self.records.len()).expect("a small batch");
        let mut batch = Vec::with_capacity(61 + payload.len());
        batch.extend(0_i64.to_be_bytes());
        batch.extend(i32::try_from(49 + payload.len()).expect("a small batch").to_be_bytes());
        batch.extend((-1_i32).to_be_bytes());
        batch.extend(self.magic.to_be_bytes());
        batch.extend(0_u32.to_be_bytes());
        batch.extend(self.attributes.to_be_bytes());
        batch.extend(self.claimed_last_delta.unwrap_or(count - 1).to_be_bytes());
        batch.extend(self.timestamp_ms.to_be_bytes());
        batch.extend(self.timestamp_ms.to_be_bytes());
        batch.extend(self.producer.0.to_be_bytes());
        batch.extend(self.producer.1.to_be_bytes());
        batch.extend(self.producer.2.to_be_bytes());
        batch.extend(self.claimed_count.unwrap_or(count).to_be_bytes());
        batch.extend(payload);
        seal(&mut batch);
        batch
    }

    fn record_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, (key, value)) in self.records.iter().enumerate() {
            let mut body = vec![0];
            varint(&mut body, 0);
            varint(&mut body, index as i64);
            match key {
                Some(key) => {
                    varint(&mut body, key.len() as i64);
                    body.extend(key);
                }
                None => varint(&mut body, -1),
            }
            varint(&mut body, value.len() as i64);
            body.extend(value);
            varint(&mut body, 0);
            varint(&mut bytes, body.len() as i64);
            bytes.extend(body);
        }
        bytes
    }
}

/// Writes the CRC that fits a batch's bytes.
pub fn seal(batch: &mut [u8]) {
    let crc = u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, &batch[COVERED_FROM..])).expect("32 bits");
    batch[CRC_AT..COVERED_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// One record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Vec<u8>,
}

/// The records of consecutive uncompressed batches; a cut batch at the end is left out, as consumers do.
pub fn records(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while bytes.len() >= 61 {
        let base = i64::from_be_bytes(bytes[..8].try_into().expect("8 bytes"));
        let len = 12 + i32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes")) as usize;
        let Some(batch) = bytes.get(..len) else { break };
        assert_eq!(batch[22] & 7, 0, "only uncompressed batches are read here");
        let crc = u32::from_be_bytes(batch[CRC_AT..COVERED_FROM].try_into().expect("4 bytes"));
        assert_eq!(
            u64::from(crc),
            checksum(CrcAlgorithm::Crc32Iscsi, &batch[COVERED_FROM..]),
            "a CRC at offset {base}"
        );
        let mut rest = &batch[61..];
        while !rest.is_empty() {
            let size = read_varint(&mut rest) as usize;
            let (mut record, tail) = rest.split_at(size);
            rest = tail;
            record = &record[1..];
            read_varint(&mut record);
            let offset = base + read_varint(&mut record);
            let key = read_bytes(&mut record);
            let value = read_bytes(&mut record).unwrap_or_default();
            records.push(Record { offset, key, value });
        }
        bytes = &bytes[len..];
    }
    records
}

/// Where the batches of a buffer end: base offset, last offset and length of each whole one.
pub fn extents(mut bytes: &[u8]) -> Vec<(i64, i64, usize)> {
    let mut found = Vec::new();
    while bytes.len() >= 61 {
        let base = i64::from_be_bytes(bytes[..8].try_into().expect("8 bytes"));
        let len = 12 + i32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes")) as usize;
        let delta = i32::from_be_bytes(bytes[23..27].try_into().expect("4 bytes"));
        if len > bytes.len() {
            break;
        }
        found.push((base, base + i64::from(delta), len));
        bytes = &bytes[len..];
    }
    found
}

/// Bytes that look random, the same ones for the same seed (xorshift64*).
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292,000,000")
}

/// Appends Kafka's zigzag variable-length integer.
pub fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest > 127 {
        out.push((rest & 127) as u8 | 128);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn read_varint(bytes: &mut &[u8]) -> i64 {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn read_bytes(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let len = usize::try_from(read_varint(bytes)).ok()?;
    let (head, tail) = bytes.split_at(len);
    *bytes = tail;
    Some(head.to_vec())
}
