//! How often a source may fail.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Counts failed logins per source: an IPv4 address or an IPv6 /64. Its memory is bounded; when it is full the oldest source is
/// forgotten.
pub struct FailureLimit {
    max_failures: u32,
    period: Duration,
    max_sources: usize,
    by_source: HashMap<IpAddr, (Instant, u32)>,
    /// In order of their first failure.
    order: VecDeque<(Instant, IpAddr)>,
}

impl FailureLimit {
    /// A source is blocked after `max_failures` within `period` of its first failure, until that period ends.
    pub fn new(max_failures: u32, period: Duration, max_sources: usize) -> Self {
        Self {
            max_failures,
            period,
            max_sources: max_sources.max(1),
            by_source: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Counts a failure.
    pub fn record(&mut self, now: Instant, source: IpAddr) {
        self.expire(now);
        let source = network(source);
        if let Some((_, count)) = self.by_source.get_mut(&source) {
            *count = count.saturating_add(1);
            return;
        }
        if self.by_source.len() >= self.max_sources
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.by_source.remove(&oldest);
        }
        self.by_source.insert(source, (now, 1));
        self.order.push_back((now, source));
    }

    /// Whether the source has failed too often.
    pub fn is_blocked(&self, now: Instant, source: IpAddr) -> bool {
        self.by_source.get(&network(source)).is_some_and(|(first, count)| {
            *count >= self.max_failures && now.saturating_duration_since(*first) < self.period
        })
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(first, source)) = self.order.front() {
            if now.saturating_duration_since(first) < self.period {
                break;
            }
            self.order.pop_front();
            self.by_source.remove(&source);
        }
    }
}

/// An IPv4 address or an IPv6 /64.
pub(super) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start")]
    fn a_source_is_blocked_for_a_period_and_memory_is_bounded() {
        let now = Instant::now();
        let mut limit = FailureLimit::new(3, Duration::from_secs(60), 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..3 {
            assert!(!limit.is_blocked(now, ip("2001:db8::1")));
            limit.record(now, ip("2001:db8::ffff"));
        }
        assert!(limit.is_blocked(now, ip("2001:db8::1")));
        assert!(!limit.is_blocked(now, ip("2001:db8:0:1::1")));
        assert!(!limit.is_blocked(now + Duration::from_secs(60), ip("2001:db8::1")));
        limit.record(now, ip("192.0.2.1"));
        limit.record(now, ip("192.0.2.2"));
        assert_eq!((limit.by_source.len(), limit.order.len()), (2, 2));
        assert!(!limit.is_blocked(now, ip("2001:db8::1")));
    }
}
