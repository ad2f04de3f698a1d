//! Calls that the session answers itself: the caller hears what it says.

use std::time::Instant;

use session::{Negotiation, Options, Refusal, Request as SessionRequest};
use sip::{Body, Headers, Reason, StatusCode};

use super::{Call, End, Place, Then};
use crate::{B2bua, policy};

impl B2bua {
    pub(super) fn echo(&mut self, now: Instant, call: &mut Call) {
        match call.offer.clone() {
            Some(sdp) => self.ask_echo(call, sdp, Then::Echo),
            None => self.ask_echo_offer(now, call),
        }
    }

    /// An offer of the caller, the first or a later one.
    pub(super) fn ask_echo(&mut self, call: &mut Call, sdp: Vec<u8>, then: Then) {
        let options = policy::echo(call.side(End::Caller), self.notes_cleartext());
        let echo = echo_negotiation(call, sdp, options);
        self.await_reply(call, SessionRequest::Echo(Box::new(echo)), then);
    }

    /// The caller leaves the offer to us: it gets what its policy demands, in the 200, and answers in its ACK.
    fn ask_echo_offer(&mut self, now: Instant, call: &mut Call) {
        let side = call.side(End::Caller);
        let options = policy::echo_offer(side);
        if policy::offers_sdes(side, policy::offers_keys_to_itself(side))
            && let Err(headers) = self.check_cleartext(&call.caller.flow)
        {
            call.why = "an offer to this leg would have keys in the clear".to_owned();
            return self.refuse_caller(now, call, StatusCode::NOT_ACCEPTABLE_HERE, &headers);
        }
        let offer = echo_negotiation(call, Vec::new(), options);
        self.await_reply(call, SessionRequest::EchoOffer(Box::new(offer)), Then::Echo);
    }

    /// The caller's answer to our offer.
    pub(super) fn echo_answered(&mut self, now: Instant, call: &mut Call, body: &Body) {
        let sdp = match self.open(now, call, Place::Caller, body) {
            Ok(sdp) => sdp,
            Err(unopened) => return self.end_unopened(now, call, &unopened),
        };
        let side = call.side(End::Caller);
        let answer = echo_negotiation(call, sdp, policy::answer(side, side, self.notes_cleartext()));
        self.await_reply(call, SessionRequest::EchoAnswer(Box::new(answer)), Then::EchoAnswer);
    }

    /// The session has taken that answer, or not: then nobody would hear anything.
    pub(super) fn echo_agreed(&mut self, now: Instant, call: &mut Call, taken: Result<Vec<u8>, Refusal>) {
        if let Err(refusal) = taken {
            let (status, _) = self.refusal(&refusal);
            let why = refusal.to_string();
            self.end(now, call, &why, Some(Reason::sip(status, &why)));
        }
    }

    pub(super) fn echoed(&mut self, now: Instant, call: &mut Call, sdp: Result<Vec<u8>, Refusal>) {
        let sdp = match sdp {
            Ok(sdp) => sdp,
            Err(refusal) => {
                let (status, headers) = self.refusal(&refusal);
                call.why = refusal.to_string();
                return self.refuse_caller(now, call, status, &headers);
            }
        };
        let Some(body) = self.secure(now, call, Place::Caller, sdp) else {
            return self.refuse_caller(now, call, StatusCode::NOT_ACCEPTABLE_HERE, &Headers::new());
        };
        match self.ua.accept(now, call.caller.leg, Some(body), &Headers::new()) {
            Ok(dialog) => {
                self.counters.answered += 1;
                call.times.answered = Some(self.secured.wall(now));
                call.caller.accepted = true;
                call.caller.dialog = Some(dialog);
            }
            Err(error) => {
                call.why = error.to_string();
                self.refuse_caller(now, call, StatusCode::SERVER_INTERNAL_ERROR, &Headers::new());
            }
        }
    }

    pub(super) fn echoed_again(&mut self, now: Instant, call: &mut Call, sdp: Result<Vec<u8>, Refusal>) {
        let Some(dialog) = call.caller.dialog else { return };
        match sdp {
            Ok(sdp) => match self.secure(now, call, Place::Caller, sdp) {
                // An offer that was withdrawn needs no answer.
                Some(body) => drop(self.ua.answer(now, dialog, body)),
                None => self.refuse_offer(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &Headers::new()),
            },
            Err(refusal) => {
                let (status, headers) = self.refusal(&refusal);
                self.refuse_offer(now, dialog, status, &headers);
            }
        }
    }
}

fn echo_negotiation(call: &Call, sdp: Vec<u8>, options: Options) -> Negotiation {
    Negotiation {
        call_id: call.session.clone(),
        from_tag: call.caller.tag.clone(),
        to_tag: None,
        via_branch: None,
        sdp,
        received_from: Some(call.caller.flow.peer.ip()),
        options,
    }
}
