//! Parses the URL of a database.

use std::path::PathBuf;

#[cfg(feature = "postgres")]
use crate::base::postgres_url;
use crate::model::{Location, Secret};

/// Reads `sqlite://PATH`, a bare path, or `postgres://…`.
///
/// # Errors
/// A message that begins with the setting `name`. It does not show the value, which may hold a password.
pub(super) fn location(name: &str, url: &str) -> Result<Location, String> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let fault = match scheme.as_deref() {
        Some("postgres" | "postgresql") => match check_postgres_url(url) {
            Ok(()) => return Ok(Location::Postgres(Secret::from(url.to_owned()))),
            Err(fault) => fault,
        },
        Some(scheme) if scheme != "sqlite" => format!(
            "begins with {scheme:?}; it must be sqlite://PATH, for example sqlite://scheduler.db, or \
             postgres://USER:PASSWORD@HOST:PORT/NAME"
        ),
        _ if path.is_empty() || path.ends_with('/') => {
            "names no file; use sqlite://PATH, for example sqlite://scheduler.db".to_owned()
        }
        _ if path.contains(":memory:") => {
            "names a database in memory, which would be lost; use sqlite://PATH".to_owned()
        }
        _ if path.contains('?') || path.contains('\0') => {
            "has a character that is not allowed in a path (? or NUL); use sqlite://PATH".to_owned()
        }
        _ => return Ok(Location::Sqlite(PathBuf::from(path))),
    };
    Err(format!("{name} {fault}"))
}

/// The error goes on after the name of the setting, and shows no part of the URL.
fn check_postgres_url(url: &str) -> Result<(), String> {
    #[cfg(feature = "postgres")]
    return postgres_url::Target::of(url).map(|_| ());
    #[cfg(not(feature = "postgres"))]
    {
        let _ = url;
        Err("names PostgreSQL, which this build does not support; use sqlite://PATH".to_owned())
    }
}
