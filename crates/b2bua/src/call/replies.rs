//! What a call does with the session's replies.

use std::time::Instant;

use session::{Refusal, Reply, Token};
use sip::{BranchId, Headers, StatusCode};

use super::{Call, End, Exchange, OwnOffer, Place, Then};
use crate::B2bua;

impl B2bua {
    pub(crate) fn take_reply(&mut self, now: Instant, call: &mut Call, token: Token, reply: Result<Reply, Refusal>) {
        let Some((_, then)) = call.busy.take_if(|(own, _)| *own == token) else { return };
        let sdp = match reply {
            Ok(Reply::Sdp(rewritten)) => Ok(rewritten.sdp),
            // Somebody has answered us, and nobody else is to hear of it.
            Ok(Reply::Done) => Ok(Vec::new()),
            Ok(_) => Err(Refusal::NoSdp),
            Err(refusal) => Err(refusal),
        };
        let is_known = sdp.is_ok();
        if !is_known {
            // The session may have forgotten it.
            call.remembered = None;
        }
        match then {
            Then::Invite { branch } => self.branch_offered(now, call, branch, sdp),
            Then::Ring { early, status, headers } => self.ring_with(now, call, early, status, &headers, sdp),
            Then::Accept { branch } => self.branch_accepted(now, call, branch, sdp),
            Then::Reoffer { from } => self.reoffered(now, call, from, sdp),
            Then::Reanswer { to } => self.reanswered(now, call, to, sdp),
            Then::WantedOffer { from } => self.wanted_offer_written(now, call, from, sdp),
            Then::OwnOffer { to } => self.own_offer_written(now, call, to, sdp),
            Then::OwnAnswer => self.own_offer_agreed(call, &sdp),
            Then::Transfer { branch } => self.transferred(now, call, branch, sdp),
            Then::Join { branch } => self.joined(now, call, branch, sdp),
            Then::Echo => self.echoed(now, call, sdp),
            Then::EchoAgain => self.echoed_again(now, call, sdp),
            Then::EchoAnswer => self.echo_agreed(now, call, sdp),
        }
        if is_known && !call.deleted {
            self.note_legs(call);
        }
    }

    fn branch_offered(&mut self, now: Instant, call: &mut Call, index: usize, sdp: Result<Vec<u8>, Refusal>) {
        let Some(branch) = call.branches.get_mut(index) else { return };
        match sdp {
            Ok(sdp) => {
                branch.offer = Some(sdp);
                branch.offered = true;
                match call.is_borrowed(Place::Branch(index)) {
                    Some(index) => self.offer_to_join(now, call, index),
                    None => self.invite(now, call, index),
                }
            }
            Err(refusal) => {
                let (status, headers) = self.refusal(&refusal);
                call.why = refusal.to_string();
                if call.is_borrowed(Place::Branch(index)).is_some() {
                    return self.join_failed(now, call, status, false);
                }
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    call.own_failure = Some((status, headers.clone()));
                }
                let mut response = call.request.respond(status);
                response.headers.extend(&headers);
                self.give_up_branch(now, call, index, response);
            }
        }
    }

    fn branch_accepted(&mut self, now: Instant, call: &mut Call, index: usize, sdp: Result<Vec<u8>, Refusal>) {
        match sdp {
            Ok(sdp) => {
                call.answer = Some(sdp);
                self.branch_wins(now, call, index);
            }
            Err(refusal) => {
                let (status, _) = self.refusal(&refusal);
                call.why = refusal.to_string();
                self.release_branch(now, call, index, status);
            }
        }
    }

    pub(super) fn branch_wins(&mut self, now: Instant, call: &mut Call, index: usize) {
        if let Some(branch) = call.branches.get_mut(index) {
            branch.over = true;
            branch.offered = true;
        }
        let actions = call.fork.handle_success(BranchId(index));
        self.perform(now, call, actions);
    }

    /// This branch has won: the caller gets its 200.
    pub(super) fn win(&mut self, now: Instant, call: &mut Call, index: usize) {
        call.winner = Some(index);
        call.early = None;
        self.counters.answered += 1;
        call.times.answered = Some(self.secured.wall(now));
        let mut answer = call.answer.take().and_then(|sdp| self.secure(now, call, Place::Caller, sdp));
        if answer.is_some() && self.caller_has_agreed(call) {
            // By another answer, which went ahead: it is offered this one.
            answer = None;
            call.own_offers.push_back(OwnOffer::Repair(End::Caller));
        }
        match self.ua.accept(now, call.caller.leg, answer, &Headers::new()) {
            Ok(dialog) => {
                call.caller.accepted = true;
                call.caller.dialog = Some(dialog);
                if call.offer.is_none() {
                    call.exchange = Some(Exchange::Given { to: End::Caller });
                }
            }
            Err(error) => {
                // The caller has given up just then; or it wants what cannot be.
                call.why = error.to_string();
                self.refuse_caller(now, call, StatusCode::SERVER_INTERNAL_ERROR, &Headers::new());
                self.end(now, call, "the caller cannot be answered", None);
            }
        }
        for other in (0..call.branches.len()).filter(|other| *other != index) {
            self.delete_branch(call, other);
        }
    }

    /// What a refusal of the session is for the peer whose description it was.
    pub(super) fn refusal(&self, refusal: &Refusal) -> (StatusCode, Headers) {
        match refusal {
            Refusal::LoadLimit(_)
            | Refusal::OutOfPorts(_)
            | Refusal::WorkerSilent
            | Refusal::MediaHalfAway(_)
            | Refusal::CallEnded => (StatusCode::SERVICE_UNAVAILABLE, self.retry_after()),
            Refusal::OfferPending => (StatusCode::REQUEST_PENDING, Headers::new()),
            Refusal::Unreadable(_)
            | Refusal::Incomplete(_)
            | Refusal::NotRewritable(_)
            | Refusal::Unsupported(_)
            | Refusal::NoSdp => (StatusCode::NOT_ACCEPTABLE_HERE, self.warning(399, &refusal.to_string())),
            _ => (StatusCode::SERVER_INTERNAL_ERROR, Headers::new()),
        }
    }
}
