//! Reads a crontab, as `cron` of Debian and of other systems does. Pure.
//!
//! Invariant: each line that is neither blank nor a comment is in the result: as an entry, as a variable of
//! the entries below it, or as a line that is left out, with the reason.

use std::collections::BTreeSet;

use crate::cron::is_descriptor;

/// The most lines that are read.
pub(super) const LINES_MAX: usize = 10_000;
/// What often stands before the program, up to `&&` or `;`.
const BEFORE_PROGRAM: [&str; 3] = ["cd", "[", "test"];
/// A user that is in each crontab of the system, and is no program.
const ROOT: &str = "root";

/// What a crontab says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Crontab {
    /// In the order of the file.
    pub(super) entries: Vec<Entry>,
    /// Lines that are left out, or not taken as they are: their numbers from 1, and why.
    pub(super) notes: Vec<(usize, String)>,
}

/// A line that runs a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// From 1.
    pub(super) line: usize,
    /// Unique in the file; made from the command.
    pub(super) name: String,
    /// As the line has it.
    pub(super) expression: String,
    /// Whether `cron` runs it only on days that match both day of month and day of week.
    pub(super) needs_both_days: bool,
    /// The command with the variables above it, and with what follows `%` on its standard input.
    pub(super) command: String,
    /// That of `CRON_TZ`.
    pub(super) timezone: Option<String>,
    /// The comment above it.
    pub(super) description: Option<String>,
}

/// Reads a crontab. `is_user` says whether a word is the name of a user of this machine.
///
/// A system crontab has a column of users: root is in it, or each line names a user of this machine there. In
/// any other crontab that word is a program, even if it is also the name of a user, such as `mail`.
pub(super) fn parse(text: &str, is_user: impl Fn(&str) -> bool) -> Crontab {
    let lines = || text.lines().take(LINES_MAX).map(str::trim);
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with('#') && variable(line).is_none();
    let users: Vec<Option<String>> =
        lines().filter(is_entry).filter_map(|line| entry(line, &is_user).ok()).map(|it| it.user).collect();
    let has_root = users.iter().flatten().any(|user| user == ROOT);
    let is_of_system = has_root || users.iter().all(Option::is_some);
    let is_user = |word: &str| is_of_system && is_user(word);
    let mut found = Crontab::default();
    let mut names = BTreeSet::new();
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut timezone = None;
    let mut comment: Vec<&str> = Vec::new();
    for (index, line) in lines().enumerate() {
        let number = index + 1;
        if line.is_empty() {
            comment.clear();
        } else if let Some(words) = line.strip_prefix('#') {
            let words = words.trim_matches('#').trim();
            let is_rule = words.is_empty() && line.len() > 1;
            if is_rule {
                // A rule above or below a heading.
            } else if words.is_empty() || is_column_heading(words) || is_disabled_entry(words) {
                comment.clear();
            } else {
                comment.push(words);
            }
        } else if let Some((name, value)) = variable(line) {
            comment.clear();
            match name {
                "CRON_TZ" => timezone = Some(value.to_owned()).filter(|zone| !zone.is_empty()),
                "MAILTO" | "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" => {
                    found.notes.push((number, format!("{name} is not supported: no mail is sent")));
                }
                "RANDOM_DELAY" => {
                    let instead = "schedules have --jitter instead";
                    found.notes.push((number, format!("{name} is not supported: {instead}")));
                }
                "SHELL" if value != "/bin/sh" => {
                    found.notes.push((number, format!("SHELL={value} is not supported: commands run in sh")));
                }
                "SHELL" => (),
                _ => {
                    variables.retain(|(other, _)| other != name);
                    variables.push((name.to_owned(), value.to_owned()));
                }
            }
        } else {
            let description = comment.join(" ").trim().to_owned();
            comment.clear();
            match entry(line, is_user) {
                Err(reason) => found.notes.push((number, reason)),
                Ok(Parsed { expression, command, user }) => {
                    if let Some(user) = user {
                        found.notes.push((
                            number,
                            format!("the user {user} is not supported: the command runs as the app's user"),
                        ));
                    }
                    found.entries.push(Entry {
                        line: number,
                        name: unique_name(&command, &mut names),
                        needs_both_days: needs_both_days(&expression),
                        expression,
                        command: with_variables(&variables, &with_input(&command)),
                        timezone: timezone.clone(),
                        description: Some(description).filter(|text| !text.is_empty()),
                    });
                }
            }
        }
    }
    if LINES_MAX < text.lines().count() {
        found.notes.push((LINES_MAX + 1, format!("lines after {LINES_MAX} are left out")));
    }
    found
}

