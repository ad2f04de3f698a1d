//! Branches: where they are, what they are offered, and how they end.

use std::collections::VecDeque;
use std::time::Instant;

use session::{Negotiation, Request as SessionRequest};
use sip::{
    Body, BranchId, Description, DialogHandle, DigestPolicy, DigestSession, ForkAction, Headers, Reason, Request,
    Response, StatusCode, Target, name, next_attempt,
};

use super::early::EarlyAnswer;
use super::incoming::is_sips;
use super::{Branch, Call, End, Place, Spec, Then};
use crate::headers::{self, Invitation};
use crate::routes::Caller;
use crate::{B2bua, EndedBy, Fact, description, policy};

impl B2bua {
    /// Does what the fork wants.
    pub(crate) fn perform(&mut self, now: Instant, call: &mut Call, actions: Vec<ForkAction<Spec>>) {
        let mut actions = VecDeque::from(actions);
        let mut starts = false;
        while let Some(action) = actions.pop_front() {
            match action {
                ForkAction::Start { branch, target, max_breadth } => {
                    if !std::mem::replace(&mut starts, true) {
                        call.groups_left = call.groups_left.saturating_sub(1);
                        let ring_time = Some(self.config.ring_time).filter(|_| call.groups_left > 0);
                        let next = ring_time.map_or(call.gives_up_at, |time| call.gives_up_at.min(now + time));
                        self.wake(call, next);
                    }
                    self.start_branch(call, branch, target, max_breadth);
                }
                ForkAction::Cancel { branch, reason } => {
                    let Some(own) = call.branches.get_mut(branch.0) else { continue };
                    match own.leg {
                        // Where this fails, its end is on its way.
                        Some(leg) => drop(self.ua.cancel(now, leg, reason)),
                        None if !own.over => {
                            own.over = true;
                            let response = call.request.respond(StatusCode::REQUEST_TERMINATED);
                            actions.extend(call.fork.handle_failure(branch, response));
                        }
                        None => {}
                    }
                }
                ForkAction::Answer { branch } => self.win(now, call, branch.0),
                ForkAction::Release { branch } => {
                    if let Some(dialog) = call.branches.get_mut(branch.0).and_then(|branch| branch.dialog.take()) {
                        let _ = self.ua.bye(now, dialog, None);
                    }
                }
                ForkAction::Fail(response) => {
                    let own_word = response.headers.to().is_ok_and(|to| to.tag().is_none());
                    call.ends_by(match response.status() {
                        StatusCode::REQUEST_TIMEOUT if own_word => EndedBy::Timeout,
                        _ if own_word => EndedBy::Server,
                        _ => EndedBy::Called,
                    });
                    let (status, headers) = self.failure_for_caller(&response);
                    self.refuse_caller(now, call, status, &headers);
                    self.delete(call);
                }
            }
        }
    }

    pub(super) fn start_branch(&mut self, call: &mut Call, branch: BranchId, spec: Spec, max_breadth: u32) {
        match spec.target.clone() {
            Some(target) => call.queue.push_back(super::Job::Located { branch: branch.0, targets: Ok(vec![target]) }),
            None => self.locate(call.number, branch.0, spec.uri.clone()),
        }
        if let Some(party) = spec.party() {
            self.takes_part(call, party);
        }
        call.branches.push(Branch::new(spec, max_breadth));
    }

    pub(super) fn located(
        &mut self,
        now: Instant,
        call: &mut Call,
        index: usize,
        targets: Result<Vec<Target>, String>,
    ) {
        let Some(branch) = call.branches.get(index).filter(|branch| !branch.over) else { return };
        if let Some(party) = branch.spec.party()
            && !self.has_room(&party, call.share_of(&party))
        {
            call.why = "the called party has as many calls as it may have".to_owned();
            let response = match party {
                Caller::User(_) => call.request.respond(StatusCode::BUSY_HERE),
                Caller::Trunk(_) => {
                    let mut response = call.request.respond(StatusCode::TEMPORARILY_UNAVAILABLE);
                    response.headers.extend(&self.retry_after());
                    response
                }
            };
            return self.give_up_branch(now, call, index, response);
        }
        let Some(branch) = call.branches.get_mut(index) else { return };
        match targets {
            Ok(targets) => branch.targets = targets.into(),
            Err(why) => call.why = why,
        }
        self.try_next_target(now, call, index);
    }

