//! `cargo xtask image`: the container's image without a container runtime.
//!
//! The build stage's commands are those of the Dockerfile, word for word; so are the files that its last stage copies, the
//! user, the command, the health check and the signal that stops it. The broker runs in a file tree with nothing else in it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use it::broker::free_port;
use it::clients::finish;
use it::{project, wait};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use xtask::process;

/// Where the build stage puts what the last one takes.
const STAGED: &str = "/image";

/// Builds the image's file tree under `target/image`, and proves it.
pub(crate) fn run() -> anyhow::Result<()> {
    ensure!(geteuid().is_root(), "chroot and another user need root");
    let image = Image::read()?;
    image.build()?;
    let tree = image.tree()?;
    check_static(&tree.join("ottla"))?;
    image.smoke(&tree)?;
    eprintln!("{}: built, and it serves", tree.display());
    Ok(())
}

/// What the Dockerfile says.
struct Image {
    /// The build stage's `RUN`s in the source tree.
    commands: Vec<String>,
    /// From the build stage to the image, with the owner.
    copies: Vec<Copied>,
    user: (u32, u32),
    entrypoint: Vec<String>,
    command: Vec<String>,
    health: Vec<String>,
}

impl Image {
    fn read() -> anyhow::Result<Self> {
        let file = project::root().join("deploy/docker/Dockerfile");
        let text = std::fs::read_to_string(&file)?;
        let instructions = instructions(&text);
        let mut stages = instructions.split(|(word, _)| word == "FROM").skip(1);
        let (Some(build), Some(last), None) = (stages.next(), stages.next(), stages.next()) else {
            bail!("{}: expected a build stage and the image's", file.display());
        };
        // What comes before the sources prepares the build stage's base image, which this machine is in the place of.
        let in_source = build.iter().skip_while(|(word, _)| word != "COPY");
        let commands = in_source.filter(|(word, _)| word == "RUN").map(|(_, rest)| rest.clone()).collect();
        let one = |name: &str| {
            let found = last.iter().find(|(word, _)| word == name);
            found.map(|(_, rest)| rest.as_str()).with_context(|| format!("no {name} in the last stage"))
        };
        let copies = last.iter().filter(|(word, _)| word == "COPY").map(|(_, rest)| copied(rest));
        let (_, health) = one("HEALTHCHECK")?.split_once("CMD ").context("HEALTHCHECK without CMD")?;
        ensure!(one("STOPSIGNAL")? == "SIGTERM", "another STOPSIGNAL than is sent here");
        Ok(Self {
            commands,
            copies: copies.collect::<anyhow::Result<_>>()?,
            user: owner(one("USER")?)?,
            entrypoint: serde_json::from_str(one("ENTRYPOINT")?)?,
            command: serde_json::from_str(one("CMD")?)?,
            health: serde_json::from_str(health)?,
        })
    }

    /// Runs the build stage's commands in this source tree; what they put under `/image` goes below `target`.
    fn build(&self) -> anyhow::Result<()> {
        let staged = staged();
        if staged.exists() {
            std::fs::remove_dir_all(&staged)?;
        }
        let words = staged.to_str().context("a path that a shell can take")?;
        for command in &self.commands {
            let command = command.replace(STAGED, words);
            eprintln!("{command}");
            let mut shell = Command::new("sh");
            shell.args(["-ec", &command]).current_dir(project::root());
            // The commands name cargo's own folder.
            process::run(shell.env("CARGO_TARGET_DIR", project::root().join("target")))?;
        }
        Ok(())
    }

    /// The image's file tree.
    fn tree(&self) -> anyhow::Result<PathBuf> {
        let tree = project::target().join("image/tree");
        if tree.exists() {
            std::fs::remove_dir_all(&tree)?;
        }
        std::fs::create_dir_all(&tree)?;
        for (from, to, owner) in &self.copies {
            let from =
                staged().join(from.strip_prefix(STAGED).context("COPY from elsewhere")?.trim_matches('/'));
            let to = tree.join(to.trim_matches('/'));
            process::run(Command::new("cp").args(["-r", "--preserve=mode"]).arg(&from).arg(&to))?;
            let (user, group) = owner.unwrap_or((0, 0));
            std::os::unix::fs::chown(&to, Some(user), Some(group))?;
        }
        Ok(tree)
    }

