//! Attended transfers (RFC 5589 §7): one party has a call each with two others, and refers us in one of them to the other (Replaces,
//! RFC 3891). Both calls are ours, so that nobody has to call anybody: the two others become the ends of one call.
//!
//! ```text
//! REFER of X in X–Y, Replaces X–Z ─► 202, NOTIFY 100 ─► re-INVITE to Z with what Y last said
//!          ├─► answered: NOTIFY 200, BYE to X in both calls, offer to Y; X–Y is Y–Z, and X–Z is over
//!          └─► refused, or Y hangs up: NOTIFY, and Z is in its old call as before, or is told of its end
//! ```
//!
//! Meanwhile the dialog with Z belongs to X–Y, and X–Z has nobody at that end: its offers get 491, and its end ends nobody.

use std::time::Instant;

use session::{Negotiation, Refusal, Request as SessionRequest};
use sip::{Body, DialogHandle, Reason, Replaces, StatusCode, Target};

use super::{Branch, Call, CallNumber, End, OwnOffer, Place, Spec, Then};
use crate::headers;
use crate::routes::Caller;
use crate::{B2bua, EndedBy, policy};

/// Where a dialog was before it was lent.
#[derive(Clone, Copy)]
pub(super) struct Lender {
    call: CallNumber,
    end: End,
}

impl B2bua {
    /// The dialog that a Replaces names, if it is one of the same party in another call of ours, at whose other end somebody can be
    /// offered something. To know its Call-ID and tags proves nothing (RFC 3891 §5).
    pub(super) fn consider_join(
        &mut self,
        call: &mut Call,
        place: Place,
        replaces: &str,
    ) -> Result<(usize, Lender), StatusCode> {
        let replaces = Replaces::parse(replaces).ok_or(StatusCode::BAD_REQUEST)?;
        let named = self.ua.find_dialog(&replaces).filter(|_| !replaces.early_only).ok_or(StatusCode::DECLINE)?;
        let who = self.party(call, place).ok_or(StatusCode::FORBIDDEN)?;
        let &(number, at) = self.by_dialog.get(&named).ok_or(StatusCode::DECLINE)?;
        let other = self.calls.get(&number).filter(|other| self.party(other, at).as_ref() == Some(&who));
        let other = other.filter(|other| other.caller.accepted && !other.ended && !other.echo);
        let other = other.ok_or(StatusCode::DECLINE)?;
        let own = other.end_of(at).filter(|own| self.dialog_at(other, *own) == Some(named));
        let end = own.ok_or(StatusCode::DECLINE)?.other();
        let is_quiet = other.transfer.is_none() && other.exchange.is_none() && other.busy.is_none();
        let dialog = self.dialog_at(other, end).filter(|dialog| is_quiet && self.ua.can_offer(*dialog));
        let dialog = dialog.ok_or(StatusCode::REQUEST_PENDING)?;
        let spec = self.spec_of(other, end).ok_or(StatusCode::DECLINE)?;
        let flow = other.flow(end);
        let lender = Lender { call: number, end };
        Ok((self.borrow(call, lender, dialog, spec, flow), lender))
    }

    /// Whom one end of an answered call is.
    fn spec_of(&self, call: &Call, end: End) -> Option<Spec> {
        if end == End::Called {
            return call.called_branch().map(|branch| branch.spec.clone());
        }
        let from = call.request.headers.from().ok()?.uri;
        let (user, trunk) = match call.who.clone() {
            Some(Caller::User(user)) => (Some(user), None),
            Some(Caller::Trunk(trunk)) => (None, Some(trunk)),
            None => (None, None),
        };
        let policy = call.caller.policy.clone();
        Some(Spec { uri: from.clone(), target: None, policy, trunk, address: headers::bare(&from), user })
    }

    /// Takes the dialog out of the other call, and makes it a branch of this one.
    fn borrow(&mut self, call: &mut Call, lender: Lender, dialog: DialogHandle, spec: Spec, flow: sip::Flow) -> usize {
        let index = call.branches.len();
        let place = Place::Branch(index);
        let tag = self.tag_of(index, dialog);
        let call_id = self.ua.dialog(dialog).map(|dialog| dialog.id().call_id.clone()).unwrap_or_default();
        let target = Target { flow, sent_by: headers::sent_by(&self.config, &flow) };
        if let Some(other) = self.calls.get_mut(&lender.call) {
            let from = other.place_of(lender.end);
            *call.secured.at(place) = other.secured.at(from).lent();
            *other.dialog_slot(lender.end) = None;
            other.lent = Some((lender.end, dialog));
            self.touched.insert(lender.call);
        }
        if let Some(party) = spec.party() {
            self.takes_part(call, party);
        }
        call.branches.push(Branch { dialog: Some(dialog), tag, call_id, target: Some(target), ..Branch::new(spec, 0) });
        self.by_dialog.insert(dialog, (call.number, place));
        call.dialogs.push(dialog);
        index
    }

    /// Offers the borrowed dialog what the end that stays has said.
    pub(super) fn offer_to_join(&mut self, now: Instant, call: &mut Call, index: usize) {
        let offer = call.branches.get(index).and_then(|branch| branch.offer.clone());
        let dialog = call.branches.get(index).and_then(|branch| branch.dialog);
        let body = offer.and_then(|offer| self.secure(now, call, Place::Branch(index), offer));
        let sent = body.zip(dialog).is_some_and(|(body, dialog)| self.ua.reinvite(now, dialog, Some(body)).is_ok());
        if !sent {
            self.join_failed(now, call, StatusCode::NOT_ACCEPTABLE_HERE, false);
        }
    }

