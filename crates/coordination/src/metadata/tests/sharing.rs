//! A new version of the image shares everything with the old one that did not change.

use std::sync::Arc;

use super::*;

fn ten_thousand() -> Image {
    let mut image = cluster_of(3);
    run(&mut image, "create wide 5000x3");
    for n in 0..1000 {
        run(&mut image, &format!("create narrow{n} 5x3 seed={n}"));
    }
    assert_eq!(image.partition_count(), 10_000);
    image
}

/// Partitions and topics of `new` that are not the very same object in `old`.
fn copied(old: &Image, new: &Image) -> (usize, usize) {
    let (mut topics, mut partitions) = (0, 0);
    for (old, new) in old.topics().zip(new.topics()) {
        topics += usize::from(!Arc::ptr_eq(old, new));
        partitions +=
            old.partitions().zip(new.partitions()).filter(|((_, o), (_, n))| !Arc::ptr_eq(o, n)).count();
    }
    (topics, partitions)
}

#[test]
fn a_change_of_one_partition_in_ten_thousand_copies_that_one() {
    let before = ten_thousand();
    let mut after = before.clone();
    run(&mut after, "isr wide-4711 by=1 to=1");
    let leader = before.topic("wide").unwrap().partition(PartitionIndex::new(4711)).unwrap().leader.unwrap();
    run(&mut after, &format!("isr wide-4711 by={leader} to={leader}"));
    assert_eq!(copied(&before, &after), (1, 1));

    let changes = after.topic_changes(&before);
    assert!(matches!(&changes[..], [TopicChange::Changed { new, .. }] if new.name().as_str() == "wide"));
}

#[test]
fn commands_that_change_no_topic_copy_none() {
    let before = ten_thousand();
    let mut after = before.clone();
    run(&mut after, "producer-ids 1");
    run(&mut after, "config broker:1 log.cleaner.threads=2");
    run(&mut after, "create narrow0 1x1");
    assert_eq!(copied(&before, &after), (0, 0));
    assert_eq!(after.topic_changes(&before), []);
}

#[test]
fn losing_a_broker_copies_what_it_was_in_sync_for_and_nothing_else() {
    let mut before = cluster_of(4);
    run(&mut before, "create with on=1,2/2,1");
    run(&mut before, "create without on=2,3/3,2");
    let mut after = before.clone();
    run(&mut after, "fence 1");
    assert_eq!(copied(&before, &after), (1, 2));
}

#[test]
fn changes_tell_a_topic_created_anew_from_a_changed_one() {
    let mut before = cluster_of(1);
    run(&mut before, "create a 1x1");
    run(&mut before, "create b 1x1");
    run(&mut before, "create c 1x1");
    let mut after = before.clone();
    run(&mut after, "delete a,c");
    run(&mut after, "create c 1x1 id=another");
    run(&mut after, "create d 1x1");
    run(&mut after, "grow b to=2");
    let words: Vec<String> = after
        .topic_changes(&before)
        .iter()
        .map(|change| match change {
            TopicChange::Created(t) => format!("+{}", t.name()),
            TopicChange::Changed { new, .. } => format!("~{}", new.name()),
            TopicChange::Deleted(t) => format!("-{}", t.name()),
        })
        .collect();
    assert_eq!(words, ["-a", "~b", "-c", "+c", "+d"]);
}
