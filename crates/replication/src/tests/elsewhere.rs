//! What went wrong in other systems, as far as it concerns one partition: several replicas, each a real machine over a real
//! log, that talk to each other.

use ottla_record::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};

use super::{Scenario, batch, config, produce};
use crate::{
    Acks, Assignment, Durability, Effect, Event, FetchedFromLeader, FetchedOutcome, FollowerFetch,
    FollowerFetchError, FollowerPosition, IsrProposal, PartitionConfig, ProduceError, Produced,
};

/// Brokers 1, 2 and 3 with a replica each. What a machine asks of the disk is done at once.
struct Replicas {
    brokers: Vec<Scenario>,
    term: i32,
    version: i32,
    produced: Vec<Result<Produced, ProduceError>>,
    proposed: Vec<IsrProposal>,
}

impl Replicas {
    fn new() -> Self {
        Self::with(&config(Durability::Fsync))
    }

    fn with(config: &PartitionConfig) -> Self {
        let brokers = (1..=3).map(|id| Scenario::on(id, config.clone())).collect();
        Self { brokers, term: -1, version: 0, produced: Vec::new(), proposed: Vec::new() }
    }

    fn broker(&mut self, id: i32) -> &mut Scenario {
        &mut self.brokers[id as usize - 1]
    }

    fn event(&mut self, id: i32, event: Event<String>) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.broker(id).effects(event) {
                match effect {
                    Effect::Flush(job) => events.push(Event::Flushed { end: job.end, succeeded: true }),
                    Effect::Checkpoint(job) => events.push(Event::Checkpointed { job, succeeded: true }),
                    Effect::Produced { outcome, .. } => self.produced.push(outcome),
                    Effect::AlterIsr(proposal) => self.proposed.push(proposal),
                    Effect::CopyRefused(error) => panic!("{error}"),
                    _ => {}
                }
            }
        }
    }

    /// A new term, of which those named in `heard_by` hear.
    fn elect(&mut self, leader: i32, isr: &[i32], heard_by: &[i32]) {
        self.term += 1;
        self.assign(leader, isr, heard_by);
    }

    fn assign(&mut self, leader: i32, isr: &[i32], heard_by: &[i32]) {
        self.version += 1;
        let brokers = |ids: &[i32]| ids.iter().map(|id| BrokerId::new(*id)).collect();
        let assignment = Assignment {
            leader_epoch: LeaderEpoch::new(self.term),
            partition_epoch: PartitionEpoch::new(self.version),
            leader: Some(BrokerId::new(leader)),
            replicas: brokers(&[1, 2, 3]),
            isr: brokers(isr),
        };
        for id in heard_by {
            self.event(*id, Event::Assign(assignment.clone()));
        }
    }

    /// Appends one record at the leader; what was answered so far.
    fn produce(
        &mut self,
        leader: i32,
        acks: Acks,
        sequence: Option<i32>,
    ) -> Option<&Result<Produced, ProduceError>> {
        let answered = self.produced.len();
        self.event(leader, produce("p", acks, batch(sequence)));
        self.produced.get(answered)
    }

    /// A follower fetches once from whom it takes for the leader; whether that changed its log.
    fn fetch(&mut self, follower: i32) -> Result<bool, FollowerFetchError> {
        let following = self.broker(follower).partition.view().following.expect("it follows");
        let position = following.fetch.expect("nothing is unflushed");
        let fetch = FollowerFetch {
            waiter: "f".to_owned(),
            follower: BrokerId::new(follower),
            broker_epoch: BrokerEpoch::new(7),
            leader_epoch: following.leader_epoch,
            offset: position.offset,
            last_epoch: position.last_epoch,
            log_start: position.log_start,
        };
        let outcome = match self.ask(following.leader.get(), fetch) {
            Ok(FollowerPosition { diverging: Some(common), .. }) => FetchedOutcome::Diverging(common),
            Ok(position_of_leader) => {
                let view = self.broker(following.leader.get()).partition.view();
                let read = view.log.read(position.offset, 1 << 20, position_of_leader.log_end, true).unwrap();
                FetchedOutcome::Records {
                    bytes: read.map(|slice| slice.read().unwrap()).unwrap_or_default().into(),
                    high_watermark: position_of_leader.high_watermark,
                    log_start: position_of_leader.log_start,
                }
            }
            Err(FollowerFetchError::OutOfRange { log_start, log_end, producers }) => {
                FetchedOutcome::OutOfRange { log_start, log_end, producers }
            }
            Err(refused) => return Err(refused),
        };
        let before = self.broker(follower).records();
        let (from, last_epoch) = (position.offset, position.last_epoch);
        let fetched = FetchedFromLeader { leader_epoch: following.leader_epoch, from, last_epoch, outcome };
        self.event(follower, Event::Fetched(fetched));
        Ok(self.broker(follower).records() != before)
    }

    fn ask(
        &mut self,
        leader: i32,
        fetch: FollowerFetch<String>,
    ) -> Result<FollowerPosition, FollowerFetchError> {
        let mut answer = None;
        for effect in self.broker(leader).effects(Event::FollowerFetch(fetch)) {
            match effect {
                Effect::FollowerFetched { outcome, .. } => answer = Some(outcome),
                Effect::Produced { outcome, .. } => self.produced.push(outcome),
                Effect::AlterIsr(proposal) => self.proposed.push(proposal),
                _ => {}
            }
        }
        answer.expect("every fetch is answered")
    }

    /// Followers fetch until nothing changes any more, and once more to say and hear it.
    fn catch_up(&mut self, followers: &[i32]) {
        for _ in 0..2 {
            for follower in followers {
                while self.fetch(*follower).unwrap() {}
            }
        }
    }

    fn records(&mut self, id: i32) -> String {
        self.broker(id).records()
    }

    fn high_watermark(&mut self, id: i32) -> i64 {
        self.broker(id).partition.view().high_watermark.get()
    }
}

