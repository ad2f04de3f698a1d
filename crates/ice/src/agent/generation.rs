//! One set of credentials, the pairs that were validated under them, and which of those is selected.

use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::LiteAgent;
use super::check::Check;
use crate::Credentials;

pub(super) const MAX_PAIRS: usize = 16;

/// A nomination of a pair of lower priority counts only when the selected pair was not nominated again for this long.
/// Longer than the 2.5 s between the checks of a browser's settled pair, so that a peer that nominates with every check
/// on every pair (RFC 5245 §8.1.1.2) does not toss media to and fro.
const NOMINATION_HOLD: Duration = Duration::from_secs(3);

/// One set of credentials and its pairs. As a transport has one local candidate, a pair is named by the peer's address.
pub(super) struct Generation {
    pub(super) local: Credentials,
    remote: Option<Credentials>,
    /// Digest of the peer's ufrag.
    peer: Option<u64>,
    /// At most [`MAX_PAIRS`]. When a pair is selected it is the first, which makes the look-up per packet short.
    pairs: Vec<Pair>,
    has_selected: bool,
}

/// A pair on which a valid check has come.
#[derive(Clone, Copy)]
struct Pair {
    source: SocketAddr,
    /// Digest of the ufrag by which the peer called itself. When a forked offer has two answerers, both of which know
    /// our credentials, this tells them apart.
    peer: u64,
    priority: u32,
    /// Last valid check or authenticated packet.
    heard: Instant,
    /// Last check with USE-CANDIDATE.
    nominated: Option<Instant>,
    /// A later check came without.
    renounced: bool,
}

/// What a valid check has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    /// Nothing: it is from another than the signalled peer.
    None,
    /// Consent on a pair that was known.
    Known,
    /// A new pair.
    Validated,
}

/// Tells ufrags apart. Not a secret: whoever chooses an ufrag with the digest of another has authenticated with our
/// password, and could as well have chosen that ufrag.
pub(super) fn ufrag_digest(ufrag: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(ufrag);
    hasher.finish()
}

impl Generation {
    pub(super) fn new(local: Credentials, remote: Option<Credentials>) -> Self {
        let peer = remote.as_ref().map(|remote| ufrag_digest(remote.ufrag.as_bytes()));
        Self { local, remote, peer, pairs: Vec::with_capacity(MAX_PAIRS), has_selected: false }
    }

    /// The same pairs for another peer, of which those count that this one has checked.
    pub(super) fn fork(&self, now: Instant, remote: Option<Credentials>) -> Self {
        let mut fork = Self::new(self.local.clone(), remote);
        fork.pairs.extend_from_slice(&self.pairs);
        fork.fall_back(now);
        fork
    }

    pub(super) fn selected(&self) -> Option<SocketAddr> {
        self.selected_pair().map(|pair| pair.source)
    }

    pub(super) fn is_validated(&self, source: SocketAddr) -> bool {
        self.pairs.iter().any(|pair| pair.source == source && self.is_peers(pair))
    }

