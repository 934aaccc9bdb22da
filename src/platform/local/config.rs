//! The file of `standalone`: which apps and spaces exist, and who may do what.
//!
//! Invariant: rights belong to a token, not to its user, and no message shows a token. [`parse`] reads the
//! text.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use log::warn;
use nix::unistd::{Uid, User};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::records::write_whole;
use super::trust;
use crate::model::{Guid, Secret};

mod join;
mod parse;

pub use join::{Joined, join};
pub(super) use parse::{Entries, parse};

/// A larger file is refused.
const FILE_MAX: u64 = 16 * 1024 * 1024;
/// The file with the path of the file that is not the default one.
const NOTE: &str = "standalone.path";
/// The most bytes of a path.
const NOTE_MAX: u64 = 4096;

/// A named space.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub(super) name: String,
    pub(super) guid: Guid,
}

/// An app, in which tasks run.
#[derive(Debug, Clone)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Its guid; the name if the file gives none.
    pub guid: Guid,
    /// The space in which it is.
    pub space: Guid,
    /// The working directory of its tasks.
    pub directory: PathBuf,
    /// The environment variables of its tasks.
    pub environment: BTreeMap<String, String>,
    /// The user as which its tasks run; `None`: the service's user.
    pub user: Option<TaskUser>,
}

/// The user of this machine as which an app's tasks run. Uid, gid and groups are looked up again when a task
/// starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUser {
    /// The login name.
    pub name: String,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

impl TaskUser {
    /// Looks up a user. The error continues "user: ".
    pub(super) fn find(name: &str) -> Result<Self, String> {
        let user = User::from_name(name).map_err(|err| format!("users cannot be looked up: {err}"))?;
        let user = user.ok_or("this machine has no user of that name")?;
        if !Uid::effective().is_root() && user.uid != Uid::effective() {
            return Err("only a service that runs as root can start tasks as another user".to_owned());
        }
        Ok(Self { name: user.name, home: user.dir, shell: user.shell })
    }
}

/// A token and its rights.
pub(super) struct Token {
    pub(super) secret: TokenSecret,
    pub(super) user: String,
    pub(super) spaces: Vec<Guid>,
    pub(super) role: Role,
}

/// A token as written in the file.
pub(super) enum TokenSecret {
    Plain(Secret),
    Sha256([u8; 32]),
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    Developer,
    Manager,
    Auditor,
    Admin,
}

impl Role {
    const ALL: [(&str, Self); 4] = [
        ("developer", Self::Developer),
        ("manager", Self::Manager),
        ("auditor", Self::Auditor),
        ("admin", Self::Admin),
    ];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, role)| role)
    }

    fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, role)| *role == self).map_or("", |(name, _)| name)
    }
}

/// The rights of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The user to whom it belongs, for the log.
    pub user: String,
    /// Valid in all spaces.
    pub admin: bool,
    /// The spaces in which it has the rights of a developer or manager.
    pub spaces: Vec<Guid>,
    /// The spaces of an auditor, who may read there if a setting allows it.
    pub readable: Vec<Guid>,
}

/// Apps, spaces and tokens.
#[derive(Clone, Default)]
pub struct World {
    apps: Vec<App>,
    /// By the SHA-256 of the token.
    grants: HashMap<[u8; 32], Grant>,
    first_token: Option<Secret>,
    /// The names of spaces in the file.
    space_names: HashMap<Guid, String>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("apps", &self.apps)
            .field("tokens", &self.grants.len())
            .finish_non_exhaustive()
    }
}

