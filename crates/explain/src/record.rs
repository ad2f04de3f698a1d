//! A call's record, one line of JSON at its end.

use std::time::{SystemTime, UNIX_EPOCH};

use control::CallStatistics;
use serde::Serialize;
use session::{CallView, EndReason};

use crate::{Explanation, Signalling, explain};

/// What stays of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// When its first offer came, in seconds since 1970.
    pub began: f64,
    /// When it ended.
    pub ended: f64,
    /// How long it was.
    pub seconds: f64,
    /// `deleted`, `media_timeout`, `offer_timeout`, `worker_lost`, `pump_lost`; `failed` for a call of SIP that came to no media.
    pub reason: &'static str,
    /// Some leg was less secure than another, or than asked for.
    pub downgraded: bool,
    /// What bears on its security, oldest first: seconds since it began, tag, what.
    pub ledger: Vec<(f64, String, String)>,
    /// Of a call of SIP: users, trunks, route, status, who ended it and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sip: Option<Signalling>,
    /// Legs, parties, keys, drops, quality and findings, as they were at the end.
    #[serde(flatten)]
    pub explanation: Explanation,
}

impl Record {
    /// Of a call that has ended. `statistics`: the worker's last word.
    pub fn new(view: &CallView, statistics: Option<&CallStatistics>, reason: EndReason, ended: SystemTime) -> Self {
        let began = view.summary.created;
        let since = |moment: SystemTime| moment.duration_since(began).unwrap_or_default().as_secs_f64();
        Self {
            began: epoch_seconds(began),
            ended: epoch_seconds(ended),
            seconds: since(ended),
            reason: reason.label(),
            downgraded: view.summary.downgraded,
            ledger: view
                .ledger
                .iter()
                .map(|entry| (since(entry.at), entry.tag.clone(), entry.note.to_string()))
                .collect(),
            sip: None,
            explanation: explain(view, statistics),
        }
    }

    /// The same with what its signalling was.
    pub fn with(self, signalling: Signalling) -> Self {
        Self { sip: Some(signalling), ..self }
    }

    /// Of a call of SIP that the session never knew, or that came to no media.
    pub fn without_media(call_id: &str, signalling: Signalling) -> Self {
        let (began, ended) = (signalling.invited, signalling.ended.unwrap_or(signalling.invited));
        let explanation =
            Explanation { call_id: call_id.to_owned(), state: "failed", conclusions: Vec::new(), legs: Vec::new() };
        Self {
            began,
            ended,
            seconds: ended - began,
            reason: "failed",
            downgraded: false,
            ledger: Vec::new(),
            sip: Some(signalling),
            explanation,
        }
    }
}

fn epoch_seconds(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
