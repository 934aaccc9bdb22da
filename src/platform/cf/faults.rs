//! Faults that an operator has to fix: settings that UAA or Cloud Foundry refuses, and authorities that the
//! client lacks.
//!
//! Invariant: a fault is logged once when it begins and once when it ends, however many requests fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use log::{Level, info, log};

use crate::platform::PlatformError;

/// A fault. Each begins and ends independently of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// `CLIENT_ID` or `CLIENT_SECRET`.
    Credentials,
    /// The client lacks an authority that the service needs.
    Authorities,
    /// The client may not introspect tokens.
    Introspection,
    /// The server at `UAA_ENDPOINT` is not a UAA.
    UaaEndpoint,
    /// The server at `CF_ENDPOINT` is not a Cloud Foundry.
    CfEndpoint,
}

impl Fault {
    fn level(self) -> Level {
        match self {
            // Tokens of users are still accepted.
            Self::Introspection => Level::Warn,
            _ => Level::Error,
        }
    }
}

/// The current faults.
#[derive(Default)]
pub(super) struct Faults {
    lasting: Mutex<BTreeMap<Fault, String>>,
}

impl Faults {
    /// Records that `fault` exists, and returns it as an error.
    pub(super) fn found(&self, fault: Fault, cause: String) -> PlatformError {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        if lasting.insert(fault, cause.clone()).is_none() {
            log!(fault.level(), cause:% = cause; "Cloud Foundry settings are wrong");
        }
        PlatformError::Misconfigured { cause }
    }

    /// Records that `fault` does not exist, or has ended.
    pub(super) fn absent(&self, fault: Fault) {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cause) = lasting.remove(&fault) {
            info!(cause:% = cause; "Cloud Foundry settings are correct again");
        }
    }

    /// The cause of `fault`; `None` if the fault is not known to exist.
    pub(super) fn cause(&self, fault: Fault) -> Option<String> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).get(&fault).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_until_it_is_absent_and_has_the_latest_cause() {
        let faults = Faults::default();
        faults.found(Fault::Credentials, "one".to_owned());
        let error = faults.found(Fault::Credentials, "two".to_owned());
        assert_eq!(error, PlatformError::Misconfigured { cause: "two".to_owned() });
        assert_eq!(faults.cause(Fault::Credentials).as_deref(), Some("two"));
        assert_eq!(faults.cause(Fault::Authorities), None);
        faults.absent(Fault::Credentials);
        assert_eq!(faults.cause(Fault::Credentials), None);
    }
}
