//! Receiving: replay check, authentication, and only then state.

mod generations;

use self::generations::Generations;
use crate::index::Reference;
use crate::keyring::{KeyUsage, Keyring, RateCache};
use crate::packet::{E_BIT, RtpHeader, Shape, read_rtcp_sender};
use crate::session::{Kind, Kinds, PacketName, Session};
use crate::streams::Streams;
use crate::{KeyError, MasterKey, Policy, Rejection, RocPolicy};

/// Probes that may fail in a row before they become rare.
const PROBE_CREDIT: u32 = 64;
/// Without credit, one failed packet in this many is probed: a flood of forgeries costs little, and a genuine stream that
/// needs a probe still comes through.
const PROBE_INTERVAL: u32 = 16;

/// The receiving side of a transport: every SSRC that comes in on it.
///
/// A packet passes the replay check, then authentication; then its index is committed and, for a new SSRC, state is
/// created (RFC 3711 §3.3). A packet that fails leaves nothing behind.
pub struct Inbound {
    generations: Generations,
    streams: Streams,
    serial: u32,
    probe_credit: u32,
    probes_refused: u32,
    probe_count: u64,
    lifetime_warning: bool,
}

/// An accepted packet, decrypted in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unprotected {
    /// Length of the plain packet in bytes.
    pub len: usize,
    /// Extended index: ROC * 2^16 + sequence number (RTP), or the SRTCP index.
    pub index: u64,
}

/// What is known of one SSRC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamState {
    /// The SSRC.
    pub ssrc: u32,
    /// The highest extended RTP index accepted.
    pub rtp_index: Option<u64>,
    /// The highest SRTCP index accepted.
    pub rtcp_index: Option<u32>,
}

/// A verdict reached beforehand, in a batch: valid for the one key and index that it names.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) key: usize,
    pub(crate) index: u64,
    pub(crate) authentic: bool,
}

/// What a batch authenticates beforehand: the packet under its most likely key and index.
#[derive(Clone, Copy)]
pub(crate) struct Prepared {
    pub(crate) key: usize,
    pub(crate) shape: Shape,
    pub(crate) name: PacketName,
}

/// An accepted packet whose index is committed and whose body is still encrypted.
#[derive(Clone, Copy)]
pub(crate) struct Accepted {
    generation: usize,
    pub(crate) key: usize,
    pub(crate) shape: Shape,
    pub(crate) name: PacketName,
}

/// An authentic packet, before the commit.
struct Verified {
    key: usize,
    shape: Shape,
    name: PacketName,
    probed: bool,
}

impl Inbound {
    /// A context without streams, for RTP and RTCP. Several keys must have MKIs.
    pub fn new(policy: Policy, keys: &[MasterKey]) -> Result<Self, KeyError> {
        Self::with_kinds(policy, keys, Kinds::Both)
    }

    /// The same for packets of these kinds; others are rejected with [`Rejection::NoContext`].
    pub fn with_kinds(policy: Policy, keys: &[MasterKey], kinds: Kinds) -> Result<Self, KeyError> {
        let mut serial = 0;
        let generations = Generations::new(Keyring::new(policy, keys, kinds, &mut serial)?);
        Ok(Self {
            generations,
            streams: Streams::default(),
            serial,
            probe_credit: PROBE_CREDIT,
            probes_refused: 0,
            probe_count: 0,
            lifetime_warning: false,
        })
    }

    /// Asks for the memory that one RTP packet of a single stream needs, step by step: `step` 0 and 1, each of which wants
    /// what the one before it has asked for, and the first what [`Contexts::prefetch`](crate::Contexts::prefetch) has.
    #[inline]
    pub fn prefetch(&self, step: usize) {
        self.generations.established().prefetch(step > 0);
        self.streams.prefetch(step > 0);
    }

    /// Replaces policy and keys at once; the keys before are gone. The streams' rollover counters continue or not as
    /// `policy.roc_on_rekey` says. With a key that was in use already nothing that was seen is forgotten.
    pub fn rekey(&mut self, policy: Policy, keys: &[MasterKey]) -> Result<(), KeyError> {
        let mut ring = Keyring::new(policy, keys, self.kinds(), &mut self.serial)?;
        let established = self.generations.established();
        let continues = ring.shares_secret_with(established);
        if continues {
            ring.inherit(established);
        }
        self.generations.replace(ring);
        if !continues {
            self.lifetime_warning = false;
            self.start_afresh();
        }
        Ok(())
    }

