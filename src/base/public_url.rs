//! The URL of the service as people know it, for links in what is sent to them.

use std::sync::OnceLock;

/// What `API_ENDPOINT` says; without it, how the first request named the service that came with a good token.
#[derive(Debug, Default)]
pub struct PublicUrl {
    base: OnceLock<String>,
}

impl PublicUrl {
    /// With the setting, which has no slash at its end.
    pub fn new(setting: Option<&str>) -> Self {
        Self { base: setting.map_or_else(OnceLock::new, |base| OnceLock::from(base.to_owned())) }
    }

    /// Learns it from a request, if it is not known yet.
    pub fn learn(&self, base: impl FnOnce() -> String) {
        self.base.get_or_init(base);
    }

    /// The page of an execution; `None`: nobody has said yet where the service is.
    pub fn of_execution(&self, guid: &str) -> Option<String> {
        self.base.get().map(|base| format!("{base}/dashboard/executions/{guid}"))
    }
}