struct Parsed {
    expression: String,
    command: String,
    user: Option<String>,
}

fn entry(line: &str, is_user: impl Fn(&str) -> bool) -> Result<Parsed, String> {
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let (expression, rest) = split_words(line, fields)
        .ok_or("is not an entry: five fields and a command, or @daily and a command")?;
    if expression == "@reboot" {
        return Err("@reboot is not supported: nothing runs when a machine starts".to_owned());
    }
    if fields == 1 && !is_descriptor(&expression) && !expression.starts_with("@every") {
        return Err(format!("{expression} is not taken: it is not known"));
    }
    let (expression, rest) = match (expression.as_str(), split_words(rest, 1)) {
        // Some crons have it, with a blank before the interval.
        ("@every", Some((interval, rest))) => (format!("@every {interval}"), rest),
        _ => (expression, rest),
    };
    if rest.is_empty() || rest.starts_with('%') {
        return Err("has no command".to_owned());
    }
    match split_words(rest, 1) {
        // A command does not begin with a dash, the arguments of a program do.
        Some((word, command)) if !matches!(command.chars().next(), None | Some('-')) && is_user(&word) => {
            Ok(Parsed { expression, command: command.to_owned(), user: Some(word) })
        }
        _ => Ok(Parsed { expression, command: rest.to_owned(), user: None }),
    }
}

/// Whether a comment names the columns, as in `m h dom mon dow command`.
fn is_column_heading(comment: &str) -> bool {
    let words: Vec<String> = comment.split_whitespace().map(str::to_ascii_lowercase).collect();
    let has = |names: &[&str], word: Option<&String>| word.is_some_and(|word| names.contains(&word.as_str()));
    has(&["m", "min", "minute"], words.first()) && has(&["h", "hour"], words.get(1))
}

/// Whether a comment is an entry that somebody has turned off.
fn is_disabled_entry(comment: &str) -> bool {
    let is_field = |field: &str| {
        let is_part = |part: &str| part.len() == 3 || part.chars().all(|it| it == '*' || it.is_ascii_digit());
        field.split([',', '-', '/']).all(is_part)
    };
    match split_words(comment, if comment.starts_with('@') { 1 } else { 5 }) {
        Some((fields, rest)) if comment.starts_with('@') => {
            !rest.is_empty() && (fields == "@reboot" || is_descriptor(&fields))
        }
        Some((fields, rest)) => !rest.is_empty() && fields.split(' ').all(is_field),
        None => false,
    }
}

/// Whether `cron` asks for both: one of the two day fields begins with an asterisk, and yet restricts, as
/// `*/2` does, and so does the other one.
fn needs_both_days(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split(' ').collect();
    let [_, _, days, _, weekdays] = fields.as_slice() else { return false };
    let restricts = |field: &str| !["*", "*/1"].contains(&field);
    [days, weekdays].into_iter().all(|field| restricts(field))
        && [days, weekdays].into_iter().any(|field| field.starts_with('*'))
}

/// The first `count` words with single blanks between them, and what follows. `None`: there are fewer.
fn split_words(text: &str, count: usize) -> Option<(String, &str)> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    for _ in 0..count {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return None;
        }
        words.push(word);
        rest = after.trim_start();
    }
    Some((words.join(" "), rest))
}

/// A line `NAME = value`; the value may be in quotation marks.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    let value = value.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|mark| value.strip_prefix(mark)?.strip_suffix(mark));
    is_name.then_some((name, unquoted.unwrap_or(value)))
}

fn with_variables(variables: &[(String, String)], command: &str) -> String {
    let exports: String = variables
        .iter()
        .map(|(name, value)| format!("export {name}='{}'; ", value.replace('\'', r"'\''")))
        .collect();
    exports + command
}

