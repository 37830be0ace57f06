//! Stories: what happens, one sentence a line, and what the group answers.

use std::fmt::Write;
use std::time::Duration;

use expect_test::{Expect, expect};
use ottla_record::PartitionIndex;

use super::world::{Client, World, context, topic_id};
use crate::group::ids::MemberId;
use crate::group::response::{ConsumerBeat, GroupError};
use crate::group::settings::Bounded;

/// Sentences:
/// `topic a=3`, `no topic a`, `m1 joins a b`, `m1@i1 joins a`, `m1 joins /a.*/`, `m1 joins a by range`, `m1 beats`, `m1 beats at 3`,
/// `m1 reports` (everything, what it has among it), `m1 gives up and reports`, `m1 loses an answer`, `m1 reads b`, `m1 leaves`,
/// `m1 goes for a while`, `45s pass`, `another coordinator takes over`, `m1 commits a-0 at 3`, `describe`.
fn check(story: &str, expected: Expect) {
    let mut world = World::new();
    let mut out = String::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let said = tell(&mut world, line);
        writeln!(out, "{line}{}{said}", if said.is_empty() { "" } else { " -> " }).unwrap();
    }
    expected.assert_eq(&out);
}

pub(super) fn tell(world: &mut World, line: &str) -> String {
    if let Some((name, partitions)) = line.strip_prefix("topic ").and_then(|t| t.split_once('=')) {
        world.topic(name, partitions.parse().unwrap());
        return String::new();
    }
    if let Some(name) = line.strip_prefix("no topic ") {
        world.delete_topic(name);
        return String::new();
    }
    if let Some(time) = line.strip_suffix("s pass") {
        world.wait(Duration::from_secs(time.parse().unwrap()));
        world.tick();
        return members(world);
    }
    match line {
        "another coordinator takes over" => {
            world.reload();
            return String::new();
        }
        "describe" => return describe(world),
        _ => {}
    }
    let (who, does) = line.split_once(' ').unwrap();
    let (who, instance) = who.split_once('@').map_or((who, None), |(who, i)| (who, Some(i.to_owned())));
    // One that is no member, or went away, comes with an epoch of long ago.
    let epoch = world.clients.get(who).map_or(3, |client| if client.epoch > 0 { client.epoch } else { 3 });
    let words: Vec<&str> = does.split_whitespace().collect();
    let answer = match words.as_slice() {
        ["joins", what @ ..] => {
            let (topics, by) =
                what.iter().position(|w| *w == "by").map_or((what, &[][..]), |at| what.split_at(at));
            let pattern = topics.iter().find_map(|t| t.strip_prefix('/')?.strip_suffix('/'));
            let names = topics.iter().filter(|t| !t.starts_with('/')).map(|t| (*t).to_owned());
            let client = Client {
                topics: names.collect(),
                pattern: pattern.map(str::to_owned),
                instance,
                assignor: by.get(1).map(|name| (*name).to_owned()),
                ..Client::default()
            };
            world.clients.insert(who.to_owned(), client);
            let request = world.full_request(who, 0);
            world.send(&request)
        }
        ["beats"] => {
            let request = world.request(who, epoch);
            world.send(&request)
        }
        ["beats", "at", epoch] => {
            let request = world.request(who, epoch.parse().unwrap());
            world.send(&request)
        }
        ["reports"] => {
            let request = world.full_request(who, epoch);
            world.send(&request)
        }
        ["gives", "up", "and", "reports"] => {
            let client = world.clients.entry(who.to_owned()).or_default();
            client.has = client.told.clone();
            let request = world.full_request(who, epoch);
            world.send(&request)
        }
        ["loses", "an", "answer"] => {
            let request = world.request(who, epoch);
            let answer = world.send(&request);
            return answered(world, &answer);
        }
        ["reads", topics @ ..] => {
            world.clients.entry(who.to_owned()).or_default().topics =
                topics.iter().map(|t| (*t).to_owned()).collect();
            let request = world.full_request(who, epoch);
            world.send(&request)
        }
        ["leaves"] => {
            let request = world.request(who, -1);
            world.send(&request)
        }
        ["goes", "for", "a", "while"] => {
            let request = world.request(who, -2);
            world.send(&request)
        }
        ["repeats"] => {
            let group = world.group.as_ref();
            let before =
                group.and_then(|group| Some(group.member(&MemberId::from(who))?.previous_epoch.get()));
            let request = world.full_request(who, before.unwrap_or(1).max(1));
            world.send(&request)
        }
        ["commits", partition, "at", "its", "epoch"] => return commit(world, who, partition, epoch),
        ["commits", partition, "at", "the", "epoch", "before"] => {
            return commit(world, who, partition, epoch - 1);
        }
        ["commits", partition, "at", epoch] => return commit(world, who, partition, epoch.parse().unwrap()),
        _ => panic!("no such sentence: {line}"),
    };
    let said = answered(world, &answer);
    if world.clients.contains_key(who) {
        world.receive(who, &answer);
    }
    said
}

