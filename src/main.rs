//! Runs the `ocf-scheduler` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ocf_scheduler::cli::main(std::env::args_os().skip(1).collect())
}
