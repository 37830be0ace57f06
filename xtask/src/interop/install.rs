//! Installs the clients that only `cargo xtask interop` needs, from their registries by their lock files, into `target/tools/interop`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use it::interop::client::Client;
use it::tools::{Tool, on_path};

use super::cells::Story;
use xtask::process;

/// Brings what a story needs; at once when it is there.
pub(crate) fn install(story: Story) -> anyhow::Result<()> {
    let client = match story {
        Story::Share(client, _) => client,
        Story::Tool(_) => Client::Java,
    };
    if let Some(tool) = client.tool() {
        return present(tool);
    }
    std::fs::create_dir_all(client.installed())?;
    match client {
        Client::KafkaJs | Client::ConfluentKafkaJavascript => install_node(client),
        Client::FranzGo | Client::Sarama | Client::KafkaGo => build_go(client),
        Client::Rdkafka => build_rust(client),
        Client::Java | Client::ConfluentKafka | Client::KafkaPython | Client::Aiokafka | Client::Kcat => {
            Ok(())
        }
    }
}

/// `tools::install` has said why it is not, if it is not.
fn present(tool: Tool) -> anyhow::Result<()> {
    ensure!(tool.is_present(), "{tool:?} is missing");
    Ok(())
}

/// Into a folder of its own, where the manifest is copied: nothing is written into the source tree.
fn install_node(client: Client) -> anyhow::Result<()> {
    require("npm")?;
    let folder = client.installed();
    let is_current = same(&folder.join("complete"), &client.source().join("package-lock.json"));
    if is_current {
        return Ok(());
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(client.source().join(file), folder.join(file))?;
    }
    let mut npm = Command::new("npm");
    // Where no prebuilt addon can be downloaded, librdkafka is built as the package carries it, without the libraries that
    // it would download for TLS and compression.
    npm.env("CKJS_LINKING", "dynamic");
    process::run(npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))?;
    std::fs::copy(client.source().join("package-lock.json"), folder.join("complete"))?;
    Ok(())
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((std::fs::read(one), std::fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Go's own cache knows what is up to date.
fn build_go(client: Client) -> anyhow::Result<()> {
    require("go")?;
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(client.installed().join("member")).arg(".").current_dir(client.source());
    process::run(&mut go)
}

fn build_rust(client: Client) -> anyhow::Result<()> {
    let mut cargo = it::project::cargo();
    cargo.args(["build", "--quiet", "--locked", "--manifest-path"]).arg(client.source().join("Cargo.toml"));
    process::run(cargo.arg("--target-dir").arg(client.installed()))
}

fn require(program: &str) -> anyhow::Result<()> {
    on_path(program).map(drop).with_context(|| format!("{program} is not installed"))
}
