//! Who is fenced, unfenced and dialled, and when. Times are milliseconds; sessions last 1500, heartbeats come every 300.

use std::time::Duration;

use expect_test::expect;
use ottla_record::{Monotonic, Now, Timestamp};

use super::*;
use crate::metadata::liveness::{DialOutcome, Effect, Event, Heartbeat, Liveness, LivenessConfig};

/// Runs a story of node 1 on a cluster of living brokers 1 to 3. A line is a time and what happens then:
///
/// `controller`, `lost`, `tick`, `beat ID [epoch=N] [version=N] [flush=MS] [unready] [stop]`, `end ID [epoch=N]`,
/// `dialled ID refused|same|other|unknown`, or `image COMMAND`. What the machine asks for stands after `=>`.
fn story(script: &str, expected: Expect) {
    let mut image = cluster_of(3);
    let config =
        LivenessConfig { session: Duration::from_millis(1500), heartbeat: Duration::from_millis(300) };
    let mut liveness = Liveness::new(BrokerId::new(1), config);
    let mut out = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (at, what) = line.split_once(' ').unwrap();
        let now = now(at.parse().unwrap());
        let event = match what.strip_prefix("image ") {
            Some(command) => {
                run(&mut image, command);
                Event::Tick
            }
            None => event(what, &image),
        };
        let effects = liveness.handle(event, now, &image);
        liveness.check_invariants(&image).unwrap();
        let told: Vec<String> = effects.iter().map(effect).collect();
        let next = liveness.next_deadline();
        let next = match next == Monotonic::NEVER {
            true => "never".to_owned(),
            false => next.since_start().as_millis().to_string(),
        };
        writeln!(out, "{line} => {} (next {next})", told.join(", ")).unwrap();
    }
    expected.assert_eq(&out);
}

fn now(ms: u64) -> Now {
    Now { monotonic: Monotonic::from_start(Duration::from_millis(ms)), wall: Timestamp::EPOCH }
}

fn event(what: &str, image: &Image) -> Event {
    let mut words = what.split_whitespace();
    let verb = words.next().unwrap();
    let broker = BrokerId::new(words.next().map_or(-1, |id| id.parse().unwrap()));
    let rest: Vec<&str> = words.collect();
    let number = |key: &str| -> Option<u64> {
        rest.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    };
    let epoch = match number("epoch") {
        Some(epoch) => BrokerEpoch::new(i64::try_from(epoch).unwrap()),
        None => image.broker(broker).map_or(BrokerEpoch::ZERO, |b| b.epoch),
    };
    match verb {
        "controller" => Event::BecameController,
        "lost" => Event::LostControl,
        "tick" => Event::Tick,
        "end" => Event::StreamEnded { broker, epoch },
        "dialled" => Event::Dialled {
            broker,
            epoch,
            outcome: match rest[0] {
                "refused" => DialOutcome::Refused,
                "same" => DialOutcome::SameIncarnation,
                "other" => DialOutcome::OtherIncarnation,
                _ => DialOutcome::Unknown,
            },
        },
        "beat" => Event::Heartbeat(Heartbeat {
            broker,
            epoch,
            image_version: number("version").unwrap_or(image.version()),
            oldest_flush_age: number("flush").map(Duration::from_millis),
            ready: !rest.contains(&"unready"),
            wants_to_stop: rest.contains(&"stop"),
        }),
        other => panic!("{other}"),
    }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Fence { broker, epoch, announced: false } => format!("fence {broker}@{epoch}"),
        Effect::Fence { broker, epoch, announced: true } => format!("fence {broker}@{epoch}, which stopped"),
        Effect::Unfence { broker, epoch } => format!("unfence {broker}@{epoch}"),
        Effect::Dial { broker, epoch } => format!("dial {broker}@{epoch}"),
    }
}

