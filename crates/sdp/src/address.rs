//! Network type, address type and address: c=, the end of o=, and a=rtcp.

use std::fmt;
use std::net::IpAddr;

use crate::line::words;

/// Network type, address type and address (RFC 8866 §5.7), as text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NetworkAddress {
    /// `IN`
    pub net_type: String,
    /// `IP4` or `IP6`
    pub addr_type: String,
    /// An IP address, perhaps with `/ttl/count` behind it, or a name.
    pub address: String,
}

impl NetworkAddress {
    /// Reads exactly three tokens.
    pub fn parse(text: &str) -> Option<Self> {
        let mut tokens = words(text);
        let (net_type, addr_type, address) = (tokens.next()?, tokens.next()?, tokens.next()?);
        if tokens.next().is_some() {
            return None;
        }
        Some(Self { net_type: net_type.to_owned(), addr_type: addr_type.to_owned(), address: address.to_owned() })
    }

    /// The address without the suffixes of multicast; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.split('/').next()?.parse().ok()
    }

    /// 0.0.0.0 or ::, the hold of RFC 2543.
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }
}

impl From<IpAddr> for NetworkAddress {
    fn from(ip: IpAddr) -> Self {
        let addr_type = if ip.is_ipv4() { "IP4" } else { "IP6" };
        Self { net_type: "IN".to_owned(), addr_type: addr_type.to_owned(), address: ip.to_string() }
    }
}

impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.net_type, self.addr_type, self.address)
    }
}
