//! A user agent: calls on top of transactions (RFC 3261 §13 to §15, RFC 3262, RFC 3311, RFC 4028, RFC 6141).

mod agent;
mod dialog_state;
mod dialogs;
mod entry;
mod incoming;
mod offers;
mod outgoing;
mod reliable;
mod within;

pub use agent::UserAgent;
pub use dialog_state::{DialogState, Refusal, SessionInterval};

use crate::{
    Body, Capabilities, Flow, Request, Response, ServerId, SessionTimerConfig, StatusCode, TransactionConfig,
    TransactionError,
};
use std::fmt;

/// An INVITE outside of dialogs, ours or the peer's, and all that comes of it. Numbers are never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LegId(pub(crate) u64);

/// A dialog. Numbers are never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DialogHandle(pub(crate) u64);

impl DialogHandle {
    /// No dialog's number is lower.
    pub const FIRST: Self = Self(0);
}

/// How a user agent behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserAgentConfig {
    /// Of the transactions.
    pub transactions: TransactionConfig,
    /// What is served; all else is refused by the user agent.
    pub capabilities: Capabilities,
    /// Session timers; `None` turns them off for calls where the peer does not ask.
    pub session_timer: Option<SessionTimerConfig>,
    /// Whether a provisional response with a body goes out reliably if the peer only supports that. (Where it requires it,
    /// every one does.)
    pub prefer_reliable_provisional: bool,
    /// Legs at one time: 8192. Beyond it an INVITE is answered with 503.
    pub max_legs: usize,
    /// Whether requests inside a dialog that come from elsewhere than its peer are the user's to admit: [`CallEvent::Elsewhere`].
    /// Without it whoever knows Call-ID and tags is taken for the peer, as RFC 3261 has it.
    pub asks_who_is_elsewhere: bool,
    /// Whether [`UserAgent::take_changed`] tells what has changed, for whoever writes dialogs down.
    pub tells_of_changes: bool,
    /// Early dialogs of one outgoing leg: 16. Further ones are not told; a 2xx from one still is.
    pub max_early_dialogs: usize,
}

impl Default for UserAgentConfig {
    fn default() -> Self {
        Self {
            transactions: TransactionConfig::default(),
            capabilities: Capabilities::default(),
            session_timer: Some(SessionTimerConfig::default()),
            prefer_reliable_provisional: true,
            max_legs: 8192,
            asks_who_is_elsewhere: false,
            tells_of_changes: false,
            max_early_dialogs: 16,
        }
    }
}

/// What a body in a response to our INVITE is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Description {
    /// Their offer; give [`UserAgent::answer`].
    Offer(Body),
    /// Their answer to our offer.
    Answer(Body),
    /// Their answer ahead of time, in an unreliable response: media may come, the 2xx brings the answer.
    Preview(Body),
}