impl World {
    /// Reads a file.
    ///
    /// # Errors
    /// A text with the file and everything that is wrong in it. Also if another user may have written it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let (text, is_open) = read_trusted(path)?;
        let shown = path.display();
        let entries = parse(&text, base_of(path)).map_err(|err| format!("{shown}:\n  {err}"))?;
        let has_token = entries.tokens.iter().any(|token| matches!(token.secret, TokenSecret::Plain(_)));
        if is_open && has_token {
            warn!(
                file:% = shown;
                "the file contains tokens and others on this machine can read it; chmod 600 would prevent it"
            );
        }
        Ok(Self::of(entries))
    }

    /// Reads the default file in `state_dir`. If there is none, creates it with a random token.
    ///
    /// # Errors
    /// A message for the operator, as with [`World::read`], or because the file cannot be created.
    pub fn default_in(state_dir: &Path) -> Result<Self, String> {
        let path = default_file(state_dir);
        if !path.exists() {
            make_default(state_dir, &path)
                .map_err(|err| format!("{} cannot be made: {err}", path.display()))?;
        }
        Self::read(&path)
    }

    /// The app with this guid.
    pub fn app(&self, guid: &Guid) -> Option<&App> {
        self.apps.iter().find(|app| app.guid == *guid)
    }

    /// All apps, in the order of the file.
    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    /// The space with this name.
    pub fn space_named(&self, name: &str) -> Option<&Guid> {
        self.space_names.iter().find(|(_, other)| *other == name).map(|(guid, _)| guid)
    }

    /// The name of the space with this guid.
    pub fn space_name(&self, guid: &str) -> Option<&str> {
        self.space_names.iter().find(|(other, _)| other.as_str() == guid).map(|(_, name)| name.as_str())
    }

    /// The rights of a token; `None`: it is not in the file.
    pub fn grant_of(&self, token: &str) -> Option<&Grant> {
        self.grants.get(&TokenSecret::Plain(token.to_owned().into()).sha256())
    }

    /// The rights of the token with this SHA-256.
    pub fn grant_of_digest(&self, digest: &[u8; 32]) -> Option<&Grant> {
        self.grants.get(digest)
    }

    /// The SHA-256 of each token.
    pub fn token_digests(&self) -> Vec<[u8; 32]> {
        self.grants.keys().copied().collect()
    }

    /// The first token that the file contains as text, not as a hash.
    pub fn first_token(&self) -> Option<&str> {
        self.first_token.as_ref().map(Secret::reveal)
    }

    fn of(entries: Entries) -> Self {
        let first_token = entries.tokens.iter().find_map(|token| match &token.secret {
            TokenSecret::Plain(token) => Some(token.clone()),
            TokenSecret::Sha256(_) => None,
        });
        let grant = |token: Token| {
            let (spaces, readable) = match token.role {
                Role::Auditor => (Vec::new(), token.spaces),
                _ => (token.spaces, Vec::new()),
            };
            let admin = token.role == Role::Admin;
            (token.secret.sha256(), Grant { user: token.user, admin, spaces, readable })
        };
        let grants = entries.tokens.into_iter().map(grant).collect();
        let space_names = entries.spaces.into_iter().map(|space| (space.guid, space.name)).collect();
        Self { apps: entries.apps, grants, first_token, space_names }
    }
}

/// The file that `standalone` uses unless a setting names another.
pub fn default_file(state_dir: &Path) -> PathBuf {
    state_dir.join("standalone.toml")
}

/// Notes in `state_dir` which file the service uses, so that [`file_in_use`] finds it; `None`: the default
/// one.
///
/// # Errors
/// The note cannot be written.
pub fn note_file(state_dir: &Path, file: Option<&Path>) -> io::Result<()> {
    let note = state_dir.join(NOTE);
    match file {
        Some(file) => write_whole(&note, std::path::absolute(file)?.as_os_str().as_bytes()),
        None => match fs::remove_file(note) {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        },
    }
}

/// The file that the service of `state_dir` used when it last started.
pub fn file_in_use(state_dir: &Path) -> PathBuf {
    let noted = || {
        let note = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(state_dir.join(NOTE))
            .ok()?;
        let mut path = Vec::new();
        note.take(NOTE_MAX).read_to_end(&mut path).ok()?;
        Some(PathBuf::from(OsString::from_vec(path))).filter(|path| path.is_absolute())
    };
    noted().unwrap_or_else(|| default_file(state_dir))
}

/// The text of the file `path`, which contains secrets, if nobody else can have written it.
///
/// # Errors
/// A message for the operator.
pub fn file_text(path: &Path) -> Result<String, String> {
    read_trusted(path).map(|(text, _)| text)
}

/// The directory to which relative directories in the file `path` are relative.
pub(super) fn base_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The text of a file that nobody else can have written, and whether others can read it. Checks the open
/// file, which cannot be replaced meanwhile.
fn read_trusted(path: &Path) -> Result<(String, bool), String> {
    let shown = path.display();
    let cannot = |err: io::Error| format!("{shown} cannot be read: {err}");
    // A FIFO in its place must not block the start.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    if let Some(fault) = trust::fault("the file", path, &metadata) {
        return Err(fault);
    }
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if FILE_MAX < text.len() as u64 {
        return Err(format!("{shown} has more than {FILE_MAX} bytes"));
    }
    Ok((text, metadata.permissions().mode() & 0o044 != 0))
}

