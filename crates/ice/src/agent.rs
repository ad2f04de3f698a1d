//! The ICE-lite agent of one transport (RFC 8445).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::Credentials;

/// What a [`LiteAgent`] is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct LiteConfig {
    /// Ours.
    pub local: Credentials,
    /// The peer's; `None` until its SDP has come.
    pub remote: Option<Credentials>,
    /// The peer is lite as well: nobody checks.
    pub remote_lite: bool,
    /// Where the peer's SDP says that media goes. Used only when the peer is lite.
    pub signalled: Option<SocketAddr>,
}

/// The ICE-lite agent of one transport.
pub struct LiteAgent {
    config: LiteConfig,
    events: VecDeque<IceEvent>,
}

/// What became of a datagram, and what to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: StunVerdict,
    /// Length of the answer in `response`, to be sent to where the request came from. `None`: no answer.
    pub response_len: Option<usize>,
}

/// How a STUN message ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StunVerdict {
    /// A valid check, answered with success.
    Answered,
    /// A Binding indication (keepalive).
    Keepalive,
    /// A response or another method: no use.
    Ignored,
    /// Not a whole STUN message, or its FINGERPRINT is missing or wrong.
    Malformed,
    /// USERNAME or MESSAGE-INTEGRITY is missing (400).
    Incomplete,
    /// USERNAME does not begin with our ufrag (401).
    UnknownUser,
    /// MESSAGE-INTEGRITY does not verify (401).
    BadIntegrity,
    /// An attribute that must be understood is not (420).
    UnknownAttribute,
    /// The peer claims to be controlled (487).
    RoleConflict,
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IceEvent {
    /// A first valid check came from this address.
    Validated(SocketAddr),
    /// Media goes to this address from here on.
    Nominated(SocketAddr),
    /// 30 s without a check or authenticated packet: sending must stop.
    ConsentLost,
    /// A valid check has come after the loss.
    ConsentRegained,
}

impl LiteAgent {
    /// Validated pairs remembered.
    pub const MAX_PAIRS: usize = 16;
    /// No response is longer.
    pub const MAX_RESPONSE: usize = 80;

    /// A new agent.
    pub fn new(config: LiteConfig) -> Self {
        Self { config, events: VecDeque::new() }
    }
    /// Deals with a datagram that [`rtp`-style demultiplexing] calls STUN.
    pub fn handle_datagram(
        &mut self,
        _now: Instant,
        _source: SocketAddr,
        _request: &[u8],
        _response: &mut [u8],
    ) -> Outcome {
        Outcome { verdict: StunVerdict::Ignored, response_len: None }
    }
    /// The peer's SDP has come or changed.
    pub fn set_remote(
        &mut self,
        _now: Instant,
        remote: Option<Credentials>,
        remote_lite: bool,
        signalled: Option<SocketAddr>,
    ) {
        self.config.remote = remote;
        self.config.remote_lite = remote_lite;
        self.config.signalled = signalled;
    }
    /// ICE restart.
    pub fn restart(&mut self, _now: Instant, config: LiteConfig) {
        self.config = config;
    }
    /// Where to send now.
    pub fn selected(&self) -> Option<SocketAddr> {
        None
    }
    /// True when a valid check has come from there.
    pub fn is_validated(&self, _source: SocketAddr) -> bool {
        false
    }
    /// True when media may be taken from there (authenticate it all the same).
    pub fn accepts(&self, _source: SocketAddr) -> bool {
        false
    }
    /// A packet from there has authenticated.
    pub fn authenticated_packet(&mut self, _now: Instant, _source: SocketAddr) {}
    /// Lets consent expire.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// When [`LiteAgent::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<IceEvent> {
        self.events.pop_front()
    }
}
