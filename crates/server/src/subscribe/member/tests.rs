use expect_test::{Expect, expect};
use ottla_node::record::Uuid;

use super::*;

/// A member and what it has been told to do, as lines of text.
struct Story {
    member: Member,
    now: Monotonic,
    lines: Vec<String>,
}

fn partition(index: i32) -> Partition {
    Partition { topic: "a".into(), topic_id: TopicId(Uuid::from_random([1; 16])), index }
}

fn position(landmark: v1::Landmark) -> v1::Position {
    v1::Position { at: Some(v1::position::At::Landmark(landmark.into())) }
}

fn busy() -> Failure {
    Failure::new(KafkaError::COORDINATOR_LOAD_IN_PROGRESS, "loading")
}

fn fenced() -> Failure {
    Failure::new(KafkaError::FENCED_MEMBER_EPOCH, "unknown here")
}

impl Story {
    /// A subscription that has just begun.
    fn begins() -> Self {
        Self::with(Plan {
            rebalance_timeout: Duration::from_secs(60),
            start: Some(position(v1::Landmark::Earliest)),
            credit: None,
        })
    }

    fn with(plan: Plan) -> Self {
        let now = Monotonic::from_start(Duration::from_secs(1000));
        let mut story = Self { member: Member::new(plan, "m".into(), now), now, lines: Vec::new() };
        story.event(Event::Tick);
        story
    }

    /// A member that owns these partitions, in epoch 1, with nothing to ask.
    fn owning(partitions: &[i32]) -> Self {
        let mut story = Self::begins();
        story.beaten(1, Some(partitions));
        if !partitions.is_empty() {
            story.placed(partitions);
            story.beaten(1, None);
        }
        story.lines.clear();
        story
    }

    fn event(&mut self, event: Event) -> &mut Self {
        let mut effects = Vec::new();
        self.member.handle(event, self.now, &mut effects);
        self.lines.extend(effects.iter().map(describe));
        self
    }

    fn beaten(&mut self, epoch: i32, assignment: Option<&[i32]>) -> &mut Self {
        let assignment = assignment.map(|indexes| indexes.iter().copied().map(partition).collect());
        let interval = Duration::from_secs(5);
        self.event(Event::Reply(Reply::Beaten { epoch, interval, assignment }))
    }

    fn placed(&mut self, partitions: &[i32]) -> &mut Self {
        let place = |index: &i32| Place {
            partition: partition(*index),
            position: Offset::new(10),
            committed: Some(Offset::new(10)),
            metadata: String::new(),
        };
        self.event(Event::Reply(Reply::Placed(partitions.iter().map(place).collect())))
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(millis);
        self.event(Event::Tick)
    }

    fn commit(&mut self, id: u64, index: i32) -> &mut Self {
        let offset =
            v1::CommitOffset { topic: "a".into(), partition: index, offset: 12, ..Default::default() };
        self.event(Event::Commit(v1::CommitOffsets { id, offsets: vec![offset] }))
    }

    fn check(&mut self, expected: &Expect) -> &mut Self {
        let mut text = std::mem::take(&mut self.lines).join("\n");
        text.push('\n');
        expected.assert_eq(&text);
        self
    }
}

fn indexes<'a>(partitions: impl IntoIterator<Item = &'a Partition>) -> Vec<i32> {
    partitions.into_iter().map(|partition| partition.index).collect()
}

