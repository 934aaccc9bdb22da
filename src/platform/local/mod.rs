//! Standalone: apps and tokens from a file, tasks as local processes.
