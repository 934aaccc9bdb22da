//! Label selectors, in the syntax of Cloud Foundry v3: requirements with commas between them, all of which hold.

use super::controls::{key_fault, value_fault};
use super::violation::Violation;
use crate::store::{LabelSelector, Needles};

/// The most requirements of one selector.
const REQUIREMENTS_MAX: usize = 50;
/// The most values of one requirement.
const VALUES_MAX: usize = 100;
const EXPECTED: &str =
    "requirements with commas between them: key, !key, key=value, key!=value, key in (a,b), key notin (a,b)";

/// What labels must be like.
#[derive(Debug, PartialEq, Eq)]
struct Requirement<'a> {
    key: &'a str,
    /// `has`, `lacks`, `in` or `notin`.
    op: &'static str,
    values: Vec<&'a str>,
}

impl<'a> Requirement<'a> {
    fn new(key: &'a str, op: &'static str, values: Vec<&'a str>) -> Self {
        Self { key, op, values }
    }
}

fn needles_of(requirements: &[Requirement<'_>]) -> Needles {
    let mut needles = Needles::default();
    for Requirement { key, op, values } in requirements {
        let name = format!("\"{key}\":");
        let mut members: Vec<_> = values.iter().map(|value| format!("{name}\"{value}\"")).collect();
        match (*op, members.len()) {
            ("has", _) => needles.present.push(name),
            ("lacks", _) => needles.absent.push(name),
            ("notin", _) => needles.absent.append(&mut members),
            (_, 1) => needles.present.append(&mut members),
            _ => needles.choices.push(members),
        }
    }
    needles
}

/// The selector as the statements read it. The error says what is wrong with it.
pub(super) fn selector_of(text: &str) -> Result<LabelSelector, Violation> {
    let requirements =
        parse(text).map_err(|detail| Violation::new("label_selector", "syntax", detail, EXPECTED))?;
    let takes_unlabelled = requirements.iter().all(|requirement| matches!(requirement.op, "lacks" | "notin"));
    let requirements = serde_json::to_string(&needles_of(&requirements))
        .map_err(|_| Violation::new("label_selector", "syntax", "cannot be read", EXPECTED))?;
    Ok(LabelSelector { requirements, takes_unlabelled })
}

fn parse(text: &str) -> Result<Vec<Requirement<'_>>, String> {
    let mut requirements = Vec::new();
    for part in parts(text) {
        let requirement = requirement(part.trim())?;
        if let Some(fault) = key_fault(requirement.key) {
            return Err(format!("has the key {:?}, which {fault}", requirement.key));
        }
        if let Some(value) =
            requirement.values.iter().find(|value| value_fault("metadata.labels", value).is_some())
        {
            return Err(format!("has {value:?}, which no label can have as its value"));
        }
        if requirement.values.len() > VALUES_MAX || requirements.len() == REQUIREMENTS_MAX {
            return Err(format!(
                "is too long: at most {REQUIREMENTS_MAX} requirements of {VALUES_MAX} values each are allowed"
            ));
        }
        requirements.push(requirement);
    }
    Ok(requirements)
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

fn requirement(text: &str) -> Result<Requirement<'_>, String> {
    if text.is_empty() {
        return Err("has an empty requirement".to_owned());
    }
    if let Some(key) = text.strip_prefix('!') {
        return Ok(Requirement::new(key.trim(), "lacks", Vec::new()));
    }
    if let Some((key, rest)) = text.split_once(char::is_whitespace)
        && !rest.trim_start().starts_with(['=', '!'])
    {
        let rest = rest.trim_start();
        let (op, list) = match rest.strip_prefix("notin") {
            Some(list) => ("notin", list),
            None => ("in", rest.strip_prefix("in").ok_or_else(|| unreadable(text))?),
        };
        let list = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
        let list = list.ok_or_else(|| unreadable(text))?;
        return Ok(Requirement::new(key, op, list.split(',').map(str::trim).collect()));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(Requirement::new(key.trim(), "notin", vec![value.trim()]));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok(Requirement::new(key.trim(), "in", vec![value.trim()]));
    }
    Ok(Requirement::new(text, "has", Vec::new()))
}

fn unreadable(requirement: &str) -> String {
    format!("has {requirement:?}, which is no requirement")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_as_cloud_foundry_reads_them() {
        let read = |text: &'static str| {
            parse(text).map(|all| all.into_iter().map(|it| (it.key, it.op, it.values)).collect::<Vec<_>>())
        };
        assert_eq!(
            read("env, !old,team=a,tier==b,x!=c, example.com/y in (d, e) ,z notin (f)"),
            Ok(vec![
                ("env", "has", vec![]),
                ("old", "lacks", vec![]),
                ("team", "in", vec!["a"]),
                ("tier", "in", vec!["b"]),
                ("x", "notin", vec!["c"]),
                ("example.com/y", "in", vec!["d", "e"]),
                ("z", "notin", vec!["f"]),
            ])
        );
        assert_eq!(read("empty="), Ok(vec![("empty", "in", vec![""])]));
        for wrong in
            ["", "a,,b", "a in b", "a in (b", "a is b", "=b", "!", "a=b c", "k\"=v", "a in (b,c", "bad key=v"]
        {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
