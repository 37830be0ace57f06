//! Runs seeds of random faults and crashes every story once, and says what broke: what `cargo xtask sim --mutants` runs on
//! a mutant. With two numbers, only the random runs from the one seed up to the other.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells what it found")]

use std::error::Error;
use std::process::ExitCode;

use ottla_sim::campaign::{self, DEPTH, all_stories};

/// Random runs before the stories: they are quick, and find most.
const SEEDS: u64 = 300;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|number| number.parse().ok()).collect();
    let judged = match numbers.as_slice() {
        [from, to] => storms(*from..*to),
        _ => storms(0..SEEDS).and_then(|()| stories()),
    };
    match judged {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn storms(seeds: std::ops::Range<u64>) -> Result<(), Box<dyn Error>> {
    println!("{:?}", campaign::storms(seeds)?);
    Ok(())
}

fn stories() -> Result<(), Box<dyn Error>> {
    for (story, coverage) in campaign::run(&all_stories(0..1, DEPTH))? {
        println!("{story}: {} crash points", coverage.points.len());
    }
    Ok(())
}
