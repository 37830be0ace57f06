use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{expect, expect_file};

use super::document::document;
use super::process::Stat;
use super::{Collector, Family, Histogram, Kind, Metrics, Page, catalogue};

static WORK: Family = Family {
    name: "ottla_test_work_total",
    kind: Kind::Counter,
    labels: &["topic", "kind"],
    help: "Work with a \\ and\na second line.",
    kafka: None,
};
static WAITS: Family = Family {
    name: "ottla_test_wait_seconds",
    kind: Kind::Histogram,
    labels: &["topic"],
    help: "Waits.",
    kafka: None,
};
static SILENT: Family =
    Family { name: "ottla_test_silent", kind: Kind::Gauge, labels: &[], help: "Nothing.", kafka: None };

#[test]
fn a_page_keeps_a_family_together_and_escapes() {
    let mut page = Page::default();
    page.add(&WORK, &[&"b", &1], 7u64);
    let waits = Histogram::of_counts();
    for value in [1, 2, 3, 20_000] {
        waits.observe_value(value);
    }
    page.family(&WAITS).histogram(&[&"b"], &waits);
    page.family(&SILENT);
    page.add(&WORK, &[&"odd \"name\" \\ with\nlines", &2], 0.25);
    expect![[r#"
        # HELP ottla_test_wait_seconds Waits.
        # TYPE ottla_test_wait_seconds histogram
        ottla_test_wait_seconds_bucket{topic="b",le="1"} 1
        ottla_test_wait_seconds_bucket{topic="b",le="2"} 2
        ottla_test_wait_seconds_bucket{topic="b",le="4"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="8"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="16"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="32"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="64"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="128"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="256"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="512"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="1024"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="4096"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="16384"} 3
        ottla_test_wait_seconds_bucket{topic="b",le="+Inf"} 4
        ottla_test_wait_seconds_sum{topic="b"} 20006
        ottla_test_wait_seconds_count{topic="b"} 4
        # HELP ottla_test_work_total Work with a \\ and\na second line.
        # TYPE ottla_test_work_total counter
        ottla_test_work_total{topic="b",kind="1"} 7
        ottla_test_work_total{topic="odd \"name\" \\ with\nlines",kind="2"} 0.25
    "#]]
    .assert_eq(&page.finish());
}

#[test]
fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_pass() {
    let histogram = Histogram::of_durations();
    for micros in [0, 10, 11, 30_000_000, 30_000_001] {
        histogram.observe(Duration::from_micros(micros));
    }
    let counts: Vec<_> = histogram.cumulative().collect();
    assert_eq!(counts.first(), Some(&(0.000_01, 2)));
    assert_eq!(counts.get(1), Some(&(0.000_025, 3)));
    assert_eq!(counts.last(), Some(&(30.0, 4)));
    assert_eq!(histogram.count(), 5);
    assert!((histogram.sum() - 60.000_022).abs() < 1e-9, "{}", histogram.sum());
}

#[test]
fn collectors_are_asked_at_every_scrape() {
    struct Seven;
    impl Collector for Seven {
        fn collect(&self, page: &mut Page) {
            page.add(&SILENT, &[], 7i64);
        }
    }
    let metrics = Metrics::default();
    assert!(!metrics.encode().contains("ottla_test_silent"));
    metrics.register(Arc::new(Seven));
    assert!(metrics.encode().contains("\nottla_test_silent 7\n"));
}

#[test]
fn the_catalogue_follows_the_conventions() {
    let mut names = BTreeSet::new();
    for family in catalogue::families() {
        let Family { name, kind, labels, help, .. } = family;
        assert!(names.insert(name), "{name} stands there twice");
        assert!(name.starts_with("ottla_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(!name.contains("milli") && !name.contains("micro") && !name.ends_with("_ms"), "{name}");
        assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
        assert!(!labels.iter().any(|label| label.starts_with("client") || *label == "le"), "{name}");
    }
}

#[test]
fn the_process_tells_of_itself() {
    let page = Metrics::default().encode();
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 3600.0..=now + 2.0).contains(&value("process_start_time_seconds")));
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 1.0);
    assert!(page.contains(concat!("ottla_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",commit=\"")));
}

#[test]
fn a_program_name_with_a_parenthesis_is_no_obstacle() {
    let text = "12 (a) b)) S 1 12 12 0 -1 4194560 900 0 0 0 5 6 0 0 20 0 17 0 4242 1000000 300 18446744073709551615 1";
    let parsed = Stat { threads: 17, start_ticks: 4242, virtual_bytes: 1_000_000, resident_pages: 300 };
    assert_eq!(Stat::parse(text), Some(parsed));
    assert_eq!(Stat::parse("12 nothing"), None);
}

#[test]
fn the_document_is_current() {
    expect_file!["../../../../docs/metrics.md"].assert_eq(&document());
}
