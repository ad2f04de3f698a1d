//! The session's tests once more, with the session killed before every request and a new one in its place, which takes the
//! calls over from their memos: nothing may be different.
#![allow(dead_code, reason = "not every helper is used in this half of the tests")]

#[path = "it/branches.rs"]
mod branches;
#[path = "it/bundle.rs"]
mod bundle;
#[path = "it/datagrams.rs"]
mod datagrams;
#[path = "it/dtls.rs"]
mod dtls;
#[path = "it/echo.rs"]
mod echo;
#[path = "it/echo_late.rs"]
mod echo_late;
#[path = "it/edits.rs"]
mod edits;
#[path = "it/fragments.rs"]
mod fragments;
#[path = "it/keys.rs"]
mod keys;
#[path = "it/late.rs"]
mod late;
#[path = "it/opportunistic.rs"]
mod opportunistic;
#[path = "it/options.rs"]
mod options;
#[path = "it/pairings.rs"]
mod pairings;
#[path = "it/reoffers.rs"]
mod reoffers;
#[path = "it/support.rs"]
mod support;
#[path = "it/treatments.rs"]
mod treatments;

const RESTARTS: bool = true;
