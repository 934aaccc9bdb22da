//! Looks up names of apps and spaces: in the file of a `standalone` service on this machine, or in Cloud
//! Foundry.
//!
//! If neither has a name, the guid is used.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::failure::Failure;
use super::remote::{Remote, encode};
use super::session::is_guid;
use crate::cli::output::field;
use crate::platform::local::World;

/// The most guids in one request. Proxies reject long URLs.
const BATCH: usize = 50;
/// The most guids that are looked up. The others are shown as guids.
const LOOKUPS_MAX: usize = 1000;

/// A kind of object that has a name and a guid on the platform.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    App,
    Space,
}

impl What {
    const fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Space => "space",
        }
    }

    /// The word in paths of Cloud Foundry's API, and in commands of `cf`.
    const fn plural(self) -> &'static str {
        match self {
            Self::App => "apps",
            Self::Space => "spaces",
        }
    }
}

pub(super) struct Names {
    world: Option<World>,
    /// The base URL of the Cloud Foundry API that cf is logged in to.
    cloud_foundry: Option<String>,
    /// Names by guid, of the objects that were found.
    known: RefCell<HashMap<String, String>>,
}

impl Names {
    pub(super) fn new(world: Option<World>, cloud_foundry: Option<String>) -> Self {
        Self { world, cloud_foundry, known: RefCell::default() }
    }

    /// Whether the service runs for the foundation that cf is logged in to.
    pub(super) fn is_of_cloud_foundry(&self) -> bool {
        self.cloud_foundry.is_some()
    }

    /// The only app, if there is only one and it is known here.
    pub(super) fn only_app(&self) -> Option<String> {
        match self.world.as_ref()?.apps() {
            [app] => Some(app.guid.to_string()),
            _ => None,
        }
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
            let named = match what {
                What::App => {
                    world.apps().iter().find(|app| app.name == wanted).map(|app| app.guid.to_string())
                }
                What::Space => world.space_named(wanted).map(ToString::to_string),
            };
            return Ok(named.unwrap_or_else(|| wanted.to_owned()));
        }
        let Some(cloud_foundry) = &self.cloud_foundry else { return Ok(wanted.to_owned()) };
        let space = space.map(|space| format!("&space_guids={}", encode(space))).unwrap_or_default();
        let (word, plural) = (what.word(), what.plural());
        let answer =
            remote.get_at(&format!("{cloud_foundry}/v3/{plural}?names={}{space}", encode(wanted)))?;
        match answer["resources"].as_array().map(Vec::as_slice).unwrap_or_default() {
            [one] => Ok(field(one, "guid").to_owned()),
            [] => {
                let place = match what {
                    What::App => " in the space",
                    What::Space => "",
                };
                Err(Failure::NotFound(format!(
                    "there is no {word} {wanted:?}{place}; to list them, run: cf {plural}"
                )))
            }
            several => {
                let lines: Vec<String> =
                    several.iter().map(|it| format!("  {}", field(it, "guid"))).collect();
                Err(Failure::NotFound(format!(
                    "several {plural} are named {wanted:?}; use a guid:\n{}",
                    lines.join("\n")
                )))
            }
        }
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
        });
        of_world.or_else(|| self.known.borrow().get(guid).cloned()).unwrap_or_else(|| guid.to_owned())
    }
}
