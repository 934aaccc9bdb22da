//! Parses a standalone file and collects all faults, by line.
//!
//! Invariant: an error shows the line's number, never its text: a token may be anywhere, even in a wrong
//! place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{App, Role, Space, TaskUser, Token, TokenSecret};
use crate::model::Guid;

/// The contents of a file, with names resolved.
#[derive(Default)]
pub(in crate::platform::local) struct Entries {
    pub(in crate::platform::local) spaces: Vec<Space>,
    pub(in crate::platform::local) apps: Vec<App>,
    pub(in crate::platform::local) tokens: Vec<Token>,
}

/// Parses the text of a file. Relative directories are relative to `base`.
///
/// # Errors
/// All faults, one a line, in the order of the file.
pub(in crate::platform::local) fn parse(text: &str, base: &Path) -> Result<Entries, String> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut faults = Faults { text, list: Vec::new(), is_broken: !errors.is_empty() };
    for error in &errors {
        faults.add(error.span().unwrap_or_default(), error.message().to_owned());
    }
    let entries = entries(document.get_ref(), base, &mut faults);
    if faults.list.is_empty() { Ok(entries) } else { Err(faults.told()) }
}

struct Faults<'a> {
    text: &'a str,
    list: Vec<(usize, String)>,
    /// A part of the file could not be parsed, so a missing key may be in that part.
    is_broken: bool,
}

impl Faults<'_> {
    fn add(&mut self, place: Range<usize>, fault: String) {
        let before = self.text.as_bytes().get(..place.start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.list.push((line, fault));
    }

    fn told(mut self) -> String {
        self.list.sort_by_key(|(line, _)| *line);
        self.list.dedup();
        let lines: Vec<String> =
            self.list.into_iter().map(|(line, fault)| format!("line {line}: {fault}")).collect();
        lines.join("\n  ")
    }
}

/// A `[[heading]]` of the file.
struct Table<'a> {
    heading: &'static str,
    place: Range<usize>,
    keys: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    fn text(&self, key: &str, faults: &mut Faults<'_>) -> Option<(&'a str, Range<usize>)> {
        let value = self.keys.get(key)?;
        match value.get_ref().as_str() {
            Some(text) if text.trim().is_empty() => {
                faults.add(value.span(), format!("{key} is blank"));
                None
            }
            Some(text) => Some((text, value.span())),
            None => {
                faults.add(value.span(), format!("{key} must be a text in quotes"));
                None
            }
        }
    }

    fn needed(&self, key: &str, faults: &mut Faults<'_>) -> Option<(&'a str, Range<usize>)> {
        if !self.keys.contains_key(key) && !faults.is_broken {
            faults.add(self.place.clone(), format!("[[{}]] needs the key {key}", self.heading));
        }
        self.text(key, faults)
    }
}

const SPACE_KEYS: &[&str] = &["name", "guid"];
const APP_KEYS: &[&str] = &["name", "guid", "space", "dir", "env", "user"];
const TOKEN_KEYS: &[&str] = &["token", "sha256", "user", "spaces", "role"];

fn entries(document: &DeTable<'_>, base: &Path, faults: &mut Faults<'_>) -> Entries {
    for key in document.keys() {
        if !matches!(key.get_ref().as_ref(), "space" | "app" | "token") {
            let fault = "there is no such key or heading; a file has [[space]], [[app]] and [[token]]";
            faults.add(key.span(), fault.to_owned());
        }
    }
    let spaces = spaces(document, faults);
    // A space that only an app names exists too; its guid is that name.
    let guids: HashMap<&str, &Guid> = spaces
        .iter()
        .flat_map(|space| [(space.name.as_str(), &space.guid), (space.guid.as_str(), &space.guid)])
        .collect();
    let space_guid = |name: &str| guids.get(name).map_or_else(|| Guid::from(name), |guid| (*guid).clone());
    let apps = apps(document, base, &space_guid, faults);
    let known: HashSet<&Guid> = guids.values().copied().chain(apps.iter().map(|app| &app.space)).collect();
    let tokens = tokens(document, &space_guid, &known, faults);
    Entries { apps, tokens, spaces }
}

