//! Both halves of the relay without I/O, on a virtual clock, and the phones of a call.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use control::{CallKey, Command, Credentials, DtlsRole, Event, HashAlgorithm, MasterKey, Policy, Profile, WorkerId};
use datagram::{Batch, PortId, SendRight};
use dtls::{Endpoint, EndpointConfig, EndpointEvent, Identity};
use media::examine::examine;
use media::handshake::Handshakes;
use media::{Shard, ShardConfig};
use sallyport_explain::{Explanation, Heard, Record, explain};
use session::{
    Clocks, EndReason, Interface, Negotiation, Options, Output, Query, Reply, Request, Session, SessionConfig, Token,
};
use srtp::sdes::{CryptoAttribute, CryptoKey};
use srtp::{Inbound, Outbound};

const WORKER: WorkerId = WorkerId(0);

/// What the relay sent.
pub(crate) struct Sent {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Bench {
    session: Session,
    shard: Shard,
    handshakes: Handshakes,
    identity: Identity,
    pub(crate) now: Instant,
    batch: Batch,
    call: Option<CallKey>,
    ports: BTreeMap<SocketAddr, PortId>,
    locals: HashMap<PortId, SocketAddr>,
    replies: Vec<Reply>,
    pub(crate) records: Vec<Record>,
    next: u64,
}

impl Bench {
    #[allow(clippy::disallowed_methods)] // the start of a clock that the tests advance
    pub(crate) fn new() -> Self {
        let identity = Identity::generate().expect("an identity");
        let now = Instant::now();
        let config = SessionConfig {
            interfaces: vec![Interface::new("default", "192.0.2.200".parse().expect("address"))],
            fingerprints: vec![identity.fingerprint(HashAlgorithm::Sha256)],
            workers: 1,
            ..SessionConfig::default()
        };
        let clocks = Clocks { instant: now, system: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) };
        Self {
            session: Session::new(config, clocks, [7; 32]),
            shard: Shard::new(ShardConfig::default()),
            handshakes: Handshakes::new(identity.clone(), 1200),
            identity,
            now,
            batch: Batch::new(),
            call: None,
            ports: BTreeMap::new(),
            locals: HashMap::new(),
            replies: Vec::new(),
            records: Vec::new(),
            next: 0,
        }
    }

    /// Offer and answer of a call between `a` and `b`; returns the descriptions that B and A get, and what was sent.
    pub(crate) fn call(&mut self, a: &str, b: &str, options: &Options) -> (String, String, Vec<Sent>) {
        let to_b = self.negotiate(Request::Offer, a, None, options);
        let (to_a, sent) = self.answer(b, options);
        (to_b, to_a, sent)
    }

    pub(crate) fn offer(&mut self, sdp: &str, options: &Options) -> String {
        self.negotiate(Request::Offer, sdp, None, options)
    }

    pub(crate) fn reoffer(&mut self, sdp: &str, options: &Options) -> String {
        self.negotiate(Request::Offer, sdp, Some("b"), options)
    }

    /// The answer to a party that hears itself.
    pub(crate) fn echo(&mut self, sdp: &str) -> String {
        self.negotiate(Request::Echo, sdp, None, &Options::default())
    }

    pub(crate) fn answer(&mut self, sdp: &str, options: &Options) -> (String, Vec<Sent>) {
        let text = self.negotiate(Request::Answer, sdp, Some("b"), options);
        let sent = self.settle();
        (text, sent)
    }

