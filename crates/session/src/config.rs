//! What the session is told at its start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime};

use control::{Fingerprint, Profile, RocPolicy};

use crate::AddressFamily;

/// What the session is told at its start.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Local addresses; the first is the default. Several may share a name: one of each family.
    pub interfaces: Vec<Interface>,
    /// Media ports, first and last. They are split into a share for each worker.
    pub ports: (u16, u16),
    /// Workers of the pump.
    pub workers: u16,
    /// Of our certificate; printed in `a=fingerprint`. The first one is printed unless a request asks for another hash.
    pub fingerprints: Vec<Fingerprint>,
    /// What holds when a request does not say.
    pub defaults: Defaults,
    /// Delays and deadlines.
    pub timeouts: Timeouts,
    /// Upper bounds.
    pub limits: Limits,
    /// The media half is a process of its own: no call is served until
    /// [`Session::handle_media_half`](crate::Session::handle_media_half), plans carry memos, and workers and
    /// fingerprints are what the media half says.
    pub split: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            interfaces: vec![Interface::new("default", IpAddr::V4(Ipv4Addr::LOCALHOST))],
            ports: (10_000, 29_999),
            workers: 1,
            fingerprints: Vec::new(),
            defaults: Defaults::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            split: false,
        }
    }
}

/// A local address with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What `direction` calls it.
    pub name: String,
    /// Where sockets are bound.
    pub address: IpAddr,
    /// What descriptions say instead (1:1 NAT).
    pub advertised: Option<IpAddr>,
}

impl Interface {
    /// Without an advertised address.
    pub fn new(name: &str, address: IpAddr) -> Self {
        Self { name: name.to_owned(), address, advertised: None }
    }

    /// What descriptions say.
    pub fn public_address(&self) -> IpAddr {
        self.advertised.unwrap_or(self.address)
    }

    pub(crate) fn family(&self) -> AddressFamily {
        if self.address.is_ipv4() { AddressFamily::Ip4 } else { AddressFamily::Ip6 }
    }
}

/// What a running session can be told anew: see [`Session::adjust`](crate::Session::adjust).
#[derive(Clone, Debug)]
pub struct Adjustment {
    /// All that the session has, at the same places; after them there may be new ones.
    pub interfaces: Vec<Interface>,
    /// As in [`SessionConfig`].
    pub defaults: Defaults,
    /// As in [`SessionConfig`].
    pub timeouts: Timeouts,
    /// As in [`SessionConfig`].
    pub limits: Limits,
}

/// An adjustment takes an interface away or changes one. Calls use them; nothing was adjusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfacesDiffer;

impl fmt::Display for InterfacesDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interfaces can be added to a running session, not taken away or changed")
    }
}

impl std::error::Error for InterfacesDiffer {}

/// What holds when a request does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// DSCP and ECN byte of what is sent.
    pub traffic_class: Option<u8>,
    /// UNENCRYPTED_SRTP and UNENCRYPTED_SRTCP of a peer are accepted.
    pub accept_unencrypted: bool,
    /// NULL suites of a peer are accepted. Never offered.
    pub accept_null: bool,
    /// Key lines of a peer with an MKI are accepted. Never offered.
    pub accept_mki: bool,
    /// Suites that are offered in SDES, in this order. NULL never is.
    pub sdes_offered: Vec<Profile>,
    /// Suites that are accepted of a peer in SDES, and the only ones that a request can have offered. NULL ones depend on
    /// `accept_null` alone.
    pub sdes_accepted: Vec<Profile>,
    /// Profiles that are offered and accepted in DTLS, most preferred first.
    pub dtls_profiles: Vec<Profile>,
    /// What becomes of the rollover counter when SDES brings another key.
    pub roc_on_rekey: RocPolicy,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            traffic_class: None,
            accept_unencrypted: false,
            accept_null: false,
            accept_mki: true,
            sdes_offered: vec![
                Profile::AeadAes256Gcm,
                Profile::AeadAes128Gcm,
                Profile::AesCm256HmacSha1_80,
                Profile::AesCm128HmacSha1_80,
                Profile::AesCm128HmacSha1_32,
            ],
            sdes_accepted: Profile::all().filter(|profile| !profile.is_null()).collect(),
            dtls_profiles: vec![
                Profile::AeadAes256Gcm,
                Profile::AeadAes128Gcm,
                Profile::AesCm128HmacSha1_80,
                Profile::AesCm128HmacSha1_32,
            ],
            roc_on_rekey: RocPolicy::Keep,
        }
    }
}

/// Delays and deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A call without any authentic packet for this long ends.
    pub media: Duration,
    /// A call whose media are all on hold ends after this long without signalling.
    pub hold: Duration,
    /// An offer that nobody answers ends its call after this long.
    pub offer: Duration,
    /// Ports of a deleted call stay open this long.
    pub delete_delay: Duration,
    /// A worker that has not answered in this long is taken for dead.
    pub worker: Duration,
    /// A DTLS handshake must end in this time.
    pub handshake: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            media: Duration::from_secs(60),
            hold: Duration::from_secs(3600),
            offer: Duration::from_secs(3600),
            delete_delay: Duration::from_secs(30),
            worker: Duration::from_secs(3),
            handshake: Duration::from_secs(30),
        }
    }
}

/// Upper bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls.
    pub calls: usize,
    /// Legs of one call.
    pub legs: usize,
    /// Media sections of one description.
    pub sections: usize,
    /// Port choices that one offer may cost before it is refused.
    pub port_attempts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 100_000, legs: 64, sections: 32, port_attempts: 32 }
    }
}

/// The clocks when the session starts: the only source of wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Monotonic.
    pub instant: Instant,
    /// At the same moment.
    pub system: SystemTime,
}

impl Clocks {
    /// The wall clock at a moment after these.
    pub fn wall(&self, now: Instant) -> SystemTime {
        self.system + now.saturating_duration_since(self.instant)
    }
}
