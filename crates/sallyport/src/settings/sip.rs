//! The table [sip]: where SIP is served, for whom, and where calls go.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use b2bua::{Bridging, CleartextPolicy, Keying, Refer, SmimePolicy, UnverifiedPolicy};
use sip::{DigestAlgorithm, Host, SentBy, Transport, Uri};
use smime::ContentCipher;

use super::value::{Fault, Value};

/// What takes a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SipFixed {
    /// Empty: SIP is off. `None`: the defaults, as far as nobody else has them.
    pub(crate) listen: Option<Vec<Listen>>,
    pub(crate) realm: String,
    pub(crate) algorithms: Vec<DigestAlgorithm>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// PEM. `None`: the system's.
    pub(crate) roots: Option<PathBuf>,
    pub(crate) calls: usize,
    pub(crate) max_ring_time: Duration,
    pub(crate) refer: Refer,
}

/// What a reload changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SipLive {
    /// `None`: the user `demo`, with a password made at each start.
    pub(crate) users: Option<PathBuf>,
    pub(crate) max_calls_per_user: Option<usize>,
    pub(crate) phones: Keying,
    pub(crate) phones_smime: SmimePolicy,
    pub(crate) smime: SmimeSetting,
    pub(crate) trunks: Vec<TrunkSetting>,
    pub(crate) routes: Vec<RouteSetting>,
    pub(crate) sdes_over_cleartext: CleartextPolicy,
    pub(crate) sips_bridge: Bridging,
    pub(crate) pass_headers: Vec<String>,
    pub(crate) ring_time: Duration,
    pub(crate) origins: Vec<String>,
}

/// `udp:127.0.0.1:5060/sip.example.com:5060`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
    pub(crate) advertised: Option<SentBy>,
}

/// An element of `sip.trunks`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrunkSetting {
    pub(crate) name: String,
    pub(crate) uri: Uri,
    pub(crate) username: Option<String>,
    /// The password is the first line of it.
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    pub(crate) identities: Vec<String>,
    pub(crate) max_calls: Option<usize>,
    pub(crate) keying: Keying,
    pub(crate) interface: Option<String>,
    pub(crate) smime: SmimePolicy,
}

/// The table `sip.smime`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SmimeSetting {
    /// PEM, all of them.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) anchors: Option<PathBuf>,
    pub(crate) pinned: Option<PathBuf>,
    pub(crate) unverified: UnverifiedPolicy,
    pub(crate) cipher: ContentCipher,
}

impl Default for SmimeSetting {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            anchors: None,
            pinned: None,
            unverified: UnverifiedPolicy::Warn,
            cipher: ContentCipher::Aes128Gcm,
        }
    }
}

/// An element of `sip.routes`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteSetting {
    pub(crate) user: String,
    /// `anybody`, `users`, or the name of a trunk.
    pub(crate) from: String,
    pub(crate) to: RouteTo,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RouteTo {
    /// `registered`
    Registered,
    /// `echo`
    Echo,
    /// `trunk:NAME`
    Trunk(String),
    /// Lists of URIs and user names: those of one list at once, the lists in turn.
    Targets(Vec<Vec<String>>),
}

impl Default for SipFixed {
    fn default() -> Self {
        Self {
            listen: None,
            realm: "sallyport".to_owned(),
            algorithms: vec![DigestAlgorithm::SHA_256, DigestAlgorithm::SHA_512_256, DigestAlgorithm::MD5],
            certificate: None,
            key: None,
            roots: None,
            calls: 2000,
            max_ring_time: Duration::from_secs(180),
            refer: Refer::Refuse,
        }
    }
}

impl Default for SipLive {
    fn default() -> Self {
        let route = |user: &str, to| RouteSetting { user: user.to_owned(), from: "anybody".to_owned(), to };
        Self {
            users: None,
            max_calls_per_user: None,
            phones: Keying::Auto,
            phones_smime: SmimePolicy::default(),
            smime: SmimeSetting::default(),
            trunks: Vec::new(),
            routes: vec![route("echo", RouteTo::Echo), route("*", RouteTo::Registered)],
            sdes_over_cleartext: CleartextPolicy::Warn,
            sips_bridge: Bridging::Refuse,
            pass_headers: ["Subject", "Priority", "Privacy", "User-to-User"].map(str::to_owned).to_vec(),
            ring_time: Duration::from_secs(30),
            origins: Vec::new(),
        }
    }
}

