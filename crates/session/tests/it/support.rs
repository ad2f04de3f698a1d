//! A session, a clock and a tiny pump that binds every port it is asked for, unless told otherwise.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use control::frame::Welcome;
use control::{
    BindFailure, CallKey, CallSnapshot, CallStatistics, Command, Component, Counters, Diagnosis, Event, Fingerprint,
    HashAlgorithm, IceState, KeyingState, LegId, Plan, RequestId, TransportId, TransportStatistics, VerdictCounts,
};
use sallyport_session::{
    Clocks, Delete, Interface, Negotiation, Options, Output, Refusal, Reply, Request, RewrittenSdp, Session,
    SessionConfig, Token, WorkerId,
};

use crate::RESTARTS;

pub(crate) struct Bench {
    pub(crate) session: Session,
    config: SessionConfig,
    /// Which process the pump is.
    pub(crate) pump: u64,
    pub(crate) now: Instant,
    pub(crate) replies: HashMap<u64, Result<Reply, Refusal>>,
    pub(crate) ended: Vec<(String, sallyport_session::EndReason)>,
    /// What front doors got back.
    pub(crate) restored: Vec<(String, Vec<u8>)>,
    /// What is bound, by call.
    pub(crate) open: HashMap<CallKey, BTreeMap<TransportId, SocketAddr>>,
    pub(crate) plans: HashMap<CallKey, Plan>,
    pub(crate) applies: usize,
    pub(crate) opens: Vec<Vec<SocketAddr>>,
    pub(crate) workers: HashMap<CallKey, WorkerId>,
    /// What becomes of the next ports that are asked for.
    pub(crate) refuse: Box<dyn FnMut(SocketAddr) -> Option<BindFailure>>,
    /// The pump says nothing.
    pub(crate) silent: bool,
    /// The Open that was asked for last.
    opening: Option<(WorkerId, RequestId, CallKey)>,
    /// It does not answer a Snapshot.
    pub(crate) hold_back: bool,
    next: u64,
    clocks: Clocks,
}

pub(crate) fn fingerprint() -> Fingerprint {
    Fingerprint::new(HashAlgorithm::Sha256, &[0xAB; 32]).expect("32 bytes")
}

