//! The report of an import, as text.

use std::collections::BTreeMap;
use std::fmt;

/// The kinds of objects, with their names in the report.
const ALWAYS_SHOWN: &[(&str, &str)] =
    &[("job", "jobs"), ("call", "calls"), ("schedule", "schedules"), ("execution", "executions")];
/// Kinds that a Go service does not have.
const SHOWN_WHEN_THERE: &[(&str, &str)] =
    &[("instance", "service instances"), ("binding", "service bindings"), ("notification", "notifications")];

/// The numbers of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Imported.
    pub taken: u64,
    /// Existed before, unchanged.
    pub there: u64,
    /// Not imported; the report says why.
    pub left: u64,
}

/// What was imported, what existed already, and what could not be imported. Contains no secret.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By kind: `job`, `call`, `schedule`, `execution`, `instance`, `binding`.
    counts: BTreeMap<&'static str, Count>,
    /// Executions that were waiting or running, and are FAILED here.
    pub(super) interrupted: u64,
    /// Executions with running tasks, which are followed from here.
    pub(super) followed: u64,
    /// Executions whose schedule already had one of the same fire time.
    pub(super) redated: u64,
    /// Schedules of a Go service without a zone, which are read in UTC.
    pub(super) in_utc: u64,
    /// Schedules of a Go service without a zone, which got the server's zone.
    pub(super) in_zone: u64,
    /// Names of tasks to cancel that this program never gives.
    pub(super) odd_strays: u64,
    /// What was imported with changes.
    notes: Vec<String>,
    /// What was not imported, and why.
    causes: Vec<String>,
    /// Numbers of executions that were not imported, by reason.
    many: BTreeMap<String, u64>,
}

impl Report {
    /// The numbers of `kind`.
    pub fn count(&self, kind: &str) -> Count {
        self.counts.get(kind).copied().unwrap_or_default()
    }

    /// The number of imported objects by kind, without zeros.
    pub(super) fn taken(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(kind, count)| (*kind, count.taken)).filter(|(_, taken)| *taken > 0)
    }

    pub(super) fn take(&mut self, kind: &'static str) {
        self.counts.entry(kind).or_default().taken += 1;
    }

    pub(super) fn find(&mut self, kind: &'static str) {
        self.counts.entry(kind).or_default().there += 1;
    }

    /// Counts one that was not imported; `cause` names it.
    pub(super) fn leave(&mut self, kind: &'static str, cause: String) {
        self.counts.entry(kind).or_default().left += 1;
        self.causes.push(cause);
    }

    /// Counts one of possibly many that were not imported for the same `cause`.
    pub(super) fn leave_many(&mut self, kind: &'static str, cause: String) {
        self.counts.entry(kind).or_default().left += 1;
        *self.many.entry(cause).or_default() += 1;
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<18}{:>10}{:>16}{:>12}", "", "taken", "there already", "not taken")?;
        for (kind, title) in ALWAYS_SHOWN.iter().chain(SHOWN_WHEN_THERE) {
            let Count { taken, there, left } = self.count(kind);
            if ALWAYS_SHOWN.contains(&(*kind, *title)) || taken + there + left > 0 {
                writeln!(f, "{title:<18}{taken:>10}{there:>16}{left:>12}")?;
            }
        }
        let changed = [
            (self.interrupted, "were waiting or under way, and are FAILED here: \"interrupted: …\""),
            (self.followed, "have a task that is under way, and is followed from here"),
            (
                self.redated,
                "had the fire time of another of their schedule, and have that of their start here",
            ),
        ];
        if self.in_utc > 0 {
            writeln!(
                f,
                "\nSchedules that name no zone are read in UTC: {}. Had the server another one, import with \
                 --timezone ZONE.",
                self.in_utc
            )?;
        }
        if !self.notes.is_empty() || self.in_zone > 0 || changed.iter().any(|(number, _)| *number > 0) {
            writeln!(f, "\nTaken, but not as it was:")?;
        }
        for (number, what) in changed.iter().filter(|(number, _)| *number > 0) {
            writeln!(f, "  executions that {what}: {number}")?;
        }
        if self.in_zone > 0 {
            let number = self.in_zone;
            writeln!(f, "  schedules that named no zone, and name that of --timezone here: {number}")?;
        }
        for note in &self.notes {
            writeln!(f, "  {}", one_line(note))?;
        }
        if !self.causes.is_empty() || !self.many.is_empty() || self.odd_strays > 0 {
            writeln!(f, "\nNot taken:")?;
        }
        for cause in &self.causes {
            writeln!(f, "  {}", one_line(cause))?;
        }
        for (cause, number) in &self.many {
            writeln!(f, "  executions {}: {number}", one_line(cause))?;
        }
        if self.odd_strays > 0 {
            writeln!(f, "tasks to cancel with names that this program never gives: {}", self.odd_strays)?;
        }
        Ok(())
    }
}

/// Guids come from the other database: keep their contents on one line.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}
