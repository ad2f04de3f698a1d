//! Phones (user agents of our own SIP crate), the network between, the session, and a pump that binds whatever it is asked for.

mod restart;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use control::{CallKey, CallStatistics, Command, Event, Plan, TransportEvent, TransportId};
use sallyport_b2bua::{
    B2bua, B2buaConfig, Destination, Fact, Output, Pattern, Route, RouteSource, Trunk, UriTarget, Users,
};
use session::{Clocks, EndReason, Interface, Output as SessionOutput, Session, SessionConfig};
use sip::{
    Body, CallEvent, Carriage, DialogHandle, Flow, Headers, LegId, Limits, Method, Received, Request, Response,
    StatusCode, Target, Transport, Uri, UserAgent, UserAgentConfig, receive,
};

pub(crate) const US: &str = "192.0.2.1:5060";
pub(crate) const ALICE: &str = "192.0.2.10:5060";
pub(crate) const BOB: &str = "192.0.2.20:5060";
pub(crate) const CAROL: &str = "192.0.2.30:5060";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A phone.
pub(crate) struct Phone {
    pub(crate) agent: UserAgent,
    pub(crate) events: VecDeque<CallEvent>,
    /// An offer that waits for its answer.
    pub(crate) offer: Option<String>,
    transport: Transport,
    connection: u64,
}

pub(crate) struct World {
    pub(crate) b2bua: B2bua,
    pub(crate) session: Session,
    pub(crate) phones: BTreeMap<SocketAddr, Phone>,
    pub(crate) now: Instant,
    /// All that we were sent.
    pub(crate) heard: Vec<Vec<u8>>,
    /// The last message of each phone.
    pub(crate) last: HashMap<SocketAddr, Vec<u8>>,
    /// What crossed the network: `alice INVITE`, `us>bob INVITE`.
    pub(crate) log: Vec<String>,
    /// All that we sent, by receiver.
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) ended: Vec<(String, EndReason)>,
    /// What stays of calls.
    pub(crate) over: Vec<sallyport_b2bua::CallFacts>,
    pub(crate) plans: HashMap<CallKey, Plan>,
    pub(crate) open: HashMap<CallKey, BTreeMap<TransportId, SocketAddr>>,
    /// Who does not hear anything.
    pub(crate) deaf: Vec<SocketAddr>,
    /// Datagrams on their way: to whom, from whom.
    wire: VecDeque<(Flow, Vec<u8>)>,
    to_session: VecDeque<(session::Token, session::Request)>,
    /// Where names are.
    pub(crate) located: HashMap<String, Vec<SocketAddr>>,
    config: B2buaConfig,
    users: Users,
    session_config: SessionConfig,
    clocks: Clocks,
    /// What the session was to remember, in its order.
    pub(crate) remembered: Vec<Vec<u8>>,
    /// How many processes there were before this one.
    pub(crate) restarts: u8,
}

pub(crate) fn sdp(name: &str, address: &str, media: &str) -> String {
    let media = media.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(|line| [line, "\r\n"]);
    let media: String = media.collect();
    format!("v=0\r\no={name} 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{media}")
}

/// Plain RTP of a phone.
pub(crate) fn plain(name: &str, address: &str) -> Body {
    Body::sdp(sdp(name, address, "m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na=sendrecv"))
}

/// The network of the phones is a trunk, `bob` and `carol` are where they are.
pub(crate) fn config() -> B2buaConfig {
    let mut config = B2buaConfig::new("sallyport.example");
    let to = |name: &str, address: &str| Route {
        pattern: Pattern::new(name),
        from: RouteSource::Anybody,
        to: Destination::Targets(vec![vec![target(&format!("sip:{name}@{address}"))]]),
    };
    config.routes.splice(0..0, [to("bob", BOB), to("carol", CAROL)]);
    config.trunks.push(Trunk {
        name: "phones".into(),
        uri: Uri::parse("sip:192.0.2.20").expect("a URI"),
        account: None,
        addresses: vec![("192.0.2.0".parse().expect("an address"), 24)],
        identities: Vec::new(),
        max_calls: None,
        policy: Default::default(),
    });
    config
}

pub(crate) fn target(uri: &str) -> UriTarget {
    UriTarget::Uri(Uri::parse(uri).expect("a URI"))
}

