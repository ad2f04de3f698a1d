//! The table of transactions and its timers.

use super::client::{self, ClientMachine};
use super::key::{client_key, merge_key, server_key};
use super::server::{self, ServerMachine};
use super::{
    ClientId, ServerId, Target, TransactionConfig, TransactionError, TransactionEvent, TransactionId, Transmit, Verdict,
};
use crate::tokens::Tokens;
use crate::{CSeq, Fault, Flow, Message, Method, Reason, Request, Response, StatusCode, Via, name};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

/// All transactions of one element. See the crate page for the order of calls.
pub struct TransactionLayer {
    config: TransactionConfig,
    tokens: Tokens,
    /// Makes tags of answers that leave no state behind the same for the same request (RFC 3261 §8.2.7).
    tag_secret: [u8; 32],
    next_id: u64,
    clients: HashMap<ClientId, Client>,
    clients_by_key: HashMap<String, ClientId>,
    servers: HashMap<ServerId, Server>,
    servers_by_key: HashMap<String, ServerId>,
    servers_by_merge_key: HashMap<String, ServerId>,
    deadlines: BTreeSet<(Instant, TransactionId)>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<TransactionEvent>,
}

struct Client {
    machine: ClientMachine,
    request: Request,
    bytes: Vec<u8>,
    flow: Flow,
    key: String,
    cancel: Cancel,
    /// A CANCEL of ours: nobody hears of its end.
    silent: bool,
    scheduled: Option<Instant>,
}

enum Cancel {
    No,
    /// Waits for a provisional response (RFC 3261 §9.1).
    Wanted(Option<Reason>),
    Sent,
}

struct Server {
    machine: ServerMachine,
    key: String,
    merge_key: Option<String>,
    /// Where responses go.
    flow: Flow,
    local_tag: String,
    /// 100 until the user gives its first response.
    last: Vec<u8>,
    answered: bool,
    scheduled: Option<Instant>,
}