/// Why KIP-101 exists. The follower has not heard that its last record is committed; it meets its leader anew, then leads.
#[test]
fn a_follower_does_not_cut_to_its_own_stale_high_watermark_before_it_leads() {
    let mut r = Replicas::new();
    r.elect(1, &[1, 2], &[1, 2]);
    r.produce(1, Acks::All, None);
    r.fetch(2).unwrap();
    r.produce(1, Acks::All, None);
    r.fetch(2).unwrap();
    // Its next fetch says that it has both, and the answer is lost.
    let lost = FollowerFetch {
        waiter: "f".to_owned(),
        follower: BrokerId::new(2),
        broker_epoch: BrokerEpoch::new(7),
        leader_epoch: LeaderEpoch::ZERO,
        offset: Offset::new(2),
        last_epoch: Some(LeaderEpoch::ZERO),
        log_start: Offset::ZERO,
    };
    r.ask(1, lost).unwrap();
    assert_eq!(r.produced.iter().filter(|outcome| outcome.is_ok()).count(), 2, "both are acknowledged");
    assert_eq!(r.high_watermark(2), 1);

    r.elect(1, &[1, 2], &[2]);
    r.elect(2, &[2], &[2]);
    assert_eq!(r.records(2), "0@0 1@0");
    r.elect(2, &[1, 2], &[1, 2]);
    r.catch_up(&[1]);
    assert_eq!(r.records(1), "0@0 1@0");
}

/// KIP-279. Leaders change twice and the last one writes nothing; what it answers about a term it never saw must not read as
/// if it had all of it.
#[test]
fn two_fast_leader_changes_with_no_write_between_leave_the_same_records_everywhere() {
    let mut r = Replicas::new();
    r.elect(1, &[1, 2, 3], &[1, 2, 3]);
    r.produce(1, Acks::Leader, None);
    r.catch_up(&[2, 3]);
    // Only 1 has this one.
    r.produce(1, Acks::Leader, None);
    // 2 leads, unheard of by the others, and writes two of its own.
    r.elect(2, &[2], &[2]);
    r.produce(2, Acks::Leader, None);
    r.produce(2, Acks::Leader, None);
    assert_eq!((r.records(1).as_str(), r.records(2).as_str()), ("0@0 1@0", "0@0 1@1 2@1"));
    // 3 leads for a moment and writes nothing; then 1 leads again and writes nothing either.
    r.elect(3, &[3], &[3]);
    r.elect(1, &[1], &[1, 2, 3]);
    r.catch_up(&[2, 3]);
    assert_eq!([1, 2, 3].map(|id| r.records(id)), ["0@0 1@0"; 3].map(str::to_owned));
    r.produce(1, Acks::Leader, None);
    r.catch_up(&[2, 3]);
    assert_eq!([1, 2, 3].map(|id| r.records(id)), ["0@0 1@0 2@3"; 3].map(str::to_owned));
}