pub(crate) fn config() -> SessionConfig {
    SessionConfig {
        interfaces: vec![
            Interface::new("internal", "10.0.0.1".parse().expect("address")),
            Interface {
                advertised: Some("203.0.113.7".parse().expect("address")),
                ..Interface::new("external", "10.1.0.1".parse().expect("address"))
            },
            Interface::new("internal", "2001:db8::1".parse().expect("address")),
        ],
        fingerprints: vec![fingerprint()],
        workers: 2,
        ..SessionConfig::default()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(config())
    }

    #[allow(clippy::disallowed_methods)] // the start of a clock that the tests advance
    pub(crate) fn with(config: SessionConfig) -> Self {
        let now = Instant::now();
        let clocks = Clocks { instant: now, system: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) };
        let config = SessionConfig { split: config.split || RESTARTS, ..config };
        let mut bench = Self {
            session: Session::new(config.clone(), clocks, [7; 32]),
            config,
            clocks,
            pump: 1,
            now,
            replies: HashMap::new(),
            ended: Vec::new(),
            restored: Vec::new(),
            open: HashMap::new(),
            plans: HashMap::new(),
            applies: 0,
            opens: Vec::new(),
            workers: HashMap::new(),
            refuse: Box::new(|_| None),
            silent: false,
            opening: None,
            hold_back: false,
            next: 0,
        };
        if bench.config.split {
            bench.connect();
        }
        bench
    }

    /// The pump, if it is another process, is there.
    pub(crate) fn connect(&mut self) {
        let welcome = Welcome {
            instance: self.pump,
            workers: self.config.workers,
            backend: "bench".into(),
            fingerprints: self.config.fingerprints.clone(),
        };
        self.session.handle_media_half(self.now, &welcome);
        self.run();
    }

    /// As for a session that begins now.
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks { instant: self.now, system: self.clocks.system + (self.now - self.clocks.instant) }
    }

    /// The session is killed, and another one has to make do with whatever the pump holds.
    pub(crate) fn take_over_anything(&mut self) {
        self.session = Session::new(self.config.clone(), self.clocks(), [0xEE; 32]);
        self.connect();
        assert!(self.session.is_media_here());
    }

    /// The session is killed; another one takes over from the pump.
    pub(crate) fn restart(&mut self) {
        self.restart_with(self.config.clone());
    }

    pub(crate) fn restart_with(&mut self, config: SessionConfig) {
        let (applies, plans) = (self.applies, self.plans.clone());
        self.next += 1;
        let seed = [self.next as u8; 32];
        self.session = Session::new(config, self.clocks(), seed);
        self.connect();
        assert!(self.session.is_media_here());
        for (call, plan) in &self.plans {
            assert!(equal(plan, &plans[call]), "the session that takes over wants what the one before wanted");
        }
        self.applies = applies;
    }

    /// Sends a request, runs the pump, and returns the request's number.
    pub(crate) fn send(&mut self, request: Request) -> u64 {
        if RESTARTS && !self.silent {
            self.restart();
        }
        self.next += 1;
        self.session.handle_request(self.now, Token(self.next), request);
        self.run();
        self.next
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<Reply, Refusal> {
        let token = self.send(request);
        self.replies.remove(&token).expect("a reply")
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now += by;
        self.session.handle_timeout(self.now);
        self.run();
    }

    pub(crate) fn event(&mut self, worker: WorkerId, event: Event) {
        self.session.handle_event(self.now, worker, event);
        self.run();
    }

    /// The silent pump says at last that it has opened what it was asked for last.
    pub(crate) fn opened(&mut self) {
        self.silent = false;
        let (worker, request, call) = self.opening.take().expect("an Open");
        self.event(worker, Event::Opened { request, call });
    }

    /// Carries out everything that the session wants.
    pub(crate) fn run(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Command(worker, command) => self.obey(worker, command),
                Output::Reply(Token(token), reply) => {
                    assert!(self.replies.insert(token, reply).is_none(), "two replies to one request");
                }
                Output::KeyNearlySpent { .. } => {}
                Output::Restored { call_id, state } => self.restored.push((call_id, state.to_vec())),
                Output::Ended { call_id, reason, .. } => self.ended.push((call_id, reason)),
            }
        }
    }

    fn obey(&mut self, worker: WorkerId, command: Command) {
        match command {
            Command::Open { request, call, ports } => {
                self.workers.insert(call, worker);
                self.opening = Some((worker, request, call));
                self.opens.push(ports.iter().map(|port| port.local).collect());
                let refused = ports.iter().find_map(|port| Some((*port, (self.refuse)(port.local)?)));
                if let Some((port, cause)) = refused {
                    let (transport, local) = (port.transport, port.local);
                    return self.tell(worker, Event::Refused { request, call, transport, local, cause });
                }
                let bound: HashSet<SocketAddr> = self.open.values().flat_map(BTreeMap::values).copied().collect();
                for port in ports {
                    assert!(!bound.contains(&port.local), "{} is bound already", port.local);
                    let old = self.open.entry(call).or_default().insert(port.transport, port.local);
                    assert!(old.is_none(), "a transport is opened twice");
                }
                self.tell(worker, Event::Opened { request, call });
            }
            Command::Apply { call, plan } => {
                let named: HashSet<TransportId> = plan.transports.iter().map(|transport| transport.id).collect();
                if let Some(open) = self.open.get_mut(&call) {
                    assert!(named.iter().all(|id| open.contains_key(id)), "a plan names a transport that is not open");
                    open.retain(|id, _| named.contains(id));
                }
                for flow in &plan.flows {
                    for id in [flow.ingress_rtp, flow.ingress_rtcp, flow.egress_rtp, flow.egress_rtcp] {
                        assert!(named.contains(&id), "a flow names a transport that the plan does not");
                    }
                }
                self.applies += 1;
                self.plans.insert(call, *plan);
            }
            Command::Query { request, call } => self.statistics(worker, request, call),
            Command::Snapshot { request, after } => {
                let (calls, more) = self.page(worker, after);
                if self.hold_back {
                    return;
                }
                self.tell(worker, Event::Snapshot { request, calls, more });
            }
            Command::Remove { call } => {
                let known = self.open.remove(&call).is_some();
                self.plans.remove(&call);
                if known {
                    self.tell(worker, Event::Removed { call, statistics: Box::default() });
                }
            }
        }
    }

    fn statistics(&mut self, worker: WorkerId, request: RequestId, call: CallKey) {
        let statistics = self.open.contains_key(&call).then(|| Box::new(CallStatistics::default()));
        self.tell(worker, Event::Statistics { request, call, statistics });
    }

    /// A page of one call.
    fn page(&self, worker: WorkerId, after: Option<CallKey>) -> (Vec<CallSnapshot>, bool) {
        let keys = self.open.keys().filter(|key| self.workers[key] == worker && Some(**key) > after);
        let keys: BTreeSet<&CallKey> = keys.collect();
        let page = keys.iter().take(1).map(|&&call| {
            let plan = self.plans.get(&call);
            CallSnapshot {
                call,
                media_timeout: plan.and_then(|plan| plan.media_timeout),
                memo: plan.map(|plan| plan.memo.clone()).unwrap_or_default(),
                statistics: CallStatistics { transports: self.open[&call].iter().map(transport).collect() },
            }
        });
        (page.collect(), keys.len() > 1)
    }

    fn tell(&mut self, worker: WorkerId, event: Event) {
        if !self.silent {
            self.session.handle_event(self.now, worker, event);
        }
    }

    /// The only call.
    pub(crate) fn key(&self) -> CallKey {
        assert_eq!(self.plans.len(), 1);
        *self.plans.keys().next().expect("one call")
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plans[&self.key()]
    }

    pub(crate) fn ports_open(&self) -> usize {
        self.open.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn offer(&mut self, sdp: &str, options: Options) -> RewrittenSdp {
        rewritten(self.ask(Request::Offer(Box::new(negotiation("a", None, sdp, options)))))
    }

    pub(crate) fn answer(&mut self, sdp: &str, options: Options) -> RewrittenSdp {
        rewritten(self.ask(Request::Answer(Box::new(negotiation("a", Some("b"), sdp, options)))))
    }

    pub(crate) fn reoffer(&mut self, from: &str, to: &str, sdp: &str, options: Options) -> RewrittenSdp {
        rewritten(self.ask(Request::Offer(Box::new(negotiation(from, Some(to), sdp, options)))))
    }

    pub(crate) fn reanswer(&mut self, from: &str, to: &str, sdp: &str, options: Options) -> RewrittenSdp {
        rewritten(self.ask(Request::Answer(Box::new(negotiation(from, Some(to), sdp, options)))))
    }

    pub(crate) fn delete(&mut self, delay: Option<u64>) -> Result<Reply, Refusal> {
        let delay = delay.map(Duration::from_secs);
        self.ask(Request::Delete(Delete { call_id: "call".into(), delay, ..Delete::default() }))
    }
}

