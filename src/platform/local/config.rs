//! The file of `standalone`: which apps and spaces there are, and who may do what.
//!
//! Invariant: what is wrong in a file is said exactly and all at once, and no token is ever shown.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use log::warn;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::model::Guid;

/// An app: where its tasks run.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name, for people.
    pub name: String,
    /// Its identifier; its name where the file gives none.
    pub guid: Guid,
    /// The space it is in.
    pub space: Guid,
    /// The directory in which its tasks start.
    pub directory: PathBuf,
    /// What its tasks have in their environment.
    pub environment: BTreeMap<String, String>,
}

/// Apps, spaces, users and tokens.
#[derive(Clone, Default)]
pub struct World {
    apps: Vec<App>,
    /// By the SHA-256 of the token: comparing hashes tells nothing about the token through time.
    holders: HashMap<[u8; 32], (String, bool)>,
    spaces: HashMap<String, Vec<Guid>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("apps", &self.apps)
            .field("tokens", &self.holders.len())
            .finish_non_exhaustive()
    }
}

impl World {
    /// Reads a file.
    ///
    /// # Errors
    /// A text that names the file and everything that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|err| format!("{shown} cannot be read: {err}"))?;
        let world = Self::parse(&text, path.parent().unwrap_or(Path::new(".")))
            .map_err(|err| format!("{shown}: {err}"))?;
        let is_open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o044 != 0);
        if is_open && text.contains("token =") {
            warn!(
                file:% = shown;
                "the file holds tokens and others on this machine can read it; chmod 600 would prevent it"
            );
        }
        Ok(world)
    }

    /// Reads the default file in `state_dir`; makes it, with a random token, when there is none. Also answers that token
    /// (none when the file was changed to hold none).
    ///
    /// # Errors
    /// A text for people, as with [`World::read`], or when the file cannot be made.
    pub fn default_in(state_dir: &Path) -> Result<(Self, Option<String>), String> {
        let path = state_dir.join("standalone.toml");
        if !path.exists() {
            make_default(state_dir, &path)
                .map_err(|err| format!("{} cannot be made: {err}", path.display()))?;
        }
        let text =
            fs::read_to_string(&path).map_err(|err| format!("{} cannot be read: {err}", path.display()))?;
        let token = toml::from_str::<WorldFile>(&text)
            .ok()
            .and_then(|file| file.token.into_iter().find_map(|it| it.token));
        Ok((Self::read(&path)?, token))
    }

    /// The app of that guid.
    pub fn app(&self, guid: &Guid) -> Option<&App> {
        self.apps.iter().find(|app| app.guid == *guid)
    }

    /// All apps, in the order of the file.
    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    /// The user that a token stands for, and whether they are an admin.
    pub fn holder_of(&self, token: &str) -> Option<(&str, bool)> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.holders.get(&hash).map(|(user, admin)| (user.as_str(), *admin))
    }

    /// The spaces in which a user is developer or manager.
    pub fn spaces_of(&self, user: &str) -> &[Guid] {
        self.spaces.get(user).map_or(&[], Vec::as_slice)
    }

    fn parse(text: &str, base: &Path) -> Result<Self, String> {
        // Its message names line and column, the key, and what is allowed there.
        let file: WorldFile = toml::from_str(text).map_err(|err| without_tokens(&err))?;
        let mut faults = Vec::new();
        let mut world = Self::default();
        let spaces: HashMap<&str, &str> = file
            .space
            .iter()
            .flat_map(|space| {
                let guid = space.guid.as_deref().unwrap_or(&space.name);
                [(space.name.as_str(), guid), (guid, guid)]
            })
            .collect();
        // A space that is only named by an app exists too; its guid is that name.
        let space_guid = |name: &str| Guid::from(*spaces.get(name).unwrap_or(&name));
        for (index, app) in file.app.iter().enumerate() {
            let place = format!("[[app]] number {}", index + 1);
            check_text(&mut faults, &place, "name", &app.name);
            check_text(&mut faults, &place, "space", &app.space);
            let guid = Guid::from(app.guid.as_deref().unwrap_or(&app.name));
            check_text(&mut faults, &place, "guid", guid.as_str());
            if world.app(&guid).is_some() {
                faults.push(format!(
                    "{place}: the guid {guid:?} is another app's already",
                    guid = guid.as_str()
                ));
            }
            let directory = base.join(app.dir.as_deref().unwrap_or(Path::new(".")));
            if !directory.is_dir() {
                faults.push(format!("{place}: dir {} is not a directory", directory.display()));
            }
            for name in app.env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0'])) {
                faults.push(format!("{place}: env: {name:?} cannot be the name of a variable"));
            }
            let directory = directory.canonicalize().unwrap_or(directory);
            let space = space_guid(&app.space);
            world.apps.push(App {
                name: app.name.clone(),
                guid,
                space,
                directory,
                environment: app.env.clone(),
            });
        }
        if file.app.is_empty() {
            faults.push("there is no [[app]]; at least one is needed".to_owned());
        }
        for (index, token) in file.token.iter().enumerate() {
            let place = format!("[[token]] number {}", index + 1);
            check_text(&mut faults, &place, "user", &token.user);
            let hash = match token.hash() {
                Ok(hash) => hash,
                Err(fault) => {
                    faults.push(format!("{place}: {fault}"));
                    continue;
                }
            };
            for space in &token.spaces {
                let guid = space_guid(space);
                if !spaces.contains_key(space.as_str()) && !world.apps.iter().any(|app| app.space == guid) {
                    faults.push(format!("{place}: spaces: there is no space {space:?} in this file"));
                }
            }
            let admin = token.role == Role::Admin;
            if world.holders.insert(hash, (token.user.clone(), admin)).is_some() {
                faults.push(format!("{place}: this token is in the file twice"));
            }
            if token.role != Role::Auditor {
                let granted = world.spaces.entry(token.user.clone()).or_default();
                granted.extend(token.spaces.iter().map(|space| space_guid(space)));
            }
        }
        if file.token.is_empty() {
            faults.push("there is no [[token]]; at least one is needed".to_owned());
        }
        if faults.is_empty() { Ok(world) } else { Err(faults.join("\n  ")) }
    }
}