impl TransactionLayer {
    /// An empty table. The seed is secret: it makes branches and tags.
    pub fn new(config: TransactionConfig, seed: [u8; 32]) -> Self {
        let mut tokens = Tokens::new(seed);
        let tag_secret = tokens.seed();
        Self {
            config,
            tokens,
            tag_secret,
            next_id: 1,
            clients: HashMap::new(),
            clients_by_key: HashMap::new(),
            servers: HashMap::new(),
            servers_by_key: HashMap::new(),
            servers_by_merge_key: HashMap::new(),
            deadlines: BTreeSet::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes a message that [`receive`](crate::receive) accepted. Noise on the wire is a [`Verdict`], never an error.
    pub fn handle_message(&mut self, now: Instant, message: Message, flow: Flow) -> Verdict {
        let verdict = match message {
            Message::Request(request) => self.handle_request(now, request, flow),
            Message::Response(response) => self.handle_response(now, response, flow),
        };
        verdict.unwrap_or_else(Verdict::Malformed)
    }

    /// The transport could not send. A client transaction is over; a server transaction too, since its response is lost.
    pub fn handle_transport_error(&mut self, transaction: TransactionId) {
        match transaction {
            TransactionId::Client(id) => {
                if let Some(client) = self.clients.get(&id) {
                    // After the final response only an ACK can have failed: the peer repeats its response.
                    let over = matches!(client.machine.state, client::State::Completed | client::State::Accepted);
                    let silent = client.silent;
                    if !over {
                        self.remove_client(id);
                        if !silent {
                            self.events.push_back(TransactionEvent::ClientUnreachable { client: id });
                        }
                    }
                }
            }
            TransactionId::Server(id) => {
                if self.remove_server(id) {
                    self.events.push_back(TransactionEvent::ServerFailed { server: id });
                }
            }
        }
    }

    /// Runs all timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > now {
                break;
            }
            match id {
                TransactionId::Client(id) => self.expire_client(now, id),
                TransactionId::Server(id) => self.expire_server(now, id),
            }
        }
    }

    /// When [`TransactionLayer::handle_timeout`] is due; `None` while no transaction waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TransactionEvent> {
        self.events.pop_front()
    }

    /// Client and server transactions at this moment.
    pub fn len(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// A fresh tag, branch or Call-ID.
    pub fn token(&mut self) -> String {
        self.tokens.token()
    }

    /// Sends a request in a client transaction of its own. The layer puts our Via on top, with a fresh branch. An ACK goes by
    /// [`TransactionLayer::send_ack`], a CANCEL by [`TransactionLayer::cancel`].
    ///
    /// `loop_token` is what [`LoopGuard::token`](crate::LoopGuard::token) said of the request that this one carries on.
    pub fn send(
        &mut self,
        now: Instant,
        mut request: Request,
        target: &Target,
        loop_token: Option<&str>,
    ) -> Result<ClientId, TransactionError> {
        if self.clients.len() >= self.config.max_clients {
            return Err(TransactionError::Exhausted);
        }
        let branch = self.push_via(&mut request, target, loop_token);
        let key = client_key(&branch, request.method());
        Ok(self.start_client(now, request, target.flow, key, false))
    }

    /// Sends the ACK of a 2xx, outside of any transaction. Send what is returned again whenever the 2xx comes again.
    pub fn send_ack(&mut self, mut request: Request, target: &Target) -> Transmit {
        self.push_via(&mut request, target, None);
        let transmit = Transmit { flow: target.flow, bytes: request.to_bytes(), transaction: None };
        self.transmits.push_back(transmit.clone());
        transmit
    }

    /// Sends a message as it is, again.
    pub fn send_again(&mut self, transmit: Transmit) {
        self.transmits.push_back(transmit);
    }

    /// Gives up an INVITE. The CANCEL goes out at once or with the first provisional response; the final response, 487 as a
    /// rule but perhaps a 2xx that crossed it, still comes as an event.
    pub fn cancel(&mut self, now: Instant, client: ClientId, reason: Option<Reason>) -> Result<(), TransactionError> {
        let entry = self.clients.get_mut(&client).ok_or(TransactionError::Unknown)?;
        if !entry.machine.invite || !matches!(entry.cancel, Cancel::No) {
            return Err(TransactionError::NotAllowed);
        }
        match entry.machine.state {
            client::State::Calling => entry.cancel = Cancel::Wanted(reason),
            client::State::Proceeding => self.send_cancel(now, client, reason),
            client::State::Completed | client::State::Accepted => return Err(TransactionError::NotAllowed),
        }
        Ok(())
    }

    /// Answers a request. The caller has given To its tag.
    pub fn respond(&mut self, now: Instant, server: ServerId, response: &Response) -> Result<(), TransactionError> {
        let entry = self.servers.get_mut(&server).ok_or(TransactionError::Unknown)?;
        entry.machine.handle_reply(now, response.status())?;
        let bytes = response.to_bytes();
        entry.answered = true;
        entry.last.clone_from(&bytes);
        let transmit = Transmit { flow: entry.flow, bytes, transaction: Some(TransactionId::Server(server)) };
        self.transmits.push_back(transmit);
        if response.status().class() > 2
            && let Some(key) = self.servers.get_mut(&server).and_then(|entry| entry.merge_key.take())
        {
            // The request may be tried again by another way.
            self.servers_by_merge_key.remove(&key);
        }
        self.reschedule_server(server);
        Ok(())
    }

    /// Answers a request of somebody of whom nothing is proven, and forgets it: the response is not repeated, and a copy of the
    /// request is a request of its own (RFC 3261 §26.3.2.4). Otherwise whoever forges a source has us send there a response eleven
    /// times, and each such request takes a place for 32 s. The caller has given To its tag.
    pub fn respond_once(&mut self, server: ServerId, response: &Response) -> Result<(), TransactionError> {
        let entry = self.servers.get(&server).ok_or(TransactionError::Unknown)?;
        if entry.machine.state != server::State::Proceeding || response.status().is_provisional() {
            return Err(TransactionError::NotAllowed);
        }
        self.transmits.push_back(Transmit { flow: entry.flow, bytes: response.to_bytes(), transaction: None });
        self.remove_server(server);
        Ok(())
    }

    fn push_via(&mut self, request: &mut Request, target: &Target, loop_token: Option<&str>) -> String {
        let mut branch = format!("{}{}", Via::MAGIC_COOKIE, self.tokens.token());
        if let Some(token) = loop_token {
            branch.push('.');
            branch.push_str(token);
        }
        let mut via = Via::new(target.flow.transport.as_str(), target.sent_by.clone(), &branch);
        if !target.flow.transport.is_reliable() {
            via.params.set("rport", None);
        }
        request.headers.push_front(name::VIA, via);
        branch
    }

    fn start_client(&mut self, now: Instant, request: Request, flow: Flow, key: String, silent: bool) -> ClientId {
        let id = ClientId(self.next_id);
        self.next_id += 1;
        let invite = *request.method() == Method::Invite;
        let bytes = request.to_bytes();
        self.transmits.push_back(Transmit { flow, bytes: bytes.clone(), transaction: Some(TransactionId::Client(id)) });
        let machine = ClientMachine::new(invite, flow.transport.is_reliable(), now, self.config);
        self.clients_by_key.insert(key.clone(), id);
        let client = Client { machine, request, bytes, flow, key, cancel: Cancel::No, silent, scheduled: None };
        self.clients.insert(id, client);
        self.reschedule_client(id);
        id
    }

    fn send_cancel(&mut self, now: Instant, id: ClientId, reason: Option<Reason>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.cancel = Cancel::Sent;
        client.machine.cancel_sent(now);
        let mut cancel = derived(&client.request, Method::Cancel);
        cancel.headers.copy(&client.request.headers, name::TO);
        if let Some(reason) = reason {
            cancel.headers.push(name::REASON, reason);
        }
        cancel.headers.push(name::CONTENT_LENGTH, 0);
        let flow = client.flow;
        self.reschedule_client(id);
        if let Some(branch) = cancel.headers.via().ok().and_then(|via| via.branch().map(str::to_owned)) {
            let key = client_key(&branch, &Method::Cancel);
            self.start_client(now, cancel, flow, key, true);
        }
    }

    fn handle_response(&mut self, now: Instant, response: Response, flow: Flow) -> Result<Verdict, Fault> {
        let vias = response.headers.vias()?;
        let [via] = vias.as_slice() else { return Ok(Verdict::ResponseMisrouted) };
        let method = response.headers.cseq()?.method;
        let key = via.branch().map(|branch| client_key(branch, &method));
        let Some(&id) = key.and_then(|key| self.clients_by_key.get(&key)) else {
            return Ok(Verdict::ResponseUnmatched);
        };
        let Some(client) = self.clients.get_mut(&id) else { return Ok(Verdict::ResponseUnmatched) };
        let reaction = client.machine.handle_response(now, response.status());
        if reaction.acknowledge {
            let mut ack = derived(&client.request, Method::Ack);
            ack.headers.copy(&response.headers, name::TO);
            for name in [name::AUTHORIZATION, name::PROXY_AUTHORIZATION] {
                ack.headers.copy(&client.request.headers, name);
            }
            ack.headers.push(name::CONTENT_LENGTH, 0);
            let transaction = Some(TransactionId::Client(id));
            self.transmits.push_back(Transmit { flow: client.flow, bytes: ack.to_bytes(), transaction });
        }
        let wanted = match &mut client.cancel {
            Cancel::Wanted(reason) if client.machine.state == client::State::Proceeding => Some(reason.take()),
            _ => None,
        };
        let silent = client.silent;
        self.reschedule_client(id);
        if let Some(reason) = wanted {
            self.send_cancel(now, id, reason);
        }
        if !reaction.pass {
            return Ok(Verdict::ResponseRepeated);
        }
        if !silent {
            self.events.push_back(TransactionEvent::Response { client: id, response, flow });
        }
        Ok(Verdict::Response)
    }

    fn handle_request(&mut self, now: Instant, mut request: Request, flow: Flow) -> Result<Verdict, Fault> {
        let mut via = request.headers.via()?;
        let written = via.to_string();
        via.record_source(flow.peer);
        if via.to_string() != written {
            request.headers.replace_first_element(name::VIA, &via);
        }
        let mut reply_flow = flow;
        if !flow.transport.is_reliable() {
            reply_flow.peer = via.response_address().unwrap_or(flow.peer);
        }
        let method = request.method().clone();
        let source = flow.peer.ip();
        let key = server_key(&request, &via, &method, source)?;
        if method == Method::Ack {
            return Ok(self.handle_ack(now, request, flow, &key));
        }
        if method == Method::Cancel {
            let invite_key = server_key(&request, &via, &Method::Invite, source)?;
            return Ok(self.handle_cancel(request, reply_flow, &invite_key));
        }
        if let Some(&id) = self.servers_by_key.get(&key) {
            self.repeat_response(id);
            return Ok(Verdict::RequestRepeated);
        }
        let merge_key = merge_key(&request);
        if merge_key.as_ref().is_some_and(|key| self.servers_by_merge_key.contains_key(key)) {
            self.respond_stateless(&request, StatusCode::LOOP_DETECTED, reply_flow, None);
            return Ok(Verdict::Merged);
        }
        if self.servers.len() >= self.config.max_servers {
            self.respond_stateless(&request, StatusCode::SERVICE_UNAVAILABLE, reply_flow, None);
            return Ok(Verdict::Overloaded);
        }
        let id = ServerId(self.next_id);
        self.next_id += 1;
        let invite = method == Method::Invite;
        let local_tag = self.tokens.token();
        let server = Server {
            machine: ServerMachine::new(invite, flow.transport.is_reliable(), now, self.config),
            key: key.clone(),
            merge_key: merge_key.clone(),
            flow: reply_flow,
            local_tag: local_tag.clone(),
            last: request.respond(StatusCode::TRYING).to_bytes(),
            answered: false,
            scheduled: None,
        };
        self.servers.insert(id, server);
        self.servers_by_key.insert(key, id);
        if let Some(key) = merge_key {
            self.servers_by_merge_key.insert(key, id);
        }
        self.reschedule_server(id);
        self.events.push_back(TransactionEvent::Request { server: id, request, flow, local_tag });
        Ok(Verdict::Request)
    }

    fn handle_ack(&mut self, now: Instant, request: Request, flow: Flow, key: &str) -> Verdict {
        if let Some(&id) = self.servers_by_key.get(key)
            && let Some(server) = self.servers.get_mut(&id)
            && server.machine.handle_ack(now)
        {
            self.reschedule_server(id);
            return Verdict::AckAbsorbed;
        }
        self.events.push_back(TransactionEvent::Ack { request, flow });
        Verdict::Ack
    }

    /// Answered without a transaction: a repeated CANCEL gets the same answer.
    fn handle_cancel(&mut self, cancel: Request, flow: Flow, invite_key: &str) -> Verdict {
        let Some(id) = self.servers_by_key.get(invite_key).copied() else {
            self.respond_stateless(&cancel, StatusCode::CALL_DOES_NOT_EXIST, flow, None);
            return Verdict::CancelUnmatched;
        };
        let Some(server) = self.servers.get(&id) else { return Verdict::CancelUnmatched };
        let pending = server.machine.state == server::State::Proceeding;
        let tag = server.local_tag.clone();
        self.respond_stateless(&cancel, StatusCode::OK, flow, Some(&tag));
        if !pending {
            return Verdict::CancelLate;
        }
        self.events.push_back(TransactionEvent::Cancelled { server: id, cancel });
        Verdict::Cancelled
    }

    /// RFC 3261 §17.2.1, §17.2.2: the last response again. A request that nobody answered yet gets its 100 if it is an INVITE.
    fn repeat_response(&mut self, id: ServerId) {
        let Some(server) = self.servers.get(&id) else { return };
        let repeats = match server.machine.state {
            server::State::Proceeding => server.answered || server.machine.invite,
            server::State::Completed => true,
            // The 2xx is repeated by the user (RFC 6026 §7.1); a confirmed response by nobody.
            server::State::Accepted | server::State::Confirmed => false,
        };
        if repeats {
            self.transmit_last(id);
        }
    }

    fn transmit_last(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get(&id) {
            let transaction = Some(TransactionId::Server(id));
            self.transmits.push_back(Transmit { flow: server.flow, bytes: server.last.clone(), transaction });
        }
    }

    fn respond_stateless(&mut self, request: &Request, status: StatusCode, flow: Flow, tag: Option<&str>) {
        let mut response = request.respond(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers.push(name::RETRY_AFTER, self.config.overload_retry_after);
        }
        match tag {
            Some(tag) => response.set_to_tag(tag),
            None => {
                let mut hasher = DefaultHasher::new();
                self.tag_secret.hash(&mut hasher);
                for name in [name::VIA, name::CALL_ID, name::FROM] {
                    request.headers.value(name).hash(&mut hasher);
                }
                response.set_to_tag(&format!("{:016x}", hasher.finish()));
            }
        }
        self.transmits.push_back(Transmit { flow, bytes: response.to_bytes(), transaction: None });
    }

    fn expire_client(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match client.machine.handle_timeout(now) {
            Some(client::Expiry::Retransmit) => {
                let transaction = Some(TransactionId::Client(id));
                self.transmits.push_back(Transmit { flow: client.flow, bytes: client.bytes.clone(), transaction });
            }
            Some(client::Expiry::Cancel) => self.send_cancel(now, id, None),
            Some(client::Expiry::TimedOut) => {
                let silent = client.silent;
                self.remove_client(id);
                if !silent {
                    self.events.push_back(TransactionEvent::ClientTimeout { client: id });
                }
            }
            Some(client::Expiry::Over) => self.remove_client(id),
            None => {}
        }
        self.reschedule_client(id);
    }

    fn expire_server(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        match server.machine.handle_timeout(now) {
            Some(server::Expiry::Trying) => {
                server.answered = true;
                self.transmit_last(id);
            }
            Some(server::Expiry::Retransmit) => self.transmit_last(id),
            Some(server::Expiry::Failed) => {
                self.remove_server(id);
                self.events.push_back(TransactionEvent::ServerFailed { server: id });
            }
            Some(server::Expiry::Over) => drop(self.remove_server(id)),
            None => {}
        }
        self.reschedule_server(id);
    }

    fn remove_client(&mut self, id: ClientId) {
        if let Some(client) = self.clients.remove(&id) {
            self.clients_by_key.remove(&client.key);
            if let Some(at) = client.scheduled {
                self.deadlines.remove(&(at, TransactionId::Client(id)));
            }
        }
    }

    fn remove_server(&mut self, id: ServerId) -> bool {
        let Some(server) = self.servers.remove(&id) else { return false };
        self.servers_by_key.remove(&server.key);
        if let Some(key) = server.merge_key {
            self.servers_by_merge_key.remove(&key);
        }
        if let Some(at) = server.scheduled {
            self.deadlines.remove(&(at, TransactionId::Server(id)));
        }
        true
    }

    fn reschedule_client(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            let deadline = client.machine.deadline();
            reschedule(&mut self.deadlines, TransactionId::Client(id), &mut client.scheduled, deadline);
        }
    }

    fn reschedule_server(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(&id) {
            let deadline = server.machine.deadline();
            reschedule(&mut self.deadlines, TransactionId::Server(id), &mut server.scheduled, deadline);
        }
    }
}

fn reschedule(
    deadlines: &mut BTreeSet<(Instant, TransactionId)>,
    id: TransactionId,
    scheduled: &mut Option<Instant>,
    deadline: Option<Instant>,
) {
    if *scheduled != deadline {
        if let Some(at) = scheduled.take() {
            deadlines.remove(&(at, id));
        }
        deadlines.extend(deadline.map(|at| (at, id)));
        *scheduled = deadline;
    }
}

/// The ACK of a final response other than 2xx (RFC 3261 §17.1.1.3) or a CANCEL (§9.1), without To.
fn derived(request: &Request, method: Method) -> Request {
    let mut derived = Request::new(method.clone(), request.uri().clone());
    if let Ok(via) = request.headers.via() {
        derived.headers.push(name::VIA, via);
    }
    derived.headers.push(name::MAX_FORWARDS, 70);
    for name in [name::ROUTE, name::FROM, name::CALL_ID] {
        derived.headers.copy(&request.headers, name);
    }
    if let Ok(cseq) = request.headers.cseq() {
        derived.headers.push(name::CSEQ, CSeq { number: cseq.number, method });
    }
    derived
}
