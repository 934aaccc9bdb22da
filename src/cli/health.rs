//! `health`: checks whether a service is alive, for health checks of containers, which may have no other
//! program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use ureq::http::Request;

use super::arguments::Arguments;
use super::output::{failed, show, usage_of};
use crate::config::{self, Config, Mode};
use crate::outbound::{self, Client, Limits};

/// A live service answers within a second. Docker's own limit for a check is 30 s.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn health(arguments: &Arguments) -> ExitCode {
    // The address is a setting of either mode; this one needs no others.
    let local = Config::from_environment(Mode::Standalone, &arguments.settings());
    let base = match (arguments.value("url"), local) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Ok(config)) => format!("http://{}", SocketAddr::new(reachable(config.host), config.port)),
        (None, Err(err)) => return usage_of("health", &err.to_string()),
    };
    let path = if arguments.has("ready") { "/readyz" } else { "/healthz" };
    let url = format!("{base}{path}");
    let Some(uri) = outbound::read_uri(&url) else {
        return usage_of("health", &format!("--url {base:?} is not a URL"));
    };
    let settings = match config::outbound(&arguments.settings()) {
        Ok(settings) => settings,
        Err(err) => return usage_of("health", &err.to_string()),
    };
    let limits = Limits { connect_timeout: TIMEOUT, total_timeout: TIMEOUT, max_idle_age: TIMEOUT };
    let client = match Client::new(&settings, &limits) {
        Ok(client) => client,
        Err(err) => return usage_of("health", &err),
    };
    let answer = Request::get(&uri)
        .body(())
        .map_err(ureq::Error::from)
        .and_then(|request| client.agent_for(&uri).run(request));
    match answer {
        Ok(response) if response.status().is_success() => show(&format!("{url} answers\n")),
        Ok(response) => failed(&format!("{url} answered {}", response.status())),
        Err(err) => failed(&format!("{url} cannot be reached: {err}")),
    }
}

/// Where this machine reaches a service that listens on `host`.
pub(super) fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}
