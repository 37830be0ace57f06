//! What a producer knows of its topics: how many partitions they have, and which of them comes next.

use std::collections::VecDeque;

use ottla_record::Monotonic;
use ottla_record::partitioner::partition_for_key;

use super::limits::Limits;
use super::partition::Pending;
use crate::backoff::Random;
use crate::error::Error;

/// One topic.
#[derive(Clone, Debug)]
pub(crate) struct Topic<W> {
    /// Number of partitions, once known.
    partitions: Option<u32>,
    lookup: Lookup,
    /// Records whose partition cannot be chosen yet, in order.
    waiting: VecDeque<Pending<W>>,
    /// Since when it has been asked for without success.
    unknown_since: Option<Monotonic>,
    attempts: u32,
    last_error: Option<Error>,
    sticky: Sticky,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    /// To be asked for, from this instant on.
    Due(Monotonic),
    Asked,
}

/// Where records without a key go: all to one partition until it has a batch's worth, then to another one. Batches become
/// larger than by taking turns, and no partition gets more than its share (KIP-480, KIP-794).
#[derive(Clone, Copy, Debug)]
struct Sticky {
    partition: u32,
    bytes: usize,
    chosen: bool,
}

impl<W> Topic<W> {
    pub(crate) fn new() -> Self {
        Self {
            partitions: None,
            lookup: Lookup::Due(Monotonic::ZERO),
            waiting: VecDeque::new(),
            unknown_since: None,
            attempts: 0,
            last_error: None,
            sticky: Sticky { partition: 0, bytes: 0, chosen: false },
        }
    }

    /// The partition of a record, if the topic is known.
    pub(crate) fn partition(
        &mut self,
        pending: &Pending<W>,
        limits: &Limits,
        random: &mut Random,
    ) -> Option<i32> {
        let partitions = self.partitions?;
        if let Some(key) = &pending.record.key {
            return partition_for_key(key, partitions).map(|partition| partition.get());
        }
        let sticky = &mut self.sticky;
        if !sticky.chosen || sticky.bytes >= limits.batch_bytes || sticky.partition >= partitions {
            // Any but the one before, each as likely.
            let step = random.below(partitions.saturating_sub(1)) + 1;
            let first = random.below(partitions);
            let next = if sticky.chosen { (sticky.partition + step).checked_rem(partitions)? } else { first };
            *sticky = Sticky { partition: next, bytes: 0, chosen: true };
        }
        sticky.bytes += pending.record.size().get();
        i32::try_from(sticky.partition).ok()
    }

    pub(crate) fn wait(&mut self, pending: Pending<W>, now: Monotonic) {
        if self.waiting.is_empty() {
            self.unknown_since = Some(now);
        }
        self.waiting.push_back(pending);
    }

    /// Marks the topic as asked for, if that is due.
    pub(crate) fn ask(&mut self, now: Monotonic) -> bool {
        let due = self.lookup_due().is_some_and(|due| due <= now);
        if due {
            self.lookup = Lookup::Asked;
        }
        due
    }

    /// When it is to be asked for, if that is not under way.
    pub(crate) fn lookup_due(&self) -> Option<Monotonic> {
        match self.lookup {
            Lookup::Due(at) => Some(at),
            Lookup::Asked => None,
        }
    }

    /// It may have changed: to be looked up now.
    pub(crate) fn doubt(&mut self, now: Monotonic) {
        if let Lookup::Due(at) = &mut self.lookup {
            *at = now.min(*at);
        }
    }

    /// It has so many partitions. Returns the records that waited for it.
    pub(crate) fn known(&mut self, partitions: u32, now: Monotonic, limits: &Limits) -> VecDeque<Pending<W>> {
        self.partitions = Some(partitions);
        self.lookup = Lookup::Due(now + limits.topic_max_age);
        self.attempts = 0;
        self.unknown_since = None;
        std::mem::take(&mut self.waiting)
    }

    /// It could not be looked up. Returns the records that are given up for that.
    pub(crate) fn unknown(
        &mut self,
        error: Error,
        now: Monotonic,
        limits: &Limits,
        random: &mut Random,
    ) -> VecDeque<Pending<W>> {
        self.attempts += 1;
        self.lookup = Lookup::Due(now + limits.backoff.wait(self.attempts, random));
        let missing = error.is(ottla_rpc::KafkaError::UNKNOWN_TOPIC_OR_PARTITION);
        let patient = self.unknown_since.is_none_or(|since| now < since + limits.topic_timeout);
        let hopeless = if missing { !patient } else { !error.is_retriable() };
        self.last_error = Some(error);
        if !hopeless {
            return VecDeque::new();
        }
        self.unknown_since = None;
        std::mem::take(&mut self.waiting)
    }

    /// Records that have waited for the topic past their delivery timeout.
    pub(crate) fn expire(&mut self, now: Monotonic, limits: &Limits) -> Option<Pending<W>> {
        self.waiting.pop_front_if(|pending| pending.created + limits.delivery_timeout <= now)
    }

    pub(crate) fn next_expiry(&self, limits: &Limits) -> Option<Monotonic> {
        self.waiting.front().map(|pending| pending.created + limits.delivery_timeout)
    }

    pub(crate) fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
