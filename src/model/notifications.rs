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
    requirements: Vec<LabelRequirement>,
}

/// What a [`Selector`] says of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRequirement {
    /// Not empty for a selector that the API took.
    pub key: String,
    /// One of these, which may be empty texts; `None`: any value.
    pub values: Option<Vec<String>>,
    /// Whether the requirement is negated.
    pub is_negated: bool,
}

impl Selector {
    /// Reads requirements separated by commas, all of which must hold: `key`, `!key`, `key=value` (or `==`),
    /// `key!=value`, `key in (a,b)`, `key notin (a,b)`.
    ///
    /// # Errors What is wrong, to be read on after the name of the field. Whether a label can have such a key
    /// and such a value is not looked at.
    pub fn parse(text: &str) -> Result<Self, String> {
        let requirements = match text.trim().is_empty() {
            true => Vec::new(),
            false => parts(text).map(|part| requirement(part.trim())).collect::<Result<_, _>>()?,
        };
        Ok(Self { text: text.to_owned(), requirements })
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In the order of the text; none: it matches everything.
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.requirements
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

/// The text between commas, but for those inside of parentheses.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth <= 0
    })
}

fn requirement(text: &str) -> Result<LabelRequirement, String> {
    let of = |key: &str, values: Option<Vec<&str>>, is_negated| {
        let values = values.map(|values| values.into_iter().map(|it| it.trim().to_owned()).collect());
        Ok(LabelRequirement { key: key.trim().to_owned(), values, is_negated })
    };
    let unreadable = || format!("has {text:?}, which is not a requirement");
    if text.is_empty() {
        return Err("has an empty requirement".to_owned());
    }
    if let Some(key) = text.strip_prefix('!') {
        return of(key, None, true);
    }
    if let Some((key, rest)) = text.split_once(char::is_whitespace)
        && !rest.trim_start().starts_with(['=', '!'])
    {
        let rest = rest.trim_start();
        let (is_negated, list) = match rest.strip_prefix("notin") {
            Some(list) => (true, list),
            None => (false, rest.strip_prefix("in").ok_or_else(unreadable)?),
        };
        let list = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
        return of(key, Some(list.ok_or_else(unreadable)?.split(',').collect()), is_negated);
    }
    if let Some((key, value)) = text.split_once("!=") {
        return of(key, Some(vec![value]), true);
    }
    if let Some((key, value)) = text.split_once('=') {
        return of(key, Some(vec![value.strip_prefix('=').unwrap_or(value)]), false);
    }
    of(text, None, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_parsed_as_in_cloud_foundry() {
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
            assert_eq!(Selector::parse(selector).map(|it| it.matches(&billing)), Ok(matches), "{selector}");
        }
        for wrong in ["a in (b", "a in b)", "a (b)", ",", "a,,b", "a b", "in (a)", "a in (b,c"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn requirements_are_parsed_as_in_cloud_foundry() {
        let of = |key: &str, values: Option<&[&str]>, is_negated| LabelRequirement {
            key: key.to_owned(),
            values: values.map(|values| values.iter().map(|it| (*it).to_owned()).collect()),
            is_negated,
        };
        let text = "env, !old,team=a,tier==b,x!=c, example.com/y in (d, e) ,z notin (f),empty=";
        assert_eq!(
            Selector::parse(text).unwrap().requirements(),
            [
                of("env", None, false),
                of("old", None, true),
                of("team", Some(&["a"]), false),
                of("tier", Some(&["b"]), false),
                of("x", Some(&["c"]), true),
                of("example.com/y", Some(&["d", "e"]), false),
                of("z", Some(&["f"]), true),
                of("empty", Some(&[""]), false),
            ]
        );
    }
}
