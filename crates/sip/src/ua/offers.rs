//! Offers inside a dialog, both ways: re-INVITE, UPDATE, glare and rollback (RFC 3261 §14, RFC 3311, RFC 6141).

use super::agent::{ClientUse, ServerUse, Timer, UserAgent, set_body_of};
use super::entry::{Asked, Asking, Entry};
use super::{CallError, CallEvent, DialogHandle, EndCause};
use crate::session_timer::SessionTimer;
use crate::{
    Body, ClientId, Headers, Method, NegotiationError, Refresher, Request, Response, ServerId, SessionExpires,
    StatusCode, name,
};
use std::time::{Duration, Instant};

impl UserAgent {
    /// Answers the open offer of [`CallEvent::Offer`], [`Description::Offer`](super::Description::Offer) or
    /// [`CallEvent::OfferWanted`] (with an offer of ours), in whatever carries it: a 2xx, ACK or PRACK.
    pub fn answer(&mut self, now: Instant, dialog: DialogHandle, body: Body) -> Result<(), CallError> {
        let entry = self.entry(dialog)?;
        if let Some(rack) = entry.prack_owed.take() {
            entry.negotiation.send_answer(body.clone())?;
            self.send_prack(now, dialog, &rack, Some(&body));
            return Ok(());
        }
        if let Some(cseq) = entry.ack_owed {
            entry.negotiation.send_answer(body.clone())?;
            entry.ack_owed = None;
            self.send_ack(dialog, cseq, Some(&body));
            return Ok(());
        }
        let Asked { server, request, wants_offer } = entry.asked.take().ok_or(CallError::NotNow)?;
        if wants_offer {
            entry.negotiation.send_offer(body.clone())?;
        } else {
            entry.negotiation.send_answer(body.clone())?;
        }
        self.respond_success(now, dialog, server, &request, Some(body));
        Ok(())
    }

    /// Refuses what [`UserAgent::answer`] would answer, with a final response of 300 or above (488 as a rule) and further
    /// headers. What was agreed stays. An offer in a 2xx or in a provisional response to our INVITE cannot be refused: the call
    /// is ended or cancelled.
    pub fn refuse(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        status: StatusCode,
        headers: &Headers,
    ) -> Result<(), CallError> {
        self.refuse_with(now, dialog, status, headers, None)
    }

    /// [`UserAgent::refuse`] with a body in the response, such as the certificate of a 493.
    pub fn refuse_with(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        status: StatusCode,
        headers: &Headers,
        body: Option<Body>,
    ) -> Result<(), CallError> {
        let entry = self.entry(dialog)?;
        let leg = entry.leg;
        if let Some(rack) = entry.prack_owed.take() {
            entry.negotiation.roll_back();
            self.send_prack(now, dialog, &rack, None);
            return self.cancel(now, leg, None);
        }
        if let Some(cseq) = entry.ack_owed.take() {
            entry.negotiation.roll_back();
            self.send_ack(dialog, cseq, None);
            self.send_bye(now, dialog, None);
            self.end_dialog(now, dialog, EndCause::Local);
            return Ok(());
        }
        if status.class() < 3 || entry.asked.is_none() {
            return Err(CallError::NotNow);
        }
        let Some(asked) = entry.asked.take() else { return Err(CallError::NotNow) };
        entry.negotiation.roll_back();
        let mut response = asked.request.respond(status);
        response.headers.extend(headers);
        if let Some(body) = body {
            response.set_body(Some(&body.content_type), body.bytes);
        }
        self.servers.remove(&asked.server);
        Ok(self.layer.respond(now, asked.server, &response)?)
    }

    /// Offers by a re-INVITE; without a body it asks the peer for an offer.
    pub fn reinvite(&mut self, now: Instant, dialog: DialogHandle, body: Option<Body>) -> Result<(), CallError> {
        self.entry(dialog)?.dialog.is_confirmed().then_some(()).ok_or(CallError::NotNow)?;
        self.ask(now, dialog, Method::Invite, body, false)
    }

    /// Offers by an UPDATE, in an early dialog too once something is agreed in it: by a reliable provisional response, whose PRACK
    /// has come (RFC 3311 §5.1).
    pub fn update(&mut self, now: Instant, dialog: DialogHandle, body: Body) -> Result<(), CallError> {
        let entry = self.entry(dialog)?;
        let (leg, possible) = (entry.leg, entry.peer_allows_update && entry.negotiation.agreed().is_some());
        if !possible || self.awaits_prack(leg) {
            return Err(CallError::NotNow);
        }
        self.ask(now, dialog, Method::Update, Some(body), false)
    }