    fn negotiate(
        &mut self,
        kind: fn(Box<Negotiation>) -> Request,
        sdp: &str,
        to: Option<&str>,
        options: &Options,
    ) -> String {
        let reply = self.ask(kind(Box::new(Negotiation {
            call_id: "call".into(),
            from_tag: "a".into(),
            to_tag: to.map(str::to_owned),
            sdp: lines(sdp).into_bytes(),
            options: options.clone(),
            ..Negotiation::default()
        })));
        match reply {
            Reply::Sdp(sdp) => String::from_utf8(sdp.sdp).expect("UTF-8"),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.next += 1;
        self.session.handle_request(self.now, Token(self.next), request);
        self.signal();
        self.replies.pop().expect("a reply")
    }

    /// Carries commands and events to and fro.
    fn signal(&mut self) {
        loop {
            while let Some(event) = self.shard.poll_event() {
                self.session.handle_event(self.now, WORKER, event);
            }
            let Some(output) = self.session.poll_output() else { return };
            match output {
                Output::Command(_, command) => self.obey(command),
                Output::Reply(_, reply) => self.replies.push(reply.expect("no refusal")),
                Output::KeyNearlySpent { .. } | Output::Restored { .. } => {}
                Output::Ended { reason, view, statistics, .. } => {
                    let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_100);
                    self.records.push(Record::new(&view, statistics.as_deref(), reason, ended));
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open { request, call, ports } => {
                self.call = Some(call);
                for port in ports {
                    let id = PortId(self.ports.len() as u32 + 1);
                    self.ports.insert(port.local, id);
                    self.locals.insert(id, port.local);
                    let right = SendRight::issue(id);
                    self.shard.open_transport(self.now, call, port.transport, id, right, port.local);
                }
                self.session.handle_event(self.now, WORKER, Event::Opened { request, call });
            }
            Command::Apply { call, plan } => self.shard.apply(self.now, call, &plan),
            Command::Query { request, call } => {
                let statistics = self.shard.statistics(self.now, call).map(Box::new);
                self.session.handle_event(self.now, WORKER, Event::Statistics { request, call, statistics });
            }
            Command::Remove { call } => self.shard.remove(self.now, call),
            Command::Snapshot { .. } => unreachable!("only a session that takes calls over asks"),
        }
    }

    /// A datagram for the relay's port; returns what leaves.
    pub(crate) fn deliver(&mut self, local: SocketAddr, source: SocketAddr, bytes: &[u8]) -> Vec<Sent> {
        self.batch.clear();
        let datagram = self.batch.push().expect("room");
        datagram.fill(bytes);
        datagram.set_received(self.ports[&local], source, bytes.len(), false);
        self.shard.handle_batch(self.now, &mut self.batch);
        let mut sent = self.leaving();
        sent.append(&mut self.settle());
        sent
    }

    fn settle(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        loop {
            let mut idle = true;
            while let Some(input) = self.shard.poll_handshake() {
                self.handshakes.handle_input(self.now, input);
                idle = false;
            }
            while let Some(output) = self.handshakes.poll_output() {
                self.shard.handle_handshake(self.now, output);
                idle = false;
            }
            while self.shard.poll_transmit(self.now, &mut self.batch) {
                sent.append(&mut self.leaving());
                idle = false;
            }
            while let Some(evidence) = self.shard.poll_evidence() {
                self.shard.handle_finding(self.now, &examine(&evidence));
            }
            self.signal();
            while let Some(port) = self.shard.poll_close() {
                let local = self.locals.remove(&port).expect("a port");
                self.ports.remove(&local);
            }
            if idle {
                return sent;
            }
        }
    }

    fn leaving(&mut self) -> Vec<Sent> {
        let locals = &self.locals;
        let routed = self.batch.datagrams_mut().iter_mut().filter_map(|datagram| {
            let (port, remote) = datagram.route()?;
            datagram.withhold();
            Some(Sent { local: locals[&port], remote, bytes: datagram.bytes().to_vec() })
        });
        routed.collect()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = [self.shard.poll_timeout(), self.handshakes.poll_timeout()].into_iter().flatten().min();
            let Some(next) = due.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.shard.handle_timeout(self.now);
            self.handshakes.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// As the admin pages ask it.
    pub(crate) fn explain(&mut self) -> Explanation {
        let reply = self.ask(Request::Query(Query { call_id: "call".into(), ..Query::default() }));
        let Reply::Query(report) = reply else { panic!("{reply:?}") };
        let view = self.session.call("call").expect("the call");
        explain(&view, report.statistics.as_ref())
    }

    pub(crate) fn end(&mut self) -> Record {
        let delete = session::Delete {
            call_id: "call".into(),
            delay: Some(Duration::ZERO),
            fast: true,
            ..session::Delete::default()
        };
        self.ask(Request::Delete(delete));
        self.settle();
        let record = self.records.pop().expect("a record");
        assert_eq!(record.reason, EndReason::Deleted.label());
        record
    }

    pub(crate) fn relay_fingerprint(&self) -> control::Fingerprint {
        self.identity.fingerprint(HashAlgorithm::Sha256)
    }

    /// The cause for which `listener` does not hear `speaker` in the first section. `None`: it does.
    pub(crate) fn cause(&mut self, listener: &str, speaker: &str) -> Option<&'static str> {
        let explanation = self.explain();
        let conclusion = explanation
            .conclusions
            .iter()
            .find(|conclusion| conclusion.listener == listener && conclusion.speaker == speaker)
            .unwrap_or_else(|| panic!("{explanation}"));
        assert_eq!(conclusion.heard == Heard::Yes, conclusion.cause.is_none());
        assert!(!conclusion.text.is_empty());
        conclusion.cause.map(sallyport_explain::Cause::code)
    }

    pub(crate) fn text(&mut self) -> String {
        self.explain().to_string()
    }
}

/// Indented lines as they stand on the wire.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(|line| [line, "\r\n"]).collect()
}

/// The relay's address in the n-th section of a description.
pub(crate) fn media_address(sdp: &str, section: usize) -> SocketAddr {
    let line = sdp.lines().filter(|line| line.starts_with("m=")).nth(section).expect("a section");
    let port = line.split(' ').nth(1).expect("a port").parse().expect("a number");
    SocketAddr::new("192.0.2.200".parse().expect("address"), port)
}

pub(crate) fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let value = sdp.lines().find_map(|line| line.strip_prefix(&format!("a={name}:")));
    value.unwrap_or_else(|| panic!("no {name} in {sdp}")).trim()
}

