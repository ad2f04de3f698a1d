//! Requests inside a dialog that carry no offer: BYE, and what is the user's.

use super::agent::{ClientUse, UserAgent, set_body_of};
use super::{CallError, CallEvent, DialogHandle, EndCause};
use crate::{Body, ClientId, Flow, Headers, Method, Reason, Request, ServerId, StatusCode, Target, name};
use std::time::Instant;

impl UserAgent {
    pub(super) fn handle_within(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        server: ServerId,
        request: Request,
        flow: Flow,
    ) {
        let Ok(entry) = self.entry(dialog) else { return };
        if let Err(status) = entry.dialog.handle_request(&request) {
            return self.respond_plain(now, server, &request, status);
        }
        // The peer has another connection to us: the old one may be gone.
        let own = entry.target.flow;
        if flow.transport.is_reliable() && flow.transport == own.transport && flow.peer.ip() == own.peer.ip() {
            entry.target.flow = flow;
        }
        match request.method() {
            Method::Bye => self.handle_bye(now, dialog, server, request),
            Method::Prack => self.handle_prack(now, dialog, server, request),
            method if Self::is_refresh(method) => self.handle_offer_request(now, dialog, server, request),
            _ => self.events.push_back(CallEvent::Request { dialog, server, request: Box::new(request) }),
        }
    }

    /// Whether this flow is another than the dialog's: neither its connection nor its peer's address, or one that others can read
    /// where the dialog's cannot.
    pub(super) fn is_elsewhere(&self, dialog: DialogHandle, flow: &Flow) -> bool {
        let Some(entry) = self.dialogs.get(&dialog).filter(|_| self.config.asks_who_is_elsewhere) else { return false };
        let own = entry.target.flow;
        let is_its_connection = flow.connection != 0 && flow.connection == own.connection;
        let is_as_secure = flow.transport.is_secure() || !own.transport.is_secure();
        let is_its_address = flow.peer.ip().to_canonical() == own.peer.ip().to_canonical();
        !(is_its_connection || (is_as_secure && is_its_address))
    }

    /// Takes the request of [`CallEvent::Elsewhere`] for the peer's own. With `moved`, that is where the peer is from here on.
    pub fn admit(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        server: ServerId,
        request: Request,
        flow: Flow,
        moved: bool,
    ) {
        match self.dialogs.get_mut(&dialog) {
            Some(entry) if moved => entry.target = Target { flow, sent_by: entry.target.sent_by.clone() },
            Some(_) => {}
            None => return self.respond_plain(now, server, &request, StatusCode::CALL_DOES_NOT_EXIST),
        }
        self.handle_within(now, dialog, server, request, flow);
    }

    fn handle_bye(&mut self, now: Instant, dialog: DialogHandle, server: ServerId, request: Request) {
        self.respond_plain(now, server, &request, StatusCode::OK);
        match self.leg_of(dialog) {
            Some(leg) if self.is_ringing(leg) => self.cancel_incoming(now, leg, request),
            _ => self.end_dialog(now, dialog, EndCause::Bye(Box::new(request))),
        }
    }

    /// Ends a confirmed dialog. [`CallEvent::Ended`] follows at once, or with the ACK of our 2xx, which must come first.
    pub fn bye(&mut self, now: Instant, dialog: DialogHandle, reason: Option<Reason>) -> Result<(), CallError> {
        let leg = self.entry(dialog)?.leg;
        let is_held = self.incoming(leg).is_some_and(|incoming| incoming.accepted.is_some());
        let entry = self.entry(dialog)?;
        if is_held {
            // Our 2xx waits for a PRACK, and then for its ACK.
            entry.bye_wanted = Some(reason);
            return Ok(());
        }
        if !entry.dialog.is_confirmed() {
            return Err(CallError::NotNow);
        }
        if entry.ok.as_ref().is_some_and(|ok| ok.initial) {
            entry.bye_wanted = Some(reason);
            return Ok(());
        }
        if let Some(cseq) = entry.ack_owed.take() {
            self.send_ack(dialog, cseq, None);
        }
        self.send_bye(now, dialog, reason);
        self.end_dialog(now, dialog, EndCause::Local);
        Ok(())
    }

    pub(super) fn send_bye(&mut self, now: Instant, dialog: DialogHandle, reason: Option<Reason>) {
        let Some(entry) = self.dialogs.get_mut(&dialog) else { return };
        let mut bye = entry.dialog.request(Method::Bye);
        if let Some(reason) = reason {
            bye.headers.push(name::REASON, reason);
        }
        let target = entry.target.clone();
        // Without room for it the peer's session timer ends the call.
        let _ = self.send_client(now, bye, &target, |_| ClientUse::Bye);
    }

    /// Sends a request inside a dialog: INFO, REFER, NOTIFY, MESSAGE, OPTIONS. Its final response comes as
    /// [`CallEvent::Response`].
    pub fn send(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        method: Method,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<ClientId, CallError> {
        if matches!(method, Method::Ack | Method::Cancel | Method::Bye | Method::Prack) || Self::is_refresh(&method) {
            return Err(CallError::NotNow);
        }
        let entry = self.entry(dialog)?;
        let (leg, target) = (entry.leg, entry.target.clone());
        let refreshes = method.refreshes_target();
        let mut request = entry.dialog.request(method);
        if let Some(leg) = self.legs.get(&leg).filter(|_| refreshes) {
            request.headers.push(name::CONTACT, &leg.contact);
        }
        request.headers.extend(headers);
        set_body_of(&mut request, body.as_ref());
        self.send_client(now, request, &target, |request| ClientUse::Request(Some(dialog), request))
    }

    /// Sends a request outside of dialogs, whole but for its Via: REGISTER, OPTIONS, MESSAGE.
    pub fn send_outside(&mut self, now: Instant, request: Request, target: &Target) -> Result<ClientId, CallError> {
        if matches!(request.method(), Method::Invite | Method::Ack | Method::Cancel) {
            return Err(CallError::NotNow);
        }
        self.send_client(now, request, target, |request| ClientUse::Request(None, request))
    }

    /// Forgets a dialog without an event.
    pub(super) fn forget_dialog(&mut self, now: Instant, handle: DialogHandle) {
        self.end_dialog(now, handle, EndCause::Local);
        if matches!(self.events.back(), Some(CallEvent::Ended { dialog, .. }) if *dialog == handle) {
            self.events.pop_back();
        }
    }
}
