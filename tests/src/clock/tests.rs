use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Clocks;
use crate::{project, tools};

/// By how many seconds a process with this environment is ahead of us.
fn ahead(environment: &[(String, String)]) -> i64 {
    let mut date = Command::new("date");
    let said = date.arg("+%s").envs(environment.iter().cloned()).output().expect("date").stdout;
    let theirs: i64 = String::from_utf8(said).expect("text").trim().parse().expect("a number");
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    theirs - i64::try_from(ours).expect("not that late")
}

#[test]
fn a_clock_jumps_for_the_process_that_has_it() {
    let clocks = match Clocks::create(&project::target()) {
        Ok(clocks) => clocks,
        Err(error) => return tools::skip(&format!("{error:#}")),
    };
    let (one, other) = (clocks.environment(1).unwrap(), clocks.environment(2).unwrap());
    for jump in [3_600, -86_400, 0] {
        clocks.jump(1, jump).unwrap();
        assert!((jump - 1..=jump + 1).contains(&ahead(&one)));
        assert!((-1..=1).contains(&ahead(&other)));
    }
}
