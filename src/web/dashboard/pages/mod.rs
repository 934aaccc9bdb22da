//! The pages: each a function from what it shows to HTML.

use maud::html;

use super::ask::Refusal;
use super::layout::pages_title;
use super::{Page, View};

pub(super) mod audit;
pub(super) mod calendar;
pub(super) mod editor;
pub(super) mod executable;
pub(super) mod executables;
pub(super) mod execution;
pub(super) mod executions;
pub(super) mod health;
pub(super) mod notifications;
pub(super) mod overview;
pub(super) mod schedule;

/// A page that says why something was refused.
pub(super) fn refused(view: &View<'_>, refusal: &Refusal) -> Page {
    let main = html! {
        p { (refusal.text) }
        @if !refusal.errors.is_empty() {
            ul { @for (field, detail) in &refusal.errors { li { bdi { (field) } " " (detail) } } }
        }
        p { a href=(view.link("/")) { "Go to the overview" } }
    };
    Page::new(pages_title(refusal.status), main).with_status(refusal.status).still()
}
