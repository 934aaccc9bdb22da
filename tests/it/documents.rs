//! What is written for people against what the program knows.

use std::process::Command;

use ocf_scheduler::config::SETTINGS;

const README: &str = include_str!("../../README.md");

/// A setting, in the words of a table: variable, flag, default, meaning.
type Row = [String; 4];

fn settings() -> Vec<Row> {
    let row = |setting: &ocf_scheduler::config::Setting| {
        let flag = format!("--{}", setting.flag);
        [setting.variable.to_owned(), flag, setting.default.to_owned(), setting.help.to_owned()]
    };
    SETTINGS.iter().map(row).collect()
}

#[test]
fn the_readme_lists_exactly_the_settings_that_there_are() {
    let chapter = README.split("\n## Configuration\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed: Vec<Row> = chapter
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect();
            let [variable, flag, default, help] = cells.try_into().unwrap_or_else(|_| panic!("{line}"));
            [variable, flag, if default == "–" { String::new() } else { default }, help]
        })
        .collect();
    assert_eq!(listed, settings());
}

#[test]
fn the_help_lists_exactly_the_settings_that_there_are() {
    for arguments in [&["--help"][..], &["help", "settings"]] {
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
        assert_eq!(listed, settings(), "{arguments:?}");
    }
}
