//! The process as the system sees it.

use std::fs;

use rustix::process::Resource;
use rustix::time::ClockId;

use crate::metrics::{Family, Kind, Page};

pub(super) static FAMILIES: &[&Family] =
    &[&BUILD_INFO, &CPU_SECONDS, &RESIDENT_BYTES, &VIRTUAL_BYTES, &START_TIME, &OPEN_FDS, &MAX_FDS, &THREADS];

static BUILD_INFO: Family = Family {
    name: "ottla_build_info",
    kind: Kind::Gauge,
    labels: &["version", "commit"],
    help: "Always 1; the labels name the release and the commit it was built from (unknown if the build did not say).",
    kafka: Some("kafka.server:type=app-info"),
};

static CPU_SECONDS: Family = Family {
    name: "process_cpu_seconds_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Processor time of all threads, in user code and in the kernel.",
    kafka: Some("java.lang:type=OperatingSystem, ProcessCpuTime"),
};

static RESIDENT_BYTES: Family = Family {
    name: "process_resident_memory_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Memory that is really in use. The page cache, which serves most reads, is not part of it.",
    kafka: Some("java.lang:type=Memory, HeapMemoryUsage"),
};

static VIRTUAL_BYTES: Family = Family {
    name: "process_virtual_memory_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Address space, most of which is never touched.",
    kafka: Some("java.lang:type=OperatingSystem, CommittedVirtualMemorySize"),
};

static START_TIME: Family = Family {
    name: "process_start_time_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "When the process started, in seconds since 1970.",
    kafka: Some("java.lang:type=Runtime, StartTime"),
};

static OPEN_FDS: Family = Family {
    name: "process_open_fds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Open descriptors: connections, segments and the rest.",
    kafka: Some("java.lang:type=OperatingSystem, OpenFileDescriptorCount"),
};

static MAX_FDS: Family = Family {
    name: "process_max_fds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Descriptors that the process may have open (ulimit -n).",
    kafka: Some("java.lang:type=OperatingSystem, MaxFileDescriptorCount"),
};

static THREADS: Family = Family {
    name: "process_threads",
    kind: Kind::Gauge,
    labels: &[],
    help: "Threads of the operating system.",
    kafka: Some("java.lang:type=Threading, ThreadCount"),
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Set by whoever builds a release.
const COMMIT: Option<&str> = option_env!("OTTLA_BUILD_COMMIT");

/// Adds what the system tells. What it does not tell (no `/proc`) is left out, not zero.
pub(super) fn collect(page: &mut Page) {
    page.add(&BUILD_INFO, &[&VERSION, &COMMIT.unwrap_or("unknown")], 1u64);
    let cpu = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    page.add(&CPU_SECONDS, &[], cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    if let Some(limit) = rustix::process::getrlimit(Resource::Nofile).current {
        page.add(&MAX_FDS, &[], limit);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the listing itself.
        page.add(&OPEN_FDS, &[], open.count().saturating_sub(1));
    }
    let Some(stat) = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text)) else {
        return;
    };
    page.add(&THREADS, &[], stat.threads);
    page.add(&VIRTUAL_BYTES, &[], stat.virtual_bytes);
    page.add(&RESIDENT_BYTES, &[], stat.resident_pages * rustix::param::page_size() as u64);
    if let Some(boot) = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text)) {
        let since_boot = stat.start_ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        page.add(&START_TIME, &[], boot as f64 + since_boot);
    }
}

/// What we read of `/proc/self/stat` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) threads: u64,
    pub(super) start_ticks: u64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_pages: u64,
}

impl Stat {
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The program's name stands in parentheses and may itself contain some.
        let (_, rest) = text.rsplit_once(')')?;
        // The next field is the third of the manual's count.
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn boot_time(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
