//! Task names on the platform. People find tasks by them, and the service looks for a task by name when the
//! outcome of its creation is unknown.
//!
//! Invariant: a name holds the guid of its execution, so no two executions share one. The names of all
//! attempts follow from that of the first, which is recorded with the execution: renaming a job or changing
//! the setting loses no task.

use super::Guid;

/// The longest name that Cloud Foundry takes, in characters.
pub const TASK_NAME_CHARS_MAX: usize = 255;
/// The most fixed text in a name; the rest is for the guid and the job's name.
const TEXT_CHARS_MAX: usize = 100;
/// How many attempts are looked for by name: the latest ones.
const ATTEMPTS_MAX: usize = 20;

const EXECUTION: &str = "{execution}";
const JOB: &str = "{job}";

/// The pattern of task names: `TASK_NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskNames {
    pattern: String,
}

impl Default for TaskNames {
    fn default() -> Self {
        Self { pattern: EXECUTION.to_owned() }
    }
}

impl TaskNames {
    /// Reads `TASK_NAME`. The error says which rule it breaks.
    pub fn parse(pattern: &str) -> Result<Self, &'static str> {
        let count = |placeholder: &str| pattern.matches(placeholder).count();
        if count(EXECUTION) != 1 {
            return Err("must contain {execution} once, for the guid of the execution");
        }
        if 1 < count(JOB) {
            return Err("must not contain {job} more than once");
        }
        let text = pattern.replace(EXECUTION, "").replace(JOB, "");
        if text.contains(['{', '}']) {
            return Err("must not contain placeholders other than {execution} and {job}");
        }
        if text.chars().any(is_unfindable) {
            return Err("must not contain a comma, per cent sign or control character");
        }
        if TEXT_CHARS_MAX < text.chars().count() {
            return Err("must have at most 100 characters besides its placeholders");
        }
        Ok(Self { pattern: pattern.to_owned() })
    }

    /// The task name of the first attempt. The job's name is truncated to fit.
    pub fn first(&self, execution: &Guid, job: &str) -> String {
        let named = self.pattern.replacen(EXECUTION, execution.as_str(), 1);
        let taken = named.replacen(JOB, "", 1).chars().count();
        let job: String = job
            .trim()
            .chars()
            .map(|c| if is_unfindable(c) { '_' } else { c })
            .take(TASK_NAME_CHARS_MAX.saturating_sub(taken))
            .collect();
        named.replacen(JOB, &job, 1).trim().to_owned()
    }
}

/// The task name of a later attempt: that of the first, with the number after the guid.
pub fn task_name_of_attempt(first: &str, execution: &Guid, attempt: u32) -> String {
    let guid = execution.as_str();
    let name = first.replacen(guid, &format!("{guid}-{attempt}"), 1);
    let over = name.chars().count().saturating_sub(TASK_NAME_CHARS_MAX);
    let before_guid = name.find(guid).map_or(0, |at| name[..at].chars().count());
    // The guid and the number are never truncated.
    let fitting: String = match over <= before_guid {
        true => name.chars().skip(over).collect(),
        false => name.chars().take(TASK_NAME_CHARS_MAX).collect(),
    };
    fitting.trim().to_owned()
}

/// The names that the tasks of this many attempts may have.
pub fn task_names_so_far(first: &str, execution: &Guid, attempts: u32) -> Vec<String> {
    let later = (2..=attempts).rev().take(ATTEMPTS_MAX);
    let later = later.map(|attempt| task_name_of_attempt(first, execution, attempt));
    std::iter::once(first.to_owned()).chain(later).collect()
}

/// Whether a task whose name contains this character cannot be looked up. In Cloud Foundry's filters a comma
/// separates names, and newer versions decode values twice.
pub fn is_unfindable(character: char) -> bool {
    matches!(character, ',' | '%') || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "0b2d3e6c-5f5a-4c57-8f39-0a4f1f4a9f10";

    fn first(pattern: &str, job: &str) -> String {
        TaskNames::parse(pattern).unwrap().first(&Guid::from(GUID), job)
    }

    #[test]
    fn a_name_is_the_executions_guid_unless_the_jobs_name_is_wanted_too() {
        assert_eq!(TaskNames::default().first(&Guid::from(GUID), "nightly"), GUID);
        assert_eq!(first("{job}-|-{execution}", "nightly"), format!("nightly-|-{GUID}"));
        assert_eq!(first("{execution} of {job}", "a b"), format!("{GUID} of a b"));
        assert_eq!(first("{job}.{execution}", "50%,\n{execution}"), format!("50___{{execution}}.{GUID}"));
    }

    #[test]
    fn the_jobs_name_is_truncated_by_characters_so_that_all_fits() {
        for job in ["x", "日", "🦀"] {
            let (name, whole) = (first("{job}-|-{execution}", &job.repeat(300)), job.repeat(216));
            assert_eq!(name, format!("{whole}-|-{GUID}"));
            assert_eq!(name.chars().count(), TASK_NAME_CHARS_MAX);
            let tenth = task_name_of_attempt(&name, &Guid::from(GUID), 10);
            assert!(tenth.ends_with(&format!("{job}-|-{GUID}-10")), "{tenth}");
            assert_eq!(tenth.chars().count(), TASK_NAME_CHARS_MAX);
            let tenth =
                task_name_of_attempt(&first("{execution}-{job}", &job.repeat(300)), &Guid::from(GUID), 10);
            assert!(tenth.starts_with(&format!("{GUID}-10-{job}")), "{tenth}");
            assert_eq!(tenth.chars().count(), TASK_NAME_CHARS_MAX);
        }
    }

    #[test]
    fn each_attempt_has_a_name_of_its_own_and_the_latest_of_many_are_looked_for() {
        let names = task_names_so_far("j-|-g", &Guid::from("g"), 3);
        assert_eq!(names, ["j-|-g", "j-|-g-3", "j-|-g-2"]);
        assert_eq!(task_names_so_far("g", &Guid::from("g"), u32::MAX).len(), 21);
        assert_eq!(task_names_so_far("g", &Guid::from("g"), 0), ["g"]);
    }

    #[test]
    fn a_pattern_without_the_execution_or_with_something_unknown_is_refused() {
        for pattern in [
            "{job}",
            "",
            "{execution}{execution}",
            "{job}{job}{execution}",
            "{name}-{execution}",
            "{execution}}",
        ] {
            assert!(TaskNames::parse(pattern).is_err(), "{pattern}");
        }
        for pattern in ["a,{execution}", "%{execution}", &format!("{{execution}}{}", "x".repeat(101))] {
            assert!(TaskNames::parse(pattern).is_err(), "{pattern}");
        }
    }
}
