//! Cloud Foundry v3 and UAA.
