//! The decisions of RFC 3263 §4, without a resolver.
//!
//! ```text
//! numeric host, or a port ─────────────────────────────────────────► addresses
//! transport ─► SRV of it ─┐
//! else ─► NAPTR ─► SRV ───┼─► addresses of the SRV targets, by priority and weight
//!          └ none ─► SRV of all transports
//! no SRV ─► addresses of the host itself, default port
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use sip::{SipUri, Transport};

use super::{Hop, LocateError, Security, target_host, weights};

/// What is asked of DNS.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Question {
    /// An absolute name without its final dot.
    pub name: String,
    /// Of which records.
    pub kind: RecordKind,
}

/// Kinds of records.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecordKind {
    /// RFC 3403
    Naptr,
    /// RFC 2782
    Srv,
    /// A and AAAA.
    Address,
}

/// What DNS said. A name without such records, or a question that failed, is an empty answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Order, preference, flags, service and replacement of each.
    Naptr(Vec<Naptr>),
    /// Priority, weight, port and target of each.
    Srv(Vec<Srv>),
    /// In the resolver's order.
    Addresses(Vec<IpAddr>),
}

/// A NAPTR record without regular expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    /// Lowest first.
    pub order: u16,
    /// Among equals of `order`, lowest first.
    pub preference: u16,
    /// `s` for one that leads to SRV.
    pub flags: String,
    /// `SIPS+D2T`, `SIP+D2T`, `SIP+D2U`.
    pub service: String,
    /// The SRV name.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// Lowest first.
    pub priority: u16,
    /// Share among equals of `priority`.
    pub weight: u16,
    /// Where.
    pub port: u16,
    /// A host name; `.` or empty if there is no such service.
    pub target: String,
}

/// What a search needs or has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Answers to all of these; they can be asked at once.
    Ask(Vec<Question>),
    /// Servers in the order in which they are tried. Never empty.
    Found(Vec<Hop>),
    /// None.
    Failed(LocateError),
}

/// One location. [`Search::start`] and then [`Search::handle_answers`] until it neither asks nor goes on.
///
/// It asks at most three times, and at most [`Search::MAX_RECORDS`] questions at once.
pub struct Search {
    host: String,
    domain: String,
    /// Allowed transports in our order of preference.
    allowed: Vec<Transport>,
    /// Used if there are no SRV records.
    fallback: Transport,
    state: State,
    random: ChaCha8Rng,
}

enum State {
    Naptr,
    /// SRV names in the order in which they are tried.
    Srv(Vec<(Transport, String)>),
    /// Hosts in the order in which they are tried.
    Address(Vec<(Transport, String, u16)>),
    Over,
}

impl Search {
    /// SRV and NAPTR records, hosts and servers that are looked at; more are ignored.
    pub const MAX_RECORDS: usize = 16;

    /// Begins. `supported` are the transports that can be had, in the order of preference; `seed` chooses by weight.
    pub fn start(uri: &SipUri, security: Security, supported: &[Transport], seed: [u8; 32]) -> (Self, Step) {
        let secure = uri.secure || security == Security::Required;
        let domain = crate::via::domain(&uri.host);
        let mut search = Self {
            host: String::new(),
            domain,
            allowed: supported
                .iter()
                .copied()
                .filter(|transport| match transport {
                    Transport::Tls => true,
                    Transport::Udp | Transport::Tcp => !secure,
                    Transport::Ws | Transport::Wss => false,
                })
                .collect(),
            fallback: if secure { Transport::Tls } else { Transport::Udp },
            state: State::Over,
            random: ChaCha8Rng::from_seed(seed),
        };
        let step = search.begin(uri, secure);
        (search, step)
    }

    fn begin(&mut self, uri: &SipUri, secure: bool) -> Step {
        let asked = match uri.param("transport").map(|name| asked_transport(name, secure)) {
            Some(None) => return Step::Failed(LocateError::Transport),
            Some(asked) => asked,
            None => None,
        };
        if let Some(transport) = asked {
            self.allowed.retain(|&allowed| allowed == transport);
            self.fallback = transport;
        }
        let Some(host) = target_host(uri) else { return Step::Failed(LocateError::NotFound) };
        if self.allowed.is_empty() {
            return Step::Failed(LocateError::Transport);
        }
        if !self.allowed.contains(&self.fallback)
            && let Some(&first) = self.allowed.first()
        {
            self.fallback = first;
        }
        let port = uri.port.unwrap_or(default_port(self.fallback));
        if let Some(ip) = host.ip() {
            return self.found(vec![(self.fallback, SocketAddr::new(ip, port))]);
        }
        self.host = crate::via::domain(&host);
        if uri.port.is_some() {
            return self.ask_addresses(vec![(self.fallback, self.host.clone(), port)]);
        }
        if let Some(transport) = asked {
            return self.ask_services(vec![(transport, service_name(transport, &self.host))]);
        }
        self.state = State::Naptr;
        Step::Ask(vec![Question { name: self.host.clone(), kind: RecordKind::Naptr }])
    }

