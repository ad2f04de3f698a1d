//! Calls that we make.
//!
//! ```text
//! invite ──► Progress* ──► Answered (ACK, or answer() first)      every further 2xx: ACK and BYE
//!                  └─────► Failed                                 a 2xx after cancel(): ACK, BYE, Failed 487
//! ```

use super::agent::{ClientUse, Timer, UserAgent};
use super::entry::{Entry, Leg, Outgoing, Role};
use super::{CallError, CallEvent, Description, DialogHandle, EndCause, LegId};
use crate::session_timer::SessionTimer;
use crate::{
    Body, Dialog, DialogId, Fault, Method, NameAddr, RAck, Reason, Request, Response, SessionExpires, StatusCode,
    Target, TransactionError, name, next_attempt,
};
use std::time::Instant;

/// Branches of a fork whose 2xx is acknowledged and ended; more than that is no fork but a flood.
const MAX_ANSWERS: usize = 32;

impl UserAgent {
    /// Calls. The request is an INVITE with From and its tag, To, Contact, Call-ID, CSeq and Max-Forwards; a body is the offer,
    /// without one the peer makes it. Allow, Supported and Session-Expires are added where they are missing.
    pub fn invite(&mut self, now: Instant, request: Request, target: Target) -> Result<LegId, CallError> {
        self.invite_onward(now, request, target, None)
    }

    /// [`UserAgent::invite`] for a call that carries another on: the token is what
    /// [`LoopGuard::token`](crate::LoopGuard::token) said of that one's INVITE.
    pub fn invite_onward(
        &mut self,
        now: Instant,
        mut request: Request,
        target: Target,
        loop_token: Option<&str>,
    ) -> Result<LegId, CallError> {
        if self.legs.len() >= self.config.max_legs {
            return Err(CallError::Exhausted);
        }
        request.headers.from()?.tag().ok_or(Fault::Malformed(name::FROM))?;
        request.headers.to()?;
        request.headers.call_id()?;
        let cseq = request.headers.cseq()?;
        if *request.method() != Method::Invite || cseq.method != Method::Invite {
            return Err(Fault::MethodMismatch.into());
        }
        let contact = request.headers.contacts()?.into_iter().next().ok_or(Fault::Missing(name::CONTACT))?;
        self.describe(&mut request.headers);
        if let Some(timer) = self.config.session_timer
            && !request.headers.contains(name::SESSION_EXPIRES)
        {
            request.headers.push(name::SESSION_EXPIRES, SessionExpires { seconds: timer.interval, refresher: None });
            request.headers.push(name::MIN_SE, timer.min);
        }
        let id = LegId(self.new_id());
        self.start(now, id, request, target, contact, loop_token.map(str::to_owned))?;
        Ok(id)
    }

    fn start(
        &mut self,
        now: Instant,
        id: LegId,
        request: Request,
        target: Target,
        contact: NameAddr,
        loop_token: Option<String>,
    ) -> Result<(), CallError> {
        let client = self.layer.send(now, request.clone(), &target, loop_token.as_deref())?;
        self.clients.insert(client, ClientUse::Invite(id));
        let outgoing = Outgoing {
            client,
            offer: Body::of(&request.headers, request.body()).filter(Body::has_sdp),
            request,
            target,
            loop_token,
            cancelled: false,
            answered: false,
            acks: Vec::new(),
        };
        self.legs.insert(id, Leg { role: Role::Outgoing(Box::new(outgoing)), contact, dialogs: Vec::new() });
        Ok(())
    }