/// A master key from one number.
pub(crate) fn key(profile: Profile, seed: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..64).map(|n: u8| n.wrapping_mul(31).wrapping_add(seed.wrapping_mul(97))).collect();
    MasterKey::new(profile, &bytes[..profile.key_len()], &bytes[32..32 + profile.salt_len()]).expect("lengths fit")
}

/// The crypto line that signals it.
pub(crate) fn crypto(profile: Profile, master: MasterKey) -> String {
    let line = CryptoAttribute {
        keys: vec![CryptoKey { master: master.clone(), lifetime: None }],
        ..CryptoAttribute::new(1, master, profile)
    };
    line.to_string()
}

/// A phone that sends and receives RTP.
pub(crate) struct Phone {
    pub(crate) address: SocketAddr,
    /// Where the relay wants its media.
    pub(crate) relay: SocketAddr,
    pub(crate) outbound: Option<Outbound>,
    pub(crate) inbound: Option<Inbound>,
    pub(crate) payload_type: u8,
    pub(crate) ssrc: u32,
    /// Extended.
    pub(crate) next: u64,
}

impl Phone {
    /// `sdp`: the description that it got.
    pub(crate) fn new(address: &str, sdp: &str, ssrc: u32) -> Self {
        Self {
            address: address.parse().expect("address"),
            relay: media_address(sdp, 0),
            outbound: None,
            inbound: None,
            payload_type: 0,
            ssrc,
            next: 1000,
        }
    }

    /// Sends under `own`, and receives under the key of the description that it got.
    pub(crate) fn with_sdes(mut self, profile: Profile, own: &MasterKey, sdp: &str) -> Self {
        self.send_under(profile, own);
        let line = CryptoAttribute::parse(attribute(sdp, "crypto")).expect("a crypto line");
        self.inbound = Some(Inbound::new(line.policy(), &line.master_keys()).expect("keys"));
        self
    }

    pub(crate) fn send_under(&mut self, profile: Profile, own: &MasterKey) {
        self.outbound = Some(Outbound::new(Policy::new(profile), own).expect("key"));
    }

    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let index = self.next;
        self.next += 1;
        self.packet_at(index)
    }

    /// 20 ms of G.711 that a person could have spoken: a slow wave.
    pub(crate) fn packet_at(&mut self, index: u64) -> Vec<u8> {
        let mut packet = vec![0x80, self.payload_type];
        packet.extend((index as u16).to_be_bytes());
        packet.extend((index as u32).wrapping_mul(160).to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend((0..160_u32).map(|n| 0x80 | ((n / 8) as u8 & 0x1f)));
        let Some(outbound) = &mut self.outbound else { return packet };
        let len = packet.len();
        packet.resize(len + 160, 0);
        let protected = outbound.protect_rtp(&mut packet, len, (index >> 16) as u32).expect("an unused index");
        packet.truncate(protected);
        packet
    }

    pub(crate) fn send(&mut self, bench: &mut Bench) -> Vec<Sent> {
        let packet = self.packet();
        bench.deliver(self.relay, self.address, &packet)
    }

    /// How many of these are for this phone and authentic.
    pub(crate) fn hears(&mut self, sent: &[Sent]) -> usize {
        let mut heard = 0;
        for sent in sent.iter().filter(|sent| sent.remote == self.address && sent.local == self.relay) {
            let mut bytes = sent.bytes.clone();
            let len = bytes.len();
            let authentic = self.inbound.as_mut().is_none_or(|inbound| inbound.unprotect_rtp(&mut bytes, len).is_ok());
            heard += usize::from(authentic && rtp::classify(&sent.bytes) == rtp::Class::Rtp);
        }
        heard
    }
}

