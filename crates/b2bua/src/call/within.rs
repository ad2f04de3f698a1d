//! Requests inside a call that carry no offer.

use std::time::Instant;

use sip::{Body, ClientId, DialogHandle, Flow, Method, Request, Response, ServerId, StatusCode};

use super::{Call, Place};
use crate::gate::Admission;
use crate::routes::Caller;
use crate::{B2bua, Fact, headers};

/// Requests of one call that may be with the other end at one time.
const MAX_PASSING: usize = 16;

impl B2bua {
    /// A request inside a call that did not come from where its party is: Call-ID and tags are known to whoever reads the signalling,
    /// so the party proves that it is elsewhere now, or nothing happens.
    pub(crate) fn handle_elsewhere(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        server: ServerId,
        request: Request,
        flow: Flow,
    ) {
        let call = self.by_dialog.get(&dialog).and_then(|(number, place)| Some((self.calls.get(number)?, *place)));
        let party = call.and_then(|(call, place)| self.party(call, place));
        let mut facts = Vec::new();
        let admission = match party {
            Some(Caller::User(_)) => self.gate.authenticate(now, &request, &flow, &mut self.counters, &mut facts),
            Some(Caller::Trunk(_)) => {
                self.gate.admit(now, &self.config, &request, &flow, &mut self.counters, &mut facts)
            }
            None => Admission::Refused(StatusCode::FORBIDDEN, sip::Headers::new()),
        };
        facts.into_iter().for_each(|fact| self.tell(fact));
        let response = match admission {
            Admission::Caller(who, _) if Some(&who) == party.as_ref() => {
                let moved = matches!(who, Caller::User(_));
                return self.ua.admit(now, dialog, server, request, flow, moved);
            }
            Admission::Caller(..) => request.respond(StatusCode::FORBIDDEN),
            Admission::Refused(status, headers) => {
                let mut response = request.respond(status);
                response.headers.extend(&headers);
                response
            }
        };
        if response.status() == StatusCode::FORBIDDEN {
            self.tell(Fact::Elsewhere { source: flow.peer });
        }
        let _ = self.ua.respond_once(server, response);
    }

    /// Who is at this place, where that can be proven: a user, or a trunk.
    pub(super) fn party(&self, call: &Call, place: Place) -> Option<Caller> {
        let Place::Branch(index) = place else { return call.who.clone() };
        let branch = call.branches.get(index)?;
        let of_flow = || self.gate.trunk(&self.config.trunks, branch.flow()?).map(Caller::Trunk);
        branch.spec.party().or_else(of_flow)
    }

    pub(super) fn request_within(
        &mut self,
        now: Instant,
        call: &mut Call,
        place: Place,
        server: ServerId,
        request: Request,
    ) {
        let response = match request.method() {
            Method::Info => match self.pass_on(now, call, place, server, request) {
                Ok(()) => return,
                Err(response) => response,
            },
            Method::Options => {
                let mut response = request.respond(StatusCode::OK);
                self.capabilities.describe(&mut response);
                response
            }
            Method::Refer => return self.referred(now, call, place, server, &request),
            _ => request.respond(StatusCode::METHOD_NOT_ALLOWED),
        };
        let _ = self.ua.respond(now, server, response);
    }

    fn pass_on(
        &mut self,
        now: Instant,
        call: &mut Call,
        place: Place,
        server: ServerId,
        request: Request,
    ) -> Result<(), Response> {
        self.passed.inspect(&request).map_err(|refused| *refused)?;
        let end = call.end_of(place).filter(|_| call.caller.accepted && !call.ended);
        let other = end.and_then(|end| self.dialog_at(call, end.other()));
        let Some(other) = other.filter(|_| call.passing.len() < MAX_PASSING) else {
            return Err(request.respond(StatusCode::SERVER_INTERNAL_ERROR));
        };
        let body = Body::of(&request.headers, request.body());
        let mut headers = headers::carried(&self.config, &request.headers);
        headers.copy(&request.headers, "Info-Package");
        match self.ua.send(now, other, request.method().clone(), body, &headers) {
            Ok(client) => {
                call.passing.push((client, server, request));
                Ok(())
            }
            Err(_) => Err(request.respond(StatusCode::SERVER_INTERNAL_ERROR)),
        }
    }

    pub(super) fn pass_response(&mut self, now: Instant, call: &mut Call, client: ClientId, response: &Response) {
        let Some(place) = call.passing.iter().position(|(own, ..)| *own == client) else { return };
        let (_, server, request) = call.passing.swap_remove(place);
        // RFC 4320 §4.2: no 408.
        let status = if response.status() == StatusCode::REQUEST_TIMEOUT {
            StatusCode::SERVER_TIMEOUT
        } else {
            response.status()
        };
        let mut passed = request.respond(status);
        if let Some(body) = Body::of(&response.headers, response.body()) {
            passed.set_body(Some(&body.content_type), body.bytes);
        }
        let _ = self.ua.respond(now, server, passed);
    }
}
