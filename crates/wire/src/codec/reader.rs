//! Reads a frame without trusting one length in it.

use bytes::{Buf, Bytes};

use super::{Error, Records, Uuid};

/// No array has more elements. Kafka has no such limit of its own; 10,000 topics with 100 partitions each are at it.
const MAX_ELEMENTS: usize = 1_000_000;

/// Elements take up to 32 times the memory of their bytes, so no more than this is reserved before the first was read.
const MAX_RESERVED_BYTES: usize = 64 << 10;

/// Reads one frame from front to back. Byte strings and records it gives out are slices of the frame, which lives as long as
/// any of them; texts are copied, so that a name kept for long does not keep a whole frame.
#[derive(Debug, Clone)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Reads `frame`, which begins after its length.
    pub fn new(frame: Bytes) -> Self {
        Self { rest: frame }
    }

    /// The number of bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What has not been read yet.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Error> {
        Ok(self.i8()? != 0)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Error> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Error> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Error> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Error> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.fixed().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Error> {
        self.fixed().map(f64::from_be_bytes)
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, Error> {
        self.fixed().map(Uuid::from_bytes)
    }

    /// At most five bytes; overlong forms are fine and the excess bits of the fifth are lost, as in Kafka.
    pub(crate) fn uvarint(&mut self) -> Result<u32, Error> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::Varint)
    }

    pub(crate) fn string(&mut self, flex: bool) -> Result<String, Error> {
        self.nullable_string(flex, false)?.ok_or(Error::Null)
    }

    pub(crate) fn nullable_string(&mut self, flex: bool, null: bool) -> Result<Option<String>, Error> {
        let len = if flex { self.compact_len()? } else { usize::try_from(self.i16()?).ok() };
        let Some(len) = nullable(len, null)? else { return Ok(None) };
        if len > i16::MAX as usize {
            return Err(Error::StringTooLong(len));
        }
        let bytes = self.rest.get(..len).ok_or(Error::Truncated { wanted: len, left: self.rest.len() })?;
        // Kafka's parser puts U+FFFD in the place of what is not UTF-8, and so must we.
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.rest.advance(len);
        Ok(Some(text))
    }

    pub(crate) fn bytes(&mut self, flex: bool) -> Result<Bytes, Error> {
        self.nullable_bytes(flex, false)?.ok_or(Error::Null)
    }

    pub(crate) fn nullable_bytes(&mut self, flex: bool, null: bool) -> Result<Option<Bytes>, Error> {
        let len = nullable(self.len(flex)?, null)?;
        len.map(|len| self.take(len)).transpose()
    }

    pub(crate) fn nullable_records(&mut self, flex: bool, null: bool) -> Result<Option<Records>, Error> {
        Ok(self.nullable_bytes(flex, null)?.map(Records::Inline))
    }

    pub(crate) fn array<T>(
        &mut self,
        flex: bool,
        smallest: usize,
        read: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.nullable_array(flex, false, smallest, read)?.ok_or(Error::Null)
    }

    pub(crate) fn nullable_array<T>(
        &mut self,
        flex: bool,
        null: bool,
        smallest: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<Vec<T>>, Error> {
        let Some(claimed) = nullable(self.len(flex)?, null)? else { return Ok(None) };
        let left = self.rest.len();
        if claimed > MAX_ELEMENTS || claimed.saturating_mul(smallest) > left {
            return Err(Error::ArrayTooLong { claimed, smallest, left });
        }
        let mut elements = Vec::with_capacity(claimed.min(MAX_RESERVED_BYTES / size_of::<T>().max(1)));
        for _ in 0..claimed {
            elements.push(read(self)?);
        }
        Ok(Some(elements))
    }

    /// A struct behind a marker byte: negative is null, anything else a struct.
    pub(crate) fn nullable_struct<T>(
        &mut self,
        null: bool,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.i8()? {
            ..0 if null => Ok(None),
            ..0 => Err(Error::Null),
            _ => read(self).map(Some),
        }
    }

    /// A struct in a tagged field: there the marker is a varint, and 0 is null.
    pub(crate) fn nullable_tagged_struct<T>(
        &mut self,
        null: bool,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.uvarint()?.cast_signed() {
            ..=0 if null => Ok(None),
            ..=0 => Err(Error::Null),
            _ => read(self).map(Some),
        }
    }

    /// Reads a struct's tagged fields. `known` reads the field of a tag and returns true, or returns false to have it skipped.
    /// Tags may come in any order and more than once; the last one counts.
    pub(crate) fn tags(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        // Signed as in Kafka. The count needs no bound of its own: each round reads two bytes or fails.
        for _ in 0..self.uvarint()?.cast_signed() {
            let tag = self.uvarint()?;
            let declared = self.uvarint()? as usize;
            let before = self.rest.len();
            if !known(self, tag)? {
                self.take(declared)?;
            }
            let read = before - self.rest.len();
            // Kafka does not look. Without it a wrong size would move all that follows.
            if read != declared {
                return Err(Error::TagSize { tag, declared, read });
            }
        }
        Ok(())
    }

    pub(crate) fn skip_tags(&mut self) -> Result<(), Error> {
        self.tags(|_, _| Ok(false))
    }

    /// The length of bytes, records or an array; `None` for null.
    fn len(&mut self, flex: bool) -> Result<Option<usize>, Error> {
        if flex { self.compact_len() } else { Ok(usize::try_from(self.i32()?).ok()) }
    }

    /// A length plus one, so that 0 is null.
    fn compact_len(&mut self) -> Result<Option<usize>, Error> {
        Ok(usize::try_from(self.uvarint()?.cast_signed().wrapping_sub(1)).ok())
    }

    fn take(&mut self, len: usize) -> Result<Bytes, Error> {
        if len > self.rest.len() {
            return Err(Error::Truncated { wanted: len, left: self.rest.len() });
        }
        Ok(self.rest.split_to(len))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = *self.rest.first_chunk().ok_or(Error::Truncated { wanted: N, left: self.rest.len() })?;
        self.rest.advance(N);
        Ok(bytes)
    }
}

fn nullable(len: Option<usize>, null: bool) -> Result<Option<usize>, Error> {
    if len.is_none() && !null { Err(Error::Null) } else { Ok(len) }
}
