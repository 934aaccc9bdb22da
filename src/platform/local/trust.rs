//! Checks whether another user of this machine can have planted, or can replace, the files that `standalone`
//! trusts.
//!
//! These are its state directory, its file of apps and tokens, and its database: whoever can write them can
//! run commands as the service. They must belong to the service's user or to root, and nobody else may write
//! to them. In the directories above, nobody else may replace them: those must belong to the same two users,
//! and be closed to others or sticky (as `/tmp` is). A directory above may be writable for a group without
//! other members, as on machines whose umask is 002.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// SQLite's files beside a database, which must be trusted too.
const BESIDE_DATABASE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The files that another user can have planted or can replace: one message for each, with the remedy.
/// `config` is a file that a setting names. For a file that does not exist yet, the directories above it are
/// checked.
pub fn faults(state_dir: &Path, database: Option<&Path>, config: Option<&Path>) -> Vec<String> {
    let default = super::config::default_file(state_dir);
    let mut paths = vec![("the state directory", state_dir.to_owned())];
    paths.push(("the file", config.map_or(default, Path::to_owned)));
    if let Some(database) = database {
        for suffix in BESIDE_DATABASE {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            paths.push(("the database", path.into()));
        }
    }
    let mut faults = Vec::new();
    for (what, path) in paths {
        // A link must be trusted too.
        let found = fs::symlink_metadata(&path)
            .and_then(|link| Ok((owner_fault(what, &path, &link), fs::metadata(&path)?)));
        match found {
            Ok((link_fault, metadata)) => faults.extend(link_fault.or_else(|| fault(what, &path, &metadata))),
            Err(err) if err.kind() == ErrorKind::NotFound => (),
            Err(err) => faults.push(format!("{what} {} cannot be inspected: {err}", path.display())),
        }
        faults.extend(above(&path).iter().filter_map(|directory| directory_fault(directory)));
    }
    // Several of them may be in the same directory.
    let mut told = std::collections::HashSet::new();
    faults.retain(|fault| told.insert(fault.clone()));
    faults
}

/// What is wrong with a file or directory that only we or root may write.
pub(super) fn fault(what: &str, path: &Path, metadata: &Metadata) -> Option<String> {
    owner_fault(what, path, metadata).or_else(|| {
        let shown = path.display();
        let writers = match metadata.mode() {
            mode if mode & WRITABLE_BY_OTHERS != 0 => "every user of this machine",
            mode if mode & WRITABLE_BY_GROUP != 0 => "its group",
            _ => return None,
        };
        Some(format!("{what} {shown} can be written by {writers}; to mend it: chmod go-w {shown}"))
    })
}

fn owner_fault(what: &str, path: &Path, metadata: &Metadata) -> Option<String> {
    let owner = Uid::from_raw(metadata.uid());
    let us = Uid::effective();
    if owner.is_root() || owner == us {
        return None;
    }
    let (shown, owner, us) = (path.display(), name_of(owner), name_of(us));
    Some(format!(
        "{what} {shown} belongs to {owner}, and the service runs as {us}; if what is in it is yours: chown \
         {us} {shown}"
    ))
}

fn directory_fault(directory: &Path) -> Option<String> {
    // If a directory cannot be inspected, nothing in it can be opened either, which will fail later.
    let metadata = fs::symlink_metadata(directory).ok()?;
    let shown = directory.display();
    let owner = Uid::from_raw(metadata.uid());
    if !owner.is_root() && owner != Uid::effective() {
        return Some(format!(
            "the directory {shown} belongs to {owner}, who could replace what is in it; \
             start the service as that user, or keep its database and file elsewhere",
            owner = name_of(owner)
        ));
    }
    if !metadata.is_dir() || metadata.mode() & STICKY != 0 {
        return None;
    }
    let writers = match metadata.mode() {
        mode if mode & WRITABLE_BY_OTHERS != 0 => "every user of this machine".to_owned(),
        mode if mode & WRITABLE_BY_GROUP != 0 && has_other_members(metadata.gid()) => {
            format!("the members of the group {}", group_name(metadata.gid()))
        }
        _ => return None,
    };
    Some(format!(
        "{writers} could replace what is in the directory {shown}; to mend it: chmod go-w {shown}, \
         or keep the service's database and file elsewhere"
    ))
}