    /// Serves, is healthy, takes and gives a record, keeps it over a restart, and stops when told.
    fn smoke(&self, tree: &Path) -> anyhow::Result<()> {
        let (kafka, api) = (free_port(), free_port());
        let listeners = format!("listeners=PLAINTEXT://127.0.0.1:{kafka},API://127.0.0.1:{api}");
        let inside = |words: &[String]| {
            let mut command = Command::new("chroot");
            command.arg(format!("--userspec={}:{}", self.user.0, self.user.1)).arg(tree).args(words);
            command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
            command.env("OTTLA_BROKER", format!("127.0.0.1:{api}"));
            command
        };
        let ottla = |words: &[&str]| {
            let mut command = inside(&self.entrypoint);
            command.args(words);
            command
        };
        for round in 0..2 {
            let mut serve = inside(&[&self.entrypoint[..], &self.command[..]].concat());
            // The image's own addresses are those of its container.
            let broker = serve.args(["--set", &listeners]).stdin(Stdio::null()).spawn()?;
            let mut broker = Running(broker);
            wait::until("the health check to pass", Duration::from_secs(30), || {
                Ok(inside(&self.health)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()?
                    .success()
                    .then_some(()))
            })?;
            if round == 0 {
                process::run(&mut ottla(&["topic", "create", "smoke"]))?;
                finish(ottla(&["produce", "smoke"]), b"from the image\n")?;
            }
            let read = finish(ottla(&["consume", "smoke", "--from", "start", "--exit-at-end"]), &[])?;
            ensure!(read == b"from the image\n", "round {round}: {}", String::from_utf8_lossy(&read));
            broker.stop()?;
        }
        let data = std::fs::metadata(tree.join("data/meta.properties"))?;
        ensure!((data.uid(), data.gid()) == self.user, "the data belongs to {}:{}", data.uid(), data.gid());
        Ok(())
    }
}

/// A broker that does not outlive us.
struct Running(Child);

impl Running {
    fn stop(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.0.id())?).context("not 0")?;
        kill_process(pid, Signal::TERM)?;
        let status = wait::until("the broker to stop", Duration::from_secs(30), || Ok(self.0.try_wait()?))?;
        ensure!(status.success(), "the broker ended with {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn staged() -> PathBuf {
    project::target().join("image/staged")
}

/// No interpreter and no shared library: nothing of the system it runs on.
fn check_static(binary: &Path) -> anyhow::Result<()> {
    ensure!(binary.metadata()?.permissions().mode() & 0o111 == 0o111, "not everybody may run it");
    let headers = process::capture(
        Command::new("readelf").args(["--program-headers", "--dynamic", "--wide"]).arg(binary),
    )?;
    ensure!(
        !headers.contains("INTERP") && !headers.contains("(NEEDED)"),
        "{} is not static: {headers}",
        binary.display()
    );
    Ok(())
}

/// A Dockerfile's instructions: the word, and the rest with its lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = |line: &str| {
        let (word, rest) = line.trim().split_once(' ')?;
        Some((word.to_owned(), rest.trim().to_owned()))
    };
    joined.lines().filter_map(split).collect()
}

/// From where, to where, and whose it is there.
type Copied = (String, String, Option<(u32, u32)>);

fn copied(rest: &str) -> anyhow::Result<Copied> {
    let mut words = rest.split_whitespace().peekable();
    let mut to_whom = None;
    while let Some(flag) = words.next_if(|word| word.starts_with("--")) {
        if let Some(chown) = flag.strip_prefix("--chown=") {
            to_whom = Some(owner(chown)?);
        }
    }
    let (Some(from), Some(to), None) = (words.next(), words.next(), words.next()) else {
        bail!("COPY {rest}: expected one source");
    };
    Ok((from.to_owned(), to.to_owned(), to_whom))
}

fn owner(text: &str) -> anyhow::Result<(u32, u32)> {
    let (user, group) = text.split_once(':').with_context(|| format!("no USER:GROUP: {text}"))?;
    Ok((user.parse()?, group.parse()?))
}
