//! Calls that we are offered.
//!
//! ```text
//! Incoming ──ring*──► accept ──ACK──► Established     2xx repeated until its ACK, at most 64·T1
//!              ├────► reject
//!              └────► Cancelled                       CANCEL, or BYE of the early dialog
//! ```

use super::agent::{ServerUse, Timer, UserAgent, contact_for};
use super::entry::{Entry, Incoming, Leg, Ok2xx, Role};
use super::{CallError, CallEvent, DialogHandle, EndCause, LegId};
use crate::session_timer::{SessionTimer, SessionTimerError};
use crate::{
    Body, Dialog, DialogId, Flow, Headers, Method, Refresher, Request, Response, SentBy, ServerId, StatusCode, Target,
    name,
};
use std::collections::VecDeque;
use std::time::Instant;

impl UserAgent {
    pub(super) fn handle_invite(
        &mut self,
        now: Instant,
        server: ServerId,
        request: Request,
        flow: Flow,
        local_tag: String,
    ) {
        if self.legs.len() >= self.config.max_legs {
            let mut response = request.respond(StatusCode::SERVICE_UNAVAILABLE);
            response.headers.push(name::RETRY_AFTER, self.config.transactions.overload_retry_after);
            return self.respond_final(now, server, response);
        }
        let Ok(dialog) = Dialog::as_uas(&request, &local_tag) else {
            return self.respond_plain(now, server, &request, StatusCode::BAD_REQUEST);
        };
        if let Some(refusal) = self.refuse_interval(&request) {
            return self.respond_final(now, server, refusal);
        }
        let leg = LegId(self.new_id());
        let secure = request.uri().as_sip().is_some_and(|uri| uri.secure);
        let target = Target { flow, sent_by: SentBy::from(flow.local) };
        let mut entry = Entry::new(leg, dialog, target, false);
        entry.peer_allows_update = request.headers.list_contains(name::ALLOW, "UPDATE");
        if let Some(offer) = Body::of(&request.headers, request.body()).filter(Body::has_sdp) {
            // A fresh negotiation takes any offer.
            let _ = entry.negotiation.handle_offer(offer);
        }
        let contact = contact_for(&flow, secure);
        let dialog = self.insert_dialog(entry);
        let lists = |name, tag| request.headers.list_contains(name, tag);
        let incoming = Incoming {
            server,
            local_tag,
            dialog,
            requires_100rel: lists(name::REQUIRE, "100rel"),
            supports_100rel: lists(name::SUPPORTED, "100rel"),
            next_rseq: 1 + u32::try_from(self.tokens.below(1 << 16)).unwrap_or(0),
            unacknowledged: None,
            waiting: VecDeque::new(),
            accepted: None,
            request: request.clone(),
        };
        self.servers.insert(server, ServerUse::Invite(leg));
        self.legs.insert(leg, Leg { role: Role::Incoming(Box::new(incoming)), contact, dialogs: vec![dialog] });
        self.events.push_back(CallEvent::Incoming { leg, request: Box::new(request), flow });
    }

    /// The dialog of an incoming leg, or the dialogs of an outgoing one.
    pub fn dialogs_of(&self, leg: LegId) -> &[DialogHandle] {
        self.legs.get(&leg).map_or(&[], |leg| &leg.dialogs)
    }

    /// The body of an INVITE is no offer after all: it could not be read, and need not be. The call goes on as if it had none.
    pub fn forget_offer(&mut self, leg: LegId) -> Result<(), CallError> {
        let dialog = self.incoming(leg).ok_or(CallError::Unknown)?.dialog;
        self.entry(dialog)?.negotiation.roll_back();
        Ok(())
    }

    /// Accepts a call. The body is our answer, or our offer where the INVITE had none; it may be left out once a reliable
    /// provisional response has carried it. The 2xx waits for the PRACK of such a response.
    pub fn accept(
        &mut self,
        now: Instant,
        leg: LegId,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<DialogHandle, CallError> {
        let mut response = self.response(leg, StatusCode::OK, headers)?;
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        if incoming.accepted.is_some() {
            return Err(CallError::NotNow);
        }
        let dialog = incoming.dialog;
        let request = incoming.request.clone();
        let entry = self.entry(dialog)?;
        // What is open after the first exchange is an UPDATE's.
        let is_first = entry.negotiation.agreed().is_none();
        let owes = is_first && entry.negotiation.owes_answer();
        let unagreed = is_first && entry.negotiation.is_idle();
        match body {
            Some(body) if owes => {
                entry.negotiation.send_answer(body.clone())?;
                response.set_body(Some(&body.content_type), body.bytes);
            }
            Some(body) if unagreed => {
                entry.negotiation.send_offer(body.clone())?;
                response.set_body(Some(&body.content_type), body.bytes);
            }
            None if owes || unagreed => return Err(CallError::NotNow),
            _ => {}
        }
        self.agree_on_interval(dialog, &request, &mut response);
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        if incoming.unacknowledged.is_some() {
            incoming.waiting.clear();
            incoming.accepted = Some(response);
        } else {
            self.send_accepted(now, leg, response)?;
        }
        Ok(dialog)
    }

    pub(super) fn send_accepted(&mut self, now: Instant, leg: LegId, response: Response) -> Result<(), CallError> {
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        let (server, dialog) = (incoming.server, incoming.dialog);
        self.layer.respond(now, server, &response)?;
        self.servers.remove(&server);
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.role = Role::Done;
        }
        self.entry(dialog)?.dialog.confirm();
        self.await_ack(now, dialog, server, response, true);
        self.start_session_timer(now, dialog);
        Ok(())
    }

