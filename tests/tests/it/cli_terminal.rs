//! The command line in a real terminal (tmux): progress shows there and not in a pipe, Ctrl-C ends at once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use it::broker::{Broker, Kind};
use it::clients::kcat_with_input;
use it::project::{self, Profile};
use it::tools::{self, Tool};
use it::wait;
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
        let output = tools::tmux().arg("-S").arg(&socket).args(arguments).output().unwrap();
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

    /// Presses Ctrl-C while `ottla` runs, and returns how long it took until that process was gone, with the exit code that the
    /// shell says.
    fn interrupt(&self) -> (Duration, String) {
        let process = self.running();
        let mut keyboard = Keyboard::attach(self);
        let pressed = Instant::now();
        keyboard.press("C-c");
        wait::until("the process to end", Duration::from_secs(30), || Ok(has_ended(process).then_some(())))
            .unwrap();
        let took = pressed.elapsed();
        self.until_shown("the shell to be back", ends_with_prompt);
        self.enter("echo code=$?.");
        let screen = self.until_shown("the exit code", |screen| {
            screen.contains("code=") && screen.contains("code=$?.") && screen.matches("code=").count() > 1
        });
        let code = screen.rsplit("code=").next().unwrap().split('.').next().unwrap().to_owned();
        self.enter("clear");
        (took, code)
    }

    /// Whether `ottla` has got so far that Ctrl-C is an order to it, not its end.
    fn catches_ctrl_c(&self) -> bool {
        const SIGINT: u32 = 2;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        caught.is_some_and(|mask| mask >> (SIGINT - 1) & 1 == 1)
    }

    /// The `ottla` of this terminal.
    fn running(&self) -> u32 {
        let shell: u32 = self.tmux(&["display-message", "-p", "#{pane_pid}"]).trim().parse().unwrap();
        let session = stat(shell).expect("the shell runs").session;
        wait::until("ottla to run in the terminal", Duration::from_secs(30), || {
            let pids = std::fs::read_dir("/proc")?
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            let mut pids = pids.filter(|pid| {
                stat(*pid)
                    .is_some_and(|stat| stat.session == session && stat.name == "ottla" && stat.state != 'Z')
            });
            Ok(pids.next())
        })
        .unwrap()
    }
}

/// A control client of tmux: its keys take no new process, so that what is measured is not tmux.
struct Keyboard {
    client: Child,
    said: BufReader<ChildStdout>,
}

