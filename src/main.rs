//! Runs the `ocf-scheduler` command.

use std::process::ExitCode;

/// That of the static program: in musl's own, threads wait for each other.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ocf_scheduler::cli::main(std::env::args_os().skip(1).collect())
}
