//! Blind transfers (RFC 3515, RFC 5589 §6): one end refers us to somebody, whom we call and join with the other end. For attended ones
//! see [`super::join`].
//!
//! ```text
//! REFER of X ─► 202, NOTIFY 100 ─► INVITE to the target with what Y last said ─► answered: NOTIFY 200, BYE to X, offer to Y
//!                                                                            └──► failed: NOTIFY, and X and Y go on
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use session::{Delete, Negotiation, Refusal, Request as SessionRequest};
use sip::{
    Body, Description, DialogHandle, Headers, Method, NameAddr, Reason, Request, Response, ServerId, StatusCode, Uri,
    name,
};

use super::join::Lender;
use super::{Branch, Call, End, OwnOffer, Place, Spec, Then};
use crate::policy;
use crate::routes;
use crate::{B2bua, EndedBy, Refer, description};

/// Branches that a call may have had; beyond, it is not transferred any more.
const MAX_BRANCHES: usize = 64;

/// A transfer under way.
pub(crate) struct Transfer {
    /// Who referred us.
    from: End,
    /// It has hung up meanwhile.
    gone: bool,
    /// The branch of the target.
    pub(super) branch: usize,
    /// It has rung long enough then.
    gives_up_at: Instant,
    /// Where else the target may be.
    others: VecDeque<Spec>,
    /// The call that has lent the target's dialog, where there is one.
    pub(super) lender: Option<Lender>,
    /// What the target's INVITE carries on: in the name of the end that stays.
    pub(super) request: Request,
}

impl Transfer {
    /// One that a process before this one began, with nobody else to call.
    pub(super) fn resumed(from: End, branch: usize, request: Request, now: Instant) -> Self {
        Self { from, gone: false, branch, gives_up_at: now, others: VecDeque::new(), lender: None, request }
    }

    pub(super) fn stays(&self) -> End {
        self.from.other()
    }
}

impl B2bua {
    /// Answers a REFER, and begins what it asks for.
    pub(super) fn referred(&mut self, now: Instant, call: &mut Call, place: Place, server: ServerId, refer: &Request) {
        let status = match self.consider_transfer(now, call, place, refer) {
            Ok(()) => StatusCode::ACCEPTED,
            Err(status) => status,
        };
        let _ = self.ua.respond(now, server, refer.respond(status));
        if call.transfer.is_some() && status == StatusCode::ACCEPTED {
            self.notify(now, call, StatusCode::TRYING);
            match call.transfer.as_ref().and_then(|transfer| transfer.lender.map(|_| transfer.branch)) {
                Some(index) => self.ask_offer_of_transfer(now, call, index),
                None => self.try_next_spec(now, call),
            }
        }
    }

    fn consider_transfer(
        &mut self,
        now: Instant,
        call: &mut Call,
        place: Place,
        refer: &Request,
    ) -> Result<(), StatusCode> {
        let from = call.end_of(place).filter(|_| call.caller.accepted && !call.ended && !call.echo);
        let from = from.ok_or(StatusCode::REQUEST_PENDING)?;
        if self.config.refer != Refer::Blind {
            return Err(StatusCode::FORBIDDEN);
        }
        if call.transfer.is_some() || call.exchange.is_some() {
            return Err(StatusCode::REQUEST_PENDING);
        }
        let to = refer.headers.refer_to().map_err(sip::Fault::status)?;
        let Uri::Sip(uri) = &to.uri else { return Err(StatusCode::UNSUPPORTED_URI_SCHEME) };
        let is_invite = uri.param("method").is_none_or(|method| method == "INVITE");
        if !is_invite || call.branches.len() >= MAX_BRANCHES {
            return Err(StatusCode::DECLINE);
        }
        let gives_up_at = now + self.config.max_ring_time;
        let mut transfer = Transfer {
            from,
            gone: false,
            branch: usize::MAX,
            gives_up_at,
            others: VecDeque::new(),
            lender: None,
            request: call.request.clone(),
        };
        if let Some(replaces) = uri.header(name::REPLACES) {
            let (branch, lender) = self.consider_join(call, place, &replaces)?;
            (transfer.branch, transfer.lender) = (branch, Some(lender));
            call.transfer = Some(transfer);
            return Ok(());
        }
        // Whoever refers us pays: its routes are asked. Who is neither a user nor a trunk has none.
        let who = self.party(call, place).ok_or(StatusCode::FORBIDDEN)?;
        let user = uri.user_unescaped().unwrap_or_default();
        let route = routes::find(&self.config, &who, &user).ok_or(StatusCode::NOT_FOUND)?.to.clone();
        let groups = self.targets(&route, &user).map_err(|_| StatusCode::NOT_FOUND)?;
        if from == End::Caller
            && let Ok(called) = call.request.headers.to()
        {
            transfer.request.headers.set(name::FROM, NameAddr::new(called.uri).with_tag("stays"));
        }
        transfer.others = groups.into_iter().flatten().collect();
        call.transfer = Some(transfer);
        self.wake(call, gives_up_at);
        Ok(())
    }