    /// Offers to the branch where it is next.
    fn try_next_target(&mut self, now: Instant, call: &mut Call, index: usize) {
        let Some(branch) = call.branches.get_mut(index) else { return };
        let Some(target) = branch.targets.pop_front() else {
            let response = call.request.respond(StatusCode::SERVICE_UNAVAILABLE);
            return self.give_up_branch(now, call, index, response);
        };
        let (flow, uri) = (target.flow, branch.spec.uri.clone());
        branch.target = Some(target);
        if let Err((code, why)) = self.check_sips(call, index, &flow, &uri) {
            let mut response = call.request.respond(StatusCode::TEMPORARILY_UNAVAILABLE);
            response.headers.extend(&self.warning(code, why));
            return self.give_up_branch(now, call, index, response);
        }
        let Some(branch) = call.branches.get(index) else { return };
        if branch.offer.is_some() {
            return self.invite(now, call, index);
        }
        if call.is_target(index) {
            return self.ask_offer_of_transfer(now, call, index);
        }
        let Some(sdp) = call.offer.clone() else { return self.invite(now, call, index) };
        let is_secure = description::is_secure(&sdp);
        let from = call.side(End::Caller);
        let to = branch.side();
        let options = policy::offer(from, to, is_secure);
        if policy::offers_sdes(to, is_secure)
            && let Err(headers) = self.check_cleartext(&flow)
        {
            let mut response = call.request.respond(StatusCode::NOT_ACCEPTABLE_HERE);
            response.headers.extend(&headers);
            return self.give_up_branch(now, call, index, response);
        }
        let offer = Negotiation {
            call_id: call.session.clone(),
            from_tag: call.caller.tag.clone(),
            to_tag: None,
            via_branch: Some(Branch::via(index)),
            sdp,
            received_from: Some(call.caller.flow.peer.ip()),
            options,
        };
        self.await_reply(call, SessionRequest::Offer(Box::new(offer)), Then::Invite { branch: index });
    }

    /// Calls the branch, with our offer if there is one.
    pub(super) fn invite(&mut self, now: Instant, call: &mut Call, index: usize) {
        let (call_id, tag) = (self.ua.token(), self.ua.token());
        let Some(branch) = call.branches.get_mut(index) else { return };
        let Some(target) = branch.target.clone() else { return };
        branch.call_id = call_id;
        let secure = is_sips(&branch.spec.uri);
        let invitation = Invitation {
            config: &self.config,
            caller: call.transfer.as_ref().map_or(&call.request, |transfer| &transfer.request),
            uri: branch.spec.uri.clone(),
            call_id: &branch.call_id,
            tag: &tag,
            contact: headers::contact(&target.sent_by, target.flow.transport, secure),
            max_forwards: call.max_forwards,
            max_breadth: branch.max_breadth,
        };
        let mut request = invitation.request();
        let offer = branch.offer.clone();
        Self::learn_addresses(call, index, &request);
        match offer.map(|offer| self.secure(now, call, Place::Branch(index), offer)) {
            Some(Some(body)) => request.set_body(Some(&body.content_type), body.bytes),
            Some(None) => {
                let mut response = call.request.respond(StatusCode::NOT_ACCEPTABLE_HERE);
                response.headers.extend(&self.warning(399, &call.why));
                return self.give_up_branch(now, call, index, response);
            }
            // Its offer shall come in its 200: there is nobody yet to answer one in a reliable provisional response.
            None => request.headers.push(name::SUPPORTED, "timer"),
        }
        if self.config.relay_challenges {
            request.headers.copy(&call.request.headers, name::PROXY_AUTHORIZATION);
        }
        self.send_invite(now, call, index, request, target);
    }

    fn send_invite(&mut self, now: Instant, call: &mut Call, index: usize, request: Request, target: Target) {
        match self.ua.invite_onward(now, request, target, Some(&call.loop_token)) {
            Ok(leg) => {
                self.by_leg.insert(leg, (call.number, Place::Branch(index)));
                call.legs.push(leg);
                if let Some(branch) = call.branches.get_mut(index) {
                    branch.leg = Some(leg);
                }
            }
            Err(error) => {
                call.why = error.to_string();
                let response = call.request.respond(StatusCode::SERVICE_UNAVAILABLE);
                self.give_up_branch(now, call, index, response);
            }
        }
    }