#[test]
fn a_silent_broker_is_fenced_after_its_session_and_unfenced_when_it_is_heard_again() {
    story(
        "
        0 controller
        0 beat 1
        0 beat 2
        0 beat 3
        1200 beat 1
        1200 beat 2
        1499 tick
        1500 tick
        1501 image fence 3
        1600 beat 1
        1700 beat 3
        1701 image unfence 3
        2700 tick
        3200 tick
        ",
        expect![[r#"
            0 controller => dial 1@2, dial 2@4, dial 3@6 (next 1500)
            0 beat 1 =>  (next 1500)
            0 beat 2 =>  (next 1500)
            0 beat 3 =>  (next 1500)
            1200 beat 1 =>  (next 1500)
            1200 beat 2 =>  (next 1500)
            1499 tick =>  (next 1500)
            1500 tick => fence 3@6 (next 2700)
            1501 image fence 3 =>  (next 2700)
            1600 beat 1 =>  (next 2700)
            1700 beat 3 => unfence 3@6 (next 2700)
            1701 image unfence 3 =>  (next 2700)
            2700 tick => fence 2@4 (next 3100)
            3200 tick => fence 1@2, fence 3@6 (next 4200)
        "#]],
    );
}

#[test]
fn a_process_that_died_is_fenced_as_soon_as_its_address_refuses() {
    story(
        "
        0 controller
        10 beat 1
        10 beat 2
        10 beat 3
        100 end 2
        101 dialled 2 refused
        102 image fence 2
        103 dialled 2 refused
        ",
        expect![[r#"
            0 controller => dial 1@2, dial 2@4, dial 3@6 (next 1500)
            10 beat 1 =>  (next 1500)
            10 beat 2 =>  (next 1500)
            10 beat 3 =>  (next 1510)
            100 end 2 => dial 2@4 (next 1510)
            101 dialled 2 refused => fence 2@4 (next 1510)
            102 image fence 2 =>  (next 1510)
            103 dialled 2 refused =>  (next 1510)
        "#]],
    );
}

#[test]
fn a_stream_that_ends_while_the_process_lives_costs_nothing() {
    story(
        "
        0 controller
        10 beat 2
        100 end 2
        101 dialled 2 same
        200 beat 2
        300 end 2
        301 dialled 2 unknown
        400 end 2
        401 beat 2
        402 dialled 2 refused
        ",
        expect![[r#"
            0 controller => dial 1@2, dial 2@4, dial 3@6 (next 1500)
            10 beat 2 =>  (next 1500)
            100 end 2 => dial 2@4 (next 1500)
            101 dialled 2 same =>  (next 1500)
            200 beat 2 =>  (next 1500)
            300 end 2 => dial 2@4 (next 1500)
            301 dialled 2 unknown =>  (next 1500)
            400 end 2 => dial 2@4 (next 1500)
            401 beat 2 =>  (next 1500)
            402 dialled 2 refused =>  (next 1500)
        "#]],
    );
}

#[test]
fn another_process_at_the_address_means_that_the_registered_one_is_gone() {
    story(
        "
        0 controller
        10 beat 2
        100 end 2
        101 dialled 2 other
        102 image register 2 run=second
        103 beat 2 version=3
        104 dialled 2 epoch=4 other
        400 beat 2 unready
        700 beat 2
        701 image unfence 2
        1000 beat 2
        ",
        expect![[r#"
            0 controller => dial 1@2, dial 2@4, dial 3@6 (next 1500)
            10 beat 2 =>  (next 1500)
            100 end 2 => dial 2@4 (next 1500)
            101 dialled 2 other => fence 2@4 (next 1500)
            102 image register 2 run=second =>  (next 1500)
            103 beat 2 version=3 =>  (next 1500)
            104 dialled 2 epoch=4 other =>  (next 1500)
            400 beat 2 unready =>  (next 1500)
            700 beat 2 => unfence 2@8 (next 1500)
            701 image unfence 2 =>  (next 1500)
            1000 beat 2 =>  (next 1500)
        "#]],
    );
}

#[test]
fn a_broker_that_says_goodbye_is_not_dialled() {
    story(
        "
        0 controller
        10 beat 2
        300 beat 2 stop
        301 image shutdown 2
        600 beat 2 stop
        700 end 2
        701 image fence 2
        900 beat 2 stop
        ",
        expect![[r#"
            0 controller => dial 1@2, dial 2@4, dial 3@6 (next 1500)
            10 beat 2 =>  (next 1500)
            300 beat 2 stop =>  (next 1500)
            301 image shutdown 2 =>  (next 1500)
            600 beat 2 stop =>  (next 1500)
            700 end 2 => fence 2@4, which stopped (next 1500)
            701 image fence 2 =>  (next 1500)
            900 beat 2 stop =>  (next 1500)
        "#]],
    );
}

#[test]
fn a_disk_that_hangs_is_as_good_as_silence() {
    story(
        "
        0 controller
        10 beat 2 flush=1499
        300 beat 2 flush=1500
        301 image fence 2
        600 beat 2 flush=1800
        900 beat 2
        901 image unfence 2
        1200 beat 2 unready
        ",
        expect![[r#"
            0 controller => dial 1@2, dial 2@4, dial 3@6 (next 1500)
            10 beat 2 flush=1499 =>  (next 1500)
            300 beat 2 flush=1500 => fence 2@4 (next 1500)
            301 image fence 2 =>  (next 1500)
            600 beat 2 flush=1800 =>  (next 1500)
            900 beat 2 => unfence 2@4 (next 1500)
            901 image unfence 2 =>  (next 1500)
            1200 beat 2 unready => fence 2@4 (next 1500)
        "#]],
    );
}

#[test]
fn a_new_controller_starts_warm_and_dials_everybody() {
    story(
        "
        0 beat 1
        0 beat 2
        0 beat 3
        900 beat 1
        950 end 3
        1000 controller
        1001 dialled 3 refused
        1002 image fence 3
        1002 dialled 1 same
        1003 dialled 2 unknown
        1599 tick
        1600 tick
        ",
        expect![[r#"
            0 beat 1 =>  (next never)
            0 beat 2 =>  (next never)
            0 beat 3 =>  (next never)
            900 beat 1 =>  (next never)
            950 end 3 =>  (next never)
            1000 controller => dial 1@2, dial 2@4, dial 3@6 (next 1600)
            1001 dialled 3 refused => fence 3@6 (next 1600)
            1002 image fence 3 =>  (next 1600)
            1002 dialled 1 same =>  (next 1600)
            1003 dialled 2 unknown =>  (next 1600)
            1599 tick =>  (next 1600)
            1600 tick => fence 2@4 (next 2400)
        "#]],
    );
}

#[test]
fn a_new_controller_that_hears_of_a_third_one_as_before_waits_for_nobody() {
    // Broker 2 has always been heard of, so it was broker 3 that fell silent.
    story(
        "
        0 beat 3
        0 beat 2
        300 beat 2
        600 beat 2
        900 beat 2
        1200 beat 2
        1300 controller
        1500 beat 1
        1500 beat 2
        ",
        expect![[r#"
            0 beat 3 =>  (next never)
            0 beat 2 =>  (next never)
            300 beat 2 =>  (next never)
            600 beat 2 =>  (next never)
            900 beat 2 =>  (next never)
            1200 beat 2 =>  (next never)
            1300 controller => dial 1@2, dial 2@4, dial 3@6 (next 1900)
            1500 beat 1 =>  (next 1900)
            1500 beat 2 => fence 3@6 (next 3000)
        "#]],
    );
    // Its own broker proves nothing, nor does one that was away too.
    story(
        "
        0 beat 3
        0 beat 2
        1200 beat 1
        1300 controller
        1500 beat 1
        1600 beat 2
        1800 beat 1
        1899 tick
        1900 tick
        ",
        expect![[r#"
            0 beat 3 =>  (next never)
            0 beat 2 =>  (next never)
            1200 beat 1 =>  (next never)
            1300 controller => dial 1@2, dial 2@4, dial 3@6 (next 1900)
            1500 beat 1 =>  (next 1900)
            1600 beat 2 =>  (next 1900)
            1800 beat 1 =>  (next 1900)
            1899 tick =>  (next 1900)
            1900 tick => fence 3@6 (next 3100)
        "#]],
    );
}

#[test]
fn a_new_controller_that_heard_of_nobody_waits_for_a_session() {
    story(
        "
        5000 tick
        9000 controller
        10000 beat 1
        10499 tick
        10500 tick
        ",
        expect![[r#"
            5000 tick =>  (next never)
            9000 controller => dial 1@2, dial 2@4, dial 3@6 (next 10500)
            10000 beat 1 =>  (next 10500)
            10499 tick =>  (next 10500)
            10500 tick => fence 2@4, fence 3@6 (next 11500)
        "#]],
    );
}

#[test]
fn only_the_controller_acts_and_a_lost_command_is_asked_for_again() {
    story(
        "
        0 beat 1
        0 end 1
        9000 tick
        9000 controller
        10500 tick
        10600 tick
        10700 lost
        20000 tick
        20000 controller
        20000 beat 1
        20000 beat 2
        21500 tick
        22000 beat 1
        22000 beat 2
        22900 tick
        23000 tick
        ",
        expect![[r#"
            0 beat 1 =>  (next never)
            0 end 1 =>  (next never)
            9000 tick =>  (next never)
            9000 controller => dial 1@2, dial 2@4, dial 3@6 (next 9600)
            10500 tick => fence 1@2, fence 2@4, fence 3@6 (next 12000)
            10600 tick =>  (next 12000)
            10700 lost =>  (next never)
            20000 tick =>  (next never)
            20000 controller => dial 1@2, dial 2@4, dial 3@6 (next 20600)
            20000 beat 1 =>  (next 21500)
            20000 beat 2 =>  (next 21500)
            21500 tick => fence 1@2, fence 2@4, fence 3@6 (next 23000)
            22000 beat 1 =>  (next 23000)
            22000 beat 2 =>  (next 23000)
            22900 tick =>  (next 23000)
            23000 tick => fence 3@6 (next 23500)
        "#]],
    );
}

#[test]
fn what_comes_from_a_registration_that_was_replaced_counts_for_nothing() {
    story(
        "
        0 controller
        10 image register 2 run=second
        20 beat 2 epoch=4
        30 end 2 epoch=4
        40 dialled 2 epoch=4 refused
        50 beat 2
        60 image unfence 2
        70 beat 9
        80 beat 2 epoch=99
        90 beat 2
        ",
        expect![[r#"
            0 controller => dial 1@2, dial 2@4, dial 3@6 (next 1500)
            10 image register 2 run=second =>  (next 1500)
            20 beat 2 epoch=4 =>  (next 1500)
            30 end 2 epoch=4 =>  (next 1500)
            40 dialled 2 epoch=4 refused =>  (next 1500)
            50 beat 2 => unfence 2@8 (next 1500)
            60 image unfence 2 =>  (next 1500)
            70 beat 9 =>  (next 1500)
            80 beat 2 epoch=99 =>  (next 1500)
            90 beat 2 =>  (next 1500)
        "#]],
    );
}
