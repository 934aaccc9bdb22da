//! What a user may do in a space, and which roles of the platform may read.

use super::{Call, Executable, Work};

/// Replaces what a reader may not see.
pub const HIDDEN: &str = "[hidden]";

/// What a user may do in a space. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read everything except commands, URLs and credentials.
    Read,
    /// Also cancel, pause, enable and disable.
    Support,
    /// Everything.
    Work,
}

/// Which roles and scopes of the platform may read: `READ_ROLES`. Developers and managers of a space may do
/// everything anyway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadRoles {
    /// Roles in spaces.
    pub of_spaces: Vec<&'static str>,
    /// Roles in organizations; they count for all spaces of the organization.
    pub of_organizations: Vec<&'static str>,
    /// Scopes of tokens; they count for all spaces.
    pub scopes: Vec<&'static str>,
}

/// The space role that may also cancel, pause, enable and disable.
pub const SUPPORTER: &str = "space_supporter";
/// The space role that may read; standalone has it too.
pub const AUDITOR: &str = "space_auditor";
const OF_SPACES: [&str; 2] = [AUDITOR, SUPPORTER];
const OF_ORGANIZATIONS: [&str; 2] = ["organization_manager", "organization_auditor"];
const SCOPES: [&str; 2] = ["cloud_controller.global_auditor", "cloud_controller.admin_read_only"];

impl ReadRoles {
    /// Reads names separated by commas.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut roles = Self::default();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let find = |known: &[&'static str]| known.iter().copied().find(|known| *known == name);
            if let Some(role) = find(&OF_SPACES) {
                roles.of_spaces.push(role);
            } else if let Some(role) = find(&OF_ORGANIZATIONS) {
                roles.of_organizations.push(role);
            } else if let Some(scope) = find(&SCOPES) {
                roles.scopes.push(scope);
            } else {
                let known = [&OF_SPACES[..], &OF_ORGANIZATIONS, &SCOPES].concat().join(", ");
                return Err(format!("must be a comma-separated list of these: {known}"));
            }
        }
        Ok(roles)
    }

    /// Whether no additional role or scope may read.
    pub fn is_empty(&self) -> bool {
        self.of_spaces.is_empty() && self.of_organizations.is_empty() && self.scopes.is_empty()
    }

    /// Whether one of these scopes of a token may read everywhere.
    pub fn have_scope_of(&self, scopes: &[String]) -> bool {
        scopes.iter().any(|scope| self.scopes.iter().any(|known| known == scope))
    }
}

impl Executable {
    /// Replaces what could be a secret, which only users who may work in the space see.
    pub fn hide(&mut self) {
        match &mut self.work {
            Work::Job { command, .. } => HIDDEN.clone_into(command),
            Work::Call(call) => call.hide(),
        }
    }
}

impl Call {
    fn hide(&mut self) {
        self.url = hidden_url(&self.url);
        self.auth_header = HIDDEN.to_owned().into();
        self.body = self.body.take().map(|_| HIDDEN.to_owned());
        for value in self.headers.0.values_mut() {
            HIDDEN.clone_into(value);
        }
    }
}

/// The URL without path, query, user and password, which can hold secrets.
pub fn hidden_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return HIDDEN.to_owned() };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{HIDDEN}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_scheme_and_host() {
        for (url, shown) in [
            ("https://a.example.com:8443/secret?key=1", "https://a.example.com:8443/[hidden]"),
            ("http://user:word@a.example.com?key=1", "http://a.example.com/[hidden]"),
            ("http://a.example.com\\secret", "http://a.example.com/[hidden]"),
            ("test.url/secret", "[hidden]"),
        ] {
            assert_eq!(hidden_url(url), shown);
        }
    }

    #[test]
    fn roles_are_a_list_of_known_names() {
        let roles =
            ReadRoles::parse("space_auditor, organization_manager,cloud_controller.admin_read_only").unwrap();
        assert_eq!((roles.of_spaces.len(), roles.of_organizations.len(), roles.scopes.len()), (1, 1, 1));
        assert!(ReadRoles::parse("").unwrap().is_empty());
        assert!(ReadRoles::parse("space_developer").unwrap_err().contains("space_supporter"));
    }
}
