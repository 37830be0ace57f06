//! Control records: the markers that a transaction coordinator leaves in a partition (KIP-98).
//!
//! The key is `version i16, type i16`, the value `version i16, coordinator epoch i32`. Types above 1 are KRaft's own
//! and occur only in its metadata log; a reader skips what it does not know.

use bytes::Buf;

use crate::record::Record;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    /// Its records do not count.
    Abort,
    /// Its records count.
    Commit,
}

impl ControlType {
    fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
        }
    }
}

/// The marker of the end of a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// How it ended.
    pub control: ControlType,
    /// Term of the coordinator that wrote the marker; a lower one than the last seen is fenced.
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    /// The marker in a control record; `None` for any other kind, and for bytes too short to be one.
    pub fn parse(record: &Record<'_>) -> Option<Self> {
        let mut key = record.key?;
        // A higher version may append fields; it may not change these.
        let _version = key.try_get_i16().ok().filter(|v| *v >= 0)?;
        let control = match key.try_get_i16().ok()? {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            _ => return None,
        };
        let mut value = record.value?;
        let _version = value.try_get_i16().ok().filter(|v| *v >= 0)?;
        let coordinator_epoch = value.try_get_i32().ok()?;
        Some(Self { control, coordinator_epoch })
    }

    /// The control record's key.
    pub fn key(&self) -> [u8; 4] {
        let [hi, lo] = self.control.id().to_be_bytes();
        [0, 0, hi, lo]
    }

    /// The control record's value.
    pub fn value(&self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }
}