fn make_default(state_dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    let mut text = String::from(
        "# Apps and tokens of `ocf-scheduler standalone`. Change them as you like; SIGHUP or a restart reads \
         them again.\n",
    );
    let directory = std::env::current_dir()?;
    // A JSON string is also a TOML string.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, parts: &[&str]) {
        let error = parse(text, Path::new("/")).err().unwrap();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in:\n{error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }

    const APP: &str = "[[app]]\nname = 'a'\nspace = 's'\n";

    #[test]
    fn all_faults_in_a_bad_file_are_reported_exactly() {
        check("", &["no [[app]]", "no [[token]]"]);
        check(
            "[[app]]\nname = 'a'\nspaec = 's'\n",
            &["line 3: [[app]] has no such key", "name, guid, space"],
        );
        check("[[app]]\nname = 'a'\n", &["line 1: [[app]] needs the key space"]);
        check("app = 3\nboss = 1", &["line 1: app must be a list", "line 2: there is no such key"]);
        check(&format!("{APP}{APP}"), &["line 5: another [[app]] has this guid"]);
        check("[[app]]\nname = 'a'\nspace = 's'\ndir = '/no/such'\n", &["line 4: dir /no/such is not"]);
        check(
            "[[app]]\nname = 'a'\nspace = 's'\nuser = 'no-such-user'\n",
            &["line 4: user: this machine has no"],
        );
        check("[[space]]\nname = 'a'\n[[space]]\nname = 'b'\nguid = 'a'", &["line 4: another [[space]]"]);
        let token = format!("{APP}[[token]]\ntoken = 'hunter2'\nuser = 'u'\n");
        check(&format!("{token}spaces = ['s', 't']\n"), &["line 7: spaces: there is no space like entry 2"]);
        check(&format!("{token}role = 'boss'\n"), &["line 7: role must be one of developer"]);
        check(&format!("{token}{}", &token[APP.len()..]), &["line 8: this token is in the file twice"]);
        check(&format!("{APP}[[token]]\nuser = 'u'\n"), &["line 4: [[token]] needs exactly one"]);
        check(&format!("{APP}[[token]]\nsha256 = 'abc'\nuser = 'u'\n"), &["line 5: sha256 must be 64"]);
        check(
            "[[app]]\nname = 'a'\nspaec = 's'\n[[token]]\nuser = 1\nrole = 'x'\n",
            &["line 1: ", "line 3: ", "line 4: ", "line 5: user must", "line 6: role must"],
        );
    }

    #[test]
    fn no_text_of_a_bad_file_is_shown_because_it_may_be_a_secret() {
        for line in [
            "token  = \"hunter2secret\" x",
            "token = 'hunter2' x",
            "token = hunter2",
            "token: hunter2",
            "hunter2",
            "\"hunter2\" = token",
            "hunter2 = 1",
            "token = ['hunter2']",
            "token = 'hunter2 hunter2'",
            "role = 'hunter2'",
            "spaces = 'hunter2'",
            "spaces = ['hunter2']",
            "sha256 = 'hunter2'",
            "user = { hunter2 = 1 }",
            "token = 'a'\ntoken = 'hunter2'",
            "token = 'hunter2",
            "token = \"hunter2\\q\"",
            "[hunter2",
            "[[hunter2]]",
            "[[app]]\nname = 'n'\nspace = 's'\nenv = { \"TOKEN=hunter2\" = '', B = 3 }",
            "[[app]]\nname = 'n'\nspace = 's'\nenv.A = hunter2",
            "[[app]]\nname = 'n'\nspace = 's'\nenv = 'A=hunter2'",
            "[[app]]\nname = 'n'\nspace = 's'\nuser = 'hunter2'",
        ] {
            let text = format!("{APP}[[token]]\nuser = 'u'\n{line}\n");
            let error = parse(&text, Path::new("/")).err().unwrap();
            assert!(!error.contains("hunter2"), "{line}: {error}");
            assert!(error.contains("line "), "{line}: {error}");
        }
    }

    #[test]
    fn rights_belong_to_a_token_and_not_to_its_user() {
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // of "test"
        let text = format!(
            "{APP}[[token]]\nsha256 = '{hash}'\nuser = 'u'\nspaces = ['s']\n\
             [[token]]\ntoken = 'x'\nuser = 'u'\nrole = 'auditor'\nspaces = ['s']\n\
             [[token]]\ntoken = 'y'\nuser = 'u'\nrole = 'admin'\n"
        );
        let world = World::of(parse(&text, Path::new("/")).unwrap_or_else(|err| panic!("{err}")));
        let grant = |admin, spaces: &[&str]| Grant {
            readable: Vec::new(),
            user: "u".to_owned(),
            admin,
            spaces: spaces.iter().copied().map(Guid::from).collect(),
        };
        assert_eq!(world.grant_of("test"), Some(&grant(false, &["s"])));
        let auditor = Grant { readable: vec![Guid::from("s")], ..grant(false, &[]) };
        assert_eq!(world.grant_of("x"), Some(&auditor), "an auditor may work nowhere");
        assert_eq!(world.grant_of("y"), Some(&grant(true, &[])));
        assert_eq!(world.grant_of("z"), None);
    }

    #[test]
    fn the_default_file_is_created_once_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("state");
        let world = World::default_in(&state_dir).unwrap();
        assert!(world.grant_of(world.first_token().unwrap()).is_some());
        let again = World::default_in(&state_dir).unwrap();
        assert_eq!(again.first_token(), world.first_token());
        assert_eq!(again.apps()[0].guid, world.apps()[0].guid);
        let mode = fs::metadata(default_file(&state_dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