    /// The fork hears that a branch has failed.
    pub(super) fn give_up_branch(&mut self, now: Instant, call: &mut Call, index: usize, response: Response) {
        let Some(branch) = call.branches.get_mut(index) else { return };
        branch.over = true;
        branch.leg = None;
        if call.is_target(index) {
            return self.transfer_failed(now, call, &response);
        }
        let actions = call.fork.handle_failure(BranchId(index), response);
        self.perform(now, call, actions);
    }

    /// A final response that is no 2xx: once more with credentials, or to the next address, or it was that.
    pub(super) fn branch_failed(
        &mut self,
        now: Instant,
        call: &mut Call,
        index: usize,
        response: Response,
        request: Request,
    ) {
        let Some(branch) = call.branches.get_mut(index).filter(|branch| !branch.over) else { return };
        branch.leg = None;
        let status = response.status();
        branch.status = Some(status);
        let challenged = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        if !call.ended && challenged && branch.spec.trunk.is_some() {
            let mut next = request.clone();
            let target = branch.target.clone();
            if self.authorize(call, index, &mut next, &response)
                && let Some(target) = target
            {
                return self.send_invite(now, call, index, next_attempt(&next), target);
            }
        }
        // RFC 3263 §4.3: no answer at all (the user agent's own word has no To tag), or 503.
        let own_word = response.headers.to().is_ok_and(|to| to.tag().is_none());
        let unreachable =
            status == StatusCode::SERVICE_UNAVAILABLE || (own_word && status == StatusCode::REQUEST_TIMEOUT);
        let more = call.branches.get(index).is_some_and(|branch| !branch.targets.is_empty());
        if unreachable && more && !call.ended {
            return self.try_next_target(now, call, index);
        }
        self.give_up_branch(now, call, index, response);
    }

    /// Answers a challenge with the credentials that we have for the trunk.
    pub(super) fn authorize(
        &mut self,
        call: &mut Call,
        index: usize,
        request: &mut Request,
        response: &Response,
    ) -> bool {
        let seed = self.seed();
        let Some(branch) = call.branches.get_mut(index) else { return false };
        let Some(trunk) = branch.spec.trunk.as_deref().and_then(|name| self.config.trunk(name)) else { return false };
        let Some(account) = trunk.account.clone() else { return false };
        let digest = branch.digest.get_or_insert_with(|| DigestSession::new(DigestPolicy::default(), seed));
        match digest.answer(&[account], request, response) {
            Ok(()) => true,
            Err(error) => {
                let trunk = trunk.name.clone();
                self.tell(Fact::TrunkRejectsUs { trunk, why: error.to_string() });
                false
            }
        }
    }

    pub(super) fn progressed(
        &mut self,
        now: Instant,
        call: &mut Call,
        index: usize,
        dialog: Option<DialogHandle>,
        response: &Response,
        description: Option<Description>,
    ) {
        let status = response.status();
        if call.ended || call.winner.is_some() || status == StatusCode::EARLY_DIALOG_TERMINATED {
            return;
        }
        call.times.ringing.get_or_insert(self.secured.wall(now));
        let headers = headers::carried(&self.config, &response.headers);
        match (description, dialog) {
            (Some(description @ (Description::Answer(_) | Description::Preview(_))), Some(dialog))
                if call.offer.is_some() && call.early.is_none() =>
            {
                let is_final = matches!(description, Description::Answer(_));
                let (Description::Answer(body) | Description::Preview(body) | Description::Offer(body)) = description;
                let tag = self.tag_of(index, dialog);
                let early = EarlyAnswer { branch: index, dialog, is_final };
                let then = Then::Ring { early, status, headers };
                self.ask_answer(now, call, index, &tag, &body, then);
            }
            (Some(Description::Offer(_)), Some(dialog)) => {
                // We did not say that we know reliable responses.
                let _ = self.ua.refuse(now, dialog, StatusCode::NOT_ACCEPTABLE_HERE, &Headers::new());
            }
            _ => drop(self.ua.ring(now, call.caller.leg, status, None, &headers)),
        }
    }

