//! Which transactions a pass over the log is inside of, and which markers nobody needs any more (Kafka's
//! `CleanedTransactionMetadata`).
//!
//! A marker is needed as long as a batch of its transaction is in the log: without the abort its records would count,
//! without the commit the transaction would look open. So it goes one pass after the last of them.

use std::collections::{BTreeMap, BTreeSet};

use ottla_record::header::BatchHeader;
use ottla_record::{ControlType, Offset, ProducerId};

use crate::transaction_index::AbortedTransaction;

/// What a pass has seen of transactions, batch after batch from the start of the log.
#[derive(Debug, Default)]
pub(super) struct TransactionScan {
    /// Aborted transactions that begin further on, by first offset.
    ahead: BTreeMap<(Offset, ProducerId), AbortedTransaction>,
    /// The aborted transactions around the current batch.
    aborted: BTreeMap<ProducerId, OpenAborted>,
    /// Producers with a batch of a transaction that ends in a commit further on.
    committed: BTreeSet<ProducerId>,
}

#[derive(Debug)]
struct OpenAborted {
    transaction: AbortedTransaction,
    /// A batch of it was there.
    seen: bool,
}

/// What a marker is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkerUse {
    /// A batch of its transaction was in the log when this pass came by.
    Needed {
        /// Its entry of the transaction index, if it aborts.
        aborts: Option<AbortedTransaction>,
    },
    /// None was: the marker may go once its delete horizon has passed.
    Spent,
}

impl TransactionScan {
    /// Before a pass: `aborted` are the aborted transactions of all that it reads.
    pub(super) fn new(aborted: impl IntoIterator<Item = AbortedTransaction>) -> Self {
        let ahead = aborted.into_iter().map(|entry| ((entry.first_offset, entry.producer), entry)).collect();
        Self { ahead, ..Self::default() }
    }

    /// A batch of data comes by. True if its transaction was aborted: nothing of it counts.
    pub(super) fn batch(&mut self, header: &BatchHeader) -> bool {
        self.reach(header.last_offset());
        let Some(stamp) = header.producer().filter(|_| header.attributes().is_transactional()) else {
            return false;
        };
        // An entry whose marker lies behind us is over, marker or not: what comes now is another transaction.
        if self.aborted.get(&stamp.id).is_some_and(|open| open.transaction.last_offset < header.base_offset())
        {
            self.aborted.remove(&stamp.id);
        }
        match self.aborted.get_mut(&stamp.id) {
            Some(open) => {
                open.seen = true;
                true
            }
            None => {
                self.committed.insert(stamp.id);
                false
            }
        }
    }

    /// A control batch comes by, with this marker in it; `None` if it holds none, or has been emptied.
    pub(super) fn control_batch(&mut self, header: &BatchHeader, marker: Option<ControlType>) -> MarkerUse {
        self.reach(header.last_offset());
        let needed = MarkerUse::Needed { aborts: None };
        let Some(stamp) = header.producer() else { return needed };
        match marker {
            Some(ControlType::Abort) => match self.aborted.remove(&stamp.id) {
                Some(open) if open.seen => MarkerUse::Needed { aborts: Some(open.transaction) },
                _ => MarkerUse::Spent,
            },
            Some(ControlType::Commit) if self.committed.remove(&stamp.id) => needed,
            Some(ControlType::Commit) => MarkerUse::Spent,
            // An emptied one did its work in an earlier pass; of a kind we do not know, nothing is said.
            None if header.record_count() == 0 => MarkerUse::Spent,
            None => needed,
        }
    }

    fn reach(&mut self, offset: Offset) {
        while let Some(entry) = self.ahead.first_entry().filter(|entry| entry.key().0 <= offset) {
            let transaction = entry.remove();
            // A producer has one transaction at a time: an older one of it has come to its end.
            self.aborted.insert(transaction.producer, OpenAborted { transaction, seen: false });
        }
    }
}
