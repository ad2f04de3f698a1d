//! Offers before the call is answered (RFC 3311, RFC 6337 §2.2).
//!
//! ```text
//! reliable answer of the only branch ─► reliable answer to the caller ─► PRACK ─► either may offer by UPDATE
//!         └► another dialog is answered: what was offered in between is refused, and the caller is offered the new answer
//! ```
//!
//! The caller has one early dialog with us, however many there are behind us. Where several ring, none of them is the one that the
//! caller agrees with, and their answers go to it as previews.

use std::time::Instant;

use session::Refusal;
use sip::{Body, CallError, DialogHandle, Headers, StatusCode};

use super::{Call, End, Exchange, Place};
use crate::B2bua;

/// An answer in a provisional response.
#[derive(Clone, Copy)]
pub(crate) struct EarlyAnswer {
    pub(super) branch: usize,
    pub(super) dialog: DialogHandle,
    /// The response was reliable: the 2xx of this dialog brings no other.
    pub(super) is_final: bool,
}

impl B2bua {
    /// The caller hears that it rings, with the answer that the session wrote.
    pub(super) fn ring_with(
        &mut self,
        now: Instant,
        call: &mut Call,
        early: EarlyAnswer,
        status: StatusCode,
        headers: &Headers,
        sdp: Result<Vec<u8>, Refusal>,
    ) {
        if call.ended || call.winner.is_some() {
            return;
        }
        let body = sdp.ok().and_then(|sdp| self.secure(now, call, Place::Caller, sdp));
        let (leg, had_agreed) = (call.caller.leg, self.caller_has_agreed(call));
        let rung = if early.is_final && call.groups_left == 0 && self.rings_alone(call, early.branch) {
            self.ua.ring_reliably(now, leg, status, body, headers)
        } else {
            self.ua.ring(now, leg, status, body, headers)
        };
        if rung.is_err() {
            // Without early media it rings all the same.
            let _ = self.ua.ring(now, leg, status, None, headers);
        }
        if !had_agreed && self.caller_has_agreed(call) && self.ua.dialog(early.dialog).is_some() {
            let tag = self.tag_of(early.branch, early.dialog);
            if let Some(branch) = call.branches.get_mut(early.branch) {
                (branch.dialog, branch.tag) = (Some(early.dialog), tag);
                call.early = Some(early.branch);
            }
        }
    }

    /// Whether the caller's offer is answered: by a 2xx, or by a reliable provisional response.
    pub(super) fn caller_has_agreed(&self, call: &Call) -> bool {
        let negotiation = call.caller.dialog.and_then(|dialog| self.ua.negotiation(dialog));
        negotiation.is_some_and(|negotiation| negotiation.agreed().is_some())
    }

    /// Whether this branch is all that rings: no other one does, and nobody behind it has forked the call.
    fn rings_alone(&self, call: &Call, index: usize) -> bool {
        let leg = call.branches.get(index).and_then(|branch| branch.leg);
        leg.is_some_and(|leg| self.ua.dialogs_of(leg).len() == 1)
            && call.branches.iter().enumerate().all(|(other, branch)| other == index || branch.over)
    }

    /// Whether an offer in this dialog of this end is taken at this moment.
    pub(super) fn may_offer(&self, call: &Call, end: End, dialog: DialogHandle) -> bool {
        let is_early = || call.early.is_some_and(|branch| self.rings_alone(call, branch));
        !call.ended && self.dialog_at(call, end) == Some(dialog) && (call.caller.accepted || is_early())
    }

    /// Before the call is answered an offer reaches the other end by UPDATE alone; the headers say that it takes none.
    pub(super) fn check_reach(&self, call: &Call, from: End) -> Result<(), Headers> {
        let other = self.dialog_at(call, from.other()).filter(|_| !call.caller.accepted);
        if other.is_some_and(|other| !self.ua.takes_update(other)) {
            return Err(self.warning(399, "the other party takes no offer before the call is answered"));
        }
        Ok(())
    }

    /// By re-INVITE, as RFC 3311 §5.1 recommends, or by UPDATE where that cannot be yet.
    pub(super) fn send_offer(&mut self, now: Instant, to: DialogHandle, body: Body) -> Result<(), CallError> {
        if self.is_confirmed(to) { self.ua.reinvite(now, to, Some(body)) } else { self.ua.update(now, to, body) }
    }

    pub(super) fn is_confirmed(&self, dialog: DialogHandle) -> bool {
        self.ua.dialog(dialog).is_some_and(sip::Dialog::is_confirmed)
    }

    /// The early dialog that the caller has agreed with has ended.
    pub(super) fn early_dialog_ended(&mut self, now: Instant, call: &mut Call, dialog: DialogHandle) {
        if self.dialog_at(call, End::Called) == Some(dialog) {
            self.leave_early(now, call);
        }
    }

    /// The caller has agreed with a dialog that is not the one that has answered, or is over: what is open between them ends.
    pub(super) fn leave_early(&mut self, now: Instant, call: &mut Call) {
        if call.early.is_none() {
            return;
        }
        if let Some(Exchange::Forwarded { from, .. }) = call.exchange {
            self.withdraw(call);
            call.exchange = match from {
                End::Caller => None,
                End::Called => Some(Exchange::Orphaned { to: End::Caller }),
            };
            if let Some(dialog) = self.dialog_at(call, from) {
                self.refuse_offer(now, dialog, StatusCode::REQUEST_PENDING, &Headers::new());
            }
        }
        if let Some(branch) = call.early.take().and_then(|index| call.branches.get_mut(index)) {
            branch.dialog = None;
        }
    }
}
