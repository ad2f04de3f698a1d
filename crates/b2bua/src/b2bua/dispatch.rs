//! Who gets what: events of the user agent to calls, and what waits in a call carried out one after the other.

use std::time::Instant;

use sip::{CallEvent, DialogHandle, LegId};

use super::{B2bua, Output};
use crate::call::{Call, CallNumber, Job, Place};

impl B2bua {
    /// Carries out what the user agent has to tell, until nothing is left.
    pub(crate) fn settle(&mut self, now: Instant) {
        loop {
            while let Some(event) = self.ua.poll_event() {
                self.dispatch(now, event);
            }
            // Written down before it is said.
            self.take_changes(now);
            let Some(event) = self.ua.poll_event() else { break };
            self.dispatch(now, event);
        }
        while let Some(transmit) = self.ua.poll_transmit() {
            self.outputs.push_back(Output::Transmit(transmit));
        }
    }

    fn dispatch(&mut self, now: Instant, event: CallEvent) {
        let of_leg = |own: &Self, leg: &LegId| own.by_leg.get(leg).copied();
        let of_dialog = |own: &Self, dialog: &DialogHandle| own.by_dialog.get(dialog).copied();
        let place = match &event {
            CallEvent::Incoming { .. } | CallEvent::OutOfDialog { .. } | CallEvent::Elsewhere { .. } => None,
            CallEvent::Progress { leg, dialog, .. } => {
                let place = of_leg(self, leg);
                if let (Some(dialog), Some(place)) = (dialog, place) {
                    self.learn_dialog(*dialog, place);
                }
                place
            }
            CallEvent::Answered { leg, dialog, .. } => {
                let place = of_leg(self, leg);
                if let Some(place) = place {
                    self.learn_dialog(*dialog, place);
                }
                place
            }
            CallEvent::Cancelled { leg, .. } | CallEvent::Failed { leg, .. } => {
                let place = of_leg(self, leg);
                self.by_leg.remove(leg);
                place
            }
            CallEvent::Ended { dialog, .. } => {
                self.connections.forget(*dialog);
                self.by_dialog.remove(dialog)
            }
            CallEvent::Response { dialog, .. } => dialog.and_then(|dialog| of_dialog(self, &dialog)),
            CallEvent::Established { dialog }
            | CallEvent::Offer { dialog, .. }
            | CallEvent::OfferWanted { dialog }
            | CallEvent::Answer { dialog, .. }
            | CallEvent::OfferRefused { dialog, .. }
            | CallEvent::OfferWithdrawn { dialog }
            | CallEvent::OfferAgain { dialog }
            | CallEvent::Request { dialog, .. } => of_dialog(self, dialog),
        };
        match (event, place) {
            (CallEvent::Incoming { leg, request, flow }, _) => self.handle_incoming(now, leg, *request, flow),
            (CallEvent::OutOfDialog { server, request, flow }, _) => {
                self.handle_out_of_dialog(now, server, &request, &flow)
            }
            (CallEvent::Elsewhere { dialog, server, request, flow }, _) => {
                self.handle_elsewhere(now, dialog, server, *request, flow);
            }
            (event, Some((number, place))) => self.enqueue(now, number, Job::Event(place, event)),
            // Somebody who answers a call that is no more.
            (CallEvent::Answered { dialog, .. }, None) => drop(self.ua.bye(now, dialog, None)),
            (_, None) => {}
        }
    }

    pub(crate) fn learn_dialog(&mut self, dialog: DialogHandle, place: (CallNumber, Place)) {
        if self.by_dialog.insert(dialog, place).is_none()
            && let Some(call) = self.calls.get_mut(&place.0)
        {
            call.dialogs.push(dialog);
        }
    }

    pub(crate) fn enqueue(&mut self, now: Instant, number: CallNumber, job: Job) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if call.is_crowded(&job) {
            let status = sip::StatusCode::SERVER_INTERNAL_ERROR;
            match job {
                Job::Event(_, CallEvent::Request { server, request, .. }) => {
                    let _ = self.ua.respond(now, server, request.respond(status));
                }
                Job::Event(_, CallEvent::Offer { dialog, .. } | CallEvent::OfferWanted { dialog }) => {
                    let headers = self.retry_after();
                    let _ = self.ua.refuse(now, dialog, status, &headers);
                }
                _ => {}
            }
            return;
        }
        call.queue.push_back(job);
        self.with(now, number, |_, _| {});
    }

    /// Does something with a call, then what waits in its queue, and forgets the call if it is over.
    pub(crate) fn with(&mut self, now: Instant, number: CallNumber, first: impl FnOnce(&mut Self, &mut Call)) {
        let Some(mut call) = self.calls.remove(&number) else { return };
        first(self, &mut call);
        while call.busy.is_none() {
            let Some(job) = call.queue.pop_front() else { break };
            self.carry_out(now, &mut call, job);
        }
        self.look_after_reach(now, &mut call);
        self.offer_by_ourselves(now, &mut call);
        if self.config.remember {
            self.touched.insert(number);
        }
        if call.is_done() {
            self.bury(call);
        } else {
            self.calls.insert(number, call);
        }
    }

    pub(crate) fn bury(&mut self, mut call: Call) {
        self.delete(&mut call);
        self.outputs.push_back(Output::Over(Box::new(call.facts())));
        if let Some(at) = call.timer {
            self.timers.remove(&(at, call.number));
        }
        self.by_session.remove(&call.session);
        self.shares.leave(call.parties.iter(), call.number);
        self.look_no_more(&call);
        self.by_lookup.retain(|_, (number, _)| *number != call.number);
        let own = |place: &(CallNumber, Place)| place.0 == call.number;
        for leg in &call.legs {
            if self.by_leg.get(leg).is_some_and(own) {
                self.by_leg.remove(leg);
            }
        }
        for dialog in &call.dialogs {
            if self.by_dialog.get(dialog).is_some_and(own) {
                self.by_dialog.remove(dialog);
            }
        }
    }

    /// Puts a new call into the tables, and begins it.
    pub(crate) fn begin(&mut self, now: Instant, mut call: Call) {
        let number = call.number;
        if let Some(who) = call.who.clone() {
            self.takes_part(&mut call, who);
        }
        let gives_up_at = call.gives_up_at;
        self.wake(&mut call, gives_up_at);
        self.by_session.insert(call.session.clone(), number);
        self.by_leg.insert(call.caller.leg, (number, Place::Caller));
        for dialog in &call.dialogs {
            self.by_dialog.insert(*dialog, (number, Place::Caller));
        }
        self.calls.insert(number, call);
        self.with(now, number, |own, call| own.start(now, call));
    }
}
