//! Shell completions, made from the table of commands.

use std::fmt::Write as _;

use super::command::{Command, Flag, Names, Operand};

/// The script for a shell; `None` if the shell is not supported.
pub(crate) fn of(commands: &[Command], shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash(commands)),
        "zsh" => Some(zsh(commands)),
        "fish" => Some(fish(commands)),
        _ => None,
    }
}

/// What a shell offers as the value of a flag.
enum Offer {
    Words(&'static [&'static str]),
    Names(Names),
    Files,
}

fn offer(flag: &Flag) -> Offer {
    match (flag.values, flag.words) {
        ([], []) if flag.names != Names::None => Offer::Names(flag.names),
        ([], []) => Offer::Files,
        ([], words) | (words, _) => Offer::Words(words),
    }
}

fn bash(commands: &[Command]) -> String {
    let mut text = String::from(
        "# Completions of ocf-scheduler for bash: source <(ocf-scheduler completions bash)\n\
         # The names come from the service; the program prints only those that a shell takes as they are.\n\
         _ocf_scheduler_names() {\n    \
             local name\n    \
             while IFS= read -r name; do COMPREPLY+=(\"$3$name\"); done \\\n        \
                 < <(ocf-scheduler complete-names \"$1\" \"$2\" 2>/dev/null)\n\
         }\n\
         _ocf_scheduler() {\n    \
             local current=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\" words=\"\" \
             names=\"\"\n    \
             # Of a list, the last entry is completed.\n    \
             local last=\"${current##*,}\"\n    \
             local listed=\"${current%\"$last\"}\"\n    \
             if [ \"$before\" = -o ]; then before=--output; fi\n    \
             if [ \"$COMP_CWORD\" -eq 1 ]; then\n",
    );
    let _ =
        writeln!(text, "        COMPREPLY=($(compgen -W \"{}\" -- \"$current\"))", names(commands).join(" "));
    text.push_str("        return\n    fi\n    case \"${COMP_WORDS[1]} $before\" in\n");
    for command in commands {
        for flag in command.all_flags().filter(|flag| !flag.value.is_empty()) {
            let (current, listed) = if flag.is_list { ("$last", "$listed") } else { ("$current", "") };
            let offered = match offer(&flag) {
                Offer::Names(names) => {
                    format!(
                        "COMPREPLY=(); _ocf_scheduler_names {} \"{current}\" \"{listed}\"; ",
                        names.word()
                    )
                }
                // The value may be a file.
                Offer::Files => String::new(),
                Offer::Words(words) => format!(
                    "COMPREPLY=($(compgen -P \"{listed}\" -W \"{}\" -- \"{current}\")); ",
                    words.join(" ")
                ),
            };
            let _ = writeln!(text, "        '{} --{}') {offered}return ;;", command.name, flag.name);
        }
    }
    text.push_str("    esac\n    case \"${COMP_WORDS[1]}\" in\n");
    for command in commands {
        let flags = command.all_flags().map(|flag| format!("--{}", flag.name));
        let words: Vec<String> = operand_words(commands, command).into_iter().chain(flags).collect();
        let names = names_of(command).map_or_else(String::new, |names| format!(" names={}", names.word()));
        let _ = writeln!(text, "        {}) words=\"{} --help\"{names} ;;", command.name, words.join(" "));
    }
    text.push_str(
        "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n    \
             if [ -n \"$names\" ] && [ \"${current#-}\" = \"$current\" ]; then\n        \
                 COMPREPLY=()\n        \
                 _ocf_scheduler_names \"$names\" \"$current\"\n    \
             fi\n}\n\
         complete -o default -F _ocf_scheduler ocf-scheduler\n",
    );
    text
}

/// The flag that `-o` stands for.
const OUTPUT: &str = "output";