    /// Gives up a call. [`CallEvent::Failed`] follows, whatever crosses the CANCEL.
    pub fn cancel(&mut self, now: Instant, leg: LegId, reason: Option<Reason>) -> Result<(), CallError> {
        let outgoing = self.outgoing(leg).ok_or(CallError::Unknown)?;
        if outgoing.answered || outgoing.cancelled {
            return Err(CallError::NotNow);
        }
        outgoing.cancelled = true;
        let client = outgoing.client;
        match self.layer.cancel(now, client, reason) {
            Ok(()) | Err(TransactionError::NotAllowed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn outgoing(&mut self, leg: LegId) -> Option<&mut Outgoing> {
        match &mut self.legs.get_mut(&leg)?.role {
            Role::Outgoing(outgoing) => Some(outgoing),
            _ => None,
        }
    }

    pub(super) fn handle_invite_response(&mut self, now: Instant, leg: LegId, response: Response) {
        let status = response.status();
        if status == StatusCode::TRYING {
            return;
        }
        if status.is_provisional() {
            self.handle_progress(now, leg, response);
        } else if status.is_success() {
            self.handle_success(now, leg, response);
        } else {
            self.handle_failure(now, leg, response);
        }
    }

    fn handle_progress(&mut self, now: Instant, leg: LegId, response: Response) {
        let Some(outgoing) = self.outgoing(leg).filter(|outgoing| !outgoing.answered && !outgoing.cancelled) else {
            return;
        };
        let has_offer = outgoing.offer.is_some();
        let cseq = outgoing.request.headers.cseq();
        let dialog = self.early_dialog(leg, &response);
        let reliable = response.headers.list_contains(name::REQUIRE, "100rel");
        let rseq = response.headers.rseq().ok().flatten().filter(|_| reliable);
        let body = Body::of(&response.headers, response.body()).filter(Body::has_sdp);
        let mut description = None;
        if let (Some(dialog), Some(rseq), Ok(cseq)) = (dialog, rseq, cseq) {
            let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
            // In order, each once; after a gap the peer repeats (RFC 3262 §4).
            if entry.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
                return;
            }
            entry.rseq = Some(rseq);
            let rack = RAck { rseq, cseq };
            description = body.and_then(|body| take_description(entry, has_offer, body));
            if matches!(description, Some(Description::Offer(_))) {
                entry.prack_owed = Some(rack);
            } else {
                self.send_prack(now, dialog, &rack, None);
            }
        } else if has_offer {
            description = body.map(Description::Preview);
        }
        self.events.push_back(CallEvent::Progress { leg, dialog, response: Box::new(response), description });
    }

    /// The early dialog of a response with a To tag, made if it is new.
    fn early_dialog(&mut self, leg: LegId, response: &Response) -> Option<DialogHandle> {
        let max = self.config.max_early_dialogs;
        let tag = response.headers.to().ok()?.tag()?.to_owned();
        let entry = self.legs.get(&leg)?;
        let Role::Outgoing(outgoing) = &entry.role else { return None };
        let from = outgoing.request.headers.from().ok()?;
        let id = DialogId {
            call_id: outgoing.request.headers.call_id().ok()?,
            local_tag: from.tag()?.to_owned(),
            remote_tag: tag,
        };
        if let Some(&dialog) = self.by_id.get(&id) {
            let own = self.dialogs.get_mut(&dialog).filter(|own| own.leg == leg)?;
            own.dialog.learn(response).ok()?;
            return Some(dialog);
        }
        if entry.dialogs.len() >= max && response.status().is_provisional() {
            return None;
        }
        let dialog = Dialog::as_uac(&outgoing.request, response).ok()?;
        let mut entry = Entry::new(leg, dialog, outgoing.target.clone(), true);
        if let Some(offer) = outgoing.offer.clone() {
            entry.negotiation.send_offer(offer).ok()?;
        }
        entry.peer_allows_update = response.headers.list_contains(name::ALLOW, "UPDATE");
        Some(self.insert_dialog(entry))
    }

    pub(super) fn send_prack(&mut self, now: Instant, dialog: DialogHandle, rack: &RAck, answer: Option<&Body>) {
        let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
        let mut prack = entry.dialog.request(Method::Prack);
        prack.headers.push(name::RACK, rack);
        super::agent::set_body_of(&mut prack, answer);
        let target = entry.target.clone();
        // Without room for it the peer repeats its response, and gives up in the end.
        let _ = self.send_client(now, prack, &target, |_| ClientUse::Prack(dialog));
    }

    pub(super) fn handle_prack_response(&mut self, now: Instant, dialog: DialogHandle, response: &Response) {
        if !response.status().is_success() {
            self.end_if_gone(now, dialog, response.status());
        }
    }

    fn handle_success(&mut self, now: Instant, leg: LegId, response: Response) {
        let Ok(to) = response.headers.to() else { return };
        let tag = to.tag().unwrap_or("").to_owned();
        let Some(outgoing) = self.outgoing(leg) else { return };
        if let Some((_, ack)) = outgoing.acks.iter().find(|(own, _)| *own == tag) {
            let ack = ack.clone();
            return self.layer.send_again(ack);
        }
        if outgoing.acks.len() > MAX_ANSWERS {
            return;
        }
        let (first, cancelled) = (!outgoing.answered, outgoing.cancelled);
        let has_offer = outgoing.offer.is_some();
        let Ok(cseq) = outgoing.request.headers.cseq() else { return };
        let linger = now + self.config.transactions.t1 * 64;
        if first {
            if let Some(outgoing) = self.outgoing(leg) {
                outgoing.answered = true;
            }
            self.timers.set(Timer::Linger(leg), linger);
        }
        let already = self.legs.get(&leg).is_some_and(|leg| {
            leg.dialogs
                .iter()
                .filter_map(|own| self.dialogs.get(own))
                .any(|own| own.dialog.id().remote_tag == tag && own.dialog.is_confirmed())
        });
        if already {
            // The 2xx again, while its ACK waits for our answer.
            return;
        }
        let Some(dialog) = self.early_dialog(leg, &response) else { return };
        if !first || cancelled {
            return self.end_unwanted(now, leg, dialog, cseq.number, first);
        }
        self.end_early_dialogs(now, leg, Some(dialog));
        let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
        entry.peer_allows_update |= response.headers.list_contains(name::ALLOW, "UPDATE");
        entry.session = SessionTimer::agreed(&response.headers);
        let body = Body::of(&response.headers, response.body()).filter(Body::has_sdp);
        let description = body.and_then(|body| take_description(entry, has_offer, body));
        let unanswered = entry.negotiation.agreed().is_none();
        if matches!(description, Some(Description::Offer(_))) {
            entry.ack_owed = Some(cseq.number);
        } else {
            self.send_ack(dialog, cseq.number, None);
        }
        self.start_session_timer(now, dialog);
        let offered = matches!(description, Some(Description::Offer(_)));
        self.events.push_back(CallEvent::Answered { leg, dialog, response: Box::new(response), description });
        if unanswered && !offered {
            self.send_bye(now, dialog, None);
            self.end_dialog(now, dialog, EndCause::NoAnswer);
        }
    }

    /// A 2xx that lost against another, or came after the CANCEL: acknowledged and ended (RFC 3261 §13.2.2.4).
    fn end_unwanted(&mut self, now: Instant, leg: LegId, dialog: DialogHandle, cseq: u32, first: bool) {
        self.send_ack(dialog, cseq, None);
        self.send_bye(now, dialog, None);
        self.forget_dialog(now, dialog);
        if first {
            self.end_early_dialogs(now, leg, None);
            if let Some(request) = self.outgoing(leg).map(|outgoing| outgoing.request.clone()) {
                let response = Box::new(request.respond(StatusCode::REQUEST_TERMINATED));
                self.events.push_back(CallEvent::Failed { leg, response, request: Box::new(request) });
            }
        }
    }

    fn end_early_dialogs(&mut self, now: Instant, leg: LegId, keep: Option<DialogHandle>) {
        let dialogs = self.legs.get(&leg).map(|leg| leg.dialogs.clone()).unwrap_or_default();
        for dialog in dialogs.into_iter().filter(|dialog| Some(*dialog) != keep) {
            self.end_dialog(now, dialog, EndCause::NotChosen);
        }
    }

    /// Acknowledges the 2xx of an INVITE or re-INVITE of ours, and remembers the ACK for copies of it.
    pub(super) fn send_ack(&mut self, dialog: DialogHandle, cseq: u32, answer: Option<&Body>) {
        let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
        let (leg, tag) = (entry.leg, entry.dialog.id().remote_tag.clone());
        let mut ack = entry.dialog.ack(cseq);
        super::agent::set_body_of(&mut ack, answer);
        let target = entry.target.clone();
        let first = matches!(self.legs.get(&leg).map(|leg| &leg.role), Some(Role::Outgoing(outgoing))
            if outgoing.request.headers.cseq().is_ok_and(|own| own.number == cseq));
        if first && let Some(outgoing) = self.outgoing(leg) {
            // RFC 3261 §22.1: the credentials of the INVITE.
            for name in [name::AUTHORIZATION, name::PROXY_AUTHORIZATION] {
                ack.headers.copy(&outgoing.request.headers, name);
            }
        }
        let transmit = self.layer.send_ack(ack, &target);
        if first {
            if let Some(outgoing) = self.outgoing(leg) {
                outgoing.acks.push((tag, transmit));
            }
        } else if let Some(entry) = self.dialogs.get_mut(&dialog) {
            entry.last_ack = Some((cseq, transmit));
        }
    }

    fn handle_failure(&mut self, now: Instant, leg: LegId, response: Response) {
        let Some(outgoing) = self.outgoing(leg).filter(|outgoing| !outgoing.answered) else { return };
        let (client, cancelled) = (outgoing.client, outgoing.cancelled);
        let (request, target, token) = (outgoing.request.clone(), outgoing.target.clone(), outgoing.loop_token.clone());
        self.clients.remove(&client);
        self.end_early_dialogs(now, leg, None);
        // RFC 4028 §7.1: once more with the interval that the peer wants.
        let retry = longer_interval(&request, &response).filter(|_| !cancelled);
        let contact = self.legs.remove(&leg).map(|leg| leg.contact);
        if let (Some(retry), Some(contact)) = (retry, contact)
            && self.start(now, leg, retry, target, contact, token).is_ok()
        {
            return;
        }
        self.events.push_back(CallEvent::Failed { leg, response: Box::new(response), request: Box::new(request) });
    }

    pub(super) fn fail_invite(&mut self, now: Instant, leg: LegId, status: StatusCode) {
        let Some(request) = self.outgoing(leg).map(|outgoing| outgoing.request.clone()) else { return };
        self.handle_failure(now, leg, request.respond(status));
    }

    /// No more copies of a 2xx can come.
    pub(super) fn end_outgoing(&mut self, leg: LegId) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        if let Role::Outgoing(outgoing) = &entry.role {
            self.clients.remove(&outgoing.client);
        }
        entry.role = Role::Done;
        if entry.dialogs.is_empty() {
            self.legs.remove(&leg);
        }
    }
}

/// What a body in a response to our INVITE means; one that fits nothing is passed over (RFC 3261 §13.2.1). After the first exchange
/// in the dialog none does: what is open then is an UPDATE's.
fn take_description(entry: &mut Entry, has_offer: bool, body: Body) -> Option<Description> {
    if entry.negotiation.agreed().is_some() {
        return None;
    }
    if entry.negotiation.awaits_answer() {
        entry.negotiation.handle_answer(body.clone()).ok()?;
        return Some(Description::Answer(body));
    }
    if !has_offer {
        entry.negotiation.handle_offer(body.clone()).ok()?;
        return Some(Description::Offer(body));
    }
    None
}

/// The INVITE for a 422 whose Min-SE is above what it asked for.
fn longer_interval(request: &Request, response: &Response) -> Option<Request> {
    if response.status() != StatusCode::SESSION_INTERVAL_TOO_SMALL {
        return None;
    }
    let min = response.headers.min_se().ok()??;
    let asked = request.headers.session_expires().ok()??;
    let mut next = next_attempt(request);
    next.headers.set(name::SESSION_EXPIRES, SessionExpires { seconds: min, ..asked });
    next.headers.set(name::MIN_SE, min);
    (min > asked.seconds).then_some(next)
}
