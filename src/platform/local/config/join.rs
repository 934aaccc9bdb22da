//! Merges the apps, spaces and tokens of one file into another.
//!
//! Invariant: the text of the other file stays unchanged; additions are written after it.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::{App, Entries, Role, Space, Token, TokenSecret, base_of, parse, read_trusted};
use crate::model::{Guid, Secret};
use crate::platform::local::records::write_whole;

/// The text to write, and the numbers of what was merged.
#[derive(Debug)]
pub struct Joined {
    text: Secret,
    /// New spaces, apps and tokens.
    pub taken: [usize; 3],
    /// Spaces, apps and tokens that existed before.
    pub there: [usize; 3],
    /// The names of the spaces of these apps that the first token, which the command line uses, does not see.
    pub unseen: Vec<String>,
    /// The users of tokens that see all of them.
    pub seen_by: Vec<String>,
}

/// Merges `text`, whose relative directories are relative to `base`, into what the file `into` will be.
/// Writes nothing yet.
///
/// # Errors
/// A message for the operator: what is wrong in which of the two.
pub fn join(text: &str, base: &Path, into: &Path) -> Result<Joined, String> {
    let from = parse(text, base).map_err(|err| format!("the file of apps and tokens to move:\n  {err}"))?;
    let shown = into.display();
    let (mut joined, here) = match fs::symlink_metadata(into) {
        Ok(_) => {
            let (text, _) = read_trusted(into)?;
            let here = parse(&text, base_of(into)).map_err(|err| format!("{shown}:\n  {err}"))?;
            (text, here)
        }
        Err(err) if err.kind() == ErrorKind::NotFound => (String::new(), Entries::default()),
        Err(err) => return Err(format!("{shown} cannot be inspected: {err}")),
    };
    let mut counts = [[0; 3]; 2];
    let mut taken_names: HashSet<String> = here.spaces.iter().map(|space| space.name.clone()).collect();
    taken_names.extend(space_guids(&here).map(|guid| guid.as_str().to_owned()));
    for space in &from.spaces {
        let is_there = here.spaces.iter().any(|it| it.guid == space.guid);
        counts[usize::from(is_there)][0] += 1;
        if !is_there {
            let name = free_name(&space.name, &space.guid, &taken_names);
            write_space(&mut joined, &Space { name: name.clone(), guid: space.guid.clone() });
            taken_names.insert(name);
        }
    }
    for app in &from.apps {
        let is_there = here.apps.iter().any(|it| it.guid == app.guid);
        counts[usize::from(is_there)][1] += 1;
        if !is_there {
            write_app(&mut joined, app);
        }
    }
    for token in &from.tokens {
        let hash = token.secret.sha256();
        let is_there = here.tokens.iter().any(|it| it.secret.sha256() == hash);
        counts[usize::from(is_there)][2] += 1;
        if !is_there {
            write_token(&mut joined, token);
        }
    }
    let all = parse(&joined, base_of(into))
        .map_err(|err| format!("{shown} would not be valid afterwards:\n  {err}"))?;
    let sees = |token: &Token, space: &Guid| token.role == Role::Admin || token.spaces.contains(space);
    let first = all.tokens.iter().find(|token| matches!(token.secret, TokenSecret::Plain(_)));
    let coming: HashSet<&Guid> = from.apps.iter().map(|app| &app.guid).collect();
    let of_coming = all.apps.iter().filter(|app| coming.contains(&app.guid)).map(|app| &app.space);
    let is_unseen = |space: &&Guid| first.is_some_and(|first| !sees(first, space));
    let unseen: BTreeSet<&Guid> = of_coming.filter(is_unseen).collect();
    let sees_all = |token: &&Token| unseen.iter().all(|space| sees(token, space));
    let seen_by: BTreeSet<&str> = match unseen.is_empty() {
        true => BTreeSet::new(),
        false => all.tokens.iter().filter(sees_all).map(|token| token.user.as_str()).collect(),
    };
    let name_of = |guid: &&Guid| {
        let named = all.spaces.iter().find(|space| space.guid == **guid);
        named.map_or_else(|| guid.to_string(), |space| space.name.clone())
    };
    let unseen = unseen.iter().map(name_of).collect();
    let seen_by = seen_by.into_iter().map(str::to_owned).collect();
    let [taken, there] = counts;
    Ok(Joined { text: joined.into(), taken, there, unseen, seen_by })
}

impl Joined {
    /// Writes the merged file.
    ///
    /// # Errors
    /// A message for the operator; the file is unchanged.
    pub fn write(&self, into: &Path) -> Result<(), String> {
        if self.taken == [0; 3] {
            return Ok(());
        }
        // Replace the file itself, not a link to it.
        let target = into.canonicalize().unwrap_or_else(|_| into.to_owned());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(base_of(&target))
            .and_then(|()| write_whole(&target, self.text.reveal().as_bytes()))
            .map_err(|err| format!("{} cannot be written: {err}", into.display()))
    }
}

