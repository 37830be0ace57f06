//! A zero-copy view of one batch, and the walk over the batches of a buffer.

use std::borrow::Cow;

use crate::error::BatchError;
use crate::header::{BatchHeader, CRC_FROM, HEADER_LEN, crc32c};
use crate::ids::Offset;
use crate::record::Records;

/// One whole batch, borrowed. The header is plausible and the length fits; the CRC and the records are checked when
/// asked for.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the front of `buffer`, which may go on behind it.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`], and [`BatchError::Torn`] if the buffer ends before the batch does.
    #[inline]
    pub fn parse(buffer: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(buffer)?;
        let need = header.len();
        let torn = BatchError::Torn { need, have: buffer.len() };
        let bytes = buffer.get(..need).ok_or(torn)?;
        Ok(Self { header, bytes })
    }

    /// The header, with every field.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed if the header says so.
    pub fn records_bytes(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> Offset {
        self.header.base_offset()
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.header.last_offset()
    }

    /// Size in bytes, header included.
    #[expect(clippy::len_without_is_empty, reason = "a batch has a header, so it is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Compares the CRC with the bytes.
    ///
    /// # Errors
    /// [`BatchError::CorruptCrc`]
    #[inline]
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let stored = self.header.crc;
        let computed = crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default());
        if stored == computed { Ok(()) } else { Err(BatchError::CorruptCrc { stored, computed }) }
    }

    /// The records, decompressed if they are compressed.
    ///
    /// # Errors
    /// [`BatchError::Decompression`], and [`BatchError::DecompressedTooLarge`] as soon as they grow past
    /// `max_decompressed_bytes`. Records that are not compressed are never too large.
    pub fn records(&self, max_decompressed_bytes: usize) -> Result<Records<'a>, BatchError> {
        let body = self.records_bytes();
        let body = if self.header.record_count == 0 || !self.header.compression().compresses() {
            Cow::Borrowed(body)
        } else {
            Cow::Owned(self.header.compression().decompress(body, max_decompressed_bytes)?)
        };
        Ok(Records::new(self.header, body))
    }
}

/// The consecutive batches of a buffer. A batch that does not parse, or that the buffer cuts short, is reported once,
/// and then there is nothing more; [`position`](Self::position) says where it begins.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    buffer: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> Batches<'a> {
    /// Starts at the front of `buffer`.
    pub fn new(buffer: &'a [u8]) -> Self {
        Self { buffer, position: 0, failed: false }
    }

    /// Where the next batch begins: behind the last one that was whole.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.buffer.get(self.position..).unwrap_or_default();
        if self.failed || rest.is_empty() {
            return None;
        }
        let batch = BatchView::parse(rest);
        match &batch {
            Ok(view) => self.position += view.len(),
            Err(_) => self.failed = true,
        }
        Some(batch)
    }
}
