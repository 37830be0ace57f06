//! The table in the module's doc is what happens: every event in every state of a member.

use super::stories::tell;
use super::world::World;
use crate::group::ids::MemberId;

/// How `m1` comes into each state; `m2` is another member of the group.
const STATES: &[(&str, &str)] = &[
    ("not a member", "topic a=4; topic b=4; m2 joins a"),
    ("Stable", "topic a=4; topic b=4; m1 joins a; m2 joins a; m1 beats; m1 gives up and reports; m2 beats"),
    ("UnrevokedPartitions", "topic a=4; topic b=4; m1 joins a; m2 joins a; m1 beats"),
    ("UnreleasedPartitions", "topic a=4; topic b=4; m2 joins a; m1 joins a"),
    (
        "static, away",
        "topic a=4; topic b=4; m1@i joins a; m2 joins a; m1 beats; m1 gives up and reports; m2 beats; \
         m1 goes for a while",
    ),
];

/// What happens then. Of several sentences the last about `m1`, or who takes its place, is heard.
const EVENTS: &[(&str, &str)] = &[
    ("joins (epoch 0)", "m1 joins a"),
    ("joins with a pattern that is none", "m1 joins /(/"),
    ("says nothing new", "m1 beats"),
    ("reports that it holds what it held", "m1 reports"),
    ("reports that it gave up what it shall not have", "m1 gives up and reports"),
    ("is heard after a third member joined", "m3 joins a; m1 beats"),
    ("is heard after the topic grew", "topic a=8; m1 beats"),
    ("is heard after the topic was deleted", "no topic a; m1 beats"),
    ("is heard after the other gave up what it must", "m2 beats; m2 gives up and reports; m1 beats"),
    ("is heard after the other left", "m2 leaves; m1 beats"),
    ("reads another topic", "m1 reads b"),
    ("repeats all with the epoch before its own", "m1 repeats"),
    ("comes with an old epoch", "m1 beats at 1"),
    ("comes with an epoch to come", "m1 beats at 99"),
    ("leaves", "m1 leaves"),
    ("goes for a while, being static", "m1 goes for a while"),
    ("another takes its static name", "m9@i joins a"),
    ("its session ends", "40s pass; m2 beats; 5s pass; m1 beats"),
    ("its time to give up ends", "40s pass; m1 beats; m2 beats; 20s pass; m1 beats"),
    ("its time to give up ends, but it was told again", "40s pass; m1 reports; m2 beats; 20s pass; m1 beats"),
    ("another coordinator takes over", "another coordinator takes over; m1 beats"),
    ("commits with its epoch", "m1 commits a-0 at its epoch"),
    ("commits with the epoch before", "m1 commits a-0 at the epoch before"),
    ("commits with an epoch to come", "m1 commits a-0 at 99"),
];

#[test]
fn every_event_in_every_state_does_what_the_documentation_says() {
    let mut table = String::from("//! | event |");
    STATES.iter().for_each(|(state, _)| table.push_str(&format!(" {state} |")));
    table.push_str("\n//! |---|---|---|---|---|---|\n");
    for (name, event) in EVENTS {
        table.push_str(&format!("//! | {name} |"));
        for (state, reach) in STATES {
            table.push_str(&format!(" {} |", cell(state, reach, event)));
        }
        table.push('\n');
    }
    let documented = include_str!("../mod.rs");
    assert!(documented.contains(&table), "the documentation should have\n{table}");
}

/// `what it was told → its state then`.
fn cell(state: &str, reach: &str, event: &str) -> String {
    let mut world = World::new();
    let is_static = state == "static, away" || event.contains("@i") || event.contains("for a while");
    let named = |sentence: &str| match is_static && sentence.starts_with("m1 joins") {
        true => sentence.replace("m1 joins", "m1@i joins"),
        false => sentence.to_owned(),
    };
    for sentence in reach.split(';') {
        tell(&mut world, &named(sentence.trim()));
    }
    assert_eq!(state_of(&world, "m1"), state);
    let (mut heard, mut who) = (String::new(), "m1");
    for sentence in event.split(';').map(str::trim) {
        let said = tell(&mut world, &named(sentence));
        if sentence.starts_with("m1") || sentence.starts_with("m9") {
            heard = said;
            who = if sentence.starts_with("m9") && heard.starts_with("epoch") { "m9" } else { "m1" };
        }
    }
    let told = match heard.split(['(', ':']).next().unwrap() {
        // An epoch: it was accepted; what it shall hold follows if it was told.
        epoch if epoch.starts_with("epoch") && heard.contains(':') => "told",
        epoch if epoch.starts_with("epoch") => "ok",
        error => error.split(' ').next().unwrap(),
    };
    let after = state_of(&world, who);
    if after == state { told.to_owned() } else { format!("{told} → {after}") }
}

fn state_of(world: &World, who: &str) -> String {
    let member = world.group.as_ref().and_then(|group| group.member(&MemberId::from(who)));
    match member {
        None => "not a member".to_owned(),
        Some(member) if member.epoch.get() == -2 => "static, away".to_owned(),
        Some(member) => format!("{:?}", member.state),
    }
}
