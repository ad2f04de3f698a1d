//! A confirmed dialog as it is written down, so that a user agent that begins later can go on with it.

use super::agent::{Timer, UserAgent};
use super::entry::{Entry, Leg, Role};
use super::{CallError, DialogHandle, LegId};
use crate::session_timer::SessionTimer;
use crate::{
    Agreed, Dialog, DialogId, Flow, Message, NameAddr, Negotiation, Request, Response, StatusCode, Target, Transmit,
    Uri, name,
};
use std::net::SocketAddr;
use std::time::Instant;

/// All that a confirmed dialog is but for what is under way in it: transactions, and an offer that is open, end with their user
/// agent. It may hold media keys.
#[derive(Clone, PartialEq, Eq)]
pub struct DialogState {
    /// Call-ID and tags.
    pub id: DialogId,
    /// Our name, with our tag.
    pub local: NameAddr,
    /// The peer's name, with its tag.
    pub remote: NameAddr,
    /// The peer's Contact.
    pub remote_target: Uri,
    /// Topmost first.
    pub routes: Vec<NameAddr>,
    /// The number of our last request, or one above it: gaps are allowed (RFC 3261 §12.2.2), a number that was used before is not.
    pub local_cseq: u32,
    /// The number of the peer's last request.
    pub remote_cseq: Option<u32>,
    /// A sips URI made it.
    pub secure: bool,
    /// Our Contact.
    pub contact: NameAddr,
    /// Where our requests go.
    pub target: Target,
    /// Both descriptions that are in force.
    pub agreed: Option<Agreed>,
    /// We made the Call-ID.
    pub owns_call_id: bool,
    /// The peer takes UPDATE.
    pub peer_allows_update: bool,
    /// Its session timer.
    pub session: Option<SessionInterval>,
    /// A re-INVITE or UPDATE of the peer waits for our answer: it is refused by whoever goes on with the dialog.
    pub unanswered: Option<Refusal>,
}

/// A response that is ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Where to (RFC 3261 §18.2.2).
    pub to: SocketAddr,
    /// One whole message.
    pub bytes: Vec<u8>,
}

/// A session timer as it runs (RFC 4028).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionInterval {
    /// As agreed, in seconds.
    pub seconds: u32,
    /// Otherwise the peer does.
    pub we_refresh: bool,
    /// When we refresh, or give the peer up.
    pub due: Instant,
}

impl UserAgent {
    /// A dialog as it is. `None`: there is no such dialog, or it is not confirmed.
    pub fn dialog_state(&self, dialog: DialogHandle) -> Option<DialogState> {
        let entry = self.dialogs.get(&dialog).filter(|entry| entry.dialog.is_confirmed())?;
        let Entry {
            leg,
            dialog: shared,
            target,
            negotiation,
            owns_call_id,
            peer_allows_update,
            session,
            // What is under way.
            ok: _,
            ack_owed: _,
            last_invite: _,
            last_ack: _,
            prack_owed: _,
            rseq: _,
            asked,
            asking: _,
            bye_wanted: _,
            restored: _,
        } = entry;
        let Dialog { id, local, remote, target: remote_target, routes, local_cseq, remote_cseq, secure, confirmed: _ } =
            shared.clone();
        let session = session.zip(self.timers.at(Timer::Session(dialog))).map(|(session, due)| {
            let SessionTimer { seconds, we_refresh } = session;
            SessionInterval { seconds, we_refresh, due }
        });
        Some(DialogState {
            id,
            local,
            remote,
            remote_target,
            routes,
            local_cseq,
            remote_cseq,
            secure,
            contact: self.legs.get(leg)?.contact.clone(),
            target: target.clone(),
            agreed: negotiation.agreed().cloned(),
            owns_call_id: *owns_call_id,
            peer_allows_update: *peer_allows_update,
            session,
            unanswered: asked.as_ref().and_then(|asked| refusal(&asked.request)),
        })
    }

    /// Dialogs that may be otherwise since this was asked last. Needs
    /// [`UserAgentConfig::tells_of_changes`](super::UserAgentConfig::tells_of_changes).
    pub fn take_changed(&mut self) -> impl Iterator<Item = DialogHandle> + use<> {
        self.dialogs.take_changed().into_iter()
    }