/// Both speak for so long, ten packets a second; returns how many packets A and B heard.
pub(crate) fn talk(bench: &mut Bench, a: &mut Phone, b: &mut Phone, seconds: u64) -> (usize, usize) {
    let (mut at_a, mut at_b) = (0, 0);
    for _ in 0..seconds * 10 {
        let sent = a.send(bench);
        at_b += b.hears(&sent);
        let sent = b.send(bench);
        at_a += a.hears(&sent);
        bench.pass(Duration::from_millis(100));
    }
    (at_a, at_b)
}

/// A connectivity check towards the relay.
pub(crate) fn check(local: &Credentials, nominate: bool, transaction: u8) -> Vec<u8> {
    let request = ice::stun::BindingRequest {
        transaction_id: ice::stun::TransactionId([transaction; 12]),
        remote: local,
        local_ufrag: "abcd",
        priority: 1,
        role: Some(ice::stun::Role::Controlling(1)),
        use_candidate: nominate,
        software: None,
    };
    let mut buffer = vec![0; 256];
    let len = request.encode(&mut buffer).expect("room");
    buffer.truncate(len);
    buffer
}

/// The DTLS of a browser.
pub(crate) struct Browser {
    pub(crate) identity: Identity,
    pub(crate) endpoint: Option<Endpoint>,
    keyed: Option<Box<dtls::Keyed>>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self { identity: Identity::generate().expect("an identity"), endpoint: None, keyed: None }
    }

    pub(crate) fn begin(&mut self, bench: &Bench, phone: &Phone, role: DtlsRole) {
        let config = EndpointConfig {
            role,
            fingerprints: vec![bench.relay_fingerprint()],
            profiles: vec![Profile::AeadAes128Gcm],
            mtu: 1200,
            deadline: Duration::from_secs(20),
        };
        let mut endpoint = Endpoint::new(bench.now, &self.identity, config).expect("an endpoint");
        if role == DtlsRole::Client {
            endpoint.start(bench.now, phone.relay);
        }
        self.endpoint = Some(endpoint);
    }

    /// Carries flights to and fro until both sides are silent; the phone gets the keys.
    pub(crate) fn converse(&mut self, bench: &mut Bench, phone: &mut Phone, mut sent: Vec<Sent>) {
        let endpoint = self.endpoint.as_mut().expect("begun");
        loop {
            for sent in sent.drain(..).filter(|sent| sent.remote == phone.address) {
                if rtp::classify(&sent.bytes) == rtp::Class::Dtls {
                    endpoint.handle_datagram(bench.now, phone.relay, dtls::Standing::Signalled, &sent.bytes);
                }
            }
            while let Some(event) = endpoint.poll_event() {
                if let EndpointEvent::Keyed(keyed) = event {
                    self.keyed = Some(keyed);
                }
            }
            let flights: Vec<Vec<u8>> =
                std::iter::from_fn(|| endpoint.poll_transmit()).map(|transmit| transmit.bytes).collect();
            if flights.is_empty() {
                break;
            }
            for flight in flights {
                sent.append(&mut bench.deliver(phone.relay, phone.address, &flight));
            }
        }
        if let Some(keyed) = &self.keyed {
            phone.send_under(keyed.profile, &keyed.outbound);
            let inbound = Inbound::new(Policy::new(keyed.profile), std::slice::from_ref(&keyed.inbound));
            phone.inbound = Some(inbound.expect("key"));
        }
    }
}
