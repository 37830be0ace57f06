use expect_test::{Expect, expect};

use super::*;

fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
    let mut epochs = LeaderEpochs::default();
    for (epoch, start) in entries {
        epochs.assign(LeaderEpoch::new(*epoch), Offset::new(*start));
    }
    epochs
}

fn plain(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
    epochs.entries().iter().map(|entry| (entry.epoch.get(), entry.start.get())).collect()
}

#[test]
fn assigning_keeps_both_columns_rising() {
    for (entries, expected) in [
        (&[(0, 0), (0, 5)][..], &[(0, 0)][..]),
        (&[(0, 0), (2, 10), (5, 20)], &[(0, 0), (2, 10), (5, 20)]),
        // An epoch at the same offset had written nothing.
        (&[(0, 0), (1, 10), (2, 10)], &[(0, 0), (2, 10)]),
        (&[(0, 0), (3, 10), (2, 15)], &[(0, 0), (2, 15)]),
        (&[(0, 0), (1, 10), (1, 8)], &[(0, 0), (1, 8)]),
    ] {
        assert_eq!(plain(&epochs(entries)), expected);
    }
}

#[test]
fn ends_are_kafkas() {
    let log = epochs(&[(2, 10), (4, 20), (7, 30)]);
    let end = |epoch| {
        log.end_offset_for(LeaderEpoch::new(epoch), Offset::new(40)).map(|e| (e.epoch.get(), e.end.get()))
    };
    assert_eq!(end(7), Some((7, 40)), "the latest ends with the log");
    assert_eq!(end(8), None, "a higher epoch is unknown");
    assert_eq!(end(4), Some((4, 30)));
    assert_eq!(end(5), Some((4, 30)), "the largest epoch not above, KIP-279");
    assert_eq!(end(1), Some((1, 10)), "below the first");
    assert_eq!(LeaderEpochs::default().end_offset_for(LeaderEpoch::ZERO, Offset::ZERO), None);
    assert_eq!(log.epoch_at(Offset::new(9)), None);
    assert_eq!(log.epoch_at(Offset::new(20)), Some(LeaderEpoch::new(4)));
    assert_eq!(log.epoch_at(Offset::new(99)), Some(LeaderEpoch::new(7)));
}

#[test]
fn truncation_at_both_ends() {
    let check = |cut: &dyn Fn(&mut LeaderEpochs) -> bool, changed, expected: &[(i32, i64)]| {
        let mut log = epochs(&[(2, 10), (4, 20), (7, 30)]);
        assert_eq!(cut(&mut log), changed);
        assert_eq!(plain(&log), expected);
    };
    check(&|log| log.truncate_from_end(Offset::new(30)), true, &[(2, 10), (4, 20)]);
    check(&|log| log.truncate_from_end(Offset::new(31)), false, &[(2, 10), (4, 20), (7, 30)]);
    check(&|log| log.truncate_from_end(Offset::ZERO), true, &[]);
    check(&|log| log.truncate_from_start(Offset::new(25)), true, &[(4, 25), (7, 30)]);
    check(&|log| log.truncate_from_start(Offset::new(20)), true, &[(4, 20), (7, 30)]);
    check(&|log| log.truncate_from_start(Offset::new(10)), false, &[(2, 10), (4, 20), (7, 30)]);
    check(&|log| log.truncate_from_start(Offset::new(5)), false, &[(2, 10), (4, 20), (7, 30)]);
    check(&|log| log.truncate_from_start(Offset::new(99)), true, &[(7, 99)]);
}

#[test]
fn the_file_is_kafkas_and_damage_is_refused() {
    let log = epochs(&[(0, 0), (3, 120)]);
    assert_eq!(log.write(), "0\n2\n0 0\n3 120\n");
    assert_eq!(LeaderEpochs::read(log.write().as_bytes()).unwrap(), log);
    for bad in ["", "0\n1\n", "0\n2\n1 10\n0 20\n", "0\n2\n1 10\n2 10\n", "0\n1\n-1 0\n", "0\n1\n1 2 3\n"] {
        assert!(LeaderEpochs::read(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

/// What a reader is told of each epoch.
fn check_reader(entries: &[(i32, i64)], current: i32, expected: &Expect) {
    let history = epochs(entries);
    let mut table = String::new();
    for epoch in 0..=current + 1 {
        let end = history.end_offset_for_reader(
            LeaderEpoch::new(epoch),
            LeaderEpoch::new(current),
            Offset::new(100),
        );
        let end =
            end.map_or_else(|| "unknown".to_owned(), |end| format!("epoch {} to {}", end.epoch, end.end));
        table += &format!("{epoch}: {end}\n");
    }
    expected.assert_eq(&table);
}

#[test]
fn the_end_of_an_epoch_is_the_start_of_the_next_one_with_records() {
    check_reader(
        &[(1, 0), (3, 40)],
        3,
        &expect![[r#"
            0: epoch 0 to 0
            1: epoch 1 to 40
            2: epoch 1 to 40
            3: epoch 3 to 100
            4: unknown
        "#]],
    );
}

#[test]
fn a_leader_that_has_written_nothing_yet_knows_where_its_epoch_ends() {
    check_reader(
        &[(1, 0)],
        3,
        &expect![[r#"
            0: epoch 0 to 0
            1: epoch 1 to 100
            2: epoch 1 to 100
            3: epoch 3 to 100
            4: unknown
        "#]],
    );
}

#[test]
fn an_empty_log_ends_where_it_starts() {
    check_reader(
        &[],
        1,
        &expect![[r#"
            0: epoch 0 to 100
            1: epoch 1 to 100
            2: unknown
        "#]],
    );
}
