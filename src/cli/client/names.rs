//! Looks up names of apps and spaces: in the file of a `standalone` service on this machine, or in Cloud
//! Foundry.
//!
//! If neither has a name, the guid is used.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::failure::Failure;
use super::remote::{Remote, encode};
use super::session::is_guid;
use crate::cli::nearest::suggestion;
use crate::cli::output::field;
use crate::platform::local::{App, Grant, World};

/// The most guids in one request. Proxies reject long URLs.
const BATCH: usize = 50;
/// The most guids that are looked up. The others are shown as guids.
const LOOKUPS_MAX: usize = 1000;

/// The most names that a shell offers.
const OFFERED_MAX: usize = 500;

/// A kind of object that has a name and a guid on the platform.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    App,
    Space,
    Organization,
}

impl What {
    const fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Space => "space",
            Self::Organization => "organization",
        }
    }

    /// The word in paths of Cloud Foundry's API, and in commands of `cf`.
    const fn plural(self) -> &'static str {
        match self {
            Self::App => "apps",
            Self::Space => "spaces",
            Self::Organization => "organizations",
        }
    }
}

pub(super) struct Names {
    world: Option<World>,
    /// The rights of the token, if it is in the file of the `standalone` service.
    grant: Option<Grant>,
    /// The base URL of the Cloud Foundry API that cf is logged in to.
    cloud_foundry: Option<String>,
    /// Names by guid, of the objects that were found.
    known: RefCell<HashMap<String, String>>,
}

impl Names {
    pub(super) fn new(world: Option<World>, cloud_foundry: Option<String>, token: &str) -> Self {
        let grant = world.as_ref().and_then(|world| world.grant_of(token)).cloned();
        Self { world, grant, cloud_foundry, known: RefCell::default() }
    }

    /// Whether the service runs for the foundation that cf is logged in to.
    pub(super) fn is_of_cloud_foundry(&self) -> bool {
        self.cloud_foundry.is_some()
    }

    /// The only app that the token may use, in the space if one is given. `None` if it is not known here.
    pub(super) fn only_app(&self, space: Option<&str>) -> Option<String> {
        let mut apps = self.world.as_ref()?.apps().iter().filter(|app| self.is_within_reach(app, space));
        match (apps.next(), apps.next()) {
            (Some(app), None) => Some(app.guid.to_string()),
            _ => None,
        }
    }

    /// The names of all apps in the space, or of all spaces; `None` if they are not known here.
    pub(super) fn all(
        &self,
        remote: &Remote,
        what: What,
        space: Option<&str>,
    ) -> Result<Option<Vec<String>>, Failure> {
        if let Some(world) = &self.world {
            return Ok(Some(match what {
                What::App => {
                    let apps = world.apps().iter().filter(|app| self.is_within_reach(app, space));
                    apps.map(|app| app.name.clone()).collect()
                }
                _ => {
                    let apps = world.apps().iter().filter(|app| self.is_within_reach(app, None));
                    apps.map(|app| self.title(What::Space, app.space.as_str())).collect()
                }
            }));
        }
        let Some(cloud_foundry) = &self.cloud_foundry else { return Ok(None) };
        let filter = match (what, space) {
            (What::App, Some(space)) => format!("&space_guids={}", encode(space)),
            _ => String::new(),
        };
        let plural = what.plural();
        let answer = remote
            .get_at(&format!("{cloud_foundry}/v3/{plural}?order_by=name&per_page={OFFERED_MAX}{filter}"))?;
        let found = answer["resources"].as_array().into_iter().flatten();
        Ok(Some(found.map(|it| field(it, "name").to_owned()).collect()))
    }

    /// Whether an app is in the space, if one is given, and in one that the token may use.
    fn is_within_reach(&self, app: &App, space: Option<&str>) -> bool {
        let is_granted = self.grant.as_ref().is_none_or(|grant| {
            grant.admin || grant.spaces.iter().chain(&grant.readable).any(|space| *space == app.space)
        });
        is_granted && space.is_none_or(|space| app.space.as_str() == space)
    }

