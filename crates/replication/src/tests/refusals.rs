//! What producers are told whose batch comes behind one that was refused, or that a former leader has not answered.

use expect_test::expect;

use super::in_sync::{all_in_sync, alone_in_sync};
use super::{Scenario, check, config};
use crate::Durability;

/// What a producer has sent behind a refused batch arrives when the reason has passed.
#[test]
fn what_follows_a_refused_batch_hears_of_its_reason() {
    let mut p = all_in_sync();
    check(
        &p.run(
            "produce zero all seq=0
             flushed
             session over
             wait 2
             produce one all seq=1
             session open
             produce two all seq=2
             produce one all seq=1
             produce two all seq=2
             produce four all seq=4
             wait 5
             produce four all seq=4",
        ),
        &expect![[r#"
            > produce zero all seq=0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > session over
            > wait 2
              zero: refused: this broker is cut off from the others, and another may lead the partition by now
              checkpoint at 1
            > produce one all seq=1
              one: refused: this broker is cut off from the others, and another may lead the partition by now
            > session open
            > produce two all seq=2
              two: refused: this broker is cut off from the others, and another may lead the partition by now
            > produce one all seq=1
              flush to 2
              readers see 0 ≤ hw 0, flushed 1, end 2; leads 0 from 0
            > produce two all seq=2
              readers see 0 ≤ hw 0, flushed 1, end 3; leads 0 from 0
            > produce four all seq=4
              four: refused: this broker is cut off from the others, and another may lead the partition by now
            > wait 5
            > produce four all seq=4
              four: refused: producer 9 sent sequence 4, expected 3
        "#]],
    );
}

/// A producer has several batches on their way to a leader that is replaced, and the second reaches the next one first.
#[test]
fn what_follows_a_batch_that_the_last_leader_has_not_answered_is_to_come_again() {
    let mut p = Scenario::on(2, config(Durability::Fsync));
    check(
        &p.run(
            "assign v=1 term=0 leader=2 replicas=1,2,3 isr=1,2,3
             produce zero all seq=0
             flushed
             assign v=2 term=1 leader=1 replicas=1,2,3 isr=1,2,3
             assign v=3 term=2 leader=2 replicas=1,2,3 isr=2,3
             produce two all seq=2
             produce zero all seq=0
             produce one all seq=1
             produce two all seq=2
             produce four all seq=4
             wait 5
             produce four all seq=4",
        ),
        &expect![[r#"
            > assign v=1 term=0 leader=2 replicas=1,2,3 isr=1,2,3
              readers see 0 ≤ hw 0, flushed 0, end 0; leads 0 from 0
            > produce zero all seq=0
              flush to 1
              readers see 0 ≤ hw 0, flushed 0, end 1; leads 0 from 0
            > flushed
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 0 from 0
            > assign v=2 term=1 leader=1 replicas=1,2,3 isr=1,2,3
              zero: refused: this broker does not lead the partition
              readers see 0 ≤ hw 0, flushed 1, end 1; follows 1 in 1, fetches from 1 after term 0
            > assign v=3 term=2 leader=2 replicas=1,2,3 isr=2,3
              readers see 0 ≤ hw 0, flushed 1, end 1; leads 2 from 1
            > produce two all seq=2
              two: refused: this broker does not lead the partition
            > produce zero all seq=0
            > produce one all seq=1
              flush to 2
              readers see 0 ≤ hw 0, flushed 1, end 2; leads 2 from 1
            > produce two all seq=2
              readers see 0 ≤ hw 0, flushed 1, end 3; leads 2 from 1
            > produce four all seq=4
              four: refused: this broker does not lead the partition
            > wait 5
              checkpoint at 1
            > produce four all seq=4
              four: refused: producer 9 sent sequence 4, expected 3
        "#]],
    );
}

/// The disk was full when the first one came, and is not when the second one does.
#[test]
fn what_follows_a_batch_that_found_no_space_hears_of_that() {
    let mut p = alone_in_sync();
    check(
        &p.run(
            "produce zero leader seq=0
             flushed
             disk full
             wait 1
             produce one leader seq=1
             produce again leader seq=0
             disk free
             wait 1
             produce two leader seq=2
             produce one leader seq=1
             produce two leader seq=2
             wait 5
             produce four leader seq=4",
        ),
        &expect![[r#"
            > produce zero leader seq=0
              flush to 3
              readers see 0 ≤ hw 0, flushed 2, end 3; leads 1 from 1
            > flushed
              zero: written at 2
              readers see 0 ≤ hw 0, flushed 3, end 3; leads 1 from 1
            > disk full
            > wait 1
              checkpoint at 3
            > produce one leader seq=1
              one: refused: the disk is nearly full: 0 bytes are free, 0 are kept in reserve (ottla.disk.reserve.bytes)
            > produce again leader seq=0
              again: written at 2
            > disk free
            > wait 1
            > produce two leader seq=2
              two: refused: the disk is nearly full: 0 bytes are free, 0 are kept in reserve (ottla.disk.reserve.bytes)
            > produce one leader seq=1
              flush to 4
              readers see 0 ≤ hw 0, flushed 3, end 4; leads 1 from 1
            > produce two leader seq=2
              readers see 0 ≤ hw 0, flushed 3, end 5; leads 1 from 1
            > wait 5
            > produce four leader seq=4
              four: refused: producer 9 sent sequence 4, expected 3
        "#]],
    );
}
