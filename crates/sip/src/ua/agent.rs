//! The tables of a user agent, and who gets what.

use super::dialog_state::success_of_invite;
use super::dialogs::Dialogs;
use super::entry::{Entry, Leg, Role};
use super::{CallError, CallEvent, DialogHandle, EndCause, LegId, UserAgentConfig};
use crate::timers::Timers;
use crate::tokens::Tokens;
use crate::{
    Body, ClientId, DialogId, Flow, Headers, Message, Method, NameAddr, Replaces, Request, Response, ServerId,
    StatusCode, Target, TransactionEvent, TransactionId, TransactionLayer, Transmit, Uri, Verdict, name,
};
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Calls, both ways. See the crate page for the order of calls.
pub struct UserAgent {
    pub(super) config: UserAgentConfig,
    pub(super) layer: TransactionLayer,
    pub(super) tokens: Tokens,
    pub(super) legs: HashMap<LegId, Leg>,
    pub(super) dialogs: Dialogs,
    pub(super) by_id: HashMap<DialogId, DialogHandle>,
    pub(super) clients: HashMap<ClientId, ClientUse>,
    pub(super) servers: HashMap<ServerId, ServerUse>,
    pub(super) timers: Timers<Timer>,
    pub(super) events: VecDeque<CallEvent>,
    next_id: u64,
}

/// Whose a client transaction is.
pub(super) enum ClientUse {
    Invite(LegId),
    /// A re-INVITE or UPDATE.
    Asking(DialogHandle, Request),
    Prack(DialogHandle),
    /// Its end is nobody's concern.
    Bye,
    Request(Option<DialogHandle>, Request),
}

/// Whose a server transaction is.
pub(super) enum ServerUse {
    Invite(LegId),
    /// A request of the peer inside a dialog, kept for the To tag of its response.
    Within(DialogHandle),
    /// With the tag for its response.
    Outside(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A 2xx of ours again.
    Ok(DialogHandle),
    /// A reliable provisional response again.
    Reliable(LegId),
    Session(DialogHandle),
    Glare(DialogHandle),
    /// The end of an answered INVITE's client transaction.
    Linger(LegId),
}

impl UserAgent {
    /// A user agent without calls. The seed is secret: it makes tags and branches.
    pub fn new(config: UserAgentConfig, seed: [u8; 32]) -> Self {
        let mut tokens = Tokens::new(seed);
        let dialogs = Dialogs::new(config.tells_of_changes);
        let layer = TransactionLayer::new(config.transactions, tokens.seed());
        Self {
            config,
            layer,
            tokens,
            legs: HashMap::new(),
            dialogs,
            by_id: HashMap::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            timers: Timers::new(),
            events: VecDeque::new(),
            next_id: 1,
        }
    }

    /// Takes a message that [`receive`](crate::receive) accepted.
    pub fn handle_message(&mut self, now: Instant, message: Message, flow: Flow) -> Verdict {
        let success = success_of_invite(&message);
        let verdict = self.layer.handle_message(now, message, flow);
        self.take_events(now);
        if let Some(response) = success.filter(|_| verdict == Verdict::ResponseUnmatched) {
            self.acknowledge_stray(&response);
        }
        verdict
    }

    /// The transport could not send what [`UserAgent::poll_transmit`] gave with this transaction.
    pub fn handle_transport_error(&mut self, now: Instant, transaction: TransactionId) {
        self.layer.handle_transport_error(transaction);
        self.take_events(now);
    }

