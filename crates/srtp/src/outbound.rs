//! Sending: no two packets under one key, SSRC and index.

use crate::keyring::{KeyUsage, Keyring};
use crate::packet::{MAX_PACKET, RtpHeader, Shape, read_rtcp_sender, write_at};
use crate::session::{Kind, Kinds, PacketName, Session, Tag};
use crate::streams::{Stream, Streams};
use crate::{KeyError, MasterKey, Policy, Rejection, RocPolicy};

/// SRTCP indices have 31 bits.
const RTCP_INDEX_MASK: u32 = (1 << 31) - 1;

/// The sending side of a transport: every SSRC that leaves by it.
///
/// A window over the indices already used, per SSRC, makes it impossible to encrypt two packets under the same key, SSRC
/// and index, whatever the caller does: that would give away the XOR of both payloads.
pub struct Outbound {
    ring: Keyring,
    streams: Streams,
    serial: u32,
    /// The next SRTCP index. One counter for all senders: an index that is unique in the context is unique per SSRC.
    rtcp_index: u32,
    lifetime_warning: bool,
}

/// A packet whose index is committed and whose bytes are still plain.
#[derive(Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) shape: Shape,
    pub(crate) name: PacketName,
}

impl Outbound {
    /// A context without streams, for RTP and RTCP.
    pub fn new(policy: Policy, key: &MasterKey) -> Result<Self, KeyError> {
        Self::with_kinds(policy, key, Kinds::Both)
    }

    /// The same for packets of these kinds; others are rejected with [`Rejection::NoContext`].
    pub fn with_kinds(policy: Policy, key: &MasterKey, kinds: Kinds) -> Result<Self, KeyError> {
        let mut serial = 0;
        let ring = Keyring::new(policy, std::slice::from_ref(key), kinds, &mut serial)?;
        Ok(Self { ring, streams: Streams::default(), serial, rtcp_index: 0, lifetime_warning: false })
    }

    /// Asks for the memory that one RTP packet of a single stream needs, step by step: `step` 0 and 1, each of which wants
    /// what the one before it has asked for, and the first what [`Contexts::prefetch`](crate::Contexts::prefetch) has.
    #[inline]
    pub fn prefetch(&self, step: usize) {
        self.ring.prefetch(step > 0);
        self.streams.prefetch(step > 0);
    }

    /// Replaces policy and key. The SRTCP index continues or starts at 0 as `policy.roc_on_rekey` says (probing is for
    /// receivers: it continues); RTP's counters are the caller's. Under a new key every index is unused; with the same key
    /// nothing that was sent is forgotten.
    pub fn rekey(&mut self, policy: Policy, key: &MasterKey) -> Result<(), KeyError> {
        let kinds = self.ring.kinds();
        let mut ring = Keyring::new(policy, std::slice::from_ref(key), kinds, &mut self.serial)?;
        if ring.shares_secret_with(&self.ring) {
            ring.inherit(&self.ring);
        } else {
            self.lifetime_warning = false;
            match ring.policy.roc_on_rekey {
                RocPolicy::Keep | RocPolicy::Probe => self.streams.start_afresh(),
                RocPolicy::Reset => {
                    self.streams.clear();
                    self.rtcp_index = 0;
                }
            }
        }
        self.ring = ring;
        Ok(())
    }

    /// Deals with packets of these kinds from here on.
    pub fn set_kinds(&mut self, kinds: Kinds) {
        self.ring.set_kinds(kinds);
    }

