//! The commands for notifications and audit events: the real program against a real service.

use std::process::{Command, Stdio};

use serde_json::json;

use super::notifications::Receiver;
use super::world::{SPACE, World, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ocf-scheduler");

/// The exit status, and everything that was printed.
fn cli(world: &World, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(PROGRAM);
    let url = world.url();
    command.env_clear().env("SCHEDULER_URL", &url).env("SCHEDULER_TOKEN", &world.token).stdin(Stdio::null());
    let output = command.env("SCHEDULER_SPACE", SPACE).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn notifications_are_created_changed_tested_and_deleted_by_name() {
    let world = World::start();
    let receiver = Receiver::start();
    let call = world.call("ping", "http://127.0.0.1:9/");
    let url = format!("{}/path-secret", receiver.url);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let create = [
        "create-notification",
        "ops",
        &url,
        "--calls",
        "ping",
        "--events",
        "failed,recovered",
        "--after-failures",
        "2",
        "--remind-after",
        "3600",
        "--secret",
        secret,
    ];
    let (status, text) = cli(&world, &create);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("failed,recovered") && !text.contains("secret") && !text.contains("whsec_"),
        "{text}"
    );
    let made = world.get("/notifications").json()["resources"][0].clone();
    assert_eq!((&made["call_guids"], &made["after_failures"]), (&json!([call]), &json!(2)));
    assert_eq!((&made["remind_after_seconds"], &made["secret"]), (&json!(3600), &json!("[hidden]")));
    assert_eq!(cli(&world, &create).0, 6, "the name is taken");

    let (status, text) = cli(&world, &["test-notification", "ops"]);
    assert!(status == 0 && text.contains("WAITING"), "{text}");
    receiver.wait_for(1);
    wait_for(|| cli(&world, &["deliveries", "ops", "--limit", "5"]).1.contains("DELIVERED").then_some(()));
    let change =
        ["update-notification", "ops", "--disable", "--remind-after", "", "--name", "night", "--secret", ""];
    assert_eq!(cli(&world, &change).0, 0);
    let changed = world.get("/notifications").json()["resources"][0].clone();
    assert_eq!((&changed["enabled"], &changed["remind_after_seconds"]), (&json!(false), &json!(null)));
    assert_eq!((&changed["name"], &changed["secret"]), (&json!("night"), &json!(null)));
    assert!(cli(&world, &["notifications"]).1.contains("night"));
    for (arguments, status) in [
        (&["update-notification", "night"][..], 2),
        (&["update-notification", "night", "--after-failures", "x"], 2),
        (&["update-notification", "night", "--after-failures", "0"], 6),
        (&["update-notification", "night", "--calls", "nobody"], 3),
        (&["deliveries", "nobody"], 3),
        (&["deliveries", "night", "--limit", "0"], 2),
    ] {
        let (found, text) = cli(&world, arguments);
        assert_eq!(found, status, "{arguments:?}: {text}");
    }
    assert_eq!(cli(&world, &["delete-notification", "night"]).0, 0);
    assert_eq!(world.get("/notifications").json()["resources"], json!([]));

    let (status, text) = cli(&world, &["audit-events", "--types", "notification.update,notification.delete"]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("notification.delete") && text.contains("dev@example.com"), "{text}");
    assert_eq!(cli(&world, &["audit-events", "--since", "1y"]).0, 2);
    assert!(cli(&world, &["audit-events", "--since", "1h", "--target", &call]).1.contains("call.create"));
}
