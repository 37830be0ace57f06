use expect_test::{Expect, expect};

use super::*;

fn history(entries: &[(i32, i64)]) -> LeaderEpochs {
    let mut history = LeaderEpochs::default();
    for (epoch, start) in entries {
        history.assign(LeaderEpoch::new(*epoch), Offset::new(*start));
    }
    history
}

fn check(entries: &[(i32, i64)], current: i32, expected: &Expect) {
    let history = history(entries);
    let mut table = String::new();
    for epoch in 0..=current + 1 {
        let end = end_of(&history, LeaderEpoch::new(epoch), LeaderEpoch::new(current), Offset::new(100));
        let end =
            end.map_or_else(|| "unknown".to_owned(), |end| format!("epoch {} to {}", end.epoch, end.end));
        table += &format!("{epoch}: {end}\n");
    }
    expected.assert_eq(&table);
}

#[test]
fn the_end_of_an_epoch_is_the_start_of_the_next_one_with_records() {
    check(
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
    check(
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
    check(
        &[],
        1,
        &expect![[r#"
            0: epoch 0 to 100
            1: epoch 1 to 100
            2: unknown
        "#]],
    );
}
