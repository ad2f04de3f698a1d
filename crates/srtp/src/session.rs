//! Session keys of one master key, for SRTP or for SRTCP, and what is done with them.

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use prefetch::prefetch;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::MasterKey;
use crate::aes_ctr::{Aes, Schedule};
use crate::derive::{Label, derive};
use crate::gcm::{Gcm, GcmKey, GcmLane};
use crate::hmac::{DIGEST, HmacSha1, MacLane};
use crate::key::{MAX_KEY, MAX_SALT};
use crate::packet::Shape;
use crate::profile::{Family, Profile};

/// Whether a packet is RTP or RTCP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// RTP, SRTP.
    Rtp,
    /// RTCP, SRTCP.
    Rtcp,
}

/// Which packets a context deals with. A port that carries RTP alone or RTCP alone (RFC 3550 §11) has no use for the session
/// keys of the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Kinds {
    /// RTP and RTCP (RFC 5761).
    #[default]
    Both,
    /// Packets of one kind.
    Only(Kind),
}

impl Kinds {
    /// Whether packets of this kind are among them.
    #[inline]
    pub fn contains(self, kind: Kind) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == kind,
        }
    }
}

/// Session keys: schedules and states are computed once. Wiped when dropped. Every kind takes the memory that it needs and no
/// more: a call has eight.
pub(crate) enum Session {
    CounterMode128(Box<Salted<CounterMode<Aes128Enc>>>),
    CounterMode192(Box<Salted<CounterMode<Aes192Enc>>>),
    CounterMode256(Box<Salted<CounterMode<Aes256Enc>>>),
    Gcm128(Box<Salted<Gcm<Aes128Enc>>>),
    Gcm256(Box<Salted<Gcm<Aes256Enc>>>),
    Null(Box<HmacSha1>),
}

pub(crate) struct Salted<K> {
    key: K,
    salt: [u8; MAX_SALT],
}

pub(crate) struct CounterMode<S> {
    schedule: S,
    mac: HmacSha1,
}

/// Session keys, by reference.
enum Keys<'a> {
    CounterMode { aes: Aes<'a>, mac: &'a HmacSha1, salt: &'a [u8; MAX_SALT] },
    Gcm { gcm: GcmKey<'a>, salt: &'a [u8; MAX_SALT] },
    Null { mac: &'a HmacSha1 },
}

impl<K> Drop for Salted<K> {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl<S: Schedule> Salted<CounterMode<S>> {
    fn boxed(key: &[u8], mac: HmacSha1, salt: [u8; MAX_SALT]) -> Option<Box<Self>> {
        let schedule = S::new_from_slice(key).ok()?;
        Some(Box::new(Self { key: CounterMode { schedule, mac }, salt }))
    }

    #[inline]
    fn keys(&self) -> Keys<'_> {
        let Self { key: CounterMode { schedule, mac }, salt } = self;
        Keys::CounterMode { aes: schedule.aes(), mac, salt }
    }
}

impl<S: Schedule> Salted<Gcm<S>> {
    fn boxed(key: &[u8], salt: [u8; MAX_SALT]) -> Option<Box<Self>> {
        Some(Box::new(Self { key: Gcm::new(key)?, salt }))
    }

    #[inline]
    fn keys(&self) -> Keys<'_> {
        Keys::Gcm { gcm: self.key.key(), salt: &self.salt }
    }
}

/// What names a packet to the transforms, beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketName {
    pub(crate) kind: Kind,
    pub(crate) ssrc: u32,
    /// 48 bits (SRTP) or 31 (SRTCP).
    pub(crate) index: u64,
    /// Off: the payload is clear, and only authenticated.
    pub(crate) encrypted: bool,
}

impl PacketName {
    /// SRTCP's E bit and index.
    pub(crate) fn trailer(&self) -> u32 {
        let e_bit = if self.encrypted { crate::packet::E_BIT } else { 0 };
        e_bit | (self.index as u32 & !crate::packet::E_BIT)
    }
}