/// KIP-320's first try. A follower that has not heard of the new term says what it has; some of that is not the leader's.
#[test]
fn a_follower_of_an_older_term_is_not_counted() {
    let mut r = Replicas::new();
    r.elect(1, &[1, 2, 3], &[1, 2, 3]);
    r.produce(1, Acks::Leader, None);
    r.catch_up(&[2, 3]);
    r.produce(1, Acks::Leader, None);
    r.fetch(3).unwrap();
    // 2 leads without the last record, and writes another at its offset. 3 still asks in the old term.
    r.elect(2, &[2, 3], &[1, 2]);
    assert!(r.produce(2, Acks::All, None).is_none());
    assert_eq!(r.fetch(3), Err(FollowerFetchError::NotLeader), "its leader has stepped down");
    let of_the_old_term = FollowerFetch {
        waiter: "f".to_owned(),
        follower: BrokerId::new(3),
        broker_epoch: BrokerEpoch::new(7),
        leader_epoch: LeaderEpoch::ZERO,
        offset: Offset::new(2),
        last_epoch: Some(LeaderEpoch::ZERO),
        log_start: Offset::ZERO,
    };
    let fenced = FollowerFetchError::FencedLeaderEpoch { current: LeaderEpoch::new(1) };
    assert_eq!(r.ask(2, of_the_old_term), Err(fenced));
    assert_eq!(r.high_watermark(2), 1, "the record that 3 does not have is not committed");
    r.assign(2, &[2, 3], &[1, 2, 3]);
    r.catch_up(&[1, 3]);
    assert_eq!([1, 2, 3].map(|id| r.records(id)), ["0@0 1@1"; 3].map(str::to_owned));
    assert_eq!(r.high_watermark(2), 2);
}

/// KIP-966. The in-sync set shrinks to one, which loses what it had not flushed; the others come back and cut to it.
#[test]
fn the_last_replica_standing_takes_nothing_acknowledged_with_it() {
    let mut r = Replicas::with(&config(Durability::Os));
    r.elect(1, &[1, 2, 3], &[1, 2, 3]);
    r.produce(1, Acks::All, None);
    r.catch_up(&[2, 3]);
    assert!(r.produced.iter().all(Result::is_ok));
    r.assign(1, &[1], &[1]);
    let refused = r.produce(1, Acks::All, None);
    assert!(matches!(refused, Some(Err(ProduceError::NotEnoughReplicas { in_sync: 1, required: 2 }))));
    r.produce(1, Acks::Leader, None);
    assert_eq!((r.records(1).as_str(), r.high_watermark(1)), ("0@0 1@0", 1), "no reader has seen the second");
    // The power goes: of its log, what the others have is left. A replica that copied them stands for it.
    let mut fresh = Replicas::with(&config(Durability::Os));
    std::mem::swap(r.broker(1), fresh.broker(1));
    r.elect(2, &[2, 3], &[1, 2, 3]);
    r.catch_up(&[1, 3]);
    r.elect(1, &[1], &[1, 2, 3]);
    r.catch_up(&[2, 3]);
    assert_eq!([1, 2, 3].map(|id| r.records(id)), ["0@0"; 3].map(str::to_owned));
    // As soon as enough are in sync again, what is written is acknowledged and seen.
    r.assign(1, &[1, 2, 3], &[1, 2, 3]);
    r.produce(1, Acks::All, None);
    r.catch_up(&[2, 3]);
    assert_eq!([1, 2, 3].map(|id| r.high_watermark(id)), [2; 3]);
}

/// Found in a Rust broker's changelog: compaction takes the last records of a segment, and a fetch from there finds nothing.
#[test]
fn a_fetch_does_not_stop_where_compaction_took_the_last_offsets_of_a_segment() {
    let mut config = config(Durability::Fsync);
    config.log.segment_bytes = 160;
    config.log.compacted = true;
    let mut r = Replicas::with(&config);
    r.elect(1, &[1, 2, 3], &[1, 2, 3]);
    for _ in 0..4 {
        r.produce(1, Acks::Leader, None);
    }
    r.catch_up(&[2]);
    r.produce(1, Acks::Leader, None);
    let before = r.records(1);
    let cleaned = r.broker(1).cleaned();
    r.event(1, Event::SwapCleaned { waiter: "s".to_owned(), cleaned });
    assert_ne!(r.records(1), before, "all records have one key");
    r.catch_up(&[2, 3]);
    for id in [1, 2, 3] {
        assert_eq!(r.broker(id).partition.log().log_end(), Offset::new(5));
    }
    assert_eq!(r.records(3), r.records(1));
}