fn space_guids(entries: &Entries) -> impl Iterator<Item = &Guid> {
    let of_tokens = entries.tokens.iter().flat_map(|token| &token.spaces);
    entries.apps.iter().map(|app| &app.space).chain(entries.spaces.iter().map(|it| &it.guid)).chain(of_tokens)
}

/// The name of a space, with a number after it if the name is taken.
fn free_name(name: &str, guid: &Guid, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number: u32| format!("{name} ({number})"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    // Its guid may serve as its name, by which apps here refer to it.
    let is_free = |name: &String| !taken.contains(name) || name == guid.as_str();
    names.find(is_free).unwrap_or_else(|| guid.to_string())
}

fn write_space(text: &mut String, Space { name, guid }: &Space) {
    let _ = write!(text, "\n[[space]]\nname = {}\nguid = {}\n", quoted(name), quoted(guid.as_str()));
}

fn write_app(text: &mut String, app: &App) {
    let App { name, guid, space, directory, environment, user } = app;
    let _ = write!(
        text,
        "\n[[app]]\nname = {}\nguid = {}\nspace = {}\ndir = {}\n",
        quoted(name),
        quoted(guid.as_str()),
        quoted(space.as_str()),
        quoted(&directory.to_string_lossy())
    );
    if let Some(user) = user {
        let _ = writeln!(text, "user = {}", quoted(&user.name));
    }
    if !environment.is_empty() {
        let pairs: Vec<String> =
            environment.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
        let _ = writeln!(text, "env = {{ {} }}", pairs.join(", "));
    }
}

fn write_token(text: &mut String, Token { secret, user, spaces, role }: &Token) {
    let secret = match secret {
        TokenSecret::Plain(token) => format!("token = {}", quoted(token.reveal())),
        TokenSecret::Sha256(hash) => {
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256 = \"{hex}\"")
        }
    };
    let spaces: Vec<String> = spaces.iter().map(|space| quoted(space.as_str())).collect();
    let _ = write!(
        text,
        "\n[[token]]\n{secret}\nuser = {}\nrole = \"{}\"\nspaces = [{}]\n",
        quoted(user),
        role.as_str(),
        spaces.join(", ")
    );
}

/// A TOML string: like JSON, except for one character.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "# mine\n[[app]]\nname = 'a'\nspace = 'lab'\n[[token]]\ntoken = 'here'\nuser = \
     'u'\nspaces = ['lab']\n";
    const COMING: &str = "[[space]]\nname = 'lab'\nguid = 'g-1'\n\
        [[app]]\nname = 'a'\nguid = 'b'\nspace = 'lab'\nenv = { \"A B\" = \"x\\u007f\\n\\\"\" }\n\
        [[token]]\ntoken = 'new'\nuser = 'v'\nspaces = ['lab']\nrole = 'manager'\n\
        [[token]]\ntoken = 'here'\nuser = 'v'\nspaces = ['lab']\n";

    #[test]
    fn existing_entries_stay_and_merged_ones_keep_their_space() {
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path().join("standalone.toml");
        fs::write(&into, HERE).unwrap();
        let joined = join(COMING, directory.path(), &into).unwrap();
        assert_eq!((joined.taken, joined.there), ([1, 1, 1], [0, 0, 1]));
        assert_eq!(
            (joined.unseen.clone(), joined.seen_by.clone()),
            (vec!["lab (2)".into()], vec!["v".into()])
        );
        assert!(!format!("{joined:?}").contains("new"));
        joined.write(&into).unwrap();
        let text = fs::read_to_string(&into).unwrap();
        assert!(text.starts_with(HERE), "{text}");
        let all = parse(&text, directory.path()).unwrap_or_else(|err| panic!("{err}\n{text}"));
        let spaces: Vec<&str> = all.apps.iter().map(|app| app.space.as_str()).collect();
        assert_eq!(spaces, ["lab", "g-1"], "a space of the same name is another one: {text}");
        assert_eq!(all.apps[1].environment["A B"], "x\u{7f}\n\"");
        assert_eq!(all.tokens[1].spaces, [Guid::from("g-1")]);
        assert_eq!(all.tokens[0].user, "u", "a token that is here keeps its rights");
        let again = join(COMING, directory.path(), &into).unwrap();
        assert_eq!(again.taken, [0; 3], "doing it again is no harm");
    }

    #[test]
    fn a_missing_file_is_created_unreadable_for_others() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path().join("state/standalone.toml");
        join(COMING, directory.path(), &into).unwrap().write(&into).unwrap();
        assert_eq!(fs::metadata(&into).unwrap().permissions().mode() & 0o777, 0o600);
        let world = super::super::World::read(&into).unwrap();
        assert!(world.grant_of("new").is_some() && world.app(&Guid::from("b")).is_some());
    }
}
