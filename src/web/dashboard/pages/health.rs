//! How the service itself is, for admins.

use maud::html;

use crate::web::api::error::ApiError;
use crate::web::dashboard::ask::Refusal;
use crate::web::dashboard::{Page, PageResult, View};
use crate::web::routes::OpenRoute;

pub(in crate::web::dashboard) fn show(view: &View<'_>) -> PageResult {
    if !view.session.admin {
        return Err(Refusal::new(404, "There is no such page."));
    }
    let readiness = match view.api.answer_open(OpenRoute::Ready, view.request) {
        Ok(response) => (
            response.status_code().0 == 200,
            "The database takes writes, and the platform answers.".to_owned(),
        ),
        Err(error) => (false, ApiError::detail(&error)),
    };
    let main = html! {
        @if readiness.0 {
            p { span.state.succeeded { b aria-hidden="true" { "✓" } "ready" } " " (readiness.1) }
        } @else {
            div.notice.bad role="alert" { p { span.state.failed { b aria-hidden="true" { "✕" } "not ready" } " " (readiness.1) } }
        }
        dl {
            dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) }
            dt { "Time zone" } dd { (view.api.default_timezone.as_deref().unwrap_or("UTC")) }
            dt { "Dialect of new schedules" } dd { (view.api.dialect.name()) }
            dt { "Needs a service instance" } dd { (view.api.require_service_instance) }
        }
        p.quiet { "Numbers for graphs are at " code { "/metrics" } "." }
    };
    Ok(Page::new("Health", main).into())
}
