//! All associations of one transport and one generation.

mod admission;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{DtlsRole, Fingerprint, HashAlgorithm, MasterKey, Profile, TransportFailure};

use self::admission::{Admission, Decision};
use crate::association::{Association, Setup};
use crate::engine::{Established, Progress};
use crate::guard::{HelloFragment, Survey};
use crate::{Error, Identity, Versions};

/// How long after the peer's failure another attempt of its may begin before the endpoint gives up. (What came in the
/// clear may have been forged, and then the peer goes on.)
const SECOND_CHANCE: Duration = Duration::from_secs(1);

/// ClientHellos that have failed and are remembered: their retransmissions would only fail again.
const MAX_REFUSED: usize = 8;

/// What an endpoint is to do.
#[derive(Clone)]
pub struct EndpointConfig {
    /// Who starts.
    pub role: DtlsRole,
    /// The peer's certificate must match one of those that use the strongest hash among them. Not empty.
    pub fingerprints: Vec<Fingerprint>,
    /// What we offer or accept, most preferred first; our order counts in both roles. Profiles without a DTLS identifier
    /// are left out, and so is NULL.
    pub profiles: Vec<Profile>,
    /// Longest UDP payload that we send, in bytes; at least 228.
    pub mtu: usize,
    /// The handshake fails when it has not ended this long after `now` of [`Endpoint::new`].
    pub deadline: Duration,
}

/// What is known about the source of a datagram, least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// Nothing.
    Unproven,
    /// The address that signalling named.
    Signalled,
    /// A pair that ICE validated. All such sources are taken for one peer.
    Validated,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It went to its association.
    Accepted,
    /// Nothing in it could belong to an association.
    Dropped,
    /// Its source has no association and gets none.
    Rejected,
}

/// A datagram to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where to.
    pub remote: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// What an endpoint has to tell.
pub enum EndpointEvent {
    /// The handshake is complete and the certificate is verified. Once at most.
    Keyed(Box<Keyed>),
    /// There will be no keys. Once at most, and never after `Keyed`.
    Failed {
        /// Why.
        failure: TransportFailure,
        /// Of the association that failed, if it was one.
        remote: Option<SocketAddr>,
    },
    /// The peer has closed the association that keyed. Its keys are as good as before; it will not send media.
    Closed,
}

/// What a handshake has brought.
pub struct Keyed {
    /// Both directions.
    pub profile: Profile,
    /// `DTLSv1.2` or `DTLSv1.3`.
    pub version: &'static str,
    /// Hash of the fingerprint that matched.
    pub hash: HashAlgorithm,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// For what we receive.
    pub inbound: MasterKey,
    /// For what we send.
    pub outbound: MasterKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For the first association to be complete.
    Waiting,
    /// It is, and is the only one left.
    Keyed,
    /// Failed or closed.
    Over,
}

#[derive(Clone, Copy)]
struct Failure {
    standing: Standing,
    failure: TransportFailure,
    remote: SocketAddr,
}

/// A ClientHello that has failed. Fragments without the random are told by the other two.
struct Refused {
    random: [u8; 32],
    source: SocketAddr,
    message_len: usize,
}

impl Refused {
    fn matches(&self, source: SocketAddr, hello: &HelloFragment) -> bool {
        hello
            .random
            .map_or(self.source == source && self.message_len == hello.message_len, |random| random == self.random)
    }
}

/// All associations of one transport and one generation. The contract is on the crate page.
pub struct Endpoint {
    setup: Setup,
    phase: Phase,
    associations: Vec<Association>,
    admission: Admission,
    transmits: VecDeque<Transmit>,
    events: VecDeque<EndpointEvent>,
    deadline: Option<Instant>,
    /// When to give up unless the peer tries again.
    condemned: Option<Instant>,
    /// The most telling failure so far.
    seen: Option<Failure>,
    refused: VecDeque<Refused>,
}