/// One packet to authenticate.
pub(crate) enum Lane<'a> {
    Mac(MacLane<'a>),
    Gcm(GcmLane<'a>),
}

/// Room for the longest tag before it is cut.
pub(crate) type Tag = [u8; DIGEST];

impl Session {
    /// Derives the session keys for the packets of that rate index (index DIV key derivation rate).
    pub(crate) fn new(profile: Profile, master: &MasterKey, kind: Kind, rate_index: u64) -> Self {
        let (encryption, authentication, salting) = match kind {
            Kind::Rtp => (Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt),
            Kind::Rtcp => (Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt),
        };
        let mut salt = [0; MAX_SALT];
        for (to, from) in salt.chunks_mut(profile.salt_len()).zip(std::iter::once(salting)) {
            derive(master, from, rate_index, to);
        }
        let mut key_room = [0; MAX_KEY];
        let (key, _) = key_room.split_at_mut(profile.key_len());
        derive(master, encryption, rate_index, key);
        let mut mac_key = [0; DIGEST];
        derive(master, authentication, rate_index, &mut mac_key);
        let mac = || HmacSha1::new(&mac_key);
        let session = match (profile.family(), key.len()) {
            (Family::CounterMode, 16) => Salted::<CounterMode<_>>::boxed(key, mac(), salt).map(Self::CounterMode128),
            (Family::CounterMode, 24) => Salted::<CounterMode<_>>::boxed(key, mac(), salt).map(Self::CounterMode192),
            (Family::CounterMode, _) => Salted::<CounterMode<_>>::boxed(key, mac(), salt).map(Self::CounterMode256),
            (Family::Gcm, 16) => Salted::<Gcm<_>>::boxed(key, salt).map(Self::Gcm128),
            (Family::Gcm, _) => Salted::<Gcm<_>>::boxed(key, salt).map(Self::Gcm256),
            (Family::Null, _) => Some(Self::Null(Box::new(mac()))),
        };
        key_room.zeroize();
        mac_key.zeroize();
        salt.zeroize();
        session.expect("a profile's key length is one of AES's")
    }

    /// Asks for their memory.
    #[inline]
    pub(crate) fn prefetch(&self) {
        match self {
            Self::CounterMode128(key) => prefetch(&**key, usize::MAX),
            Self::CounterMode192(key) => prefetch(&**key, usize::MAX),
            Self::CounterMode256(key) => prefetch(&**key, usize::MAX),
            Self::Gcm128(key) => prefetch(&**key, usize::MAX),
            Self::Gcm256(key) => prefetch(&**key, usize::MAX),
            Self::Null(key) => prefetch(&**key, usize::MAX),
        }
    }

    #[inline]
    fn keys(&self) -> Keys<'_> {
        match self {
            Self::CounterMode128(key) => key.keys(),
            Self::CounterMode192(key) => key.keys(),
            Self::CounterMode256(key) => key.keys(),
            Self::Gcm128(key) => key.keys(),
            Self::Gcm256(key) => key.keys(),
            Self::Null(mac) => Keys::Null { mac },
        }
    }

    /// Session keys given directly, as RFC 7714's vectors give them.
    #[cfg(test)]
    pub(crate) fn gcm_from_parts(key: &[u8], salt: &[u8; 12]) -> Self {
        let mut padded = [0; MAX_SALT];
        padded[..12].copy_from_slice(salt);
        match key.len() {
            16 => Self::Gcm128(Salted::<Gcm<_>>::boxed(key, padded).unwrap()),
            _ => Self::Gcm256(Salted::<Gcm<_>>::boxed(key, padded).unwrap()),
        }
    }

    /// Encrypts or decrypts the body of `packet` in place.
    #[inline]
    pub(crate) fn xor(&self, packet: &mut [u8], shape: &Shape, name: &PacketName) {
        if !name.encrypted {
            return;
        }
        let Some(data) = packet.get_mut(shape.clear..shape.body) else { return };
        match self.keys() {
            Keys::CounterMode { aes, salt, .. } => aes.xor_128(counter_mode_iv(salt, name), data),
            Keys::Gcm { gcm, salt } => gcm.xor(gcm_iv(salt, name), data),
            Keys::Null { .. } => {}
        }
    }

    /// What the tag of `packet` is computed over; its body is encrypted already or still.
    #[inline]
    pub(crate) fn lane<'a>(&'a self, packet: &'a [u8], shape: &Shape, name: &PacketName) -> Lane<'a> {
        let part = |from: usize, to: usize| packet.get(from..to).unwrap_or_default();
        match self.keys() {
            Keys::CounterMode { mac, .. } | Keys::Null { mac } => Lane::Mac(MacLane {
                key: mac,
                message: part(0, shape.body),
                suffix: match name.kind {
                    Kind::Rtp => ((name.index >> 16) as u32).to_be_bytes(),
                    Kind::Rtcp => name.trailer().to_be_bytes(),
                },
            }),
            Keys::Gcm { gcm, salt } => {
                let clear = if name.encrypted { shape.clear } else { shape.body };
                Lane::Gcm(GcmLane {
                    key: gcm,
                    iv: gcm_iv(salt, name),
                    clear: part(0, clear),
                    suffix: match name.kind {
                        Kind::Rtp => None,
                        Kind::Rtcp => Some(name.trailer().to_be_bytes()),
                    },
                    sealed: part(clear, shape.body),
                })
            }
        }
    }

    /// Whether the tag that `packet` carries is the right one. An empty tag (`UNAUTHENTICATED_SRTP`) always is.
    #[inline]
    pub(crate) fn verify(&self, packet: &[u8], shape: &Shape, name: &PacketName) -> bool {
        let carried = shape.tag_of(packet);
        carried.is_empty() || same_tag(carried, &self.lane(packet, shape, name).tag())
    }
}

/// IV = salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16 (RFC 3711 §4.1.1).
#[inline]
fn counter_mode_iv(salt: &[u8; MAX_SALT], name: &PacketName) -> [u8; 16] {
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] = *salt;
    let salt = u128::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, 0, 0]);
    (salt ^ (u128::from(name.ssrc) << 64) ^ (u128::from(name.index) << 16)).to_be_bytes()
}

/// IV = salt XOR (two zero bytes, SSRC, 48-bit index) (RFC 7714 §8.1); an SRTCP index leaves the upper bits of its
/// place zero (§9.1).
#[inline]
fn gcm_iv(salt: &[u8; MAX_SALT], name: &PacketName) -> [u8; 12] {
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, ..] = *salt;
    let salt = u128::from_be_bytes([0, 0, 0, 0, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11]);
    let [_, _, _, _, iv @ ..] = (salt ^ (u128::from(name.ssrc) << 48) ^ u128::from(name.index)).to_be_bytes();
    iv
}

impl Lane<'_> {
    /// The tag, not cut yet.
    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        match self {
            Self::Mac(lane) => lane.digest(),
            Self::Gcm(lane) => widen(lane.tag()),
        }
    }
}

/// Gives a GCM tag the room of an HMAC.
#[inline]
pub(crate) fn widen(tag: [u8; crate::gcm::TAG]) -> Tag {
    let mut wide = [0; DIGEST];
    for (to, from) in wide.iter_mut().zip(tag) {
        *to = from;
    }
    wide
}

/// Whether `carried` is the beginning of `computed`, in constant time.
#[inline]
pub(crate) fn same_tag(carried: &[u8], computed: &Tag) -> bool {
    computed.get(..carried.len()).is_some_and(|computed| bool::from(computed.ct_eq(carried)))
}
