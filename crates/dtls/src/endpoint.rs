//! All associations of one transport.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{DtlsRole, Fingerprint, HashAlgorithm, MasterKey, Profile, TransportFailure};

use crate::{Error, Identity};

/// What an endpoint is to do.
#[derive(Clone)]
pub struct EndpointConfig {
    /// Who starts.
    pub role: DtlsRole,
    /// The peer's certificate must match one of those that use the strongest hash among them. Not empty.
    pub fingerprints: Vec<Fingerprint>,
    /// What we offer or accept, most preferred first. Those without a DTLS identifier are left out.
    pub profiles: Vec<Profile>,
    /// Longest UDP payload that we send, in bytes.
    pub mtu: usize,
    /// The handshake fails when it has not ended this long after `now` of [`Endpoint::new`].
    pub deadline: Duration,
}

/// What is known about the source of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// Nothing.
    Unproven,
    /// The address that signalling named.
    Signalled,
    /// A pair that ICE validated.
    Validated,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It went to its association.
    Accepted,
    /// Nothing in it could belong to an association.
    Dropped,
    /// Its source may not have an association.
    Rejected,
}

/// A datagram to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where to.
    pub remote: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// What an endpoint has to tell.
pub enum EndpointEvent {
    /// The handshake is complete and the certificate is verified.
    Keyed(Box<Keyed>),
    /// There will be no keys.
    Failed {
        /// Why.
        failure: TransportFailure,
        /// Of the association that failed, if it was one.
        remote: Option<SocketAddr>,
    },
    /// The peer has closed the association that keyed.
    Closed,
}

/// What a handshake has brought.
pub struct Keyed {
    /// Both directions.
    pub profile: Profile,
    /// `DTLSv1.2` or `DTLSv1.3`.
    pub version: &'static str,
    /// Hash of the fingerprint that matched.
    pub hash: HashAlgorithm,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// For what we receive.
    pub inbound: MasterKey,
    /// For what we send.
    pub outbound: MasterKey,
}

/// All associations of one transport and one generation.
pub struct Endpoint {}

impl Endpoint {
    /// An endpoint; its deadline runs from `now`.
    pub fn new(now: Instant, identity: &Identity, config: EndpointConfig) -> Result<Self, Error> {
        let _ = (now, identity, config);
        Ok(Self {})
    }

    /// Client: sends the ClientHello to `remote`. Does nothing as server or when already started.
    pub fn start(&mut self, now: Instant, remote: SocketAddr) {
        let _ = (now, remote);
    }

    /// Sends to `remote` from here on, the handshake going on as it is: the path to the same peer has changed.
    pub fn retarget(&mut self, now: Instant, remote: SocketAddr) {
        let _ = (now, remote);
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, standing: Standing, bytes: &[u8]) -> Verdict {
        let _ = (now, source, standing, bytes);
        Verdict::Dropped
    }

    /// Call at or after the time that [`Self::poll_timeout`] names.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<EndpointEvent> {
        None
    }
}