fn check_text(faults: &mut Vec<String>, place: &str, key: &str, text: &str) {
    if text.trim().is_empty() {
        faults.push(format!("{place}: {key} is blank"));
    }
}

/// The parser shows the line that it stumbled over; not when a token may stand there.
fn without_tokens(error: &toml::de::Error) -> String {
    let shown = error.to_string();
    if !shown.contains("token =") && !shown.contains("token=") {
        return shown.trim_end().to_owned();
    }
    let first = shown.lines().next().unwrap_or_default();
    format!("{first}: {}", error.message())
}

fn make_default(state_dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    let mut text = String::from(
        "# Apps and tokens of `ocf-scheduler standalone`. Change them as you like; a restart reads them again.\n",
    );
    let directory = std::env::current_dir()?;
    // A JSON string is a TOML string too.
    let directory = serde_json::to_string(&directory.to_string_lossy()).map_err(io::Error::other)?;
    let written = write!(
        text,
        "\n[[app]]\nname = \"my-app\"\nguid = \"{}\"\nspace = \"my-space\"\ndir = {directory}\n\
         \n[[token]]\ntoken = \"{}\"\nuser = \"me\"\nrole = \"developer\"\nspaces = [\"my-space\"]\n\
         \n[[space]]\nname = \"my-space\"\nguid = \"{}\"\n",
        Guid::random(),
        Guid::random(),
        Guid::random()
    );
    written.map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldFile {
    #[serde(default)]
    space: Vec<SpaceEntry>,
    #[serde(default)]
    app: Vec<AppEntry>,
    #[serde(default)]
    token: Vec<TokenEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpaceEntry {
    name: String,
    guid: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppEntry {
    name: String,
    guid: Option<String>,
    space: String,
    dir: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    token: Option<String>,
    sha256: Option<String>,
    user: String,
    #[serde(default)]
    spaces: Vec<String>,
    #[serde(default)]
    role: Role,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Role {
    #[default]
    Developer,
    Manager,
    Auditor,
    Admin,
}

impl TokenEntry {
    fn hash(&self) -> Result<[u8; 32], &'static str> {
        match (&self.token, &self.sha256) {
            (Some(token), None) if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err("token must be of visible ASCII characters, without blanks")
            }
            (Some(token), None) => Ok(Sha256::digest(token.as_bytes()).into()),
            (None, Some(hex)) => from_hex(hex).ok_or("sha256 must be 64 hexadecimal digits"),
            _ => Err("exactly one of token and sha256 is needed"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, parts: &[&str]) {
        let error = World::parse(text, Path::new("/")).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in:\n{error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }

    const APP: &str = "[[app]]\nname = 'a'\nspace = 's'\n";

    #[test]
    fn a_bad_file_is_told_exactly_what_is_wrong() {
        check("", &["no [[app]]", "no [[token]]"]);
        check("[[app]]\nname = 'a'\nspaec = 's'\n", &["line 3", "spaec", "space"]);
        check("[[app]]\nname = 'a'\n", &["missing field `space`"]);
        check("app = 3", &["line 1"]);
        check(&format!("{APP}{APP}"), &["number 2", "another app's already"]);
        check("[[app]]\nname = 'a'\nspace = 's'\ndir = '/no/such'\n", &["/no/such is not a directory"]);
        check(
            &format!("{APP}[[token]]\ntoken = 'hunter2'\nuser = 'u'\nspaces = ['t']\n"),
            &["no space \"t\""],
        );
        check(&format!("{APP}[[token]]\nuser = 'u'\n"), &["exactly one of token and sha256"]);
        check(&format!("{APP}[[token]]\nsha256 = 'abc'\nuser = 'u'\n"), &["64 hexadecimal digits"]);
        check(
            &format!("{APP}[[token]]\ntoken = 'hunter2'\nuser = 'u'\nrole = 'boss'\n"),
            &["boss", "developer"],
        );
        check(&format!("{APP}[[token]]\ntoken = 'hunter2' x\n"), &["line 5"]);
    }

    #[test]
    fn tokens_are_known_by_text_or_by_hash_and_auditors_may_do_nothing() {
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of "test"
        let text = format!(
            "{APP}[[token]]\nsha256 = '{hash}'\nuser = 'u'\nspaces = ['s']\n\
             [[token]]\ntoken = 'x'\nuser = 'v'\nrole = 'auditor'\nspaces = ['s']\n\
             [[token]]\ntoken = 'y'\nuser = 'w'\nrole = 'admin'\n"
        );
        let world = World::parse(&text, Path::new("/")).unwrap();
        assert_eq!(world.holder_of("test"), Some(("u", false)));
        assert_eq!(world.spaces_of("u"), [Guid::from("s")]);
        assert_eq!(world.holder_of("x"), Some(("v", false)));
        assert!(world.spaces_of("v").is_empty());
        assert_eq!(world.holder_of("y"), Some(("w", true)));
        assert_eq!(world.holder_of("z"), None);
    }

    #[test]
    fn the_default_file_is_made_once_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let (world, token) = World::default_in(&directory.path().join("state")).unwrap();
        let token = token.unwrap();
        assert!(world.holder_of(&token).is_some());
        let (again, same) = World::default_in(&directory.path().join("state")).unwrap();
        assert_eq!(same, Some(token));
        assert_eq!(again.apps()[0].guid, world.apps()[0].guid);
        let mode = fs::metadata(directory.path().join("state/standalone.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
