//! The session against a tiny pump: before-text, after-text and plans.

mod adjustments;
mod branches;
mod bundle;
mod datagrams;
mod dtls;
mod echo;
mod echo_late;
mod edits;
mod errors;
mod fragments;
mod keys;
mod late;
mod life;
mod opportunistic;
mod options;
mod pairings;
mod pass_through;
mod properties;
mod reoffers;
mod subscriptions;
mod support;
mod takeover;
mod treatments;

/// Whether the session is killed before every request: in `restarts.rs`, which runs the same tests once more.
const RESTARTS: bool = false;