impl Endpoint {
    /// An endpoint; its deadline runs from `now`.
    pub fn new(now: Instant, identity: &Identity, config: EndpointConfig) -> Result<Self, Error> {
        Self::with_versions(now, identity, config, Versions::Both)
    }

    /// An endpoint that does not negotiate every version.
    pub fn with_versions(
        now: Instant,
        identity: &Identity,
        config: EndpointConfig,
        versions: Versions,
    ) -> Result<Self, Error> {
        let EndpointConfig { role, mut fingerprints, profiles, mtu, deadline } = config;
        let strongest = fingerprints.iter().map(Fingerprint::hash).max().ok_or(Error::NoFingerprints)?;
        fingerprints.retain(|fingerprint| fingerprint.hash() == strongest);
        let context = identity.context(&profiles, versions)?;
        Ok(Self {
            setup: Setup { context, role, fingerprints, mtu },
            phase: Phase::Waiting,
            associations: Vec::new(),
            admission: Admission::new(now),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            deadline: now.checked_add(deadline),
            condemned: None,
            seen: None,
            refused: VecDeque::new(),
        })
    }

    /// Client: sends a ClientHello to `remote`. Started before towards another address, it starts over: for a path that
    /// leads to the same peer use [`Self::retarget`]. Does nothing as server, or once keyed.
    pub fn start(&mut self, now: Instant, remote: SocketAddr) {
        let started = self.associations.iter().any(|association| association.remote == remote);
        if self.setup.role == DtlsRole::Server || self.phase != Phase::Waiting || started {
            return;
        }
        self.associations.clear();
        self.condemned = None;
        match Association::new(now, &self.setup, remote, Standing::Signalled) {
            Ok(association) => self.keep(association),
            Err(_) => return self.fail(TransportFailure::Internal, Some(remote)),
        }
        if let Some(association) = self.associations.first_mut() {
            let progress = association.start(now);
            self.settle(now, 0, progress);
        }
    }

    /// One is the rule: room for more is made only when a second one comes.
    fn keep(&mut self, association: Association) {
        if self.associations.is_empty() {
            self.associations.reserve_exact(1);
        }
        self.associations.push(association);
    }

    /// Sends to `remote` from here on, the handshake going on as it is: the path to the same peer has changed. What waits
    /// for an answer is sent again at once. A server's associations with sources of no standing stay where they are.
    pub fn retarget(&mut self, now: Instant, remote: SocketAddr) {
        let client = self.setup.role == DtlsRole::Client;
        for index in (0..self.associations.len()).rev() {
            let Some(association) = self.associations.get_mut(index) else {
                continue;
            };
            if client || self.phase == Phase::Keyed || association.standing > Standing::Unproven {
                let progress = association.retarget(now, remote);
                self.settle(now, index, progress);
            }
        }
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, standing: Standing, bytes: &[u8]) -> Verdict {
        if self.phase == Phase::Over {
            return Verdict::Rejected;
        }
        let Some(survey) = Survey::of(bytes) else {
            return Verdict::Dropped;
        };
        for association in self.associations.iter_mut().filter(|association| association.remote == source) {
            association.standing = association.standing.max(standing);
        }
        let mut targets = self.targets(source, standing, &survey);
        if targets.is_empty()
            && let Some(hello) = survey.hello()
        {
            targets.extend(self.admit(now, source, standing, &hello));
        }
        if targets.is_empty() {
            return Verdict::Rejected;
        }
        self.note_alert(now, standing, &survey, &targets);
        let mut verdict = Verdict::Dropped;
        // From the last: an association that ends moves only those behind it.
        for index in targets.into_iter().rev() {
            let Some(association) = self.associations.get_mut(index) else {
                continue;
            };
            if let Some(progress) = association.handle_datagram(now, &survey, bytes.len()) {
                verdict = Verdict::Accepted;
                if standing == Standing::Validated {
                    association.remote = source;
                    association.standing = standing;
                }
                self.settle(now, index, progress);
            } else {
                // Its bytes count: they may let a flight go that waited for them.
                association.flush(&mut self.transmits);
            }
            if self.phase != Phase::Waiting {
                break;
            }
        }
        verdict
    }