    /// Repeats a 2xx until its ACK (RFC 3261 §13.3.1.4).
    pub(super) fn await_ack(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        server: ServerId,
        response: Response,
        initial: bool,
    ) {
        let t1 = self.config.transactions.t1;
        let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
        let cseq = response.headers.cseq().map_or(0, |cseq| cseq.number);
        let has_offer = entry.negotiation.awaits_answer() && !response.body().is_empty();
        entry.ok = Some(Ok2xx { server, response, cseq, has_offer, initial, interval: t1, give_up_at: now + t1 * 64 });
        self.timers.set(Timer::Ok(dialog), now + t1);
    }

    /// Refuses a call with a final response of 300 or above.
    pub fn reject(&mut self, now: Instant, leg: LegId, status: StatusCode, headers: &Headers) -> Result<(), CallError> {
        self.reject_with(now, leg, status, headers, None)
    }

    /// [`UserAgent::reject`] with a body, such as the certificate of a 493.
    pub fn reject_with(
        &mut self,
        now: Instant,
        leg: LegId,
        status: StatusCode,
        headers: &Headers,
        body: Option<Body>,
    ) -> Result<(), CallError> {
        let mut response = self.response(leg, status, headers)?;
        if let Some(body) = body {
            response.set_body(Some(&body.content_type), body.bytes);
        }
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        if status.class() < 3 || incoming.accepted.is_some() {
            return Err(CallError::NotNow);
        }
        self.end_incoming(now, leg, response);
        Ok(())
    }

    /// [`UserAgent::reject`] for a caller of whom nothing is proven: once, and nothing is remembered (RFC 3261 §26.3.2.4). A copy
    /// of the INVITE is a new call.
    pub fn reject_once(
        &mut self,
        now: Instant,
        leg: LegId,
        status: StatusCode,
        headers: &Headers,
    ) -> Result<(), CallError> {
        let response = self.response(leg, status, headers)?;
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        let (server, dialog) = (incoming.server, incoming.dialog);
        self.layer.respond_once(server, &response)?;
        self.timers.clear(Timer::Reliable(leg));
        self.servers.remove(&server);
        self.legs.remove(&leg);
        self.forget_dialog(now, dialog);
        Ok(())
    }

    /// The early dialog goes without an event: its user has just decided, or hears of the leg.
    fn end_incoming(&mut self, now: Instant, leg: LegId, response: Response) {
        let Some(incoming) = self.incoming(leg) else { return };
        let (server, dialog) = (incoming.server, incoming.dialog);
        self.timers.clear(Timer::Reliable(leg));
        self.servers.remove(&server);
        let _ = self.layer.respond(now, server, &response);
        self.legs.remove(&leg);
        self.forget_dialog(now, dialog);
    }

    pub(super) fn incoming(&mut self, leg: LegId) -> Option<&mut Incoming> {
        match &mut self.legs.get_mut(&leg)?.role {
            Role::Incoming(incoming) => Some(incoming),
            _ => None,
        }
    }

    /// A response to the leg's INVITE with what dialogs need.
    pub(super) fn response(&mut self, leg: LegId, status: StatusCode, more: &Headers) -> Result<Response, CallError> {
        let contact = self.legs.get(&leg).ok_or(CallError::Unknown)?.contact.clone();
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        let mut response = incoming.request.respond(status);
        response.set_to_tag(&incoming.local_tag);
        if status.class() < 3 {
            response.headers.copy(&incoming.request.headers, name::RECORD_ROUTE);
            response.headers.push(name::CONTACT, contact);
            self.describe(&mut response.headers);
        }
        response.headers.extend(more);
        Ok(response)
    }

    pub(super) fn handle_cancel(&mut self, now: Instant, server: ServerId, cancel: Request) {
        match self.servers.get(&server) {
            Some(ServerUse::Invite(leg)) => {
                let leg = *leg;
                self.cancel_incoming(now, leg, cancel);
            }
            // A re-INVITE is given up: what was agreed stays.
            Some(ServerUse::Within(dialog)) => {
                let dialog = *dialog;
                let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
                let Some(asked) = entry.asked.take_if(|asked| asked.server == server) else { return };
                entry.negotiation.roll_back();
                self.respond_plain(now, server, &asked.request, StatusCode::REQUEST_TERMINATED);
                self.events.push_back(CallEvent::OfferWithdrawn { dialog });
            }
            _ => {}
        }
    }

