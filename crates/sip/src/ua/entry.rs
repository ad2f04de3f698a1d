//! What a user agent remembers of a leg and of a dialog.

use super::{DialogHandle, LegId};
use crate::session_timer::SessionTimer;
use crate::{
    Body, ClientId, Dialog, NameAddr, Negotiation, RAck, Reason, Request, Response, ServerId, Target, Transmit,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(super) struct Leg {
    pub(super) role: Role,
    /// Ours, for this leg's dialogs.
    pub(super) contact: NameAddr,
    pub(super) dialogs: Vec<DialogHandle>,
}

pub(super) enum Role {
    Outgoing(Box<Outgoing>),
    Incoming(Box<Incoming>),
    /// The INVITE is over; the dialog lives.
    Done,
}

pub(super) struct Outgoing {
    pub(super) client: ClientId,
    /// Without Via.
    pub(super) request: Request,
    pub(super) target: Target,
    pub(super) loop_token: Option<String>,
    pub(super) offer: Option<Body>,
    pub(super) cancelled: bool,
    /// A 2xx has come; of the winner if there is one.
    pub(super) answered: bool,
    /// ACKs by remote tag, sent again with each copy of a 2xx.
    pub(super) acks: Vec<(String, Transmit)>,
}

pub(super) struct Incoming {
    pub(super) server: ServerId,
    pub(super) request: Request,
    pub(super) local_tag: String,
    pub(super) dialog: DialogHandle,
    pub(super) requires_100rel: bool,
    pub(super) supports_100rel: bool,
    pub(super) next_rseq: u32,
    pub(super) unacknowledged: Option<Reliable>,
    pub(super) waiting: VecDeque<Response>,
    /// The 2xx, held back until the PRACK (RFC 3262 §3).
    pub(super) accepted: Option<Response>,
}

/// A reliable provisional response that waits for its PRACK.
pub(super) struct Reliable {
    pub(super) response: Response,
    pub(super) rseq: u32,
    pub(super) interval: Duration,
    pub(super) give_up_at: Instant,
}

pub(super) struct Entry {
    pub(super) leg: LegId,
    pub(super) dialog: Dialog,
    pub(super) target: Target,
    pub(super) negotiation: Negotiation,
    /// We made the Call-ID: decides the wait after a glare.
    pub(super) owns_call_id: bool,
    pub(super) peer_allows_update: bool,
    pub(super) session: Option<SessionTimer>,
    /// Of an INVITE that we answered with 2xx: repeated until its ACK.
    pub(super) ok: Option<Ok2xx>,
    /// Of an INVITE of ours: its ACK waits for our answer.
    pub(super) ack_owed: Option<u32>,
    /// Our last re-INVITE, for copies of its 2xx.
    pub(super) last_invite: Option<ClientId>,
    /// The ACK of our last re-INVITE.
    pub(super) last_ack: Option<(u32, Transmit)>,
    /// The PRACK of a reliable response with an offer waits for our answer.
    pub(super) prack_owed: Option<RAck>,
    /// Highest RSeq that was acknowledged.
    pub(super) rseq: Option<u32>,
    /// A re-INVITE, UPDATE or PRACK of the peer that waits for the user.
    pub(super) asked: Option<Asked>,
    /// A re-INVITE or UPDATE of ours.
    pub(super) asking: Option<Asking>,
    /// A BYE that waits for the ACK of our 2xx (RFC 3261 §15).
    pub(super) bye_wanted: Option<Option<Reason>>,
    /// A user agent before us made it.
    pub(super) restored: bool,
}

pub(super) struct Ok2xx {
    pub(super) server: ServerId,
    pub(super) response: Response,
    pub(super) cseq: u32,
    pub(super) has_offer: bool,
    /// Of the INVITE that made the dialog.
    pub(super) initial: bool,
    pub(super) interval: Duration,
    pub(super) give_up_at: Instant,
}

pub(super) struct Asked {
    pub(super) server: ServerId,
    pub(super) request: Request,
    /// The user is to make an offer.
    pub(super) wants_offer: bool,
}

pub(super) struct Asking {
    pub(super) client: ClientId,
    /// A refresh by the session timer: the user does not hear of it.
    pub(super) refresh: bool,
    /// It carried an offer.
    pub(super) offered: bool,
}

impl Entry {
    pub(super) fn new(leg: LegId, dialog: Dialog, target: Target, owns_call_id: bool) -> Self {
        Self {
            leg,
            dialog,
            target,
            negotiation: Negotiation::new(),
            owns_call_id,
            peer_allows_update: false,
            session: None,
            ok: None,
            ack_owed: None,
            last_invite: None,
            last_ack: None,
            prack_owed: None,
            rseq: None,
            asked: None,
            asking: None,
            bye_wanted: None,
            restored: false,
        }
    }
}
