//! What a running broker tells Prometheus: Prometheus's own judge accepts it, everything documented is there, and it is true.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use it::batch::Batch;
use it::broker::{Broker, Kind, Spec};
use it::raw::error;
use it::scrape::Scrape;
use it::tools::{self, Tool};
use it::{project, wait};
use ottla_client::{Client, NewTopic, Offset, OffsetReset, ProducerRecord, Start};

/// A broker that has been used and misused a little.
fn used_broker() -> Broker {
    let broker = Spec::under_test().start();
    {
        let mut connection = broker.connect();
        connection.create_topic("in", 2, &[]).unwrap();
        connection.create_topic("out", 1, &[]).unwrap();
        for _ in 0..3 {
            let (code, _) = connection.produce("in", 1, -1, &Batch::of_values(["a", "b"]).bytes()).unwrap();
            assert_eq!(code, error::NONE);
        }
        assert_eq!(connection.fetch("in", 1, 1).unwrap().error, error::NONE);
        let (code, _) = connection.produce("unknown", 0, -1, &Batch::of_values(["x"]).bytes()).unwrap();
        assert_ne!(code, error::NONE);
    }
    broker
}

#[test]
fn promtool_accepts_what_a_used_broker_exports() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no such page");
    }
    if !tools::require(&[Tool::Promtool]) {
        return;
    }
    let broker = used_broker();
    let scrape = Scrape::of(&broker);
    let mut judge = tools::promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    judge.stdin.take().unwrap().write_all(scrape.text.as_bytes()).unwrap();
    let judged = judge.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&judged.stderr).into_owned() + &String::from_utf8_lossy(&judged.stdout);
    // It ends well with warnings too; they count.
    assert!(judged.status.success() && said.is_empty(), "{said}\n{}", scrape.text);
}

#[test]
fn everything_documented_is_exported_with_its_type_and_nothing_else() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no such page");
    }
    let broker = used_broker();
    commit(&broker, "g", 1);
    // The end of a connection is noticed a moment after it, the lag of groups is measured when somebody has looked.
    let scrape = wait::until("what comes late", Duration::from_secs(30), || {
        let scrape = Scrape::of(&broker);
        let late = ["ottla_connections_closed_total", "ottla_group_lag_records"];
        Ok(late.iter().all(|name| scrape.families().contains_key(name)).then_some(scrape))
    })
    .unwrap();
    let text = std::fs::read_to_string(project::root().join("docs/metrics.md")).unwrap();
    let mut documented: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let name = cells.next()?.trim().strip_suffix('`')?;
            let kind = cells.next()?.trim();
            ["counter", "gauge", "histogram"].contains(&kind).then_some((name, kind))
        })
        .collect();
    assert!(documented.len() > 50, "{documented:?}");
    // It appears with the first rejection, and there was none.
    assert_eq!(documented.remove("ottla_connections_rejected_total"), Some("counter"));
    // These name a follower, or a leader elsewhere: a lone broker has neither. Their values have no test here.
    for of_others in ["ottla_replication_lag_max_records", "ottla_replication_follower_lag_max_records"] {
        assert_eq!(documented.remove(of_others), Some("gauge"));
    }
    assert_eq!(scrape.families(), documented);
}

/// Has a group commit an offset of `in-1`.
fn commit(broker: &Broker, group: &str, offset: i64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::connect(format!("http://{}", broker.api_address())).await.unwrap();
        let reset = OffsetReset::of("in", 1, Start::Offset(Offset::new(offset)));
        let outcomes = client.admin().reset_offsets(group, &[reset], false).await.unwrap();
        assert_eq!(*outcomes[0].result.as_ref().unwrap(), Offset::new(offset));
    });
}