    fn try_next_spec(&mut self, now: Instant, call: &mut Call) {
        let next = call.transfer.as_mut().and_then(|transfer| transfer.others.pop_front());
        let Some(spec) = next else {
            let response = call.request.respond(StatusCode::TEMPORARILY_UNAVAILABLE);
            return self.transfer_failed(now, call, &response);
        };
        let branch = call.branches.len();
        if let Some(transfer) = &mut call.transfer {
            transfer.branch = branch;
        }
        self.start_branch(call, sip::BranchId(branch), spec, sip::DEFAULT_MAX_BREADTH);
    }

    /// The session writes what the end that stays offers to the target.
    pub(super) fn ask_offer_of_transfer(&mut self, now: Instant, call: &mut Call, index: usize) {
        if let Some(offer) = self.offer_of_transfer(call, index) {
            return self.await_reply(call, SessionRequest::Offer(Box::new(offer)), Then::Invite { branch: index });
        }
        let status = StatusCode::SERVER_INTERNAL_ERROR;
        if call.is_borrowed(Place::Branch(index)).is_some() {
            return self.join_failed(now, call, status, false);
        }
        let response = call.request.respond(status);
        self.give_up_branch(now, call, index, response);
    }

    /// What the end that stays offers to the target.
    pub(super) fn offer_of_transfer(&self, call: &Call, index: usize) -> Option<Negotiation> {
        let stays = call.transfer.as_ref().filter(|transfer| transfer.branch == index)?.stays();
        let dialog = self.dialog_at(call, stays)?;
        let sdp = description::without_hold(&call.described(call.place_of(stays), self.last_said(dialog)?)?);
        let branch = call.branches.get(index)?;
        let options = policy::offer(call.side(stays), branch.side(), description::is_secure(&sdp));
        Some(Negotiation {
            call_id: call.session.clone(),
            from_tag: call.tag(stays),
            to_tag: None,
            via_branch: Some(Branch::via(index)),
            sdp,
            received_from: Some(call.flow(stays).peer.ip()),
            options,
        })
    }

    /// The target has answered.
    pub(super) fn target_answered(
        &mut self,
        now: Instant,
        call: &mut Call,
        index: usize,
        dialog: DialogHandle,
        description: Option<Description>,
    ) {
        let tag = self.tag_of(index, dialog);
        let Some(stays) = call.transfer.as_ref().map(Transfer::stays) else { return };
        let agreed = self.last_said(dialog).cloned();
        let Some(branch) = call.branches.get_mut(index) else { return };
        branch.dialog = Some(dialog);
        branch.status = Some(StatusCode::OK);
        branch.tag.clone_from(&tag);
        let body = match (description, agreed) {
            (Some(Description::Answer(body)), _) | (None, Some(body)) => Some(body),
            _ => None,
        };
        let Some(body) = body else {
            return self.release_branch(now, call, index, StatusCode::NOT_ACCEPTABLE_HERE);
        };
        let sdp = match self.open(now, call, Place::Branch(index), &body) {
            Ok(sdp) => sdp,
            Err(unopened) => return self.release_unopened(now, call, index, &unopened),
        };
        let answer = Negotiation {
            call_id: call.session.clone(),
            from_tag: call.tag(stays),
            to_tag: Some(tag),
            via_branch: Some(Branch::via(index)),
            sdp,
            received_from: call.branches.get(index).and_then(Branch::flow).map(|flow| flow.peer.ip()),
            options: policy::answer(call.branch_side(index), call.side(stays), self.notes_cleartext()),
        };
        self.await_reply(call, SessionRequest::Answer(Box::new(answer)), Then::Transfer { branch: index });
    }

