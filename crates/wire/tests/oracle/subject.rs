//! Every message of the schema as a test sees it: bytes in, JSON and bytes out.

use std::ops::RangeInclusive;

use ottla_wire::codec::{Bytes, Uuid};
use ottla_wire::{Error, ErrorCode, Message, Reader, Records, Writer};
use serde_json::Value;

/// A message without its type.
pub struct Subject {
    /// Kafka's name.
    pub name: &'static str,
    /// The versions that exist.
    pub versions: RangeInclusive<i16>,
    /// Decodes bytes.
    pub read: fn(&[u8], i16) -> Result<Read, Error>,
    /// Makes a random message.
    pub random: fn(&mut Rng, i16) -> Read,
}

/// What became of bytes.
pub struct Read {
    /// As Kafka's converter would print it.
    pub json: Value,
    /// As our own `Debug` prints it.
    pub debug: String,
    /// Encoded again at the same version.
    pub encoded: Result<Vec<u8>, Error>,
}

impl Subject {
    fn of<M: Message + Json + Random + std::fmt::Debug>() -> Self {
        fn look<M: Message + Json + std::fmt::Debug>(message: &M, version: i16) -> Read {
            let mut writer = Writer::new();
            let encoded = message.encode(&mut writer, version).map(|()| writer.into_parts().0);
            Read { json: message.json(version), debug: format!("{message:?}"), encoded }
        }
        Self {
            name: M::NAME,
            versions: M::VERSIONS,
            read: |bytes, version| {
                let message = M::decode(&mut Reader::new(Bytes::copy_from_slice(bytes)), version)?;
                Ok(look(&message, version))
            },
            random: |rng, version| look(&M::random(rng, version), version),
        }
    }
}

/// How a value looks in Kafka's JSON.
trait Json {
    fn json(&self, v: i16) -> Value;
}

/// A value that the version can carry.
trait Random {
    fn random(r: &mut Rng, v: i16) -> Self;
}

/// xorshift64*: the same seed makes the same messages on every machine.
pub struct Rng(u64);

impl Rng {
    /// A generator; 0 is as good a seed as any.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Small, extreme or any.
    fn number(&mut self) -> i64 {
        match self.below(4) {
            0 => self.below(3) as i64 - 1,
            1 => self.below(300) as i64,
            2 => i64::MAX >> (16 * self.below(4)),
            _ => self.next() as i64,
        }
    }

    fn len(&mut self) -> usize {
        if self.one_in(30) { 130 + self.below(80) as usize } else { self.below(9) as usize }
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Json for $type {
            fn json(&self, _: i16) -> Value {
                Value::from(*self)
            }
        }

        impl Random for $type {
            fn random(r: &mut Rng, _: i16) -> Self {
                r.number() as $type
            }
        }
    )*};
}

numbers!(i8 i16 i32 i64 u16 u32);

impl Json for bool {
    fn json(&self, _: i16) -> Value {
        Value::from(*self)
    }
}

impl Random for bool {
    fn random(r: &mut Rng, _: i16) -> Self {
        r.one_in(2)
    }
}

impl Json for f64 {
    fn json(&self, _: i16) -> Value {
        Value::from(*self)
    }
}

impl Random for f64 {
    fn random(r: &mut Rng, _: i16) -> Self {
        r.number() as f64 / 1024.0
    }
}

impl Json for ErrorCode {
    fn json(&self, _: i16) -> Value {
        Value::from(self.0)
    }
}

impl Random for ErrorCode {
    fn random(r: &mut Rng, v: i16) -> Self {
        Self(i16::random(r, v))
    }
}

impl Json for Uuid {
    fn json(&self, _: i16) -> Value {
        Value::from(self.to_string())
    }
}

impl Random for Uuid {
    fn random(r: &mut Rng, _: i16) -> Self {
        Self::from_bytes((u128::from(r.next()) << 64 | u128::from(r.next())).to_be_bytes())
    }
}

impl Json for String {
    fn json(&self, _: i16) -> Value {
        Value::from(self.as_str())
    }
}

impl Random for String {
    fn random(r: &mut Rng, _: i16) -> Self {
        const LETTERS: &[char] = &['a', 'Z', '0', '-', '.', '"', 'é', '中', '🦀'];
        (0..r.len()).map(|_| LETTERS[r.below(LETTERS.len() as u64) as usize]).collect()
    }
}

impl Json for Bytes {
    fn json(&self, _: i16) -> Value {
        Value::from(base64(self))
    }
}

impl Random for Bytes {
    fn random(r: &mut Rng, _: i16) -> Self {
        (0..r.len()).map(|_| r.next() as u8).collect()
    }
}

impl Random for Records {
    fn random(r: &mut Rng, v: i16) -> Self {
        Self::Inline(Bytes::random(r, v))
    }
}

impl<T: Json> Json for Option<T> {
    fn json(&self, v: i16) -> Value {
        self.as_ref().map_or(Value::Null, |value| value.json(v))
    }
}

impl<T: Json> Json for Vec<T> {
    fn json(&self, v: i16) -> Value {
        self.iter().map(|element| element.json(v)).collect()
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(r: &mut Rng, v: i16) -> Self {
        // More than 127 only of what is small, or a few levels of arrays make megabytes.
        let count = if size_of::<T>() <= 8 { r.len() as u64 } else { r.below(4) };
        (0..count).map(|_| T::random(r, v)).collect()
    }
}

/// Kafka's converter tells of records only their size, under another name; null keeps the name.
fn insert_records(object: &mut serde_json::Map<String, Value>, name: &str, records: &Option<Records>) {
    match records {
        None => object.insert(name.to_owned(), Value::Null),
        Some(records) => object.insert(format!("{name}SizeInBytes"), Value::from(records.len())),
    };
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, i| word << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let sextet = ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char;
            out.push(if i <= chunk.len() { sextet } else { '=' });
        }
    }
    out
}

include!(concat!(env!("OUT_DIR"), "/oracle.rs"));