    /// Adds a generation of keys (a new DTLS association, an offer with new keys): it is tried first, and the keys before
    /// stay valid until the first packet verifies under the new ones. With a key that was in use already this is
    /// [`Self::rekey`].
    pub fn succeed(&mut self, policy: Policy, keys: &[MasterKey]) -> Result<(), KeyError> {
        let ring = Keyring::new(policy, keys, self.kinds(), &mut self.serial)?;
        if ring.shares_secret_with(self.generations.established()) {
            return self.rekey(ring.policy, keys);
        }
        self.generations.add(ring);
        Ok(())
    }

    /// Deals with packets of these kinds from here on.
    pub fn set_kinds(&mut self, kinds: Kinds) {
        self.generations.iter_mut().for_each(|ring| ring.set_kinds(kinds));
    }

    fn kinds(&self) -> Kinds {
        self.generations.established().kinds()
    }

    /// Whether a generation added by [`Self::succeed`] still waits for its first packet.
    pub fn awaits_succession(&self) -> bool {
        self.generations.len() > 1
    }

    /// Opens the SRTP packet in the first `len` bytes of `buffer`, in place.
    pub fn unprotect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<Unprotected, Rejection> {
        self.unprotect(Kind::Rtp, buffer, len)
    }

    /// Opens the SRTCP packet in the first `len` bytes of `buffer`, in place.
    pub fn unprotect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<Unprotected, Rejection> {
        self.unprotect(Kind::Rtcp, buffer, len)
    }

    /// The rollover counter of that SSRC; `None` before its first authentic packet.
    pub fn rollover_counter(&self, ssrc: u32) -> Option<u32> {
        self.streams.rollover_counter(ssrc)
    }

    /// The highest SRTCP index accepted from that SSRC; `None` before its first authentic packet.
    pub fn highest_rtcp_index(&self, ssrc: u32) -> Option<u64> {
        self.streams.track(self.streams.find(ssrc), Kind::Rtcp)?.highest()
    }

    /// Sets the rollover counter of that SSRC, for a stream that is joined late. What was seen of the stream before is
    /// forgotten when the counter differs. False when there is no room for one more SSRC.
    pub fn set_rollover_counter(&mut self, ssrc: u32, counter: u32) -> bool {
        let limits = limits(&self.generations.established().policy);
        self.streams.set_rollover_counter(ssrc, counter, limits)
    }

