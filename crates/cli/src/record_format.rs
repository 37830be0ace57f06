//! How records are printed: as text, as JSON, or by a format as kcat has them.
//!
//! | in a format | stands for |
//! |---|---|
//! | `%t` `%p` `%o` | topic, partition, offset |
//! | `%k` `%K` | key, and its length in bytes (-1 for null) |
//! | `%v` or `%s`, `%S` | value, and its length in bytes (-1 for null) |
//! | `%T` | timestamp, in milliseconds since 1970 (-1 without one) |
//! | `%h` | headers: `name=value,name=value` |
//! | `%%` | a percent sign |
//! | `\n` `\t` `\r` `\0` `\xHH` `\\` | that byte |
//!
//! A null key or value is printed as nothing. Bytes are printed as they are.

use std::io::{self, Write};
use std::str::FromStr;

use ottla_client::{ConsumerRecord, Header};
use serde_json::json;

use crate::output::{Instant, Shown};

/// How records are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// The value, and a line break: what `ottla produce` would read.
    Value,
    /// One line with everything, for people.
    Text,
    /// One JSON object a line.
    Json,
    /// By a format.
    Custom(Vec<Piece>),
}

/// One piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Literal(Vec<u8>),
    /// A field of the record.
    Field(Field),
}

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Name of the topic.
    Topic,
    /// Number of the partition.
    Partition,
    /// Position in it.
    Offset,
    /// The key's bytes.
    Key,
    /// How many those are.
    KeyLength,
    /// The value's bytes.
    Value,
    /// How many those are.
    ValueLength,
    /// Milliseconds since 1970.
    Timestamp,
    /// Names and values.
    Headers,
}

impl FromStr for RecordFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "value" => Ok(Self::Value),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ if text.contains('%') => pieces(text).map(Self::Custom),
            _ => {
                Err("expected value, text, json, or a format with fields such as '%p %o %k %v\\n'".to_owned())
            }
        }
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let field = match c {
            '%' => match chars.next() {
                Some('%') => {
                    literal.push(b'%');
                    continue;
                }
                Some('t') => Field::Topic,
                Some('p') => Field::Partition,
                Some('o') => Field::Offset,
                Some('k') => Field::Key,
                Some('K') => Field::KeyLength,
                Some('v' | 's') => Field::Value,
                Some('S') => Field::ValueLength,
                Some('T') => Field::Timestamp,
                Some('h') => Field::Headers,
                Some(other) => {
                    return Err(format!("%{other} is no field: there are %t %p %o %k %K %v %s %S %T %h %%"));
                }
                None => return Err("% at the end names no field".to_owned()),
            },
            '\\' => {
                literal.push(escape(&mut chars)?);
                continue;
            }
            c => {
                literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Field(field));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<u8, String> {
    match chars.next() {
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('r') => Ok(b'\r'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = chars.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits} is no byte"))
        }
        other => {
            Err(format!("\\{} is no character: there are \\n \\t \\r \\0 \\xHH \\\\", other.unwrap_or(' ')))
        }
    }
}

/// Bytes of a key or value that a line for people shows.
const MAX_SHOWN: usize = 2_000;

impl RecordFormat {
    /// Prints a record.
    pub fn write(&self, record: &ConsumerRecord, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Value => {
                out.write_all(record.value.as_deref().unwrap_or_default())?;
                out.write_all(b"\n")
            }
            Self::Text => {
                write!(out, "{}-{} @ {}", record.topic, record.partition, record.offset.get())?;
                if let Some(timestamp) = record.timestamp {
                    write!(out, "  {}", Instant(timestamp))?;
                }
                let shown = |bytes| Shown::new(bytes, MAX_SHOWN);
                write!(out, "  {} = {}", shown(record.key.as_deref()), shown(record.value.as_deref()))?;
                for Header { name, value } in &record.headers {
                    write!(out, "  {name}={}", shown(value.as_deref()))?;
                }
                writeln!(out)
            }
            Self::Json => {
                serde_json::to_writer(&mut *out, &as_json(record))?;
                out.write_all(b"\n")
            }
            Self::Custom(pieces) => pieces.iter().try_for_each(|piece| match piece {
                Piece::Literal(bytes) => out.write_all(bytes),
                Piece::Field(field) => field.write(record, out),
            }),
        }
    }
}

impl Field {
    fn write(self, record: &ConsumerRecord, out: &mut dyn Write) -> io::Result<()> {
        let length = |bytes: &Option<_>| bytes.as_ref().map_or(-1, |bytes: &bytes::Bytes| bytes.len() as i64);
        match self {
            Self::Topic => out.write_all(record.topic.as_bytes()),
            Self::Partition => write!(out, "{}", record.partition),
            Self::Offset => write!(out, "{}", record.offset.get()),
            Self::Key => out.write_all(record.key.as_deref().unwrap_or_default()),
            Self::KeyLength => write!(out, "{}", length(&record.key)),
            Self::Value => out.write_all(record.value.as_deref().unwrap_or_default()),
            Self::ValueLength => write!(out, "{}", length(&record.value)),
            Self::Timestamp => write!(out, "{}", record.timestamp.map_or(-1, |timestamp| timestamp.millis())),
            Self::Headers => {
                for (at, header) in record.headers.iter().enumerate() {
                    write!(out, "{}{}=", if at == 0 { "" } else { "," }, header.name)?;
                    out.write_all(header.value.as_deref().unwrap_or_default())?;
                }
                Ok(())
            }
        }
    }
}

/// Keys and values that are not UTF-8 come as an object with `hex`; nothing is cut.
fn as_json(record: &ConsumerRecord) -> serde_json::Value {
    let shown = |bytes| serde_json::to_value(Shown::new(bytes, usize::MAX)).unwrap_or_default();
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|header| json!({ "name": header.name, "value": shown(header.value.as_deref()) }))
        .collect();
    json!({
        "topic": &*record.topic, "partition": record.partition, "offset": record.offset.get(),
        "timestamp_ms": record.timestamp.map(|timestamp| timestamp.millis()),
        "key": shown(record.key.as_deref()), "value": shown(record.value.as_deref()), "headers": headers,
    })
}

#[cfg(test)]
mod tests;
