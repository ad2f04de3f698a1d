//! Requests inside a call that carry no offer.

use std::time::Instant;

use sip::{Body, ClientId, DialogHandle, Method, Request, Response, ServerId, StatusCode};

use super::{Call, Place};
use crate::{B2bua, headers};

/// Requests of one call that may be with the other end at one time.
const MAX_PASSING: usize = 16;

impl B2bua {
    pub(super) fn request_within(
        &mut self,
        now: Instant,
        call: &mut Call,
        place: Place,
        _dialog: DialogHandle,
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
        let end = call.end_of(place).filter(|_| !call.ended);
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
