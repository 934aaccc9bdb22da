//! Notifications: which events of which jobs and calls are sent where.

use std::collections::BTreeMap;
use std::fmt;

use super::{Guid, Headers, Id, Kind, Secret, Timestamp};

/// A receiver of events about the jobs and calls of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its place in the order of creation.
    pub id: Id,
    /// Its public identifier.
    pub guid: Guid,
    /// The space whose jobs and calls it is about.
    pub space: Guid,
    /// What clients say of it.
    pub definition: NotificationDefinition,
    /// Why the service disabled it; `None` if it did not.
    pub disabled_reason: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What clients say of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationDefinition {
    /// Unique in its space.
    pub name: String,
    /// The receiver. Its path may be a secret, as Slack's is.
    pub url: Secret,
    /// The format of messages.
    pub format: Format,
    /// The signing secret: `whsec_…`, or two separated by a blank; `None`: messages are not signed.
    pub secret: Option<Secret>,
    /// Additional headers.
    pub headers: Headers,
    /// The events to send, without duplicates.
    pub events: Vec<Event>,
    /// The jobs that it covers. If `calls` is empty too: all jobs and calls of the space. Guids of deleted
    /// jobs stay, so that the list never comes to mean "all".
    pub jobs: Vec<Guid>,
    /// The calls that it covers.
    pub calls: Vec<Guid>,
    /// The labels that a job or call must have.
    pub selector: Selector,
    /// `Failed` is sent after this many consecutive failures, from 1 to 100.
    pub after_failures: u32,
    /// A reminder is sent when the trouble has lasted this much longer, from 3,600 to 604,800; `None`: no
    /// reminders.
    pub remind_after_seconds: Option<u32>,
    /// Whether anything is sent.
    pub enabled: bool,
}

impl NotificationDefinition {
    /// Whether it covers a job or call of its space.
    pub fn is_about(&self, kind: Kind, guid: &Guid, labels: &BTreeMap<String, String>) -> bool {
        let listed = match kind {
            Kind::Job => &self.jobs,
            Kind::Call => &self.calls,
        };
        let is_listed = (self.jobs.is_empty() && self.calls.is_empty()) || listed.contains(guid);
        is_listed && self.selector.matches(labels)
    }

    /// Whether it sends `event`.
    pub fn tells(&self, event: Event) -> bool {
        self.enabled && self.events.contains(&event)
    }
}

/// An event of a job or call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It has failed `after_failures` times in a row.
    Failed,
    /// It has succeeded after `Failed` or `Overdue` was sent.
    Recovered,
    /// It has succeeded.
    Succeeded,
    /// It has not succeeded within `expect_success_within_seconds`.
    Overdue,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Recovered, Self::Succeeded, Self::Overdue];
    /// The default events.
    pub const DEFAULT: [Self; 3] = [Self::Failed, Self::Recovered, Self::Overdue];

    /// Its name for clients and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Succeeded => "succeeded",
            Self::Overdue => "overdue",
        }
    }

    /// The event of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }
}

/// The format of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON, signed according to the Standard Webhooks specification.
    #[default]
    Standard,
    /// A text for Slack, Mattermost or Rocket.Chat.
    Slack,
    /// Alerts for Prometheus's Alertmanager.
    Alertmanager,
}

impl Format {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Slack, Self::Alertmanager];

    /// Its name for clients and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
            Self::Alertmanager => "alertmanager",
        }
    }
}

/// A label selector in the syntax of Cloud Foundry: `env=prod,!old`. An empty one matches everything.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Selector {
    text: String,
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    /// One of these; `None`: any value.
    values: Option<Vec<String>>,
    /// Whether the requirement is negated.
    is_negated: bool,
}

impl Selector {
    /// The longest selector, in bytes.
    pub const LENGTH_MAX: usize = 1000;

    /// Reads requirements separated by commas: `key`, `!key`, `key=value` (or `==`), `key!=value`, `key in
    /// (a,b)`, `key notin (a,b)`. `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        if Self::LENGTH_MAX < text.len() {
            return None;
        }
        let requirements = match text.trim().is_empty() {
            true => Vec::new(),
            false => parts(text)?.into_iter().map(requirement).collect::<Option<_>>()?,
        };
        Some(Self { text: text.to_owned(), requirements })
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all requirements hold. A job or call without the key matches `!=` and `notin`.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let holds = match (&requirement.values, value) {
                (None, value) => value.is_some(),
                (Some(values), Some(value)) => values.contains(value),
                (Some(_), None) => false,
            };
            holds != requirement.is_negated
        })
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// Splits at the commas that are not in parentheses.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut is_inside) = (Vec::new(), 0, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' if is_inside => return None,
            b')' if !is_inside => return None,
            b'(' => is_inside = true,
            b')' => is_inside = false,
            b',' if !is_inside => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_inside).then_some(parts)
}

fn requirement(part: &str) -> Option<Requirement> {
    let part = part.trim();
    let of = |key: &str, values: Option<Vec<&str>>, is_negated| {
        let key = key.trim();
        let values = match values {
            None => None,
            Some(values) => {
                let values: Vec<String> = values.iter().map(|value| value.trim().to_owned()).collect();
                if !values.iter().all(|value| is_plain(value)) {
                    return None;
                }
                Some(values)
            }
        };
        let is_key = !key.is_empty() && key.split('/').count() <= 2 && key.split('/').all(is_plain);
        is_key.then(|| Requirement { key: key.to_owned(), values, is_negated })
    };
    if let Some(list) = part.strip_suffix(')') {
        let (head, list) = list.split_once('(')?;
        let head = head.trim_end();
        let values = Some(list.split(',').collect());
        if let Some(key) = head.strip_suffix(" notin") {
            return of(key, values, true);
        }
        return of(head.strip_suffix(" in")?, values, false);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return of(key, Some(vec![value]), true);
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return of(key, Some(vec![value]), false);
    }
    match part.strip_prefix('!') {
        Some(key) => of(key, None, true),
        None => of(part, None, false),
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_those_of_cloud_foundry() {
        let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let billing = labels(&[("env", "prod"), ("example.com/team", "billing")]);
        for (selector, matches) in [
            ("", true),
            ("env", true),
            ("!env", false),
            ("old", false),
            ("!old", true),
            ("env=prod", true),
            ("env == prod", true),
            ("env=dev", false),
            ("env!=dev", true),
            ("old!=yes", true),
            ("env in (dev, prod)", true),
            ("env notin (dev,prod)", false),
            ("old notin (a)", true),
            ("old in (a)", false),
            ("example.com/team=billing, env in (prod),!old", true),
            ("example.com/team=billing,env=dev", false),
        ] {
            assert_eq!(Selector::parse(selector).map(|it| it.matches(&billing)), Some(matches), "{selector}");
        }
        for wrong in ["=", "a=b=c d", "a in (b", "a in b)", "a (b)", ",", "a,,b", "a b", "in (a)", "ä=b"] {
            assert_eq!(Selector::parse(wrong), None, "{wrong}");
        }
    }
}
