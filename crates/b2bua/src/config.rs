//! What the back-to-back user agent is told at its start, and anew by [`B2bua::reconfigure`](crate::B2bua::reconfigure).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use sip::{Account, DigestAlgorithm, SentBy, Transport, Uri};

use crate::Pattern;

/// Everything that is configured.
#[derive(Clone)]
pub struct B2buaConfig {
    /// The domain of our users, and the realm that asks for their passwords.
    pub realm: String,
    /// Offered to users in this order. Leave MD5 out to retire it.
    pub algorithms: Vec<DigestAlgorithm>,
    /// By which users and others are routed; the first that fits.
    pub routes: Vec<Route>,
    /// Other servers.
    pub trunks: Vec<Trunk>,
    /// Of phones that have registered, by name of the transport of their flow; see [`LegPolicy`].
    pub phones: LegPolicy,
    /// Keys in SDES on a leg whose signalling others can read.
    pub sdes_over_cleartext: CleartextPolicy,
    /// What becomes of a sips call to somebody without TLS (RFC 5630).
    pub sips_bridge: Bridging,
    /// What becomes of a REFER.
    pub refer: Refer,
    /// Whether a challenge of a called party that we cannot answer is the caller's to answer. It works only where nobody on
    /// the way changes what the digest covers; by default the caller gets 403.
    pub relay_challenges: bool,
    /// Headers that go on from one leg to the other as they are, in INVITEs and their responses.
    pub pass_headers: Vec<String>,
    /// What we call ourselves in Via and Contact, by transport, where it is not the address of the socket.
    pub advertised: Vec<(Transport, SentBy)>,
    /// How long one group of targets rings before the next group is called.
    pub ring_time: Duration,
    /// How long a call rings altogether, whatever provisional responses come, before the caller gets 408 or what the called parties
    /// have said; timer C of its legs is longer (RFC 3261 §16.8).
    pub max_ring_time: Duration,
    /// Calls that one user has at a time, made and received. Beyond, as caller 503 with Retry-After; as called party it is busy.
    pub max_calls_per_user: Option<usize>,
    /// Whether the session is to keep what has to be known of calls after a restart ([`Remember`](session::Remember)). Without it
    /// calls end with this process.
    pub remember: bool,
    /// Bounds.
    pub limits: Limits,
}

impl B2buaConfig {
    /// `echo` answers by itself, everybody else is a registered user; no trunks.
    pub fn new(realm: &str) -> Self {
        let route = |pattern: &str, to| Route { pattern: Pattern::new(pattern), from: RouteSource::Anybody, to };
        Self {
            realm: realm.to_owned(),
            // linphone 5.1 looks at the first challenge alone, and does not know SHA-512-256.
            algorithms: vec![DigestAlgorithm::SHA_256, DigestAlgorithm::SHA_512_256, DigestAlgorithm::MD5],
            routes: vec![route("echo", Destination::Echo), route("*", Destination::Registered)],
            trunks: Vec::new(),
            phones: LegPolicy::default(),
            sdes_over_cleartext: CleartextPolicy::Warn,
            sips_bridge: Bridging::Refuse,
            refer: Refer::Refuse,
            relay_challenges: false,
            pass_headers: ["Subject", "Priority", "Privacy", "User-to-User"].map(str::to_owned).to_vec(),
            advertised: Vec::new(),
            ring_time: Duration::from_secs(30),
            max_ring_time: Duration::from_secs(180),
            max_calls_per_user: None,
            remember: false,
            limits: Limits::default(),
        }
    }
}

impl B2buaConfig {
    pub(crate) fn trunk(&self, name: &str) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.name == name)
    }
}

/// Upper bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls at one time. Beyond it 503 with Retry-After.
    pub calls: usize,
    /// Retry-After of that, in seconds.
    pub retry_after: u32,
    /// Contacts of one user.
    pub contacts: usize,
    /// Contacts of all users.
    pub bindings: usize,
    /// Shortest and longest registration, in seconds.
    pub expires: (u32, u32),
    /// Wrong passwords of one source (an IPv4 address or an IPv6 /64) before it is barred.
    pub failures: u32,
    /// For this long.
    pub failure_period: Duration,
    /// Targets that one call may have.
    pub targets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 2000,
            retry_after: 5,
            contacts: 8,
            bindings: 50_000,
            expires: (60, 3600),
            failures: 20,
            failure_period: Duration::from_secs(300),
            targets: 16,
        }
    }
}

