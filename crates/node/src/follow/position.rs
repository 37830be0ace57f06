//! What a leader is asked for next, and which partitions have to wait.

use std::time::{Duration, Instant};

use ottla_record::{BrokerId, LeaderEpoch};

use crate::follow::pause::Pauses;
use crate::host::PartitionHost;
use crate::ports::ReplicaFetchPartition;

/// One followed partition, as its fetcher remembers it.
#[derive(Debug)]
pub(super) struct Progress {
    pauses: Pauses,
    /// After a refusal, until when; it ends early if another term begins.
    paused: Option<(LeaderEpoch, Instant)>,
    /// Records that the leader has committed and that are not here.
    pub(super) behind: u64,
    /// What was asked for last.
    pub(super) asked: Option<ReplicaFetchPartition>,
}

/// What can be done with one partition now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for this.
    Fetch(ReplicaFetchPartition),
    /// Records came and are being flushed: the leader must not hear of them before that.
    Flushing,
    /// It was refused; it may be tried again then.
    Paused(Instant),
    /// It does not follow this leader (yet, or any more), or is offline.
    Nothing,
}

impl Progress {
    pub(super) fn new(longest_pause: Duration) -> Self {
        Self { pauses: Pauses::up_to(longest_pause), paused: None, behind: 0, asked: None }
    }

    /// What its view says about the next fetch from `leader`.
    pub(super) fn next(
        &mut self,
        host: &PartitionHost,
        leader: BrokerId,
        max_bytes: usize,
        asks_for_marks: bool,
        now: Instant,
    ) -> Next {
        self.asked = None;
        let view = host.view();
        let Some(following) = view.following.filter(|following| following.leader == leader) else {
            return Next::Nothing;
        };
        if let Some((epoch, until)) = self.paused {
            if epoch == following.leader_epoch && now < until {
                return Next::Paused(until);
            }
            self.paused = None;
        }
        let Some(position) = following.fetch else { return Next::Flushing };
        let asked = ReplicaFetchPartition {
            topic_id: host.topic_id(),
            partition: host.index(),
            leader_epoch: following.leader_epoch,
            offset: position.offset,
            last_epoch: position.last_epoch,
            log_start: position.log_start,
            // Who knows everything here to be committed waits for records.
            high_watermark: Some(view.high_watermark).filter(|mark| asks_for_marks && *mark < view.log_end),
            max_bytes,
        };
        self.asked = Some(asked);
        Next::Fetch(asked)
    }

    /// The leader had something for it, or nothing new.
    pub(super) fn succeeded(&mut self) {
        self.pauses.reset();
    }

    /// The leader refused it. True if that is news.
    pub(super) fn refused(&mut self, epoch: LeaderEpoch, now: Instant) -> bool {
        let news = self.pauses.is_fresh();
        self.paused = Some((epoch, now + self.pauses.next()));
        news
    }
}
