//! Who may connect and how fast one may speak. Pure: takes the time, knows no socket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::{Refusal, TransportLimits};

/// An IPv6 /48, all of which a site may have, counts as much as this many of its /64.
const SITE: usize = 8;

/// An IPv4 address or an IPv6 /64, since whoever has one address of a /64 has them all; or a site. With the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Source(IpAddr, u32);

impl Source {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.into(), 32),
            IpAddr::V6(ip) => Self::prefix(ip, 64),
        }
    }

    /// The site of an IPv6 address.
    fn site(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(Self::prefix(ip, 48)),
        }
    }

    fn prefix(ip: std::net::Ipv6Addr, length: u32) -> Self {
        let host = 128 - length;
        Self(std::net::Ipv6Addr::from_bits(ip.to_bits() >> host << host).into(), length)
    }
}

/// Counts connections, and tokens of each source.
pub(crate) struct Admission {
    rate: f64,
    burst: f64,
    trusted: Vec<(IpAddr, u8)>,
    max_connections: usize,
    max_per_source: usize,
    connections: usize,
    connections_by_source: HashMap<Source, usize>,
    /// Those that we opened, which strangers cannot take the place of.
    own: usize,
    /// Half of the sources at most are in each. A source moves to `recent` when it speaks; when that is full, it becomes `older`
    /// and what was there is forgotten: the longest silent go first, at constant cost.
    recent: HashMap<Source, Bucket>,
    older: HashMap<Source, Bucket>,
    max_recent: usize,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Admission {
    pub(crate) fn new(limits: &TransportLimits) -> Self {
        Self {
            rate: f64::from(limits.rate),
            burst: f64::from(limits.burst.max(1)),
            trusted: limits.trusted.clone(),
            max_connections: limits.connections,
            max_per_source: limits.connections_per_source,
            connections: 0,
            connections_by_source: HashMap::new(),
            own: 0,
            recent: HashMap::new(),
            older: HashMap::new(),
            max_recent: (limits.sources / 2).max(1),
        }
    }

    pub(crate) fn set_trusted(&mut self, trusted: Vec<(IpAddr, u8)>) {
        self.trusted = trusted;
    }

    /// Takes a place for a connection from there, which costs as much as a message; [`Admission::disconnect`] gives it back.
    pub(crate) fn connect(&mut self, now: Instant, ip: IpAddr) -> Result<(), Refusal> {
        if !self.message(now, ip) {
            return Err(Refusal::Rate);
        }
        let held = |source| self.connections_by_source.get(&source).copied().unwrap_or(0);
        let is_full = held(Source::of(ip)) >= self.max_per_source
            || Source::site(ip).is_some_and(|site| held(site) >= self.max_per_source.saturating_mul(SITE));
        if is_full && !self.is_trusted(ip) {
            return Err(Refusal::ConnectionsPerSource);
        }
        if self.connections >= self.max_connections {
            return Err(Refusal::Connections);
        }
        self.connections += 1;
        for source in [Some(Source::of(ip)), Source::site(ip)].into_iter().flatten() {
            *self.connections_by_source.entry(source).or_default() += 1;
        }
        Ok(())
    }

    /// The same for a connection that we make.
    pub(crate) fn connect_own(&mut self) -> Result<(), Refusal> {
        if self.own >= self.max_connections {
            return Err(Refusal::Connections);
        }
        self.own += 1;
        Ok(())
    }

    pub(crate) fn disconnect_own(&mut self) {
        self.own = self.own.saturating_sub(1);
    }

    pub(crate) fn disconnect(&mut self, ip: IpAddr) {
        self.connections = self.connections.saturating_sub(1);
        for source in [Some(Source::of(ip)), Source::site(ip)].into_iter().flatten() {
            if let Some(held) = self.connections_by_source.get_mut(&source) {
                *held = held.saturating_sub(1);
                if *held == 0 {
                    self.connections_by_source.remove(&source);
                }
            }
        }
    }

    /// Whether a message from there is within the rate.
    pub(crate) fn message(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.is_trusted(ip) {
            return true;
        }
        self.take(now, Source::of(ip), 1.0) && Source::site(ip).is_none_or(|site| self.take(now, site, SITE as f64))
    }

    /// One message of a source that has this many shares.
    fn take(&mut self, now: Instant, source: Source, shares: f64) -> bool {
        let (rate, burst) = (self.rate * shares, self.burst * shares);
        if !self.recent.contains_key(&source) {
            let bucket = self.older.remove(&source).unwrap_or(Bucket { tokens: burst, filled: now });
            if self.recent.len() >= self.max_recent {
                self.older = std::mem::take(&mut self.recent);
            }
            self.recent.insert(source, bucket);
        }
        let Some(bucket) = self.recent.get_mut(&source) else { return false };
        let elapsed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * rate).min(burst);
        bucket.filled = now;
        let is_allowed = bucket.tokens >= 1.0;
        if is_allowed {
            bucket.tokens -= 1.0;
        }
        is_allowed
    }

