//! The transition table of [`Partition`](crate::Partition), cell by cell: every event in every role.

use expect_test::expect;

use super::{Scenario, check, config};
use crate::{Durability, PartitionConfig};

/// Every event, for a log that ends at 3 in term 1, as broker 1; `{term}` is the term of the role.
const EVENTS: [&str; 28] = [
    "produce p all",
    "flushed",
    "flush fails",
    "checkpointed",
    "checkpoint fails",
    "delete d before=1",
    "fetch from=2 term=2 at=3 last=1",
    "fetch from=2 term=2 at=4 last=1",
    "fetch from=2 term=2 at=9 last=-",
    "fetch from=2 term=1 at=3 last=1",
    "fetch from=2 term=3 at=3 last=1",
    "fetch from=9 term=2 at=3 last=1",
    "accepted on=2 v=3 isr=1",
    "refused on=2 ineligible",
    "records term=2 at=3 last=1 hw=3 start=0 3@2",
    "records term=2 at=2 last=1 hw=3 start=0 2@2",
    "diverging term=2 at=3 last=1 common=1 end=2",
    "out-of-range term=2 at=3 last=1 start=7 end=9",
    "assign v=3 term=3 leader=1 replicas=1,2,3 isr=1,2",
    "assign v=3 term=2 leader=1 replicas=1,2,3 isr=1",
    "assign v=3 term=3 leader=2 replicas=1,2,3 isr=1,2",
    "assign v=3 term=3 leader=none replicas=1,2,3 isr=2",
    "assign v=2 term=2 leader=3 replicas=1,2,3 isr=3",
    "configure os",
    "session over",
    "wait 31",
    "retain",
    "swap s",
];

/// Each event to a fresh replica in a role.
fn table(role: &str) -> String {
    let mut said = String::new();
    for event in EVENTS {
        let mut p = in_role(role);
        // What a leader has asked for, so that it can be decided.
        if event.starts_with("accepted") || event.starts_with("refused") {
            p.run("wait 31");
        }
        said += &p.run(event);
        p.partition.check_invariants();
    }
    said + &in_role(role).run("directory fails")
}

/// Broker 1 with 0@1 1@1 on the disk, a checkpoint of that out, and 2@1 written and its flush out; high watermark 1. Every
/// record has a segment.
fn in_role(role: &str) -> Scenario {
    let mut p = Scenario::on(1, small_segments());
    p.run(
        "assign v=1 term=1 leader=1 replicas=1,2,3 isr=1,2
         produce a none
         produce b none
         flushed
         fetch from=2 term=1 at=1 last=1
         flushed
         wait 1
         produce c none",
    );
    match role {
        "leading" => p.run("assign v=2 term=2 leader=1 replicas=1,2,3 isr=1,2"),
        "following" => p.run("assign v=2 term=2 leader=2 replicas=1,2,3 isr=1,2"),
        "neither" => p.run("assign v=2 term=2 leader=none replicas=1,2,3 isr=1"),
        _ => p.run("assign v=2 term=2 leader=1 replicas=1,2,3 isr=1,2\ndirectory fails"),
    };
    p
}

fn small_segments() -> PartitionConfig {
    let mut config = config(Durability::Fsync);
    config.log.segment_bytes = 100;
    config.log.retention_bytes = Some(100);
    config
}

