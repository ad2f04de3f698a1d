//! Two endpoints on a network in memory, with a clock that the test advances and seeded loss.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{DtlsRole, Fingerprint, HashAlgorithm, Profile, TransportFailure};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use sallyport_dtls::{Endpoint, EndpointConfig, EndpointEvent, Identity, Keyed, Standing, Versions};

pub const PROFILES: [Profile; 3] = [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80];
pub const LATENCY: Duration = Duration::from_millis(20);

/// An address of the documentation range.
pub fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 5000))
}

pub fn config(role: DtlsRole, peer: &Identity) -> EndpointConfig {
    EndpointConfig {
        role,
        fingerprints: vec![peer.fingerprint(HashAlgorithm::Sha256)],
        profiles: PROFILES.to_vec(),
        mtu: 1200,
        deadline: Duration::from_secs(30),
    }
}

/// The origin of a test's clock.
#[allow(clippy::disallowed_methods)]
pub fn origin() -> Instant {
    Instant::now()
}

pub fn another_fingerprint() -> Fingerprint {
    Fingerprint::new(HashAlgorithm::Sha256, &[0x5a; 32]).unwrap()
}

/// What has become of an endpoint.
#[derive(Default)]
pub struct Outcome {
    pub keyed: Option<Box<Keyed>>,
    pub keyed_at: Option<Instant>,
    pub failed: Option<TransportFailure>,
    pub failed_at: Option<Instant>,
    pub closed: bool,
}

pub struct Node {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    /// The standing that the other's datagrams have here.
    pub standing: Standing,
    pub outcome: Outcome,
    pub sent_bytes: BTreeMap<SocketAddr, usize>,
    pub sent: Vec<(Instant, SocketAddr, Vec<u8>)>,
}

impl Node {
    pub fn new(endpoint: Endpoint, host: u8) -> Self {
        Self {
            endpoint,
            address: address(host),
            standing: Standing::Validated,
            outcome: Outcome::default(),
            sent_bytes: BTreeMap::new(),
            sent: Vec::new(),
        }
    }

    fn collect(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                EndpointEvent::Keyed(keyed) => {
                    assert!(self.outcome.keyed.is_none() && self.outcome.failed.is_none());
                    self.outcome.keyed = Some(keyed);
                    self.outcome.keyed_at = Some(now);
                }
                EndpointEvent::Failed { failure, .. } => {
                    assert!(self.outcome.keyed.is_none() && self.outcome.failed.is_none());
                    self.outcome.failed = Some(failure);
                    self.outcome.failed_at = Some(now);
                }
                EndpointEvent::Closed => self.outcome.closed = true,
            }
        }
        let mut sent = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            *self.sent_bytes.entry(transmit.remote).or_default() += transmit.bytes.len();
            self.sent.push((now, transmit.remote, transmit.bytes.clone()));
            sent.push((transmit.remote, transmit.bytes));
        }
        sent
    }
}

/// Decides a datagram's fate: the datagrams that arrive in its place, each with an extra delay.
pub type Tamper = Box<dyn FnMut(SocketAddr, Vec<u8>) -> Vec<(Duration, Vec<u8>)>>;

pub struct Net {
    pub start: Instant,
    pub now: Instant,
    pub client: Node,
    pub server: Node,
    pub loss: f64,
    pub tamper: Option<Tamper>,
    /// What the server sends once it is keyed is lost.
    pub mute_keyed_server: bool,
    rng: ChaCha8Rng,
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    serial: u64,
}

impl Net {
    pub fn new(client: Endpoint, server: Endpoint, now: Instant) -> Self {
        Self {
            start: now,
            now,
            client: Node::new(client, 1),
            server: Node::new(server, 2),
            loss: 0.0,
            tamper: None,
            mute_keyed_server: false,
            rng: ChaCha8Rng::seed_from_u64(1),
            flying: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Two endpoints that know each other.
    pub fn pair(versions: Versions) -> Self {
        let (one, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        Self::of(&one, config(DtlsRole::Client, &other), &other, config(DtlsRole::Server, &one), versions)
    }

    pub fn of(
        client: &Identity,
        client_config: EndpointConfig,
        server: &Identity,
        server_config: EndpointConfig,
        versions: Versions,
    ) -> Self {
        let now = origin();
        Self::new(
            Endpoint::with_versions(now, client, client_config, versions).unwrap(),
            Endpoint::with_versions(now, server, server_config, Versions::Both).unwrap(),
            now,
        )
    }

    pub fn lossy(mut self, loss: f64, seed: u64) -> Self {
        self.loss = loss;
        self.rng = ChaCha8Rng::seed_from_u64(seed);
        self
    }

    pub fn start(&mut self) {
        self.client.endpoint.start(self.now, self.server.address);
        self.transmit();
    }

    /// Puts a datagram on its way.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if self.rng.random_bool(self.loss) {
            return;
        }
        let arrivals = match self.tamper.as_mut() {
            Some(tamper) => tamper(from, bytes),
            None => vec![(Duration::ZERO, bytes)],
        };
        for (delay, bytes) in arrivals {
            self.serial += 1;
            self.flying.insert((self.now + LATENCY + delay, self.serial), (from, to, bytes));
        }
    }

    pub fn transmit(&mut self) {
        let (client, server) = (self.client.address, self.server.address);
        for (to, bytes) in self.client.collect(self.now) {
            self.send(client, to, bytes);
        }
        let sent = self.server.collect(self.now);
        let muted = self.mute_keyed_server && self.server.outcome.keyed.is_some();
        for (to, bytes) in sent.into_iter().filter(|_| !muted) {
            self.send(server, to, bytes);
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Until both sides have come to an end, a minute at most.
    pub fn settle(&mut self) {
        let ended = |node: &Node| node.outcome.keyed.is_some() || node.outcome.failed.is_some();
        let end = self.now + Duration::from_secs(60);
        self.run_until(end, |net| ended(&net.client) && ended(&net.server));
    }

    pub fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        self.transmit();
        for _ in 0..1_000_000 {
            let timers = [self.client.endpoint.poll_timeout(), self.server.endpoint.poll_timeout()];
            let arrival = self.flying.keys().next().map(|(when, _)| *when);
            let next = timers.into_iter().flatten().chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end && !done(self)) else {
                if !done(self) {
                    self.now = end;
                }
                return;
            };
            self.now = next.max(self.now);
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, bytes) = entry.remove();
                for node in [&mut self.client, &mut self.server] {
                    if node.address == to {
                        node.endpoint.handle_datagram(self.now, from, node.standing, &bytes);
                    }
                }
                self.transmit();
            }
            for node in [&mut self.client, &mut self.server] {
                if node.endpoint.poll_timeout().is_some_and(|when| when <= self.now) {
                    node.endpoint.handle_timeout(self.now);
                }
            }
            self.transmit();
        }
        panic!("the endpoints never rest");
    }

    /// Both sides have keys, and they are each other's.
    pub fn assert_keyed(&self) -> (&Keyed, &Keyed) {
        let client = self.client.outcome.keyed.as_deref();
        let server = self.server.outcome.keyed.as_deref();
        let failures = (self.client.outcome.failed, self.server.outcome.failed);
        let (Some(client), Some(server)) = (client, server) else {
            panic!("client keyed: {}, server keyed: {}, {failures:?}", client.is_some(), server.is_some());
        };
        assert!(client.inbound == server.outbound && client.outbound == server.inbound, "mirrored keys");
        assert!(client.inbound != client.outbound);
        assert_eq!((client.profile, client.version), (server.profile, server.version));
        (client, server)
    }
}
