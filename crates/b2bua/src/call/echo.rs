//! Calls that the session answers itself: the caller hears what it says.

use std::time::Instant;

use session::{Negotiation, Refusal, Request as SessionRequest};
use sip::{Headers, StatusCode};

use super::{Call, End, Place, Then};
use crate::{B2bua, policy};

impl B2bua {
    pub(super) fn echo(&mut self, now: Instant, call: &mut Call) {
        match call.offer.clone() {
            Some(sdp) => self.ask_echo(call, sdp, Then::Echo),
            None => {
                call.why = "there is nobody who could offer".to_owned();
                let headers = self.warning(399, "this user takes an offer and makes none");
                self.refuse_caller(now, call, StatusCode::NOT_ACCEPTABLE_HERE, &headers);
            }
        }
    }

    /// An offer of the caller, the first or a later one.
    pub(super) fn ask_echo(&mut self, call: &mut Call, sdp: Vec<u8>, then: Then) {
        let side = call.side(End::Caller);
        let echo = Negotiation {
            call_id: call.session.clone(),
            from_tag: call.caller.tag.clone(),
            to_tag: None,
            via_branch: None,
            sdp,
            received_from: Some(call.caller.flow.peer.ip()),
            options: policy::echo(side, self.notes_cleartext()),
        };
        self.await_reply(call, SessionRequest::Echo(Box::new(echo)), then);
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
