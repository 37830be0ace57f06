//! The module's table, on a toy: a register with one value, which some wait for.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::{Expect, expect};
use ottla_record::Timestamp;

use super::*;

/// Remembers the last value put; `Await` is answered by the next one, and the tick at its deadline puts 0.
#[derive(Debug, Default)]
struct Register {
    value: u32,
    awaiting: Vec<&'static str>,
    deadline: Option<Monotonic>,
}

#[derive(Debug)]
enum Ask {
    Put(u32),
    Get,
    Await,
    Expire(Monotonic),
}

impl Machine for Register {
    type Waiter = &'static str;
    type Request = Ask;
    type Response = u32;
    type Record = u32;

    fn handle(&mut self, waiter: &'static str, ask: Ask, _image: &Image, _now: Now) -> Step<Self> {
        match ask {
            Ask::Put(value) => {
                let awaiting = std::mem::take(&mut self.awaiting);
                let replies = std::iter::once(waiter).chain(awaiting).map(|waiter| (waiter, value)).collect();
                Step { records: vec![value], replies }
            }
            Ask::Get => Step::reply(waiter, self.value),
            Ask::Await => {
                self.awaiting.push(waiter);
                Step::none()
            }
            Ask::Expire(at) => {
                self.deadline = Some(at);
                Step::reply(waiter, self.value)
            }
        }
    }

    fn apply(&mut self, record: &u32, _now: Now) {
        self.value = *record;
    }

    fn loaded(&mut self, _image: &Image, now: Now) {
        self.deadline = Some(now.monotonic + Duration::from_secs(1));
    }

    fn tick(&mut self, _image: &Image, now: Now) -> Step<Self> {
        match self.deadline.take_if(|deadline| *deadline <= now.monotonic) {
            Some(_) => Step { records: vec![0], replies: Vec::new() },
            None => Step::none(),
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        self.deadline
    }

    fn dissolve(self) -> Vec<&'static str> {
        self.awaiting
    }
}

fn now() -> Now {
    Now { monotonic: Monotonic::from_start(Duration::from_secs(10)), wall: Timestamp::EPOCH }
}

fn put(waiter: &'static str, value: u32) -> Event<Register> {
    Event::Request { waiter, request: Ask::Put(value) }
}

fn get(waiter: &'static str) -> Event<Register> {
    Event::Request { waiter, request: Ask::Get }
}

fn awaits(waiter: &'static str) -> Event<Register> {
    Event::Request { waiter, request: Ask::Await }
}

fn loading() -> Shard<Register> {
    Shard::loading(Register::default(), AppendId::FIRST)
}

fn active() -> Shard<Register> {
    let mut shard = loading();
    shard.handle(Event::Replayed(vec![6, 7]), &Image::empty(), now(), &mut Vec::new());
    shard.handle(Event::Loaded, &Image::empty(), now(), &mut Vec::new());
    shard
}

/// One line for each event: what it is, what came of it, and the state afterwards.
fn check(mut shard: Shard<Register>, events: Vec<Event<Register>>, expected: Expect) {
    let mut story = String::new();
    for event in events {
        let what = format!("{event:?}");
        let mut effects = Vec::new();
        shard.handle(event, &Image::empty(), now(), &mut effects);
        let effects: Vec<String> = effects.iter().map(describe).collect();
        let effects = if effects.is_empty() { "-".to_owned() } else { effects.join(", ") };
        writeln!(story, "{what} => {effects} | {}", state(&shard)).unwrap();
    }
    expected.assert_eq(&story);
}

fn describe(effect: &Effect<Register>) -> String {
    match effect {
        Effect::Append { id, records } => format!("append #{} {records:?}", id.0),
        Effect::Reply { waiter, outcome: Ok(value) } => format!("{waiter} gets {value}"),
        Effect::Reply { waiter, outcome: Err(error) } => format!("{waiter} gets {error:?}"),
    }
}