fn answered(world: &World, answer: &Result<ConsumerBeat, GroupError>) -> String {
    match answer {
        Err(error) => format!("{error:?}"),
        Ok(beat) => {
            let told = beat.assignment.as_ref().map_or(String::new(), |assignment| {
                format!(": {}", world.show(super::world::pairs(assignment)))
            });
            format!("epoch {}{told}", beat.epoch)
        }
    }
}

fn commit(world: &World, who: &str, partition: &str, epoch: i32) -> String {
    let (topic, partition) = partition.split_once('-').unwrap();
    let Some(group) = &world.group else { return "no group".to_owned() };
    let id = MemberId::from(who);
    let checked = group.validate_commit(Some(&id), Some(epoch), true).and_then(|check| {
        check.partition(Some(topic_id(topic)), PartitionIndex::new(partition.parse().unwrap()))
    });
    checked.map_or_else(|error| format!("{error:?}"), |()| "committed".to_owned())
}

fn members(world: &World) -> String {
    let Some(group) = &world.group else { return "no group".to_owned() };
    let ids: Vec<&str> = group.members.keys().map(MemberId::as_str).collect();
    format!("{} members: {}", group.state(), ids.join(" "))
}

fn describe(world: &World) -> String {
    let Some(group) = &world.group else { return "no group".to_owned() };
    let context = context(&world.image, &world.topics, &world.settings, world.now);
    let described = group.describe(&context);
    let mut out = format!(
        "{} epoch {} target {} by {}",
        described.state, described.epoch, described.assignment_epoch, described.assignor
    );
    for member in &described.members {
        let named = |partitions: &[crate::group::response::NamedPartitions]| {
            let all = partitions.iter().map(|p| format!("{}{:?}", p.name, p.partitions));
            all.collect::<Vec<_>>().join(" ")
        };
        let state = group.members[&member.member].member.state;
        write!(
            out,
            "\n    {} epoch {} {state:?} has [{}] shall have [{}]",
            member.member,
            member.epoch,
            named(&member.assignment),
            named(&member.target)
        )
        .unwrap();
    }
    out
}

