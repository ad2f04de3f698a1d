//! Provisional responses of ours, and the PRACK of those that are reliable (RFC 3262).

use super::agent::{Timer, UserAgent};
use super::entry::{Reliable, Role};
use super::{CallError, CallEvent, DialogHandle, LegId};
use crate::{Body, Headers, Request, Response, ServerId, StatusCode, name};
use std::time::Instant;

/// Reliable provisional responses that wait for the PRACK of an earlier one.
const MAX_WAITING: usize = 8;

impl UserAgent {
    /// Sends a provisional response, 101 to 199, with further headers. A body is our answer; where the INVITE had no offer it is
    /// our offer, which only a reliable response may carry. Reliable ones wait for one another's PRACK.
    pub fn ring(
        &mut self,
        now: Instant,
        leg: LegId,
        status: StatusCode,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<(), CallError> {
        let prefer = self.config.prefer_reliable_provisional;
        self.ring_preferring(now, leg, status, body, headers, prefer)
    }

    /// [`UserAgent::ring`], reliably if there is a body and the peer knows how, whatever the configuration prefers. Then the answer
    /// is final, and either may offer by UPDATE before the call is accepted.
    pub fn ring_reliably(
        &mut self,
        now: Instant,
        leg: LegId,
        status: StatusCode,
        body: Option<Body>,
        headers: &Headers,
    ) -> Result<(), CallError> {
        self.ring_preferring(now, leg, status, body, headers, true)
    }

    fn ring_preferring(
        &mut self,
        now: Instant,
        leg: LegId,
        status: StatusCode,
        body: Option<Body>,
        headers: &Headers,
        prefer: bool,
    ) -> Result<(), CallError> {
        let mut response = self.response(leg, status, headers)?;
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        if !status.is_provisional() || status == StatusCode::TRYING || incoming.accepted.is_some() {
            return Err(CallError::NotNow);
        }
        let reliable = incoming.requires_100rel || (incoming.supports_100rel && prefer && body.is_some());
        if reliable && incoming.waiting.len() >= MAX_WAITING {
            return Err(CallError::NotNow);
        }
        let (server, dialog, rseq) = (incoming.server, incoming.dialog, incoming.next_rseq);
        if let Some(body) = body {
            let negotiation = &mut self.entry(dialog)?.negotiation;
            // What is open after the first exchange is an UPDATE's.
            if negotiation.agreed().is_some() {
                return Err(CallError::NotNow);
            }
            match (negotiation.owes_answer(), reliable) {
                (true, true) => negotiation.send_answer(body.clone())?,
                // Ahead of time: the 2xx brings the answer again.
                (true, false) => {}
                (false, true) => negotiation.send_offer(body.clone())?,
                (false, false) => return Err(CallError::NotNow),
            }
            response.set_body(Some(&body.content_type), body.bytes);
        }
        if !reliable {
            return Ok(self.layer.respond(now, server, &response)?);
        }
        response.headers.push(name::REQUIRE, "100rel");
        response.headers.push(name::RSEQ, rseq);
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        incoming.next_rseq = rseq.wrapping_add(1);
        if incoming.unacknowledged.is_some() {
            incoming.waiting.push_back(response);
            return Ok(());
        }
        self.send_reliable(now, leg, response)
    }

    fn send_reliable(&mut self, now: Instant, leg: LegId, response: Response) -> Result<(), CallError> {
        let t1 = self.config.transactions.t1;
        let rseq = response.headers.rseq()?.unwrap_or(0);
        let incoming = self.incoming(leg).ok_or(CallError::Unknown)?;
        let server = incoming.server;
        incoming.unacknowledged =
            Some(Reliable { response: response.clone(), rseq, interval: t1, give_up_at: now + t1 * 64 });
        self.timers.set(Timer::Reliable(leg), now + t1);
        Ok(self.layer.respond(now, server, &response)?)
    }

    pub(super) fn repeat_reliable(&mut self, now: Instant, leg: LegId) {
        let Some(incoming) = self.incoming(leg) else { return };
        let server = incoming.server;
        let Some(reliable) = &mut incoming.unacknowledged else { return };
        if now >= reliable.give_up_at {
            return self.fail_incoming(now, leg);
        }
        reliable.interval *= 2;
        let at = (now + reliable.interval).min(reliable.give_up_at);
        let response = reliable.response.clone();
        self.timers.set(Timer::Reliable(leg), at);
        let _ = self.layer.respond(now, server, &response);
    }

    /// The PRACK of a reliable response of ours (RFC 3262 §3).
    pub(super) fn handle_prack(&mut self, now: Instant, dialog: DialogHandle, server: ServerId, request: Request) {
        let rack = request.headers.rack().ok().flatten();
        let leg = self.leg_of(dialog);
        let matches = leg.and_then(|leg| self.incoming(leg)).is_some_and(|incoming| {
            let invite = incoming.request.headers.cseq().ok();
            incoming.unacknowledged.as_ref().map(|own| own.rseq) == rack.as_ref().map(|rack| rack.rseq)
                && invite.is_some()
                && invite == rack.as_ref().map(|rack| rack.cseq.clone())
        });
        let (true, Some(leg)) = (matches, leg) else {
            return self.respond_plain(now, server, &request, StatusCode::CALL_DOES_NOT_EXIST);
        };
        self.timers.clear(Timer::Reliable(leg));
        if let Some(incoming) = self.incoming(leg) {
            incoming.unacknowledged = None;
        }
        let body = Body::of(&request.headers, request.body()).filter(Body::has_sdp);
        let Ok(entry) = self.entry(dialog) else { return };
        // What is open after the first exchange is an UPDATE's.
        let awaited = entry.negotiation.awaits_answer() && entry.negotiation.agreed().is_none();
        match body {
            Some(body) if awaited => {
                // Awaited, so that it fits.
                let _ = entry.negotiation.handle_answer(body.clone());
                self.events.push_back(CallEvent::Answer { dialog, body });
                self.respond_plain(now, server, &request, StatusCode::OK);
            }
            Some(_) => self.ask_user(now, dialog, server, request),
            None => {
                self.respond_plain(now, server, &request, StatusCode::OK);
                if awaited {
                    // Our offer in the response had to be answered here.
                    return self.fail_incoming(now, leg);
                }
            }
        }
        self.continue_incoming(now, leg);
    }

    /// What waited for the PRACK goes out.
    fn continue_incoming(&mut self, now: Instant, leg: LegId) {
        let Some(incoming) = self.incoming(leg) else { return };
        if let Some(response) = incoming.accepted.take() {
            let _ = self.send_accepted(now, leg, response);
        } else if let Some(response) = incoming.waiting.pop_front() {
            let _ = self.send_reliable(now, leg, response);
        }
    }

    /// Whether a reliable provisional response of this leg waits for its PRACK, or for another's.
    pub(super) fn awaits_prack(&self, leg: LegId) -> bool {
        matches!(self.legs.get(&leg).map(|leg| &leg.role), Some(Role::Incoming(incoming)) if incoming.unacknowledged.is_some())
    }
}
