//! The two assignors: stories by example, then what must hold for every group.

mod properties;

use expect_test::{Expect, expect};
use ottla_record::{PartitionIndex, TopicId, Uuid};

use super::{Assignor, Member, Rack, RackSet, Topic};
use crate::group::partitions::Partitions;

/// One line per member: `id[@instance] subscribes to topics [owns topic:partition ...]`.
fn check(assignor: Assignor, topics: &str, members: &[&str], expected: Expect) {
    let (names, topics) = topics_of(topics);
    let parsed: Vec<Given> = members.iter().map(|line| given(line, &names, &topics)).collect();
    let members: Vec<Member<'_>> = parsed.iter().map(Given::member).collect();
    let assigned = assignor.assign(&topics, &members);
    let show = |p: &Partitions| {
        let named = p.topics().map(|(id, partitions)| {
            let name = names[topics.iter().position(|t| t.id == id).unwrap()].clone();
            format!(" {name}{partitions:?}")
        });
        named.collect::<String>()
    };
    let lines = members.iter().zip(&assigned).map(|(m, p)| format!("{}:{}\n", m.id, show(p)));
    expected.assert_eq(&lines.collect::<String>());
}

struct Given {
    id: String,
    instance: Option<String>,
    topics: Vec<u32>,
    assigned: Partitions,
}

impl Given {
    fn member(&self) -> Member<'_> {
        Member {
            id: &self.id,
            instance: self.instance.as_deref(),
            topics: &self.topics,
            assigned: &self.assigned,
            rack: None,
        }
    }
}

fn topic_id(number: usize) -> TopicId {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&(number as u32 + 1).to_be_bytes());
    TopicId(Uuid::from_bytes(bytes))
}

fn topics_of(text: &str) -> (Vec<String>, Vec<Topic<'static>>) {
    let sizes = text.split_whitespace().map(|t| t.split_once('=').unwrap());
    let sizes: Vec<(String, u32)> =
        sizes.map(|(name, size)| (name.to_owned(), size.parse().unwrap())).collect();
    let topics = sizes.iter().enumerate().map(|(at, (_, size))| Topic {
        id: topic_id(at),
        partitions: *size,
        racks: &[],
    });
    (sizes.iter().map(|(name, _)| name.clone()).collect(), topics.collect())
}

