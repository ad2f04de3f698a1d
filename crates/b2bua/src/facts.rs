//! What the signalling of a call was: for its record, and for whoever asks while it lasts.

use std::net::SocketAddr;
use std::time::SystemTime;

use sip::{Flow, Request, StatusCode, Transport};

use crate::routes::Caller;

/// A call as its signalling knows it. Users, URIs and addresses are in it: it is for operators alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallFacts {
    /// The session's Call-ID.
    pub call: String,
    /// Request-URI of the caller's INVITE.
    pub uri: String,
    /// The route that it took: pattern, arrow, destination. `None`: there was none for it.
    pub route: Option<String>,
    /// Who called.
    pub caller: PartyFacts,
    /// Whom we called for it, in their order: forks, later groups, targets of transfers.
    pub called: Vec<PartyFacts>,
    /// When what happened.
    pub times: Times,
    /// Final status that the caller got.
    pub status: Option<StatusCode>,
    /// Once it is over: who or what ended it.
    pub ended_by: Option<EndedBy>,
    /// The same in words.
    pub why: String,
    /// Blind transfers that were carried out.
    pub transfers: u16,
}

/// One party of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartyFacts {
    /// It has proven to be this user, or is reached as one.
    pub user: Option<String>,
    /// It is this trunk.
    pub trunk: Option<String>,
    /// A caller's From; the Request-URI by which another one was called.
    pub uri: String,
    /// Call-ID of its leg.
    pub call_id: String,
    /// How, and where from or to. `None`: it was never located.
    pub flow: Option<(Transport, SocketAddr)>,
    /// Final status that it gave. Of a caller none.
    pub status: Option<StatusCode>,
}

/// When what happened, by the clock on the wall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// The INVITE came.
    pub invited: SystemTime,
    /// The caller heard that it rings.
    pub ringing: Option<SystemTime>,
    /// The caller got its 200.
    pub answered: Option<SystemTime>,
    /// It was over.
    pub ended: Option<SystemTime>,
}

/// How a call came to its end.
#[derive(Clone, Default)]
pub(crate) struct Ending {
    pub(crate) by: Option<EndedBy>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) why: String,
}

impl Times {
    pub(crate) fn began(invited: SystemTime) -> Self {
        Self { invited, ringing: None, answered: None, ended: None }
    }
}

/// Who or what ended a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// The caller hung up, or gave up.
    Caller,
    /// The called party hung up, or refused.
    Called,
    /// Somebody did not answer, or did not acknowledge.
    Timeout,
    /// No media.
    MediaTimeout,
    /// Nobody refreshed the session (RFC 4028).
    SessionTimer,
    /// A transfer: it has joined the others of two calls, or came to nothing, and its author was gone.
    Transfer,
    /// Deleted by an operator.
    Operator,
    /// The media half failed.
    Relay,
    /// This server: policy, load, no route, a body that could not be read.
    Server,
    /// A restart of this server while it was not answered.
    Restart,
}

impl EndedBy {
    /// As it stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Called => "called",
            Self::Timeout => "timeout",
            Self::MediaTimeout => "media_timeout",
            Self::SessionTimer => "session_timer",
            Self::Transfer => "transfer",
            Self::Operator => "operator",
            Self::Relay => "relay",
            Self::Server => "server",
            Self::Restart => "restart",
        }
    }
}

/// Of an INVITE of which nothing has come yet.
pub(crate) fn of_invite(request: &Request, who: Option<&Caller>, flow: &Flow) -> CallFacts {
    let (user, trunk) = match who {
        Some(Caller::User(name)) => (Some(name.clone()), None),
        Some(Caller::Trunk(name)) => (None, Some(name.clone())),
        None => (None, None),
    };
    let from = request.headers.from().map(|from| from.uri.to_string());
    CallFacts {
        call: String::new(),
        uri: request.uri().to_string(),
        route: None,
        caller: PartyFacts {
            user,
            trunk,
            uri: from.unwrap_or_default(),
            call_id: request.headers.call_id().unwrap_or_default(),
            flow: Some((flow.transport, flow.peer)),
            status: None,
        },
        called: Vec::new(),
        times: Times::began(SystemTime::UNIX_EPOCH),
        status: None,
        ended_by: None,
        why: String::new(),
        transfers: 0,
    }
}
