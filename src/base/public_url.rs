//! The public URL of the service, for links in notifications.

use std::sync::OnceLock;

/// `API_ENDPOINT` if it is set, else the base URL of the first request that had a valid token.
#[derive(Debug, Default)]
pub struct PublicUrl {
    base: OnceLock<String>,
}

impl PublicUrl {
    /// Takes the setting, without a trailing slash.
    pub fn new(setting: Option<&str>) -> Self {
        Self { base: setting.map_or_else(OnceLock::new, |base| OnceLock::from(base.to_owned())) }
    }

    /// Records the base URL of a request, if no URL is known yet.
    pub fn learn(&self, base: impl FnOnce() -> String) {
        self.base.get_or_init(base);
    }

    /// The dashboard page of an execution; `None` while the public URL is unknown.
    pub fn of_execution(&self, guid: &str) -> Option<String> {
        self.base.get().map(|base| format!("{base}/dashboard/executions/{guid}"))
    }
}