/// What the user hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallEvent {
    /// A call comes in. Use [`UserAgent::ring`], [`UserAgent::accept`] or [`UserAgent::reject`]. A body is an offer.
    Incoming {
        /// The leg.
        leg: LegId,
        /// The INVITE.
        request: Box<Request>,
        /// How it came.
        flow: Flow,
    },
    /// The caller gave up a call that we had not accepted. The INVITE is answered.
    Cancelled {
        /// The leg that was.
        leg: LegId,
        /// The CANCEL or BYE, for its Reason; the INVITE itself if its sender is unreachable or never acknowledged a reliable
        /// response.
        request: Box<Request>,
    },
    /// A provisional response to our INVITE.
    Progress {
        /// The leg.
        leg: LegId,
        /// The early dialog, if the response makes one.
        dialog: Option<DialogHandle>,
        /// The response.
        response: Box<Response>,
        /// What its body means.
        description: Option<Description>,
    },
    /// Our call was accepted. With an offer in it, give [`UserAgent::answer`]; otherwise the ACK has been sent.
    Answered {
        /// The leg.
        leg: LegId,
        /// The dialog; the leg's other early dialogs have ended.
        dialog: DialogHandle,
        /// The 2xx.
        response: Box<Response>,
        /// What its body means.
        description: Option<Description>,
    },
    /// Our call failed or was cancelled; its early dialogs have ended.
    Failed {
        /// The leg that was.
        leg: LegId,
        /// What the peer said; 408 or 503 without a To tag if it said nothing.
        response: Box<Response>,
        /// The INVITE as it was sent, for [`next_attempt`](crate::next_attempt).
        request: Box<Request>,
    },
    /// The caller has acknowledged our 2xx.
    Established {
        /// The dialog.
        dialog: DialogHandle,
    },
    /// The peer offers, in a re-INVITE, UPDATE, PRACK or late: give [`UserAgent::answer`] or [`UserAgent::refuse`].
    Offer {
        /// The dialog.
        dialog: DialogHandle,
        /// The offer.
        body: Body,
    },
    /// The peer asks for an offer by a re-INVITE without one: give it by [`UserAgent::answer`], or [`UserAgent::refuse`].
    OfferWanted {
        /// The dialog.
        dialog: DialogHandle,
    },
    /// The peer's answer to our offer in a re-INVITE, UPDATE, 2xx or reliable provisional response.
    Answer {
        /// The dialog.
        dialog: DialogHandle,
        /// The answer.
        body: Body,
    },
    /// Our offer was refused; what was agreed stays. After 491, [`CallEvent::OfferAgain`] says when to try again.
    OfferRefused {
        /// The dialog.
        dialog: DialogHandle,
        /// Why; 408 or 503 without a To tag if the peer said nothing.
        response: Box<Response>,
        /// The request as it was sent, for [`UserAgent::send_again`].
        request: Box<Request>,
    },
    /// The peer gave up its re-INVITE; it is answered, and what was agreed stays.
    OfferWithdrawn {
        /// The dialog.
        dialog: DialogHandle,
    },
    /// The time of RFC 3261 §14.1 after a glare is over.
    OfferAgain {
        /// The dialog.
        dialog: DialogHandle,
    },
    /// A request inside a dialog that the user answers: INFO, REFER, NOTIFY, MESSAGE, OPTIONS.
    Request {
        /// The dialog.
        dialog: DialogHandle,
        /// For [`UserAgent::respond`].
        server: ServerId,
        /// The request.
        request: Box<Request>,
    },
    /// A request inside a dialog that did not come from its peer's address, or not by TLS where the dialog's did: it has changed
    /// nothing. Give [`UserAgent::admit`], or [`UserAgent::respond_once`]. Comes with
    /// [`UserAgentConfig::asks_who_is_elsewhere`] alone.
    Elsewhere {
        /// The dialog.
        dialog: DialogHandle,
        /// For [`UserAgent::admit`] or [`UserAgent::respond_once`].
        server: ServerId,
        /// The request.
        request: Box<Request>,
        /// How it came.
        flow: Flow,
    },
    /// The final response to a request of [`UserAgent::send`], 408 or 503 without a To tag if there was none.
    Response {
        /// The dialog; `None` for a request outside of dialogs.
        dialog: Option<DialogHandle>,
        /// What [`UserAgent::send`] returned.
        client: crate::ClientId,
        /// The response.
        response: Box<Response>,
        /// The request as it was sent.
        request: Box<Request>,
    },
    /// A request outside of dialogs that is no INVITE: REGISTER, OPTIONS, MESSAGE.
    OutOfDialog {
        /// For [`UserAgent::respond`].
        server: ServerId,
        /// The request.
        request: Box<Request>,
        /// How it came.
        flow: Flow,
    },
    /// A dialog is over.
    Ended {
        /// The dialog that was.
        dialog: DialogHandle,
        /// Its leg.
        leg: LegId,
        /// Why.
        cause: EndCause,
    },
}

/// Why a dialog is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndCause {
    /// The peer's BYE.
    Bye(Box<Request>),
    /// [`UserAgent::bye`].
    Local,
    /// Another branch of the call was answered, or the call failed or was cancelled.
    NotChosen,
    /// Our 2xx or our reliable provisional response was never acknowledged.
    NotAcknowledged,
    /// The peer left out an answer that it owed.
    NoAnswer,
    /// Nobody refreshed the session (RFC 4028).
    SessionExpired,
    /// The peer does not know the dialog any more (481), or does not answer (408, 503).
    PeerGone(StatusCode),
}

/// Why a call to the user agent did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallError {
    /// No such leg or dialog, or it is over.
    Unknown,
    /// Not in this state: an answer without an offer, an offer while one is open, a second final response.
    NotNow,
    /// [`UserAgentConfig::max_legs`] or [`TransactionConfig::max_clients`].
    Exhausted,
    /// The request or the peer's message lacks what is needed.
    Malformed(crate::Fault),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such call"),
            Self::NotNow => f.write_str("not possible in this state"),
            Self::Exhausted => f.write_str("too many calls"),
            Self::Malformed(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

impl From<TransactionError> for CallError {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Exhausted => Self::Exhausted,
            TransactionError::Unknown => Self::Unknown,
            TransactionError::NotAllowed => Self::NotNow,
        }
    }
}

impl From<crate::Fault> for CallError {
    fn from(fault: crate::Fault) -> Self {
        Self::Malformed(fault)
    }
}

impl From<crate::NegotiationError> for CallError {
    fn from(_: crate::NegotiationError) -> Self {
        Self::NotNow
    }
}