    /// The associations that a datagram may be of, in rising order.
    fn targets(&self, source: SocketAddr, standing: Standing, survey: &Survey<'_>) -> Vec<usize> {
        let sole = self.setup.role == DtlsRole::Client || self.phase == Phase::Keyed;
        let first_hello = survey.hello().filter(|hello| hello.sequence == 0 && !sole);
        let is_target = |association: &Association| {
            if sole && standing > Standing::Unproven {
                return true;
            }
            association.is_reached_from(source, standing)
                && first_hello.is_none_or(|hello| association.owns_hello(&hello))
        };
        let all = self.associations.iter().enumerate().filter(|(_, association)| is_target(association));
        let targets: Vec<usize> = all.map(|(index, _)| index).collect();
        // A random names one association, and only where it is not known yet does the length have to do.
        let named = first_hello.and_then(|hello| hello.random).and_then(|random| {
            targets.iter().copied().find(|index| {
                self.associations.get(*index).is_some_and(|association| association.random() == Some(random))
            })
        });
        named.map_or(targets, |index| vec![index])
    }

    /// Server: makes an association for a first ClientHello, if there is a place.
    fn admit(&mut self, now: Instant, source: SocketAddr, standing: Standing, hello: &HelloFragment) -> Option<usize> {
        let refused = self.refused.iter().any(|refused| refused.matches(source, hello));
        let waiting = self.phase == Phase::Waiting && self.setup.role == DtlsRole::Server;
        if !waiting || hello.sequence != 0 || refused {
            return None;
        }
        let decision = self.admission.decide(now, source, standing, hello, &self.associations);
        let Decision::Admit { returning, instead_of } = decision else {
            return None;
        };
        let Ok(mut association) = Association::new(now, &self.setup, source, standing) else {
            self.see(Failure { standing, failure: TransportFailure::Internal, remote: source });
            return None;
        };
        association.returning = returning;
        if let Some(index) = instead_of {
            self.associations.remove(index);
        }
        if standing > Standing::Unproven {
            self.condemned = None;
        }
        self.keep(association);
        self.associations.len().checked_sub(1)
    }

    /// A plaintext alert counts only from where the peer is known to be: anybody else would use it to end the handshake.
    fn note_alert(&mut self, now: Instant, standing: Standing, survey: &Survey<'_>, targets: &[usize]) {
        let Some(alert) = survey.alert().filter(|alert| alert.fatal && self.phase == Phase::Waiting) else {
            return;
        };
        for index in targets {
            let association = self.associations.get_mut(*index);
            if let Some(association) = association.filter(|it| it.standing.max(standing) > Standing::Unproven) {
                association.note_alert(now, alert.code);
            }
        }
    }