/// Whom a user part reaches.
#[derive(Clone, Debug)]
pub struct Route {
    /// Of the user part of the Request-URI.
    pub pattern: Pattern,
    /// Who may take this route.
    pub from: RouteSource,
    /// Where it leads.
    pub to: Destination,
}

/// Who may take a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteSource {
    /// Whoever may call at all.
    Anybody,
    /// Users of ours.
    Users,
    /// The trunk of this name.
    Trunk(String),
}

/// Where a route leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// The contacts that the user has registered, all at once.
    Registered,
    /// The trunk of this name, with the user part as it is.
    Trunk(String),
    /// Those of one list at once, the lists in turn.
    Targets(Vec<Vec<UriTarget>>),
    /// Nobody: the session sends the caller's media back.
    Echo,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered => f.write_str("registered"),
            Self::Trunk(name) => write!(f, "trunk {name}"),
            Self::Targets(groups) => {
                let of = |target: &UriTarget| match target {
                    UriTarget::Uri(uri) => uri.to_string(),
                    UriTarget::User(user) => user.clone(),
                };
                let groups = groups.iter().map(|group| group.iter().map(of).collect::<Vec<_>>().join(", "));
                f.write_str(&groups.collect::<Vec<_>>().join("; "))
            }
            Self::Echo => f.write_str("echo"),
        }
    }
}

/// A target of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UriTarget {
    /// A URI; it is located by RFC 3263.
    Uri(Uri),
    /// The contacts of this user.
    User(String),
}

/// Another server, such as a provider's.
#[derive(Clone)]
pub struct Trunk {
    /// Its name in routes and in the log.
    pub name: String,
    /// Where calls to it go; the user part is put in.
    pub uri: Uri,
    /// By which it may ask who we are. The realm may be left open: it is known by its address.
    pub account: Option<Account>,
    /// Networks that its calls come from: address and prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Names of its certificate, where its calls come by TLS and the transport has verified one (RFC 5922).
    pub identities: Vec<String>,
    /// Calls that it has at a time, both ways. Beyond, it gets 503 with Retry-After, and who calls it 480 with Retry-After.
    pub max_calls: Option<usize>,
    /// How its legs are treated.
    pub policy: LegPolicy,
}

/// How the media of a leg is secured.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LegPolicy {
    /// What is offered to it, and demanded of its offers.
    pub keying: Keying,
    /// Media interface; the session's default without it.
    pub interface: Option<String>,
    /// What is done to the bodies of its signalling.
    pub smime: SmimePolicy,
}

/// S/MIME on a leg.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SmimePolicy {
    /// Descriptions that go to it are signed.
    pub sign: bool,
    /// Descriptions that go to it are encrypted.
    pub encrypt: bool,
    /// Its descriptions are refused unless they are signed, and the signature verified.
    pub required: bool,
}

/// What becomes of a signature that proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnverifiedPolicy {
    /// 488.
    Refuse,
    /// Counted, entered in the ledger, and logged once for each peer.
    Warn,
    /// Counted, and entered in the ledger.
    Allow,
}

/// What is offered to a leg, and demanded of its offers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Keying {
    /// Over WebSocket what browsers want; otherwise SDES if the other leg is secure, and plain RTP if it is plain.
    #[default]
    Auto,
    /// Plain RTP. An offer with keys is taken.
    Plain,
    /// SDES under RTP/SAVP; a plain offer is refused.
    Sdes,
    /// DTLS-SRTP without ICE; a plain offer is refused.
    Dtls,
    /// What browsers want: DTLS-SRTP, ICE, rtcp-mux. A plain offer is refused.
    WebRtc,
    /// Keys under RTP/AVP that the peer may leave away (RFC 8643).
    Osrtp,
}

/// What becomes of SDES keys on a leg whose signalling others can read (RFC 4568 §8 demands that they cannot).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CleartextPolicy {
    /// 488; the warning names the option.
    Refuse,
    /// Counted, entered in the ledger, and logged once for each peer.
    Warn,
    /// Counted.
    Allow,
}

/// Whether a sips call may go on over a leg without TLS (RFC 5630).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bridging {
    /// 480 with Warning 380.
    Refuse,
    /// It goes on, with an entry in the log.
    Allow,
}

/// What becomes of a REFER inside a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refer {
    /// 403.
    Refuse,
    /// Transfers by us: blind ones, where we call the target and join it with the other leg; and attended ones, where the referrer has
    /// both in calls of ours.
    Blind,
}
