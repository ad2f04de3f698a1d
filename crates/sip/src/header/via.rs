//! Via (RFC 3261 §20.42) with received, rport (RFC 3581) and alias (RFC 5923).

use crate::text::Scanner;
use crate::{Host, Params};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// One Via.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS`, `WS`, `WSS` or any other token, upper-case.
    pub transport: String,
    /// Where the sender wants its responses.
    pub sent_by: SentBy,
    /// branch, received, rport, …
    pub params: Params,
}

/// Host and port of a Via.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentBy {
    /// Name or address.
    pub host: Host,
    /// As written; by default 5060, or 5061 for TLS.
    pub port: Option<u16>,
}

impl SentBy {
    /// Same host and, with the default filled in, same port.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.host.is_equivalent(&other.host) && self.port.unwrap_or(5060) == other.port.unwrap_or(5060)
    }
}

impl From<SocketAddr> for SentBy {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().into(), port: Some(address.port()) }
    }
}

impl fmt::Display for SentBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

impl Via {
    /// What a branch of RFC 3261 begins with (§8.1.1.7).
    pub const MAGIC_COOKIE: &str = "z9hG4bK";

    /// A Via with a branch.
    pub fn new(transport: &str, sent_by: SentBy, branch: &str) -> Self {
        let mut params = Params::new();
        params.set("branch", Some(branch));
        Self { transport: transport.to_ascii_uppercase(), sent_by, params }
    }

    /// Reads one element.
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner::new(text);
        scanner.blanks();
        let protocol = scanner.token()?;
        let version = scanner.separator(b'/').then(|| scanner.token())??;
        if !protocol.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return None;
        }
        let transport = scanner.separator(b'/').then(|| scanner.token())??.to_ascii_uppercase();
        scanner.blanks().then_some(())?;
        let host = if scanner.peek() == Some(b'[') {
            let start = scanner.rest();
            let end = start.find(']')? + 1;
            scanner.take_while(|byte| byte != b']');
            scanner.byte(b']');
            start.get(..end)?
        } else {
            scanner.take_while(|byte| !b" \t;:,".contains(&byte))
        };
        let host = Host::parse(host)?;
        let port = if scanner.separator(b':') { Some(scanner.number()?) } else { None };
        Some(Self { transport, sent_by: SentBy { host, port }, params: Params::scan(&mut scanner)? })
    }

    /// The branch if it was made by RFC 3261's rules: it begins with the magic cookie and goes on.
    pub fn branch(&self) -> Option<&str> {
        let branch = self.params.get("branch")?;
        // The cookie is part of a token and so compares without case (§7.3.1).
        let (cookie, rest) = branch.split_at_checked(Self::MAGIC_COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(Self::MAGIC_COOKIE) && !rest.is_empty()).then_some(branch)
    }

    /// Records where a request came from (RFC 3261 §18.2.1, RFC 3581 §4): received if the address is not sent-by's or
    /// rport asks for it, and rport's value.
    pub fn record_source(&mut self, source: SocketAddr) {
        let asks = self.params.contains("rport");
        let ip = canonical(source.ip());
        if asks || self.sent_by.host.ip().map(canonical) != Some(ip) {
            self.params.set("received", Some(&ip.to_string()));
        } else {
            // A client has no business to say it.
            self.params.remove("received");
        }
        if asks {
            self.params.set("rport", Some(&source.port().to_string()));
        }
    }

    /// Where a response goes over an unreliable transport (RFC 3261 §18.2.2, RFC 3581 §4): received or sent-by's address,
    /// rport or sent-by's port. `None` if sent-by is a name and received is missing. `maddr` is not obeyed: it would let
    /// strangers aim our responses.
    pub fn response_address(&self) -> Option<SocketAddr> {
        let ip = match self.params.get("received") {
            Some(received) => received.trim_matches(['[', ']']).parse().ok()?,
            None => self.sent_by.host.ip()?,
        };
        let rport = self.params.get("rport").and_then(|port| port.parse().ok());
        Some(SocketAddr::new(ip, rport.or(self.sent_by.port).unwrap_or(5060)))
    }
}

/// An IPv4 address that came through an IPv6 socket is an IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}{}", self.transport, self.sent_by, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_recorded_and_found_again() {
        let source = "198.51.100.7:4001".parse().unwrap();
        let mut via = Via::parse("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff").unwrap();
        via.record_source(source);
        // The example of RFC 3581 §6, with another source.
        assert_eq!(
            via.to_string(),
            "SIP/2.0/UDP 10.1.1.1:4540;rport=4001;branch=z9hG4bKkjshdyff;received=198.51.100.7"
        );
        assert_eq!(via.response_address(), Some(source));

        let mut via = Via::parse("SIP/2.0/UDP client.example:5070;branch=z9hG4bK1;received=1.1.1.1").unwrap();
        via.record_source(source);
        assert_eq!(via.response_address(), Some("198.51.100.7:5070".parse().unwrap()));
    }

    #[test]
    fn ipv6_keeps_its_brackets_in_sent_by_and_has_none_in_received() {
        let mut via = Via::parse("SIP/2.0/UDP [2001:db8::9:1]:5070;branch=z9hG4bK1").unwrap();
        via.record_source("[2001:db8::2]:5060".parse().unwrap());
        assert_eq!(via.to_string(), "SIP/2.0/UDP [2001:db8::9:1]:5070;branch=z9hG4bK1;received=2001:db8::2");
        let bracketed = via.to_string().replace("2001:db8::2", "[2001:db8::2]");
        assert_eq!(Via::parse(&bracketed).unwrap().response_address(), via.response_address());
    }

    #[test]
    fn a_cookie_alone_is_no_branch() {
        assert_eq!(Via::parse("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK").unwrap().branch(), None);
        assert!(Via::parse("SIP/2.0/UDP 192.0.2.1;branch=Z9HG4bKx").unwrap().branch().is_some());
    }
}