impl SipFixed {
    /// Where SIP is served: what is configured, or the defaults. TLS where there is a certificate.
    pub(crate) fn listeners(&self) -> Vec<Listen> {
        self.listen.clone().unwrap_or_else(|| around([127, 0, 0, 1].into(), 5060, 8080, self.certificate.is_some()))
    }
}

/// UDP and TCP on a port, TLS on the next, and WebSocket on one of its own.
fn around(ip: IpAddr, port: u16, web: u16, tls: bool) -> Vec<Listen> {
    let secure = if port == 0 { 0 } else { port.saturating_add(1) };
    let listen = |transport, port| Listen { transport, address: SocketAddr::new(ip, port), advertised: None };
    let mut all = vec![listen(Transport::Udp, port), listen(Transport::Tcp, port), listen(Transport::Ws, web)];
    if tls {
        all.insert(2, listen(Transport::Tls, secure));
    }
    all
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (transport, rest) =
            text.split_once(':').ok_or("write TRANSPORT:ADDRESS:PORT, such as udp:192.0.2.1:5060")?;
        let known = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
        let transport = known
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(transport))
            .ok_or_else(|| format!("{transport:?} is none of udp, tcp, tls, ws, wss"))?;
        let (address, advertised) = match rest.split_once('/') {
            Some((address, advertised)) => (address, Some(advertised)),
            None => (rest, None),
        };
        let address: SocketAddr = address.parse().map_err(|_| format!("{address:?} is no ADDRESS:PORT"))?;
        let advertised = advertised.map(sent_by).transpose()?;
        if address.ip().is_unspecified() && advertised.is_none() {
            return Err(format!("{address} says nothing that a peer could answer to: add /HOST:PORT"));
        }
        Ok(Self { transport, address, advertised })
    }
}

fn sent_by(text: &str) -> Result<SentBy, String> {
    match Uri::parse(&format!("sip:{text}")) {
        Some(Uri::Sip(uri)) if uri.user.is_none() && uri.params().next().is_none() => {
            Ok(SentBy { host: uri.host, port: uri.port })
        }
        _ => Err(format!("{text:?} is no HOST or HOST:PORT")),
    }
}

/// `--sip`: an address, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SipFlag {
    At(SocketAddr),
    Off,
}

impl FromStr for SipFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => text.parse().map(Self::At).map_err(|_| format!("{text:?} is neither ADDRESS:PORT nor off")),
        }
    }
}

impl SipFlag {
    /// What it means: UDP and TCP there, TLS one port above where there is a certificate, WebSocket at 8080. With port 0 the
    /// system chooses each.
    pub(crate) fn listeners(&self, tls: bool) -> Vec<Listen> {
        match self {
            Self::Off => Vec::new(),
            Self::At(address) => {
                let web = if address.port() == 0 { 0 } else { 8080 };
                around(address.ip(), address.port(), web, tls)
            }
        }
    }
}

/// The fields of a table, each read by its name.
fn fields(value: Value<'_>, mut read: impl FnMut(&str, Value<'_>) -> Result<bool, Fault>) -> Result<(), Fault> {
    for (name, field) in value.table()? {
        if !read(name.get_ref(), Value(field))? {
            return Err(Fault { at: name.span(), words: format!("{} is no field of this table", name.get_ref()) });
        }
    }
    Ok(())
}

