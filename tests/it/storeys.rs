//! Checks which modules use which, against the storeys in ARCHITECTURE.md: no arrows upwards, no circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The storeys, from the top down. A module uses only lower storeys, and its own.
const STOREYS: &[&[&str]] = &[
    &["main", "cli"],
    &["service"],
    &["web"],
    &["engine"],
    &["transfer"],
    &["platform"],
    &["config"],
    &["store"],
    &["cron", "fire_times", "http", "outbound"],
    &["model", "base"],
];

/// Existing arrows upwards, each with its reason. Remove an entry when its arrow is gone.
const KNOWN_ARROWS: &[(&str, &str, &str)] = &[];

/// Existing circles, each named by its modules in alphabetical order, with its reason.
const KNOWN_CIRCLES: &[(&[&str], &str)] = &[];

/// A module by folder and file, for example `["web", "api"]`; `["web"]` is the folder's own `mod.rs`.
type Module = Vec<String>;

/// Each module with the modules that it uses.
fn uses() -> BTreeMap<Module, BTreeSet<Module>> {
    let mut uses = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect(&root, &[], &mut uses);
    assert!(uses.len() > 50, "{}", uses.len());
    uses
}

fn collect(folder: &Path, path: &[String], uses: &mut BTreeMap<Module, BTreeSet<Module>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap().path();
        let name = entry.file_stem().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() {
            collect(&entry, &[path, &[name]].concat(), uses);
        } else if entry.extension().is_some_and(|it| it == "rs") && name != "lib" {
            let module = if name == "mod" { path.to_vec() } else { [path, &[name]].concat() };
            let found = paths_in(&fs::read_to_string(&entry).unwrap(), &module);
            uses.entry(room(&module)).or_default().extend(found.iter().map(|path| room(path)));
        }
    }
}

/// The part of a path that this test looks at: folder and file.
fn room(path: &[String]) -> Module {
    path.iter().take(2).filter(|name| name.starts_with(|it: char| it.is_ascii_lowercase())).cloned().collect()
}

/// The paths in a file that start with `crate::` or `super::`, from the root, without tests and comments.
fn paths_in(text: &str, module: &[String]) -> Vec<Module> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let code: String = code.lines().map(|line| format!("{}\n", line.split("//").next().unwrap())).collect();
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with('$')) {
        expand(&[], &code[at + "crate::".len()..], &mut paths);
    }
    for (at, _) in code.match_indices("super::").filter(|(at, _)| !code[..*at].ends_with("super::")) {
        let (mut base, mut rest) = (module, &code[at..]);
        while let Some(further) = rest.strip_prefix("super::") {
            base = &base[..base.len().saturating_sub(1)];
            rest = further;
        }
        expand(base, rest, &mut paths);
    }
    paths
}

/// Adds the paths that `text` begins with: `a::b::C`, or `a::{b, c::D}`.
fn expand(base: &[String], text: &str, paths: &mut Vec<Module>) {
    let name: String = text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
    if !name.is_empty() {
        let path = [base, std::slice::from_ref(&name)].concat();
        return match text[name.len()..].strip_prefix("::") {
            Some(rest) if path.len() < 2 => expand(&path, rest, paths),
            _ => paths.push(path),
        };
    }
    let Some(group) = text.strip_prefix('{') else { return paths.push(base.to_vec()) };
    let (mut depth, mut start) = (0, 0);
    for (at, it) in group.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[start..at].trim();
                if !item.is_empty() {
                    expand(base, item, paths);
                }
                if it == '}' {
                    return;
                }
                start = at + 1;
            }
            _ => (),
        }
    }
}

fn storey(module: &Module) -> usize {
    let folder = module.first().unwrap();
    STOREYS.iter().position(|storey| storey.contains(&folder.as_str())).unwrap_or_else(|| {
        panic!("{folder} is on no storey: add it to STOREYS and to ARCHITECTURE.md");
    })
}

#[test]
fn no_module_uses_a_higher_storey() {
    let mut arrows = BTreeSet::new();
    for (module, used) in uses() {
        for used in used.iter().filter(|used| !used.is_empty()) {
            if storey(used) < storey(&module) {
                arrows.insert((module.join("::"), used.join("::")));
            }
        }
    }
    let known = KNOWN_ARROWS.iter().map(|(from, to, _)| ((*from).to_owned(), (*to).to_owned()));
    assert_eq!(arrows, known.collect(), "arrows upwards, and those that are known");
}

#[test]
fn no_modules_of_a_storey_use_each_other_in_a_circle() {
    let uses = uses();
    // A folder's own `mod.rs` contains what its files share, so arrows from and to it are no circles.
    let is_room =
        |module: &Module| module.len() == 2 || uses.keys().filter(|it| it[0] == module[0]).count() == 1;
    let next = |module: &Module| -> Vec<Module> {
        let same = |used: &&Module| {
            !used.is_empty() && *used != module && is_room(used) && storey(used) == storey(module)
        };
        uses.get(module).into_iter().flatten().filter(same).cloned().collect()
    };
    let reached_from = |start: &Module| {
        let (mut reached, mut open) = (BTreeSet::new(), next(start));
        while let Some(module) = open.pop() {
            if reached.insert(module.clone()) {
                open.extend(next(&module));
            }
        }
        reached
    };
    let mut circles = BTreeSet::new();
    for module in uses.keys().filter(|module| is_room(module)) {
        let reached = reached_from(module);
        if reached.contains(module) {
            let circle = reached.iter().filter(|other| reached_from(other).contains(module));
            circles.insert(circle.map(|it| it.join("::")).collect::<Vec<_>>());
        }
    }
    let known = KNOWN_CIRCLES.iter().map(|(modules, _)| modules.iter().map(|&it| it.to_owned()).collect());
    assert_eq!(circles, known.collect(), "circles, and those that are known");
}
