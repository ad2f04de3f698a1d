//! Asks DNS what a [`Search`] wants to know.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use sip::{SipUri, Transport};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::penalties::Penalties;
use super::{Answer, Hop, LocateError, LocatorConfig, Naptr, Question, RecordKind, Search, Security, Srv, Step};

/// Questions of one location follow each other at most so often: NAPTR, SRV, addresses.
const STAGES: u32 = 3;
/// A Retry-After that is longer is cut.
const MAX_PENALTY: Duration = Duration::from_secs(3600);

pub(crate) struct Locator {
    /// Without one, only addresses are found.
    resolver: Option<TokioResolver>,
    config: LocatorConfig,
    random: Mutex<ChaCha8Rng>,
    penalties: Mutex<Penalties>,
    places: Semaphore,
}

impl Locator {
    /// `families` are those of our sockets: IPv4, IPv6.
    pub(crate) fn new(config: LocatorConfig, seed: [u8; 32], families: (bool, bool)) -> Self {
        let resolver = resolver(&config, families)
            .inspect_err(|error| tracing::warn!(%error, "no DNS: only numeric addresses can be called"))
            .ok();
        let places = Semaphore::new(config.at_once.min(Semaphore::MAX_PERMITS));
        let random = Mutex::new(ChaCha8Rng::from_seed(seed));
        Self { resolver, config, random, penalties: Mutex::default(), places }
    }

    pub(crate) fn preference(&self) -> &[Transport] {
        &self.config.preference
    }

    pub(crate) fn penalise(&self, transport: Transport, address: SocketAddr, time: Option<Duration>) {
        let until = std::time::Instant::now() + time.unwrap_or(self.config.penalty).min(MAX_PENALTY);
        self.penalties.lock().unwrap_or_else(PoisonError::into_inner).add(transport, address, until);
    }

    /// Servers in the order in which they are tried.
    pub(crate) async fn locate(
        &self,
        uri: &SipUri,
        security: Security,
        supported: &[Transport],
    ) -> Result<Vec<Hop>, LocateError> {
        let _place = self.places.try_acquire().map_err(|_| LocateError::TimedOut)?;
        let mut seed = [0; 32];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut seed);
        let (mut search, mut step) = Search::start(uri, security, supported, seed);
        let mut is_silent = false;
        loop {
            match step {
                Step::Ask(questions) => {
                    let (answers, is_whole) = self.ask(&questions).await;
                    is_silent |= !is_whole;
                    step = search.handle_answers(&answers);
                }
                Step::Found(hops) => {
                    let penalties = self.penalties.lock().unwrap_or_else(PoisonError::into_inner);
                    return Ok(penalties.arrange(std::time::Instant::now(), hops));
                }
                Step::Failed(LocateError::NotFound) if is_silent => return Err(LocateError::TimedOut),
                Step::Failed(error) => return Err(error),
            }
        }
    }

    /// What is answered in this stage's share of the time, and whether that is all.
    async fn ask(&self, questions: &[Question]) -> (HashMap<Question, Answer>, bool) {
        let deadline = Instant::now() + self.config.time / STAGES;
        let mut pending: FuturesUnordered<_> =
            questions.iter().map(|question| async move { (question, self.look_up(question).await) }).collect();
        let (mut answers, mut is_whole) = (HashMap::new(), true);
        loop {
            match timeout_at(deadline, pending.next()).await {
                Ok(Some((question, Ok(answer)))) => drop(answers.insert(question.clone(), answer)),
                Ok(Some((_, Err(Silent)))) => is_whole = false,
                Ok(None) => return (answers, is_whole),
                Err(_) => return (answers, false),
            }
        }
    }

    async fn look_up(&self, question: &Question) -> Result<Answer, Silent> {
        // Absolute, so that no search list is tried.
        let name = Name::from_ascii(format!("{}.", question.name)).ok();
        let Some(name) = name else { return Ok(Answer::Addresses(Vec::new())) };
        let records = |lookup: hickory_resolver::lookup::Lookup| {
            lookup.answers().iter().take(64).map(|record| record.data.clone()).collect::<Vec<_>>()
        };
        let resolver = self.resolver.as_ref().ok_or(Silent)?;
        let looked_up = match question.kind {
            RecordKind::Naptr => resolver.lookup(name, RecordType::NAPTR).await.map(records),
            RecordKind::Srv => resolver.lookup(name, RecordType::SRV).await.map(records),
            RecordKind::Address => {
                let looked_up = resolver.lookup_ip(name).await;
                looked_up.map(|found| found.iter().take(8).map(RData::from).collect())
            }
        };
        let records = match looked_up {
            Ok(records) => records,
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Vec::new(),
            Err(_) => return Err(Silent),
        };
        Ok(match question.kind {
            RecordKind::Naptr => Answer::Naptr(records.iter().filter_map(naptr).collect()),
            RecordKind::Srv => Answer::Srv(records.iter().filter_map(srv).collect()),
            RecordKind::Address => Answer::Addresses(records.iter().filter_map(RData::ip_addr).collect()),
        })
    }
}

fn resolver(config: &LocatorConfig, families: (bool, bool)) -> Result<TokioResolver, NetError> {
    let mut builder = if config.servers.is_empty() {
        Resolver::builder_tokio()?
    } else {
        let servers = config.servers.iter().map(|server| {
            let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let servers = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        Resolver::builder_with_config(servers, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = config.time / (2 * STAGES);
    options.attempts = 1;
    options.ip_strategy = match families {
        (true, false) => LookupIpStrategy::Ipv4Only,
        (false, true) => LookupIpStrategy::Ipv6Only,
        _ => LookupIpStrategy::Ipv6AndIpv4,
    };
    builder.build()
}

/// DNS did not answer, or not with an answer.
struct Silent;

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    record.regexp.is_empty().then(|| Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        service: text(&record.services),
        replacement: record.replacement.to_ascii(),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else { return None };
    let target = record.target.to_ascii();
    Some(Srv { priority: record.priority, weight: record.weight, port: record.port, target })
}
