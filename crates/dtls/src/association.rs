//! One association: its engine, the guard in front of it, and what it may send to whom.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use boring::ssl::SslContext;
use control::{DtlsRole, Fingerprint, TransportFailure};

use crate::engine::{Engine, Progress};
use crate::guard::{Guard, HelloFragment, Position, Survey};
use crate::{Error, Standing, Transmit};

/// An unproven source is sent at most this many times the bytes that came from it (RFC 9000 §8.1 has the same bound).
const AMPLIFICATION: usize = 3;

/// A plaintext alert ends an association only when nothing else comes for this long: anybody can forge one, but only a
/// peer that has really given up falls silent.
const ALERT_GRACE: Duration = Duration::from_secs(1);

/// A ClientHello that comes again this long after its first is a retransmission, not a duplicate made by the network.
const RETRANSMISSION: Duration = Duration::from_millis(100);

/// What all associations of an endpoint have in common.
pub(crate) struct Setup {
    pub(crate) context: SslContext,
    pub(crate) role: DtlsRole,
    /// All of one hash function.
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// Bytes.
    pub(crate) mtu: usize,
}

pub(crate) struct Association {
    pub(crate) remote: SocketAddr,
    pub(crate) standing: Standing,
    pub(crate) created: Instant,
    /// Its ClientHello came at least twice.
    pub(crate) returning: bool,
    /// When the peer last got further than its ClientHello.
    pub(crate) progressed: Option<Instant>,
    random: Option<[u8; 32]>,
    hello_len: Option<usize>,
    engine: Engine,
    guard: Guard,
    /// Nothing limits what is sent.
    proven: bool,
    received: usize,
    sent: usize,
    outbox: VecDeque<Vec<u8>>,
    /// A plaintext alert's code, and when to believe it.
    alert: Option<(u8, Instant)>,
}

impl Association {
    pub(crate) fn new(now: Instant, setup: &Setup, remote: SocketAddr, standing: Standing) -> Result<Self, Error> {
        Ok(Self {
            remote,
            standing,
            created: now,
            returning: false,
            progressed: None,
            random: None,
            hello_len: None,
            engine: Engine::new(now, &setup.context, setup.role, setup.fingerprints.clone(), setup.mtu)?,
            guard: Guard::new(now, setup.role),
            proven: setup.role == DtlsRole::Client,
            received: 0,
            sent: 0,
            outbox: VecDeque::new(),
            alert: None,
        })
    }

    /// Whether a datagram from there may be of this association. With ICE the path is the peer, whichever pair it uses.
    pub(crate) fn is_reached_from(&self, source: SocketAddr, standing: Standing) -> bool {
        self.remote == source || (standing == Standing::Validated && self.standing == Standing::Validated)
    }

    /// Whether a fragment of a first ClientHello is of the one that made this association.
    pub(crate) fn owns_hello(&self, hello: &HelloFragment) -> bool {
        match (hello.random, self.random) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => self.hello_len.is_none_or(|len| len == hello.message_len),
        }
    }

    pub(crate) fn random(&self) -> Option<[u8; 32]> {
        self.random
    }

    /// Random and length of the ClientHello that made it.
    pub(crate) fn hello(&self) -> Option<([u8; 32], usize)> {
        self.random.zip(self.hello_len)
    }

    /// Starts a client.
    pub(crate) fn start(&mut self, now: Instant) -> Progress {
        let progress = self.engine.advance(now);
        self.collect();
        progress
    }

    /// Takes a datagram that `length` bytes brought. `None`: the guard let nothing of it through.
    pub(crate) fn handle_datagram(&mut self, now: Instant, survey: &Survey<'_>, length: usize) -> Option<Progress> {
        self.received = self.received.saturating_add(length);
        if let Some(hello) = survey.hello().filter(|hello| hello.sequence == 0) {
            self.returning |= self.hello_len.is_some() && now.saturating_duration_since(self.created) >= RETRANSMISSION;
            self.random = self.random.or(hello.random);
            self.hello_len = self.hello_len.or(Some(hello.message_len));
        }
        let position = self.position();
        let datagram = self.guard.admit(now, survey, position)?;
        self.alert = None;
        let progress = self.engine.handle_datagram(now, datagram);
        self.collect();
        if matches!(progress, Progress::Established(_)) {
            self.proven = true;
        }
        let after = self.engine.read_sequence();
        if after > position.read_sequence && after > 1 {
            self.progressed = Some(now);
        }
        Some(progress)
    }

    fn position(&self) -> Position {
        Position { read_epoch: self.engine.read_epoch(), read_sequence: self.engine.read_sequence() }
    }

    /// Remembers a plaintext alert from a source that may be the peer. Once all is encrypted there are no such alerts.
    pub(crate) fn note_alert(&mut self, now: Instant, code: u8) {
        // As server of DTLS 1.3 we read encrypted while the client may still have no keys to complain with.
        if self.progressed.is_none() || self.engine.read_epoch() == 0 {
            self.alert = self.alert.or(now.checked_add(ALERT_GRACE).map(|when| (code, when)));
        }
    }

    /// When to call [`Association::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        // What cannot be sent need not be made again; the next datagram from the source lets it go.
        let timer = if self.outbox.is_empty() { self.engine.timer() } else { None };
        [timer, self.alert.map(|(_, when)| when)].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Progress {
        if let Some((code, when)) = self.alert
            && when <= now
        {
            self.alert = None;
            return Progress::Failed(TransportFailure::AlertReceived(code));
        }
        if self.outbox.is_empty() && self.engine.timer().is_some_and(|timer| timer <= now) {
            let progress = self.engine.handle_timeout(now);
            self.collect();
            return progress;
        }
        Progress::Pending
    }

    /// Sends to `remote` from here on, what waits for an answer at once.
    pub(crate) fn retarget(&mut self, now: Instant, remote: SocketAddr) -> Progress {
        if self.remote == remote {
            return Progress::Pending;
        }
        self.remote = remote;
        let progress = self.engine.repeat_flight(now);
        self.collect();
        progress
    }

    /// The handshake is over: forgets what only it needed.
    pub(crate) fn settle(&mut self) {
        self.guard.settle();
        self.engine.settle();
        self.outbox.shrink_to_fit();
    }

    fn collect(&mut self) {
        while let Some(datagram) = self.engine.poll_outgoing() {
            self.outbox.push_back(datagram);
        }
    }

    /// Hands over what may be sent.
    pub(crate) fn flush(&mut self, transmits: &mut VecDeque<Transmit>) {
        while let Some(datagram) = self.outbox.front() {
            let after = self.sent.saturating_add(datagram.len());
            let limited = !self.proven && self.standing == Standing::Unproven;
            if limited && after > self.received.saturating_mul(AMPLIFICATION) {
                break;
            }
            self.sent = after;
            if let Some(bytes) = self.outbox.pop_front() {
                transmits.push_back(Transmit { remote: self.remote, bytes });
            }
        }
    }
}