    /// Call at or after the time that [`Self::poll_timeout`] names.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in (0..self.associations.len()).rev() {
            if let Some(association) = self.associations.get_mut(index) {
                let progress = association.handle_timeout(now);
                self.settle(now, index, progress);
            }
        }
        let given_up = self.condemned.is_some_and(|when| when <= now);
        if self.phase == Phase::Waiting && (given_up || self.deadline.is_some_and(|deadline| deadline <= now)) {
            match self.seen {
                Some(seen) => self.fail(seen.failure, Some(seen.remote)),
                None => self.fail(TransportFailure::HandshakeTimeout, None),
            }
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = if self.phase == Phase::Waiting { [self.deadline, self.condemned] } else { [None, None] };
        let associations = self.associations.iter().filter_map(Association::poll_timeout);
        own.into_iter().flatten().chain(associations).min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        pop_frugally(&mut self.transmits)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<EndpointEvent> {
        pop_frugally(&mut self.events)
    }

    /// Draws the consequences of a call into the association at `index`.
    fn settle(&mut self, now: Instant, index: usize, progress: Progress) {
        let Some(association) = self.associations.get_mut(index) else {
            return;
        };
        match progress {
            Progress::Pending => association.flush(&mut self.transmits),
            Progress::Established(established) => {
                association.flush(&mut self.transmits);
                self.keyed(index, *established);
            }
            Progress::Failed(failure) => self.drop_failed(now, index, failure),
            Progress::Closed => {
                association.flush(&mut self.transmits);
                self.associations.clear();
                self.phase = Phase::Over;
                self.events.push_back(EndpointEvent::Closed);
            }
        }
    }

    fn keyed(&mut self, index: usize, established: Established) {
        let mut association = self.associations.swap_remove(index);
        association.settle();
        self.setup.fingerprints = Vec::new();
        self.refused = VecDeque::new();
        let Established { profile, version, group, hash, inbound, outbound } = established;
        let remote = association.remote;
        tracing::debug!(%remote, ?profile, version, group, "DTLS association is complete");
        self.associations.clear();
        self.keep(association);
        self.phase = Phase::Keyed;
        let keyed = Keyed { profile, version, hash, remote, inbound, outbound };
        self.events.push_back(EndpointEvent::Keyed(Box::new(keyed)));
    }

    fn drop_failed(&mut self, now: Instant, index: usize, failure: TransportFailure) {
        let mut association = self.associations.remove(index);
        let (standing, remote) = (association.standing, association.remote);
        tracing::debug!(%remote, %failure, ?standing, "DTLS association has failed");
        // Where one source has several associations only one can be the peer's, and the alert of another would end it.
        if !self.associations.iter().any(|other| other.is_reached_from(remote, standing)) {
            association.flush(&mut self.transmits);
        }
        if let Some((random, message_len)) = association.hello() {
            self.refused.truncate(MAX_REFUSED - 1);
            self.refused.push_front(Refused { random, source: remote, message_len });
        }
        self.see(Failure { standing, failure, remote });
        let mismatch = failure == TransportFailure::FingerprintMismatch;
        let others = self.associations.iter().any(|other| other.standing > Standing::Unproven);
        if mismatch && standing == Standing::Validated {
            self.fail(failure, Some(remote));
        } else if !mismatch && standing > Standing::Unproven && !others {
            // A believed plaintext alert has had its time already, but the peer may begin anew.
            self.condemned = now.checked_add(SECOND_CHANCE);
        }
    }

    /// Remembers the failure that tells most: of the source with the best standing, and there the most definite.
    fn see(&mut self, failure: Failure) {
        let weight = |failure: &Failure| (failure.standing, definiteness(failure.failure));
        if self.seen.as_ref().is_none_or(|seen| weight(seen) < weight(&failure)) {
            self.seen = Some(failure);
        }
    }

    fn fail(&mut self, failure: TransportFailure, remote: Option<SocketAddr>) {
        self.associations.clear();
        self.phase = Phase::Over;
        self.events.push_back(EndpointEvent::Failed { failure, remote });
    }
}

/// An endpoint lives as long as its call and talks at the beginning: an empty queue keeps no memory.
fn pop_frugally<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    first
}

/// How much a failure tells an operator, by rank.
fn definiteness(failure: TransportFailure) -> u8 {
    match failure {
        TransportFailure::FingerprintMismatch => 7,
        TransportFailure::NoCommonProfile | TransportFailure::NoUseSrtp => 6,
        TransportFailure::CertificateMissing | TransportFailure::NoExtendedMasterSecret => 5,
        TransportFailure::Version => 4,
        TransportFailure::AlertReceived(_) => 3,
        TransportFailure::ProtocolViolation => 2,
        TransportFailure::Internal => 1,
        _ => 0,
    }
}

// An endpoint may be moved to the thread that drives it.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Endpoint>();
};
