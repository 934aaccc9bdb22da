//! The settings of the service broker.

use super::{Mode, Reader, setting_and_value};
use crate::model::Secret;

// Platforms and people know the service by these, so they never change.
pub(super) const SERVICE_NAME: &str = "scheduler-for-pcf";
pub(super) const SERVICE_ID: &str = "65bf6d26-130b-4c2d-a0a1-e1ac36855051";
pub(super) const PLAN_NAME: &str = "standard";
pub(super) const PLAN_ID: &str = "d2296d84-97bd-452f-afb9-8363d4e2ecf1";
pub(super) const DESCRIPTION: &str = "Runs tasks and HTTP calls on cron schedules";
pub(super) const PLAN_DESCRIPTION: &str = "Jobs and calls of a space, without a limit";
const ICON: &str = include_str!("icon.svg");
/// The longest name, id or URL that platforms store.
const TEXT_MAX: usize = 255;

/// The service broker: its credentials and its catalog.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is described in SETTINGS under its variable")]
pub struct BrokerConfig {
    pub user: String,
    pub password: Secret,
    pub api_endpoint: Option<String>,
    pub catalog: CatalogConfig,
}

/// What the marketplace shows.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is described in SETTINGS under its variable")]
pub struct CatalogConfig {
    pub service_name: String,
    pub service_id: String,
    pub description: String,
    pub plan_name: String,
    pub plan_id: String,
    pub plan_description: String,
    pub documentation_url: Option<String>,
    pub dashboard_url: Option<String>,
    pub icon_url: String,
}

impl Reader<'_> {
    /// `None` if there is no broker or the settings are wrong.
    pub(super) fn broker(&mut self, api_endpoint: Option<String>) -> Option<BrokerConfig> {
        let catalog = CatalogConfig {
            service_name: self.name("BROKER_SERVICE_NAME", SERVICE_NAME),
            service_id: self.name("BROKER_SERVICE_ID", SERVICE_ID),
            description: self.text("BROKER_DESCRIPTION").unwrap_or_else(|| DESCRIPTION.to_owned()),
            plan_name: self.name("BROKER_PLAN_NAME", PLAN_NAME),
            plan_id: self.name("BROKER_PLAN_ID", PLAN_ID),
            plan_description: self
                .text("BROKER_PLAN_DESCRIPTION")
                .unwrap_or_else(|| PLAN_DESCRIPTION.to_owned()),
            documentation_url: self.url("BROKER_DOCUMENTATION_URL", &["https://", "http://"]),
            dashboard_url: self.url("BROKER_DASHBOARD_URL", &["https://", "http://"]),
            icon_url: self
                .url("BROKER_ICON_URL", &["https://", "http://", "data:image/"])
                .unwrap_or_else(default_icon),
        };
        let user = self.text("BROKER_USER");
        if let Some(user) = user.as_ref().filter(|user| user.contains(':')) {
            let setting_and_value = setting_and_value(&self.named("BROKER_USER"), user);
            self.faults.push(format!(
                "{setting_and_value} must have no colon, because basic authentication cannot carry one"
            ));
        }
        match (user, self.text("BROKER_PASSWORD")) {
            (Some(user), Some(password)) => {
                Some(BrokerConfig { user, password: Secret::from(password), api_endpoint, catalog })
            }
            (None, None) => None,
            (Some(_), None) => {
                self.faults.push("BROKER_USER needs BROKER_PASSWORD".to_owned());
                None
            }
            (None, Some(_)) => {
                self.faults.push("BROKER_PASSWORD needs BROKER_USER".to_owned());
                None
            }
        }
    }

    pub(super) fn require_service_instance(&mut self, has_broker: bool) -> Option<bool> {
        let required = self.boolean("REQUIRE_SERVICE_INSTANCE", Mode::Serve);
        if required == Some(true) && !has_broker {
            // Nobody could create an instance.
            self.faults.push("REQUIRE_SERVICE_INSTANCE needs BROKER_USER and BROKER_PASSWORD".to_owned());
        }
        required
    }

    /// A name that needs no quotes on a command line.
    fn name(&mut self, variable: &str, default: &str) -> String {
        let Some(text) = self.text(variable) else { return default.to_owned() };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if TEXT_MAX < text.len() || !text.bytes().all(is_plain) {
            self.faults.push(format!(
                "{} is {text:?}; it must consist of letters, digits, '.', '-' and '_', at most {TEXT_MAX}",
                self.named(variable)
            ));
        }
        text
    }

    pub(super) fn url(&mut self, variable: &str, beginnings: &[&str]) -> Option<String> {
        let text = self.text(variable)?;
        if !beginnings.iter().any(|beginning| text.starts_with(beginning)) {
            let setting_and_value = setting_and_value(&self.named(variable), &text);
            self.faults.push(format!("{setting_and_value} must begin with {}", beginnings.join(" or ")));
        }
        Some(text)
    }
}

fn default_icon() -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    format!("data:image/svg+xml;base64,{}", BASE64_STANDARD.encode(ICON))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError, Mode};

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(Mode::Standalone, &Vec::new(), |name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn there_is_a_broker_only_with_a_user_and_a_password() {
        assert!(read(&[]).unwrap().broker.is_none());
        let both = [("BROKER_USER", "cc"), ("BROKER_PASSWORD", "s3cret")];
        let broker = read(&both).unwrap().broker.unwrap();
        assert!(!format!("{broker:?}").contains("s3cret"));
        // Platforms store these ids.
        assert_eq!(broker.catalog.service_id, "65bf6d26-130b-4c2d-a0a1-e1ac36855051");
        assert_eq!(broker.catalog.plan_id, "d2296d84-97bd-452f-afb9-8363d4e2ecf1");
        for half in &both {
            assert!(read(&[*half]).unwrap_err().to_string().contains("needs BROKER_"), "{half:?}");
        }
    }

    #[test]
    fn values_that_the_marketplace_cannot_show_are_faults() {
        let faults = read(&[
            ("BROKER_USER", "c:c"),
            ("BROKER_PASSWORD", "s3cret"),
            ("BROKER_SERVICE_NAME", "two words"),
            ("BROKER_ICON_URL", "icon.example.com/u:s3cret@"),
            ("API_ENDPOINT", "scheduler.example.com"),
        ])
        .unwrap_err();
        assert_eq!(faults.0.len(), 4, "{faults}");
        for told in [
            r#"BROKER_SERVICE_NAME is "two words"; it must consist of letters"#,
            r#"BROKER_USER is "c:c"; it must have no colon"#,
            r#"API_ENDPOINT is "scheduler.example.com"; it must begin with https:// or http://"#,
            "BROKER_ICON_URL must begin with https:// or http:// or data:image/",
        ] {
            assert!(faults.to_string().contains(told), "{faults}");
        }
        assert!(!faults.to_string().contains("s3cret"));
        let faults = read(&[("REQUIRE_SERVICE_INSTANCE", "true")]).unwrap_err();
        assert!(faults.to_string().contains("REQUIRE_SERVICE_INSTANCE needs BROKER_USER"), "{faults}");
    }
}
