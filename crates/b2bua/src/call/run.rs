//! What each job of a call does.

use std::time::Instant;

use session::{Delete, EndReason, Request as SessionRequest};
use sip::{CallEvent, DialogHandle, EndCause, Headers, Reason, StatusCode};

use super::{Call, End, Exchange, Job, OwnOffer, Place, Then};
use crate::{B2bua, EndedBy, Fact};

impl B2bua {
    /// A call begins: the first group of targets is called.
    pub(crate) fn start(&mut self, now: Instant, call: &mut Call) {
        if call.echo {
            // There is nobody to call.
            call.fork.cancel(None);
            return self.echo(now, call);
        }
        let actions = call.fork.start();
        self.perform(now, call, actions);
    }

    pub(crate) fn carry_out(&mut self, now: Instant, call: &mut Call, job: Job) {
        match job {
            Job::Located { branch, targets } => self.located(now, call, branch, targets),
            Job::Found { end, targets } => self.found(call, end, targets),
            Job::SessionEnded(reason) => self.session_ended(now, call, reason),
            Job::KeySpent(tag) => {
                let end = if tag == call.caller.tag { End::Caller } else { End::Called };
                if tag == call.tag(end) && !call.own_offers.contains(&OwnOffer::Renew(end)) {
                    call.own_offers.push_back(OwnOffer::Renew(end));
                }
            }
            Job::Due => {
                call.own_waits = false;
                self.give_up_reach(now, call);
                if call.winner.is_none() && !call.caller.accepted && !call.ended {
                    self.rung_long(now, call);
                }
                self.transfer_rung_long(now, call);
            }
            Job::Event(place, event) => self.event(now, call, place, event),
        }
    }

    /// The group that rings has rung long enough, or the call.
    fn rung_long(&mut self, now: Instant, call: &mut Call) {
        let actions = if now < call.gives_up_at {
            self.wake(call, call.gives_up_at);
            call.fork.give_up()
        } else {
            self.counters.ring_timeouts += 1;
            call.why = "nobody answered in time".to_owned();
            call.fork.expire()
        };
        self.perform(now, call, actions);
    }

    fn event(&mut self, now: Instant, call: &mut Call, place: Place, event: CallEvent) {
        match (place, event) {
            (Place::Branch(branch), CallEvent::Progress { dialog, response, description, .. }) => {
                self.progressed(now, call, branch, dialog, &response, description);
            }
            (Place::Branch(branch), CallEvent::Answered { dialog, description, .. }) => {
                self.answered(now, call, branch, dialog, description);
            }
            (Place::Branch(branch), CallEvent::Failed { response, request, .. }) => {
                self.branch_failed(now, call, branch, *response, *request);
            }
            (Place::Caller, CallEvent::Cancelled { request, .. }) => {
                call.caller.over = true;
                call.ends_by(EndedBy::Caller);
                call.ending.status = Some(StatusCode::REQUEST_TERMINATED);
                let reason = request.headers.reasons().ok().and_then(|reasons| reasons.into_iter().next());
                self.end(now, call, "cancelled by the caller", reason);
            }
            (Place::Caller, CallEvent::Established { dialog }) if call.ended => drop(self.ua.bye(now, dialog, None)),
            (place, CallEvent::Ended { dialog, cause, .. }) => self.dialog_ended(now, call, place, dialog, &cause),
            (place, CallEvent::Offer { dialog, body }) => self.offered(now, call, place, dialog, &body),
            (place, CallEvent::OfferWanted { dialog }) => self.offer_wanted(now, call, place, dialog),
            (place, CallEvent::Answer { body, .. }) => self.offer_answered(now, call, place, &body),
            (place, CallEvent::OfferRefused { dialog, response, request }) => {
                self.offer_refused(now, call, place, dialog, &response, *request);
            }
            (place, CallEvent::OfferWithdrawn { .. }) => {
                if let (Some(end), Some(Exchange::Forwarded { from, withdrawn })) =
                    (call.end_of(place), &mut call.exchange)
                    && end == *from
                {
                    *withdrawn = true;
                }
            }
            (_, CallEvent::OfferAgain { .. }) => call.own_waits = false,
            (place, CallEvent::Request { server, request, .. }) => {
                self.request_within(now, call, place, server, *request);
            }
            (_, CallEvent::Response { client, response, .. }) => self.pass_response(now, call, client, &response),
            _ => {}
        }
    }