    /// The session has joined the target with the end that stays: the target takes the place of the end that referred us.
    pub(super) fn transferred(&mut self, now: Instant, call: &mut Call, index: usize, sdp: Result<Vec<u8>, Refusal>) {
        if let Err(refusal) = sdp {
            let (status, _) = self.refusal(&refusal);
            return self.release_branch(now, call, index, status);
        }
        if call.ended {
            return self.release_branch(now, call, index, StatusCode::REQUEST_TERMINATED);
        }
        self.notify(now, call, StatusCode::OK);
        let Some(Transfer { from, gone, .. }) = call.transfer.take() else { return };
        self.counters.transfers += 1;
        call.transfers = call.transfers.saturating_add(1);
        if let Some(dialog) = self.dialog_at(call, from).filter(|_| !gone) {
            let _ = self.ua.bye(now, dialog, Some(Reason::sip(StatusCode::OK, "transferred")));
            self.by_dialog.remove(&dialog);
        }
        call.out_of_reach.retain(|end| *end != from);
        let party = self.party(call, Place::Branch(index));
        let Some(branch) = call.branches.get_mut(index) else { return };
        branch.over = true;
        match from {
            End::Called => {
                let before = call.winner.replace(index);
                if let Some(before) = before {
                    self.delete_branch(call, before);
                }
            }
            End::Caller => {
                let (Some(leg), Some(dialog)) = (branch.leg, branch.dialog.take()) else { return };
                let flow = branch.flow().copied().unwrap_or(call.caller.flow);
                let (policy, tag) = (branch.spec.policy.clone(), branch.tag.clone());
                call.who = party;
                call.caller =
                    super::CallerLeg { leg, dialog: Some(dialog), flow, policy, tag, over: false, accepted: true };
                call.secured.take_callers_place(index);
                self.by_leg.insert(leg, (call.number, Place::Caller));
                self.by_dialog.insert(dialog, (call.number, Place::Caller));
            }
        }
        // It is told what the target has said.
        call.own_offers.push_back(OwnOffer::Repair(from.other()));
    }

    /// A branch of a transfer has come to nothing.
    pub(super) fn transfer_failed(&mut self, now: Instant, call: &mut Call, response: &Response) {
        if let Some(index) = call.transfer.as_ref().map(|transfer| transfer.branch) {
            self.delete_branch(call, index);
        }
        if !call.ended && call.transfer.as_ref().is_some_and(|transfer| !transfer.others.is_empty()) {
            return self.try_next_spec(now, call);
        }
        self.notify(now, call, response.status());
        let gone = call.transfer.take().is_some_and(|transfer| transfer.gone);
        if gone && !call.ended {
            call.ends_by(EndedBy::Transfer);
            self.end(now, call, "the transfer failed, and its author has hung up", None);
        }
    }

    /// The target has rung long enough, if the time has come.
    pub(super) fn transfer_rung_long(&mut self, now: Instant, call: &mut Call) {
        let Some(transfer) = call.transfer.as_mut().filter(|transfer| transfer.gives_up_at <= now) else { return };
        transfer.others.clear();
        let leg = call.branches.get(transfer.branch).and_then(|branch| branch.leg);
        // It fails then, and with it the transfer. Without a leg it is still being located, which ends by itself.
        if let Some(leg) = leg {
            let _ = self.ua.cancel(now, leg, None);
        }
    }

    /// Who referred us hangs up before the target has answered: the other end waits.
    pub(super) fn leaves_for_transfer(&mut self, call: &mut Call, end: End) -> bool {
        let Some(transfer) = call.transfer.as_mut().filter(|transfer| transfer.from == end) else { return false };
        transfer.gone = true;
        true
    }

    /// The call ends while its transfer is under way.
    pub(super) fn end_transfer(&mut self, now: Instant, call: &mut Call) {
        self.give_back(now, call, true);
        let Some(transfer) = call.transfer.take() else { return };
        let Some(branch) = call.branches.get_mut(transfer.branch) else { return };
        match branch.leg {
            // Its end comes by itself.
            Some(leg) if !branch.over => drop(self.ua.cancel(now, leg, None)),
            _ => branch.over = true,
        }
    }

    fn notify(&mut self, now: Instant, call: &Call, status: StatusCode) {
        let Some(transfer) = call.transfer.as_ref().filter(|transfer| !transfer.gone) else { return };
        let Some(dialog) = self.dialog_at(call, transfer.from) else { return };
        let mut headers = Headers::new();
        headers.push(name::EVENT, "refer");
        let state = if status.is_final() { "terminated;reason=noresource" } else { "active;expires=180" };
        headers.push("Subscription-State", state);
        let text = format!("SIP/2.0 {status} {}\r\n", status.reason());
        let body = Body { content_type: "message/sipfrag;version=2.0".into(), bytes: text.into_bytes() };
        let _ = self.ua.send(now, dialog, Method::Notify, Some(body), &headers);
    }

    /// The session forgets what it wrote for a branch.
    pub(super) fn delete_branch(&mut self, call: &mut Call, index: usize) {
        let known = call.branches.get_mut(index).is_some_and(|branch| std::mem::take(&mut branch.offered));
        if known {
            self.ask(SessionRequest::Delete(Delete {
                call_id: call.session.clone(),
                via_branch: Some(Branch::via(index)),
                delay: Some(std::time::Duration::ZERO),
                fast: true,
                ..Delete::default()
            }));
        }
    }
}
