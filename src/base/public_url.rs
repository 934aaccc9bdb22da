//! The public URL of the service, for links in notifications.
//!
//! Invariant: a caller who is not an administrator decides only about links in its own spaces, because the
//! host of a request is what the client says. The number of spaces is bounded.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};

/// The most spaces whose URL is remembered.
const SPACES_MAX: usize = 10_000;
/// The most spaces of one caller that a request is about.
const SPACES_OF_CALLER_MAX: usize = 100;

/// `API_ENDPOINT` if it is set, else the base URL of the first request of an administrator, else for each
/// space that of the first request of somebody who works in it.
#[derive(Debug, Default)]
pub struct PublicUrl {
    /// For all spaces.
    base: OnceLock<String>,
    of_spaces: RwLock<HashMap<String, String>>,
}

impl PublicUrl {
    /// Takes the setting, without a trailing slash.
    pub fn new(setting: Option<&str>) -> Self {
        let base = setting.map_or_else(OnceLock::new, |base| OnceLock::from(base.to_owned()));
        Self { base, of_spaces: RwLock::default() }
    }

    /// Records the base URL of a request of an administrator, if none is known for all spaces.
    pub fn learn(&self, base: impl FnOnce() -> String) {
        self.base.get_or_init(base);
    }

    /// Records the base URL of a request for those of the caller's spaces that have none yet.
    pub fn learn_of<'s>(&self, spaces: impl Iterator<Item = &'s str> + Clone, base: impl FnOnce() -> String) {
        if self.base.get().is_some() {
            return;
        }
        let spaces = spaces.take(SPACES_OF_CALLER_MAX);
        let known = self.of_spaces.read().unwrap_or_else(PoisonError::into_inner);
        if SPACES_MAX <= known.len() || spaces.clone().all(|space| known.contains_key(space)) {
            return;
        }
        drop(known);
        let base = base();
        let mut known = self.of_spaces.write().unwrap_or_else(PoisonError::into_inner);
        for space in spaces {
            known.entry(space.to_owned()).or_insert_with(|| base.clone());
        }
    }

    /// The dashboard page of an execution in a space; `None` while the public URL is unknown.
    pub fn of_execution(&self, space: &str, guid: &str) -> Option<String> {
        let of_space = || {
            let known = self.of_spaces.read().unwrap_or_else(PoisonError::into_inner);
            known.get(space).cloned()
        };
        let base = self.base.get().cloned().or_else(of_space)?;
        Some(format!("{base}/dashboard/executions/{guid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_decides_about_links_in_foreign_spaces() {
        let public_url = PublicUrl::default();
        let learn =
            |spaces: &[&str], base: &str| public_url.learn_of(spaces.iter().copied(), || base.to_owned());
        let host = |space: &str| {
            let url = public_url.of_execution(space, "e");
            url.map(|url| url.trim_end_matches("/dashboard/executions/e").to_owned())
        };
        learn(&["mine"], "https://evil.example");
        assert_eq!((host("mine").as_deref(), host("yours")), (Some("https://evil.example"), None));
        learn(&["mine", "yours"], "https://good.example");
        assert_eq!(host("mine").as_deref(), Some("https://evil.example"));
        assert_eq!(host("yours").as_deref(), Some("https://good.example"));
        public_url.learn(|| "https://operator.example".to_owned());
        assert_eq!(host("mine").as_deref(), Some("https://operator.example"));
        assert_eq!(host("other").as_deref(), Some("https://operator.example"));
    }
}
