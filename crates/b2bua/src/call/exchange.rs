//! Offers inside a call: from one end to the other, and our own.
//!
//! ```text
//! Offer of X ─► Session(Offer) ─► re-INVITE to Y (UPDATE before the call is answered) ─► Answer of Y ─► Session(Answer) ─► X is answered
//!                                              └──► refused ─► Session(Withdraw) ─► X is refused, both as before
//! X wants one ─► Y is asked ─► Offer of Y ─► Session(Offer) ─► X ─► Answer of X ─► Session(Answer) ─► Y is answered
//! ```

use std::time::{Duration, Instant};

use session::{Negotiation, Refusal, Request as SessionRequest, Withdraw};
use sip::{Body, DialogHandle, Headers, Request, Response, StatusCode};

use super::{Call, End, Exchange, OwnOffer, Place, Then};
use crate::{B2bua, description, policy};

/// When an offer of ours could not be sent, it is tried again after this long.
const OWN_OFFER_PAUSE: Duration = Duration::from_secs(2);

impl B2bua {
    pub(super) fn offered(&mut self, now: Instant, call: &mut Call, place: Place, dialog: DialogHandle, body: &Body) {
        let end = call.end_of(place).filter(|end| self.may_offer(call, *end, dialog));
        let Some(end) = end else {
            return self.refuse_offer(now, dialog, StatusCode::REQUEST_PENDING, &Headers::new());
        };
        if let Err(headers) = self.check_reach(call, end) {
            return self.refuse_offer(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &headers);
        }
        let sdp = match self.open(now, call, place, body) {
            Ok(sdp) => sdp,
            Err(unopened) => return self.refuse_unopened(now, dialog, unopened),
        };
        if let Err(headers) = self.check_offer(call.side(end), &call.flow(end), &sdp) {
            return self.refuse_offer(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &headers);
        }
        if call.echo {
            return self.ask_echo(call, sdp, Then::EchoAgain);
        }
        let then = match call.exchange {
            Some(Exchange::Wanted { from }) if from == end.other() => Then::WantedOffer { from: end },
            None if call.transfer.is_none()
                && self.dialog_at(call, end.other()).is_some_and(|other| self.ua.can_offer(other)) =>
            {
                call.exchange = Some(Exchange::Forwarded { from: end, withdrawn: false });
                Then::Reoffer { from: end }
            }
            _ => return self.refuse_offer(now, dialog, StatusCode::REQUEST_PENDING, &Headers::new()),
        };
        let other_flow = call.flow(end.other());
        let is_secure = description::is_secure(&sdp);
        if policy::offers_sdes(call.side(end.other()), is_secure)
            && let Err(headers) = self.check_cleartext(&other_flow)
        {
            call.exchange = None;
            return self.refuse_offer(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &headers);
        }
        let offer = self.negotiation(call, end, sdp, false);
        self.await_reply(call, SessionRequest::Offer(Box::new(offer)), then);
    }

    pub(super) fn refuse_offer(&mut self, now: Instant, dialog: DialogHandle, status: StatusCode, headers: &Headers) {
        self.counters.refused_offers += 1;
        // An offer that was withdrawn needs no answer.
        let _ = self.ua.refuse(now, dialog, status, headers);
    }

    /// An offer of one end to the other one, as the session wants it.
    fn negotiation(&self, call: &Call, from: End, sdp: Vec<u8>, renew: bool) -> Negotiation {
        let is_secure = description::is_secure(&sdp);
        let mut options = policy::offer(call.side(from), call.side(from.other()), is_secure);
        options.flags.renew_keys = renew;
        Negotiation {
            call_id: call.session.clone(),
            from_tag: call.tag(from),
            to_tag: Some(call.tag(from.other())),
            via_branch: None,
            sdp,
            received_from: Some(call.flow(from).peer.ip()),
            options,
        }
    }

    pub(super) fn withdraw(&mut self, call: &Call) {
        self.ask(SessionRequest::Withdraw(Withdraw {
            call_id: call.session.clone(),
            from_tag: call.tag(End::Caller),
            to_tag: call.tag(End::Called),
        }));
    }

    /// The session has written the offer of one end for the other.
    pub(super) fn reoffered(&mut self, now: Instant, call: &mut Call, from: End, sdp: Result<Vec<u8>, Refusal>) {
        let to = self.dialog_at(call, from.other());
        let sdp = match sdp {
            Ok(sdp) => sdp,
            Err(refusal) => {
                call.exchange = None;
                let (status, headers) = self.refusal(&refusal);
                if let Some(dialog) = self.dialog_at(call, from) {
                    self.refuse_offer(now, dialog, status, &headers);
                }
                return;
            }
        };
        let body = self.secure(now, call, call.place_of(from.other()), sdp);
        let sent = to.zip(body).is_some_and(|(to, body)| self.send_offer(now, to, body).is_ok());
        if !sent {
            self.withdraw(call);
            call.exchange = None;
            if let Some(dialog) = self.dialog_at(call, from) {
                self.refuse_offer(now, dialog, StatusCode::REQUEST_PENDING, &Headers::new());
            }
        }
    }