fn describe(effect: &Effect) -> String {
    use v1::subscribe_response::Event as Told;
    let told = |partitions: &[v1::TopicPartition]| partitions.iter().map(|p| p.partition).collect::<Vec<_>>();
    match effect {
        Effect::Call(Call::Heartbeat { epoch, owned }) => match owned {
            Some(owned) => format!("heartbeat in epoch {epoch}, owning {:?}", indexes(owned)),
            None => format!("heartbeat in epoch {epoch}"),
        },
        Effect::Call(Call::Places { partitions, .. }) => format!("where begin {:?}?", indexes(partitions)),
        Effect::Call(Call::Commit { epoch, offsets }) => {
            format!("commit {:?} in epoch {epoch}", indexes(offsets.iter().map(|commit| &commit.partition)))
        }
        Effect::Call(Call::Leave) => "leave".to_owned(),
        Effect::LookUp(partition, _) => format!("look up a place in {}", partition.index),
        Effect::Read { partition, at, paused } => {
            format!("read {} at {at}{}", partition.index, if *paused { ", paused" } else { "" })
        }
        Effect::Stop(partition) => format!("stop reading {}", partition.index),
        Effect::SetPaused(partition, true) => format!("pause {}", partition.index),
        Effect::SetPaused(partition, false) => format!("resume {}", partition.index),
        Effect::Send(Told::Joined(joined)) => format!("> joined in epoch {}", joined.member_epoch),
        Effect::Send(Told::Assigned(assigned)) => {
            format!("> assigned {:?}", assigned.partitions.iter().map(|p| p.partition).collect::<Vec<_>>())
        }
        Effect::Send(Told::Revoking(revoking)) => {
            format!("> revoking {:?} within {} ms", told(&revoking.partitions), revoking.within_ms)
        }
        Effect::Send(Told::Lost(lost)) => format!("> lost {:?}: {}", told(&lost.partitions), lost.reason),
        Effect::Send(Told::Committed(committed)) => {
            let failures: Vec<&str> =
                committed.failures.iter().map(|f| f.detail.as_ref().unwrap().kafka_error.as_str()).collect();
            format!("> committed {} {failures:?}", committed.id)
        }
        Effect::Send(Told::Sought(sought)) => format!("> sought {} at {}", sought.partition, sought.position),
        Effect::Send(Told::Unreadable(unreadable)) => format!("> unreadable: {}", unreadable.message),
        Effect::Send(Told::Records(_)) => unreachable!("records come from the reader"),
        Effect::End(Ok(())) => "end".to_owned(),
        Effect::End(Err(failure)) => format!("end with {}", failure.detail.kafka_error),
    }
}

