//! Metrics of the process, under the usual names. There are none without `/proc`.

use prometheus::proto::MetricFamily;

use super::{counter, gauge, gauge_of_fractions};

/// Ticks per second in `/proc/self/stat`. Linux always reports 100, whatever the kernel uses itself.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn families() -> Vec<MetricFamily> {
    let mut families = Vec::new();
    if let Some(kib) = memory_kib() {
        families.extend(gauge_of_fractions(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            kib as f64 * 1024.0,
        ));
    }
    if let Some((seconds, threads)) = cpu_seconds_and_threads() {
        families.extend(counter("process_cpu_seconds_total", "CPU time used, in seconds.", seconds));
        families.extend(gauge("process_threads", "Number of threads.", threads));
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
    // The name is in parentheses and may contain anything. The third field follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    Some(((field(14)? + field(15)?) as f64 / TICKS_PER_SECOND, field(20)?))
}