    /// Goes on with what DNS said; a question without an answer is as one with an empty one.
    pub fn handle_answers(&mut self, answers: &HashMap<Question, Answer>) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Naptr => self.choose_services(answers),
            State::Srv(services) => self.choose_hosts(&services, answers),
            State::Address(hosts) => self.choose_addresses(&hosts, answers),
            State::Over => Step::Failed(LocateError::NotFound),
        }
    }

    /// §4.1
    fn choose_services(&mut self, answers: &HashMap<Question, Answer>) -> Step {
        let question = Question { name: self.host.clone(), kind: RecordKind::Naptr };
        let mut records = match answers.get(&question) {
            Some(Answer::Naptr(records)) => records.clone(),
            _ => Vec::new(),
        };
        records.sort_by_key(|record| (record.order, record.preference));
        let mut named: Vec<_> = records
            .iter()
            .filter(|record| record.flags.eq_ignore_ascii_case("s") && !is_root(&record.replacement))
            .filter_map(|record| {
                let transport = naptr_transport(&record.service).filter(|known| self.allowed.contains(known))?;
                Some((record.order, transport, record.replacement.trim_end_matches('.').to_ascii_lowercase()))
            })
            .collect();
        // After a match, records of another order are out (RFC 3403 §4.1): whoever blocks TLS does not get UDP instead.
        let order = named.first().map(|(order, ..)| *order);
        named.retain(|(other, ..)| Some(*other) == order);
        let named: Vec<_> = named.into_iter().map(|(_, transport, name)| (transport, name)).collect();
        if let Some(&(chosen, _)) = named.first() {
            // Without SRV records the host itself is asked, by the transport that was chosen (§4.2).
            self.fallback = chosen;
            return self.ask_services(named);
        }
        self.ask_services(
            self.allowed.iter().map(|&transport| (transport, service_name(transport, &self.host))).collect(),
        )
    }

    fn ask_services(&mut self, mut services: Vec<(Transport, String)>) -> Step {
        services.truncate(Self::MAX_RECORDS);
        let questions =
            services.iter().map(|(_, name)| Question { name: name.clone(), kind: RecordKind::Srv }).collect();
        self.state = State::Srv(services);
        Step::Ask(questions)
    }

    /// §4.2
    fn choose_hosts(&mut self, services: &[(Transport, String)], answers: &HashMap<Question, Answer>) -> Step {
        let (mut hosts, mut is_refused) = (Vec::new(), false);
        for (transport, name) in services {
            let question = Question { name: name.clone(), kind: RecordKind::Srv };
            let Some(Answer::Srv(records)) = answers.get(&question) else { continue };
            is_refused |= records.iter().any(|record| is_root(&record.target));
            let records = records.iter().filter(|record| !is_root(&record.target)).take(Self::MAX_RECORDS);
            for record in weights::arrange(records.cloned().collect(), &mut self.random) {
                let target = record.target.trim_end_matches('.').to_ascii_lowercase();
                hosts.push((*transport, target, record.port));
            }
        }
        if hosts.is_empty() {
            if is_refused {
                return Step::Failed(LocateError::NotFound);
            }
            hosts.push((self.fallback, self.host.clone(), default_port(self.fallback)));
        }
        self.ask_addresses(hosts)
    }

    fn ask_addresses(&mut self, mut hosts: Vec<(Transport, String, u16)>) -> Step {
        hosts.truncate(Self::MAX_RECORDS);
        let mut questions: Vec<_> =
            hosts.iter().map(|(_, name, _)| Question { name: name.clone(), kind: RecordKind::Address }).collect();
        questions.sort_by(|one, other| one.name.cmp(&other.name));
        questions.dedup();
        self.state = State::Address(hosts);
        Step::Ask(questions)
    }

    fn choose_addresses(&mut self, hosts: &[(Transport, String, u16)], answers: &HashMap<Question, Answer>) -> Step {
        let mut found = Vec::new();
        for (transport, name, port) in hosts {
            let question = Question { name: name.clone(), kind: RecordKind::Address };
            if let Some(Answer::Addresses(addresses)) = answers.get(&question) {
                found.extend(addresses.iter().map(|&ip| (*transport, SocketAddr::new(ip, *port))));
            }
        }
        self.found(found)
    }

    fn found(&self, addresses: Vec<(Transport, SocketAddr)>) -> Step {
        let mut hops: Vec<Hop> = Vec::new();
        for (transport, address) in addresses {
            let hop = Hop { transport, address, domain: self.domain.clone() };
            if hops.len() < Self::MAX_RECORDS && !hops.contains(&hop) {
                hops.push(hop);
            }
        }
        if hops.is_empty() { Step::Failed(LocateError::NotFound) } else { Step::Found(hops) }
    }
}

/// `transport=tcp` of a sips URI is TLS over TCP (RFC 3261 §26.2.2); `transport=tls` is deprecated and understood.
fn asked_transport(name: &str, secure: bool) -> Option<Transport> {
    match (name.to_ascii_lowercase().as_str(), secure) {
        ("udp", false) => Some(Transport::Udp),
        ("tcp", false) => Some(Transport::Tcp),
        ("tls", _) | ("tcp", true) => Some(Transport::Tls),
        _ => None,
    }
}

fn naptr_transport(service: &str) -> Option<Transport> {
    match service.to_ascii_uppercase().as_str() {
        "SIPS+D2T" => Some(Transport::Tls),
        "SIP+D2T" => Some(Transport::Tcp),
        "SIP+D2U" => Some(Transport::Udp),
        _ => None,
    }
}

fn service_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Tls | Transport::Wss => "_sips._tcp",
        Transport::Tcp | Transport::Ws => "_sip._tcp",
        Transport::Udp => "_sip._udp",
    };
    format!("{service}.{host}")
}

fn default_port(transport: Transport) -> u16 {
    if transport.is_secure() { 5061 } else { 5060 }
}

fn is_root(name: &str) -> bool {
    name.trim_end_matches('.').is_empty()
}
