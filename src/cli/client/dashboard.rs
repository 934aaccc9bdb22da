//! Prints a link that signs in to the dashboard of `standalone`.

use super::failure::Failure;
use crate::base::clock::{Clock, SystemClock};
use crate::cli::arguments::Arguments;
use crate::cli::output;
use crate::web::{digest_of, link_code};

/// The link is made here from the token, which the service knows too; nothing is asked.
pub(in crate::cli) fn print(arguments: &Arguments) -> Result<(), Failure> {
    let required = |name: &str, variable: &str| {
        let missing = || Failure::Usage(format!("set --{name} or {variable}: a link is made from both"));
        arguments.value(name).ok_or_else(missing)
    };
    let url = required("url", "SCHEDULER_URL")?;
    let token = required("token", "SCHEDULER_TOKEN")?;
    let (scheme, rest) = token.split_once(' ').unwrap_or(("", &token));
    let token = if scheme.eq_ignore_ascii_case("bearer") { rest.trim() } else { token.trim() };
    let code = link_code(&digest_of(token), SystemClock::default().now());
    let link = format!("{}/dashboard/#code={code}\n", url.trim_end_matches('/'));
    output::print(link.as_bytes()).map_err(|err| Failure::Unavailable(format!("nothing was printed: {err}")))
}