/// Equal but for the memo.
pub(crate) fn equal(one: &Plan, other: &Plan) -> bool {
    one.transports == other.transports && one.flows == other.flows && one.media_timeout == other.media_timeout
}

/// One that has carried nothing.
fn transport((&id, &local): (&TransportId, &SocketAddr)) -> TransportStatistics {
    TransportStatistics {
        id,
        leg: LegId(0),
        component: Component::Muxed,
        local,
        remote: None,
        ice: IceState::Off,
        keying: KeyingState::Plain,
        rtp_in: Counters::default(),
        rtcp_in: Counters::default(),
        rtp_out: Counters::default(),
        rtcp_out: Counters::default(),
        datagrams_in: Counters::default(),
        datagrams_out: Counters::default(),
        verdicts: VerdictCounts::default(),
        last_packet_age: None,
        streams_in: Vec::new(),
        streams_out: Vec::new(),
        diagnosis: Diagnosis::default(),
    }
}

pub(crate) fn negotiation(from: &str, to: Option<&str>, sdp: &str, options: Options) -> Negotiation {
    Negotiation {
        call_id: "call".into(),
        from_tag: from.into(),
        to_tag: to.map(str::to_owned),
        via_branch: None,
        sdp: lines(sdp).into_bytes(),
        received_from: None,
        options,
    }
}

