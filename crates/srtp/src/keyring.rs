//! Master keys in use, with their session keys and packet counts.

use crate::session::{Kind, Kinds, Session};
use crate::{KeyError, MasterKey, Policy};
use prefetch::prefetch;

/// One master key in use.
pub(crate) struct Key {
    master: MasterKey,
    /// Unique inside a context: names the key in [`RateCache`].
    serial: u32,
    /// Session keys of rate index 0, of the kinds that the context deals with.
    rtp: Option<Session>,
    rtcp: Option<Session>,
    rtp_packets: u64,
    rtcp_packets: u64,
}

/// How many packets a master key has protected or verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyUsage<'a> {
    /// Which key; empty without MKI.
    pub mki: &'a [u8],
    /// SRTP packets.
    pub rtp_packets: u64,
    /// SRTCP packets.
    pub rtcp_packets: u64,
}

impl Key {
    fn new(policy: &Policy, master: &MasterKey, serial: u32, kinds: Kinds) -> Self {
        let master = master.clone();
        let mut key = Self { rtp: None, rtcp: None, master, serial, rtp_packets: 0, rtcp_packets: 0 };
        key.set_kinds(policy, kinds);
        key
    }

    fn set_kinds(&mut self, policy: &Policy, kinds: Kinds) {
        for (kind, session) in [(Kind::Rtp, &mut self.rtp), (Kind::Rtcp, &mut self.rtcp)] {
            if !kinds.contains(kind) {
                *session = None;
            } else if session.is_none() {
                *session = Some(Session::new(policy.profile, &self.master, kind, 0));
            }
        }
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }

    pub(crate) fn usage(&self) -> KeyUsage<'_> {
        KeyUsage { mki: self.master.mki(), rtp_packets: self.rtp_packets, rtcp_packets: self.rtcp_packets }
    }

    /// Takes over the counts of `other`, the same key in the set before.
    pub(crate) fn inherit(&mut self, other: &Self) {
        self.rtp_packets = other.rtp_packets;
        self.rtcp_packets = other.rtcp_packets;
    }

    /// Session keys of rate index 0. `None`: the context does not deal with that kind.
    #[inline]
    pub(crate) fn base(&self, kind: Kind) -> Option<&Session> {
        match kind {
            Kind::Rtp => self.rtp.as_ref(),
            Kind::Rtcp => self.rtcp.as_ref(),
        }
    }

    /// The session keys for `index`: from the key itself, from `cache`, or derived into `scratch`. `None` as in
    /// [`Self::base`].
    #[inline]
    pub(crate) fn session<'a>(
        &'a self,
        policy: &Policy,
        kind: Kind,
        index: u64,
        cache: Option<&'a RateCache>,
        scratch: &'a mut Option<Session>,
    ) -> Option<&'a Session> {
        let base = self.base(kind)?;
        let rate_index = rate_index(policy, index);
        if rate_index == 0 {
            return Some(base);
        }
        Some(match cache.and_then(|cache| cache.find(self.serial, rate_index)) {
            Some(session) => session,
            None => scratch.insert(Session::new(policy.profile, &self.master, kind, rate_index)),
        })
    }

    /// Keeps the session keys for `index` in `cache`, when a key derivation rate makes them differ from the first ones.
    pub(crate) fn remember(&self, policy: &Policy, kind: Kind, index: u64, cache: &mut RateCache) {
        let rate_index = rate_index(policy, index);
        if rate_index != 0 {
            cache.keep(self.serial, rate_index, || Session::new(policy.profile, &self.master, kind, rate_index));
        }
    }

    #[inline]
    pub(crate) fn is_exhausted(&self, policy: &Policy, kind: Kind) -> bool {
        match kind {
            Kind::Rtp => self.rtp_packets >= policy.srtp_lifetime,
            Kind::Rtcp => self.rtcp_packets >= policy.srtcp_lifetime,
        }
    }

    /// Counts a packet; true when it is the one that reaches 90 % of the lifetime.
    #[inline]
    pub(crate) fn count(&mut self, policy: &Policy, kind: Kind) -> bool {
        let (packets, lifetime) = match kind {
            Kind::Rtp => (&mut self.rtp_packets, policy.srtp_lifetime),
            Kind::Rtcp => (&mut self.rtcp_packets, policy.srtcp_lifetime),
        };
        *packets = packets.saturating_add(1);
        *packets == lifetime - lifetime / 10
    }

    #[cfg(test)]
    pub(crate) fn set_packets(&mut self, rtp: u64, rtcp: u64) {
        (self.rtp_packets, self.rtcp_packets) = (rtp, rtcp);
    }
}