    /// Whether the peer has said that it takes UPDATE.
    pub fn takes_update(&self, dialog: DialogHandle) -> bool {
        self.dialogs.get(&dialog).is_some_and(|entry| entry.peer_allows_update)
    }

    /// Whether an offer could be sent: none is open, and no request that could carry one.
    pub fn can_offer(&self, dialog: DialogHandle) -> bool {
        self.dialogs.get(&dialog).is_some_and(Entry::is_quiet)
    }

    fn ask(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        method: Method,
        body: Option<Body>,
        refresh: bool,
    ) -> Result<(), CallError> {
        let entry = self.entry(dialog)?;
        if !entry.is_quiet() {
            return Err(CallError::NotNow);
        }
        let leg = entry.leg;
        let mut request = entry.dialog.request(method);
        if let Some(session) = entry.session {
            let refresher = if session.we_refresh { Refresher::Uac } else { Refresher::Uas };
            let interval = SessionExpires { seconds: session.seconds, refresher: Some(refresher) };
            request.headers.push(name::SESSION_EXPIRES, interval);
        }
        if let Some(leg) = self.legs.get(&leg) {
            request.headers.push(name::CONTACT, &leg.contact);
        }
        self.describe(&mut request.headers);
        set_body_of(&mut request, body.as_ref());
        self.send_asking(now, dialog, request, body, refresh)
    }

    fn send_asking(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        request: Request,
        offer: Option<Body>,
        refresh: bool,
    ) -> Result<(), CallError> {
        let target = self.entry(dialog)?.target.clone();
        let method = request.method().clone();
        let client = self.send_client(now, request, &target, |request| ClientUse::Asking(dialog, request))?;
        let entry = self.entry(dialog)?;
        let asking = Asking { client, refresh, offered: offer.is_some() };
        entry.asking = Some(asking);
        if let Some(offer) = offer {
            entry.negotiation.send_offer(offer)?;
        }
        let before = (method == Method::Invite).then(|| entry.last_invite.replace(client)).flatten();
        if let Some(before) = before {
            self.clients.remove(&before);
        }
        self.timers.clear(Timer::Glare(dialog));
        Ok(())
    }

    /// Sends a request of this dialog again that was refused: challenged, for example, and now with credentials. Via, CSeq and
    /// the rest of an attempt are made anew.
    pub fn send_again(&mut self, now: Instant, dialog: DialogHandle, request: &Request) -> Result<ClientId, CallError> {
        let entry = self.entry(dialog)?;
        let mut next = request.clone();
        next.headers.remove(name::VIA);
        let fresh = entry.dialog.request(request.method().clone());
        if let Some(cseq) = fresh.headers.value(name::CSEQ) {
            next.headers.set(name::CSEQ, cseq);
        }
        if !Self::is_refresh(request.method()) {
            let target = entry.target.clone();
            return self.send_client(now, next, &target, |request| ClientUse::Request(Some(dialog), request));
        }
        if !entry.is_quiet() {
            return Err(CallError::NotNow);
        }
        let offer = Body::of(&next.headers, next.body()).filter(Body::has_sdp);
        let refresh = offer.is_none();
        self.send_asking(now, dialog, next, offer, refresh)?;
        self.entry(dialog)?.asking.as_ref().map(|asking| asking.client).ok_or(CallError::NotNow)
    }

    pub(super) fn handle_asking_response(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        client: ClientId,
        response: Response,
    ) {
        let Some(entry) = self.dialogs.get_mut(&dialog) else { return drop(self.clients.remove(&client)) };
        let cseq = response.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(asking) = entry.asking.take_if(|asking| asking.client == client) else {
            // A 2xx again: its ACK again.
            if let Some((_, ack)) = entry.last_ack.as_ref().filter(|(own, _)| *own == cseq) {
                let ack = ack.clone();
                self.layer.send_again(ack);
            }
            return;
        };
        let success = response.status().is_success();
        let invite = entry.last_invite == Some(client);
        // Further copies of a 2xx to an INVITE are still ours.
        let request = match self.clients.get(&client) {
            Some(ClientUse::Asking(_, request)) => request.clone(),
            _ => return,
        };
        if !(success && invite) {
            self.clients.remove(&client);
        }
        if success {
            self.handle_asking_success(now, dialog, &asking, invite, request, response);
        } else {
            self.handle_asking_failure(now, dialog, &asking, request, response);
        }
    }

