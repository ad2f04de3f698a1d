//! a=rtcp (RFC 3605).

use std::fmt;
use std::net::SocketAddr;

use super::{Attribute, AttributeError, AttributeFault, Words};
use crate::{NetworkAddress, name};

/// Where RTCP goes when it is not the next port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rtcp {
    /// The port.
    pub port: u16,
    /// `None`: that of the c= line.
    pub address: Option<NetworkAddress>,
}

/// In full form: one popular stack fails on the short one.
impl From<SocketAddr> for Rtcp {
    fn from(address: SocketAddr) -> Self {
        Self { port: address.port(), address: Some(address.ip().into()) }
    }
}

impl Attribute for Rtcp {
    const NAME: &'static str = name::RTCP;

    fn parse(value: &str) -> Result<Self, AttributeError> {
        let mut words = Words::new::<Self>(value);
        let port = words.number("port")?;
        let address = if words.rest.is_empty() {
            None
        } else {
            Some(NetworkAddress::parse(words.rest).ok_or_else(|| words.fault("address", AttributeFault::Missing))?)
        };
        Ok(Self { port, address })
    }
}

impl fmt::Display for Rtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{} {address}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}