    fn is_trusted(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted.iter().any(|&(network, length)| is_within(ip, network.to_canonical(), length))
    }
}

fn is_within(ip: IpAddr, network: IpAddr, length: u8) -> bool {
    let shift = |width: u32| width.saturating_sub(u32::from(length));
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Any moment will do.
    fn moment() -> Instant {
        Instant::now()
    }

    fn admission(change: impl FnOnce(&mut TransportLimits)) -> Admission {
        let mut limits = TransportLimits { rate: 10, burst: 20, ..TransportLimits::default() };
        change(&mut limits);
        Admission::new(&limits)
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let (mut admission, start) = (admission(|_| ()), moment());
        let passed = (0..1000).filter(|_| admission.message(start, ip("192.0.2.1"))).count();
        assert_eq!(passed, 20);
        assert!(admission.message(start, ip("192.0.2.2")), "another source is another");
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| admission.message(later, ip("192.0.2.1"))).count(), 10);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_a_mapped_address_its_ipv4() {
        assert_eq!(Source::of(ip("2001:db8::1")), Source::of(ip("2001:db8::ffff:0:1")));
        assert_ne!(Source::of(ip("2001:db8::1")), Source::of(ip("2001:db8:0:1::1")));
        assert_eq!(Source::of(ip("::ffff:192.0.2.1")), Source::of(ip("192.0.2.1")));
    }

    #[test]
    fn the_networks_of_a_site_share_a_bound() {
        let now = moment();
        let mut admission = admission(|limits| limits.connections_per_source = 2);
        let network = |number: u16| ip(&format!("2001:db8:7:{number:x}::1"));
        let connected = (0..100).filter(|&number| admission.connect(now, network(number)).is_ok()).count();
        assert_eq!(connected, 2 * SITE);
        assert!(admission.connect(now, ip("2001:db8:8::1")).is_ok(), "another site");
        (0..16).for_each(|number| admission.disconnect(network(number)));
        admission.disconnect(ip("2001:db8:8::1"));
        assert!(admission.connections_by_source.is_empty());
        let each = (0..1000).map(|number| (0..100).filter(|_| admission.message(now, network(number))).count());
        let passed: usize = each.sum();
        let burst = 20;
        assert!(passed <= burst * SITE, "{passed}");
        assert!(admission.message(now, ip("2001:db8:9::1")), "another site");
    }

    #[test]
    fn forged_sources_leave_a_bounded_table() {
        let (mut admission, start) = (admission(|limits| limits.sources = 100), moment());
        for number in 0..100_000_u32 {
            admission.message(start, std::net::Ipv4Addr::from(number).into());
            assert!(admission.recent.len() + admission.older.len() <= 100);
        }
    }

    #[test]
    fn who_speaks_on_is_not_forgotten_for_those_who_came_once() {
        let (mut admission, start) = (admission(|limits| limits.sources = 100), moment());
        let mut passed = 0;
        for number in 0..10_000_u32 {
            admission.message(start, std::net::Ipv4Addr::from(number).into());
            passed += u32::from(admission.message(start, ip("203.0.113.1")));
        }
        assert_eq!(passed, 20);
    }

    #[test]
    fn connections_are_bounded_by_source_and_in_total() {
        let now = moment();
        let mut admission = admission(|limits| {
            limits.connections = 4;
            limits.connections_per_source = 2;
            limits.trusted = vec![(ip("198.51.100.0"), 24)];
        });
        assert_eq!(admission.connect(now, ip("192.0.2.1")), Ok(()));
        assert_eq!(admission.connect(now, ip("192.0.2.1")), Ok(()));
        assert_eq!(admission.connect(now, ip("192.0.2.1")), Err(Refusal::ConnectionsPerSource));
        admission.disconnect(ip("192.0.2.1"));
        for _ in 0..3 {
            assert_eq!(admission.connect(now, ip("198.51.100.77")), Ok(()), "trusted");
        }
        assert_eq!(admission.connect(now, ip("192.0.2.1")), Err(Refusal::Connections));
        assert_eq!(admission.connect_own(), Ok(()), "ours are counted apart");
        assert_eq!(admission.connections_by_source.len(), 2);
    }

    #[test]
    fn networks_hold_their_addresses() {
        assert!(is_within(ip("10.1.2.3"), ip("10.0.0.0"), 8) && !is_within(ip("11.1.2.3"), ip("10.0.0.0"), 8));
        assert!(is_within(ip("10.1.2.3"), ip("192.0.2.1"), 0) && !is_within(ip("10.1.2.3"), ip("10.1.2.4"), 32));
        assert!(is_within(ip("2001:db8::1"), ip("2001:db8::"), 32) && !is_within(ip("::1"), ip("0.0.0.0"), 0));
    }
}
