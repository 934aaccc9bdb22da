//! The query of a request.

use super::violation::Violation;
use crate::web::routes::decode;

/// Decoded names and values. Of several with the same name, the first counts.
pub(in crate::web) struct Query<'a> {
    raw: Vec<(&'a str, &'a str)>,
    decoded: Vec<(String, String)>,
}

impl<'a> Query<'a> {
    pub(in crate::web) fn of(text: Option<&'a str>) -> Result<Self, Violation> {
        let raw: Vec<(&str, &str)> = text
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        let decoded = raw
            .iter()
            .map(|(name, value)| Some((decode(name, true)?, decode(value, true)?)))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                Violation::new(
                    "query",
                    "encoding",
                    "has a % without two hexadecimal digits after it, or bytes that are not UTF-8",
                    "NAME=VALUE&NAME=VALUE in UTF-8, each byte that is no letter or digit as % and two \
                     hexadecimal digits",
                )
            })?;
        Ok(Self { raw, decoded })
    }

    pub(in crate::web) fn get(&self, name: &str) -> Option<&str> {
        self.decoded.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is `true`. Missing or `false`: off.
    pub(in crate::web) fn is_on(&self, name: &'static str) -> Result<bool, Violation> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Violation::new(name, "type", "is neither true nor false", "true or false")),
        }
    }

    /// The names, in the order sent.
    pub(in crate::web) fn names(&self) -> impl Iterator<Item = &str> {
        self.decoded.iter().map(|(name, _)| name.as_str())
    }

    /// As sent, for links.
    pub(in crate::web) fn raw(&self) -> &[(&'a str, &'a str)] {
        &self.raw
    }
}