pub(crate) fn rewritten(reply: Result<Reply, Refusal>) -> RewrittenSdp {
    match reply {
        Ok(Reply::Sdp(sdp)) => sdp,
        Ok(_) => panic!("another kind of reply"),
        Err(refusal) => panic!("refused: {refusal}"),
    }
}

/// Text of a test file: indented, one line each; as it stands on the wire.
pub(crate) fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(|line| [line, "\r\n"]).collect()
}

/// The description with placeholders where it is random, in order of appearance: ports, keys, ICE, tls-id.
pub(crate) fn masked(sdp: &RewrittenSdp) -> String {
    Mask::default().text(std::str::from_utf8(&sdp.sdp).expect("UTF-8"))
}

/// Gives every random part a name, the same part the same name.
#[derive(Default)]
pub(crate) struct Mask {
    names: HashMap<String, String>,
    counts: HashMap<&'static str, usize>,
}

impl Mask {
    pub(crate) fn text(&mut self, text: &str) -> String {
        text.lines().map(|line| self.line(line) + "\n").collect()
    }

    fn line(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let mut out: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        if line.starts_with("m=") {
            out[1] = self.port(words[1]);
        } else if let Some(port) = words[0].strip_prefix("a=rtcp:") {
            out[0] = format!("a=rtcp:{}", self.port(port));
        } else if line.starts_with("a=candidate:") {
            out[5] = self.port(words[5]);
        } else if line.starts_with("a=crypto:") {
            let key = words[2].strip_prefix("inline:").expect("a key");
            let (key, rest) = key.split_once('|').map_or((key, String::new()), |(key, rest)| (key, format!("|{rest}")));
            let suite = words[1].to_owned();
            assert!(key.len() >= 40, "{line}");
            out[2] = format!("inline:{}{rest}", self.name("KEY", &format!("{suite} {key}")));
        } else {
            for (attribute, name) in [("a=ice-ufrag:", "UFRAG"), ("a=ice-pwd:", "PWD"), ("a=tls-id:", "TLSID")] {
                if let Some(value) = line.strip_prefix(attribute) {
                    return format!("{attribute}{}", self.name(name, value));
                }
            }
            if line == format!("a=fingerprint:{}", fingerprint()) {
                return "a=fingerprint:OURS".to_owned();
            }
        }
        out.join(" ")
    }

    /// `P1`, and for the port behind it `P1+1`.
    fn port(&mut self, port: &str) -> String {
        let number: u16 = port.parse().expect("a port");
        if number < 10 {
            return port.to_owned();
        }
        let before = format!("PORT {}", number - 1);
        match self.names.get(&before) {
            Some(name) if number % 2 == 1 => format!("{name}+1"),
            _ => self.name("PORT", port).replace("PORT", "P"),
        }
    }

    fn name(&mut self, kind: &'static str, value: &str) -> String {
        let short = if kind == "PORT" { "P" } else { kind };
        let counts = &mut self.counts;
        self.names
            .entry(format!("{kind} {value}"))
            .or_insert_with(|| {
                let count = counts.entry(kind).or_default();
                *count += 1;
                format!("{short}{count}")
            })
            .clone()
    }
}

/// As [`masked`] would print it.
pub(crate) fn expected(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}