    pub(super) fn answered(
        &mut self,
        now: Instant,
        call: &mut Call,
        index: usize,
        dialog: DialogHandle,
        description: Option<Description>,
    ) {
        if call.is_target(index) && !call.ended {
            return self.target_answered(now, call, index, dialog, description);
        }
        let tag = self.tag_of(index, dialog);
        let agreed = self.last_said(dialog).cloned();
        let is_agreed = call.early == Some(index) && self.dialog_at(call, End::Called) == Some(dialog);
        if !is_agreed {
            self.leave_early(now, call);
        }
        let Some(branch) = call.branches.get_mut(index) else { return };
        branch.dialog = Some(dialog);
        branch.status = Some(StatusCode::OK);
        if call.ended || call.winner.is_some() || branch.over {
            branch.over = true;
            let actions = call.fork.handle_success(BranchId(index));
            return self.perform(now, call, actions);
        }
        branch.tag.clone_from(&tag);
        if is_agreed {
            return self.branch_wins(now, call, index);
        }
        match (description, agreed) {
            (Some(Description::Offer(body)), _) if call.offer.is_none() => self.late_offer(now, call, index, &body),
            // What a reliable provisional response of this dialog has brought before counts again: it has won.
            (Some(Description::Answer(body)), _) | (None, Some(body)) if call.offer.is_some() => {
                self.ask_answer(now, call, index, &tag, &body, Then::Accept { branch: index });
            }
            _ => {
                call.why = "the called party left out its description".to_owned();
                self.release_branch(now, call, index, StatusCode::SERVER_INTERNAL_ERROR);
            }
        }
    }

    /// A branch that answered something that will not do.
    pub(super) fn release_branch(&mut self, now: Instant, call: &mut Call, index: usize, status: StatusCode) {
        let Some(branch) = call.branches.get_mut(index) else { return };
        if let Some(dialog) = branch.dialog.take() {
            // One with an open offer must be acknowledged with its refusal.
            if self.ua.refuse(now, dialog, status, &Headers::new()).is_err() {
                let _ = self.ua.bye(now, dialog, Some(Reason::sip(status, status.reason())));
            }
        }
        let response = call.request.respond(status);
        self.give_up_branch(now, call, index, response);
    }

    fn ask_answer(&mut self, now: Instant, call: &mut Call, index: usize, tag: &str, body: &Body, then: Then) {
        let sdp = match (self.open(now, call, Place::Branch(index), body), &then) {
            (Ok(sdp), _) => sdp,
            (Err(unopened), Then::Accept { .. }) => return self.release_unopened(now, call, index, &unopened),
            // Without early media it rings all the same.
            (Err(_), Then::Ring { status, headers, .. }) => {
                let _ = self.ua.ring(now, call.caller.leg, *status, None, headers);
                return;
            }
            (Err(_), _) => return,
        };
        let Some(branch) = call.branches.get(index) else { return };
        let to = call.side(End::Caller);
        let answer = Negotiation {
            call_id: call.session.clone(),
            from_tag: call.caller.tag.clone(),
            to_tag: Some(tag.to_owned()),
            via_branch: Some(Branch::via(index)),
            sdp,
            received_from: branch.flow().map(|flow| flow.peer.ip()),
            options: policy::answer(branch.side(), to, self.notes_cleartext()),
        };
        self.await_reply(call, SessionRequest::Answer(Box::new(answer)), then);
    }

    fn late_offer(&mut self, now: Instant, call: &mut Call, index: usize, body: &Body) {
        let sdp = match self.open(now, call, Place::Branch(index), body) {
            Ok(sdp) => sdp,
            Err(unopened) => return self.release_unopened(now, call, index, &unopened),
        };
        let Some(branch) = call.branches.get(index) else { return };
        let (from, to) = (branch.side(), call.side(End::Caller));
        let is_secure = description::is_secure(&sdp);
        let refused = branch.flow().is_some_and(|flow| self.check_offer(from, flow, &sdp).is_err());
        if refused || (policy::offers_sdes(to, is_secure) && self.check_cleartext(&call.caller.flow).is_err()) {
            return self.release_branch(now, call, index, StatusCode::NOT_ACCEPTABLE_HERE);
        }
        let offer = Negotiation {
            call_id: call.session.clone(),
            from_tag: branch.tag.clone(),
            to_tag: Some(call.caller.tag.clone()),
            via_branch: None,
            sdp,
            received_from: branch.flow().map(|flow| flow.peer.ip()),
            options: policy::offer(from, to, is_secure),
        };
        self.await_reply(call, SessionRequest::Offer(Box::new(offer)), Then::Accept { branch: index });
    }

    /// What the session calls a dialog of a branch: no two parties of a call can have one name, whatever tags they choose.
    pub(super) fn tag_of(&self, branch: usize, dialog: DialogHandle) -> String {
        let tag = self.ua.dialog(dialog).map_or("", |dialog| dialog.id().remote_tag.as_str());
        format!("{}:{tag}", Branch::via(branch))
    }
}
