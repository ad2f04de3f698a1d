//! a=candidate (RFC 8839 §5.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Attribute, AttributeError, AttributeFault, Words};
use crate::name;

/// An ICE candidate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Candidate {
    /// Equal for candidates of one kind, base and server.
    pub foundation: String,
    /// 1 = RTP, 2 = RTCP; 1 to 256.
    pub component: u16,
    /// `UDP` or `TCP`, as written.
    pub transport: String,
    /// The higher, the better.
    pub priority: u32,
    /// An IP address or a name (browsers hide addresses behind `….local`, RFC 8828).
    pub address: String,
    /// The port.
    pub port: u16,
    /// What follows `typ`.
    pub kind: CandidateKind,
    /// What follows `raddr`.
    pub related_address: Option<String>,
    /// What follows `rport`.
    pub related_port: Option<u16>,
    /// The rest as text: `tcptype active generation 0 …`; empty if none.
    pub extensions: String,
}

/// Where a candidate comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CandidateKind {
    /// `host`
    Host,
    /// `srflx`
    ServerReflexive,
    /// `prflx`
    PeerReflexive,
    /// `relay`
    Relayed,
    /// Anything else.
    Other(String),
}

impl Candidate {
    /// One of our own addresses, over UDP.
    pub fn host(foundation: &str, component: u16, priority: u32, address: SocketAddr) -> Self {
        Self {
            foundation: foundation.to_owned(),
            component,
            transport: "UDP".to_owned(),
            priority,
            address: address.ip().to_string(),
            port: address.port(),
            kind: CandidateKind::Host,
            related_address: None,
            related_port: None,
            extensions: String::new(),
        }
    }

    /// The address; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// Address and port; `None` for a name.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip()?, self.port))
    }

    /// Whether it is reached over UDP.
    pub fn is_udp(&self) -> bool {
        self.transport.eq_ignore_ascii_case("udp")
    }

    /// Value of an extension, such as `tcptype` or `generation`.
    pub fn extension(&self, name: &str) -> Option<&str> {
        let mut words = super::words(&self.extensions);
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            if key.eq_ignore_ascii_case(name) {
                return Some(value);
            }
        }
        None
    }
}

impl CandidateKind {
    /// As in SDP.
    pub fn name(&self) -> &str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
            Self::Other(name) => name,
        }
    }

    /// Reads any word, in any case.
    pub fn parse(word: &str) -> Self {
        [Self::Host, Self::ServerReflexive, Self::PeerReflexive, Self::Relayed]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(word))
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

impl Attribute for Candidate {
    const NAME: &'static str = name::CANDIDATE;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let foundation = words.word("foundation")?.to_owned();
        let component = words.number("component")?;
        if !(1..=256).contains(&component) {
            return Err(words.fault("component", AttributeFault::NotInRange));
        }
        let transport = words.word("transport")?.to_owned();
        let priority = words.number("priority")?;
        let address = words.word("address")?.to_owned();
        let port = words.number("port")?;
        if !words.word("typ")?.eq_ignore_ascii_case("typ") {
            return Err(words.fault("typ", AttributeFault::Missing));
        }
        let kind = CandidateKind::parse(words.word("type")?);
        let related_address = option(&mut words, "raddr").map(str::to_owned);
        let related_port = match option(&mut words, "rport") {
            None => None,
            Some(word) => Some(super::number(word).ok_or_else(|| words.fault("rport", AttributeFault::NotInRange))?),
        };
        let extensions = words.rest.to_owned();
        Ok(Self {
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            kind,
            related_address,
            related_port,
            extensions,
        })
    }
}

/// The word behind this key, if the key comes next.
fn option<'a>(words: &mut Words<'a>, key: &str) -> Option<&'a str> {
    let mut ahead = Words { attribute: words.attribute, rest: words.rest };
    let found = ahead.next().is_some_and(|word| word.eq_ignore_ascii_case(key));
    let value = if found { ahead.next() } else { None }?;
    words.rest = ahead.rest;
    Some(value)
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, transport, priority, address, port, .. } = self;
        write!(f, "{foundation} {component} {transport} {priority} {address} {port} typ {}", self.kind.name())?;
        if let Some(address) = &self.related_address {
            write!(f, " raddr {address}")?;
        }
        if let Some(port) = self.related_port {
            write!(f, " rport {port}")?;
        }
        if !self.extensions.is_empty() {
            write!(f, " {}", self.extensions)?;
        }
        Ok(())
    }
}