#[test]
fn leading() {
    check(
        &table("leading"),
        &expect![[r#"
            > produce p all
              readers see 0 ≤ hw 1, flushed 2, end 4; leads 2 from 3
            > flushed
              readers see 0 ≤ hw 1, flushed 3, end 3; leads 2 from 3
            > flush fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
            > checkpointed
              readers see 0 ≤ hw 1, flushed 2, end 3; leads 2 from 3
            > checkpoint fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
            > delete d before=1
              remove 1 segments
              readers see 1 ≤ hw 1, flushed 2, end 3; leads 2 from 3
            > fetch from=2 term=2 at=3 last=1
              broker 2: leader has 0 ≤ hw 2, end 3
              readers see 0 ≤ hw 2, flushed 2, end 3; leads 2 from 3
            > fetch from=2 term=2 at=4 last=1
              broker 2: leader has 0 ≤ hw 1, end 3; logs part after term 1, at 3
            > fetch from=2 term=2 at=9 last=-
              broker 2: refused: the offset lies outside the log, which goes from 0 to 3
            > fetch from=2 term=1 at=3 last=1
              broker 2: refused: the follower's term has ended; the term is 2 now
            > fetch from=2 term=3 at=3 last=1
              broker 2: refused: the follower's term has not been heard of; the term here is 2
            > fetch from=9 term=2 at=3 last=1
              broker 9: refused: the asking broker holds no replica of the partition
            > accepted on=2 v=3 isr=1
            > refused on=2 ineligible
            > records term=2 at=3 last=1 hw=3 start=0 3@2
            > records term=2 at=2 last=1 hw=3 start=0 2@2
            > diverging term=2 at=3 last=1 common=1 end=2
            > out-of-range term=2 at=3 last=1 start=7 end=9
            > assign v=3 term=3 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 1, flushed 2, end 3; leads 3 from 3
            > assign v=3 term=2 leader=1 replicas=1,2,3 isr=1
            > assign v=3 term=3 leader=2 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 1, flushed 2, end 3; follows 2 in 3, waits for its flush
            > assign v=3 term=3 leader=none replicas=1,2,3 isr=2
              readers see 0 ≤ hw 1, flushed 2, end 3; does not lead
            > assign v=2 term=2 leader=3 replicas=1,2,3 isr=3
            > configure os
            > session over
            > wait 31
              propose in sync: 1; in term 2 on version 2
            > retain
              remove 1 segments
              readers see 1 ≤ hw 1, flushed 2, end 3; leads 2 from 3
            > swap s
              remove 1 segments
              s: swapped: Ok(())
              readers see 0 ≤ hw 1, flushed 2, end 3; leads 2 from 3
            > directory fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
        "#]],
    );
}

#[test]
fn following() {
    check(
        &table("following"),
        &expect![[r#"
            > produce p all
              p: refused: this broker does not lead the partition
            > flushed
              readers see 0 ≤ hw 1, flushed 3, end 3; follows 2 in 2, fetches from 3 after term 1
            > flush fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
            > checkpointed
              readers see 0 ≤ hw 1, flushed 2, end 3; follows 2 in 2, waits for its flush
            > checkpoint fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
            > delete d before=1
              d: not deleted: this broker does not lead the partition
            > fetch from=2 term=2 at=3 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=2 at=4 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=2 at=9 last=-
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=1 at=3 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=3 at=3 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=9 term=2 at=3 last=1
              broker 9: refused: this broker does not lead the partition
            > accepted on=2 v=3 isr=1
            > refused on=2 ineligible
            > records term=2 at=3 last=1 hw=3 start=0 3@2
              readers see 0 ≤ hw 2, flushed 2, end 4; follows 2 in 2, waits for its flush
            > records term=2 at=2 last=1 hw=3 start=0 2@2
            > diverging term=2 at=3 last=1 common=1 end=2
              readers see 0 ≤ hw 1, flushed 2, end 2; follows 2 in 2, fetches from 2 after term 1
            > out-of-range term=2 at=3 last=1 start=7 end=9
              readers see 7 ≤ hw 7, flushed 7, end 7; follows 2 in 2, fetches from 7 after term -
            > assign v=3 term=3 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 1, flushed 2, end 3; leads 3 from 3
            > assign v=3 term=2 leader=1 replicas=1,2,3 isr=1
              readers see 0 ≤ hw 1, flushed 2, end 3; leads 2 from 3
            > assign v=3 term=3 leader=2 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 1, flushed 2, end 3; follows 2 in 3, waits for its flush
            > assign v=3 term=3 leader=none replicas=1,2,3 isr=2
              readers see 0 ≤ hw 1, flushed 2, end 3; does not lead
            > assign v=2 term=2 leader=3 replicas=1,2,3 isr=3
            > configure os
              readers see 0 ≤ hw 1, flushed 2, end 3; follows 2 in 2, fetches from 3 after term 1
            > session over
            > wait 31
            > retain
            > swap s
              remove 1 segments
              s: swapped: Ok(())
              readers see 0 ≤ hw 1, flushed 2, end 3; follows 2 in 2, waits for its flush
            > directory fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
        "#]],
    );
}

#[test]
fn neither() {
    check(
        &table("neither"),
        &expect![[r#"
            > produce p all
              p: refused: this broker does not lead the partition
            > flushed
              readers see 0 ≤ hw 1, flushed 3, end 3; does not lead
            > flush fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
            > checkpointed
              readers see 0 ≤ hw 1, flushed 2, end 3; does not lead
            > checkpoint fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
            > delete d before=1
              d: not deleted: this broker does not lead the partition
            > fetch from=2 term=2 at=3 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=2 at=4 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=2 at=9 last=-
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=1 at=3 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=2 term=3 at=3 last=1
              broker 2: refused: this broker does not lead the partition
            > fetch from=9 term=2 at=3 last=1
              broker 9: refused: this broker does not lead the partition
            > accepted on=2 v=3 isr=1
            > refused on=2 ineligible
            > records term=2 at=3 last=1 hw=3 start=0 3@2
            > records term=2 at=2 last=1 hw=3 start=0 2@2
            > diverging term=2 at=3 last=1 common=1 end=2
            > out-of-range term=2 at=3 last=1 start=7 end=9
            > assign v=3 term=3 leader=1 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 1, flushed 2, end 3; leads 3 from 3
            > assign v=3 term=2 leader=1 replicas=1,2,3 isr=1
              readers see 0 ≤ hw 1, flushed 2, end 3; leads 2 from 3
            > assign v=3 term=3 leader=2 replicas=1,2,3 isr=1,2
              readers see 0 ≤ hw 1, flushed 2, end 3; follows 2 in 3, waits for its flush
            > assign v=3 term=3 leader=none replicas=1,2,3 isr=2
              readers see 0 ≤ hw 1, flushed 2, end 3; does not lead
            > assign v=2 term=2 leader=3 replicas=1,2,3 isr=3
            > configure os
            > session over
            > wait 31
            > retain
            > swap s
              remove 1 segments
              s: swapped: Ok(())
              readers see 0 ≤ hw 1, flushed 2, end 3; does not lead
            > directory fails
              the directory has failed
              readers see 0 ≤ hw 1, flushed 2, end 3; offline
        "#]],
    );
}

#[test]
fn offline() {
    check(
        &table("offline"),
        &expect![[r#"
            > produce p all
              p: refused: the log directory is offline after a failed write or flush
            > flushed
            > flush fails
            > checkpointed
            > checkpoint fails
            > delete d before=1
              d: not deleted: the log directory is offline after a failed write or flush
            > fetch from=2 term=2 at=3 last=1
              broker 2: refused: the log directory is offline after a failed write or flush
            > fetch from=2 term=2 at=4 last=1
              broker 2: refused: the log directory is offline after a failed write or flush
            > fetch from=2 term=2 at=9 last=-
              broker 2: refused: the log directory is offline after a failed write or flush
            > fetch from=2 term=1 at=3 last=1
              broker 2: refused: the log directory is offline after a failed write or flush
            > fetch from=2 term=3 at=3 last=1
              broker 2: refused: the log directory is offline after a failed write or flush
            > fetch from=9 term=2 at=3 last=1
              broker 9: refused: the log directory is offline after a failed write or flush
            > accepted on=2 v=3 isr=1
            > refused on=2 ineligible
            > records term=2 at=3 last=1 hw=3 start=0 3@2
            > records term=2 at=2 last=1 hw=3 start=0 2@2
            > diverging term=2 at=3 last=1 common=1 end=2
            > out-of-range term=2 at=3 last=1 start=7 end=9
            > assign v=3 term=3 leader=1 replicas=1,2,3 isr=1,2
            > assign v=3 term=2 leader=1 replicas=1,2,3 isr=1
            > assign v=3 term=3 leader=2 replicas=1,2,3 isr=1,2
            > assign v=3 term=3 leader=none replicas=1,2,3 isr=2
            > assign v=2 term=2 leader=3 replicas=1,2,3 isr=3
            > configure os
            > session over
            > wait 31
            > retain
            > swap s
              s: swapped: Err(Poisoned)
            > directory fails
        "#]],
    );
}