    /// Goes on with a dialog of a user agent that is no more: the next request has a number above
    /// [`DialogState::local_cseq`]. `Err`: it is known already, or there are too many.
    pub fn restore(&mut self, state: DialogState) -> Result<(LegId, DialogHandle), CallError> {
        if self.by_id.contains_key(&state.id) {
            return Err(CallError::NotNow);
        }
        if self.legs.len() >= self.config.max_legs {
            return Err(CallError::Exhausted);
        }
        let DialogState {
            id,
            local,
            remote,
            remote_target,
            routes,
            local_cseq,
            remote_cseq,
            secure,
            contact,
            target,
            agreed,
            owns_call_id,
            peer_allows_update,
            session,
            unanswered,
        } = state;
        if let Some(Refusal { to, bytes }) = unanswered.filter(|_| !target.flow.transport.is_reliable()) {
            // On a connection that is gone nobody waits any more.
            let flow = Flow { peer: to, ..target.flow };
            self.layer.send_again(Transmit { flow, bytes, transaction: None });
        }
        let leg = LegId(self.new_id());
        self.legs.insert(leg, Leg { role: Role::Done, contact, dialogs: Vec::new() });
        let dialog = Dialog {
            id,
            local,
            remote,
            target: remote_target,
            routes,
            local_cseq,
            remote_cseq,
            secure,
            confirmed: true,
        };
        let mut entry = Entry::new(leg, dialog, target, owns_call_id);
        entry.peer_allows_update = peer_allows_update;
        entry.negotiation = agreed.map_or_else(Negotiation::new, Negotiation::in_force);
        entry.session =
            session.map(|SessionInterval { seconds, we_refresh, due: _ }| SessionTimer { seconds, we_refresh });
        entry.restored = true;
        let dialog = self.insert_dialog(entry);
        if let Some(session) = session {
            self.timers.set(Timer::Session(dialog), session.due);
        }
        Ok((leg, dialog))
    }

    /// Forgets a dialog: its peer is told nothing, and there is no event.
    pub fn abandon(&mut self, now: Instant, dialog: DialogHandle) {
        self.forget_dialog(now, dialog);
    }

    /// Where requests of this dialog go.
    pub fn target(&self, dialog: DialogHandle) -> Option<&Target> {
        self.dialogs.get(&dialog).map(|entry| &entry.target)
    }

    /// A 2xx to a re-INVITE of the user agent before us, which knew the transaction: without its ACK the peer would end the call
    /// (RFC 3261 §13.3.1.4).
    pub(super) fn acknowledge_stray(&mut self, response: &Response) {
        let Some((id, cseq)) = of_invite(response) else { return };
        let entry = self.by_id.get(&id).and_then(|dialog| self.dialogs.get(dialog));
        let Some(entry) = entry.filter(|entry| entry.restored && cseq <= entry.dialog.local_cseq) else { return };
        let (ack, target) = (entry.dialog.ack(cseq), entry.target.clone());
        let _ = self.layer.send_ack(ack, &target);
    }
}

/// 500: what the offer would have become is not known any more, and it may be made again (RFC 3261 §14.2).
fn refusal(request: &Request) -> Option<Refusal> {
    let mut response = request.respond(StatusCode::SERVER_INTERNAL_ERROR);
    response.headers.push(name::RETRY_AFTER, 1);
    Some(Refusal { to: request.headers.via().ok()?.response_address()?, bytes: response.to_bytes() })
}

/// A 2xx to an INVITE, as it is worth a look if nobody waits for it.
pub(super) fn success_of_invite(message: &Message) -> Option<Response> {
    let Message::Response(response) = message else { return None };
    (response.status().is_success() && of_invite(response).is_some()).then(|| response.clone())
}

fn of_invite(response: &Response) -> Option<(DialogId, u32)> {
    let headers = &response.headers;
    let cseq = headers.cseq().ok().filter(|cseq| cseq.method == crate::Method::Invite)?;
    let id = DialogId {
        call_id: headers.call_id().ok()?,
        local_tag: headers.from().ok()?.tag()?.to_owned(),
        remote_tag: headers.to().ok()?.tag()?.to_owned(),
    };
    Some((id, cseq.number))
}