    /// Runs all timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.layer.handle_timeout(now);
        self.take_events(now);
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Ok(dialog) => self.repeat_ok(now, dialog),
                Timer::Reliable(leg) => self.repeat_reliable(now, leg),
                Timer::Session(dialog) => self.session_due(now, dialog),
                Timer::Glare(dialog) => self.events.push_back(CallEvent::OfferAgain { dialog }),
                Timer::Linger(leg) => self.end_outgoing(leg),
            }
        }
    }

    /// When [`UserAgent::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.layer.poll_timeout().into_iter().chain(self.timers.next()).min()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.layer.poll_transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<CallEvent> {
        self.events.pop_front()
    }

    /// Legs and dialogs at this moment.
    pub fn len(&self) -> (usize, usize) {
        (self.legs.len(), self.dialogs.len())
    }

    /// Whether there are none, and no transaction.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0) && self.layer.is_empty() && self.clients.is_empty() && self.servers.is_empty()
    }

    /// A fresh tag or Call-ID.
    pub fn token(&mut self) -> String {
        self.tokens.token()
    }

    /// The dialog's shared state.
    pub fn dialog(&self, dialog: DialogHandle) -> Option<&crate::Dialog> {
        self.dialogs.get(&dialog).map(|entry| &entry.dialog)
    }

    /// What is agreed in the dialog.
    pub fn negotiation(&self, dialog: DialogHandle) -> Option<&crate::Negotiation> {
        self.dialogs.get(&dialog).map(|entry| &entry.negotiation)
    }

    /// The leg of a dialog.
    pub fn leg_of(&self, dialog: DialogHandle) -> Option<LegId> {
        self.dialogs.get(&dialog).map(|entry| entry.leg)
    }

    /// The dialog that a Replaces names (RFC 3891 §3): from its sender's view our tag is the To tag.
    pub fn find_dialog(&self, replaces: &Replaces) -> Option<DialogHandle> {
        let id = DialogId {
            call_id: replaces.call_id.clone(),
            local_tag: replaces.to_tag.clone(),
            remote_tag: replaces.from_tag.clone(),
        };
        self.by_id.get(&id).copied()
    }

    /// Where requests of this dialog go from here on. By default where its INVITE came from or went to; the caller resolves
    /// [`Dialog::next_hop`](crate::Dialog::next_hop) (RFC 3263) when a dialog is made or its target changes, unless the peer is
    /// behind NAT or on a connection.
    pub fn set_target(&mut self, dialog: DialogHandle, target: Target) -> Result<(), CallError> {
        self.dialogs.get_mut(&dialog).ok_or(CallError::Unknown)?.target = target;
        Ok(())
    }

    /// The Contact of this leg's further messages. An incoming leg has the address where its INVITE came.
    pub fn set_contact(&mut self, leg: LegId, contact: NameAddr) -> Result<(), CallError> {
        self.legs.get_mut(&leg).ok_or(CallError::Unknown)?.contact = contact;
        Ok(())
    }

    /// Answers a request of [`CallEvent::Request`] or [`CallEvent::OutOfDialog`]. To gets its tag.
    pub fn respond(&mut self, now: Instant, server: ServerId, mut response: Response) -> Result<(), CallError> {
        if let ServerUse::Outside(tag) = self.servers.get(&server).ok_or(CallError::Unknown)? {
            response.set_to_tag(tag);
        }
        self.layer.respond(now, server, &response)?;
        if response.status().is_final() {
            self.servers.remove(&server);
        }
        Ok(())
    }

    /// The final answer to somebody of whom nothing is proven: it goes out once, and nothing is remembered (RFC 3261 §26.3.2.4).
    /// A copy of the request is a new event. To gets its tag.
    pub fn respond_once(&mut self, server: ServerId, mut response: Response) -> Result<(), CallError> {
        if let ServerUse::Outside(tag) = self.servers.get(&server).ok_or(CallError::Unknown)? {
            response.set_to_tag(tag);
        }
        self.layer.respond_once(server, &response)?;
        self.servers.remove(&server);
        Ok(())
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn entry(&mut self, dialog: DialogHandle) -> Result<&mut Entry, CallError> {
        self.dialogs.get_mut(&dialog).ok_or(CallError::Unknown)
    }

    pub(super) fn insert_dialog(&mut self, entry: Entry) -> DialogHandle {
        let handle = DialogHandle(self.new_id());
        self.by_id.insert(entry.dialog.id().clone(), handle);
        if let Some(leg) = self.legs.get_mut(&entry.leg) {
            leg.dialogs.push(handle);
        }
        self.dialogs.insert(handle, entry);
        handle
    }

    /// Forgets a dialog; its leg too if that was the last and its INVITE is over.
    pub(super) fn end_dialog(&mut self, now: Instant, handle: DialogHandle, cause: EndCause) {
        let Some(mut entry) = self.dialogs.remove(&handle) else { return };
        self.by_id.remove(entry.dialog.id());
        for timer in [Timer::Ok(handle), Timer::Session(handle), Timer::Glare(handle)] {
            self.timers.clear(timer);
        }
        if let Some(client) = entry.last_invite.take() {
            self.clients.remove(&client);
        }
        if let Some(asked) = entry.asked.take() {
            // RFC 3261 §15.1.2: pending requests end with 487.
            self.respond_plain(now, asked.server, &asked.request, StatusCode::REQUEST_TERMINATED);
        }
        if let Some(leg) = self.legs.get_mut(&entry.leg) {
            leg.dialogs.retain(|own| *own != handle);
            if leg.dialogs.is_empty() && matches!(leg.role, Role::Done) {
                self.legs.remove(&entry.leg);
            }
        }
        self.events.push_back(CallEvent::Ended { dialog: handle, leg: entry.leg, cause });
    }

    pub(super) fn respond_plain(&mut self, now: Instant, server: ServerId, request: &Request, status: StatusCode) {
        let mut response = request.respond(status);
        if status == StatusCode::SERVER_INTERNAL_ERROR {
            response.headers.push(name::RETRY_AFTER, self.tokens.below(11));
        }
        self.respond_final(now, server, response);
    }

    /// An answer of the user agent's own. Nothing is proven of who is outside of all dialogs.
    pub(super) fn respond_final(&mut self, now: Instant, server: ServerId, mut response: Response) {
        // A transaction that has ended needs no answer.
        let _ = match self.servers.remove(&server) {
            Some(ServerUse::Outside(tag)) => {
                response.set_to_tag(&tag);
                self.layer.respond_once(server, &response)
            }
            _ => self.layer.respond(now, server, &response),
        };
    }

    pub(super) fn send_client(
        &mut self,
        now: Instant,
        request: Request,
        target: &Target,
        of: impl FnOnce(Request) -> ClientUse,
    ) -> Result<ClientId, CallError> {
        let copy = request.clone();
        let client = self.layer.send(now, request, target, None)?;
        self.clients.insert(client, of(copy));
        Ok(client)
    }

    /// Headers that our INVITEs, their 2xx and target refreshes have.
    pub(super) fn describe(&self, headers: &mut Headers) {
        if !headers.contains(name::ALLOW) {
            headers.push(name::ALLOW, self.config.capabilities.allow());
        }
        if !headers.contains(name::SUPPORTED) {
            headers.push(name::SUPPORTED, self.config.capabilities.extensions.join(", "));
        }
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.layer.poll_event() {
            match event {
                TransactionEvent::Request { server, request, flow, local_tag } => {
                    self.handle_request(now, server, request, flow, local_tag);
                }
                TransactionEvent::Ack { request, flow } => self.handle_ack(now, &request, &flow),
                TransactionEvent::Cancelled { server, cancel } => self.handle_cancel(now, server, cancel),
                TransactionEvent::Response { client, response, .. } => self.handle_response(now, client, response),
                TransactionEvent::ClientTimeout { client } => {
                    self.fail_client(now, client, StatusCode::REQUEST_TIMEOUT)
                }
                TransactionEvent::ClientUnreachable { client } => {
                    self.fail_client(now, client, StatusCode::SERVICE_UNAVAILABLE);
                }
                TransactionEvent::ServerFailed { server } => self.fail_server(now, server),
            }
        }
    }

    fn handle_request(&mut self, now: Instant, server: ServerId, request: Request, flow: Flow, local_tag: String) {
        self.servers.insert(server, ServerUse::Outside(local_tag.clone()));
        if let Err(response) = self.config.capabilities.inspect(&request) {
            return self.respond_final(now, server, *response);
        }
        let (Ok(to), Ok(from), Ok(call_id)) = (request.headers.to(), request.headers.from(), request.headers.call_id())
        else {
            return self.respond_plain(now, server, &request, StatusCode::BAD_REQUEST);
        };
        if let Some(tag) = to.tag() {
            let id = DialogId { call_id, local_tag: tag.to_owned(), remote_tag: from.tag().unwrap_or("").to_owned() };
            match self.by_id.get(&id).copied() {
                Some(dialog) if self.is_elsewhere(dialog, &flow) => {
                    self.servers.insert(server, ServerUse::Within(dialog));
                    self.events.push_back(CallEvent::Elsewhere { dialog, server, request: Box::new(request), flow });
                }
                Some(dialog) => {
                    self.servers.insert(server, ServerUse::Within(dialog));
                    self.handle_within(now, dialog, server, request, flow);
                }
                None => self.respond_plain(now, server, &request, StatusCode::CALL_DOES_NOT_EXIST),
            }
            return;
        }
        match request.method() {
            Method::Invite => self.handle_invite(now, server, request, flow, local_tag),
            Method::Bye | Method::Prack | Method::Update => {
                self.respond_plain(now, server, &request, StatusCode::CALL_DOES_NOT_EXIST);
            }
            _ => self.events.push_back(CallEvent::OutOfDialog { server, request: Box::new(request), flow }),
        }
    }

    fn handle_response(&mut self, now: Instant, client: ClientId, response: Response) {
        let status = response.status();
        match self.clients.get(&client) {
            Some(ClientUse::Invite(leg)) => {
                let leg = *leg;
                self.handle_invite_response(now, leg, response);
            }
            Some(ClientUse::Asking(dialog, _)) if status.is_final() => {
                let dialog = *dialog;
                self.handle_asking_response(now, dialog, client, response);
            }
            Some(ClientUse::Prack(dialog)) if status.is_final() => {
                let dialog = *dialog;
                self.clients.remove(&client);
                self.handle_prack_response(now, dialog, &response);
            }
            Some(ClientUse::Bye) if status.is_final() => drop(self.clients.remove(&client)),
            Some(ClientUse::Request(..)) if status.is_final() => self.finish_request(now, client, response),
            _ => {}
        }
    }

    fn fail_client(&mut self, now: Instant, client: ClientId, status: StatusCode) {
        match self.clients.get(&client) {
            Some(ClientUse::Invite(leg)) => {
                let leg = *leg;
                self.fail_invite(now, leg, status);
            }
            Some(ClientUse::Asking(dialog, request)) => {
                let (dialog, response) = (*dialog, request.respond(status));
                self.handle_asking_response(now, dialog, client, response);
            }
            Some(ClientUse::Prack(_) | ClientUse::Bye) => drop(self.clients.remove(&client)),
            Some(ClientUse::Request(_, request)) => {
                let response = request.respond(status);
                self.finish_request(now, client, response);
            }
            None => {}
        }
    }

    fn finish_request(&mut self, now: Instant, client: ClientId, response: Response) {
        let Some(ClientUse::Request(dialog, request)) = self.clients.remove(&client) else { return };
        let status = response.status();
        let response = Box::new(response);
        self.events.push_back(CallEvent::Response { dialog, client, response, request: Box::new(request) });
        if let Some(dialog) = dialog {
            self.end_if_gone(now, dialog, status);
        }
    }

    /// 481 and 408 end a dialog (RFC 5057 §5.1, RFC 3261 §12.2.1.2). One that is early ends with its INVITE.
    pub(super) fn end_if_gone(&mut self, now: Instant, dialog: DialogHandle, status: StatusCode) {
        let gone = matches!(status, StatusCode::CALL_DOES_NOT_EXIST | StatusCode::REQUEST_TIMEOUT);
        if gone && self.dialogs.get(&dialog).is_some_and(|entry| entry.dialog.is_confirmed()) {
            self.send_bye(now, dialog, None);
            self.end_dialog(now, dialog, EndCause::PeerGone(status));
        }
    }

    fn fail_server(&mut self, now: Instant, server: ServerId) {
        match self.servers.remove(&server) {
            Some(ServerUse::Invite(leg)) => self.fail_incoming(now, leg),
            Some(ServerUse::Within(dialog)) => {
                if let Some(entry) = self.dialogs.get_mut(&dialog)
                    && entry.asked.as_ref().is_some_and(|asked| asked.server == server)
                {
                    entry.asked = None;
                    entry.negotiation.roll_back();
                }
            }
            Some(ServerUse::Outside(_)) | None => {}
        }
    }
}

/// The default Contact for a leg on this flow.
pub(super) fn contact_for(flow: &Flow, secure: bool) -> NameAddr {
    let mut uri = crate::SipUri::new(None, flow.local.ip().into(), Some(flow.local.port()));
    uri.secure = secure;
    if flow.transport != crate::Transport::Udp {
        uri.set_param("transport", Some(&flow.transport.as_str().to_ascii_lowercase()));
    }
    NameAddr::new(Uri::Sip(uri))
}

pub(super) fn set_body_of(request: &mut Request, body: Option<&Body>) {
    if let Some(body) = body {
        request.set_body(Some(&body.content_type), body.bytes.clone());
    }
}