    /// One end asks for an offer: the other end shall make it.
    pub(super) fn offer_wanted(&mut self, now: Instant, call: &mut Call, place: Place, dialog: DialogHandle) {
        let end = call.end_of(place).filter(|_| call.caller.accepted && !call.ended && !call.echo);
        let asked = end.filter(|_| call.exchange.is_none()).and_then(|end| self.dialog_at(call, end.other()));
        match (end, asked) {
            (Some(end), Some(other)) if self.ua.reinvite(now, other, None).is_ok() => {
                call.exchange = Some(Exchange::Wanted { from: end });
            }
            _ if call.echo => self.refuse_offer(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &Headers::new()),
            _ => self.refuse_offer(now, dialog, StatusCode::REQUEST_PENDING, &Headers::new()),
        }
    }

    /// The session has written the offer that the other end wanted.
    pub(super) fn wanted_offer_written(
        &mut self,
        now: Instant,
        call: &mut Call,
        from: End,
        sdp: Result<Vec<u8>, Refusal>,
    ) {
        let to = self.dialog_at(call, from.other());
        let body = sdp.ok().and_then(|sdp| self.secure(now, call, call.place_of(from.other()), sdp));
        let written = body.zip(to).is_some_and(|(body, to)| self.ua.answer(now, to, body).is_ok());
        if written {
            call.exchange = Some(Exchange::Given { to: from.other() });
            return;
        }
        call.exchange = None;
        if let Some(to) = to {
            self.refuse_offer(now, to, StatusCode::NOT_ACCEPTABLE_HERE, &Headers::new());
        }
        // An offer in a 2xx cannot be refused but by the end of the dialog.
        if let Some(dialog) = self.dialog_at(call, from) {
            self.refuse_offer(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &Headers::new());
        }
    }

    pub(super) fn offer_answered(&mut self, now: Instant, call: &mut Call, place: Place, body: &Body) {
        if let Some(index) = call.is_borrowed(place) {
            return self.join_answered(now, call, index, body);
        }
        let Some(end) = call.end_of(place) else { return };
        if call.echo {
            return self.echo_answered(now, call, body);
        }
        let then = match call.exchange {
            Some(Exchange::Forwarded { from, withdrawn: false }) if from == end.other() => Then::Reanswer { to: from },
            Some(Exchange::Forwarded { from, withdrawn: true }) if from == end.other() => {
                // It agreed to what is not offered any more.
                self.withdraw(call);
                call.exchange = None;
                call.own_offers.push_back(OwnOffer::Repair(end));
                return;
            }
            Some(Exchange::Given { to }) if to == end => Then::Reanswer { to: end.other() },
            Some(Exchange::Orphaned { to }) if to == end => {
                call.exchange = None;
                call.own_offers.push_back(OwnOffer::Repair(end));
                return;
            }
            Some(Exchange::Own { to }) if to == end => Then::OwnAnswer,
            _ => return,
        };
        let sdp = match self.open(now, call, place, body) {
            Ok(sdp) => sdp,
            Err(unopened) => {
                self.fail_answer(now, call, then);
                return self.end_unopened(now, call, &unopened);
            }
        };
        let answer = Negotiation {
            call_id: call.session.clone(),
            from_tag: call.tag(end.other()),
            to_tag: Some(call.tag(end)),
            via_branch: None,
            sdp,
            received_from: Some(call.flow(end).peer.ip()),
            options: policy::answer(call.side(end), call.side(end.other()), self.notes_cleartext()),
        };
        self.await_reply(call, SessionRequest::Answer(Box::new(answer)), then);
    }

    fn fail_answer(&mut self, now: Instant, call: &mut Call, then: Then) {
        match then {
            Then::Reanswer { to } => self.reanswered(now, call, to, Err(Refusal::NoSdp)),
            _ => call.exchange = None,
        }
    }

    /// The session has written the answer to one end's offer.
    pub(super) fn reanswered(&mut self, now: Instant, call: &mut Call, to: End, sdp: Result<Vec<u8>, Refusal>) {
        let given = matches!(call.exchange.take(), Some(Exchange::Given { .. }));
        let Some(dialog) = self.dialog_at(call, to) else { return };
        match sdp {
            Ok(sdp) => {
                let body = self.secure(now, call, call.place_of(to), sdp);
                if body.is_none_or(|body| self.ua.answer(now, dialog, body).is_err()) && !given {
                    call.own_offers.push_back(OwnOffer::Repair(to.other()));
                }
            }
            Err(refusal) => {
                let (status, headers) = self.refusal(&refusal);
                self.withdraw(call);
                // Where the offer came in a 2xx, this ends the dialog, and with it the call.
                self.refuse_offer(now, dialog, status, &headers);
                if !given {
                    call.own_offers.push_back(OwnOffer::Repair(to.other()));
                }
            }
        }
    }