    fn dialog_ended(&mut self, now: Instant, call: &mut Call, place: Place, dialog: DialogHandle, cause: &EndCause) {
        let reason = match cause {
            EndCause::Bye(bye) => bye.headers.reasons().ok().and_then(|reasons| reasons.into_iter().next()),
            _ => None,
        };
        // While this waited, a transfer may have brought the dialog to the caller's place.
        let place = if call.caller.dialog == Some(dialog) { Place::Caller } else { place };
        let who = if place == Place::Caller { EndedBy::Caller } else { EndedBy::Called };
        let by = match cause {
            EndCause::Bye(_) => who,
            EndCause::SessionExpired => EndedBy::SessionTimer,
            EndCause::NotAcknowledged | EndCause::NoAnswer | EndCause::PeerGone(_) => EndedBy::Timeout,
            EndCause::Local | EndCause::NotChosen => EndedBy::Server,
        };
        let why = |who: &str| match cause {
            EndCause::Bye(_) => format!("the {who} hung up"),
            EndCause::Local => "ended".to_owned(),
            EndCause::NotChosen => "not chosen".to_owned(),
            EndCause::NotAcknowledged => format!("the {who} never acknowledged"),
            EndCause::NoAnswer => format!("the {who} left out an answer"),
            EndCause::SessionExpired => format!("the {who} did not refresh the session"),
            EndCause::PeerGone(status) => format!("the {who} is gone ({status})"),
        };
        if let Some(end) = call.end_of(place)
            && self.dialog_at(call, end) == Some(dialog)
            && self.leaves_for_transfer(call, end)
        {
            return;
        }
        if let Some(branch) = call.is_borrowed(place).and_then(|index| call.branches.get_mut(index)) {
            branch.dialog = None;
            return self.join_failed(now, call, StatusCode::TEMPORARILY_UNAVAILABLE, false);
        }
        match place {
            Place::Caller if call.caller.dialog == Some(dialog) => {
                call.caller.over = true;
                call.ends_by(by);
                self.end(now, call, &why("caller"), reason);
            }
            Place::Branch(index) if call.winner == Some(index) => {
                let own = call.branches.get_mut(index).filter(|branch| branch.dialog == Some(dialog));
                if let Some(branch) = own {
                    branch.dialog = None;
                    call.ends_by(by);
                    self.end(now, call, &why("called party"), reason);
                }
            }
            Place::Branch(index) if call.early == Some(index) => self.early_dialog_ended(now, call, dialog),
            _ => {}
        }
    }

    fn session_ended(&mut self, now: Instant, call: &mut Call, reason: EndReason) {
        if call.deleted {
            return;
        }
        call.deleted = true;
        let (by, text) = match reason {
            EndReason::MediaTimeout => (EndedBy::MediaTimeout, "no media"),
            EndReason::OfferTimeout => (EndedBy::Timeout, "no answer"),
            EndReason::Deleted => (EndedBy::Operator, "ended by the operator"),
            EndReason::WorkerLost | EndReason::PumpLost => (EndedBy::Relay, "the media relay has failed"),
        };
        call.ends_by(by);
        call.own_failure = Some((StatusCode::TEMPORARILY_UNAVAILABLE, Headers::new()));
        let status = StatusCode::REQUEST_TIMEOUT;
        self.end(now, call, text, Some(Reason::sip(status, text)));
    }

    /// The call is over: every leg that lives ends, and the session's call.
    pub(crate) fn end(&mut self, now: Instant, call: &mut Call, why: &str, reason: Option<Reason>) {
        if !call.ended {
            call.ended = true;
            self.note_end(now, call, why);
            self.tell(Fact::Over { call: call.session.clone(), why: why.to_owned() });
        }
        self.end_transfer(now, call);
        if !call.caller.over {
            if self.waits_for_reach(now, call, End::Caller) {
                // It ends when it can be told.
            } else if call.caller.accepted {
                // A dialog that is gone has an event on its way.
                let gone = call.caller.dialog.is_none_or(|dialog| self.ua.bye(now, dialog, reason.clone()).is_err());
                call.caller.over = gone;
            } else {
                self.refuse_caller(now, call, StatusCode::TEMPORARILY_UNAVAILABLE, &Headers::new());
            }
        }
        match call.winner {
            Some(_) => {
                if let Some(dialog) = self.dialog_at(call, End::Called)
                    && !self.waits_for_reach(now, call, End::Called)
                {
                    let _ = self.ua.bye(now, dialog, reason);
                }
            }
            None => {
                let actions = call.fork.cancel(reason);
                self.perform(now, call, actions);
            }
        }
        self.delete(call);
    }

    fn note_end(&mut self, now: Instant, call: &mut Call, why: &str) {
        call.ends_by(EndedBy::Server);
        call.ending.why = why.to_owned();
        call.times.ended = Some(self.secured.wall(now));
    }

    /// Gives the caller its final response.
    pub(crate) fn refuse_caller(&mut self, now: Instant, call: &mut Call, status: StatusCode, headers: &Headers) {
        if std::mem::replace(&mut call.caller.over, true) {
            return;
        }
        let (status, headers) = call.own_failure.take().unwrap_or_else(|| (status, headers.clone()));
        *self.counters.failures.entry(status.code()).or_default() += 1;
        call.ending.status = Some(status);
        if !call.ended {
            call.ended = true;
            let why = Some(std::mem::take(&mut call.why)).filter(|why| !why.is_empty());
            let why = why.unwrap_or_else(|| status.reason().to_owned());
            self.note_end(now, call, &why);
            self.tell(Fact::Failed { call: call.session.clone(), status, why });
        }
        // A caller that has cancelled has its response.
        let _ = self.ua.reject(now, call.caller.leg, status, &headers);
    }

    /// Ends the session's call.
    pub(crate) fn delete(&mut self, call: &mut Call) {
        if std::mem::replace(&mut call.deleted, true) {
            return;
        }
        self.ask_delete(call.session.clone());
    }

    pub(super) fn ask_delete(&mut self, call_id: String) {
        let delay = Some(std::time::Duration::ZERO);
        self.ask(SessionRequest::Delete(Delete { call_id, delay, fast: true, ..Delete::default() }));
    }

    /// From here on the call waits for the reply to this.
    pub(crate) fn await_reply(&mut self, call: &mut Call, request: SessionRequest, then: Then) {
        call.is_known = true;
        if !call.caller.accepted {
            // The session forgets a call whose first offer it refuses.
            call.remembered = None;
        }
        let token = self.ask(request);
        self.expect(token, call.number);
        call.busy = Some((token, then));
    }
}