fn zsh(commands: &[Command]) -> String {
    let mut text = String::from(
        "#compdef ocf-scheduler\n\
         # Completions of ocf-scheduler for zsh: source <(ocf-scheduler completions zsh)\n\
         _ocf_scheduler_names() {\n    \
             local -a found=(${(f)\"$(ocf-scheduler complete-names $1 \"$PREFIX\" 2>/dev/null)\"})\n    \
             compadd -a found\n\
         }\n\
         _ocf_scheduler_names_list() {\n    \
             compset -P '*,'\n    \
             _ocf_scheduler_names $1\n\
         }\n\
         _ocf_scheduler_list() {\n    \
             compset -P '*,'\n    \
             compadd -- $@\n\
         }\n\
         _ocf_scheduler() {\n    \
             local -a commands=(\n",
    );
    for command in commands {
        let about = quoted(&command.about.replace(':', "\\:"));
        let _ = writeln!(text, "        {}':'{about}", command.name);
    }
    text.push_str(
        "    )\n    \
             if (( CURRENT == 2 )); then\n        \
                 _describe -t commands command commands\n        \
                 return\n    \
             fi\n    \
             local command=$words[2]\n    \
             shift words\n    \
             (( CURRENT-- ))\n    \
             case $command in\n",
    );
    for command in commands {
        let _ = write!(text, "        {}) _arguments '--help[prints help]'", command.name);
        for flag in command.all_flags() {
            let help =
                flag.help.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
            let list = if flag.is_list { "_list" } else { "" };
            let value = match (flag.value, offer(&flag)) {
                ("", _) => String::new(),
                (value, Offer::Names(names)) => {
                    format!(":{value}: _ocf_scheduler_names{list} {}", names.word())
                }
                (value, Offer::Files) => format!(":{value}:_files"),
                (value, Offer::Words(words)) if flag.is_list => {
                    format!(":{value}: _ocf_scheduler_list {}", words.join(" "))
                }
                (value, Offer::Words(words)) => format!(":{value}:({})", words.join(" ")),
            };
            let _ = write!(text, " {}", quoted(&format!("--{}[{help}]{value}", flag.name)));
            if flag.name == OUTPUT {
                let _ = write!(text, " {}", quoted(&format!("-o[{help}]{value}")));
            }
        }
        for operand in command.operands {
            let words = words_of(commands, command, operand);
            let what = match (words.as_slice(), operand.names) {
                ([], Names::None) => String::new(),
                ([], names) => format!(" _ocf_scheduler_names {}", names.word()),
                (words, _) => format!("({})", words.join(" ")),
            };
            let optional = if operand.is_optional { ":" } else { "" };
            let _ = write!(text, " {}", quoted(&format!(":{optional}{}:{what}", operand.name)));
        }
        text.push_str(" ;;\n");
    }
    text.push_str(
        "    esac\n}\n\
         if [[ $funcstack[1] == _ocf_scheduler ]]; then\n    \
             _ocf_scheduler \"$@\"\nelse\n    \
             compdef _ocf_scheduler ocf-scheduler\nfi\n",
    );
    text
}

fn fish(commands: &[Command]) -> String {
    let mut text = String::from(
        "# Completions of ocf-scheduler for fish: ocf-scheduler completions fish | source\n\
         # The words, after the entries that the list has already.\n\
         function __ocf_scheduler_list\n    \
             set -l listed (commandline -ct | string replace -r '^--[^=]*=' '' | string match -r '.*,')\n    \
             for word in $argv\n        \
                 echo \"$listed$word\"\n    \
             end\n\
         end\n\
         complete -c ocf-scheduler -f\n",
    );
    for command in commands {
        let about = quoted(command.about);
        let _ = writeln!(
            text,
            "complete -c ocf-scheduler -n __fish_use_subcommand -a {} -d {about}",
            command.name
        );
    }
    for command in commands {
        let on = format!("complete -c ocf-scheduler -n '__fish_seen_subcommand_from {}'", command.name);
        for flag in command.all_flags() {
            let value = match (flag.value, offer(&flag)) {
                ("", _) => String::new(),
                (_, Offer::Names(names)) if flag.is_list => {
                    let found = lookup(names, " | string replace -r '.*,' ''");
                    format!(" -x -a {}", quoted(&format!("(__ocf_scheduler_list {found})")))
                }
                (_, Offer::Names(names)) => format!(" -x -a {}", quoted(&lookup(names, ""))),
                (_, Offer::Files) => " -r -F".to_owned(),
                (_, Offer::Words(words)) if flag.is_list => {
                    format!(" -x -a {}", quoted(&format!("(__ocf_scheduler_list {})", words.join(" "))))
                }
                (_, Offer::Words(words)) => format!(" -x -a {}", quoted(&words.join(" "))),
            };
            let short = if flag.name == OUTPUT { " -s o" } else { "" };
            let _ = writeln!(text, "{on}{short} -l {}{value} -d {}", flag.name, quoted(flag.help));
        }
        let words = operand_words(commands, command);
        if !words.is_empty() {
            let _ = writeln!(text, "{on} -a {}", quoted(&words.join(" ")));
        }
        if let Some(names) = names_of(command) {
            let _ = writeln!(text, "{on} -a {}", quoted(&lookup(names, "")));
        }
    }
    text
}

/// What fish runs to find names out; `last` cuts what was typed.
fn lookup(names: Names, last: &str) -> String {
    format!("(ocf-scheduler complete-names {} (commandline -ct{last}) 2>/dev/null)", names.word())
}

/// What the service has names of, for the operands of a command.
fn names_of(command: &Command) -> Option<Names> {
    command.operands.iter().map(|operand| operand.names).find(|names| *names != Names::None)
}

fn names(commands: &[Command]) -> Vec<&'static str> {
    commands.iter().map(|command| command.name).collect()
}

/// The known values of the operands of a command.
fn operand_words(commands: &[Command], command: &Command) -> Vec<String> {
    command.operands.iter().flat_map(|operand| words_of(commands, command, operand)).collect()
}

fn words_of(commands: &[Command], command: &Command, operand: &Operand) -> Vec<String> {
    // The table cannot contain a list of its own names.
    let words = match command.name {
        "help" => [names(commands), vec!["commands", "flags", "settings", "exit"]].concat(),
        _ => operand.values.to_vec(),
    };
    words.into_iter().map(str::to_owned).collect()
}

/// Quoted as one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
