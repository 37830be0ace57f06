//! The command line in a real terminal (tmux): progress shows there and not in a pipe, Ctrl-C ends at once.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use it::broker::{Broker, Kind};
use it::project::{self, Profile};
use it::{tools, wait};
use tempfile::TempDir;

/// A tmux server of our own with one shell.
struct Terminal {
    folder: TempDir,
}

impl Terminal {
    fn start(broker: &Broker) -> Self {
        let terminal = Self { folder: tempfile::tempdir().unwrap() };
        let ottla = project::ottla(Profile::Dev).unwrap();
        let binaries = ottla.parent().unwrap().display().to_string();
        let environment =
            format!("env PATH={binaries}:$PATH OTTLA_BROKER={} PS1='ready$ ' sh", broker.api_address());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", &environment]);
        terminal.until_shown("a prompt", |screen| screen.contains("ready$"));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.folder.path().join("socket");
        let output = Command::new("tmux").arg("-S").arg(&socket).args(arguments).output().unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    fn until_shown(&self, what: &str, shown: impl Fn(&str) -> bool) -> String {
        wait::until(what, Duration::from_secs(30), || {
            let screen = self.screen();
            Ok(shown(&screen).then_some(screen))
        })
        .unwrap()
    }

    /// Presses Ctrl-C, and returns how long it took until the shell was back, with the exit code it says.
    fn interrupt(&self) -> (Duration, String) {
        let pressed = Instant::now();
        self.tmux(&["send-keys", "C-c"]);
        self.until_shown("the shell to be back", ends_with_prompt);
        let took = pressed.elapsed();
        self.enter("echo code=$?.");
        let screen = self.until_shown("the exit code", |screen| {
            screen.contains("code=") && screen.contains("code=$?.") && screen.matches("code=").count() > 1
        });
        let code = screen.rsplit("code=").next().unwrap().split('.').next().unwrap().to_owned();
        self.enter("clear");
        (took, code)
    }
}

fn ends_with_prompt(screen: &str) -> bool {
    screen.trim_end().lines().last().is_some_and(|line| line.trim_end().ends_with("ready$"))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.folder.path().join("socket");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}

/// Ctrl-C promises 200 ms; the rest is for tmux and a machine that also runs other tests.
const INTERRUPT_WITHIN: Duration = Duration::from_millis(200 + 800);

#[test]
fn progress_is_for_people_and_ctrl_c_ends_at_once() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("these are Ottla's own commands");
    }
    if tools::on_path("tmux").is_none() {
        return tools::skip("tmux is not installed");
    }
    let broker = Broker::start();
    let terminal = Terminal::start(&broker);

    // A tail: it ends by Ctrl-C, as it should, and what came was shown before.
    terminal.enter("ottla topic create greetings -p 1 && echo hello | ottla produce greetings");
    terminal
        .until_shown("the topic", |screen| screen.contains("greetings created") && ends_with_prompt(screen));
    terminal.enter("clear; ottla consume greetings --from start");
    terminal.until_shown("the record", |screen| screen.lines().any(|line| line.trim_end() == "hello"));
    let (took, code) = terminal.interrupt();
    assert_eq!(code, "0", "a tail has no other end");
    assert!(took < INTERRUPT_WITHIN, "the tail took {took:?} to end");

    // Long work: a bar with rate and time left, which goes with it.
    terminal.enter("ottla bench produce -n 100000000 -s 1000 --rate 20000");
    let screen =
        terminal.until_shown("a bar", |screen| screen.contains("left") && screen.contains("records"));
    assert!(screen.contains("% ") && screen.contains("/s"), "{screen}");
    let (took, code) = terminal.interrupt();
    assert_eq!(code, "1", "it was not done");
    assert!(took < INTERRUPT_WITHIN, "the load took {took:?} to end");

    // The same in a pipe says nothing but the answer.
    let piped = Command::new(project::ottla(Profile::Dev).unwrap())
        .args(["bench", "produce", "-n", "2000"])
        .env("OTTLA_BROKER", broker.api_address())
        .output()
        .unwrap();
    assert!(piped.status.success() && piped.stderr.is_empty(), "{piped:?}");

    // A file being published shows how far it is.
    let file = terminal.folder.path().join("lines");
    write_lines(&file, 400_000);
    terminal.enter(&format!("clear; ottla produce greetings --file {} -z gzip", file.display()));
    terminal.until_shown("the summary", |screen| screen.contains("400000 records acknowledged by greetings"));
}

fn write_lines(path: &Path, lines: usize) {
    let text: String = (0..lines).map(|line| format!("line {line}\n")).collect();
    std::fs::write(path, text).unwrap();
}