    /// Every SSRC that state is kept for.
    pub fn streams(&self) -> impl Iterator<Item = StreamState> + '_ {
        self.streams.iter().map(|stream| {
            let highest = |kind| stream.track(kind).and_then(|track| track.highest());
            StreamState {
                ssrc: stream.ssrc(),
                rtp_index: highest(Kind::Rtp),
                rtcp_index: highest(Kind::Rtcp).and_then(|index| u32::try_from(index).ok()),
            }
        })
    }

    /// Packets accepted per master key, newest generation first.
    pub fn key_usage(&self) -> impl Iterator<Item = KeyUsage<'_>> {
        self.generations.iter().flat_map(|ring| ring.keys().map(|key| key.usage()))
    }

    /// Packets that were accepted at another rollover counter than the guessed one.
    pub fn probe_count(&self) -> u64 {
        self.probe_count
    }

    /// True once after a master key has reached 90 % of its lifetime.
    pub fn take_lifetime_warning(&mut self) -> bool {
        std::mem::take(&mut self.lifetime_warning)
    }

    fn unprotect(&mut self, kind: Kind, buffer: &mut [u8], len: usize) -> Result<Unprotected, Rejection> {
        let packet = buffer.get_mut(..len).ok_or(Rejection::TooShort)?;
        let accepted = self.accept(kind, packet, None)?;
        self.decrypt(packet, &accepted);
        Ok(Unprotected { len: accepted.shape.body, index: accepted.name.index })
    }

    /// Whether the state allows a batch to authenticate this context's packets beforehand and decrypt them afterwards:
    /// one set of keys, and the same session keys for every index.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.generations.sole().is_some_and(|ring| ring.policy.key_derivation_rate == 0)
    }

    /// Guesses key and index against committed state, and checks replay. `None`: nothing to authenticate beforehand.
    #[inline]
    pub(crate) fn prepare(&self, kind: Kind, packet: &[u8]) -> Option<Prepared> {
        let ring = self.generations.sole()?;
        if ring.policy.key_derivation_rate != 0 {
            return None;
        }
        let prepared = match kind {
            Kind::Rtp => {
                let header = RtpHeader::read(packet).ok()?;
                let shape = Shape::of_rtp(&ring.policy, ring.mki_len(), header.len, packet.len()).ok()?;
                let key = ring.find(shape.mki_of(packet))?;
                let track = self.streams.track(self.streams.find(header.ssrc), kind);
                let reference = track.map_or(Reference::Counter(0), |track| track.reference);
                let name = rtp_name(&ring.policy, header.ssrc, reference.guess(header.sequence)?);
                Prepared { key, shape, name }
            }
            Kind::Rtcp => {
                let (key, shape, name) = read_rtcp(ring, packet).ok()?;
                Prepared { key, shape, name }
            }
        };
        let track = self.streams.track(self.streams.find(prepared.name.ssrc), kind);
        track.is_none_or(|track| track.check(prepared.name.index).is_ok()).then_some(prepared)
    }

    /// The session keys for something prepared, or accepted while [`Self::is_plain`].
    #[inline]
    pub(crate) fn plain_session(&self, key: usize, kind: Kind) -> Option<&Session> {
        self.generations.established().key(key)?.base(kind)
    }

    /// Replay check, authentication, commit. `known` spares an authentication that was done beforehand.
    pub(crate) fn accept(&mut self, kind: Kind, packet: &[u8], known: Option<Known>) -> Result<Accepted, Rejection> {
        if !self.kinds().contains(kind) {
            return Err(Rejection::NoContext);
        }
        let mut rejection = Rejection::BadTag;
        for generation in 0..self.generations.len() {
            let verified = match kind {
                Kind::Rtp => self.verify_rtp(generation, packet, known),
                Kind::Rtcp => self.verify_rtcp(generation, packet, known),
            };
            match verified {
                Ok(verified) => return self.commit(generation, verified),
                // The established generation has the last word: it knows the streams.
                Err(failed) => rejection = failed,
            }
        }
        Err(rejection)
    }

    /// Decrypts what [`Self::accept`] has just accepted.
    pub(crate) fn decrypt(&self, packet: &mut [u8], accepted: &Accepted) {
        let Accepted { generation, key, shape, name } = accepted;
        let Some(ring) = self.generations.get(*generation) else { return };
        let Some(key) = ring.key(*key) else { return };
        let mut scratch = None;
        if let Some(session) = key.session(&ring.policy, name.kind, name.index, self.rates(name), &mut scratch) {
            session.xor(packet, shape, name);
        }
    }

    fn rates(&self, name: &PacketName) -> Option<&RateCache> {
        self.streams.track(self.streams.find(name.ssrc), name.kind)?.rates.as_deref()
    }

    fn verify_rtp(&mut self, generation: usize, packet: &[u8], known: Option<Known>) -> Result<Verified, Rejection> {
        let ring = self.generations.get(generation).ok_or(Rejection::BadTag)?;
        let header = RtpHeader::read(packet)?;
        let shape = Shape::of_rtp(&ring.policy, ring.mki_len(), header.len, packet.len())?;
        let key = ring.find(shape.mki_of(packet)).ok_or(Rejection::UnknownMki)?;
        let roc_policy = ring.policy.roc_on_rekey;
        let is_established = self.generations.is_established(generation);

        // Under keys that no packet has used yet there is nothing to replay, and the policy says where counters start.
        let track = self.streams.track(self.streams.find(header.ssrc), Kind::Rtp);
        let continued = track.map_or(Reference::Counter(0), |track| track.reference);
        let starts_over = !is_established && roc_policy == RocPolicy::Reset;
        let reference = if starts_over { Reference::Counter(0) } else { continued };
        let checked = track.filter(|_| is_established);
        let check = |index| checked.map_or(Ok(()), |track| track.check(index));
        let attempt = |index| {
            let name = rtp_name(&ring.policy, header.ssrc, index);
            self.verify(ring, key, packet, shape, name, known)
        };

        let guess = reference.guess(header.sequence).ok_or(Rejection::KeyExhausted)?;
        let rejection = match check(guess) {
            Ok(()) => match attempt(guess) {
                Err(Rejection::BadTag) => Rejection::BadTag,
                verdict => return verdict,
            },
            // A second copy of a packet is no reason to look for another index.
            Err(Rejection::Replayed) => return Err(Rejection::Replayed),
            Err(too_old) => too_old,
        };
        let mut others = reference.alternatives(header.sequence, roc_policy);
        others.retain(|index| check(*index).is_ok());
        if others.is_empty() || !self.may_probe() {
            return Err(rejection);
        }
        let ring = self.generations.get(generation).ok_or(Rejection::BadTag)?;
        for index in others {
            let name = rtp_name(&ring.policy, header.ssrc, index);
            if let Ok(verified) = self.verify(ring, key, packet, shape, name, known) {
                return Ok(Verified { probed: true, ..verified });
            }
        }
        Err(rejection)
    }

    fn verify_rtcp(&self, generation: usize, packet: &[u8], known: Option<Known>) -> Result<Verified, Rejection> {
        let ring = self.generations.get(generation).ok_or(Rejection::BadTag)?;
        let (key, shape, name) = read_rtcp(ring, packet)?;
        if self.generations.is_established(generation) {
            let track = self.streams.track(self.streams.find(name.ssrc), Kind::Rtcp);
            track.map_or(Ok(()), |track| track.check(name.index))?;
        }
        let verified = self.verify(ring, key, packet, shape, name, known)?;
        let policy = &ring.policy;
        let must_be_encrypted = policy.encrypt_rtcp && !policy.profile.is_null() && !policy.accept_unencrypted_rtcp;
        if must_be_encrypted && !name.encrypted { Err(Rejection::NotEncrypted) } else { Ok(verified) }
    }

    #[inline]
    fn verify(
        &self,
        ring: &Keyring,
        key_at: usize,
        packet: &[u8],
        shape: Shape,
        name: PacketName,
        known: Option<Known>,
    ) -> Result<Verified, Rejection> {
        let key = ring.key(key_at).ok_or(Rejection::UnknownMki)?;
        if key.is_exhausted(&ring.policy, name.kind) {
            return Err(Rejection::KeyExhausted);
        }
        let authentic = match known {
            Some(known) if known.key == key_at && known.index == name.index => known.authentic,
            _ => {
                let mut scratch = None;
                let rates = if ring.policy.key_derivation_rate == 0 { None } else { self.rates(&name) };
                let session = key.session(&ring.policy, name.kind, name.index, rates, &mut scratch);
                session.ok_or(Rejection::NoContext)?.verify(packet, &shape, &name)
            }
        };
        if authentic { Ok(Verified { key: key_at, shape, name, probed: false }) } else { Err(Rejection::BadTag) }
    }

    /// Whether a failed packet may cost more than one authentication.
    fn may_probe(&mut self) -> bool {
        if let Some(left) = self.probe_credit.checked_sub(1) {
            self.probe_credit = left;
            return true;
        }
        self.probes_refused = (self.probes_refused + 1) % PROBE_INTERVAL;
        self.probes_refused == 0
    }

    fn commit(&mut self, generation: usize, verified: Verified) -> Result<Accepted, Rejection> {
        let Verified { key, shape, name, probed } = verified;
        if self.generations.establish(generation) {
            self.lifetime_warning = false;
            self.start_afresh();
        }
        let ring = self.generations.get_mut(generation).ok_or(Rejection::BadTag)?;
        let limits = limits(&ring.policy);
        let track = self.streams.track_mut(name.ssrc, name.kind, limits).ok_or(Rejection::TooManyStreams)?;
        track.commit(name.index, limits.1);
        if let Some(used) = ring.keys_and_policy(key) {
            let (used, policy) = used;
            self.lifetime_warning |= used.count(policy, name.kind);
            if policy.key_derivation_rate != 0 {
                used.remember(policy, name.kind, name.index, track.rates.get_or_insert_default());
            }
        }
        self.probe_credit = (self.probe_credit + 1).min(PROBE_CREDIT);
        self.probe_count += u64::from(probed);
        Ok(Accepted { generation, key, shape, name })
    }

    /// Other keys are established: what was seen says nothing about them.
    fn start_afresh(&mut self) {
        match self.generations.established().policy.roc_on_rekey {
            RocPolicy::Keep | RocPolicy::Probe => self.streams.start_afresh(),
            RocPolicy::Reset => self.streams.clear(),
        }
    }

    #[cfg(test)]
    pub(crate) fn set_packets(&mut self, rtp: u64, rtcp: u64) {
        for ring in self.generations.iter_mut() {
            if let Some((key, _)) = ring.keys_and_policy(0) {
                key.set_packets(rtp, rtcp);
            }
        }
    }
}

/// Streams and window size.
#[inline]
fn limits(policy: &Policy) -> (usize, usize) {
    (policy.max_streams, policy.replay_window)
}

#[inline]
fn rtp_name(policy: &Policy, ssrc: u32, index: u64) -> PacketName {
    PacketName { kind: Kind::Rtp, ssrc, index, encrypted: policy.encrypt_rtp }
}

#[inline]
fn read_rtcp(ring: &Keyring, packet: &[u8]) -> Result<(usize, Shape, PacketName), Rejection> {
    let ssrc = read_rtcp_sender(packet)?;
    let shape = Shape::of_rtcp(&ring.policy, ring.mki_len(), packet.len())?;
    let key = ring.find(shape.mki_of(packet)).ok_or(Rejection::UnknownMki)?;
    let trailer = shape.trailer_of(packet);
    let index = u64::from(trailer & !E_BIT);
    Ok((key, shape, PacketName { kind: Kind::Rtcp, ssrc, index, encrypted: trailer & E_BIT != 0 }))
}

#[cfg(test)]
mod tests;