pub(crate) fn none() -> Headers {
    Headers::new()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: B2buaConfig) -> Self {
        Self::with_users(config, Users::default())
    }

    pub(crate) fn with_users(config: B2buaConfig, users: Users) -> Self {
        Self::build(config, users, |_| {})
    }

    pub(crate) fn build(config: B2buaConfig, users: Users, edit: impl Fn(&mut SessionConfig)) -> Self {
        let now = Instant::now();
        let clocks = Clocks { instant: now, system: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) };
        let mut session = SessionConfig {
            interfaces: vec![Interface::new("default", "203.0.113.7".parse().expect("an address"))],
            fingerprints: vec![
                control::Fingerprint::new(control::HashAlgorithm::Sha256, &[0xAB; 32]).expect("32 bytes"),
            ],
            ..SessionConfig::default()
        };
        edit(&mut session);
        session.split = config.remember;
        let mut b2bua = B2bua::new(config.clone(), users.clone(), now, [5; 32], 1 << 62);
        b2bua.set_clocks(clocks);
        let mut world = Self {
            b2bua,
            session: Session::new(session.clone(), clocks, [7; 32]),
            phones: BTreeMap::new(),
            now,
            heard: Vec::new(),
            last: HashMap::new(),
            log: Vec::new(),
            sent: Vec::new(),
            facts: Vec::new(),
            ended: Vec::new(),
            over: Vec::new(),
            plans: HashMap::new(),
            open: HashMap::new(),
            deaf: Vec::new(),
            wire: VecDeque::new(),
            to_session: VecDeque::new(),
            located: HashMap::new(),
            config,
            users,
            session_config: session,
            clocks,
            remembered: Vec::new(),
            restarts: 0,
        };
        if world.config.remember {
            world.connect();
        }
        for phone in [ALICE, BOB, CAROL] {
            world.add(phone, Transport::Udp, 0);
        }
        world
    }

    pub(crate) fn add(&mut self, at: &str, transport: Transport, connection: u64) {
        let at = address(at);
        let seed = [u8::try_from(self.phones.len()).expect("few phones") + 40; 32];
        let mut config = UserAgentConfig { session_timer: None, ..UserAgentConfig::default() };
        let types = ["application/dtmf-relay", "message/sipfrag", "application/pkcs7-mime"];
        config.capabilities.content_types.extend(types.map(String::from));
        let agent = UserAgent::new(config, seed);
        self.phones.insert(at, Phone { agent, events: VecDeque::new(), offer: None, transport, connection });
    }

    /// The flow between us and a phone, as we see it.
    pub(crate) fn flow(&self, phone: &str) -> Flow {
        let peer = address(phone);
        let own = &self.phones[&peer];
        Flow { transport: own.transport, local: address(US), peer, connection: own.connection }
    }

    fn name(at: SocketAddr) -> &'static str {
        match at.ip().to_string().as_str() {
            "192.0.2.10" => "alice",
            "192.0.2.20" => "bob",
            "192.0.2.30" => "carol",
            _ => "other",
        }
    }

    pub(crate) fn phone(&mut self, at: &str) -> &mut Phone {
        self.phones.get_mut(&address(at)).expect("a phone")
    }

    /// An INVITE of a phone.
    pub(crate) fn invitation(from: &str, to: &str, offer: Option<Body>) -> Request {
        let uri = Uri::parse(to).expect("a URI");
        let mut request = Request::new(Method::Invite, uri);
        let name = Self::name(address(from));
        let headers = &mut request.headers;
        headers.push("Max-Forwards", 70);
        headers.push("From", format!("\"{name} of a\" <sip:{name}@a.example>;tag={name}-tag"));
        headers.push("To", format!("<{to}>"));
        headers.push("Call-ID", format!("{name}-call@a.example"));
        headers.push("CSeq", "1 INVITE");
        headers.push("Contact", format!("<sip:{name}@{from}>"));
        headers.push("Subject", "lunch");
        headers.push("X-Secret", "stays here");
        match offer {
            Some(offer) => request.set_body(Some(&offer.content_type), offer.bytes),
            None => request.set_body(None, Vec::new()),
        }
        request
    }

    pub(crate) fn call(&mut self, from: &str, request: Request) -> LegId {
        let (now, at) = (self.now, address(from));
        let own = &self.phones[&at];
        let flow = Flow { transport: own.transport, local: at, peer: address(US), connection: 1 };
        let leg = self.phone(from).agent.invite(now, request, Target { flow, sent_by: at.into() });
        self.settle();
        leg.expect("it can call")
    }

    pub(crate) fn alice_calls_bob(&mut self) -> LegId {
        self.call(ALICE, Self::invitation(ALICE, "sip:bob@sallyport.example", Some(plain("alice", "192.0.2.10"))))
    }

    /// A text as if a phone had sent it.
    pub(crate) fn inject(&mut self, from: &str, text: String) {
        let flow = Flow::udp(address(from), address(US));
        self.wire.push_back((flow, text.into_bytes()));
        self.settle();
    }

    /// Everything is delivered and carried out.
    pub(crate) fn settle(&mut self) {
        loop {
            self.collect();
            if let Some((token, request)) = self.to_session.pop_front() {
                self.session.handle_request(self.now, token, request);
                continue;
            }
            let Some((flow, bytes)) = self.wire.pop_front() else { break };
            self.deliver(flow, &bytes);
        }
    }

    /// One message is delivered; false if there is none.
    pub(crate) fn deliver_one(&mut self) -> bool {
        self.collect();
        while let Some((token, request)) = self.to_session.pop_front() {
            self.session.handle_request(self.now, token, request);
            self.collect();
        }
        let Some((flow, bytes)) = self.wire.pop_front() else { return false };
        self.deliver(flow, &bytes);
        self.collect();
        true
    }

    pub(crate) fn collect(&mut self) {
        loop {
            let before = self.log.len() + self.wire.len() + self.to_session.len() + self.facts.len();
            self.collect_session();
            while let Some(output) = self.b2bua.poll_output() {
                match output {
                    Output::Transmit(transmit) => {
                        let peer = transmit.flow.peer;
                        if self.is_gone(&transmit.flow) {
                            if let Some(transaction) = transmit.transaction {
                                self.b2bua.handle_transport_error(self.now, transaction);
                            }
                            continue;
                        }
                        self.log.push(format!("us>{} {}", Self::name(peer), first_line(&transmit.bytes)));
                        self.sent.push((peer, transmit.bytes.clone()));
                        self.wire.push_back((transmit.flow, transmit.bytes));
                    }
                    Output::Session(token, request) => {
                        if let session::Request::Remember(remember) = &*request {
                            self.remembered.push(remember.state.to_vec());
                        }
                        self.to_session.push_back((token, *request));
                    }
                    Output::Locate { lookup, uri } => {
                        let targets = self.locate(&uri);
                        self.b2bua.handle_located(self.now, lookup, targets);
                    }
                    Output::Log(fact) => self.facts.push(fact),
                    Output::Over(facts) => self.over.push(*facts),
                }
            }
            for (at, phone) in &mut self.phones {
                while let Some(transmit) = phone.agent.poll_transmit() {
                    self.log.push(format!("{} {}", Self::name(*at), first_line(&transmit.bytes)));
                    self.last.insert(*at, transmit.bytes.clone());
                    self.wire.push_back((transmit.flow, transmit.bytes));
                }
                while let Some(event) = phone.agent.poll_event() {
                    phone.events.push_back(event);
                }
            }
            if before == self.log.len() + self.wire.len() + self.to_session.len() + self.facts.len() {
                break;
            }
        }
    }

    fn locate(&mut self, uri: &Uri) -> Result<Vec<Target>, String> {
        let Uri::Sip(uri) = uri else { return Err("no SIP URI".into()) };
        let host = uri.host.to_string();
        let found = self.located.get(&host).cloned().unwrap_or_else(|| {
            host.parse().map(|ip| vec![SocketAddr::new(ip, uri.port.unwrap_or(5060))]).unwrap_or_default()
        });
        if found.is_empty() {
            return Err(format!("{host} has no address"));
        }
        let target = |peer: SocketAddr| {
            let (transport, connection) =
                self.phones.get(&peer).map_or((Transport::Udp, 0), |phone| (phone.transport, phone.connection));
            let flow = Flow { transport, local: address(US), peer, connection };
            Target { flow, sent_by: address(US).into() }
        };
        Ok(found.into_iter().map(target).collect())
    }

    fn collect_session(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                SessionOutput::Command(worker, command) => {
                    if let Some(event) = self.obey(command) {
                        self.session.handle_event(self.now, worker, event);
                    }
                }
                SessionOutput::Reply(token, reply) => self.b2bua.handle_reply(self.now, token, reply),
                SessionOutput::KeyNearlySpent { call_id, tag, .. } => {
                    self.b2bua.handle_key_nearly_spent(self.now, &call_id, &tag);
                }
                SessionOutput::Restored { call_id, state } => {
                    self.b2bua.handle_restored(self.now, &call_id, &state);
                }
                SessionOutput::Ended { call_id, reason, .. } => {
                    self.b2bua.handle_ended(self.now, &call_id, reason);
                    self.ended.push((call_id, reason));
                }
            }
        }
    }

    fn obey(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Open { request, call, ports } => {
                for port in ports {
                    self.open.entry(call).or_default().insert(port.transport, port.local);
                }
                Some(Event::Opened { request, call })
            }
            Command::Apply { call, plan } => {
                if let Some(open) = self.open.get_mut(&call) {
                    open.retain(|id, _| plan.transports.iter().any(|transport| transport.id == *id));
                }
                self.plans.insert(call, *plan);
                None
            }
            Command::Query { request, call } => {
                Some(Event::Statistics { request, call, statistics: Some(Box::new(CallStatistics::default())) })
            }
            Command::Remove { call } => {
                self.plans.remove(&call);
                self.open.remove(&call)?;
                Some(Event::Removed { call, statistics: Box::default() })
            }
            Command::Snapshot { request, .. } => {
                let calls = self.open.keys().map(|call| self.snapshot(*call)).collect();
                Some(Event::Snapshot { request, calls, more: false })
            }
        }
    }

    /// A worker tells of all transports of the only call.
    pub(crate) fn worker_tells(&mut self, event: &TransportEvent, which: impl Fn(&control::TransportPlan) -> bool) {
        let (&call, plan) = self.plans.iter().next().expect("a call");
        let transports: Vec<TransportId> =
            plan.transports.iter().filter(|plan| which(plan)).map(|plan| plan.id).collect();
        for transport in transports {
            let event = Event::Transport { call, transport, event: event.clone() };
            self.session.handle_event(self.now, control::WorkerId(0), event);
        }
        self.settle();
    }

    /// Of the only call.
    pub(crate) fn plan(&self) -> &Plan {
        assert_eq!(self.plans.len(), 1);
        self.plans.values().next().expect("one call")
    }

    pub(crate) fn worker_says_idle(&mut self) {
        let call = *self.plans.keys().next().expect("a call");
        self.session.handle_event(self.now, control::WorkerId(0), Event::Idle { call });
        self.settle();
    }

    pub(crate) fn all_workers_say_idle(&mut self) {
        let calls: Vec<CallKey> = self.open.keys().copied().collect();
        for call in calls {
            self.session.handle_event(self.now, control::WorkerId(0), Event::Idle { call });
        }
        self.settle();
    }

    fn deliver(&mut self, flow: Flow, bytes: &[u8]) {
        let carriage = if flow.transport == Transport::Udp { Carriage::Datagram } else { Carriage::Stream };
        let message = match receive(bytes, carriage, &Limits::default()) {
            Received::Message(message) => message,
            Received::Refused { fault, .. } => panic!("{fault}: {}", String::from_utf8_lossy(bytes)),
        };
        let back = Flow { local: flow.peer, peer: flow.local, ..flow };
        if flow.peer == address(US) {
            self.heard.push(bytes.to_vec());
            let phone = self.phones.get(&flow.local).expect("a phone");
            let back = Flow { connection: phone.connection, ..back };
            self.b2bua.handle_message(self.now, message, back);
        } else if !self.deaf.contains(&flow.peer)
            && let Some(phone) = self.phones.get_mut(&flow.peer)
        {
            phone.agent.handle_message(self.now, message, back);
        }
    }

    /// Runs the clock for this long; everything is delivered at once.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let phones = self.phones.values().filter_map(|phone| phone.agent.poll_timeout());
            let next = phones.chain(self.b2bua.poll_timeout()).chain(self.session.poll_timeout()).min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.b2bua.handle_timeout(self.now);
            self.session.handle_timeout(self.now);
            for phone in self.phones.values_mut() {
                phone.agent.handle_timeout(self.now);
            }
        }
        self.now = end;
    }

    pub(crate) fn event(&mut self, at: &str) -> CallEvent {
        self.settle();
        let log = self.log.clone();
        self.phone(at).events.pop_front().unwrap_or_else(|| panic!("no event at {at}; {log:#?}"))
    }

    pub(crate) fn no_event(&mut self, at: &str) {
        self.settle();
        assert_eq!(self.phone(at).events.front(), None);
    }

    pub(crate) fn incoming(&mut self, at: &str) -> (LegId, Request) {
        match self.event(at) {
            CallEvent::Incoming { leg, request, .. } => (leg, *request),
            other => panic!("{other:?}"),
        }
    }

    /// The final response that a caller got.
    pub(crate) fn failure(&mut self, at: &str) -> Response {
        loop {
            match self.event(at) {
                CallEvent::Failed { response, .. } => return *response,
                CallEvent::Progress { .. } | CallEvent::Ended { cause: sip::EndCause::NotChosen, .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The 2xx that a caller got.
    pub(crate) fn answered(&mut self, at: &str) -> (DialogHandle, Response) {
        loop {
            match self.event(at) {
                CallEvent::Answered { dialog, response, .. } => return (dialog, *response),
                CallEvent::Progress { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn ring(&mut self, at: &str, leg: LegId, status: u16, body: Option<Body>) {
        let (now, status) = (self.now, StatusCode::new(status).expect("a status"));
        self.phone(at).agent.ring(now, leg, status, body, &none()).expect("it can ring");
        self.settle();
    }

    pub(crate) fn accept(&mut self, at: &str, leg: LegId, body: Option<Body>) -> DialogHandle {
        let now = self.now;
        let dialog = self.phone(at).agent.accept(now, leg, body, &none()).expect("it can accept");
        self.settle();
        dialog
    }

    pub(crate) fn reject(&mut self, at: &str, leg: LegId, status: u16) {
        let (now, status) = (self.now, StatusCode::new(status).expect("a status"));
        self.phone(at).agent.reject(now, leg, status, &none()).expect("it can reject");
        self.settle();
    }

    pub(crate) fn bye(&mut self, at: &str, dialog: DialogHandle) {
        let now = self.now;
        self.phone(at).agent.bye(now, dialog, None).expect("it can hang up");
        self.settle();
    }

    /// Alice calls Bob, and both talk.
    pub(crate) fn established(&mut self) -> [DialogHandle; 2] {
        self.alice_calls_bob();
        let (leg, _) = self.incoming(BOB);
        let bob = self.accept(BOB, leg, Some(plain("bob", "192.0.2.20")));
        let (alice, _) = self.answered(ALICE);
        assert!(matches!(self.event(BOB), CallEvent::Established { .. }));
        self.log.clear();
        [alice, bob]
    }

    pub(crate) fn take_log(&mut self) -> Vec<String> {
        self.settle();
        std::mem::take(&mut self.log)
    }

    /// Nothing is left anywhere after the longest timers.
    pub(crate) fn assert_forgotten(&mut self) {
        self.run(Duration::from_secs(300));
        assert!(self.b2bua.is_idle(), "{:?}; {:#?}", self.b2bua.len(), self.log);
        assert_eq!((self.session.call_count(), self.session.ports_in_use()), (0, 0));
        assert!(self.open.is_empty() && self.plans.is_empty());
        for (at, phone) in &self.phones {
            assert!(phone.agent.is_empty(), "{at}");
        }
    }

    /// Nothing that went to `to` tells of the others: no address, no tag, no Call-ID, no branch.
    pub(crate) fn assert_hidden(&self, to: &str, secrets: &[&str]) {
        for (_, bytes) in self.sent.iter().filter(|(peer, _)| *peer == address(to)) {
            let text = String::from_utf8_lossy(bytes);
            for secret in secrets {
                assert!(!text.contains(secret), "{secret} in\n{text}");
            }
        }
    }
}

pub(crate) fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    let method = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).and_then(|cseq| cseq.split(' ').nth(1));
    match line.strip_prefix("SIP/2.0 ") {
        Some(rest) => format!("{} {}", rest.split(' ').next().unwrap_or_default(), method.unwrap_or_default()),
        None => line.split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// Under which number an offer has AES_CM_128_HMAC_SHA1_80.
pub(crate) fn crypto_tag(offer: &str) -> &str {
    let line = offer.lines().find(|line| line.contains(" AES_CM_128_HMAC_SHA1_80 ")).expect("the suite");
    line.split([':', ' ']).nth(1).expect("a tag")
}

pub(crate) fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).expect("UTF-8")
}