    /// Protects the RTP packet in the first `len` bytes of `buffer`, in place, under index `roc` * 2^16 + its sequence
    /// number. Returns the length of the protected packet; it needs up to [`Self::rtp_overhead`] bytes of room.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize, roc: u32) -> Result<usize, Rejection> {
        let planned = self.plan(Kind::Rtp, buffer, len, roc)?;
        self.seal(buffer, &planned);
        Ok(planned.shape.end)
    }

    /// Protects the RTCP packet in the first `len` bytes of `buffer`, in place, under the next SRTCP index. Returns the
    /// length of the protected packet; it needs up to [`Self::rtcp_overhead`] bytes of room.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Rejection> {
        let planned = self.plan(Kind::Rtcp, buffer, len, 0)?;
        self.seal(buffer, &planned);
        Ok(planned.shape.end)
    }

    /// Bytes that an RTP packet grows by.
    pub fn rtp_overhead(&self) -> usize {
        self.ring.policy.rtp_overhead(self.ring.mki_len())
    }

    /// Bytes that an RTCP packet grows by.
    pub fn rtcp_overhead(&self) -> usize {
        self.ring.policy.rtcp_overhead(self.ring.mki_len())
    }

    /// Whether it sends under this key, whatever the MKI.
    pub fn has_secret(&self, key: &MasterKey) -> bool {
        self.ring.keys().any(|own| own.master().same_secret(key))
    }

    /// Whether both send under one key, whatever the MKI.
    pub fn shares_secret_with(&self, other: &Self) -> bool {
        self.ring.shares_secret_with(&other.ring)
    }

    /// The rollover counter of the highest index sent of that SSRC.
    pub fn rollover_counter(&self, ssrc: u32) -> Option<u32> {
        self.highest_index(ssrc).and_then(|index| u32::try_from(index >> 16).ok())
    }

    /// The highest index sent of that SSRC.
    pub fn highest_index(&self, ssrc: u32) -> Option<u64> {
        self.streams.track(self.streams.find(ssrc), Kind::Rtp)?.highest()
    }

    /// The index of the next SRTCP packet, of whatever SSRC.
    pub fn rtcp_index(&self) -> u32 {
        self.rtcp_index
    }

    /// Moves the SRTCP index forward, for a context that takes over from another one. It never goes back.
    pub fn advance_rtcp_index(&mut self, index: u32) {
        self.rtcp_index = self.rtcp_index.max(index & RTCP_INDEX_MASK);
    }

    /// The highest RTP index sent of each SSRC under the key in use.
    pub fn highest_indices(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let sent = |stream: &Stream| Some((stream.ssrc(), stream.track(Kind::Rtp)?.highest_under_these_keys()?));
        self.streams.iter().filter_map(sent)
    }

    /// Sends nothing of that SSRC at or below this index: another context with the same key has. False when there is no
    /// room for one more SSRC; then the context can send nothing of it at all.
    pub fn forgo_rtp_index(&mut self, ssrc: u32, index: u64) -> bool {
        let limits = (self.ring.policy.max_streams, self.ring.policy.replay_window);
        self.streams.track_mut(ssrc, Kind::Rtp, limits).map(|track| track.forgo(index)).is_some()
    }

    /// Packets protected under the master key.
    pub fn key_usage(&self) -> impl Iterator<Item = KeyUsage<'_>> {
        self.ring.keys().map(|key| key.usage())
    }

    /// True once after the master key has reached 90 % of its lifetime.
    pub fn take_lifetime_warning(&mut self) -> bool {
        std::mem::take(&mut self.lifetime_warning)
    }

    /// Checks that the packet can be protected, and commits its index: from here on the index is used.
    pub(crate) fn plan(&mut self, kind: Kind, buffer: &[u8], len: usize, roc: u32) -> Result<Planned, Rejection> {
        if !self.ring.kinds().contains(kind) {
            return Err(Rejection::NoContext);
        }
        let packet = buffer.get(..len).ok_or(Rejection::TooShort)?;
        let policy = &self.ring.policy;
        let (ssrc, index, shape, encrypted) = match kind {
            Kind::Rtp => {
                let header = RtpHeader::read(packet)?;
                let shape = Shape::rtp(policy, self.ring.mki_len(), header.len, len);
                let index = (u64::from(roc) << 16) | u64::from(header.sequence);
                (header.ssrc, index, shape, policy.encrypt_rtp)
            }
            Kind::Rtcp => {
                let shape = Shape::rtcp(policy, self.ring.mki_len(), len);
                let encrypted = policy.encrypt_rtcp && !policy.profile.is_null();
                (read_rtcp_sender(packet)?, u64::from(self.rtcp_index), shape, encrypted)
            }
        };
        if shape.end > buffer.len() || len > MAX_PACKET {
            return Err(Rejection::TooLong);
        }
        let limits = (policy.max_streams, policy.replay_window);
        let name = PacketName { kind, ssrc, index, encrypted };
        let Some((key, policy)) = self.ring.keys_and_policy(0) else { return Err(Rejection::KeyExhausted) };
        if key.is_exhausted(policy, kind) {
            return Err(Rejection::KeyExhausted);
        }
        match kind {
            Kind::Rtp => {
                let track = self.streams.track_mut(ssrc, kind, limits).ok_or(Rejection::TooManyStreams)?;
                track.check(index).map_err(|rejection| match rejection {
                    Rejection::Replayed => Rejection::IndexReused,
                    other => other,
                })?;
                track.commit(index, limits.1);
                if policy.key_derivation_rate != 0 {
                    key.remember(policy, kind, index, track.rates.get_or_insert_default());
                }
            }
            // Wraps only after 2^31 packets, which the lifetime forbids under one key.
            Kind::Rtcp => self.rtcp_index = (self.rtcp_index + 1) & RTCP_INDEX_MASK,
        }
        self.lifetime_warning |= key.count(policy, kind);
        Ok(Planned { shape, name })
    }

    /// Encrypts and authenticates what was just planned.
    pub(crate) fn seal(&self, buffer: &mut [u8], planned: &Planned) {
        let Planned { shape, name } = planned;
        let Some(key) = self.ring.key(0) else { return };
        let mut scratch = None;
        let rates = if self.is_plain() {
            None
        } else {
            self.streams.track(self.streams.find(name.ssrc), name.kind).and_then(|track| track.rates.as_deref())
        };
        let session = key.session(&self.ring.policy, name.kind, name.index, rates, &mut scratch);
        // Only packets of kinds that there are keys for have been planned.
        let Some(session) = session else { return };
        session.xor(buffer, shape, name);
        let tag = session.lane(buffer, shape, name).tag();
        self.finish(buffer, planned, &tag);
    }

    /// Whether every index has the same session keys, so that a batch may seal packets after planning all of them.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.ring.policy.key_derivation_rate == 0
    }

    /// The session keys, while [`Self::is_plain`].
    #[inline]
    pub(crate) fn plain_session(&self, kind: Kind) -> Option<&Session> {
        self.ring.key(0)?.base(kind)
    }

    /// Writes tag, MKI and trailer.
    #[inline]
    pub(crate) fn finish(&self, buffer: &mut [u8], planned: &Planned, tag: &Tag) {
        let Planned { shape, name } = planned;
        let tag_len = shape.tag.1 - shape.tag.0;
        write_at(buffer, shape.tag.0, tag.get(..tag_len).unwrap_or_default());
        if shape.mki.0 < shape.mki.1
            && let Some(key) = self.ring.key(0)
        {
            write_at(buffer, shape.mki.0, key.usage().mki);
        }
        if name.kind == Kind::Rtcp {
            write_at(buffer, shape.trailer, &name.trailer().to_be_bytes());
        }
    }

    #[cfg(test)]
    pub(crate) fn set_packets(&mut self, rtp: u64, rtcp: u64) {
        if let Some((key, _)) = self.ring.keys_and_policy(0) {
            key.set_packets(rtp, rtcp);
        }
    }
}

#[cfg(test)]
mod tests;
