//! Decides which service a command uses, and with which token.
//!
//! In order of precedence: flags, environment variables, the current context, the login of cf, the
//! `standalone` service of this machine.

use super::cf_login::{CfLogin, Renewal};
use super::failure::Failure;
use super::login::no_context;
use super::session::base_of;
use crate::cli::arguments::Arguments;
use crate::cli::contexts::{CF, Context, Contexts, STANDALONE};
use crate::cli::running::Running;
use crate::model::Secret;
use crate::platform::local::World;

/// A service, and the credentials for it.
pub(super) struct Place {
    /// Its base URL, without a slash at the end.
    pub(super) base: String,
    pub(super) token: Secret,
    pub(super) renewal: Option<Renewal>,
    /// The guid or name that was given, or that the context has.
    pub(super) space: Option<String>,
    /// The guid of the space that cf targets. With neither: all spaces.
    pub(super) targeted: Option<String>,
    /// The base URL of the Cloud Foundry API that cf is logged in to.
    pub(super) cloud_foundry: Option<String>,
    pub(super) skip_ssl_validation: bool,
    /// The apps and spaces of the `standalone` service of this machine, if this is that service.
    pub(super) world: Option<World>,
}

impl Place {
    pub(super) fn find(arguments: &Arguments) -> Result<Self, Failure> {
        let url = arguments.value("service").map(|url| base_of(&url)).transpose()?;
        let token = arguments.value("token");
        let running = Running::find();
        let running_there = |base: &str| running.as_ref().filter(|running| running.url == base);
        let mut place = match (url, token) {
            (Some(base), Some(token)) => {
                let world = running_there(&base).and_then(|running| running.world().ok());
                Self { world, ..Self::plain(base, Secret::from(token)) }
            }
            (Some(base), None) => {
                let contexts = Contexts::read().map_err(Failure::Usage)?;
                match (contexts.at(&base), running_there(&base)) {
                    (Some(context), _) => Self::of_context(context, None)?,
                    (None, Some(running)) => Self::of_standalone(running, None)?,
                    (None, None) => Self::of_cf(Some(base), None)?,
                }
            }
            (None, token) => Self::in_use(arguments, running.as_ref(), token)?,
        };
        if let Some(space) = arguments.value("space") {
            place.space = Some(space);
        }
        Ok(place)
    }

    /// Reads the current context.
    fn in_use(
        arguments: &Arguments,
        running: Option<&Running>,
        token: Option<String>,
    ) -> Result<Self, Failure> {
        let contexts = Contexts::read().map_err(Failure::Usage)?;
        let name = arguments.value("context").unwrap_or_else(|| contexts.current.clone());
        match name.as_str() {
            CF => Self::of_cf(None, token),
            STANDALONE => match running {
                Some(running) => Self::of_standalone(running, token),
                None => Err(Failure::Unavailable(
                    "you run no standalone service on this machine; to start one, run: \
                     ocf-scheduler standalone"
                        .to_owned(),
                )),
            },
            "" => match (CfLogin::read().map_err(Failure::Usage)?, running) {
                (None, Some(running)) => Self::of_standalone(running, token),
                _ => Self::of_cf(None, token),
            },
            name => Self::of_context(contexts.find(name).ok_or_else(|| no_context(name))?, token),
        }
    }

    pub(super) fn of_context(context: &Context, token: Option<String>) -> Result<Self, Failure> {
        let space = Some(context.space.clone()).filter(|space| !space.is_empty());
        let url = (!context.url.is_empty()).then(|| base_of(&context.url)).transpose()?;
        let token = token.map(Secret::from).or_else(|| context.token());
        match (url, token) {
            (Some(base), Some(token)) => Ok(Self { space, ..Self::plain(base, token) }),
            (url, token) if context.from_cf => {
                let place = Self::of_cf(url, token.map(|token| token.reveal().to_owned()))?;
                Ok(Self { space, ..place })
            }
            _ => Err(Failure::Usage(format!(
                "the context {0:?} has no URL or no token; run: ocf-scheduler login URL --name {0}",
                context.name
            ))),
        }
    }

    fn of_standalone(running: &Running, token: Option<String>) -> Result<Self, Failure> {
        let world = match (running.world(), token) {
            (Ok(world), None) => world,
            // The token suffices; without the file, apps and spaces have no names.
            (world, Some(token)) => {
                let token = Secret::from(token);
                return Ok(Self { world: world.ok(), ..Self::plain(running.url.clone(), token) });
            }
            (Err(fault), None) => {
                return Err(Failure::Unauthorized(format!(
                    "the service's file of apps and tokens is not valid, so it gives no token: {fault}\n\
                     The service runs on with what it read before. Mend the file, or set SCHEDULER_TOKEN or \
                     --token."
                )));
            }
        };
        let token = world.first_token().ok_or_else(|| {
            let file = running.file().display();
            Failure::Unauthorized(format!(
                "{file} has only digests of tokens; set --token or SCHEDULER_TOKEN"
            ))
        })?;
        let token = Secret::from(token.to_owned());
        Ok(Self { world: Some(world), ..Self::plain(running.url.clone(), token) })
    }

    /// The service of the foundation that cf is logged in to, or the one at `url`.
    fn of_cf(url: Option<String>, token: Option<String>) -> Result<Self, Failure> {
        let login = CfLogin::read().map_err(Failure::Usage)?;
        let Some(login) = login else {
            return Err(match url {
                None => Failure::Usage(NO_SERVICE.to_owned()),
                Some(_) => Failure::Unauthorized(NO_TOKEN.to_owned()),
            });
        };
        let derived = || {
            login.scheduler_url().ok_or_else(|| {
                Failure::Usage(format!(
                    "cannot derive the URL of the scheduler from {}, which cf targets: set SCHEDULER_URL, or \
                     run: ocf-scheduler login URL",
                    login.target
                ))
            })
        };
        let base = url.map_or_else(derived, Ok)?;
        let (token, renewal) = match (token, login.token_for(&base)) {
            (Some(token), _) => (token, None),
            (None, Some("")) => {
                return Err(Failure::Unauthorized("cf is not logged in; run: cf login".to_owned()));
            }
            (None, Some(token)) => (token.to_owned(), login.renewal()),
            (None, None) => {
                return Err(Failure::Unauthorized(format!(
                    "the token of cf is for {} and is not sent to {base}: set SCHEDULER_TOKEN, for \
                     example to \"$(cf oauth-token)\", or run: ocf-scheduler login {base}",
                    login.target
                )));
            }
        };
        Ok(Self {
            renewal,
            targeted: login.space(),
            cloud_foundry: Some(login.target.trim().trim_end_matches('/').to_owned()),
            skip_ssl_validation: login.ssl_disabled,
            ..Self::plain(base, Secret::from(token))
        })
    }

    fn plain(base: String, token: Secret) -> Self {
        let (renewal, space, targeted, cloud_foundry, world) = (None, None, None, None, None);
        Self { base, token, renewal, space, targeted, cloud_foundry, skip_ssl_validation: false, world }
    }
}

const NO_SERVICE: &str = "no service is given. Either\n  \
     log in to one: ocf-scheduler login URL, or\n  \
     set SCHEDULER_URL and SCHEDULER_TOKEN, or\n  \
     log in to a Cloud Foundry that has a scheduler: cf login, or\n  \
     start one on this machine: ocf-scheduler standalone";
const NO_TOKEN: &str = "no token is given: run ocf-scheduler login URL, or set SCHEDULER_TOKEN (standalone \
     prints one when it starts)";
