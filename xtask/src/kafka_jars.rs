//! Apache Kafka's jars with everything they need, resolved by Maven into `target/tools`.

use std::path::PathBuf;
use std::process::Command;

use it::tools::KAFKA_VERSION;

use crate::process;

/// The folder of Kafka's jars; resolves them on the first call. `kafka_2.13` brings the broker with all its coordinators,
/// `kafka-tools` the command-line tools.
pub fn kafka_jars() -> anyhow::Result<PathBuf> {
    let folder = it::tools::kafka_jars();
    let complete = folder.join("complete");
    if complete.exists() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&folder)?;
    let pom = folder.join("pom.xml");
    std::fs::write(&pom, project_file())?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", "--file"]).arg(&pom).arg("dependency:copy-dependencies");
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    process::run(&mut maven)?;
    std::fs::write(complete, KAFKA_VERSION)?;
    Ok(folder)
}

fn project_file() -> String {
    let dependency = |artifact: &str| {
        format!(
            "<dependency><groupId>org.apache.kafka</groupId><artifactId>{artifact}</artifactId>\
             <version>{KAFKA_VERSION}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>ottla</groupId><artifactId>tools</artifactId><version>1</version><packaging>pom</packaging>\n\
         <dependencies>\n{}{}</dependencies></project>\n",
        dependency("kafka_2.13"),
        dependency("kafka-tools")
    )
}
