//! The bodies of deliveries. Pure functions.

use serde_json::{Value as Json, json};

use crate::base::public_url::PublicUrl;
use crate::model::{Format, Timestamp};
use crate::store::{ActiveAlert, Delivery, Digest, ENDED_EVENTS, Sending};

/// An alert that is not repeated ends after this time. Alertmanager's own clients set an end in the same way.
const ALERT_SECONDS: i64 = 5 * 60;
/// When a test alert ends. It is never repeated.
const TEST_SECONDS: i64 = 60;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// The most members of a summary that a text lists.
const NAMED_MAX: usize = 10;

/// The body to send; `None`: there is nothing to report.
pub(super) fn of(sending: &Sending, public_url: &PublicUrl, now: Timestamp) -> Option<String> {
    if sending.notification.definition.format == Format::Alertmanager {
        return alerts(sending, public_url, now);
    }
    let delivery = sending.deliveries.first()?;
    let body = match sending.notification.definition.format {
        Format::Slack => json!({ "text": text(delivery, sending.summary.as_ref(), public_url) }),
        _ => standard(delivery, sending.summary.as_ref(), public_url),
    };
    Some(body.to_string())
}

/// The type of the event, as Standard Webhooks writes it.
fn type_of(event: &str) -> &'static str {
    match event {
        "failed" => "execution.failed",
        "recovered" => "execution.recovered",
        "succeeded" => "execution.succeeded",
        "overdue" => "job.overdue",
        "reminder" => "reminder",
        "summary" => "summary",
        _ => "test",
    }
}

fn standard(delivery: &Delivery, summary: Option<&Digest>, public_url: &PublicUrl) -> Json {
    let data = match summary {
        None => with_url(&delivery.data, public_url),
        Some(summary) => {
            let member = |(event, data, at): &(String, Json, Timestamp)| {
                let data = with_url(data, public_url);
                json!({ "type": type_of(event), "timestamp": at.to_string(), "data": data })
            };
            json!({
                "counts": summary.counts,
                "first": summary.first.iter().map(member).collect::<Vec<_>>(),
                "message": counted(summary),
            })
        }
    };
    json!({ "type": type_of(&delivery.event), "timestamp": delivery.created_at.to_string(), "data": data })
}

fn with_url(data: &Json, public_url: &PublicUrl) -> Json {
    let mut data = data.clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove(ENDED_EVENTS);
    }
    data["url"] = json!(url_of(&data, public_url));
    data
}

fn url_of(data: &Json, public_url: &PublicUrl) -> Option<String> {
    let space = data["space_guid"].as_str().unwrap_or_default();
    data["execution"]["guid"].as_str().and_then(|guid| public_url.of_execution(space, guid))
}

fn counted(summary: &Digest) -> String {
    let counts: Vec<String> =
        summary.counts.iter().map(|(event, count)| format!("{count} {event}")).collect();
    counts.join(", ")
}

/// A text in Slack's markup, which Mattermost and Rocket.Chat accept too.
fn text(delivery: &Delivery, summary: Option<&Digest>, public_url: &PublicUrl) -> String {
    let Some(summary) = summary else { return line(&delivery.event, &delivery.data, public_url) };
    let total: u64 = summary.counts.values().sum();
    let mut lines = vec![format!("*{total} messages:* {}", counted(summary))];
    let named = summary.first.iter().take(NAMED_MAX);
    lines.extend(named.clone().map(|(event, data, _)| format!("• {}", line(event, data, public_url))));
    let rest = total.saturating_sub(named.len() as u64);
    if rest > 0 {
        lines.push(format!("… and {rest} more"));
    }
    lines.join("\n")
}

fn line(event: &str, data: &Json, public_url: &PublicUrl) -> String {
    let message = escaped(data["message"].as_str().unwrap_or_default());
    if event == "test" {
        return message;
    }
    let failures = data["failures"].as_u64().unwrap_or_default();
    let since = data["failing_since"].as_str();
    let what = match event {
        "failed" if failures > 1 => format!("has failed {failures} times in a row"),
        "failed" => "has failed".to_owned(),
        "recovered" if data["deleted"] == json!(true) => "was deleted".to_owned(),
        "recovered" => "has recovered".to_owned(),
        "succeeded" => "has succeeded".to_owned(),
        "overdue" => "is overdue".to_owned(),
        _ if data["event"] == json!("overdue") => "is still overdue".to_owned(),
        _ => "still fails".to_owned(),
    };
    let mut line = format!("*{}* {what}", subject(data));
    if let (Some(since), "failed" | "recovered" | "reminder") = (since, event) {
        line.push_str(&format!(" (since {since})"));
    }
    if !message.is_empty() && data["deleted"] != json!(true) {
        line.push_str(&format!(": {message}"));
    }
    if let Some(url) = url_of(data, public_url) {
        line.push_str(&format!(" <{}|details>", escaped(&url)));
    }
    line
}