    /// The guid for a name or guid. If it cannot be looked up, returns it unchanged.
    pub(super) fn guid(
        &self,
        remote: &Remote,
        what: What,
        wanted: &str,
        space: Option<&str>,
    ) -> Result<String, Failure> {
        if is_guid(wanted) {
            return Ok(wanted.to_owned());
        }
        if let Some(world) = &self.world {
            return match what {
                What::App => self.app_of_world(world, wanted, space),
                // The file has each name once.
                _ => Ok(world.space_named(wanted).map_or_else(|| wanted.to_owned(), ToString::to_string)),
            };
        }
        let Some(cloud_foundry) = &self.cloud_foundry else { return Ok(wanted.to_owned()) };
        let filter = space.map(|space| format!("&space_guids={}", encode(space))).unwrap_or_default();
        let (word, plural) = (what.word(), what.plural());
        let answer =
            remote.get_at(&format!("{cloud_foundry}/v3/{plural}?names={}{filter}", encode(wanted)))?;
        match answer["resources"].as_array().map(Vec::as_slice).unwrap_or_default() {
            [one] => Ok(field(one, "guid").to_owned()),
            [] => {
                let place = match what {
                    What::App => " in the space",
                    _ => "",
                };
                Err(Failure::NotFound(format!(
                    "there is no {word} {wanted:?}{place}; to list them, run: cf {plural}"
                )))
            }
            several => {
                let of = if matches!(what, What::App) { What::Space } else { What::Organization };
                let owner = |it: &Value| json!({ "guid": it["relationships"][of.word()]["data"]["guid"] });
                let owners: Vec<Value> = several.iter().map(owner).collect();
                self.look_up(remote, of, &owners, "guid");
                let several = several.iter().zip(&owners);
                let pairs = several.map(|(it, owner)| (field(it, "guid"), field(owner, "guid")));
                Err(self.ambiguous(what, wanted, of, &pairs.collect::<Vec<_>>(), space.is_some()))
            }
        }
    }

    fn app_of_world(&self, world: &World, wanted: &str, space: Option<&str>) -> Result<String, Failure> {
        let is_it = |app: &&App| app.name == wanted || app.guid.as_str() == wanted;
        let here: Vec<&App> =
            world.apps().iter().filter(is_it).filter(|app| self.is_within_reach(app, space)).collect();
        match here.as_slice() {
            [app] => Ok(app.guid.to_string()),
            [] => match (world.apps().iter().find(is_it), space) {
                // The service refuses it.
                (Some(app), None) => Ok(app.guid.to_string()),
                (Some(_), Some(space)) => {
                    let title = self.title(What::Space, space);
                    Err(Failure::NotFound(format!("there is no app {wanted:?} in the space {title}")))
                }
                (None, _) => {
                    let names = world.apps().iter().filter(|app| self.is_within_reach(app, space));
                    let meant = suggestion(wanted, names.map(|app| app.name.as_str()));
                    Err(Failure::NotFound(format!("there is no app {wanted:?}{meant}")))
                }
            },
            several => {
                let pairs = several.iter().map(|app| (app.guid.as_str(), app.space.as_str()));
                let pairs: Vec<_> = pairs.collect();
                Err(self.ambiguous(What::App, wanted, What::Space, &pairs, space.is_some()))
            }
        }
    }

    /// `found` has the guids of the objects with the name, each with the guid of what it is in.
    fn ambiguous(
        &self,
        what: What,
        wanted: &str,
        of: What,
        found: &[(&str, &str)],
        has_space: bool,
    ) -> Failure {
        let owners: BTreeSet<String> = found.iter().map(|(_, owner)| self.title(of, owner)).collect();
        let is_told_by_space = matches!(of, What::Space) && !has_space && owners.len() == found.len();
        let with_space = if is_told_by_space { "add --space SPACE, or " } else { "" };
        let word = what.word();
        let lines: Vec<String> = found
            .iter()
            .map(|(guid, owner)| {
                format!("  {guid}  {word} {wanted} of {} {}", of.word(), self.title(of, owner))
            })
            .collect();
        Failure::NotFound(format!(
            "the {word} {wanted:?} is ambiguous; {with_space}use a guid:\n{}",
            lines.join("\n")
        ))
    }

    /// Looks up the names of all guids in a field of these objects, so that [`Self::title`] knows them.
    pub(super) fn look_up(&self, remote: &Remote, what: What, resources: &[Value], name: &str) {
        let Some(cloud_foundry) = &self.cloud_foundry else { return };
        let guids: BTreeSet<&str> =
            resources.iter().map(|it| field(it, name)).filter(|it| !it.is_empty()).collect();
        let guids: Vec<&str> = guids.into_iter().take(LOOKUPS_MAX).collect();
        for batch in guids.chunks(BATCH) {
            let list = encode(&batch.join(","));
            let url = format!("{cloud_foundry}/v3/{}?guids={list}&per_page={BATCH}", what.plural());
            // Names are a convenience, so after a failure guids are shown.
            let Ok(answer) = remote.get_at(&url) else { return };
            let found = answer["resources"].as_array().into_iter().flatten();
            let pairs = found.map(|it| (field(it, "guid").to_owned(), field(it, "name").to_owned()));
            self.known.borrow_mut().extend(pairs.filter(|(_, name)| !name.is_empty()));
        }
    }

    /// The name, if it is known, else the guid.
    pub(super) fn title(&self, what: What, guid: &str) -> String {
        let of_world = self.world.as_ref().and_then(|world| match what {
            What::App => {
                world.apps().iter().find(|app| app.guid.as_str() == guid).map(|app| app.name.clone())
            }
            What::Space => world.space_name(guid).map(str::to_owned),
            What::Organization => None,
        });
        of_world.or_else(|| self.known.borrow().get(guid).cloned()).unwrap_or_else(|| guid.to_owned())
    }
}