fn state(shard: &Shard<Register>) -> String {
    match &shard.state {
        State::Loading(machine) => format!("loading {}", machine.value),
        State::Active(Active { machine, pending }) => {
            let pending: Vec<u64> = pending.iter().map(|append| append.id.0).collect();
            format!("active {} pending {pending:?}", machine.value)
        }
        State::Resigned => "resigned".to_owned(),
    }
}

#[test]
fn while_loading() {
    let events = vec![
        get("a"),
        Event::Replayed(vec![4, 5]),
        Event::Committed(AppendId(0)),
        Event::Failed(AppendId(0)),
        Event::Tick,
        Event::Loaded,
        get("b"),
    ];
    check(
        loading(),
        events,
        expect![[r#"
        Request { waiter: "a", request: Get } => a gets LoadInProgress | loading 0
        Replayed([4, 5]) => - | loading 5
        Committed(AppendId(0)) => - | loading 5
        Failed(AppendId(0)) => - | loading 5
        Tick => - | loading 5
        Loaded => - | active 5 pending []
        Request { waiter: "b", request: Get } => b gets 5 | active 5 pending []
    "#]],
    );
    check(
        loading(),
        vec![Event::Resign, get("a")],
        expect![[r#"
        Resign => - | resigned
        Request { waiter: "a", request: Get } => a gets NotCoordinator | resigned
    "#]],
    );
}

#[test]
fn answers_wait_for_what_they_could_have_seen() {
    let events = vec![
        get("a"),
        awaits("b"),
        put("c", 1),
        get("d"),
        put("e", 2),
        get("f"),
        Event::Committed(AppendId(0)),
        Event::Committed(AppendId(0)),
        Event::Failed(AppendId(0)),
        Event::Committed(AppendId(1)),
        get("g"),
        Event::Replayed(vec![9]),
        Event::Loaded,
    ];
    check(
        active(),
        events,
        expect![[r#"
        Request { waiter: "a", request: Get } => a gets 7 | active 7 pending []
        Request { waiter: "b", request: Await } => - | active 7 pending []
        Request { waiter: "c", request: Put(1) } => append #0 [1] | active 1 pending [0]
        Request { waiter: "d", request: Get } => - | active 1 pending [0]
        Request { waiter: "e", request: Put(2) } => append #1 [2] | active 2 pending [0, 1]
        Request { waiter: "f", request: Get } => - | active 2 pending [0, 1]
        Committed(AppendId(0)) => c gets 1, b gets 1, d gets 1 | active 2 pending [1]
        Committed(AppendId(0)) => - | active 2 pending [1]
        Failed(AppendId(0)) => - | active 2 pending [1]
        Committed(AppendId(1)) => e gets 2, f gets 2 | active 2 pending []
        Request { waiter: "g", request: Get } => g gets 2 | active 2 pending []
        Replayed([9]) => - | active 2 pending []
        Loaded => - | active 2 pending []
    "#]],
    );
}

#[test]
fn a_commit_that_overtakes_another_waits_for_it() {
    let appends = || vec![put("a", 1), put("b", 2), Event::Committed(AppendId(1))];
    let committed = appends().into_iter().chain([Event::Committed(AppendId(0))]);
    check(
        active(),
        committed.collect(),
        expect![[r#"
        Request { waiter: "a", request: Put(1) } => append #0 [1] | active 1 pending [0]
        Request { waiter: "b", request: Put(2) } => append #1 [2] | active 2 pending [0, 1]
        Committed(AppendId(1)) => - | active 2 pending [0, 1]
        Committed(AppendId(0)) => a gets 1, b gets 2 | active 2 pending []
    "#]],
    );
    let failed = appends().into_iter().chain([Event::Failed(AppendId(0))]);
    check(
        active(),
        failed.collect(),
        expect![[r#"
        Request { waiter: "a", request: Put(1) } => append #0 [1] | active 1 pending [0]
        Request { waiter: "b", request: Put(2) } => append #1 [2] | active 2 pending [0, 1]
        Committed(AppendId(1)) => - | active 2 pending [0, 1]
        Failed(AppendId(0)) => a gets NotCoordinator, b gets NotCoordinator | resigned
    "#]],
    );
}

#[test]
fn nobody_who_waits_is_forgotten() {
    let waiting = || vec![put("a", 1), get("b"), awaits("c")];
    let failed = waiting().into_iter().chain([Event::Failed(AppendId(0)), Event::Resign, Event::Tick]);
    check(
        active(),
        failed.collect(),
        expect![[r#"
        Request { waiter: "a", request: Put(1) } => append #0 [1] | active 1 pending [0]
        Request { waiter: "b", request: Get } => - | active 1 pending [0]
        Request { waiter: "c", request: Await } => - | active 1 pending [0]
        Failed(AppendId(0)) => a gets NotCoordinator, b gets NotCoordinator, c gets NotCoordinator | resigned
        Resign => - | resigned
        Tick => - | resigned
    "#]],
    );
    let resigned =
        waiting().into_iter().chain([Event::Resign, Event::Committed(AppendId(0)), Event::Loaded, get("d")]);
    check(
        active(),
        resigned.collect(),
        expect![[r#"
        Request { waiter: "a", request: Put(1) } => append #0 [1] | active 1 pending [0]
        Request { waiter: "b", request: Get } => - | active 1 pending [0]
        Request { waiter: "c", request: Await } => - | active 1 pending [0]
        Resign => a gets NotCoordinator, b gets NotCoordinator, c gets NotCoordinator | resigned
        Committed(AppendId(0)) => - | resigned
        Loaded => - | resigned
        Request { waiter: "d", request: Get } => d gets NotCoordinator | resigned
    "#]],
    );
}

#[test]
fn a_tick_may_write() {
    let mut shard = active();
    assert_eq!(shard.next_deadline(), Monotonic::from_start(Duration::from_secs(11)));
    let due = Event::Request { waiter: "a", request: Ask::Expire(now().monotonic) };
    shard.handle(due, &Image::empty(), now(), &mut Vec::new());
    check(
        shard,
        vec![Event::Tick, get("b"), Event::Tick, Event::Committed(AppendId(0))],
        expect![[r#"
        Tick => append #0 [0] | active 0 pending [0]
        Request { waiter: "b", request: Get } => - | active 0 pending [0]
        Tick => - | active 0 pending [0]
        Committed(AppendId(0)) => b gets 0 | active 0 pending []
    "#]],
    );
}

#[test]
fn a_disk_that_hangs_collects_no_more_than_the_bound() {
    let mut shard = active();
    let mut effects = Vec::new();
    for _ in 0..MAX_PENDING {
        shard.handle(put("a", 1), &Image::empty(), now(), &mut effects);
    }
    effects.clear();
    shard.handle(put("late", 2), &Image::empty(), now(), &mut effects);
    assert_eq!(effects.iter().map(describe).collect::<Vec<_>>(), ["late gets Busy"]);
    shard.handle(Event::Committed(AppendId(0)), &Image::empty(), now(), &mut Vec::new());
    effects.clear();
    shard.handle(put("again", 2), &Image::empty(), now(), &mut effects);
    assert_eq!(effects.iter().map(describe).collect::<Vec<_>>(), [format!("append #{MAX_PENDING} [2]")]);
}

#[test]
fn a_later_life_does_not_take_an_older_append_for_its_own() {
    let mut first = active();
    first.handle(put("a", 1), &Image::empty(), now(), &mut Vec::new());
    let mut second = Shard::loading(Register::default(), first.next_append());
    second.handle(Event::Loaded, &Image::empty(), now(), &mut Vec::new());
    check(
        second,
        vec![
            put("b", 2),
            Event::Committed(AppendId(0)),
            Event::Failed(AppendId(0)),
            Event::Committed(AppendId(1)),
        ],
        expect![[r#"
        Request { waiter: "b", request: Put(2) } => append #1 [2] | active 2 pending [1]
        Committed(AppendId(0)) => - | active 2 pending [1]
        Failed(AppendId(0)) => - | active 2 pending [1]
        Committed(AppendId(1)) => b gets 2 | active 2 pending []
    "#]],
    );
}
