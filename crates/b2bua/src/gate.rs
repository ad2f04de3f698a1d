//! Who may call and register: users by digest, trunks by address or TLS identity.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use sip::{
    Accepted, DigestFault, DigestServer, DigestServerConfig, FailureLimit, Flow, Headers, Request, StatusCode,
    Transport, Verification, name,
};

use crate::routes::Caller;
use crate::{B2buaConfig, Counters, Fact, Trunk, Users};

/// Sources whose failures are remembered, and connections whose certificate is.
const MAX_SOURCES: usize = 10_000;

pub(crate) struct Gate {
    digest: DigestServer,
    users: Users,
    failures: FailureLimit,
    /// Names of the peer's certificate, by connection.
    identities: HashMap<u64, Vec<String>>,
}

/// What became of a request at the gate.
pub(crate) enum Admission {
    /// It is this one. With what proves it, for the response.
    Caller(Caller, Option<Box<Accepted>>),
    /// This is the response.
    Refused(StatusCode, Headers),
}

impl Gate {
    pub(crate) fn new(config: &B2buaConfig, users: Users, now: Instant, seed: [u8; 32]) -> Self {
        let mut digest = DigestServerConfig::new(&config.realm);
        digest.algorithms.clone_from(&config.algorithms);
        Self {
            digest: DigestServer::new(digest, now, seed),
            users,
            failures: FailureLimit::new(config.limits.failures, config.limits.failure_period, MAX_SOURCES),
            identities: HashMap::new(),
        }
    }

    pub(crate) fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    pub(crate) fn set_identities(&mut self, connection: u64, names: Vec<String>) {
        if self.identities.len() < MAX_SOURCES {
            self.identities.insert(connection, names);
        }
    }

    pub(crate) fn forget_connection(&mut self, connection: u64) {
        self.identities.remove(&connection);
    }

    /// The trunk that this request comes from.
    pub(crate) fn trunk(&self, trunks: &[Trunk], flow: &Flow) -> Option<String> {
        let names = self.identities.get(&flow.connection).filter(|_| flow.connection != 0);
        // Behind a reverse proxy at such an address are browsers, and who is not let in by password is let in by a page.
        let may_be_known = !matches!(flow.transport, Transport::Ws | Transport::Wss);
        let of = |trunk: &&Trunk| {
            let named = |name: &String| trunk.identities.iter().any(|own| own.eq_ignore_ascii_case(name));
            names.is_some_and(|names| names.iter().any(named))
                || (may_be_known && trunk.addresses.iter().any(|&network| is_within(flow.peer.ip(), network)))
        };
        trunks.iter().find(of).map(|trunk| trunk.name.clone())
    }

    /// A call: of a trunk, or of a user.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        config: &B2buaConfig,
        request: &Request,
        flow: &Flow,
        counters: &mut Counters,
        facts: &mut Vec<Fact>,
    ) -> Admission {
        match self.trunk(&config.trunks, flow) {
            Some(trunk) => Admission::Caller(Caller::Trunk(trunk), None),
            None => self.authenticate(now, request, flow, counters, facts),
        }
    }

    /// A user. Who does not exist is told the same as who has a wrong password.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        request: &Request,
        flow: &Flow,
        counters: &mut Counters,
        facts: &mut Vec<Fact>,
    ) -> Admission {
        let source = flow.peer.ip();
        if self.failures.is_blocked(now, source) {
            counters.barred += 1;
            return Admission::Refused(StatusCode::FORBIDDEN, Headers::new());
        }
        let stale = match self.digest.verify_from(now, source, request, &self.users) {
            Verification::Accepted(accepted) => {
                *counters.logins.entry(accepted.algorithm.to_string()).or_default() += 1;
                return Admission::Caller(Caller::User(accepted.username.clone()), Some(accepted));
            }
            Verification::Exempt | Verification::Missing => false,
            Verification::Stale(_) => true,
            Verification::Rejected(fault) => {
                // All other faults can come from a forged source, and guess no password.
                let is_guess = matches!(fault, DigestFault::Mismatch);
                let fault = label(fault);
                *counters.rejected_credentials.entry(fault).or_default() += 1;
                facts.push(Fact::WrongCredentials { source: flow.peer, fault });
                if is_guess {
                    self.failures.record(now, source);
                }
                if self.failures.is_blocked(now, source) {
                    facts.push(Fact::Barred { source: flow.peer });
                }
                false
            }
        };
        counters.challenges += 1;
        let challenge = self.digest.challenge_from(now, source, request, stale);
        let mut headers = Headers::new();
        headers.copy(&challenge.headers, name::WWW_AUTHENTICATE);
        Admission::Refused(challenge.status(), headers)
    }

    /// Shows the user that we know the password, too.
    pub(crate) fn prove(&mut self, now: Instant, accepted: &Accepted, response: &mut sip::Response) {
        self.digest.prove(now, accepted, response, false);
    }
}

fn label(fault: DigestFault) -> &'static str {
    match fault {
        DigestFault::Malformed => "malformed",
        DigestFault::AlgorithmNotOffered(_) => "algorithm_not_offered",
        DigestFault::QopNotOffered => "qop_not_offered",
        DigestFault::Mismatch => "mismatch",
    }
}

/// Whether an address is in a network. An IPv4 address that came through an IPv6 socket is an IPv4 address.
fn is_within(address: IpAddr, (network, bits): (IpAddr, u8)) -> bool {
    let (own, network, width) = match (address.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(own), IpAddr::V4(network)) => (u128::from(own.to_bits()), u128::from(network.to_bits()), 32),
        (IpAddr::V6(own), IpAddr::V6(network)) => (own.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let shift = width - u32::from(bits).min(width);
    own.checked_shr(shift).unwrap_or(0) == network.checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start")]
    fn a_browser_at_the_address_of_a_trunk_is_no_trunk() {
        let address = "127.0.0.1:40000".parse().unwrap();
        let mut config = B2buaConfig::new("sallyport.example");
        config.trunks.push(Trunk {
            name: "local".into(),
            uri: sip::Uri::parse("sip:127.0.0.1:5080").unwrap(),
            account: None,
            addresses: vec![("127.0.0.1".parse().unwrap(), 32)],
            identities: Vec::new(),
            max_calls: None,
            policy: Default::default(),
        });
        let gate = Gate::new(&config, Users::default(), Instant::now(), [1; 32]);
        for (transport, expected) in [
            (Transport::Udp, Some("local")),
            (Transport::Tls, Some("local")),
            (Transport::Ws, None),
            (Transport::Wss, None),
        ] {
            let flow = Flow { transport, connection: 7, ..Flow::udp(address, address) };
            assert_eq!(gate.trunk(&config.trunks, &flow).as_deref(), expected, "{transport}");
        }
    }

    #[test]
    fn networks_are_compared_by_their_prefix() {
        for (address, network, bits, within) in [
            ("192.0.2.7", "192.0.2.0", 24, true),
            ("192.0.3.7", "192.0.2.0", 24, false),
            ("192.0.2.7", "192.0.2.7", 32, true),
            ("192.0.2.8", "192.0.2.7", 32, false),
            ("::ffff:192.0.2.7", "192.0.2.7", 32, true),
            ("2001:db8::1", "2001:db8::", 32, true),
            ("2001:db9::1", "2001:db8::", 32, false),
            ("198.51.100.1", "0.0.0.0", 0, true),
            ("2001:db8::1", "0.0.0.0", 0, false),
        ] {
            let network = (network.parse().unwrap(), bits);
            assert_eq!(is_within(address.parse().unwrap(), network), within, "{address} {network:?}");
        }
    }
}