/// index DIV key derivation rate (RFC 3711 §4.3.1).
#[inline]
fn rate_index(policy: &Policy, index: u64) -> u64 {
    match policy.key_derivation_rate {
        0 => 0,
        rate => index / rate,
    }
}

/// The session keys of a stream's last two rate indices, so that packets reordered across a boundary find theirs.
#[derive(Default)]
pub(crate) struct RateCache {
    slots: [Option<Slot>; 2],
}

struct Slot {
    serial: u32,
    rate_index: u64,
    session: Session,
}

impl RateCache {
    fn find(&self, serial: u32, rate_index: u64) -> Option<&Session> {
        let wanted = |slot: &&Slot| slot.serial == serial && slot.rate_index == rate_index;
        self.slots.iter().flatten().find(wanted).map(|slot| &slot.session)
    }

    /// Puts the keys of `rate_index` in the place of the lower one; a straggler from before both is not worth it.
    fn keep(&mut self, serial: u32, rate_index: u64, make: impl FnOnce() -> Session) {
        if self.find(serial, rate_index).is_some() {
            return;
        }
        let age = |slot: &Option<Slot>| slot.as_ref().map(|slot| (slot.serial, slot.rate_index));
        if let Some(oldest) = self.slots.iter_mut().min_by_key(|slot| age(slot))
            && age(oldest) < Some((serial, rate_index))
        {
            *oldest = Some(Slot { serial, rate_index, session: make() });
        }
    }
}

/// Keys that are in use together, told apart by MKI.
pub(crate) struct Keyring {
    pub(crate) policy: Policy,
    keys: Vec<Key>,
    kinds: Kinds,
    mki_len: usize,
}

impl Keyring {
    /// Checks policy and keys, and derives the session keys of `kinds`. Serials count on from `serial`.
    pub(crate) fn new(policy: Policy, masters: &[MasterKey], kinds: Kinds, serial: &mut u32) -> Result<Self, KeyError> {
        policy.check()?;
        crate::key::check_keys(policy.profile, masters)?;
        let keys = masters
            .iter()
            .map(|master| {
                *serial = serial.wrapping_add(1);
                Key::new(&policy, master, *serial, kinds)
            })
            .collect();
        Ok(Self { policy, keys, kinds, mki_len: masters.first().map_or(0, |master| master.mki().len()) })
    }

    #[inline]
    pub(crate) fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Derives the session keys of `kinds` that are not there, and drops those of the other kind.
    pub(crate) fn set_kinds(&mut self, kinds: Kinds) {
        self.kinds = kinds;
        for key in &mut self.keys {
            key.set_kinds(&self.policy, kinds);
        }
    }

    /// Asks for the memory of the first key; with `sessions`, which wants that memory already there, for its session keys.
    #[inline]
    pub(crate) fn prefetch(&self, sessions: bool) {
        let Some(key) = self.keys.first() else { return };
        match &key.rtp {
            Some(session) if sessions => session.prefetch(),
            _ => prefetch(key, usize::MAX),
        }
    }

    #[inline]
    pub(crate) fn mki_len(&self) -> usize {
        self.mki_len
    }

    #[inline]
    pub(crate) fn key(&self, at: usize) -> Option<&Key> {
        self.keys.get(at)
    }

    #[inline]
    pub(crate) fn keys_and_policy(&mut self, at: usize) -> Option<(&mut Key, &Policy)> {
        self.keys.get_mut(at).map(|key| (key, &self.policy))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The key of that MKI.
    #[inline]
    pub(crate) fn find(&self, mki: &[u8]) -> Option<usize> {
        if self.mki_len == 0 {
            return Some(0);
        }
        self.keys.iter().position(|key| key.master.mki() == mki)
    }

    /// Whether a secret is in both. What was seen under it must then not be forgotten.
    pub(crate) fn shares_secret_with(&self, other: &Self) -> bool {
        self.keys.iter().any(|key| other.keys.iter().any(|old| old.master.same_secret(&key.master)))
    }

    /// Takes over the packet counts of the keys that are in both.
    pub(crate) fn inherit(&mut self, other: &Self) {
        for key in &mut self.keys {
            if let Some(old) = other.keys.iter().find(|old| old.master.same_secret(&key.master)) {
                key.inherit(old);
            }
        }
    }
}