/// For example "job nightly".
fn subject(data: &Json) -> String {
    let (kind, of) = executable(data);
    format!("{kind} {}", escaped(of["name"].as_str().unwrap_or_default()))
}

fn executable(data: &Json) -> (&'static str, &Json) {
    match data.get("job") {
        Some(job) => ("job", job),
        None => ("call", &data["call"]),
    }
}

/// Escapes the three special characters of Slack's markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// All active alerts and the ended ones, as Alertmanager's API (v2) expects them.
fn alerts(sending: &Sending, public_url: &PublicUrl, now: Timestamp) -> Option<String> {
    let ahead = |seconds: i64| now.shifted(seconds * NANOS_PER_SECOND);
    let active = |alert: &ActiveAlert| {
        self::alert(&alert.event, &alert.data, (alert.since, ahead(ALERT_SECONDS)), public_url)
    };
    let mut alerts: Vec<Json> = sending.alerts.iter().map(active).collect();
    for delivery in &sending.deliveries {
        match delivery.event.as_str() {
            "recovered" => {
                let since = failing_since(delivery);
                let ended: Vec<&str> = match delivery.data[ENDED_EVENTS].as_array() {
                    Some(events) => events.iter().filter_map(Json::as_str).collect(),
                    // Written by a version without this field.
                    None => vec!["failed", "overdue"],
                };
                let end = |event: &&str| self::alert(event, &delivery.data, (since, now), public_url);
                alerts.extend(ended.iter().map(end));
            }
            "test" => {
                let times = (delivery.created_at, ahead(TEST_SECONDS));
                alerts.push(self::alert("test", &delivery.data, times, public_url));
            }
            // Among the active ones.
            _ => {}
        }
    }
    (!alerts.is_empty()).then(|| Json::Array(alerts).to_string())
}

fn failing_since(delivery: &Delivery) -> Timestamp {
    let since = delivery.data["failing_since"].as_str().and_then(Timestamp::parse);
    since.unwrap_or(delivery.created_at)
}

fn alert(
    event: &str,
    data: &Json,
    (starts_at, ends_at): (Timestamp, Timestamp),
    public_url: &PublicUrl,
) -> Json {
    let mut labels = json!({ "alertname": format!("OcfScheduler_{event}"), "event": event });
    for guid in ["space_guid", "app_guid"] {
        if let Some(value) = data[guid].as_str() {
            labels[guid] = json!(value);
        }
    }
    let mut annotations = json!({ "description": data["message"].as_str().unwrap_or_default() });
    if event != "test" {
        let (kind, of) = executable(data);
        labels[format!("{kind}_guid")] = of["guid"].clone();
        let state = if event == "overdue" { "is overdue" } else { "fails" };
        annotations["name"] = of["name"].clone();
        annotations["summary"] = json!(format!("{kind} {} {state}", of["name"].as_str().unwrap_or_default()));
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": starts_at.min(ends_at).to_string(),
        "endsAt": ends_at.to_string(),
    });
    if let Some(url) = url_of(data, public_url) {
        alert["generatorURL"] = json!(url);
    }
    alert
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_escapes_what_slack_would_read_as_markup() {
        let data = json!({
            "job": { "guid": "g", "name": "<!channel> & co" }, "message": "exit 1 > 0", "failures": 3,
            "failing_since": "2026-01-01T00:00:00Z", "execution": { "guid": "e" },
        });
        let public_url = PublicUrl::new(Some("https://scheduler.example.com"));
        assert_eq!(
            line("failed", &data, &public_url),
            "*job &lt;!channel&gt; &amp; co* has failed 3 times in a row (since 2026-01-01T00:00:00Z): exit \
             1 \
             &gt; 0 <https://scheduler.example.com/dashboard/executions/e|details>"
        );
    }
}
