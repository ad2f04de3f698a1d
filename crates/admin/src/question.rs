//! What this crate asks the rest of the process.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::{CallDetail, Calls, Snapshot};

/// A question with the way back. One that is dropped unanswered is a 503.
#[derive(Debug)]
pub enum Question {
    /// For `/metrics`.
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    /// For `/readyz`.
    Readiness(oneshot::Sender<Readiness>),
    /// For `/ng`: a message of the ng protocol. `None`: it is such that there is no reply.
    Ng(Vec<u8>, oneshot::Sender<Option<Arc<[u8]>>>),
    /// For `/calls`.
    Calls(oneshot::Sender<Calls>),
    /// For `/calls/ID`. `None`: there is no such call.
    Call(String, oneshot::Sender<Option<Box<CallDetail>>>),
    /// For `POST /drain`: take no new calls, and end when the last one has ended.
    Drain(oneshot::Sender<Draining>),
}

/// How far a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Draining {
    /// Calls that it waits for.
    pub calls: usize,
    /// When those that are left are ended.
    pub deadline_seconds: u64,
}

/// Whether calls can be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What is missing, in words. Empty: ready.
    pub missing: Vec<String>,
}