    /// The party of the borrowed dialog has answered.
    pub(super) fn join_answered(&mut self, now: Instant, call: &mut Call, index: usize, body: &Body) {
        let Some(stays) = call.transfer.as_ref().map(|transfer| transfer.stays()) else { return };
        let Ok(sdp) = self.open(now, call, Place::Branch(index), body) else {
            return self.join_failed(now, call, StatusCode::NOT_ACCEPTABLE_HERE, true);
        };
        let Some(branch) = call.branches.get(index) else { return };
        let answer = Negotiation {
            call_id: call.session.clone(),
            from_tag: call.tag(stays),
            to_tag: Some(branch.tag.clone()),
            via_branch: Some(Branch::via(index)),
            sdp,
            received_from: branch.flow().map(|flow| flow.peer.ip()),
            options: policy::answer(branch.side(), call.side(stays), self.notes_cleartext()),
        };
        self.await_reply(call, SessionRequest::Answer(Box::new(answer)), Then::Join { branch: index });
    }

    /// The session has joined both, or has not.
    pub(super) fn joined(&mut self, now: Instant, call: &mut Call, index: usize, sdp: Result<Vec<u8>, Refusal>) {
        let lender = call.transfer.as_ref().and_then(|transfer| transfer.lender);
        // The call has ended meanwhile, and has given back what it had borrowed.
        let Some(lender) = lender else { return };
        if let Err(refusal) = &sdp {
            let (status, _) = self.refusal(refusal);
            return self.join_failed(now, call, status, true);
        }
        let Some(branch) = call.branches.get_mut(index) else { return };
        branch.leg = branch.dialog.and_then(|dialog| self.ua.leg_of(dialog));
        branch.status = Some(StatusCode::OK);
        call.legs.extend(branch.leg);
        self.transferred(now, call, index, sdp);
        self.with(now, lender.call, |own, other| {
            let reason = Reason::sip(StatusCode::OK, "transferred");
            other.lent = None;
            other.ends_by(EndedBy::Transfer);
            own.end(now, other, "joined with another call", Some(reason));
        });
    }

    /// It comes to nothing: whoever referred us is told so. With `agreed` the party of the dialog has taken an offer that is void, and
    /// is offered the old one again.
    pub(super) fn join_failed(&mut self, now: Instant, call: &mut Call, status: StatusCode, agreed: bool) {
        self.give_back(now, call, agreed);
        let response = call.request.respond(status);
        self.transfer_failed(now, call, &response);
    }

    /// The dialog goes back to its call; if that is over, so is the dialog.
    pub(super) fn give_back(&mut self, now: Instant, call: &mut Call, agreed: bool) {
        let Some((index, lender)) = call.transfer.as_mut().and_then(|own| Some((own.branch, own.lender.take()?)))
        else {
            return;
        };
        let secured = std::mem::take(call.secured.at(Place::Branch(index)));
        let Some(branch) = call.branches.get_mut(index) else { return };
        branch.over = true;
        let Some(dialog) = branch.dialog.take().filter(|dialog| self.ua.dialog(*dialog).is_some()) else {
            // Its party has hung up: nobody is left in its old call.
            let why = "the other party hung up while it was transferred";
            let by = if lender.end == End::Caller { EndedBy::Caller } else { EndedBy::Called };
            return self.with(now, lender.call, |own, other| {
                other.lent = None;
                other.ends_by(by);
                own.end(now, other, why, None);
            });
        };
        match self.calls.get_mut(&lender.call).filter(|other| !other.ended) {
            Some(other) => {
                let place = other.place_of(lender.end);
                *other.dialog_slot(lender.end) = Some(dialog);
                other.lent = None;
                *other.secured.at(place) = secured;
                if agreed {
                    other.own_offers.push_back(OwnOffer::Repair(lender.end));
                }
                self.by_dialog.insert(dialog, (lender.call, place));
                self.with(now, lender.call, |_, _| {});
            }
            None => {
                self.by_dialog.remove(&dialog);
                let _ = self.ua.bye(now, dialog, None);
            }
        }
    }
}

impl Call {
    /// Where the dialog of one end of an answered call is kept.
    fn dialog_slot(&mut self, end: End) -> &mut Option<DialogHandle> {
        let called = self.called().filter(|_| end == End::Called);
        match called.and_then(|index| self.branches.get_mut(index)) {
            Some(branch) => &mut branch.dialog,
            None => &mut self.caller.dialog,
        }
    }

    /// The call that has lent a dialog to this one.
    pub(super) fn lender(&self) -> Option<CallNumber> {
        self.transfer.as_ref()?.lender.map(|lender| lender.call)
    }

    /// Whether this branch is a dialog that another call has lent for a transfer.
    pub(super) fn is_borrowed(&self, place: Place) -> Option<usize> {
        let transfer = self.transfer.as_ref().filter(|transfer| transfer.lender.is_some())?;
        (place == Place::Branch(transfer.branch)).then_some(transfer.branch)
    }
}
