//! Writes messages into one buffer, with places kept free for what is sent from elsewhere.

use super::{Error, ErrorCode, Records, Uuid};

/// A place in a [`Writer`]'s bytes where `len` bytes belong that are not there: a range of a file, sent by `sendfile`
/// between two writes of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// How many written bytes come before it.
    pub at: usize,
    /// The name that [`Records::Hole`] gave it.
    pub key: u32,
    /// The number of bytes promised to the reader. If they cannot be sent after all, only closing the connection is left.
    pub len: u32,
}

/// A frame begun with [`Writer::begin_frame`].
#[derive(Debug)]
#[must_use = "a frame has no length until it is finished"]
pub struct Frame {
    start: usize,
    holes_before: usize,
}

/// Where messages are written, one behind the other.
#[derive(Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
    holes: Vec<Hole>,
    errors: Vec<(ErrorCode, u32)>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that appends to `buf`, such as one used before.
    pub fn with_buffer(buf: Vec<u8>) -> Self {
        Self { buf, ..Self::default() }
    }

    /// The bytes written, without what belongs into the holes.
    pub fn written(&self) -> &[u8] {
        &self.buf
    }

    /// The places left free, in order.
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// How many bytes a reader gets: those written and those of the holes.
    pub fn frame_len(&self) -> u64 {
        self.buf.len() as u64 + self.holes.iter().map(|hole| u64::from(hole.len)).sum::<u64>()
    }

    /// The error codes written, each with how often, those of abandoned frames among them. Messages that succeed have none, and cost nothing here.
    pub fn errors(&self) -> &[(ErrorCode, u32)] {
        &self.errors
    }

    /// The bytes written and the places left free.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Hole>) {
        (self.buf, self.holes)
    }

    /// Forgets what was written and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.holes.clear();
        self.errors.clear();
    }

    /// Leaves room for a frame's length.
    pub fn begin_frame(&mut self) -> Frame {
        let frame = Frame { start: self.buf.len(), holes_before: self.holes.len() };
        self.buf.extend_from_slice(&[0; 4]);
        frame
    }

    /// Puts the length of all that was written since, holes included, in front of it.
    ///
    /// # Errors
    /// A frame of 2 GiB or more, or one of which nothing is left; it is abandoned.
    pub fn finish_frame(&mut self, frame: Frame) -> Result<(), Error> {
        let holes = self.holes.get(frame.holes_before..).unwrap_or_default();
        let elsewhere: u64 = holes.iter().map(|hole| u64::from(hole.len)).sum();
        let here = self.buf.len().saturating_sub(frame.start + 4) as u64;
        let len = i32::try_from(here + elsewhere);
        match (len, self.buf.get_mut(frame.start..).and_then(|bytes| bytes.first_chunk_mut::<4>())) {
            (Ok(len), Some(prefix)) => {
                *prefix = len.to_be_bytes();
                Ok(())
            }
            _ => {
                self.abandon(frame);
                Err(Error::TooLong(usize::try_from(here + elsewhere).unwrap_or(usize::MAX)))
            }
        }
    }

    /// Takes back what was written since the frame began, for an answer that could not be encoded.
    pub fn abandon(&mut self, frame: Frame) {
        self.buf.truncate(frame.start);
        self.holes.truncate(frame.holes_before);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.buf.push(u8::from(value));
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn error_code(&mut self, value: ErrorCode) {
        self.i16(value.0);
        if value.is_error() {
            match self.errors.iter_mut().find(|(code, _)| *code == value) {
                Some((_, count)) => *count += 1,
                None => self.errors.push((value, 1)),
            }
        }
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.buf.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.buf.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn uvarint(&mut self, value: u32) {
        let (bytes, len) = uvarint(value);
        self.buf.extend_from_slice(bytes.get(..len).unwrap_or_default());
    }

    pub(crate) fn string(&mut self, flex: bool, value: &str) -> Result<(), Error> {
        self.nullable_string(flex, false, Some(value))
    }

    pub(crate) fn nullable_string(
        &mut self,
        flex: bool,
        null: bool,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let Some(value) = value else {
            return if flex { self.null(null, &[0]) } else { self.null(null, &(-1i16).to_be_bytes()) };
        };
        let len = i16::try_from(value.len()).map_err(|_| Error::StringTooLong(value.len()))?;
        if flex {
            self.uvarint(u32::from(len.cast_unsigned()) + 1)
        } else {
            self.i16(len)
        }
        self.buf.extend_from_slice(value.as_bytes());
        Ok(())
    }

    pub(crate) fn bytes(&mut self, flex: bool, value: &[u8]) -> Result<(), Error> {
        self.nullable_bytes(flex, false, Some(value))
    }

    pub(crate) fn nullable_bytes(
        &mut self,
        flex: bool,
        null: bool,
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.len(flex, null, value.map(<[u8]>::len))?;
        self.buf.extend_from_slice(value.unwrap_or_default());
        Ok(())
    }

    pub(crate) fn nullable_records(
        &mut self,
        flex: bool,
        null: bool,
        value: Option<&Records>,
    ) -> Result<(), Error> {
        self.len(flex, null, value.map(Records::len))?;
        match value {
            Some(Records::Inline(bytes)) => self.buf.extend_from_slice(bytes),
            Some(&Records::Hole { key, len }) => self.holes.push(Hole { at: self.buf.len(), key, len }),
            None => {}
        }
        Ok(())
    }

    pub(crate) fn array<T>(
        &mut self,
        flex: bool,
        elements: &[T],
        write: impl FnMut(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.nullable_array(flex, false, Some(elements), write)
    }

    pub(crate) fn nullable_array<T>(
        &mut self,
        flex: bool,
        null: bool,
        elements: Option<&[T]>,
        mut write: impl FnMut(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.len(flex, null, elements.map(<[T]>::len))?;
        elements.unwrap_or_default().iter().try_for_each(|element| write(self, element))
    }

    /// A struct behind a marker byte.
    pub(crate) fn nullable_struct<T>(
        &mut self,
        null: bool,
        value: Option<&T>,
        write: impl FnOnce(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(value) = value else { return self.null(null, &(-1i8).to_be_bytes()) };
        self.i8(1);
        write(self, value)
    }

    /// A struct in a tagged field: there the marker is a varint.
    pub(crate) fn nullable_tagged_struct<T>(
        &mut self,
        null: bool,
        value: Option<&T>,
        write: impl FnOnce(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(value) = value else { return self.null(null, &[0]) };
        self.uvarint(1);
        write(self, value)
    }

    pub(crate) fn no_tags(&mut self) {
        self.buf.push(0);
    }

    /// One tagged field. Its size stands before it, so the field is written first and the size put in front. Records, which
    /// may leave holes, never occur in a tagged field.
    pub(crate) fn tag(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.uvarint(tag);
        let start = self.buf.len();
        write(self)?;
        let size = self.buf.len() - start;
        let (bytes, len) = uvarint(u32::try_from(size).map_err(|_| Error::TooLong(size))?);
        self.buf.splice(start..start, bytes.into_iter().take(len));
        Ok(())
    }

    /// The length of bytes, records or an array, or null.
    fn len(&mut self, flex: bool, null: bool, len: Option<usize>) -> Result<(), Error> {
        match len {
            None if flex => return self.null(null, &[0]),
            None => return self.null(null, &(-1i32).to_be_bytes()),
            Some(len) => {
                // One less than 2^31, so that a compact length plus one is still one for a signed reader.
                let len = i32::try_from(len).ok().filter(|len| *len < i32::MAX).ok_or(Error::TooLong(len))?;
                if flex { self.uvarint(len.cast_unsigned() + 1) } else { self.i32(len) }
            }
        }
        Ok(())
    }

    fn null(&mut self, allowed: bool, encoded: &[u8]) -> Result<(), Error> {
        if !allowed {
            return Err(Error::Null);
        }
        self.buf.extend_from_slice(encoded);
        Ok(())
    }
}

/// The bytes of an unsigned varint, and how many of them there are.
fn uvarint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    for byte in &mut bytes {
        len += 1;
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, len)
}
