//! What an operator has to mend: settings that UAA or Cloud Foundry refuses, and authorities that the client
//! lacks.
//!
//! Invariant: a fault is logged once when it begins and once when it is over, however many requests meet it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use log::{Level, info, log};

use crate::platform::PlatformError;

/// What can be wrong, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// `CLIENT_ID` or `CLIENT_SECRET`.
    Credentials,
    /// The client may not do what the service needs.
    Authorities,
    /// The client may not ask UAA about tokens.
    Introspection,
    /// What answers at `UAA_ENDPOINT` is no UAA.
    UaaEndpoint,
    /// What answers at `CF_ENDPOINT` is no Cloud Foundry.
    CfEndpoint,
}

impl Fault {
    fn level(self) -> Level {
        match self {
            // Callers with tokens of users are served all the same.
            Self::Introspection => Level::Warn,
            _ => Level::Error,
        }
    }
}

/// The faults that last.
#[derive(Default)]
pub(super) struct Faults {
    lasting: Mutex<BTreeMap<Fault, String>>,
}

impl Faults {
    /// Notes that `fault` is there, and returns it as an error.
    pub(super) fn found(&self, fault: Fault, cause: String) -> PlatformError {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        if lasting.insert(fault, cause.clone()).is_none() {
            log!(fault.level(), cause:% = cause; "a setting for Cloud Foundry is wrong");
        }
        PlatformError::Misconfigured { cause }
    }

    /// Notes that `fault` is not, or no longer, there.
    pub(super) fn absent(&self, fault: Fault) {
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cause) = lasting.remove(&fault) {
            info!(cause:% = cause; "a setting for Cloud Foundry is right again");
        }
    }

    /// What is wrong about `fault`; `None`: nothing is known to be.
    pub(super) fn cause(&self, fault: Fault) -> Option<String> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).get(&fault).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_until_it_is_absent_and_says_the_latest_cause() {
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
