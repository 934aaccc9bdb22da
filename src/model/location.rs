//! Where a database is.

use std::path::PathBuf;

use super::Secret;

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A URL, `postgres://…`; it may hold a password.
    Postgres(Secret),
}

impl Location {
    /// For logs: the path, or the URL without user, password and options.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => shown_url(url.reveal()),
        }
    }
}

/// Scheme, host, port and database of a URL. The part before `@` and the part after `?` may be secret.
fn shown_url(url: &str) -> String {
    let without_query = url.split('?').next().unwrap_or_default();
    let (scheme, rest) = without_query.split_once("://").unwrap_or(("postgres", without_query));
    let place = rest.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{place}")
}
