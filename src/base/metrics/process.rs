//! What the system says of this process, under the names that dashboards know. Nothing where there is no `/proc`.

use prometheus::proto::MetricFamily;

use super::{counter, gauge, gauge_of_fractions};

/// Ticks a second in `/proc/self/stat`: 100 for every program on Linux, whatever the kernel's own.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn families() -> Vec<MetricFamily> {
    let mut families = Vec::new();
    if let Some(kib) = memory_kib() {
        families.extend(gauge_of_fractions(
            "process_resident_memory_bytes",
            "Memory in use, in bytes.",
            kib as f64 * 1024.0,
        ));
    }
    if let Some((seconds, threads)) = cpu_seconds_and_threads() {
        families.extend(counter("process_cpu_seconds_total", "Processor time used, in seconds.", seconds));
        families.extend(gauge("process_threads", "Threads.", threads));
    }
    families
}

fn memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn cpu_seconds_and_threads() -> Option<(f64, i64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name, which is in parentheses and may hold anything, come the fields from the third on.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    Some(((field(14)? + field(15)?) as f64 / TICKS_PER_SECOND, field(20)?))
}
