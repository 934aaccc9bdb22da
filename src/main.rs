//! Runs the `ocf-scheduler` command.

use std::process::ExitCode;

/// The allocator of the static program. musl's own has one lock, for which threads wait.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ocf_scheduler::cli::main(std::env::args_os().skip(1).collect())
}