/// The directories above `path`, as written and after resolving links.
fn above(path: &Path) -> Vec<PathBuf> {
    let Ok(written) = std::path::absolute(path) else { return Vec::new() };
    let mut above: Vec<PathBuf> = written.ancestors().skip(1).map(Path::to_owned).collect();
    if let Some(real) = above.iter().find_map(|directory| directory.canonicalize().ok()) {
        above.extend(real.ancestors().map(Path::to_owned));
    }
    if let Ok(real) = path.canonicalize() {
        above.extend(real.ancestors().skip(1).map(Path::to_owned));
    }
    above
}

/// Whether anybody but us and root is in the group, according to this machine's files. An unknown group
/// belongs to a container's volume, or is private.
fn has_other_members(gid: u32) -> bool {
    if gid == 0 {
        return false;
    }
    let us = name_of(Uid::effective());
    let is_other = |name: &String| *name != us && name != "root";
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    if group.is_some_and(|group| group.mem.iter().any(is_other)) {
        return true;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    users.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let gid_of_user = fields.get(3).and_then(|gid| gid.parse::<u32>().ok());
        gid_of_user == Some(gid) && fields.first().is_some_and(|name| is_other(&(*name).to_owned()))
    })
}

fn name_of(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

fn group_name(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    struct Place {
        directory: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let place = Self { directory: tempfile::tempdir().unwrap() };
            fs::create_dir(place.state_dir()).unwrap();
            for path in [place.at("s.db"), place.at("s.db-wal"), place.at("s.db.tasks/standalone.toml")] {
                fs::write(&path, "").unwrap();
            }
            place.close(&["s.db", "s.db-wal", "s.db.tasks/standalone.toml"], 0o600);
            place.close(&["", "s.db.tasks"], 0o700);
            place
        }

        fn close(&self, names: &[&str], mode: u32) {
            for name in names {
                fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
            }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn state_dir(&self) -> PathBuf {
            self.at("s.db.tasks")
        }

        fn faults(&self) -> String {
            faults(&self.state_dir(), Some(&self.at("s.db")), None).join("\n")
        }
    }

    #[test]
    fn files_writable_by_group_or_others_are_named_with_the_remedy() {
        for name in ["s.db", "s.db-wal", "s.db.tasks", "s.db.tasks/standalone.toml"] {
            for bit in [WRITABLE_BY_GROUP, WRITABLE_BY_OTHERS] {
                let place = Place::new();
                assert_eq!(place.faults(), "");
                place.close(&[name], 0o700 | bit);
                let told = place.faults();
                assert!(told.contains(&format!("chmod go-w {}", place.at(name).display())), "{told}");
            }
        }
    }

    #[test]
    fn a_directory_above_must_not_let_others_replace_its_contents() {
        let place = Place::new();
        place.close(&[""], 0o777);
        assert!(place.faults().contains("every user of this machine could replace"), "{}", place.faults());
        place.close(&[""], 0o1777);
        assert_eq!(place.faults(), "", "a sticky directory lets nobody");
        place.close(&[""], 0o775);
        assert_eq!(place.faults(), "", "a group without other members, as a umask of 002 leaves it");
        fs::remove_dir_all(place.state_dir()).unwrap();
        fs::remove_file(place.at("s.db")).unwrap();
        place.close(&[""], 0o777);
        assert!(!place.faults().is_empty(), "before the first start too");
    }

    #[test]
    fn files_and_links_of_another_user_are_named() {
        if !Uid::effective().is_root() {
            return; // Only root can give files away.
        }
        for name in ["", "s.db", "s.db-wal", "s.db.tasks", "s.db.tasks/standalone.toml"] {
            let place = Place::new();
            chown(place.at(name), Some(54_321), None).unwrap();
            assert!(place.faults().contains("belongs to 54321"), "{name}: {}", place.faults());
        }
        let place = Place::new();
        fs::rename(place.state_dir(), place.at("elsewhere")).unwrap();
        symlink(place.at("elsewhere"), place.state_dir()).unwrap();
        assert_eq!(place.faults(), "");
        std::os::unix::fs::lchown(place.state_dir(), Some(54_321), None).unwrap();
        assert!(place.faults().contains("the state directory"), "{}", place.faults());
    }
}