pub(super) fn trunk(value: Value<'_>) -> Result<TrunkSetting, Fault> {
    let (mut name, mut uri) = (None, None);
    let mut trunk = TrunkSetting {
        name: String::new(),
        uri: Uri::Sip(sip::SipUri::new(None, IpAddr::from([127, 0, 0, 1]).into(), None)),
        username: None,
        password_file: None,
        addresses: Vec::new(),
        identities: Vec::new(),
        max_calls: None,
        keying: Keying::Auto,
        interface: None,
        smime: SmimePolicy::default(),
    };
    fields(value, |field, value| {
        match field {
            "name" => name = Some(value.name()?),
            "uri" => uri = Some(sip_uri(value)?),
            "username" => trunk.username = Some(value.name()?),
            "password_file" => trunk.password_file = Some(PathBuf::from(value.name()?)),
            "addresses" => trunk.addresses = value.list(network)?,
            "identities" => trunk.identities = value.list(|one| one.name())?,
            "max_calls" => trunk.max_calls = Some(value.count(1..=1_000_000)?),
            "keying" => trunk.keying = keying(value)?,
            "interface" => trunk.interface = Some(value.name()?),
            "smime" => smime_layers(value, &mut trunk.smime)?,
            "smime_required" => trunk.smime.required = value.flag()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    trunk.name = name.ok_or_else(|| value.fault("a trunk needs a name"))?;
    trunk.uri = uri.ok_or_else(|| value.fault("a trunk needs a uri"))?;
    if trunk.username.is_some() != trunk.password_file.is_some() {
        return Err(value.fault("username and password_file come together"));
    }
    Ok(trunk)
}

pub(super) fn route(value: Value<'_>) -> Result<RouteSetting, Fault> {
    let (mut user, mut from, mut to) = (None, "anybody".to_owned(), None);
    fields(value, |field, value| {
        match field {
            "user" => user = Some(value.name()?),
            "from" => from = value.name()?,
            "to" => to = Some(route_to(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let user = user.ok_or_else(|| value.fault("a route needs a user, a pattern such as \"49*\""))?;
    let to = to.ok_or_else(|| value.fault("a route needs a to"))?;
    Ok(RouteSetting { user, from, to })
}

fn route_to(value: Value<'_>) -> Result<RouteTo, Fault> {
    if value.is_list() {
        let group = |one: Value<'_>| {
            if one.is_list() { one.list(target) } else { target(one).map(|target| vec![target]) }
        };
        return value.list(group).map(RouteTo::Targets);
    }
    match value.text()? {
        "registered" => Ok(RouteTo::Registered),
        "echo" => Ok(RouteTo::Echo),
        text => match text.strip_prefix("trunk:") {
            Some(name) if !name.is_empty() => Ok(RouteTo::Trunk(name.to_owned())),
            _ => Err(value.fault(format!("{text:?} is none of registered, echo, trunk:NAME, or a list of targets"))),
        },
    }
}

/// A SIP URI, or the name of a user of ours.
fn target(value: Value<'_>) -> Result<String, Fault> {
    let name = value.name()?;
    let is_uri = name.starts_with("sip:") || name.starts_with("sips:");
    if is_uri && Uri::parse(&name).is_none() {
        return Err(value.fault(format!("{name:?} is no SIP URI")));
    }
    Ok(name)
}

fn sip_uri(value: Value<'_>) -> Result<Uri, Fault> {
    let text = value.text()?;
    let uri = Uri::parse(text).filter(|uri| uri.as_sip().is_some());
    uri.ok_or_else(|| value.fault(format!("{text:?} is no SIP URI")))
}

/// `192.0.2.0/24`, or one address.
fn network(value: Value<'_>) -> Result<(IpAddr, u8), Fault> {
    let text = value.text()?;
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let fault = || value.fault(format!("{text:?} is no ADDRESS or ADDRESS/BITS"));
    let address: IpAddr = address.parse().map_err(|_| fault())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(width), |bits| bits.parse::<u8>().map_err(|_| fault()))?;
    if bits > width { Err(fault()) } else { Ok((address, bits)) }
}

pub(super) fn keying(value: Value<'_>) -> Result<Keying, Fault> {
    super::keys::one_of(
        value,
        &[
            ("auto", Keying::Auto),
            ("plain", Keying::Plain),
            ("sdes", Keying::Sdes),
            ("dtls", Keying::Dtls),
            ("webrtc", Keying::WebRtc),
            ("osrtp", Keying::Osrtp),
        ],
    )
}

/// What is done to the bodies that go to a leg.
pub(super) fn smime_layers(value: Value<'_>, policy: &mut SmimePolicy) -> Result<(), Fault> {
    (policy.sign, policy.encrypt) = super::keys::one_of(
        value,
        &[
            ("off", (false, false)),
            ("sign", (true, false)),
            ("encrypt", (false, true)),
            ("sign-and-encrypt", (true, true)),
        ],
    )?;
    Ok(())
}

pub(super) fn unverified(value: Value<'_>) -> Result<UnverifiedPolicy, Fault> {
    use UnverifiedPolicy::{Allow, Refuse, Warn};
    super::keys::one_of(value, &[("refuse", Refuse), ("warn", Warn), ("allow", Allow)])
}

pub(super) fn cipher(value: Value<'_>) -> Result<ContentCipher, Fault> {
    use ContentCipher::{Aes128Cbc, Aes128Gcm, Aes256Cbc, Aes256Gcm};
    super::keys::one_of(
        value,
        &[
            ("aes-128-gcm", Aes128Gcm),
            ("aes-256-gcm", Aes256Gcm),
            ("aes-128-cbc", Aes128Cbc),
            ("aes-256-cbc", Aes256Cbc),
        ],
    )
}

pub(super) fn algorithm(value: Value<'_>) -> Result<DigestAlgorithm, Fault> {
    let all = [DigestAlgorithm::SHA_512_256, DigestAlgorithm::SHA_256, DigestAlgorithm::MD5];
    let names: Vec<(String, DigestAlgorithm)> = all.map(|algorithm| (algorithm.to_string(), algorithm)).to_vec();
    let choices: Vec<(&str, DigestAlgorithm)> =
        names.iter().map(|(name, algorithm)| (name.as_str(), *algorithm)).collect();
    super::keys::one_of(value, &choices)
}

/// As it can stand in a header without quotes, and in the users file.
pub(super) fn realm(value: Value<'_>) -> Result<String, Fault> {
    let name = value.name()?;
    match Host::parse(&name) {
        Some(_) => Ok(name),
        None => Err(value.fault(format!("{name:?} is no domain name"))),
    }
}

fn check_smime(live: &SipLive) -> Option<(&'static str, String)> {
    let SmimeSetting { certificate, key, .. } = &live.smime;
    match (certificate, key) {
        (Some(_), None) => {
            return Some(("sip.smime.certificate", "sip.smime.key is missing: they come together".to_owned()));
        }
        (None, Some(_)) => {
            return Some(("sip.smime.key", "sip.smime.certificate is missing: they come together".to_owned()));
        }
        _ => {}
    }
    if live.phones_smime.sign && certificate.is_none() {
        return Some(("sip.phones_smime", "whoever signs needs sip.smime.certificate and sip.smime.key".to_owned()));
    }
    for trunk in &live.trunks {
        let name = &trunk.name;
        if trunk.smime.sign && certificate.is_none() {
            return Some(("sip.trunks", format!("{name:?} is to get signed bodies: sip.smime.certificate is missing")));
        }
        let by_udp = trunk.uri.as_sip().and_then(|uri| uri.param("transport")).is_some_and(is_udp);
        if (trunk.smime.sign || trunk.smime.encrypt) && by_udp {
            return Some(("sip.trunks", format!("{name:?}: a signed or encrypted body does not go by UDP")));
        }
    }
    None
}

fn is_udp(transport: &str) -> bool {
    transport.eq_ignore_ascii_case("udp")
}

/// What only several keys together can have wrong: the key, and words.
pub(super) fn check_together(fixed: &SipFixed, live: &SipLive) -> Option<(&'static str, String)> {
    let secure = fixed.listeners().iter().any(|listen| listen.transport.is_secure());
    if fixed.certificate.is_some() != fixed.key.is_some() {
        let (present, absent) =
            if fixed.key.is_some() { ("sip.key", "sip.certificate") } else { ("sip.certificate", "sip.key") };
        return Some((present, format!("{absent} is missing: they come together")));
    }
    if secure && fixed.certificate.is_none() {
        return Some(("sip.listen", "TLS and WSS need sip.certificate and sip.key".to_owned()));
    }
    if let Some(fault) = check_smime(live) {
        return Some(fault);
    }
    let names: Vec<&str> = live.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
    let reserved = |name: &&str| ["anybody", "users"].contains(name);
    if let Some(name) = names.iter().copied().find(reserved) {
        return Some(("sip.trunks", format!("{name:?} is no name for a trunk")));
    }
    if let Some(twice) = (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
        return Some(("sip.trunks", format!("two trunks are named {:?}", names[twice])));
    }
    for route in &live.routes {
        let known = |name: &str| names.contains(&name);
        if !["anybody", "users"].contains(&route.from.as_str()) && !known(&route.from) {
            return Some(("sip.routes", format!("from {:?}: there is no such trunk", route.from)));
        }
        if let RouteTo::Trunk(name) = &route.to
            && !known(name)
        {
            return Some(("sip.routes", format!("to trunk:{name}: there is no such trunk")));
        }
    }
    None
}
