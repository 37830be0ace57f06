//! The transition table in the documentation of `group::classic` is what happens, row by row.

use super::story::{World, settings};

/// How a group with the leader `a`, the follower `b` and the static member `s` comes into each state.
const STATES: &[(&str, &str)] = &[
    ("Empty", "join a old; join b old; join s static=one old; wait 9; leave a,b,s"),
    (
        "PreparingRebalance",
        "join a old; join b old; join s static=one old; wait 9; sync a assign=a:x; sync b; sync s static=one; join c old",
    ),
    ("CompletingRebalance", "join a old; join b old; join s static=one old; wait 6"),
    (
        "Stable",
        "join a old; join b old; join s static=one old; wait 6; sync a assign=a:x; sync b; sync s static=one",
    ),
];

/// What happens then; the last word of a line that begins with a verb is heard.
const EVENTS: &[(&str, &str)] = &[
    ("a new member asks for an id", "join n"),
    ("a new member joins", "join n old"),
    ("a member joins as before", "join b"),
    ("a member joins with other topics", "join b topics=u"),
    ("the leader joins as before", "join a"),
    ("a static member joins without its id", "join s2 static=one"),
    ("the static member's old id joins after that", "join s2 static=one; join s static=one"),
    ("every member joins", "join a; join s static=one; join b"),
    ("a follower syncs", "sync b"),
    ("the leader syncs", "sync a assign=a:x"),
    ("a heartbeat", "beat b"),
    ("a heartbeat of another generation", "beat b gen=0"),
    ("a member leaves", "leave b"),
    ("every member leaves", "leave a,b,s"),
    ("one session runs out", "wait 5; beat a; beat s static=one; wait 6; beat b"),
    ("every session runs out", "wait 11; beat b"),
    (
        "the rebalance timeout runs out",
        "wait 9; beat a; beat b; beat s static=one; wait 9; beat a; beat b; beat s static=one; wait 9; beat b",
    ),
    ("a member commits", "commit b t-0=1"),
    ("a client in no group commits", "commit x t-0=1"),
    ("offsets of a topic they read are deleted", "delete-offsets x t-0"),
    ("the group is deleted", "delete x"),
    ("another coordinator takes over", "reload; beat b"),
];

/// `answer → state`; an answer that comes later is `waits`.
fn cell(reach: &str, state: &str, event: &str) -> String {
    let mut world = World::new(settings());
    world.rebalance_seconds = 25;
    for line in reach.split(';') {
        world.tell(line.trim());
    }
    assert_eq!(world.state(), state, "{}", world.out);
    let mut subject = "";
    for line in event.split(';').map(str::trim) {
        world.out.clear();
        world.tell(line);
        subject = line.split(' ').nth(1).unwrap_or("");
    }
    let prefix = format!("s {subject}: ");
    let heard = world.out.lines().find_map(|line| line.split_once(&prefix).map(|(_, answer)| answer));
    let heard = heard.map_or("waits", |answer| answer.split([' ', '(']).next().unwrap_or(answer));
    let heard = heard.trim_end_matches(',');
    let written = if world.out.contains("writes generation") { ", written" } else { "" };
    let after = world.state();
    if after == state { format!("{heard}{written}") } else { format!("{heard}{written} → {after}") }
}

#[test]
fn every_event_in_every_state_does_what_the_documentation_says() {
    let mut table =
        String::from("//! | event | Empty | PreparingRebalance | CompletingRebalance | Stable |\n");
    table.push_str("//! |---|---|---|---|---|\n");
    for (name, event) in EVENTS {
        table.push_str(&format!("//! | {name} |"));
        for (state, reach) in STATES {
            table.push_str(&format!(" {} |", cell(reach, state, event)));
        }
        table.push('\n');
    }
    let documented = include_str!("../../classic/mod.rs");
    assert!(documented.contains(&table), "the documentation should have\n{table}");
}
