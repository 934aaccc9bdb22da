//! Holds the documents against the program: generates tables, and checks links and test names.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ocf_scheduler::cli::client::failure::EXIT_STATUSES;
use ocf_scheduler::cli::command::Group;
use ocf_scheduler::cli::table::COMMANDS;
use ocf_scheduler::config::{SETTINGS, Setting};

/// A setting as in the help: variable, flag, default, meaning.
type Row = [String; 4];

fn settings() -> Vec<Row> {
    let row = |setting: &Setting| {
        let flag = format!("--{}", setting.flag);
        [setting.variable.to_owned(), flag, setting.default.to_owned(), setting.help.to_owned()]
    };
    SETTINGS.iter().map(row).collect()
}

/// Text for a cell of a Markdown table, with names of settings as code.
fn cell(text: &str) -> String {
    if text.is_empty() {
        return "–".to_owned();
    }
    let is_name =
        |word: &str| word.contains('_') && word.chars().all(|it| it.is_ascii_uppercase() || it == '_');
    let words = text.split(' ').map(|word| if is_name(word) { format!("`{word}`") } else { word.to_owned() });
    words.collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Compares the part of a document between `<!-- NAME -->` and `<!-- end of NAME -->` with what it should be.
#[track_caller]
fn check_made_part(document: &str, name: &str, expected: &str) {
    let path = root().join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{document} has no {begin}"));
    let (part, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{document} has no {end}"));
    if part == expected {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "it is a switch of the test, not of the service")]
    let is_update = std::env::var_os("UPDATE_DOCUMENTS").is_some();
    if is_update {
        fs::write(&path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
        return;
    }
    let line =
        expected.lines().find(|line| !part.lines().any(|listed| listed == *line)).unwrap_or("fewer lines");
    panic!(
        "{document}: the {name} differ from the program's; expected: {line}\n\
         To mend it: UPDATE_DOCUMENTS=1 cargo test --test it documents"
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn configuration_lists_exactly_the_settings_that_exist() {
    let mut table = String::from("| variable | flag | default | meaning |\n|---|---|---|---|\n");
    for [variable, flag, default, help] in settings() {
        writeln!(table, "| `{variable}` | `{flag}` | {} | {} |", cell(&default), cell(&help)).unwrap();
    }
    check_made_part("docs/configuration.md", "settings", &table);
}

#[test]
fn command_line_lists_exactly_the_commands_and_exit_statuses_that_exist() {
    let mut tables = String::new();
    for group in Group::ALL {
        writeln!(tables, "\n### {}\n\n| command | |\n|---|---|", group.heading()).unwrap();
        for command in COMMANDS.iter().filter(|command| command.group == group) {
            let operands = command.operands.iter().map(|operand| match operand.is_optional {
                true => format!(" [{}]", operand.name),
                false => format!(" {}", operand.name),
            });
            let usage = format!("{}{}", command.name, operands.collect::<String>()).replace('|', "\\|");
            writeln!(tables, "| `{usage}` | {} |", cell(command.about)).unwrap();
        }
    }
    tables.push('\n');
    check_made_part("docs/command-line.md", "commands", &tables);

    let mut table = String::from("| exit status | meaning |\n|---|---|\n");
    for (status, meaning) in EXIT_STATUSES {
        writeln!(table, "| {status} | {} |", cell(meaning)).unwrap();
    }
    check_made_part("docs/command-line.md", "exit statuses", &table);
}

#[test]
fn the_help_lists_exactly_the_settings_that_exist() {
    let arguments = ["help", "settings"];
    let output =
        Command::new(env!("CARGO_BIN_EXE_ocf-scheduler")).env_clear().args(arguments).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let chapter = help.split("Settings of a service").nth(1).unwrap();
    let lines: Vec<&str> = chapter.lines().skip(1).collect();
    let listed: Vec<Row> = lines
        .chunks(2)
        .map(|lines| {
            let (flag, variable) = lines[0].trim().split_once(" VALUE ").unwrap();
            let meaning = lines[1].trim();
            let (help, default) = match meaning.rsplit_once(" [") {
                Some((help, default)) => (help, default.trim_end_matches(']')),
                None => (meaning, ""),
            };
            [variable.trim(), flag, default, help].map(str::to_owned)
        })
        .collect();
    assert_eq!(listed, settings());
}

/// Every document, relative to the root.
fn documents() -> Vec<String> {
    let markdown = |directory: &str| {
        let entries = fs::read_dir(root().join(directory)).unwrap();
        let paths = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "md"));
        paths
            .map(|path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    let mut all = [markdown("."), markdown("docs")].concat();
    all.sort();
    all
}

/// A document's text without its blocks of code.
fn prose(document: &str) -> String {
    let text = fs::read_to_string(root().join(document)).unwrap();
    text.split("```").step_by(2).collect()
}

/// The anchor of a heading in links.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = root().join(&document).parent().unwrap().to_owned();
        for link in prose(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(&document) } else { folder.join(file) };
            if !target.exists() {
                broken.push(format!("{document}: {link} does not exist"));
            } else if !fragment.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                if !headings.any(|line| anchor(line.trim_start_matches('#')) == fragment) {
                    broken.push(format!("{document}: {link} has no such heading"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_readme_leads_to_every_document() {
    let readme = prose("README.md");
    for document in documents().iter().filter(|document| *document != "README.md") {
        assert!(readme.contains(&format!("]({document})")), "{document}");
    }
}

/// The names of all test functions in this folder, as `file::function`.
fn tests_in(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(tests_in(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
            let relative = path.strip_prefix(root()).unwrap().with_extension("");
            let module =
                relative.iter().skip(1).map(|it| it.to_string_lossy()).collect::<Vec<_>>().join("::");
            let module = module.trim_start_matches("it::").trim_end_matches("::mod");
            names.extend(
                functions.map(|it| format!("{module}::{}", it.split(['(', '<']).next().unwrap_or_default())),
            );
        }
    }
    names
}

#[test]
fn reliability_names_tests_that_exist() {
    let names: BTreeSet<String> =
        ["tests/it", "src"].iter().flat_map(|folder| tests_in(&root().join(folder))).collect();
    let text = prose("docs/reliability.md");
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what "));
    let cells = rows.map(|line| line.trim_end_matches(" |").rsplit(" | ").next().unwrap());
    let mut count = 0;
    for named in cells.flat_map(|tests| tests.split('`').skip(1).step_by(2)) {
        count += 1;
        // A name may be shortened, and a module stands for its tests.
        let prefix = named.trim_end_matches('…');
        let is_whole = prefix == named && !named.ends_with("::");
        let exists = |name: &String| if is_whole { name == prefix } else { name.starts_with(prefix) };
        assert!(names.iter().any(exists), "docs/reliability.md names {named}, which is no test");
    }
    assert!(count > 50, "{count}");
}