/// A `%` begins the standard input, and each further one is the end of a line there; `\%` is a `%`.
fn with_input(command: &str) -> String {
    let mut parts = vec![String::new()];
    let mut characters = command.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&'%') => {
                characters.next();
                parts.last_mut().into_iter().for_each(|part| part.push('%'));
            }
            '%' => parts.push(String::new()),
            other => parts.last_mut().into_iter().for_each(|part| part.push(other)),
        }
    }
    let Some((command, input)) = parts.split_first().filter(|(_, input)| !input.is_empty()) else {
        return parts.concat();
    };
    let mut end = "CRON_INPUT".to_owned();
    while input.iter().any(|line| line == &end) {
        end.push('_');
    }
    format!("{{ {}\n}} <<'{end}'\n{}\n{end}", command.trim_end(), input.join("\n"))
}

/// The last part of the path of the program, with a number if there is one of that name already.
fn unique_name(command: &str, names: &mut BTreeSet<String>) -> String {
    let program = program_of(command).unwrap_or_else(|| "job".to_owned());
    let name: String = program.chars().take(200).collect();
    let mut unique = name.clone();
    let mut number = 2;
    while !names.insert(unique.clone()) {
        unique = format!("{name}-{number}");
        number += 1;
    }
    unique
}

/// The name of the program that a command runs, without its path.
fn program_of(command: &str) -> Option<String> {
    let words = shell_words(command);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let is_before = BEFORE_PROGRAM.contains(&word);
        if is_before && words.clone().any(ends_command) {
            words.find(|word| ends_command(word));
            continue;
        }
        let name = word.trim_end_matches('/').rsplit('/').next().unwrap_or(word);
        let is_name = name.chars().any(char::is_alphanumeric) && !name.contains('=');
        if is_name {
            return Some(name.to_owned());
        }
    }
    None
}

fn ends_command(word: &str) -> bool {
    ["&&", "||", ";"].contains(&word)
}