    fn handle_asking_success(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        asking: &Asking,
        invite: bool,
        request: Request,
        response: Response,
    ) {
        let Ok(entry) = self.entry(dialog) else { return };
        // A Contact that cannot be read was refused with the message.
        let _ = entry.dialog.refresh_target(&response.headers);
        if let Some(session) = SessionTimer::agreed(&response.headers) {
            entry.session = Some(session);
        }
        let cseq = response.headers.cseq().map_or(0, |cseq| cseq.number);
        let body = Body::of(&response.headers, response.body()).filter(Body::has_sdp);
        let mut event = None;
        let mut acknowledge = invite;
        match body {
            Some(body) if asking.offered => {
                // Awaited, so that it fits.
                let _ = entry.negotiation.handle_answer(body.clone());
                event = (!asking.refresh).then_some(CallEvent::Answer { dialog, body });
            }
            None if asking.offered => {
                entry.negotiation.roll_back();
                event =
                    Some(CallEvent::OfferRefused { dialog, response: Box::new(response), request: Box::new(request) });
            }
            Some(body) if invite && entry.negotiation.handle_offer(body.clone()).is_ok() => {
                entry.ack_owed = Some(cseq);
                acknowledge = false;
                event = Some(CallEvent::Offer { dialog, body });
            }
            _ => {}
        }
        if acknowledge {
            self.send_ack(dialog, cseq, None);
        }
        self.events.extend(event);
        self.start_session_timer(now, dialog);
    }

    fn handle_asking_failure(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        asking: &Asking,
        request: Request,
        response: Response,
    ) {
        let status = response.status();
        let Ok(entry) = self.entry(dialog) else { return };
        if asking.offered {
            entry.negotiation.roll_back();
        }
        if status == StatusCode::SESSION_INTERVAL_TOO_SMALL
            && let (Ok(Some(min)), Some(session)) = (response.headers.min_se(), entry.session.as_mut())
            && min > session.seconds
        {
            session.seconds = min;
            let mut next = request;
            let refresher = if session.we_refresh { Refresher::Uac } else { Refresher::Uas };
            let interval = SessionExpires { seconds: min, refresher: Some(refresher) };
            next.headers.set(name::SESSION_EXPIRES, interval);
            next.headers.set(name::MIN_SE, min);
            if self.send_again(now, dialog, &next).is_ok() {
                if let Ok(entry) = self.entry(dialog)
                    && let Some(own) = &mut entry.asking
                {
                    own.refresh = asking.refresh;
                }
                return;
            }
            return self.end_if_gone(now, dialog, status);
        }
        if status == StatusCode::REQUEST_PENDING {
            // RFC 3261 §14.1: 2.1 to 4 s for the owner of the Call-ID, up to 2 s for the other, in steps of 10 ms.
            let wait = if entry.owns_call_id { 210 + self.tokens.below(191) } else { self.tokens.below(201) };
            let timer = if asking.refresh { Timer::Session(dialog) } else { Timer::Glare(dialog) };
            self.timers.set(timer, now + Duration::from_millis(wait * 10));
        }
        let challenged = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        if !asking.refresh || challenged {
            let (response, request) = (Box::new(response), Box::new(request));
            self.events.push_back(CallEvent::OfferRefused { dialog, response, request });
        }
        self.end_if_gone(now, dialog, status);
    }

    /// A re-INVITE or UPDATE of the peer.
    pub(super) fn handle_offer_request(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        server: ServerId,
        request: Request,
    ) {
        let invite = *request.method() == Method::Invite;
        let Some(leg) = self.leg_of(dialog) else { return };
        let ringing = self.is_ringing(leg);
        let Ok(entry) = self.entry(dialog) else { return };
        let has_own_invite = !entry.dialog.is_confirmed() || entry.ack_owed.is_some() || entry.asks_by_invite();
        // §14.2, RFC 3311 §5.2.
        let refusal = if entry.asked.is_some() || (invite && ringing) {
            Some(StatusCode::SERVER_INTERNAL_ERROR)
        } else if invite && (entry.ok.is_some() || has_own_invite) {
            Some(StatusCode::REQUEST_PENDING)
        } else {
            None
        };
        if let Some(status) = refusal {
            return self.respond_plain(now, server, &request, status);
        }
        if let Some(response) = self.refuse_interval(&request) {
            return self.respond_final(now, server, response);
        }
        if let Ok(entry) = self.entry(dialog) {
            entry.peer_allows_update |= request.headers.list_contains(name::ALLOW, "UPDATE");
        }
        let has_offer = Body::of(&request.headers, request.body()).is_some_and(|body| body.has_sdp());
        if !has_offer && !invite {
            return self.respond_success(now, dialog, server, &request, None);
        }
        self.ask_user(now, dialog, server, request);
    }