/// The tables under a heading; at least one if `needed`.
fn tables<'a>(
    document: &'a DeTable<'a>,
    heading: &'static str,
    keys: &[&str],
    faults: &mut Faults<'_>,
) -> Vec<Table<'a>> {
    let Some(value) = document.get(heading) else {
        if heading != "space" && !faults.is_broken {
            faults.add(0..0, format!("there is no [[{heading}]]; at least one is needed"));
        }
        return Vec::new();
    };
    let listed: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
        DeValue::Array(listed) => listed.iter().collect(),
        _ => Vec::new(),
    };
    if listed.is_empty() {
        faults.add(value.span(), format!("{heading} must be a list of tables, each headed [[{heading}]]"));
    }
    let mut tables = Vec::new();
    for entry in listed {
        let Some(table) = entry.get_ref().as_table() else {
            faults.add(entry.span(), format!("{heading} must be a table, headed [[{heading}]]"));
            continue;
        };
        for key in table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let fault = format!("[[{heading}]] has no such key; it has {}", keys.join(", "));
            faults.add(key.span(), fault);
        }
        tables.push(Table { heading, place: entry.span(), keys: table });
    }
    tables
}

fn spaces(document: &DeTable<'_>, faults: &mut Faults<'_>) -> Vec<Space> {
    let mut spaces: Vec<Space> = Vec::new();
    for table in tables(document, "space", SPACE_KEYS, faults) {
        let Some((name, place)) = table.needed("name", faults) else { continue };
        let guid = table.text("guid", faults).map_or(name, |(guid, _)| guid);
        // Either would make it ambiguous which space an app means.
        let is_taken = |text: &str| spaces.iter().any(|it| it.name == text || it.guid.as_str() == text);
        if is_taken(name) || is_taken(guid) {
            faults.add(place, "another [[space]] has this name or guid already".to_owned());
            continue;
        }
        spaces.push(Space { name: name.to_owned(), guid: Guid::from(guid) });
    }
    spaces
}

fn apps(
    document: &DeTable<'_>,
    base: &Path,
    space_guid: &dyn Fn(&str) -> Guid,
    faults: &mut Faults<'_>,
) -> Vec<App> {
    let mut apps: Vec<App> = Vec::new();
    for table in tables(document, "app", APP_KEYS, faults) {
        let space = table.needed("space", faults);
        let directory = directory(&table, base, faults);
        let environment = environment(&table, faults);
        let user = table.text("user", faults).and_then(|(user, place)| {
            TaskUser::find(user).map_err(|fault| faults.add(place, format!("user: {fault}"))).ok()
        });
        let name = table.needed("name", faults);
        let guid = table.text("guid", faults).or_else(|| name.clone());
        let (Some((name, _)), Some((guid, place)), Some((space, _))) = (name, guid, space) else { continue };
        if apps.iter().any(|app| app.guid.as_str() == guid) {
            faults.add(place, "another [[app]] has this guid already".to_owned());
            continue;
        }
        let (name, guid, space) = (name.to_owned(), Guid::from(guid), space_guid(space));
        apps.push(App { name, guid, space, directory, environment, user });
    }
    apps
}

fn directory(table: &Table<'_>, base: &Path, faults: &mut Faults<'_>) -> PathBuf {
    let given = table.text("dir", faults);
    let directory = base.join(given.as_ref().map_or(".", |(given, _)| given));
    if !directory.is_dir() {
        let place = given.map_or_else(|| table.place.clone(), |(_, place)| place);
        faults.add(place, format!("dir {} is not a directory", directory.display()));
    }
    directory.canonicalize().unwrap_or(directory)
}