#[test]
fn members_come_and_go() {
    check(
        "topic a=3
         m1 joins a
         describe
         m2 joins a
         m1 beats
         m1 reports
         m2 beats
         m1 gives up and reports
         m2 beats
         describe
         m1 leaves
         m2 beats
         m2 leaves
         describe
         m2 beats
         m3 joins a",
        expect![[r#"
            topic a=3
            m1 joins a -> epoch 2: a[0, 1, 2]
            describe -> Stable epoch 2 target 2 by uniform
                m1 epoch 2 Stable has [a[0, 1, 2]] shall have [a[0, 1, 2]]
            m2 joins a -> epoch 3: nothing
            m1 beats -> epoch 2: a[0, 1]
            m1 reports -> epoch 2: a[0, 1]
            m2 beats -> epoch 3
            m1 gives up and reports -> epoch 3: a[0, 1]
            m2 beats -> epoch 3: a[2]
            describe -> Stable epoch 3 target 3 by uniform
                m1 epoch 3 Stable has [a[0, 1]] shall have [a[0, 1]]
                m2 epoch 3 Stable has [a[2]] shall have [a[2]]
            m1 leaves -> epoch -1
            m2 beats -> epoch 4: a[0, 1, 2]
            m2 leaves -> epoch -1
            describe -> Empty epoch 5 target 4 by uniform
            m2 beats -> UnknownMemberId
            m3 joins a -> epoch 6: a[0, 1, 2]
        "#]],
    );
}

#[test]
fn topics_grow_come_and_go() {
    check(
        "topic a=1
         m1 joins a b
         m2 joins a b
         topic a=3
         m1 beats
         m2 beats
         m1 beats
         topic b=2
         m1 beats
         m2 beats
         m1 beats
         no topic a
         m1 beats
         m2 beats
         m2 gives up and reports
         m1 gives up and reports
         m2 beats
         m1 beats
         describe",
        expect![[r#"
            topic a=1
            m1 joins a b -> epoch 2: a[0]
            m2 joins a b -> epoch 3: nothing
            topic a=3
            m1 beats -> epoch 4
            m2 beats -> epoch 4: a[1, 2]
            m1 beats -> epoch 4
            topic b=2
            m1 beats -> epoch 5: a[0] b[0]
            m2 beats -> epoch 5: a[1, 2] b[1]
            m1 beats -> epoch 5
            no topic a
            m1 beats -> epoch 5: b[0]
            m2 beats -> epoch 5: b[1]
            m2 gives up and reports -> epoch 6: b[1]
            m1 gives up and reports -> epoch 6: b[0]
            m2 beats -> epoch 6
            m1 beats -> epoch 6
            describe -> Stable epoch 6 target 6 by uniform
                m1 epoch 6 Stable has [b[0]] shall have [b[0]]
                m2 epoch 6 Stable has [b[1]] shall have [b[1]]
        "#]],
    );
}

#[test]
fn a_member_that_stays_silent_is_removed() {
    check(
        "topic a=2
         m1 joins a
         m2 joins a
         m1 beats
         m1 gives up and reports
         30s pass
         m1 beats
         15s pass
         m1 beats
         m1 beats
         m2 beats
         m2 joins a",
        expect![[r#"
            topic a=2
            m1 joins a -> epoch 2: a[0, 1]
            m2 joins a -> epoch 3: nothing
            m1 beats -> epoch 2: a[0]
            m1 gives up and reports -> epoch 3: a[0]
            30s pass -> Reconciling members: m1 m2
            m1 beats -> epoch 3
            15s pass -> Assigning members: m1
            m1 beats -> epoch 4: a[0, 1]
            m1 beats -> epoch 4
            m2 beats -> UnknownMemberId
            m2 joins a -> epoch 5: nothing
        "#]],
    );
}

#[test]
fn a_member_that_does_not_give_up_in_time_is_removed() {
    check(
        "topic a=2
         m1 joins a
         m2 joins a
         m1 beats
         40s pass
         m1 beats
         m2 beats
         20s pass
         m2 beats
         m1 reports",
        expect![[r#"
            topic a=2
            m1 joins a -> epoch 2: a[0, 1]
            m2 joins a -> epoch 3: nothing
            m1 beats -> epoch 2: a[0]
            40s pass -> Reconciling members: m1 m2
            m1 beats -> epoch 2
            m2 beats -> epoch 3
            20s pass -> Assigning members: m2
            m2 beats -> epoch 4: a[0, 1]
            m1 reports -> UnknownMemberId
        "#]],
    );
}

#[test]
fn a_member_that_is_told_again_has_all_its_time_to_give_up() {
    check(
        "topic a=2
         m1 joins a
         m2 joins a
         m1 loses an answer
         40s pass
         m1 reports
         m2 beats
         40s pass
         m1 beats
         m2 beats
         20s pass
         m2 beats
         m1 reports",
        expect![[r#"
            topic a=2
            m1 joins a -> epoch 2: a[0, 1]
            m2 joins a -> epoch 3: nothing
            m1 loses an answer -> epoch 2: a[0]
            40s pass -> Reconciling members: m1 m2
            m1 reports -> epoch 2: a[0]
            m2 beats -> epoch 3
            40s pass -> Reconciling members: m1 m2
            m1 beats -> epoch 2
            m2 beats -> epoch 3
            20s pass -> Assigning members: m2
            m2 beats -> epoch 4: a[0, 1]
            m1 reports -> UnknownMemberId
        "#]],
    );
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    check(
        "topic a=2
         m1 joins a
         m2 joins a
         m1 beats
         m1 gives up and reports
         m2 loses an answer
         m2 beats
         m2 reports
         topic a=4
         m1 loses an answer
         m1 beats at 3
         m1 reports
         m1 beats at 1
         m1 beats at 9
         m1 joins a",
        expect![[r#"
            topic a=2
            m1 joins a -> epoch 2: a[0, 1]
            m2 joins a -> epoch 3: nothing
            m1 beats -> epoch 2: a[0]
            m1 gives up and reports -> epoch 3: a[0]
            m2 loses an answer -> epoch 3: a[1]
            m2 beats -> epoch 3
            m2 reports -> epoch 3: a[1]
            topic a=4
            m1 loses an answer -> epoch 4: a[0, 2]
            m1 beats at 3 -> FencedMemberEpoch("The consumer group member has a smaller member epoch (3) than the one known by the group coordinator (4). The member must abandon all its partitions and rejoin.")
            m1 reports -> epoch 4: a[0, 2]
            m1 beats at 1 -> FencedMemberEpoch("The consumer group member has a smaller member epoch (1) than the one known by the group coordinator (4). The member must abandon all its partitions and rejoin.")
            m1 beats at 9 -> FencedMemberEpoch("The consumer group member has a greater member epoch (9) than the one known by the group coordinator (4). The member must abandon all its partitions and rejoin.")
            m1 joins a -> epoch 4: a[0, 2]
        "#]],
    );
}

#[test]
fn a_static_member_keeps_its_place() {
    check(
        "topic a=2
         m1@i1 joins a
         m2 joins a
         m1 beats
         m1 gives up and reports
         m2 beats
         m3@i1 joins a
         m1 goes for a while
         describe
         m3@i1 joins a
         describe
         m1@i1 beats at 3
         m3 goes for a while
         45s pass
         m2 beats",
        expect![[r#"
            topic a=2
            m1@i1 joins a -> epoch 2: a[0, 1]
            m2 joins a -> epoch 3: nothing
            m1 beats -> epoch 2: a[0]
            m1 gives up and reports -> epoch 3: a[0]
            m2 beats -> epoch 3: a[1]
            m3@i1 joins a -> UnreleasedInstanceId("Static member m3 with instance id i1 cannot join the group because the instance id is owned by m1 member.")
            m1 goes for a while -> epoch -2
            describe -> Reconciling epoch 3 target 3 by uniform
                m1 epoch -2 Stable has [a[0]] shall have [a[0]]
                m2 epoch 3 Stable has [a[1]] shall have [a[1]]
            m3@i1 joins a -> epoch 3: a[0]
            describe -> Stable epoch 3 target 3 by uniform
                m2 epoch 3 Stable has [a[1]] shall have [a[1]]
                m3 epoch 3 Stable has [a[0]] shall have [a[0]]
            m1@i1 beats at 3 -> FencedInstanceId
            m3 goes for a while -> epoch -2
            45s pass -> Empty members: 
            m2 beats -> UnknownMemberId
        "#]],
    );
}

#[test]
fn subscriptions_by_pattern_follow_the_topics() {
    check(
        "topic ab=1
         topic b=1
         m1 joins /a.*/
         m2 joins b /a.*/
         m1 beats
         m1 gives up and reports
         m2 beats
         topic abc=2
         m1 beats
         10s pass
         m1 beats
         m2 beats
         describe
         m3 joins /(/
         m3 joins /x)(y/
         m3 joins /(a{1000}){1000}/
         m2 leaves
         m1 leaves
         describe",
        expect![[r#"
            topic ab=1
            topic b=1
            m1 joins /a.*/ -> epoch 2: ab[0]
            m2 joins b /a.*/ -> epoch 3: b[0]
            m1 beats -> epoch 3
            m1 gives up and reports -> epoch 3: ab[0]
            m2 beats -> epoch 3
            topic abc=2
            m1 beats -> epoch 3
            10s pass -> Stable members: m1 m2
            m1 beats -> epoch 4: ab[0] abc[0]
            m2 beats -> epoch 4: abc[1] b[0]
            describe -> Stable epoch 4 target 4 by uniform
                m1 epoch 4 Stable has [ab[0] abc[0]] shall have [ab[0] abc[0]]
                m2 epoch 4 Stable has [abc[1] b[0]] shall have [abc[1] b[0]]
            m3 joins /(/ -> InvalidRegularExpression("SubscribedTopicRegex `(` is not a valid regular expression: unclosed group.")
            m3 joins /x)(y/ -> InvalidRegularExpression("SubscribedTopicRegex `x)(y` is not a valid regular expression: unopened group.")
            m3 joins /(a{1000}){1000}/ -> InvalidRegularExpression("SubscribedTopicRegex `(a{1000}){1000}` is not a valid regular expression: it takes more than 1048576 bytes.")
            m2 leaves -> epoch -1
            m1 leaves -> epoch -1
            describe -> Empty epoch 6 target 4 by uniform
        "#]],
    );
}

#[test]
fn the_assignor_that_most_members_ask_for_assigns() {
    check(
        "topic a=3
         topic b=3
         m1 joins a b by range
         m2 joins a b by range
         m1 beats
         m1 gives up and reports
         m2 beats
         describe
         m3 joins a b by sticky",
        expect![[r#"
            topic a=3
            topic b=3
            m1 joins a b by range -> epoch 2: a[0, 1, 2] b[0, 1, 2]
            m2 joins a b by range -> epoch 3: nothing
            m1 beats -> epoch 2: a[0, 1] b[0, 1]
            m1 gives up and reports -> epoch 3: a[0, 1] b[0, 1]
            m2 beats -> epoch 3: a[2] b[2]
            describe -> Stable epoch 3 target 3 by range
                m1 epoch 3 Stable has [a[0, 1] b[0, 1]] shall have [a[0, 1] b[0, 1]]
                m2 epoch 3 Stable has [a[2] b[2]] shall have [a[2] b[2]]
            m3 joins a b by sticky -> UnsupportedAssignor("ServerAssignor sticky is not supported. Supported assignors: uniform, range.")
        "#]],
    );
}

#[test]
fn a_member_changes_what_it_reads() {
    check(
        "topic a=2
         topic b=2
         m1 joins a
         m2 joins a b
         m1 gives up and reports
         m2 beats
         m2 reads b
         m2 gives up and reports
         m1 beats
         describe",
        expect![[r#"
            topic a=2
            topic b=2
            m1 joins a -> epoch 2: a[0, 1]
            m2 joins a b -> epoch 3: b[0, 1]
            m1 gives up and reports -> epoch 3: a[0, 1]
            m2 beats -> epoch 3
            m2 reads b -> epoch 4: b[0, 1]
            m2 gives up and reports -> epoch 4: b[0, 1]
            m1 beats -> epoch 4
            describe -> Stable epoch 4 target 4 by uniform
                m1 epoch 4 Stable has [a[0, 1]] shall have [a[0, 1]]
                m2 epoch 4 Stable has [b[0, 1]] shall have [b[0, 1]]
        "#]],
    );
}

#[test]
fn another_coordinator_goes_on_where_the_first_stopped() {
    check(
        "topic a=4
         m1 joins a
         m2 joins a
         m1 beats
         another coordinator takes over
         m1 gives up and reports
         another coordinator takes over
         m2 beats
         describe
         another coordinator takes over
         45s pass
         another coordinator takes over
         m1 beats",
        expect![[r#"
            topic a=4
            m1 joins a -> epoch 2: a[0, 1, 2, 3]
            m2 joins a -> epoch 3: nothing
            m1 beats -> epoch 2: a[0, 1]
            another coordinator takes over
            m1 gives up and reports -> epoch 3: a[0, 1]
            another coordinator takes over
            m2 beats -> epoch 3: a[2, 3]
            describe -> Stable epoch 3 target 3 by uniform
                m1 epoch 3 Stable has [a[0, 1]] shall have [a[0, 1]]
                m2 epoch 3 Stable has [a[2, 3]] shall have [a[2, 3]]
            another coordinator takes over
            45s pass -> Empty members: 
            another coordinator takes over
            m1 beats -> UnknownMemberId
        "#]],
    );
}

#[test]
fn commits_of_other_epochs_are_refused() {
    check(
        "topic a=2
         m1 joins a
         m1 commits a-0 at 2
         m1 commits a-0 at 1
         m1 commits a-0 at 3
         m2 commits a-0 at 2
         m2 joins a
         m1 beats
         m1 commits a-1 at 2
         m1 gives up and reports
         m1 commits a-0 at 2
         m1 commits a-1 at 2
         m1 commits a-1 at 3
         m2 beats
         m2 commits a-1 at 2
         m2 commits a-1 at 3",
        expect![[r#"
            topic a=2
            m1 joins a -> epoch 2: a[0, 1]
            m1 commits a-0 at 2 -> committed
            m1 commits a-0 at 1 -> StaleMemberEpoch
            m1 commits a-0 at 3 -> StaleMemberEpoch
            m2 commits a-0 at 2 -> UnknownMemberId
            m2 joins a -> epoch 3: nothing
            m1 beats -> epoch 2: a[0]
            m1 commits a-1 at 2 -> committed
            m1 gives up and reports -> epoch 3: a[0]
            m1 commits a-0 at 2 -> committed
            m1 commits a-1 at 2 -> StaleMemberEpoch
            m1 commits a-1 at 3 -> committed
            m2 beats -> epoch 3: a[1]
            m2 commits a-1 at 2 -> StaleMemberEpoch
            m2 commits a-1 at 3 -> committed
        "#]],
    );
}

#[test]
fn an_assignment_waits_for_its_interval_but_not_for_a_clock_that_was_set_back() {
    let mut world = World::new();
    world.settings.consumer.assignment_interval_ms = Bounded { value: 1_000, min: 0, max: 15_000 };
    let is_assigned = |world: &World| {
        let group = world.group.as_ref().unwrap();
        group.target_epoch() == group.epoch
    };
    for (line, assigned) in [
        ("topic a=4", None),
        ("m1 joins a", Some(true)),
        ("m2 joins a", Some(false)),
        ("m2 beats", Some(false)),
    ] {
        tell(&mut world, line);
        assert!(assigned.is_none_or(|assigned| assigned == is_assigned(&world)), "{line}");
    }
    let hour_before = world.now.wall.millis() - 3_600_000;
    world.now.wall = ottla_record::Timestamp::from_millis(hour_before);
    tell(&mut world, "m2 beats");
    assert!(is_assigned(&world));

    // The interval counts from the new time on.
    tell(&mut world, "m3 joins a");
    assert!(!is_assigned(&world));
    tell(&mut world, "1s pass");
    tell(&mut world, "m3 beats");
    assert!(is_assigned(&world));
}