    /// Hands an offer, or the wish for one, to the user.
    pub(super) fn ask_user(&mut self, now: Instant, dialog: DialogHandle, server: ServerId, request: Request) {
        let body = Body::of(&request.headers, request.body()).filter(Body::has_sdp);
        let Ok(entry) = self.entry(dialog) else { return };
        let fits = match &body {
            Some(body) => entry.negotiation.handle_offer(body.clone()),
            None if entry.negotiation.awaits_answer() => Err(NegotiationError::OwnOfferOpen),
            None if entry.negotiation.owes_answer() => Err(NegotiationError::TheirOfferOpen),
            None => Ok(()),
        };
        if let Err(error) = fits {
            return self.respond_plain(now, server, &request, error.status());
        }
        entry.asked = Some(Asked { server, request, wants_offer: body.is_none() });
        self.servers.insert(server, ServerUse::Within(dialog));
        self.events.push_back(match body {
            Some(body) => CallEvent::Offer { dialog, body },
            None => CallEvent::OfferWanted { dialog },
        });
    }

    fn respond_success(
        &mut self,
        now: Instant,
        dialog: DialogHandle,
        server: ServerId,
        request: &Request,
        body: Option<Body>,
    ) {
        let mut response = request.respond(StatusCode::OK);
        if let Some(leg) = self.leg_of(dialog).and_then(|leg| self.legs.get(&leg))
            && Self::is_refresh(request.method())
        {
            response.headers.push(name::CONTACT, &leg.contact);
            self.describe(&mut response.headers);
            // Before the call is accepted there is no session whose time could run out: the 2xx to its INVITE says how long.
            if self.dialogs.get(&dialog).is_some_and(|entry| entry.dialog.is_confirmed()) {
                self.agree_on_interval(dialog, request, &mut response);
            }
        }
        if let Some(body) = body {
            response.set_body(Some(&body.content_type), body.bytes);
        }
        self.servers.remove(&server);
        let _ = self.layer.respond(now, server, &response);
        if *request.method() == Method::Invite {
            self.await_ack(now, dialog, server, response, false);
        }
        if self.dialogs.get(&dialog).is_some_and(|entry| entry.dialog.is_confirmed()) {
            self.start_session_timer(now, dialog);
        }
    }

    pub(super) fn start_session_timer(&mut self, now: Instant, dialog: DialogHandle) {
        match self.dialogs.get(&dialog).and_then(|entry| entry.session) {
            Some(session) => self.timers.set(Timer::Session(dialog), now + session.due()),
            None => self.timers.clear(Timer::Session(dialog)),
        }
    }

    pub(super) fn session_due(&mut self, now: Instant, dialog: DialogHandle) {
        let Some(entry) = self.dialogs.get(&dialog) else { return };
        let Some(session) = entry.session else { return };
        if !session.we_refresh {
            self.send_bye(now, dialog, None);
            return self.end_dialog(now, dialog, EndCause::SessionExpired);
        }
        let local = entry.negotiation.agreed().map(|agreed| agreed.local.clone());
        let asked = if entry.peer_allows_update {
            self.ask(now, dialog, Method::Update, None, true)
        } else {
            self.ask(now, dialog, Method::Invite, local, true)
        };
        // Something else is under way, which refreshes the session too; or there is no room.
        let wait = if asked.is_ok() { session.due() } else { Duration::from_secs(5) };
        self.timers.set(Timer::Session(dialog), now + wait);
    }
}

impl Entry {
    /// No offer is open, and nothing that could carry one.
    fn is_quiet(&self) -> bool {
        self.negotiation.is_idle()
            && self.asked.is_none()
            && self.asking.is_none()
            && self.ok.is_none()
            && self.ack_owed.is_none()
            && self.prack_owed.is_none()
    }

    fn asks_by_invite(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| self.last_invite == Some(asking.client))
    }
}