impl Keyboard {
    fn attach(terminal: &Terminal) -> Self {
        let mut command = tools::tmux();
        command.arg("-S").arg(terminal.folder.path().join("socket")).args([
            "-C",
            "attach",
            "-f",
            "ignore-size",
        ]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(client.stdout.take().unwrap());
        let mut keyboard = Self { client, said };
        // It is attached when it answers.
        keyboard.tell("display-message -p attached");
        keyboard
    }

    fn press(&mut self, key: &str) {
        self.tell(&format!("send-keys {key}"));
    }

    /// Has tmux do something, and waits until it says that it did.
    fn tell(&mut self, command: &str) {
        writeln!(self.client.stdin.as_mut().unwrap(), "{command}").unwrap();
        let ended = |line: &str| line.starts_with("%end") || line.starts_with("%error");
        let line = self.said.by_ref().lines().map(Result::unwrap).find(|line| ended(line)).unwrap();
        assert!(line.starts_with("%end"), "{command}: {line}");
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// What `/proc/PID/stat` says of a process.
struct Stat {
    name: String,
    state: char,
    session: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = (text.split_once('(')?.1).rsplit_once(')')?;
    // State, parent, process group, session.
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat { name: name.to_owned(), state, session: fields.nth(2)?.parse().ok()? })
}

fn has_ended(pid: u32) -> bool {
    stat(pid).is_none_or(|stat| stat.state == 'Z')
}

fn ends_with_prompt(screen: &str) -> bool {
    screen.trim_end().lines().last().is_some_and(|line| line.trim_end().ends_with("ready$"))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.folder.path().join("socket");
        let _ = tools::tmux().arg("-S").arg(socket).arg("kill-server").output();
    }
}

/// What Ctrl-C promises.
const INTERRUPT_WITHIN: Duration = Duration::from_millis(200);
/// Tries of which one must keep it: other tests run on this machine too, and they only add.
const TRIES: usize = 3;

/// Has a command begin, interrupts it, and holds it to the promise.
fn ends_at_once(terminal: &Terminal, command: &str, begun: impl Fn(&str) -> bool, expected_code: &str) {
    let mut fastest = Duration::MAX;
    for _ in 0..TRIES {
        terminal.enter(&format!("clear; {command}"));
        terminal.until_shown(command, &begun);
        let (took, code) = terminal.interrupt();
        assert_eq!(code, expected_code, "{command}");
        fastest = fastest.min(took);
        if fastest < INTERRUPT_WITHIN {
            break;
        }
    }
    eprintln!("Ctrl-C to the end of `{command}`: {fastest:?}");
    assert!(fastest < INTERRUPT_WITHIN, "{command} took {fastest:?} to end");
}

#[test]
fn progress_is_for_people_and_ctrl_c_ends_at_once() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("these are Ottla's own commands");
    }
    if !tools::require(&[Tool::Tmux]) {
        return;
    }
    let broker = Broker::start();
    let terminal = Terminal::start(&broker);

    // A tail: it ends by Ctrl-C, as it should, and what came was shown before.
    terminal.enter("ottla topic create greetings -p 1 && echo hello | ottla produce greetings");
    terminal
        .until_shown("the topic", |screen| screen.contains("greetings created") && ends_with_prompt(screen));
    let has_hello = |screen: &str| screen.lines().any(|line| line.trim_end() == "hello");
    ends_at_once(&terminal, "ottla consume greetings --from start", has_hello, "0");

    // Long work: a bar with rate and time left, which goes with it.
    let has_bar = |screen: &str| {
        screen.contains("left")
            && screen.contains("records")
            && screen.contains("% ")
            && screen.contains("/s")
    };
    ends_at_once(&terminal, "ottla bench produce -n 100000000 -s 1000 --rate 20000", has_bar, "1");

    // Publishing without an end: from a pipe, and from the keyboard.
    let has_bytes = |screen: &str| screen.contains("/s");
    ends_at_once(&terminal, "yes | ottla produce greetings", has_bytes, "1");
    ends_at_once(&terminal, "echo type:; ottla produce greetings", |_| terminal.catches_ctrl_c(), "1");

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

#[test]
fn ctrl_c_ends_an_import_at_once() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("these are Ottla's own commands");
    }
    if !tools::require(&[Tool::Tmux, Tool::Kafka, Tool::Kcat]) {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("kafka");
    let mut kafka = crate::import::kafka(&source);
    kafka.connect().create_topic("large", 1, &[]).unwrap();
    // Enough that an import takes a while.
    let line = format!("{}\n", "0123456789".repeat(1_000));
    let lines = line.repeat(40_000);
    kcat_with_input(&["-P", "-b", &kafka.address(), "-t", "large", "-p", "0"], lines.as_bytes()).unwrap();
    kafka.terminate();

    let broker = Broker::start();
    let terminal = Terminal::start(&broker);
    // Each try into a directory of its own.
    let targets = scratch.path().join("ottla-$(date +%N)");
    let command = format!("ottla log import {} --data-dir {}", source.display(), targets.display());
    let copies = |screen: &str| screen.contains("large") && screen.contains("/s");
    ends_at_once(&terminal, &command, copies, "130");
}

fn write_lines(path: &Path, lines: usize) {
    let text: String = (0..lines).map(|line| format!("line {line}\n")).collect();
    std::fs::write(path, text).unwrap();
}
