//! `docs/metrics.md`, written from the catalogue.

use std::fmt::Write;

use crate::metrics::Family;
use crate::metrics::catalogue::SECTIONS;
use crate::metrics::instrument::{COUNTS, DURATIONS, Scale};

const HEAD: &str = "\
# Metrics

`GET /metrics` on the API port answers in Prometheus's text format. A scrape configuration:

```yaml
scrape_configs:
  - job_name: ottla
    static_configs:
      - targets: [\"127.0.0.1:9095\"]
```

`deploy/grafana/ottla.json` is a dashboard over these metrics; import it and choose the data source.
`deploy/prometheus/ottla-alerts.yml` holds alerting rules for what is to be watched first.

Names follow Prometheus's conventions: seconds and bytes, `_total` for what only grows. A counter starts at zero with the
process. Rates, percentiles and averages are left to the query, where Kafka computes them in the broker: Kafka's
`…PerSec` is `rate(…_total[5m])`, its 99th percentile `histogram_quantile(0.99, sum by (le) (rate(…_bucket[5m])))`.

The last column names the JMX object of Apache Kafka 4.3 that says the same or comes nearest, `*` standing for a value that
is a label here, so that a dashboard for Kafka can be carried over panel by panel.

This file is written from the catalogue in `crates/node/src/metrics/`; a test keeps it current
(`UPDATE_EXPECT=1 cargo test -p ottla-node` writes it anew).

## What to watch first

| if | then |
|---|---|
| `ottla_log_directory_offline == 1` | the disk failed: nothing is written until it is repaired and the broker restarted |
| `ottla_partitions_offline > 0` | a log did not open or failed; the broker's log names it |
| `ottla_cluster_leaderless_partitions > 0` | nobody serves them: brokers are missing |
| `ottla_partitions_under_min_isr > 0` | producers with `acks=all` are refused |
| `sum(ottla_quorum_is_leader) != 1` | no controller, or metrics of some brokers are missing |
| `ottla_flush_oldest_unfinished_seconds > 1` | the disk is slow or hangs, and acknowledgements wait for it |
| `ottla_log_directory_free_bytes` falls towards `ottla.disk.reserve.bytes` | producers will be refused |
| `rate(ottla_request_errors_total[5m]) > 0` | look at the label `error` |
| `process_open_fds / process_max_fds > 0.8` | raise `ulimit -n`, or find who connects so often |
";

/// The whole text.
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let _ = writeln!(text, "\n## {}\n\n{}\n", section.title, section.about);
        text += "| name | type | labels | unit | what it tells | Kafka |\n|---|---|---|---|---|---|\n";
        section.families.iter().for_each(|family| row(&mut text, family));
    }
    let durations = bounds(&DURATIONS);
    let counts = bounds(&COUNTS);
    let _ = write!(
        text,
        "\n## Buckets\n\nHistograms of durations have buckets up to {durations} seconds; `ottla_flush_partitions` has \
         them up to {counts} jobs.\n"
    );
    text
}

fn row(text: &mut String, family: &Family) {
    let Family { name, kind, labels, help, kafka } = family;
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    let unit = family.unit().unwrap_or("");
    let kafka = kafka.map_or(String::new(), |kafka| format!("`{kafka}`"));
    let _ = writeln!(
        text,
        "| `{name}` | {} | {} | {unit} | {help} | {kafka} |",
        kind.as_str(),
        labels.join(", ")
    );
}

fn bounds(scale: &Scale) -> String {
    let bounds: Vec<String> =
        scale.bounds.iter().map(|bound| (*bound as f64 / scale.per_unit).to_string()).collect();
    bounds.join(", ")
}
