//! Label selectors of clients, and what the statements read of them.

use super::controls::{key_fault, value_fault};
use super::violation::Violation;
use crate::model::{LabelRequirement, Selector};
use crate::store::{LabelSelector, Needles};

/// The most requirements of one selector.
const REQUIREMENTS_MAX: usize = 50;
/// The most values of one requirement.
const VALUES_MAX: usize = 100;
const EXPECTED: &str =
    "requirements with commas between them: key, !key, key=value, key!=value, key in (a,b), key notin (a,b)";

/// The selector of a query as the statements read it. The error says what is wrong with it.
pub(super) fn selector_of(text: &str) -> Result<LabelSelector, Violation> {
    let selector = checked(text)?;
    let requirements = selector.requirements();
    if requirements.is_empty() {
        return Err(fault("has an empty requirement"));
    }
    let takes_unlabelled = requirements.iter().all(|requirement| requirement.is_negated);
    let requirements =
        serde_json::to_string(&needles_of(requirements)).map_err(|_| fault("cannot be read"))?;
    Ok(LabelSelector { requirements, takes_unlabelled })
}

/// A selector that may be empty, of keys and values that labels can have.
pub(super) fn checked(text: &str) -> Result<Selector, Violation> {
    let selector = Selector::parse(text).map_err(fault)?;
    if REQUIREMENTS_MAX < selector.requirements().len() {
        return Err(too_long());
    }
    for LabelRequirement { key, values, .. } in selector.requirements() {
        if let Some(wrong) = key_fault(key) {
            return Err(fault(format!("has the key {key:?}, which {wrong}")));
        }
        let values = values.as_deref().unwrap_or_default();
        if let Some(value) = values.iter().find(|value| value_fault("metadata.labels", value).is_some()) {
            return Err(fault(format!("has {value:?}, which no label can have as its value")));
        }
        if VALUES_MAX < values.len() {
            return Err(too_long());
        }
    }
    Ok(selector)
}

fn needles_of(requirements: &[LabelRequirement]) -> Needles {
    let mut needles = Needles::default();
    for LabelRequirement { key, values, is_negated } in requirements {
        let name = format!("\"{key}\":");
        let members =
            values.as_ref().map(|values| values.iter().map(|value| format!("{name}\"{value}\"")).collect());
        let mut members: Vec<String> = members.unwrap_or_else(|| vec![name]);
        match (*is_negated, members.len()) {
            (true, _) => needles.absent.append(&mut members),
            (false, 1) => needles.present.append(&mut members),
            (false, _) => needles.choices.push(members),
        }
    }
    needles
}

fn fault(detail: impl Into<String>) -> Violation {
    Violation::new("label_selector", "syntax", detail, EXPECTED)
}

fn too_long() -> Violation {
    fault(format!(
        "is too long: at most {REQUIREMENTS_MAX} requirements of {VALUES_MAX} values each are allowed"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_selectors_that_labels_can_match_are_accepted() {
        for right in ["env", "!old", "example.com/y in (d, e),z notin (f)", "empty="] {
            assert!(selector_of(right).is_ok(), "{right:?}");
        }
        for wrong in
            ["", "a,,b", "a in b", "a in (b", "a is b", "=b", "!", "a=b c", "k\"=v", "bad key=v", "ä=b", "="]
        {
            assert!(selector_of(wrong).is_err(), "{wrong:?}");
        }
        assert!(checked(" ").is_ok(), "a notification may be about all");
        assert!(checked(&vec!["a"; 51].join(",")).is_err());
    }
}