/// The words of a command before its standard input, without quotation marks and parentheses. A `;` is a
/// word.
fn shell_words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut characters = command.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '%' => break,
            '\\' => words.last_mut().into_iter().for_each(|word| word.extend(characters.next())),
            _ if quote == Some(character) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(character),
            ';' if quote.is_none() => words.extend([";".to_owned(), String::new()]),
            _ if quote.is_none() && (character.is_whitespace() || "(){}".contains(character)) => {
                words.push(String::new());
            }
            _ => words.last_mut().into_iter().for_each(|word| word.push(character)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Crontab {
        parse(text, |word| ["root", "www-data", "mail"].contains(&word))
    }

    #[test]
    fn entries_have_the_variables_the_zone_and_the_comment_above_them() {
        let text = "# Backups.\n# Every night.\n0 2 * * *  /opt/bin/backup.sh --all\n\nPATH=/usr/bin:/bin\n\
                    GREETING = \"it's\"\nCRON_TZ=Europe/Berlin\n@daily\t/opt/bin/backup.sh\n";
        let found = read(text);
        let [first, second] = found.entries.as_slice() else { panic!("{found:?}") };
        assert_eq!((first.line, first.name.as_str()), (3, "backup.sh"));
        assert_eq!(
            (first.expression.as_str(), first.command.as_str()),
            ("0 2 * * *", "/opt/bin/backup.sh --all")
        );
        assert_eq!((first.description.as_deref(), &first.timezone), (Some("Backups. Every night."), &None));
        assert_eq!((second.name.as_str(), second.expression.as_str()), ("backup.sh-2", "@daily"));
        let command = r"export PATH='/usr/bin:/bin'; export GREETING='it'\''s'; /opt/bin/backup.sh";
        assert_eq!(second.command, command);
        assert_eq!(
            (second.description.as_deref(), second.timezone.as_deref()),
            (None, Some("Europe/Berlin"))
        );
        assert_eq!(found.notes, []);
    }

    #[test]
    fn what_is_not_taken_is_named_with_its_line() {
        let text = "MAILTO=root\n@reboot /bin/true\n* * * *\n@often x\n17 * * * * root cd / && run-parts \
            /etc/cron.hourly\n\
                    0 1 * * * www-data /bin/clean\nSHELL=/bin/bash\n0 1 * * * rooted\n* * * * *\n";
        let found = read(text);
        let lines: Vec<usize> = found.notes.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 9]);
        let delayed = read("RANDOM_DELAY=5\n").notes;
        assert_eq!(
            delayed,
            [(1, "RANDOM_DELAY is not supported: schedules have --jitter instead".to_owned())]
        );
        let commands: Vec<&str> = found.entries.iter().map(|entry| entry.command.as_str()).collect();
        assert_eq!(commands, ["cd / && run-parts /etc/cron.hourly", "/bin/clean", "rooted"]);
    }

    #[test]
    fn a_program_with_the_name_of_a_user_is_a_program_unless_there_is_a_column_of_users() {
        let commands = |text: &str| -> Vec<String> {
            read(text).entries.into_iter().map(|entry| entry.command).collect()
        };
        assert_eq!(commands("0 8 * * * mail ops\n0 9 * * * date\n"), ["mail ops", "date"]);
        assert_eq!(commands("0 8 * * * mail -s x ops\n"), ["mail -s x ops"]);
        assert_eq!(commands("0 8 * * * www-data date\n@daily mail date\n"), ["date", "date"]);
        let mixed =
            "0 8 * * * root date\n0 8 * * * mail -s x ops\n0 9 * * * www-data date\n0 9 * * * deploy x\n";
        assert_eq!(commands(mixed), ["date", "mail -s x ops", "date", "deploy x"]);
    }

    #[test]
    fn a_description_is_what_was_written_about_the_entry() {
        let text = "# Edit this file.\n# \n# 0 5 * * 1 tar -zcf x\n# m h  dom mon dow   command\n\
                    0 2 * * * a\n# Off.\n#0 3 * * mon-fri off\n0 3 * * * b\n########\n# Reports #\n########\n\
                    0 4 * * * c\n# a b c d e f\n0 5 * * * d\n#@daily off\n0 6 * * * e\n";
        let descriptions: Vec<Option<String>> =
            read(text).entries.into_iter().map(|entry| entry.description).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(descriptions, [None, None, some("Reports"), some("a b c d e f"), None]);
    }

    #[test]
    fn a_job_is_named_after_its_program() {
        for (command, name) in [
            ("/opt/bin/backup.sh --all", "backup.sh"),
            ("FOO=1 BAR=\"x y\" /bin/clean", "clean"),
            ("cd /srv/app && bin/rake x", "rake"),
            ("[ -x /bin/sync ] && /bin/sync", "sync"),
            ("(cd /tmp; make)", "make"),
            ("cd /tmp", "cd"),
            ("\"/opt/my programs/run it\" x", "run it"),
            ("/opt/x;echo y", "x"),
            ("cat%one%two", "cat"),
            ("date\\%x", "date%x"),
            ("* x", "x"),
            ("./", "job"),
            ("sh -c \"a=1; echo\"", "sh"),
        ] {
            let found = read(&format!("0 1 * * * {command}\n"));
            assert_eq!(found.entries[0].name, name, "{command}");
        }
        assert_eq!(read("0 1 * * * %%input\n").notes, [(1, "has no command".to_owned())]);
    }

    #[test]
    fn an_asterisk_with_a_step_makes_cron_ask_for_both_days() {
        for (expression, both) in [
            ("0 0 */2 * 1", true),
            ("0 0 13 * */2", true),
            ("0 0 13 * 5", false),
            ("0 0 */2 * *", false),
            ("0 0 * * 1", false),
        ] {
            assert_eq!(read(&format!("{expression} x\n")).entries[0].needs_both_days, both, "{expression}");
        }
    }

    #[test]
    fn a_per_cent_sign_begins_the_standard_input() {
        let found = read("0 0 * * * cat -n%first%50\\% more%CRON_INPUT\n0 0 * * * date +\\%F\n");
        assert_eq!(
            found.entries[0].command,
            "{ cat -n\n} <<'CRON_INPUT_'\nfirst\n50% more\nCRON_INPUT\nCRON_INPUT_"
        );
        assert_eq!(found.entries[1].command, "date +%F");
    }
}