    pub(super) fn offer_refused(
        &mut self,
        now: Instant,
        call: &mut Call,
        place: Place,
        dialog: DialogHandle,
        response: &Response,
        request: Request,
    ) {
        let status = response.status();
        let challenged = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        if let Place::Branch(index) = place
            && challenged
            && !call.ended
        {
            let mut next = request;
            if self.authorize(call, index, &mut next, response) && self.ua.send_again(now, dialog, &next).is_ok() {
                return;
            }
        }
        if call.is_borrowed(place).is_some() {
            return self.join_failed(now, call, status, false);
        }
        let Some(end) = call.end_of(place) else { return };
        let status = if challenged { StatusCode::FORBIDDEN } else { status };
        let headers = self.of_failure(&response.headers, false);
        match call.exchange {
            Some(Exchange::Forwarded { from, withdrawn }) if from == end.other() => {
                self.withdraw(call);
                call.exchange = None;
                if let Some(offerer) = self.dialog_at(call, from).filter(|_| !withdrawn) {
                    let status = if status.class() < 3 { StatusCode::NOT_ACCEPTABLE_HERE } else { status };
                    self.refuse_offer(now, offerer, status, &headers);
                }
            }
            Some(Exchange::Wanted { from }) if from == end.other() => {
                call.exchange = None;
                if let Some(asker) = self.dialog_at(call, from) {
                    self.refuse_offer(now, asker, status, &headers);
                }
            }
            Some(Exchange::Orphaned { to }) if to == end => call.exchange = None,
            Some(Exchange::Own { to }) if to == end => {
                self.withdraw(call);
                call.exchange = None;
                if status == StatusCode::REQUEST_PENDING {
                    // Until the user agent says that it may be tried again.
                    call.own_waits = true;
                } else {
                    call.own_offers.pop_front();
                }
            }
            _ => {}
        }
    }

    /// Offers what we want by ourselves, when nothing else is open.
    pub(crate) fn offer_by_ourselves(&mut self, now: Instant, call: &mut Call) {
        let free = call.transfer.is_none()
            && call.caller.accepted
            && !call.ended
            && call.busy.is_none()
            && call.exchange.is_none();
        let Some(&own) = call.own_offers.front().filter(|_| free && !call.own_waits) else { return };
        let (OwnOffer::Repair(to) | OwnOffer::Renew(to)) = own;
        let (Some(dialog), Some(other)) = (self.dialog_at(call, to), self.dialog_at(call, to.other())) else {
            return call.own_offers.clear();
        };
        let remote = self.last_said(other).cloned();
        let place = call.place_of(to.other());
        let sdp = remote.and_then(|remote| self.open(now, call, place, &remote).ok());
        let Some(sdp) = sdp else { return call.own_offers.clear() };
        // Its 2xx may still wait for a PRACK.
        if !self.ua.can_offer(dialog) || !self.is_confirmed(dialog) {
            return self.wake(call, now + OWN_OFFER_PAUSE);
        }
        let renew = matches!(own, OwnOffer::Renew(_));
        self.counters.rekeyings += u64::from(renew);
        call.exchange = Some(Exchange::Own { to });
        let offer = self.negotiation(call, to.other(), sdp, renew);
        self.await_reply(call, SessionRequest::Offer(Box::new(offer)), Then::OwnOffer { to });
    }

    pub(super) fn own_offer_written(&mut self, now: Instant, call: &mut Call, to: End, sdp: Result<Vec<u8>, Refusal>) {
        let dialog = self.dialog_at(call, to);
        let body = sdp.ok().and_then(|sdp| self.secure(now, call, call.place_of(to), sdp));
        let sent = body.zip(dialog).is_some_and(|(body, dialog)| self.ua.reinvite(now, dialog, Some(body)).is_ok());
        if !sent {
            self.withdraw(call);
            call.exchange = None;
            call.own_offers.pop_front();
        }
    }

    /// The party that was offered new keys has answered; what the session wrote of it is nobody's: the other end keeps what it has.
    pub(super) fn own_offer_agreed(&mut self, call: &mut Call, sdp: &Result<Vec<u8>, Refusal>) {
        call.exchange = None;
        call.own_offers.pop_front();
        if let Err(refusal) = sdp {
            tracing::warn!(call = call.session, "sip: {refusal}");
            self.withdraw(call);
        }
    }
}