    /// The caller's CANCEL, or its BYE to the early dialog.
    pub(super) fn cancel_incoming(&mut self, now: Instant, leg: LegId, request: Request) {
        if let Ok(response) = self.response(leg, StatusCode::REQUEST_TERMINATED, &Headers::new()) {
            self.end_incoming(now, leg, response);
            self.events.push_back(CallEvent::Cancelled { leg, request: Box::new(request) });
        }
    }

    /// The caller cannot be reached, or never acknowledged a reliable provisional response.
    pub(super) fn fail_incoming(&mut self, now: Instant, leg: LegId) {
        if let Ok(response) = self.response(leg, StatusCode::SERVER_TIMEOUT, &Headers::new())
            && let Some(incoming) = self.incoming(leg)
        {
            let request = incoming.request.clone();
            self.end_incoming(now, leg, response);
            self.events.push_back(CallEvent::Cancelled { leg, request: Box::new(request) });
        }
    }

    pub(super) fn repeat_ok(&mut self, now: Instant, dialog: DialogHandle) {
        let t2 = self.config.transactions.t2;
        let Some(ok) = self.dialogs.get_mut(&dialog).and_then(|entry| entry.ok.as_mut()) else { return };
        if now >= ok.give_up_at {
            self.send_bye(now, dialog, None);
            return self.end_dialog(now, dialog, EndCause::NotAcknowledged);
        }
        ok.interval = (ok.interval * 2).min(t2);
        let at = (now + ok.interval).min(ok.give_up_at);
        let (server, response) = (ok.server, ok.response.clone());
        self.timers.set(Timer::Ok(dialog), at);
        let _ = self.layer.respond(now, server, &response);
    }

    pub(super) fn handle_ack(&mut self, now: Instant, request: &Request, flow: &Flow) {
        let (Ok(to), Ok(from), Ok(call_id), Ok(cseq)) =
            (request.headers.to(), request.headers.from(), request.headers.call_id(), request.headers.cseq())
        else {
            return;
        };
        let tag = |address: &crate::NameAddr| address.tag().unwrap_or("").to_owned();
        let id = DialogId { call_id, local_tag: tag(&to), remote_tag: tag(&from) };
        let Some(&dialog) = self.by_id.get(&id) else { return };
        let is_elsewhere = self.is_elsewhere(dialog, flow);
        let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
        // An ACK cannot be challenged (§22.1): one from elsewhere is good for the end of repetitions, but not for an answer.
        if is_elsewhere && entry.ok.as_ref().is_some_and(|ok| ok.has_offer) {
            return;
        }
        let Some(ok) = entry.ok.take_if(|ok| ok.cseq == cseq.number) else { return };
        self.timers.clear(Timer::Ok(dialog));
        let answer = Body::of(&request.headers, request.body()).filter(|body| ok.has_offer && body.has_sdp());
        if ok.initial {
            self.events.push_back(CallEvent::Established { dialog });
        }
        if let Some(reason) = entry.bye_wanted.take() {
            self.send_bye(now, dialog, reason);
            return self.end_dialog(now, dialog, EndCause::Local);
        }
        match answer {
            Some(body) => {
                let fits = entry.negotiation.handle_answer(body.clone()).is_ok();
                self.events.extend(fits.then_some(CallEvent::Answer { dialog, body }));
            }
            None if ok.has_offer => {
                self.send_bye(now, dialog, None);
                self.end_dialog(now, dialog, EndCause::NoAnswer);
            }
            None => {}
        }
    }

    /// A 422 if the request's session interval is below our minimum.
    pub(super) fn refuse_interval(&self, request: &Request) -> Option<Response> {
        let config = self.config.session_timer.unwrap_or_default();
        match SessionTimer::answer(&request.headers, &config) {
            Err(SessionTimerError::TooSmall(min)) => {
                let mut response = request.respond(StatusCode::SESSION_INTERVAL_TOO_SMALL);
                response.headers.push(name::MIN_SE, min);
                Some(response)
            }
            Err(SessionTimerError::Malformed(fault)) => Some(request.respond(fault.status())),
            Ok(_) => None,
        }
    }

    /// Session-Expires in a 2xx to an INVITE or UPDATE, and the dialog's timer by it.
    pub(super) fn agree_on_interval(&mut self, dialog: DialogHandle, request: &Request, response: &mut Response) {
        let asked = request.headers.contains(name::SESSION_EXPIRES);
        let config = match self.config.session_timer {
            Some(config) => config,
            None if asked => Default::default(),
            None => return,
        };
        let Ok((agreed, timer)) = SessionTimer::answer(&request.headers, &config) else { return };
        response.headers.set(name::SESSION_EXPIRES, agreed);
        if agreed.refresher == Some(Refresher::Uac) {
            response.headers.push(name::REQUIRE, "timer");
        }
        if let Some(entry) = self.dialogs.get_mut(&dialog) {
            entry.session = Some(timer);
        }
    }

    /// Whether an INVITE of this leg is still open.
    pub(super) fn is_ringing(&self, leg: LegId) -> bool {
        matches!(self.legs.get(&leg).map(|leg| &leg.role), Some(Role::Incoming(_)))
    }

    pub(super) fn is_refresh(method: &Method) -> bool {
        matches!(method, Method::Invite | Method::Update)
    }
}