    /// When the selected pair's consent expires.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.selected_pair()?.expires_at()
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|expires_at| expires_at <= now)
    }

    /// Takes the peer's credentials in. True when a pair that was not nominated by this peer is no longer selected and
    /// nothing took its place.
    pub(super) fn set_remote(&mut self, now: Instant, remote: Option<Credentials>) -> bool {
        if self.remote == remote {
            return false;
        }
        let first = self.remote.is_none();
        self.peer = remote.as_ref().map(|remote| ufrag_digest(remote.ufrag.as_bytes()));
        self.remote = remote;
        if self.selected_pair().is_none_or(|pair| self.is_peers(pair)) || self.fall_back(now) {
            return false;
        }
        // Early checks of somebody else than the peer that answered have no claim; a peer that media flows to has one
        // until its successor nominates.
        if first {
            self.has_selected = false;
        }
        first
    }

    /// Takes a valid check in.
    pub(super) fn apply(&mut self, now: Instant, source: SocketAddr, check: &Check) -> Effect {
        let known = self.pairs.iter().position(|pair| pair.source == source);
        let index = match known {
            Some(index) => index,
            None => self.insert(Pair::new(now, source, check.peer)),
        };
        let Some(pair) = self.pairs.get_mut(index) else { return Effect::None };
        pair.update(now, check);
        let pair = *pair;
        // A pair that was selected for the peer before stays alive until its successor nominates.
        if !self.is_peers(&pair) && self.selected() != Some(source) {
            return Effect::None;
        }
        if check.use_candidate && self.is_peers(&pair) && self.yields_to(now, &pair) {
            self.select(index);
        }
        if known.is_some() { Effect::Known } else { Effect::Validated }
    }

    /// Renews the consent of the pair, unless it has expired. False when there is no such pair.
    pub(super) fn renew(&mut self, now: Instant, source: SocketAddr) -> bool {
        let Some(pair) = self.pairs.iter_mut().find(|pair| pair.source == source) else { return false };
        if pair.has_consent(now) {
            pair.heard = pair.heard.max(now);
        }
        true
    }

    /// Selects the best nominated pair of the peer that still has consent. False when there is none.
    pub(super) fn fall_back(&mut self, now: Instant) -> bool {
        let candidates = self.pairs.iter().enumerate();
        let best = candidates
            .filter(|(_, pair)| self.is_peers(pair) && pair.nominated.is_some() && pair.has_consent(now))
            .max_by_key(|(_, pair)| (!pair.renounced, pair.priority, pair.nominated))
            .map(|(index, _)| index);
        best.is_some_and(|index| self.select(index))
    }

    /// Consent was lost and a valid check has come from `source`: the peer is there, nominated or not. The pair that was
    /// selected before keeps its place when it is the one.
    pub(super) fn regain(&mut self, now: Instant, source: SocketAddr) {
        let is_it = |pair: &Pair| pair.source == source && self.is_peers(pair) && pair.has_consent(now);
        if self.has_expired(now)
            && let Some(index) = self.pairs.iter().position(is_it)
        {
            self.select(index);
        }
    }

    fn selected_pair(&self) -> Option<&Pair> {
        if self.has_selected { self.pairs.first() } else { None }
    }

    /// True when the pair belongs to the signalled peer, or nobody is signalled yet.
    fn is_peers(&self, pair: &Pair) -> bool {
        self.peer.is_none_or(|peer| peer == pair.peer)
    }

    /// True when `nominee`, nominated just now, takes the place of the selected pair.
    fn yields_to(&self, now: Instant, nominee: &Pair) -> bool {
        let Some(selected) = self.selected_pair() else { return true };
        let held = selected.nominated.and_then(|nominated| nominated.checked_add(NOMINATION_HOLD));
        // RFC 8445 §8.1.1 gives the higher priority; an equal one is the same candidate behind a new NAT mapping. A
        // browser that moves on to a worse pair stops nominating the better one.
        nominee.priority >= selected.priority
            || selected.renounced
            || held.is_none_or(|held| held <= now)
            || self.has_expired(now)
            || !self.is_peers(selected)
    }

    fn select(&mut self, index: usize) -> bool {
        if index >= self.pairs.len() {
            return false;
        }
        self.pairs.swap(0, index);
        self.has_selected = true;
        true
    }

    /// Adds a pair; when all places are taken, in that of the pair that is worth least. Returns its index.
    fn insert(&mut self, pair: Pair) -> usize {
        if self.pairs.len() < MAX_PAIRS {
            self.pairs.push(pair);
            return self.pairs.len() - 1;
        }
        let candidates = self.pairs.iter().enumerate().skip(usize::from(self.has_selected));
        let victim = candidates
            .min_by_key(|(_, pair)| (self.is_peers(pair), pair.nominated.is_some(), pair.heard))
            .map_or(MAX_PAIRS - 1, |(index, _)| index);
        if let Some(place) = self.pairs.get_mut(victim) {
            *place = pair;
        }
        victim
    }
}

impl Pair {
    fn new(now: Instant, source: SocketAddr, peer: u64) -> Self {
        Self { source, peer, priority: 0, heard: now, nominated: None, renounced: false }
    }

    fn update(&mut self, now: Instant, check: &Check) {
        if self.peer != check.peer {
            // Somebody else behind the same address: what the other nominated does not count.
            self.nominated = None;
        }
        self.peer = check.peer;
        self.heard = self.heard.max(now);
        // Checks for consent alone may come without a priority.
        self.priority = check.priority.unwrap_or(self.priority);
        self.renounced = !check.use_candidate;
        if check.use_candidate {
            self.nominated = Some(now);
        }
    }

    fn has_consent(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|expires_at| expires_at > now)
    }

    fn expires_at(&self) -> Option<Instant> {
        self.heard.checked_add(LiteAgent::CONSENT)
    }
}