fn given(line: &str, names: &[String], topics: &[Topic<'_>]) -> Given {
    let (who, rest) = line.split_once(" subscribes to ").unwrap();
    let (wanted, owned) = rest.split_once(" owns ").unwrap_or((rest, ""));
    let (id, instance) = who.split_once('@').map_or((who, None), |(id, i)| (id, Some(i.to_owned())));
    let position = |name: &str| names.iter().position(|n| n == name).unwrap();
    let owned = owned.split_whitespace().map(|p| p.split_once(':').unwrap());
    let owned = owned.map(|(topic, p)| (topics[position(topic)].id, PartitionIndex::new(p.parse().unwrap())));
    let mut wanted: Vec<u32> = wanted.split_whitespace().map(|name| position(name) as u32).collect();
    wanted.sort_unstable();
    Given { id: id.to_owned(), instance, topics: wanted, assigned: owned.collect() }
}

#[test]
fn uniform_shares_evenly_and_keeps_what_is_owned() {
    check(
        Assignor::Uniform,
        "a=3 b=4",
        &["m1 subscribes to a b", "m2 subscribes to a b", "m3 subscribes to a b"],
        expect![[r#"
            m1: a[0, 1]
            m2: a[2] b[0]
            m3: b[1, 2, 3]
        "#]],
    );
    check(
        Assignor::Uniform,
        "a=6",
        &["m1 subscribes to a owns a:0 a:1 a:2", "m2 subscribes to a owns a:3 a:4 a:5", "m3 subscribes to a"],
        expect![[r#"
            m1: a[0, 1]
            m2: a[3, 4]
            m3: a[2, 5]
        "#]],
    );
    check(
        Assignor::Uniform,
        "a=5",
        &["m1 subscribes to a owns a:1 a:3", "m2 subscribes to a owns a:0 a:2 a:4"],
        expect![[r#"
            m1: a[1, 3]
            m2: a[0, 2, 4]
        "#]],
    );
}

#[test]
fn uniform_gives_up_a_topic_nobody_wants_any_more() {
    check(
        Assignor::Uniform,
        "a=2 b=2",
        &["m1 subscribes to b owns a:0 b:0", "m2 subscribes to b owns a:1 b:1"],
        expect![[r#"
            m1: b[0]
            m2: b[1]
        "#]],
    );
}

#[test]
fn uniform_evens_out_different_subscriptions() {
    check(
        Assignor::Uniform,
        "a=6 b=3",
        &["m1 subscribes to a", "m2 subscribes to a b", "m3 subscribes to b"],
        expect![[r#"
            m1: a[0, 2, 4]
            m2: a[1, 3, 5]
            m3: b[0, 1, 2]
        "#]],
    );
    // The new member takes from the one that has most, and only of what it subscribes to.
    check(
        Assignor::Uniform,
        "a=4 b=4",
        &["m1 subscribes to a b owns a:0 a:1 a:2 a:3 b:0 b:1 b:2 b:3", "m2 subscribes to b"],
        expect![[r#"
            m1: a[0, 1, 2, 3]
            m2: b[0, 1, 2, 3]
        "#]],
    );
}

#[test]
fn more_members_than_partitions() {
    let members = ["m1 subscribes to a", "m2 subscribes to a"];
    check(
        Assignor::Uniform,
        "a=1",
        &members,
        expect![[r#"
        m1:
        m2: a[0]
    "#]],
    );
    check(
        Assignor::Range,
        "a=1",
        &members,
        expect![[r#"
        m1: a[0]
        m2:
    "#]],
    );
    check(Assignor::Uniform, "a=1", &[], expect![""]);
    check(
        Assignor::Range,
        "a=1",
        &["m1 subscribes to "],
        expect![[r#"
        m1:
    "#]],
    );
}

#[test]
fn range_lines_topics_of_equal_size_up() {
    check(
        Assignor::Range,
        "a=3 b=3 c=4",
        &["m2 subscribes to a b c", "m1 subscribes to a b c"],
        expect![[r#"
            m2: a[2] b[2] c[2, 3]
            m1: a[0, 1] b[0, 1] c[0, 1]
        "#]],
    );
}

#[test]
fn range_keeps_static_members_in_their_place_through_a_restart() {
    check(
        Assignor::Range,
        "a=4",
        &["x@i1 subscribes to a", "b@i2 subscribes to a", "a subscribes to a"],
        expect![[r#"
            x: a[0, 1]
            b: a[2]
            a: a[3]
        "#]],
    );
    check(
        Assignor::Range,
        "a=4",
        &["q@i2 subscribes to a", "z@i1 subscribes to a", "a subscribes to a"],
        expect![[r#"
            q: a[2]
            z: a[0, 1]
            a: a[3]
        "#]],
    );
}

#[test]
fn names_lead_to_assignors_and_back() {
    for assignor in [Assignor::Uniform, Assignor::Range] {
        assert_eq!(Assignor::named(assignor.name()), Some(assignor));
    }
    assert_eq!(Assignor::named("sticky"), None);
}

#[test]
fn members_get_what_is_near_them_and_ranges_still_line_up() {
    let rack = |number| Rack::new(number);
    // Partition p of both topics has its replicas in rack p % 3.
    let racks: Vec<RackSet> = (0..6).map(|p| rack(p % 3).into_iter().collect()).collect();
    let topics = [0, 1].map(|at| Topic { id: topic_id(at), partitions: 6, racks: &racks });
    let none = Partitions::none();
    let ids = ["m0", "m1", "m2"];
    let member =
        |at: usize| Member { id: ids[at], instance: None, topics: &[0, 1], assigned: &none, rack: rack(at) };
    let members = [0, 1, 2].map(member);
    for assignor in [Assignor::Uniform, Assignor::Range] {
        for (at, owned) in assignor.assign(&topics, &members).into_iter().enumerate() {
            let numbers = |topic: &Topic<'_>| owned.of(topic.id).iter().map(|p| p.get()).collect::<Vec<_>>();
            assert_eq!(
                [numbers(&topics[0]), numbers(&topics[1])],
                [[at as i32, at as i32 + 3], [at as i32, at as i32 + 3]]
            );
        }
    }
}
