//! Address and port translation as RFC 4787 classifies it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

/// On what a mapping (RFC 4787 §4.1) or a filter (§5) depends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dependence {
    /// On nothing but the inside endpoint.
    Endpoint,
    /// On the remote address as well.
    Address,
    /// On the remote address and port as well.
    AddressAndPort,
}

impl Dependence {
    fn covers(self, known: SocketAddr, asked: SocketAddr) -> bool {
        match self {
            Self::Endpoint => true,
            Self::Address => known.ip() == asked.ip(),
            Self::AddressAndPort => known == asked,
        }
    }
}

/// How a NAT behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NatBehaviour {
    /// When a new destination gets a new outside port.
    pub mapping: Dependence,
    /// Who may send to an outside port.
    pub filtering: Dependence,
    /// A mapping ends when nothing has left through it for this long. At least two minutes by RFC 4787 §4.3.
    pub lifetime: Duration,
}

impl NatBehaviour {
    /// With a lifetime of two minutes.
    pub fn new(mapping: Dependence, filtering: Dependence) -> Self {
        Self { mapping, filtering, lifetime: Duration::from_secs(120) }
    }
}

/// The translation table.
pub(super) struct Nat {
    pub(super) outside: IpAddr,
    behaviour: NatBehaviour,
    mappings: Vec<Mapping>,
}

struct Mapping {
    inside: SocketAddr,
    /// The destination that made it.
    first_remote: SocketAddr,
    outside_port: u16,
    contacted: Vec<SocketAddr>,
    last_outbound: Instant,
}

impl Nat {
    pub(super) fn new(outside: IpAddr, behaviour: NatBehaviour) -> Self {
        Self { outside, behaviour, mappings: Vec::new() }
    }

    pub(super) fn forget(&mut self) {
        self.mappings.clear();
    }

    pub(super) fn outbound(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        inside: SocketAddr,
        remote: SocketAddr,
    ) -> SocketAddr {
        self.expire(now);
        let mapping = self.behaviour.mapping;
        let found =
            self.mappings.iter().position(|entry| entry.inside == inside && mapping.covers(entry.first_remote, remote));
        let index = found.unwrap_or_else(|| {
            let outside_port = self.free_port(rng);
            self.mappings.push(Mapping {
                inside,
                first_remote: remote,
                outside_port,
                contacted: Vec::new(),
                last_outbound: now,
            });
            self.mappings.len() - 1
        });
        let entry = &mut self.mappings[index];
        entry.last_outbound = now;
        if !entry.contacted.contains(&remote) {
            entry.contacted.push(remote);
        }
        SocketAddr::new(self.outside, entry.outside_port)
    }

    /// The inside endpoint behind `outside_port`, if the filter lets `remote` through.
    pub(super) fn inbound(&mut self, now: Instant, remote: SocketAddr, outside_port: u16) -> Option<SocketAddr> {
        self.expire(now);
        let entry = self.mappings.iter().find(|entry| entry.outside_port == outside_port)?;
        let filtering = self.behaviour.filtering;
        entry.contacted.iter().any(|&known| filtering.covers(known, remote)).then_some(entry.inside)
    }

    fn expire(&mut self, now: Instant) {
        let lifetime = self.behaviour.lifetime;
        self.mappings.retain(|entry| now.saturating_duration_since(entry.last_outbound) <= lifetime);
    }

    fn free_port(&self, rng: &mut StdRng) -> u16 {
        loop {
            let port = rng.random_range(1024..=u16::MAX);
            if self.mappings.iter().all(|entry| entry.outside_port != port) {
                return port;
            }
        }
    }
}
