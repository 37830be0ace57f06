//! The Grafana dashboard and the alerts ask for metrics that exist, by labels they have, with functions that fit their type.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use ottla_node::metrics::{Family, Kind, catalogue};
use serde_json::Value;

const DASHBOARD: &str = include_str!("../../../deploy/grafana/ottla.json");
const ALERTS: &str = include_str!("../../../deploy/prometheus/ottla-alerts.yml");

/// Labels that Prometheus adds to every sample.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];

/// Functions over a range of a counter.
const OF_COUNTERS: [&str; 3] = ["rate", "irate", "increase"];

/// One mention of a metric in an expression.
#[derive(Debug)]
struct Mention {
    name: String,
    /// Labels it is selected by, and those that the aggregations around it keep.
    labels: Vec<String>,
    /// Functions around it, the innermost last.
    functions: Vec<String>,
    has_range: bool,
}

#[test]
fn every_expression_fits_the_catalogue() {
    let mut faults = Vec::new();
    for expression in expressions().into_iter().chain(alerts()) {
        let mentions = mentions(&expression);
        if mentions.is_empty() {
            faults.push(format!("nothing of ours in {expression}"));
        }
        for mention in mentions {
            faults.extend(check(&mention).map(|fault| format!("{}: {fault} in {expression}", mention.name)));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_variables_are_filled_from_labels_that_exist() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let queries: Vec<_> =
        variables.iter().filter_map(|variable| variable["query"]["query"].as_str()).collect();
    assert_eq!(queries.len(), 4);
    for query in queries {
        let (_, label) = query.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
        for Mention { name, labels, .. } in mentions(query) {
            let (family, _) = find(&name).unwrap_or_else(|| panic!("{name} does not exist"));
            let known = |label: &str| family.labels.contains(&label) || OF_THE_SCRAPE.contains(&label);
            assert!(known(label) && labels.iter().all(|label| known(label)), "{query}");
        }
    }
}

#[test]
fn every_family_but_one_has_a_panel() {
    let shown: BTreeSet<_> =
        expressions().iter().flat_map(|text| mentions(text)).map(|mention| mention.name).collect();
    let shown =
        |family: &&Family| shown.iter().any(|name| find(name).is_some_and(|(found, _)| found == *family));
    let missing: Vec<_> =
        catalogue::families().filter(|family| !shown(family)).map(|family| family.name).collect();
    // Address space says nothing that an operator could act on.
    assert_eq!(missing, ["process_virtual_memory_bytes"]);
}

#[test]
fn a_wrong_expression_is_found() {
    for (expression, fault) in [
        ("sum(ottla_unknown)", "does not exist"),
        ("sum(rate(ottla_partitions[5m]))", "is a gauge"),
        ("sum(ottla_requests_total)", "is a counter"),
        ("sum by (client) (ottla_partitions)", "has no label client"),
        ("ottla_partitions{topic=~\"$topic\"}", "has no label topic"),
        ("rate(ottla_flush_duration_seconds[5m])", "is a histogram"),
        (
            "histogram_quantile(0.9, sum by (api) (rate(ottla_request_duration_seconds_bucket[5m])))",
            "keeps no le",
        ),
        ("histogram_quantile(0.9, rate(ottla_requests_total[5m]))", "is no bucket"),
    ] {
        let faults: Vec<_> = mentions(expression).iter().flat_map(check).collect();
        assert!(faults.iter().any(|found| found.contains(fault)), "{expression}: {faults:?}");
    }
}

fn check(mention: &Mention) -> impl Iterator<Item = String> {
    let mut faults = Vec::new();
    let Some((family, part)) = find(&mention.name) else {
        return vec!["it does not exist".to_owned()].into_iter();
    };
    let inner = mention.functions.last().map_or("", String::as_str);
    let over_range = OF_COUNTERS.contains(&inner);
    match (family.kind, part) {
        (Kind::Gauge, _) if over_range => faults.push("it is a gauge, whose rate means nothing".to_owned()),
        (Kind::Counter, _) if !over_range => faults.push("it is a counter, to be read as a rate".to_owned()),
        (Kind::Histogram, None) => faults.push("it is a histogram, of which a part must be named".to_owned()),
        (Kind::Histogram, Some(_)) if !over_range => {
            faults.push("it is part of a histogram, to be read as a rate".to_owned())
        }
        _ => {}
    }
    if over_range != mention.has_range {
        faults.push("a range belongs to a rate, and to nothing else".to_owned());
    }
    if mention.functions.iter().any(|function| function == "histogram_quantile") {
        if part != Some("_bucket") {
            faults.push("it is no bucket".to_owned());
        }
        if mention.functions.iter().any(|function| function == "sum")
            && !mention.labels.iter().any(|label| label == "le")
        {
            faults.push("its sum keeps no le".to_owned());
        }
    }
    for label in &mention.labels {
        let known = family.labels.contains(&label.as_str())
            || OF_THE_SCRAPE.contains(&label.as_str())
            || label == "le" && part == Some("_bucket");
        if !known {
            faults.push(format!("it has no label {label}"));
        }
    }
    faults.into_iter()
}

/// The family that a name belongs to, and which part of a histogram it names.
fn find(name: &str) -> Option<(&'static Family, Option<&'static str>)> {
    if let Some(family) = catalogue::families().find(|family| family.name == name) {
        return Some((family, None));
    }
    ["_bucket", "_sum", "_count"].into_iter().find_map(|part| {
        let base = name.strip_suffix(part)?;
        let family = catalogue::families().find(|family| family.name == base)?;
        (family.kind == Kind::Histogram).then_some((family, Some(part)))
    })
}

/// All queries of the panels.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert!(expressions.len() > 50, "{}", expressions.len());
    expressions
}

/// The expressions of the alerts, each of which stands on a line.
fn alerts() -> Vec<String> {
    let lines = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let expressions: Vec<_> = lines.map(str::to_owned).collect();
    assert_eq!(expressions.len(), ALERTS.matches("- alert: ").count());
    expressions
}

/// The metrics an expression names. Understands of PromQL what the dashboard uses.
fn mentions(expression: &str) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    // Each open parenthesis: the function before it, and the labels its `by` keeps.
    let mut open: Vec<(String, Vec<String>)> = Vec::new();
    let (mut word, mut kept, mut aggregation) = (String::new(), Vec::new(), String::new());
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            word = rest[..end].to_owned();
            rest = &rest[end..];
            if word.starts_with("ottla_") || word.starts_with("process_") {
                let labels = open.iter().flat_map(|(_, labels)| labels.clone()).collect();
                let functions =
                    open.iter().map(|(function, _)| function.clone()).filter(|f| !f.is_empty()).collect();
                found.push(Mention { name: word.clone(), labels, functions, has_range: false });
            }
            if rest.trim_start().starts_with("by ") {
                aggregation = word.clone();
            }
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '(' if word == "by" => {
                let end = rest.find(')').unwrap();
                kept = rest[..end].split(',').map(|label| label.trim().to_owned()).collect();
                rest = &rest[end + 1..];
                word = std::mem::take(&mut aggregation);
                continue;
            }
            '(' => open.push((std::mem::take(&mut word), std::mem::take(&mut kept))),
            ')' => drop(open.pop()),
            '{' => {
                let end = rest.find('}').unwrap();
                let labels = rest[..end]
                    .split(',')
                    .map(|matcher| matcher.split(['=', '!']).next().unwrap().trim().to_owned());
                found.last_mut().unwrap().labels.extend(labels);
                rest = &rest[end + 1..];
            }
            '[' => {
                found.last_mut().unwrap().has_range = true;
                rest = &rest[rest.find(']').unwrap() + 1..];
            }
            ' ' => continue,
            _ => {}
        }
        word.clear();
    }
    found
}
