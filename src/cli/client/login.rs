//! `login`, `contexts`, `use` and `logout`: select the service that the other commands use.

use std::io::{self, IsTerminal, Read};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::failure::Failure;
use super::session::{Printer, Session, base_of};
use crate::cli::arguments::Arguments;
use crate::cli::client::cf_login::CfLogin;
use crate::cli::contexts::{CF, Context, Contexts, STANDALONE};
use crate::cli::output::{Table, field, print_error};
use crate::cli::running::Running;
use crate::{config, outbound};

/// The most bytes that are read as a token.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;
const INTERRUPTED: i32 = 130;

pub(in crate::cli) fn login(printer: &Printer, arguments: &Arguments) -> Result<(), Failure> {
    let url = arguments.operand(0).map(base_of).transpose().map_err(|failure| {
        Failure::Usage(failure.to_string().replace("SCHEDULER_URL (--service)", "the URL"))
    })?;
    let from_cf = arguments.has("from-cf");
    let Some(name) = name_of(arguments, url.as_deref(), from_cf) else {
        let example = "ocf-scheduler login https://scheduler.example.com, or: ocf-scheduler login --from-cf";
        return Err(Failure::Usage(format!("login needs a URL, for example: {example}")));
    };
    if name == CF || name == STANDALONE {
        return Err(Failure::Usage(format!("{name} is the name of a built-in context; use another one")));
    }
    let token = match from_cf {
        true => None,
        false => Some(token(arguments, url.as_deref().unwrap_or_default())?),
    };
    let space = arguments.value("space").unwrap_or_default();
    let context = Context::new(&name, url.as_deref().unwrap_or_default(), token.as_deref(), &space);
    // Checks the token, so that a wrong one is not stored.
    let session = Session::of_context(arguments, &context)?;
    session.remote.get("/jobs?page=1&per_page=1")?;
    let mut contexts = Contexts::read().map_err(Failure::Usage)?;
    contexts.put(context);
    contexts.current.clone_from(&name);
    let path = contexts.write().map_err(Failure::Usage)?;
    let base = session.remote.base();
    let shown = json!({ "name": name, "url": base, "file": path });
    printer.show_or_say(&shown, &format!("logged in to {base}; the context {name} is in {}", path.display()));
    warn_of_variables();
    Ok(())
}

pub(in crate::cli) fn list(printer: &Printer, _: &Arguments) -> Result<(), Failure> {
    let contexts = Contexts::read().map_err(Failure::Usage)?;
    let of_cf = CfLogin::read().map_err(Failure::Usage)?;
    let running = Running::find();
    let current = match contexts.current.as_str() {
        "" if of_cf.is_some() => CF,
        "" if running.is_some() => STANDALONE,
        name => name,
    };
    let mut rows = Vec::new();
    let row = |name: &str, url: &str, token: &str, space: &str| {
        json!({
            "name": name, "url": url, "token": token, "space": space, "current": name == current,
        })
    };
    for context in &contexts.all {
        let token = if context.from_cf { "that of cf" } else { "stored" };
        rows.push(row(&context.name, &context.url, token, &context.space));
    }
    if let Some(login) = &of_cf {
        let url = login.scheduler_url().unwrap_or_default();
        rows.push(row(CF, &url, "that of cf", &login.space().unwrap_or_default()));
    }
    if let Some(running) = &running {
        rows.push(row(STANDALONE, &running.url, "of its file", ""));
    }
    printer.show_all(rows, table, "there are no contexts; to add one, run: ocf-scheduler login URL");
    warn_of_variables();
    Ok(())
}

pub(in crate::cli) fn switch(printer: &Printer, arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.required(0);
    let mut contexts = Contexts::read().map_err(Failure::Usage)?;
    if name != CF && name != STANDALONE && contexts.find(name).is_none() {
        return Err(no_context(name));
    }
    name.clone_into(&mut contexts.current);
    contexts.write().map_err(Failure::Usage)?;
    printer.show_or_say(&json!({ "name": name }), &format!("commands now use the context {name}"));
    warn_of_variables();
    Ok(())
}

pub(in crate::cli) fn logout(printer: &Printer, arguments: &Arguments) -> Result<(), Failure> {
    let mut contexts = Contexts::read().map_err(Failure::Usage)?;
    let name = arguments.operand(0).unwrap_or(&contexts.current).to_owned();
    if name.is_empty() {
        let list = "to list the contexts, run: ocf-scheduler contexts";
        return Err(Failure::NotFound(format!("you are not logged in; {list}")));
    }
    if !contexts.remove(&name) {
        return Err(no_context(&name));
    }
    contexts.write().map_err(Failure::Usage)?;
    let sentence = format!("removed the context {name} and its token from this machine");
    printer.show_or_say(&json!({ "name": name }), &sentence);
    Ok(())
}

pub(super) fn no_context(name: &str) -> Failure {
    Failure::NotFound(format!("there is no context {name:?}; to list contexts, run: ocf-scheduler contexts"))
}

fn name_of(arguments: &Arguments, url: Option<&str>, from_cf: bool) -> Option<String> {
    if let Some(name) = arguments.flag("name").map(str::trim).filter(|name| !name.is_empty()) {
        return (url.is_some() || from_cf).then(|| name.to_owned());
    }
    match url {
        Some(url) => Some(outbound::read_uri(url)?.authority()?.to_string()),
        None if from_cf => {
            let login = CfLogin::read().ok().flatten()?;
            Some(outbound::read_uri(&login.scheduler_url()?)?.host()?.to_owned())
        }
        None => None,
    }
}

/// `SCHEDULER_URL` takes precedence over every context.
fn warn_of_variables() {
    if config::variable("SCHEDULER_URL").is_some_and(|url| !url.trim().is_empty()) {
        print_error(
            "SCHEDULER_URL is set, and overrides contexts; to use contexts, run: unset SCHEDULER_URL\n",
        );
    }
}

/// Reads the token: from the flag, else from the terminal without echo, else from standard input.
fn token(arguments: &Arguments, url: &str) -> Result<String, Failure> {
    if let Some(token) = arguments.value("token") {
        return Ok(token);
    }
    let failed = |err: io::Error| Failure::Usage(format!("the token cannot be read: {err}"));
    let mut text = String::new();
    if io::stdin().is_terminal() {
        let hidden = Hidden::begin().map_err(failed)?;
        print_error(&format!("Token for {url} (not shown while you type): "));
        let read = io::stdin().read_line(&mut text);
        drop(hidden);
        print_error("\n");
        read.map_err(failed)?;
    } else {
        io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::Usage("no token was given; type it, or pass it on standard input".to_owned()));
    }
    Ok(token.to_owned())
}

/// A terminal without echo, until this is dropped or Ctrl-C is pressed.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        let hidden = Self { before: before.clone() };
        let mut signals = Signals::new([SIGINT])?;
        thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                drop(Self { before });
                print_error("\n");
                std::process::exit(INTERRUPTED);
            }
        })?;
        Ok(hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Err(err) = tcsetattr(io::stdin(), OptionalActions::Now, &self.before) {
            print_error(&format!(
                "\nocf-scheduler: the terminal cannot be restored ({err}); run: stty echo\n"
            ));
        }
    }
}

fn table(contexts: &[Value]) -> Table {
    let mut table = Table::new(&["", "NAME", "URL", "TOKEN", "SPACE"]);
    for context in contexts {
        let mark = if context["current"] == true { "*" } else { "" };
        let cells = ["name", "url", "token", "space"].map(|name| field(context, name));
        table.row(&[mark, cells[0], cells[1], cells[2], cells[3]]);
    }
    table
}
