//! What the program requires of its system.

use std::fs;
use std::path::Path;

/// The C library of Cloud Foundry's stack cflinuxfs4 (Ubuntu 22.04) is 2.35.
const GLIBC_MINOR_MAX: u32 = 35;

/// The minor versions `2.N` of the C library's symbols in a program, including those that SQLite's C code
/// uses.
fn glibc_minors(program: &Path) -> Vec<u32> {
    let bytes = fs::read(program).unwrap();
    let versions = bytes.split(|byte| *byte == b'G').filter_map(|rest| rest.strip_prefix(b"LIBC_2."));
    versions
        .filter_map(|rest| {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
            String::from_utf8(digits.copied().collect()).unwrap().parse().ok()
        })
        .collect()
}

#[test]
fn the_program_needs_no_newer_c_library_than_cloud_foundrys_stack_has() {
    let built = Path::new(env!("CARGO_BIN_EXE_ocf-scheduler"));
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/ocf-scheduler");
    for program in [built, &release] {
        if program.exists() {
            let minors = glibc_minors(program);
            assert!(minors.contains(&17), "{} names no versions", program.display());
            let newest = minors.into_iter().max().unwrap();
            assert!(newest <= GLIBC_MINOR_MAX, "{} needs glibc 2.{newest}", program.display());
        }
    }
}
