//! Keys, values and headers as text: printable as they are, anything else spelled out, and never without end.

use std::fmt::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Bytes that are shown up to a limit.
///
/// As text: in double quotes if they are UTF-8, else in hexadecimal after `0x`, `null` without any. In JSON: a string if
/// they are UTF-8 and within the limit, `null` without any, and otherwise an object with `bytes` (how many there are), the
/// first of them in `utf8` or `hex`, and `cut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    bytes: Option<&'a [u8]>,
    max: usize,
}

impl<'a> Shown<'a> {
    /// Shows at most `max` bytes of `bytes`.
    pub fn new(bytes: Option<&'a [u8]>, max: usize) -> Self {
        Self { bytes, max }
    }

    /// The part that is shown, as text if all of the bytes are some.
    fn part(bytes: &'a [u8], max: usize) -> Result<&'a str, &'a [u8]> {
        let Ok(text) = std::str::from_utf8(bytes) else { return Err(bytes.get(..max).unwrap_or(bytes)) };
        let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        Ok(text.get(..end.unwrap_or(0)).unwrap_or(text))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.bytes else { return f.write_str("null") };
        let shown = match Self::part(bytes, self.max) {
            Ok(text) => {
                f.write_char('"')?;
                // A terminal obeys control characters, also those in somebody's record.
                for c in text.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        c if c.is_control() => write!(f, "{}", c.escape_default())?,
                        c => f.write_char(c)?,
                    }
                }
                f.write_char('"')?;
                text.len()
            }
            Err(part) => {
                f.write_str("0x")?;
                write_hex(f, part)?;
                part.len()
            }
        };
        if shown < bytes.len() { write!(f, "…+{} bytes", bytes.len() - shown) } else { Ok(()) }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(bytes) = self.bytes else { return serializer.serialize_none() };
        let part = Self::part(bytes, self.max);
        if let Ok(text) = part
            && text.len() == bytes.len()
        {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("bytes", &bytes.len())?;
        let shown = match part {
            Ok(text) => {
                map.serialize_entry("utf8", text)?;
                text.len()
            }
            Err(part) => {
                let mut hex = String::with_capacity(2 * part.len());
                write_hex(&mut hex, part).map_err(serde::ser::Error::custom)?;
                map.serialize_entry("hex", &hex)?;
                part.len()
            }
        };
        map.serialize_entry("cut", &(shown < bytes.len()))?;
        map.end()
    }
}

/// A size: `935 B`, `1.2 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match UNITS.into_iter().find(|(shift, _)| self.0 >> shift > 0) {
            Some((shift, unit)) => {
                // In tenths, so that no unit is rounded up to a thousand of itself.
                let tenths = (u128::from(self.0) * 10) >> shift;
                write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            None => write!(f, "{} B", self.0),
        }
    }
}

fn write_hex(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}
