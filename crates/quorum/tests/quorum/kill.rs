//! A process that is killed loses nothing it acknowledged: this test binary runs itself as that process.

use std::io::{BufRead, BufReader};
use std::process::{Command as Process, Stdio};

use super::*;

const DIR: &str = "OTTLA_QUORUM_KILL_DIR";
const FROM: &str = "OTTLA_QUORUM_KILL_FROM";

/// The process that is killed: proposes numbers and prints each when it is acknowledged.
#[tokio::test]
async fn the_process_that_is_killed() {
    let (Ok(dir), Ok(from)) = (std::env::var(DIR), std::env::var(FROM)) else { return };
    let quorum = start(Path::new(&dir)).await;
    println!("\nready {}", value(&quorum, "g").unwrap_or(0));
    for n in from.parse::<u64>().unwrap().. {
        ok(&quorum, set("g", n)).await;
        println!("\nacknowledged {n}");
    }
}

#[test]
fn everything_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut next = 45_000;
    for round in 0..20 {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::the_process_that_is_killed", "--nocapture"])
            .env(DIR, dir.path())
            .env(FROM, next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = 0;
        // Far enough to pass a snapshot now and then; a different place each time.
        let enough = 40 + 37 * round;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(found) = line.strip_prefix("ready ") {
                let found: u64 = found.parse().unwrap();
                // The command in flight when it was killed may have been applied or not.
                assert!(found == acknowledged || found == acknowledged + 1, "{found} after {acknowledged}");
            }
            if let Some(n) = line.strip_prefix("acknowledged ") {
                acknowledged = n.parse().unwrap();
                seen += 1;
            }
            if seen == enough {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= enough, "the process ended by itself after {seen} acknowledgements");
        next = acknowledged + 1;
    }
}