#[test]
fn the_lag_of_groups_is_told_in_records_and_in_seconds() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no such page");
    }
    let broker = used_broker();
    commit(&broker, "behind", 2);
    commit(&broker, "done", 6);
    let of =
        |family: &str, group: &str| format!("{family}{{group=\"{group}\",topic=\"in\",partition=\"1\"}}");
    let scrape = wait::until("a measurement", Duration::from_secs(30), || {
        let scrape = Scrape::of(&broker);
        Ok(scrape.samples.contains_key(&of("ottla_group_lag_records", "done")).then_some(scrape))
    })
    .unwrap();
    assert_eq!(scrape.value(&of("ottla_group_lag_records", "behind")), 4.0);
    assert_eq!(scrape.value(&of("ottla_group_lag_records", "done")), 0.0);
    let age = scrape.value(&of("ottla_group_lag_seconds", "behind"));
    assert!(age > 0.0 && age < 600.0, "{age}");
    assert_eq!(scrape.value(&of("ottla_group_lag_seconds", "done")), 0.0);
    assert_eq!(scrape.value("ottla_group_lag_left_out"), 0.0);
}

#[test]
fn the_values_are_true() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no such page");
    }
    let broker = used_broker();
    let size = Batch::of_values(["a", "b"]).bytes().len() as f64;
    // An answer is counted when the socket has taken it, which its reader may see first.
    let answered = "ottla_request_duration_seconds_count{protocol=\"kafka\",api=\"Produce\"}";
    let before = wait::until("the last answer", Duration::from_secs(10), || {
        let scrape = Scrape::of(&broker);
        Ok((scrape.value(answered) >= 4.0).then_some(scrape))
    })
    .unwrap();
    for (sample, value) in [
        ("ottla_topic_received_records_total{topic=\"in\"}", 6.0),
        ("ottla_topic_received_bytes_total{topic=\"in\"}", 3.0 * size),
        ("ottla_topic_received_records_total{topic=\"out\"}", 0.0),
        ("ottla_topic_sent_records_total{topic=\"in\"}", 5.0),
        ("ottla_topic_sent_bytes_total{topic=\"in\"}", 3.0 * size),
        ("ottla_partition_log_end_offset{topic=\"in\",partition=\"0\"}", 0.0),
        ("ottla_partition_log_end_offset{topic=\"in\",partition=\"1\"}", 6.0),
        ("ottla_partition_log_size_bytes{topic=\"in\",partition=\"1\"}", 3.0 * size),
        ("ottla_partitions_led", 3.0),
        ("ottla_requests_total{protocol=\"kafka\",api=\"Produce\",version=\"8\"}", 4.0),
        (
            "ottla_request_errors_total{protocol=\"kafka\",api=\"Produce\",error=\"UNKNOWN_TOPIC_OR_PARTITION\"}",
            1.0,
        ),
        (answered, 4.0),
        ("ottla_request_duration_seconds_bucket{protocol=\"kafka\",api=\"Produce\",le=\"+Inf\"}", 4.0),
        ("ottla_quorum_is_leader", 1.0),
        ("ottla_cluster_topics", 2.0),
        ("ottla_log_directory_offline", 0.0),
        ("ottla_flush_failures_total", 0.0),
    ] {
        assert_eq!(before.value(sample), value, "{sample}");
    }
    // The phases are the whole.
    let phase = |phase: &str| {
        before.value(&format!(
            "ottla_request_phase_duration_seconds_sum{{protocol=\"kafka\",api=\"Produce\",phase=\"{phase}\"}}"
        ))
    };
    let total = before.value("ottla_request_duration_seconds_sum{protocol=\"kafka\",api=\"Produce\"}");
    let parts = ["queue", "local", "remote", "send"].map(phase);
    assert!((parts.iter().sum::<f64>() - total).abs() < 1e-6, "{parts:?} are not {total}");
    assert!(before.value("ottla_flush_duration_seconds_count") >= 1.0);
    let rss = before.value("process_resident_memory_bytes");
    assert!((rss / broker.rss_bytes() as f64 - 1.0).abs() < 0.5, "{rss} or {}", broker.rss_bytes());
    assert!(before.value("ottla_metadata_applied_index") <= before.value("ottla_metadata_log_index"));

    let _held = broker.connect();
    wait::until("the open connection", Duration::from_secs(10), || {
        let scrape = Scrape::of(&broker);
        // The scrape's own connection is the other one.
        assert!(scrape.value("ottla_connections{listener=\"API\"}") >= 1.0);
        Ok((scrape.value("ottla_connections{listener=\"PLAINTEXT\"}") >= 1.0).then_some(()))
    })
    .unwrap();
}

