//! Crashes every story once and says what it covered, or what broke: what `cargo xtask sim --mutants` runs on a mutant.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells what it found")]

use std::process::ExitCode;

use ottla_sim::campaign::{self, DEPTH, all_stories};

fn main() -> ExitCode {
    match campaign::run(&all_stories(0..2, DEPTH)) {
        Ok(covered) => {
            for (story, coverage) in covered {
                println!("{story}: {} crash points", coverage.points.len());
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
