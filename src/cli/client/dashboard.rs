//! `dashboard` prints a link to the dashboard; `open` opens it in a browser.

use std::process::{Command, Stdio};

use super::failure::Failure;
use super::session::Session;
use crate::cli::arguments::Arguments;
use crate::config;

/// Programs that open a link, in the order in which they are tried.
const OPENERS: [&str; 3] = ["xdg-open", "open", "wslview"];

/// Makes the link without a request to the service.
pub(in crate::cli) fn print(session: &Session, _: &Arguments) -> Result<bool, Failure> {
    session.print_lines(&[session.dashboard_link()]);
    Ok(true)
}

/// Opens the dashboard in a browser, or prints the link if there is none.
pub(in crate::cli) fn open(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let link = session.dashboard_link();
    let browser = config::variable("BROWSER").filter(|browser| !browser.trim().is_empty());
    let openers = browser.as_deref().into_iter().chain(OPENERS);
    for opener in openers {
        let started = Command::new(opener)
            .arg(&link)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if started.is_ok_and(|status| status.success()) {
            // Leave out the code that signs in.
            let shown = link.split('#').next().unwrap_or_default();
            session.report(&[format!("opened {shown}")]);
            return Ok(true);
        }
    }
    session.report(&["no browser could be opened; open this link yourself:".to_owned()]);
    print(session, arguments)
}
