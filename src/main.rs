//! Runs the `ocf-scheduler` command.
fn main() {}
