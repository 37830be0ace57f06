//! Topics come, grow and go.

use expect_test::expect;

use super::*;
use crate::metadata::image::DELETED_TOPICS_KEPT;

const THREE: &str = "
    register 1
    unfence 1
    register 2
    unfence 2
    register 3
    unfence 3
";

fn check_on_three(script: &str, expected: Expect) {
    let mut out = String::new();
    let mut image = cluster_of(3);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "show" {
            out.push_str(&show(&image));
        } else {
            let response = run(&mut image, line);
            writeln!(out, "{line} => {}", answer(&response)).unwrap();
        }
    }
    expected.assert_eq(&out);
}

#[test]
fn names() {
    let long = "x".repeat(250);
    check(
        &format!(
            "
            {THREE}
            create ok-1_a.b 1x1
            create ok-1.a.b 1x1
            create . 1x1
            create .. 1x1
            create a/b 1x1
            create ä 1x1
            create {long} 1x1
            create ok-1_a.b 1x1
            create twice,twice 1x1
            create , 1x1
            "
        ),
        expect![[r#"
            register 1 => 2
            unfence 1 => ()
            register 2 => 4
            unfence 2 => ()
            register 3 => 6
            unfence 3 => ()
            create ok-1_a.b 1x1 => ("ok-1_a.b", 1, 1)
            create ok-1.a.b 1x1 => error: Topic 'ok-1.a.b' collides with existing topic: ok-1_a.b
            create . 1x1 => error: Topic name is invalid: '.' is not allowed
            create .. 1x1 => error: Topic name is invalid: '..' is not allowed
            create a/b 1x1 => error: Topic name is invalid: 'a/b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
            create ä 1x1 => error: Topic name is invalid: 'ä' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'
            create xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 1x1 => error: Topic name is invalid: the length of 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' is longer than the max allowed length 249
            create ok-1_a.b 1x1 => error: Topic 'ok-1_a.b' already exists.
            create twice,twice 1x1 => error: Duplicate topic name.; error: Duplicate topic name.
            create , 1x1 => error: Duplicate topic name.; error: Duplicate topic name.
        "#]],
    );
}

#[test]
fn a_name_that_collides_is_free_again_after_the_other_is_deleted() {
    check_on_three(
        "
        create a.b 1x1
        create a_b 1x1
        delete a.b
        create a_b 1x1
        ",
        expect![[r#"
            create a.b 1x1 => ("a.b", 1, 1)
            create a_b 1x1 => error: Topic 'a_b' collides with existing topic: a.b
            delete a.b => "a.b"
            create a_b 1x1 => ("a_b", 1, 1)
        "#]],
    );
}

#[test]
fn numbers_of_partitions_and_replicas() {
    check_on_three(
        "
        create t 0x1
        create t -1x1
        create t 1x0
        create t 1x-1
        create t 1x4
        create t 10001x1
        create t,u 6000x1
        create t 10000x1
        create t 1x1
        ",
        expect![[r#"
            create t 0x1 => error: Number of partitions was set to an invalid non-positive value.
            create t -1x1 => error: Number of partitions was set to an invalid non-positive value.
            create t 1x0 => error: Replication factor was set to an invalid non-positive value.
            create t 1x-1 => error: Replication factor was set to an invalid non-positive value.
            create t 1x4 => error: Unable to replicate the partition 4 time(s): The target replication factor of 4 cannot be reached because only 3 broker(s) are registered.
            create t 10001x1 => error: Excessively large number of partitions per request.
            create t,u 6000x1 => error: Excessively large number of partitions per request.; error: Excessively large number of partitions per request.
            create t 10000x1 => ("t", 10000, 1)
            create t 1x1 => error: Topic 't' already exists.
        "#]],
    );
}

#[test]
fn manual_assignments() {
    check_on_three(
        "
        create t on=1,2/2,3
        create u on=1,1
        create u on=1,2/3
        create u on=4
        create u on=1/
        create u on=
        fence 3
        create u on=3
        create u on=3,1
        show
        ",
        expect![[r#"
            create t on=1,2/2,3 => ("t", 2, 2)
            create u on=1,1 => error: The manual partition assignment includes the broker 1 more than once.
            create u on=1,2/3 => error: The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s).
            create u on=4 => error: The manual partition assignment includes broker 4, but no such broker is registered.
            create u on=1/ => error: The manual partition assignment includes an empty replica list.
            create u on= => error: The manual partition assignment includes an empty replica list.
            fence 3 => ()
            create u on=3 => error: All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled shutdown.
            create u on=3,1 => ("u", 1, 2)
              broker 1@2
              broker 2@4
              broker 3@6 fenced
              t-0: [1, 2] / [1, 2] / 1 @0 .0
              t-1: [2, 3] / [2] / 2 @0 .1
              u-0: [3, 1] / [1] / 1 @0 .0
        "#]],
    );
    let mut image = cluster_of(1);
    let mut assign = |partitions: &[i32]| {
        let response = image.apply(&Command::CreateTopics(CreateTopics {
            topics: vec![NewTopic {
                name: "t".to_owned(),
                id: TopicId(id("t")),
                layout: Layout::Manual(
                    partitions
                        .iter()
                        .map(|p| ManualAssignment { partition: PartitionIndex::new(*p), replicas: ids("1") })
                        .collect(),
                ),
                configs: Vec::new(),
            }],
        }));
        answer(&response)
    };
    expect![[r#"
        error: The manual partition assignment includes no partition.
        error: Found multiple manual partition assignments for partition 0
        error: partitions should be a consecutive 0-based integer sequence
        error: partitions should be a consecutive 0-based integer sequence
        ("t", 2, 1)"#]]
    .assert_eq(&[assign(&[]), assign(&[0, 0]), assign(&[1]), assign(&[-1, 0]), assign(&[1, 0])].join("\n"));
}

#[test]
fn partitions_only_grow() {
    check_on_three(
        "
        create t 2x2
        grow t to=2
        grow t to=1
        grow t to=0
        grow t to=-1
        grow u to=3
        grow t to=4 on=1,2
        grow t to=3 on=1
        grow t to=3 on=1,9
        grow t,t to=3
        grow t to=20000
        grow t to=4 on=1,2/2,3
        grow t to=5
        show
        ",
        expect![[r#"
            create t 2x2 => ("t", 2, 2)
            grow t to=2 => error: Topic already has 2 partition(s).
            grow t to=1 => error: The topic t currently has 2 partition(s); 1 would not be an increase.
            grow t to=0 => error: The topic t currently has 2 partition(s); 0 would not be an increase.
            grow t to=-1 => error: The topic t currently has 2 partition(s); -1 would not be an increase.
            grow u to=3 => error: This server does not host this topic-partition.
            grow t to=4 on=1,2 => error: Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.
            grow t to=3 on=1 => error: The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s).
            grow t to=3 on=1,9 => error: The manual partition assignment includes broker 9, but no such broker is registered.
            grow t,t to=3 => error: Duplicate topic name.; error: Duplicate topic name.
            grow t to=20000 => error: Excessively large number of partitions per request.
            grow t to=4 on=1,2/2,3 => 4
            grow t to=5 => 5
              broker 1@2
              broker 2@4
              broker 3@6
              t-0: [1, 2] / [1, 2] / 1 @0 .0
              t-1: [2, 3] / [2, 3] / 2 @0 .0
              t-2: [1, 2] / [1, 2] / 1 @0 .0
              t-3: [2, 3] / [2, 3] / 2 @0 .0
              t-4: [2, 1] / [2, 1] / 2 @0 .0
        "#]],
    );
}

#[test]
fn deleted_by_name_and_by_id() {
    check_on_three(
        "
        create a 1x1
        create b 1x1
        delete a,a,nobody
        delete #b,#b
        create a 1x1 id=other
        show
        ",
        expect![[r#"
            create a 1x1 => ("a", 1, 1)
            create b 1x1 => ("b", 1, 1)
            delete a,a,nobody => "a"; error: This server does not host this topic-partition.; error: This server does not host this topic-partition.
            delete #b,#b => "b"; error: This server does not host this topic ID.
            create a 1x1 id=other => ("a", 1, 1)
              broker 1@2
              broker 2@4
              broker 3@6
              a-0: [1] / [1] / 1 @0 .0
        "#]],
    );
}

#[test]
fn an_id_is_used_once() {
    check_on_three(
        "
        create a 1x1 id=same
        create b 1x1 id=same
        ",
        expect![[r#"
            create a 1x1 id=same => ("a", 1, 1)
            create b 1x1 id=same => error: Topic id c2FtZS4uLi4uLi4uLi4uLg is already in use, or was that of a topic deleted lately.
        "#]],
    );
}

/// A controller that dies takes its answer with it, the command comes once more, and the topic was deleted in between: brokers that
/// have not heard of all of that still have its records, and would take them for the new one's.
#[test]
fn a_command_that_comes_twice_does_not_bring_a_deleted_topic_back() {
    check_on_three(
        "
        create a 1x1 id=same
        delete a
        create a 1x1 id=same
        create a 1x1
        ",
        expect![[r#"
            create a 1x1 id=same => ("a", 1, 1)
            delete a => "a"
            create a 1x1 id=same => error: Topic id c2FtZS4uLi4uLi4uLi4uLg is already in use, or was that of a topic deleted lately.
            create a 1x1 => ("a", 1, 1)
        "#]],
    );
}

/// Also one that starts from a snapshot refuses it.
#[test]
fn a_snapshot_knows_the_topics_that_were_deleted_last() {
    let mut image = cluster_of(1);
    for number in 0..=DELETED_TOPICS_KEPT {
        run(&mut image, &format!("create a 1x1 id={number}"));
        run(&mut image, "delete a");
    }
    let mut image = Image::decode(&image.encode().unwrap()).unwrap();
    let again = |image: &mut Image, number| answer(&run(image, &format!("create a 1x1 id={number}")));
    assert!(again(&mut image, DELETED_TOPICS_KEPT).starts_with("error: Topic id"));
    assert!(again(&mut image, 1).starts_with("error: Topic id"));
    assert_eq!(again(&mut image, 0), r#"("a", 1, 1)"#);
}

#[test]
fn replicas_stand_in_different_racks_and_leaders_go_round() {
    let placed = |racks: &[(i32, &str)], count, factor, seed| {
        let candidates: Vec<_> = racks
            .iter()
            .map(|(id, rack)| placement::Candidate {
                id: BrokerId::new(*id),
                rack: (!rack.is_empty()).then(|| (*rack).to_owned()),
            })
            .collect();
        format!("{:?}\n", placement::place(&candidates, &[], 0, count, factor, PlacementSeed(seed)).unwrap())
    };
    let racks = [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c"), (6, "c")];
    let plain = [(1, ""), (2, ""), (3, "")];
    expect![[r#"
        [[1, 3, 5], [3, 5, 2], [5, 2, 4], [2, 4, 6], [4, 6, 1], [6, 1, 3], [1, 4, 6]]
        [[1, 3, 5, 2], [3, 5, 2, 4], [5, 2, 4, 6]]
        [[1, 4, 6], [3, 6, 1], [5, 1, 3]]
        [[1, 2], [2, 3], [3, 1], [1, 3]]
        [[3, 1, 2], [1, 2, 3], [2, 3, 1], [3, 2, 1]]
        [[1], [1]]
    "#]]
    .assert_eq(
        &[
            placed(&racks, 7, 3, 0),
            placed(&racks, 3, 4, 0),
            placed(&racks, 3, 3, 1 << 32 | 2),
            placed(&plain, 4, 2, 0),
            placed(&plain, 4, 3, 5),
            placed(&plain[..1], 2, 1, u64::MAX),
        ]
        .concat(),
    );
}

#[test]
fn a_preview_tells_and_changes_nothing() {
    let image = cluster_of(1);
    let before = image.hash().unwrap();
    let command = parse("create t 3x1", &image);
    assert_eq!(answer(&image.preview(&command)), "(\"t\", 3, 1)");
    assert_eq!(image.hash().unwrap(), before);
    assert!(image.topic("t").is_none());
}

#[test]
fn the_cluster_holds_a_bounded_number_of_partitions() {
    let mut image = cluster_of(1);
    for n in 0..image::MAX_PARTITIONS / image::MAX_PARTITIONS_PER_REQUEST {
        // Without check_invariants of debug builds this would be instant; with them it is still seconds at most.
        assert!(
            matches!(&run(&mut image, &format!("create t{n} 10000x1")), Response::CreateTopics(r) if r[0].is_ok())
        );
    }
    expect![[r#"
        error: The cluster would have 200001 partitions, more than the 200000 it holds.
        error: The cluster would have 200001 partitions, more than the 200000 it holds."#]]
    .assert_eq(
        &[answer(&run(&mut image, "create more 1x1")), answer(&run(&mut image, "grow t0 to=10001"))]
            .join("\n"),
    );
}

/// It comes back. Kafka counts it once it has gone.
#[test]
fn a_broker_that_is_about_to_go_gets_replicas_too() {
    check_on_three(
        "
        shutdown 3
        create t 2x3
        fence 3
        create u 1x3
        create v 1x2
        show
        ",
        expect![[r#"
            shutdown 3 => ()
            create t 2x3 => ("t", 2, 3)
            fence 3 => ()
            create u 1x3 => ("u", 1, 3)
            create v 1x2 => ("v", 1, 2)
              broker 1@2
              broker 2@4
              broker 3@6 fenced
              t-0: [1, 2, 3] / [1, 2] / 1 @0 .0
              t-1: [2, 1, 3] / [2, 1] / 2 @0 .0
              u-0: [1, 2, 3] / [1, 2] / 1 @0 .0
              v-0: [1, 2] / [1, 2] / 1 @0 .0
        "#]],
    );
}
