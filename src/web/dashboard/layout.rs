//! The frame of a page, and pages without one.

use maud::{DOCTYPE, Markup, html};

use super::components::{fit, share};
use super::{Dashboard, Fields, Page, Refusal, View, assets, respond_html, version_of};
use crate::cron::zone_names;
use crate::http::{Response, respond, with_header};
use crate::model::Guid;
use crate::platform::Named;

/// The most spaces that can be chosen from.
const SPACES_MAX: usize = 100;
/// The bytes of the names of spaces to choose from.
const SPACES_BYTES: usize = 5000;

fn document(title: &str, now: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-now=(now) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – OCF Scheduler" }
                link rel="stylesheet" href=(assets::style());
                link rel="icon" href="data:,";
                script type="module" src=(assets::script()) {}
            }
            body { (body) }
        }
    }
}

fn mark() -> Markup {
    html! {
        svg width="20" height="20" viewBox="0 0 20 20" aria-hidden="true" {
            circle.mark cx="10" cy="10" r="9" {}
            path d="M10 5v5l4 2" fill="none" stroke="#fff" stroke-width="2" {}
        }
    }
}

/// A page in its frame, or 304 if the browser already has this version.
pub(super) fn framed(view: &View<'_>, page: Page) -> Response {
    let heading = html! {
        div.head { h1 { bdi { (page.title) } } div.actions { (page.actions) } }
    };
    let main = html! { (heading) (page.main) }.into_string();
    let version = version_of(&main);
    let etag = format!("\"{version}\"");
    if page.is_live && page.status == 200 && view.request.header("If-None-Match") == Some(&etag) {
        return with_header(respond(304), "ETag", &etag);
    }
    let now = view.now.to_string();
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header {
            div.bar {
                a.brand href=(view.link("/")) { (mark()) "OCF Scheduler" }
                (choosers(view))
            }
            div.bar { nav aria-label="Pages" { ul { @for (path, name) in links(view) {
                @let is_here = is_here(view, path);
                li { a href=(view.link(path)) aria-current=[is_here.then_some("page")] { (name) } }
            } } } }
        }
        main id="main" tabindex="-1" data-version=[page.is_live.then_some(&version)] {
            (maud::PreEscaped(&main))
        }
        footer { "Times in " (view.zone_name) ". ocf-scheduler " (env!("CARGO_PKG_VERSION")) }
    };
    let response = respond_html(page.status, document(&page.title, &now, &body));
    if page.is_live { with_header(response, "ETag", &etag) } else { response }
}

fn links(view: &View<'_>) -> Vec<(&'static str, &'static str)> {
    let mut links = vec![
        ("/", "Overview"),
        ("/executions", "Executions"),
        ("/jobs", "Jobs"),
        ("/calls", "Calls"),
        ("/calendar", "Calendar"),
        ("/notifications", "Notifications"),
        ("/audit", "Audit"),
    ];
    if view.session.admin {
        links.push(("/health", "Health"));
    }
    links
}

fn is_here(view: &View<'_>, path: &str) -> bool {
    view.path.first().map_or("", String::as_str) == path.trim_start_matches('/')
}

fn choosers(view: &View<'_>) -> Markup {
    let here = format!("/dashboard/{}", view.path.join("/"));
    let chosen = view.space();
    // If they cannot be read, the page is shown without them.
    let mut spaces = view.api.spaces_of(&view.caller).unwrap_or_default();
    spaces.truncate(SPACES_MAX);
    if !chosen.is_empty() && !spaces.iter().any(|space| space.as_str() == chosen) {
        spaces.extend(Guid::from_outside(chosen));
    }
    let room = share(SPACES_BYTES, spaces.len());
    view.learn_names(Named::Space, spaces.iter().map(Guid::as_str));
    let zones = zone_names();
    let is_offered = zones.contains(&view.zone_name);
    // A page about one thing shows it whatever space is chosen, so the choice leads to the overview.
    let to = if view.path.len() < 2 { here.clone() } else { "/dashboard/".to_owned() };
    html! {
        div.choosers {
            form method="get" action=(to) {
                label for="space" { "Space" }
                select id="space" name="space_guid" {
                    option value="" { "All spaces" }
                    @for guid in spaces.iter().map(Guid::as_str) {
                        option value=(guid) selected[guid == chosen] { (fit(&view.space_name(guid), room)) }
                    }
                }
                button { "Show" }
            }
            form method="post" action="/dashboard/time-zone" {
                input type="hidden" name="form_token" value=(view.form_token());
                input type="hidden" name="to" value={ (here) (view.query.with(&[])) };
                label for="zone" { "Show times in" }
                select id="zone" name="zone" {
                    @if !is_offered { option selected { (view.zone_name) } }
                    @for zone in zones { option selected[*zone == view.zone_name] { (zone) } }
                }
                button { "Set" }
            }
            form method="post" action="/dashboard/sign-out" {
                input type="hidden" name="form_token" value=(view.form_token());
                button { "Sign out" }
            }
        }
    }
}

/// The sign-in page.
pub(super) fn sign_in(dashboard: &Dashboard, fields: &Fields, wrong: Option<&str>) -> Markup {
    let to = fields.get("to");
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        main.alone id="main" {
            h1 { "Sign in" }
            @if let Some(wrong) = wrong { div.notice.bad role="alert" { p { (wrong) } } }
            @if dashboard.is_standalone {
                p {
                    "Paste a token of the service's file. " code { "ocf-scheduler dashboard" }
                    " prints a link that signs you in without it."
                }
            } @else {
                p { "Paste what " code { "cf oauth-token" } " prints. The token is used once and not kept." }
            }
            @if dashboard.client.is_some() {
                @let query = Fields::default().with(&[("with", "cf"), ("to", to)]);
                p { a.button.primary href={ "/dashboard/sign-in" (query) } { "Sign in with Cloud Foundry" } }
            }
            form method="post" action="/dashboard/sign-in" {
                input type="hidden" name="to" value=(to);
                div.field {
                    label for="token" { "Token" }
                    input id="token" name="token" type="password" autocomplete="off" required autofocus;
                }
                button.primary { "Sign in" }
            }
        }
    };
    document("Sign in", "", &body)
}

/// A refusal without a frame, for users without a session.
pub(super) fn alone(refusal: &Refusal) -> Response {
    let title = pages_title(refusal.status);
    let body = html! {
        main.alone id="main" {
            h1 { (title) }
            p { (refusal.text) }
            p { a href="/dashboard/" { "Go to the overview" } }
        }
    };
    respond_html(refusal.status, document(title, "", &body))
}

/// The title of a page for a status.
pub(super) fn pages_title(status: u16) -> &'static str {
    match status {
        401 | 403 => "Not allowed",
        404 => "Not found",
        422 => "Not accepted",
        429 => "Too many requests",
        503 => "Not available",
        _ => "Something went wrong",
    }
}

/// A link to the next page of a list.
pub(super) fn next_page(path: &str, fields: &Fields, name: &str, value: &str) -> Markup {
    html! {
        div.pages { a.button href={ (path) (fields.with(&[(name, value)])) } rel="next" { "Next page" } }
    }
}