#[test]
fn what_comes_over_grpc_is_counted_by_method() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no such page");
    }
    let broker = Spec::under_test().start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _client = runtime.block_on(async {
        let client = Client::connect(format!("http://{}", broker.api_address())).await.unwrap();
        client.admin().create_topic(NewTopic::named("t").partitions(1)).await.unwrap();
        client.admin().create_topic(NewTopic::named("t").partitions(1)).await.unwrap_err();
        let producer = client.producer().build().unwrap();
        for _ in 0..3 {
            producer.publish(ProducerRecord::to("t").value("v")).await.unwrap();
        }
        let reading = client.consumer().partition("t", 0, Start::Earliest).stop_at_end();
        let mut consumer = reading.build().unwrap();
        while let Some(record) = consumer.next().await {
            record.unwrap();
        }
        client
    });
    let sample = |family: &str, api: &str, more: &str| {
        format!("ottla_{family}{{protocol=\"grpc\",api=\"{api}\"{more}}}")
    };
    // A call has ended when its answer has gone, which its caller may see first.
    let scrape = wait::until("the last answer", Duration::from_secs(10), || {
        let scrape = Scrape::of(&broker);
        Ok((scrape.value(&sample("request_duration_seconds_count", "Fetch", "")) >= 1.0).then_some(scrape))
    })
    .unwrap();
    let requests = |api: &str| scrape.value(&sample("requests_total", api, ",version=\"1\""));
    assert_eq!((requests("CreateTopic"), requests("PublishStream"), requests("Fetch")), (2.0, 3.0, 1.0));
    for api in ["CreateTopic", "PublishStream", "Fetch"] {
        assert_eq!(scrape.value(&sample("request_duration_seconds_count", api, "")), requests(api), "{api}");
        assert!(scrape.value(&sample("request_received_bytes_total", api, "")) > 0.0, "{api}");
        assert!(scrape.value(&sample("request_answered_bytes_total", api, "")) > 0.0, "{api}");
    }
    let exists = sample("request_errors_total", "CreateTopic", ",error=\"TOPIC_ALREADY_EXISTS\"");
    assert_eq!(scrape.value(&exists), 1.0);
    assert!(scrape.value("ottla_connections{listener=\"API\"}") >= 1.0);
}

#[test]
fn recovery_after_a_kill_is_told() {
    if Kind::under_test() == Kind::Kafka {
        return tools::note("Kafka has no such page");
    }
    let mut broker = used_broker();
    broker.kill();
    broker.restart();
    let scrape = Scrape::of(&broker);
    assert!(scrape.value("ottla_recovery_seconds") > 0.0);
    assert_eq!(scrape.value("ottla_partition_log_end_offset{topic=\"in\",partition=\"1\"}"), 6.0);
    assert_eq!(scrape.value("ottla_topic_received_records_total{topic=\"in\"}"), 0.0);
}

#[test]
fn promtool_can_parse_every_expression_we_ship() {
    if !tools::require(&[Tool::Promtool]) {
        return;
    }
    let alerts = project::root().join("deploy/prometheus/ottla-alerts.yml");
    let check = |file: &std::path::Path| {
        let mut judge: Command = tools::promtool();
        let output = judge.args(["check", "rules"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    check(&alerts);
    // The dashboard's, as if they were rules; Grafana's variables become what it would put there.
    let dashboard = std::fs::read_to_string(project::root().join("deploy/grafana/ottla.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, target) in targets.flatten().enumerate() {
        let expression = target["expr"].as_str().unwrap();
        let expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1h");
        rules += &format!("  - record: panel_{number}\n    expr: {}\n", serde_json::json!(expression));
    }
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("dashboard.yml");
    std::fs::write(&file, rules).unwrap();
    check(&file);
}
