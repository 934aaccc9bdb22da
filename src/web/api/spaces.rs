//! Spaces: lists them with their contents, and pauses and resumes them.

use serde::Serialize;

use super::audit::{By, differences};
use super::error::ApiError;
use super::fields::Fields;
use super::page::{self, Paging};
use super::query::Query;
use super::quotas::Quotas;
use super::violation::Violation;
use super::{Api, until_written, versions};
use crate::http::{Request, Response};
use crate::model::{Guid, Timestamp};
use crate::store::{Space, SpacePause, Target};
use crate::web::auth::Caller;

const NOTE_CHARS_MAX: usize = 1000;

/// The JSON of a space.
#[derive(Serialize)]
struct SpaceJson {
    guid: String,
    paused: bool,
    paused_until: Option<String>,
    paused_by: Option<String>,
    paused_note: Option<String>,
    jobs: u64,
    calls: u64,
    schedules: u64,
    quota: Quotas,
}

impl SpaceJson {
    fn of(space: Space, quota: Quotas) -> Self {
        let Space { guid, pause, jobs, calls, schedules, .. } = space;
        let paused = pause.is_some();
        let pause = pause.unwrap_or_default();
        Self {
            guid: guid.to_string(),
            paused,
            paused_until: pause.until.map(|until| until.to_string()),
            paused_by: Some(pause.by).filter(|by| !by.is_empty()),
            paused_note: pause.note,
            jobs,
            calls,
            schedules,
            quota,
        }
    }
}

impl Api {
    /// The guids of the caller's spaces, in order; for an admin of all that have a job or call, or had a
    /// pause.
    pub(in crate::web) fn spaces_of(&self, caller: &Caller) -> Result<Vec<Guid>, ApiError> {
        let mut guids: Vec<Guid> = match caller.spaces() {
            Some(spaces) => spaces.into_iter().collect(),
            None => self.store.known_spaces()?,
        };
        guids.sort();
        Ok(guids)
    }

    /// The pause of one of the caller's spaces; `None`: it is not paused.
    pub(in crate::web) fn pause_of(
        &self,
        caller: &Caller,
        guid: &str,
    ) -> Result<Option<SpacePause>, ApiError> {
        let guid = Guid::from_outside(guid).ok_or(ApiError::NotFound)?;
        self.access(caller, &guid)?;
        Ok(self.store.space_pause(&guid, self.clock.now())?)
    }

    /// The caller's spaces; for an admin all that have a job or call, or had a pause.
    pub(super) fn list_spaces(
        &self,
        caller: &Caller,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        Paging::of(query)?;
        let guids = self.spaces_of(caller)?;
        let now = self.clock.now();
        let spaces: Result<Vec<SpaceJson>, ApiError> =
            guids.iter().map(|guid| Ok(SpaceJson::of(self.store.space(guid, now)?, self.quotas))).collect();
        page::whole(request, query, &spaces?)
    }

    pub(super) fn get_space(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        versions::shown(request, &SpaceJson::of(self.space(caller, guid)?, self.quotas))
    }

    /// Pauses a space, resumes it, or changes its pause. Takes effect at once.
    pub(super) fn change_space(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let changed = until_written(|| {
            let seen = self.space(caller, guid)?;
            let allowed = ["paused", "paused_until", "paused_note"];
            self.check_fields(caller, &seen.guid, &request.body, &allowed)?;
            let mut fields = Fields::of(&request.body)?;
            let now = self.clock.now();
            let pause = fields.change_pause(&seen, &caller.user, now);
            let pause = fields.finish(pause)?;
            versions::check(request, &SpaceJson::of(seen.clone(), self.quotas))?;
            if pause == seen.pause {
                return Ok(Some(seen));
            }
            let what = if pause.is_some() { "space.pause" } else { "space.resume" };
            let target = Target { guid: seen.guid.to_string(), kind: "space", name: String::new() };
            let event = self.event(By::of(caller, request), what, target, &seen.guid, || {
                let changed = Space { pause: pause.clone(), ..seen.clone() };
                let shown = |space| SpaceJson::of(space, self.quotas);
                differences(&shown(seen.clone()), &shown(changed))
            });
            let written = self.store.set_space_pause(&seen, pause.as_ref(), now, event.as_ref())?;
            Ok(written.then_some(Space { pause, ..seen }))
        })?;
        self.wake_scheduler();
        versions::object(200, &SpaceJson::of(changed, self.quotas))
    }

    /// A space in which the caller may work.
    fn space(&self, caller: &Caller, guid: &str) -> Result<Space, ApiError> {
        let guid = Guid::from_outside(guid).ok_or(ApiError::NotFound)?;
        self.access(caller, &guid)?;
        Ok(self.store.space(&guid, self.clock.now())?)
    }
}

impl Fields<'_> {
    /// The pause of a space after a change by `user`; `Some(None)`: not paused. `None`: a rule is broken.
    fn change_pause(&mut self, seen: &Space, user: &str, now: Timestamp) -> Option<Option<SpacePause>> {
        let paused = self.given("paused", self.raw.paused, "true, false or null, which stands for false");
        let has_no_pause = paused.is_none() && seen.pause.is_none();
        let paused = paused.map(Option::unwrap_or_default).unwrap_or(seen.pause.is_some());
        let mut pause =
            seen.pause.clone().unwrap_or_else(|| SpacePause { by: user.to_owned(), ..Default::default() });
        if let Some(until) = self.instant("paused_until", self.raw.paused_until) {
            pause.until = until;
            if until.is_some_and(|until| until <= now) {
                let expected = "an instant to come, or null for no end";
                self.violate(Violation::new("paused_until", "past", "is in the past", expected));
                return None;
            }
        }
        let expected = format!("a string of at most {NOTE_CHARS_MAX} characters, or null for none");
        if let Some(note) = self.given::<String>("paused_note", self.raw.paused_note, &expected) {
            if note.as_ref().is_some_and(|note| NOTE_CHARS_MAX < note.chars().count()) {
                let detail = format!("is longer than {NOTE_CHARS_MAX} characters");
                self.violate(Violation::new("paused_note", "too_long", detail, expected));
                return None;
            }
            pause.note = note;
        }
        for (name, is_given) in
            [("paused_until", pause.until.is_some()), ("paused_note", pause.note.is_some())]
        {
            if has_no_pause && is_given {
                let expected = format!("{name} together with \"paused\": true");
                self.violate(Violation::new(
                    name,
                    "not_paused",
                    "is of a pause, and there is none",
                    expected,
                ));
                return None;
            }
        }
        Some(paused.then_some(pause))
    }
}
