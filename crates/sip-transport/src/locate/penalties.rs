//! Servers that failed lately.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use sip::Transport;

use super::Hop;

/// Servers at one time; the one whose time ends first makes room.
const MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Penalties(HashMap<(Transport, SocketAddr), Instant>);

impl Penalties {
    pub(super) fn add(&mut self, transport: Transport, address: SocketAddr, until: Instant) {
        if self.0.len() >= MAX
            && !self.0.contains_key(&(transport, address))
            && let Some(first) = self.0.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
        {
            self.0.remove(&first);
        }
        self.0.insert((transport, address), until);
    }

    /// Those that failed go last; nobody is left out, since they may be all that there is.
    pub(super) fn arrange(&self, now: Instant, mut hops: Vec<Hop>) -> Vec<Hop> {
        hops.sort_by_key(|hop| self.0.get(&(hop.transport, hop.address)).is_some_and(|&until| until > now));
        hops
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_server_that_failed_is_last_for_its_time_and_alone() {
        let now = Instant::now();
        let hop = |address: &str, transport| Hop {
            transport,
            address: address.parse().unwrap(),
            domain: "example.com".to_owned(),
        };
        let (first, second, third) = (
            hop("192.0.2.1:5060", Transport::Udp),
            hop("192.0.2.2:5060", Transport::Udp),
            hop("192.0.2.1:5060", Transport::Tcp),
        );
        let hops = vec![first.clone(), second.clone(), third.clone()];
        let mut penalties = Penalties::default();
        penalties.add(Transport::Udp, first.address, now + Duration::from_secs(60));
        assert_eq!(penalties.arrange(now, hops.clone()), [second, third, first]);
        assert_eq!(penalties.arrange(now + Duration::from_secs(60), hops.clone()), hops);
        for port in 1..3000 {
            penalties.add(Transport::Udp, ([198, 51, 100, 1], port).into(), now);
        }
        assert_eq!(penalties.0.len(), MAX);
    }
}
