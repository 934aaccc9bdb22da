//! Reads the files of commands.

use std::fs::File;
use std::io::Read;

/// Reads a text of at most `mebibytes_max` MiB from a file, or from standard input if `file` is `-`. The
/// error is a message for the user.
pub(super) fn read(file: &str, mebibytes_max: u64) -> Result<String, String> {
    let bytes_max = mebibytes_max * 1024 * 1024;
    let failed = |err: std::io::Error| format!("{file} cannot be read: {err}");
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().lock().take(bytes_max + 1).read_to_string(&mut text),
        path => File::open(path).map_err(failed)?.take(bytes_max + 1).read_to_string(&mut text),
    };
    if bytes_max < read.map_err(failed)? as u64 {
        return Err(format!("{file} is longer than {mebibytes_max} MiB"));
    }
    Ok(text)
}