fn environment(table: &Table<'_>, faults: &mut Faults<'_>) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let Some(value) = table.keys.get("env") else { return environment };
    let Some(variables) = value.get_ref().as_table() else {
        faults.add(value.span(), "env must be a table, like { NAME = \"value\" }".to_owned());
        return environment;
    };
    for (key, value) in variables {
        let name = key.get_ref().as_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            faults.add(key.span(), "env: a variable's name must not be empty or contain = or NUL".to_owned());
        }
        match value.get_ref().as_str() {
            Some(text) if text.contains('\0') => {
                faults.add(value.span(), "env: a value must not contain NUL".to_owned());
            }
            Some(text) => {
                environment.insert(name.to_owned(), text.to_owned());
            }
            None => faults.add(value.span(), "env: a value must be a text in quotes".to_owned()),
        }
    }
    environment
}

fn tokens(
    document: &DeTable<'_>,
    space_guid: &dyn Fn(&str) -> Guid,
    known: &HashSet<&Guid>,
    faults: &mut Faults<'_>,
) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for table in tables(document, "token", TOKEN_KEYS, faults) {
        let user = table.needed("user", faults);
        let spaces = spaces_of(&table, space_guid, known, faults);
        let role = table.text("role", faults).map(|(role, place)| (Role::parse(role), place));
        if let Some((None, place)) = &role {
            faults.add(place.clone(), "role must be one of developer, manager, auditor, admin".to_owned());
        }
        let role = role.and_then(|(role, _)| role).unwrap_or_default();
        let Some((secret, place)) = secret(&table, faults) else { continue };
        let hash = secret.sha256();
        if tokens.iter().any(|token| token.secret.sha256() == hash) {
            faults.add(place, "this token is in the file twice".to_owned());
            continue;
        }
        let Some((user, _)) = user else { continue };
        tokens.push(Token { secret, user: user.to_owned(), spaces, role });
    }
    tokens
}

fn secret(table: &Table<'_>, faults: &mut Faults<'_>) -> Option<(TokenSecret, Range<usize>)> {
    if table.keys.contains_key("token") == table.keys.contains_key("sha256") {
        if !faults.is_broken {
            let fault = "[[token]] needs exactly one of the keys token and sha256".to_owned();
            faults.add(table.place.clone(), fault);
        }
        return None;
    }
    if let Some((hex, place)) = table.text("sha256", faults) {
        if let Some(hash) = from_hex(hex) {
            return Some((TokenSecret::Sha256(hash), place));
        }
        faults.add(place, "sha256 must be 64 hexadecimal digits".to_owned());
        return None;
    }
    let (token, place) = table.text("token", faults)?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        faults.add(place, "token must consist of visible ASCII characters, without blanks".to_owned());
        return None;
    }
    Some((TokenSecret::Plain(token.to_owned().into()), place))
}

fn spaces_of(
    table: &Table<'_>,
    space_guid: &dyn Fn(&str) -> Guid,
    known: &HashSet<&Guid>,
    faults: &mut Faults<'_>,
) -> Vec<Guid> {
    let mut spaces = Vec::new();
    let Some(value) = table.keys.get("spaces") else { return spaces };
    let Some(listed) = value.get_ref().as_array() else {
        faults.add(value.span(), "spaces must be a list of texts, like [\"factory\"]".to_owned());
        return spaces;
    };
    for (index, entry) in listed.iter().enumerate() {
        let number = index + 1;
        match entry.get_ref().as_str().map(space_guid) {
            Some(guid) if known.contains(&guid) => spaces.push(guid),
            Some(_) => faults.add(entry.span(), format!("spaces: there is no space like entry {number}")),
            None => faults.add(entry.span(), format!("spaces: entry {number} must be a text in quotes")),
        }
    }
    spaces
}

impl TokenSecret {
    /// The hash that identifies a token: comparing hashes leaks nothing about the token through timing.
    pub(in crate::platform::local) fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Plain(token) => Sha256::digest(token.reveal().as_bytes()).into(),
            Self::Sha256(hash) => *hash,
        }
    }
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(hash)
}