#[test]
fn a_member_joins_learns_where_to_begin_and_reads() {
    let mut story = Story::begins();
    story.beaten(1, Some(&[0, 1])).placed(&[0, 1]).beaten(1, None).after(499).after(1);
    story.check(&expect![[r#"
        heartbeat in epoch 0, owning []
        > joined in epoch 1
        where begin [0, 1]?
        read 0 at 10
        read 1 at 10
        > assigned [0, 1]
        heartbeat in epoch 1, owning [0, 1]
        heartbeat in epoch 1
    "#]]);
}

#[test]
fn partitions_are_given_back_with_the_clients_consent_before_new_ones_are_taken() {
    let mut story = Story::owning(&[0, 1]);
    story.after(500).beaten(2, Some(&[1, 2])).check(&expect![[r#"
        heartbeat in epoch 1
        stop reading 0
        > revoking [0] within 59000 ms
    "#]]);
    // The client finishes what it has, commits it, and lets go.
    story.commit(7, 0).event(Event::Reply(Reply::Committed(vec![Ok(())])));
    story.event(Event::Release).beaten(2, None).placed(&[2]).check(&expect![[r#"
        commit [0] in epoch 2
        > committed 7 []
        heartbeat in epoch 2, owning [1]
        where begin [2]?
        read 2 at 10
        > assigned [2]
        heartbeat in epoch 2, owning [1, 2]
    "#]]);
}

#[test]
fn partitions_that_are_not_given_back_in_time_are_lost() {
    let mut story = Story::owning(&[0]);
    story.after(500).beaten(2, Some(&[]));
    for _ in 0..117 {
        story.after(500).beaten(2, None);
    }
    story.lines.clear();
    story.after(500).commit(1, 0).check(&expect![[r#"
        > lost [0]: they were not given back in time; a larger rebalance_timeout_ms gives more
        heartbeat in epoch 2, owning []
        > committed 1 ["STALE_MEMBER_EPOCH"]
    "#]]);
}

#[test]
fn an_assignment_that_changes_while_partitions_are_given_back_counts_afterwards() {
    let mut story = Story::owning(&[0, 1]);
    story.after(500).beaten(2, Some(&[1])).after(500).beaten(3, Some(&[])).check(&expect![[r#"
        heartbeat in epoch 1
        stop reading 0
        > revoking [0] within 59000 ms
        heartbeat in epoch 2
    "#]]);
    story.event(Event::Release).check(&expect![[r#"
        stop reading 1
        > revoking [1] within 59000 ms
        heartbeat in epoch 3, owning [1]
    "#]]);
}

#[test]
fn a_member_that_is_not_known_any_more_has_lost_everything_and_joins_again() {
    let mut story = Story::owning(&[0]);
    story.commit(1, 0).commit(2, 0).event(Event::Reply(Reply::Fenced(fenced()))).check(&expect![[r#"
        commit [0] in epoch 1
        > committed 1 ["FENCED_MEMBER_EPOCH"]
        stop reading 0
        > lost [0]: unknown here
        > committed 2 ["STALE_MEMBER_EPOCH"]
        heartbeat in epoch 0, owning []
    "#]]);
    // Not at once again, if even that is refused.
    story.event(Event::Reply(Reply::Fenced(fenced()))).after(99).after(1).beaten(5, Some(&[0]));
    story.check(&expect![[r#"
        heartbeat in epoch 0, owning []
        > joined in epoch 5
        where begin [0]?
    "#]]);
}

#[test]
fn a_coordinator_that_is_not_there_is_asked_again_and_told_anew_what_is_owned() {
    let mut story = Story::begins();
    story.event(Event::Reply(Reply::Busy(busy()))).after(99).after(1).beaten(1, Some(&[0])).placed(&[0]);
    story.event(Event::Reply(Reply::Busy(busy()))).after(100).check(&expect![[r#"
        heartbeat in epoch 0, owning []
        heartbeat in epoch 0, owning []
        > joined in epoch 1
        where begin [0]?
        read 0 at 10
        > assigned [0]
        heartbeat in epoch 1, owning [0]
        heartbeat in epoch 1, owning [0]
    "#]]);
    // A commit is answered: the client may have a newer one by then.
    let mut story = Story::owning(&[0]);
    story.commit(3, 0).event(Event::Reply(Reply::Busy(busy()))).check(&expect![[r#"
        commit [0] in epoch 1
        > committed 3 ["COORDINATOR_LOAD_IN_PROGRESS"]
    "#]]);
}

#[test]
fn a_coordinator_that_stays_away_or_has_moved_ends_the_stream_and_the_member_stays_in_the_group() {
    let away = || Failure::new(KafkaError::NOT_COORDINATOR, "not here");
    // The time counts from the first answer that it is not there, and anew once it was there again.
    let mut story = Story::owning(&[0]);
    story.after(500).event(Event::Reply(Reply::Absent(away()))).after(4_000);
    story.event(Event::Reply(Reply::Busy(busy()))).after(100).event(Event::Reply(Reply::Absent(away())));
    story.after(4_900).event(Event::Reply(Reply::Absent(away()))).after(100);
    story.event(Event::Reply(Reply::Absent(away()))).check(&expect![[r#"
        heartbeat in epoch 1
        heartbeat in epoch 1, owning [0]
        heartbeat in epoch 1, owning [0]
        heartbeat in epoch 1, owning [0]
        heartbeat in epoch 1, owning [0]
        end with NOT_COORDINATOR
    "#]]);
    let mut story = Story::owning(&[0]);
    story.commit(1, 0).commit(2, 0).event(Event::Reply(Reply::Moved(away()))).check(&expect![[r#"
        commit [0] in epoch 1
        > committed 1 ["NOT_COORDINATOR"]
        end with NOT_COORDINATOR
    "#]]);
}

#[test]
fn commits_wait_for_one_another_and_for_heartbeats() {
    let mut story = Story::owning(&[0]);
    story.commit(1, 0).commit(2, 0).after(500).check(&expect![[r#"
        commit [0] in epoch 1
    "#]]);
    story.event(Event::Reply(Reply::Committed(vec![Ok(())]))).beaten(1, None).check(&expect![[r#"
        > committed 1 []
        heartbeat in epoch 1
        commit [0] in epoch 1
    "#]]);
    for id in 3..3 + MAX_COMMITS as u64 {
        assert!(story.member.takes_requests(), "{id}");
        story.commit(id, 0);
    }
    assert!(!story.member.takes_requests(), "the client is held back");
}

#[test]
fn offsets_of_partitions_of_others_are_refused_and_the_rest_is_committed() {
    let mut story = Story::owning(&[0]);
    let offset =
        |partition, offset| v1::CommitOffset { topic: "a".into(), partition, offset, ..Default::default() };
    let offsets = vec![offset(0, 5), offset(1, 5), offset(0, -1)];
    story.event(Event::Commit(v1::CommitOffsets { id: 9, offsets }));
    story.event(Event::Reply(Reply::Committed(vec![Ok(())]))).check(&expect![[r#"
        commit [0] in epoch 1
        > committed 9 ["STALE_MEMBER_EPOCH", "INVALID_REQUEST"]
    "#]]);
}

#[test]
fn a_member_leaves_after_what_it_has_committed() {
    let mut story = Story::owning(&[0]);
    story.commit(1, 0).event(Event::Leave).event(Event::Reply(Reply::Committed(vec![Ok(())])));
    story.event(Event::Reply(Reply::Left)).check(&expect![[r#"
        commit [0] in epoch 1
        > committed 1 []
        leave
        end
    "#]]);
    // One that has never joined need not.
    let mut story = Story::begins();
    story.event(Event::Leave).event(Event::Reply(Reply::Busy(busy()))).after(100).check(&expect![[r#"
        heartbeat in epoch 0, owning []
        end
    "#]]);
}

#[test]
fn a_refusal_ends_the_stream_and_a_member_leaves_before() {
    let refused = || Failure::new(KafkaError::GROUP_MAX_SIZE_REACHED, "full");
    let mut story = Story::begins();
    story.event(Event::Reply(Reply::Refused(refused()))).check(&expect![[r#"
        heartbeat in epoch 0, owning []
        end with GROUP_MAX_SIZE_REACHED
    "#]]);
    let mut story = Story::owning(&[0]);
    story.event(Event::Fail(refused())).event(Event::Reply(Reply::Left)).check(&expect![[r#"
        leave
        end with GROUP_MAX_SIZE_REACHED
    "#]]);
}

#[test]
fn seeks_and_pauses_are_of_owned_partitions() {
    let mut story = Story::owning(&[0]);
    let seek = |index| {
        let to = Some(position(v1::Landmark::Latest));
        Event::Seek(v1::SeekPartition { topic: "a".into(), partition: index, to })
    };
    let named = |index| vec![v1::TopicPartition { topic: "a".into(), partition: index }];
    story.event(seek(1)).event(Event::SetPaused(named(1), true));
    assert!(story.lines.is_empty(), "it is told that another one has it");
    story.event(Event::SetPaused(named(0), true)).event(seek(0));
    story.event(Event::Found(partition(0), Ok(Offset::new(99)))).event(Event::SetPaused(named(0), false));
    story.check(&expect![[r#"
        pause 0
        stop reading 0
        look up a place in 0
        read 0 at 99, paused
        > sought 0 at 99
        resume 0
    "#]]);
}

#[test]
fn of_seeks_in_a_row_the_last_one_counts_however_long_each_takes() {
    let seek = |landmark: v1::Landmark| {
        let (topic, to) = ("a".to_owned(), Some(position(landmark)));
        Event::Seek(v1::SeekPartition { topic, partition: 0, to })
    };
    let mut story = Story::owning(&[0]);
    // The second waits for the first: found at the same time, either could come last.
    story
        .event(seek(v1::Landmark::Latest))
        .event(seek(v1::Landmark::Earliest))
        .event(Event::Found(partition(0), Ok(Offset::new(70))))
        .event(Event::Found(partition(0), Ok(Offset::new(3))))
        .check(&expect![[r#"
            stop reading 0
            look up a place in 0
            look up a place in 0
            > sought 0 at 70
            read 0 at 3
            > sought 0 at 3
        "#]]);
    // One that was looked for while the partition went and came again changes nothing.
    story.event(seek(v1::Landmark::Latest));
    story.after(5_000).event(Event::Reply(Reply::Fenced(fenced())));
    story.beaten(3, Some(&[0])).placed(&[0]).beaten(3, None);
    story.lines.clear();
    story.event(Event::Found(partition(0), Ok(Offset::new(70))));
    assert!(story.lines.is_empty(), "{:?}", story.lines);
    // A client that only seeks is held back.
    for _ in 0..=MAX_SEEKS {
        story.event(seek(v1::Landmark::Latest));
    }
    assert!(!story.member.takes_requests());
}

#[test]
fn an_offset_that_the_log_does_not_hold_is_met_by_the_start_or_is_an_error() {
    let out = || Failure::new(KafkaError::OFFSET_OUT_OF_RANGE, "gone");
    let mut story = Story::owning(&[0]);
    story.event(Event::OutOfRange(partition(0), out()));
    story.event(Event::Found(partition(0), Ok(Offset::new(50)))).check(&expect![[r#"
        stop reading 0
        look up a place in 0
        read 0 at 50
        > sought 0 at 50
    "#]]);
    let mut story = Story::owning(&[0]);
    story.member.plan.start = None;
    story.event(Event::OutOfRange(partition(0), out())).event(Event::Reply(Reply::Left)).check(&expect![[
        r#"
        leave
        end with OFFSET_OUT_OF_RANGE
    "#
    ]]);
}

#[test]
fn a_partition_that_cannot_be_read_is_told_of_and_tried_again() {
    let mut story = Story::owning(&[0]);
    let failure = Failure::new(KafkaError::KAFKA_STORAGE_ERROR, "the disk");
    story.event(Event::Unreadable(partition(0), Offset::new(12), failure));
    story.after(500).beaten(1, None).after(500).check(&expect![[r#"
        > unreadable: the disk
        heartbeat in epoch 1
        read 0 at 12
        heartbeat in epoch 1
    "#]]);
}

#[test]
fn credit_is_spent_by_records_and_granted_by_the_client() {
    let start = None;
    let rebalance_timeout = Duration::from_secs(60);
    let mut story = Story::with(Plan { rebalance_timeout, start, credit: Some(100) });
    assert!(story.member.has_credit());
    story.event(Event::Sent(150));
    assert!(!story.member.has_credit(), "one message may overdraw");
    story.event(Event::Credit(50));
    assert!(!story.member.has_credit());
    story.event(Event::Credit(-200)).event(Event::Credit(1));
    assert!(story.member.has_credit(), "credit is never taken back");
    assert!(Story::begins().member.has_credit(), "without credits HTTP/2 decides");
}

#[test]
fn the_next_deadline_is_never_behind_what_was_just_handled() {
    let mut story = Story::owning(&[0]);
    assert_eq!(story.member.next_deadline() - story.now, Duration::from_millis(500), "a heartbeat");
    story.event(Event::Unreadable(partition(0), Offset::ZERO, busy()));
    story.after(500);
    assert_eq!(story.member.next_deadline() - story.now, Duration::from_millis(500), "the retry");
    story.event(Event::Reply(Reply::Busy(busy())));
    assert_eq!(story.member.next_deadline() - story.now, BACKOFF);
}