/// Found in a Rust broker's changelog: a follower that knows no producers, and so 59 duplicates after a failover.
#[test]
fn a_follower_knows_the_producers_when_it_leads() {
    let mut r = Replicas::new();
    r.elect(1, &[1, 2, 3], &[1, 2, 3]);
    r.produce(1, Acks::All, Some(0));
    r.produce(1, Acks::All, Some(1));
    r.catch_up(&[2, 3]);
    r.elect(2, &[2, 3], &[1, 2, 3]);
    r.catch_up(&[1, 3]);
    // The answer was lost with the leader; the producer sends the batch again.
    let again = r.produce(2, Acks::All, Some(1));
    assert!(matches!(again, Some(Ok(Produced { base_offset, .. })) if *base_offset == Offset::new(1)));
    r.produce(2, Acks::All, Some(2));
    r.catch_up(&[1, 3]);
    assert_eq!([1, 2, 3].map(|id| r.records(id)), ["0@0 1@0 2@1"; 3].map(str::to_owned));
}

/// KAFKA-18723. Between the leader's answer and the reading of the records, the leader is deposed and copies another's.
#[test]
fn records_that_a_deposed_leader_copied_since_are_not_taken_for_its_own() {
    let mut r = Replicas::new();
    r.elect(1, &[1, 2, 3], &[1, 2, 3]);
    r.produce(1, Acks::Leader, None);
    r.produce(1, Acks::Leader, None);
    r.fetch(3).unwrap();
    r.fetch(3).unwrap();
    // 2, which has nothing, leads; 1 copies it. 3 has heard of none of it, and is sent what 1 has now from offset 2 on.
    r.elect(2, &[2], &[1, 2]);
    for _ in 0..3 {
        r.produce(2, Acks::Leader, None);
    }
    r.catch_up(&[1]);
    let view = r.broker(1).partition.view();
    let bytes = view.log.read(Offset::new(2), 1 << 20, view.log_end, true).unwrap().unwrap().read().unwrap();
    let sent = FetchedFromLeader {
        leader_epoch: LeaderEpoch::ZERO,
        from: Offset::new(2),
        last_epoch: Some(LeaderEpoch::ZERO),
        outcome: FetchedOutcome::Records {
            bytes: bytes.into(),
            high_watermark: Offset::ZERO,
            log_start: Offset::ZERO,
        },
    };
    r.event(3, Event::Fetched(sent));
    assert_eq!(r.records(3), "0@0 1@0");
    r.assign(2, &[2], &[1, 2, 3]);
    r.catch_up(&[3]);
    assert_eq!([1, 2, 3].map(|id| r.records(id)), ["0@1 1@1 2@1"; 3].map(str::to_owned));
}

/// A deposed leader's tail goes, whoever leads, and acknowledged records stay, through a row of failovers.
#[test]
fn leaders_come_and_go_and_every_acknowledged_record_stays() {
    let mut r = Replicas::new();
    r.elect(1, &[1, 2, 3], &[1, 2, 3]);
    for round in 0..6 {
        let leader = round % 3 + 1;
        let next = (round + 1) % 3 + 1;
        let third = (round + 2) % 3 + 1;
        r.produce(leader, Acks::All, None);
        r.catch_up(&[next, third]);
        // A tail that only the leader has.
        r.produce(leader, Acks::Leader, None);
        r.elect(next, &[next, third], &[1, 2, 3]);
        r.catch_up(&[leader, third]);
        r.assign(next, &[1, 2, 3], &[1, 2, 3]);
        let acknowledged = r.records(next).split_whitespace().count();
        assert_eq!(acknowledged, round as usize + 1);
        assert_eq!([1, 2, 3].map(|id| r.records(id)), [1, 2, 3].map(|_| r.records(next)));
    }
}
