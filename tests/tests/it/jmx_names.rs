//! The JMX names in docs/metrics.md are Kafka's: a running Kafka 4.3 has every one of them.

use std::fs;

use it::batch::Batch;
use it::broker::{Kind, Spec};
use it::project;
use it::raw::{api, error, fetch_body, frame};
use it::toolbox::Toolbox;
use it::tools::{self, Tool};

/// Names that Kafka registers only while it opens logs after a crash, with the jar and the class that does.
const WHILE_RECOVERING: (&str, &str, &str) =
    ("remainingLogsToRecover", "kafka_2.13", "kafka/log/LogManager.class");

#[test]
fn a_running_kafka_has_every_name_in_the_document() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("the document is Ottla's");
    }
    if !tools::require(&[Tool::Kafka]) {
        return;
    }
    let mut kafka = Spec { kind: Kind::Kafka, ..Spec::under_test() }.start();
    let mut connection = kafka.connect();
    connection.create_topic("t", 1, &[]).unwrap();
    // Meters of a topic are there from its first request on.
    let batch = Batch::of_values(["v"]).bytes();
    assert_eq!(connection.produce("t", 0, -1, &batch).unwrap().0, error::NONE);
    use std::io::Write as _;
    connection.stream.write_all(&frame(api::FETCH, 11, 7, &fetch_body("t", &[(0, 0)], 0, 1 << 20))).unwrap();
    connection.receive().unwrap();

    let document = fs::read_to_string(project::root().join("docs/metrics.md")).unwrap();
    let names: Vec<&str> = document.lines().filter_map(jmx_column).collect();
    assert!(names.len() > 40, "{names:?}");
    let asked: Vec<String> = names.iter().flat_map(|name| alternatives(name)).collect();
    let input: String = asked.iter().map(|name| format!("{}\n", name.replace(", ", "\t"))).collect();
    let mut tools = Toolbox::start();
    let said = tools.run_with_input("Mbeans", &[&kafka.pid().to_string()], input.as_bytes()).success();
    let (transient, jar, class) = WHILE_RECOVERING;
    let missing: Vec<&str> = said.lines().filter(|line| !line.contains(transient)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(asked.iter().any(|name| name.contains(transient)));
    assert!(class_has(jar, class, transient), "{class} has no {transient}");

    // The judge can say no.
    let said = tools.run_with_input(
        "Mbeans",
        &[&kafka.pid().to_string()],
        b"kafka.server:type=Nothing,*\njava.lang:type=Memory\tNothing\n",
    );
    let said = said.success();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        ["no MBean kafka.server:type=Nothing,*", "no attribute Nothing of java.lang:type=Memory"]
    );
    kafka.terminate();
}

/// The last cell of a metric's row, if it has a name in it.
fn jmx_column(line: &str) -> Option<&str> {
    let row = line.strip_prefix("| `ottla_").or_else(|| line.strip_prefix("| `process_"))?;
    let (_, last) = row.strip_suffix(" |")?.rsplit_once("| ")?;
    Some(last.strip_prefix('`')?.strip_suffix('`')?).filter(|name| name.contains(":type="))
}

/// `a{b,c}d` is `abd` and `acd`. A meter that a topic gets with its first failure is looked for among those of all topics.
fn alternatives(name: &str) -> Vec<String> {
    let name = match name.contains("=Failed") {
        true => name.replace(",topic=*", ""),
        false => name.to_owned(),
    };
    let Some((head, rest)) = name.split_once('{') else { return vec![name] };
    let (choices, tail) = rest.split_once('}').unwrap();
    choices.split(',').map(|choice| format!("{head}{choice}{tail}")).collect()
}

/// Whether a text stands among a class's constants.
fn class_has(jar: &str, class: &str, text: &str) -> bool {
    let jar = tools::kafka_jars().join(format!("{jar}-{}.jar", tools::KAFKA_VERSION));
    let output = std::process::Command::new("unzip").arg("-p").arg(jar).arg(class).output();
    let bytes = output.expect("unzip is installed").stdout;
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
