//! How much memory the process may use, from `MEMORY_LIMIT` and its cgroups.

use std::fs;
use std::path::Path;

/// Assumed if no limit is known.
const MEMORY_UNLESS_KNOWN: u64 = 256 * 1024 * 1024;
/// Requests and responses may hold one part in this many.
const REQUESTS_PART: u64 = 4;

/// The bytes that requests and responses may hold together. `memory_limit` is `MEMORY_LIMIT`, parsed.
pub(super) fn request_memory_max(memory_limit: Option<u64>) -> usize {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let known = memory_limit.into_iter().chain(cgroup_limits(&groups, Path::new("/sys/fs/cgroup"))).min();
    usize::try_from(known.unwrap_or(MEMORY_UNLESS_KNOWN) / REQUESTS_PART).unwrap_or(usize::MAX)
}

/// Parses a size like `64M`, `1G` or `512MB`, in powers of 1024.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.to_ascii_uppercase().as_str() {
        "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        "T" | "TB" => 1_u64 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| 0 < *bytes)
}

/// The limits of the process's groups and all their ancestors. `groups` is the text of `/proc/self/cgroup`.
fn cgroup_limits(groups: &str, mount: &Path) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (mount.to_path_buf(), "memory.max"),
            some if some.split(',').any(|name| name == "memory") => {
                (mount.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container the path may be the host's and the mount the container's group, so the root counts
        // too.
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            let limit = fs::read_to_string(root.join(group).join(file));
            // Without a limit: `max`, or in version 1 a number of about 2^63.
            limits.extend(
                limit.ok().and_then(|limit| limit.trim().parse::<u64>().ok()).filter(|it| *it < 1 << 60),
            );
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_in_cloud_foundrys_notation() {
        for (text, bytes) in [("64M", 64 << 20), ("1g", 1 << 30), ("512MB", 512 << 20), ("100k", 100 << 10)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "M", "64", "-1M", "1.5G", "64 M", "0M", "99999999999999999999G"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn the_limits_of_a_cgroup_and_its_ancestors_are_found_in_both_versions() {
        let mount = std::env::temp_dir().join(format!("ocf-cgroups-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = mount.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("app/memory.max", "67108864\n");
        write("app/inner/memory.max", "max\n");
        write("memory/old/memory.limit_in_bytes", "33554432\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(cgroup_limits("0::/app/inner\n", &mount), [67_108_864]);
        assert_eq!(cgroup_limits("5:cpu:/old\n4:memory:/old\n", &mount), [33_554_432]);
        assert_eq!(cgroup_limits("0::/elsewhere\n", &mount), [] as [u64; 0]);
        fs::remove_dir_all(mount).unwrap();
    }
}
