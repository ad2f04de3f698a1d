//! What might be wrong with a packet that could not be authenticated: its copy is tried against hypotheses.
//!
//! Nothing here has a way back to acceptance. A shard gives out an [`Evidence`]: a copy of one packet with copies of the
//! keys that it may have been made with, which are wiped when the evidence is dropped. [`examine`] says what fits, and
//! the shard keeps the answer for whoever asks. It belongs on a thread that may be late: one packet may cost some
//! hundred authentications.

use control::{Hypothesis, MasterKey, Policy, Profile, RocPolicy};
use rtp::RtcpCompound;
use srtp::{Inbound, Kind};

/// Where an answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    pub(crate) slot: usize,
    pub(crate) serial: u64,
}

/// One packet to examine, with everything that it may be tried against.
pub struct Evidence {
    pub(crate) shard: u16,
    pub(crate) origin: Origin,
    pub(crate) kind: Kind,
    pub(crate) packet: Vec<u8>,
    pub(crate) leg: Leg,
}

/// What an [`Evidence`] turned out to be.
#[derive(Clone, Copy, Debug)]
pub struct Finding {
    pub(crate) shard: u16,
    pub(crate) origin: Origin,
    pub(crate) hypothesis: Option<Hypothesis>,
}

/// The leg that the packet came in on.
pub(crate) enum Leg {
    /// In the clear.
    Plain,
    /// Secure.
    Secure(Box<Keys>),
}

/// The keys that a packet may have been made with.
pub(crate) struct Keys {
    /// What was negotiated.
    pub(crate) policy: Policy,
    pub(crate) current: Vec<MasterKey>,
    /// The rollover counter of the packet's SSRC; 0 for a new one.
    pub(crate) rollover_counter: u32,
    /// Others, and what it would mean.
    pub(crate) others: Vec<(Hypothesis, Policy, MasterKey)>,
}

impl Evidence {
    /// The shard that the finding goes back to.
    pub fn shard(&self) -> u16 {
        self.shard
    }
}

impl Finding {
    /// The shard that it goes back to.
    pub fn shard(&self) -> u16 {
        self.shard
    }
}

/// The most likely thing first: what needs one deviation from what was negotiated, then what needs two.
pub fn examine(evidence: &Evidence) -> Finding {
    let Evidence { shard, origin, kind, packet, leg } = evidence;
    let hypothesis = match leg {
        Leg::Plain => (appearance(*kind, packet) == Appearance::Encrypted).then_some(Hypothesis::Encrypted),
        // Without keys nothing can be said of an encrypted packet.
        Leg::Secure(keys) if keys.current.is_empty() => {
            (appearance(*kind, packet) == Appearance::Plain).then_some(Hypothesis::Plain)
        }
        Leg::Secure(keys) => Some(explain(*kind, packet, keys)),
    };
    Finding { shard: *shard, origin: *origin, hypothesis }
}

fn explain(kind: Kind, packet: &[u8], keys: &Keys) -> Hypothesis {
    let current = || keys.current.iter().map(|key| (&keys.policy, key));
    let here = keys.rollover_counter;
    let trial = |policy: &Policy, key: &MasterKey, counter| opens(kind, packet, policy, key, counter);
    let own = current().find_map(|(policy, key)| trial(policy, key, here));
    if let Some(counter) = own.or_else(|| counters(here).find_map(|at| current().find_map(|(p, k)| trial(p, k, at)))) {
        return rollover(here, counter);
    }
    for (hypothesis, policy, key) in &keys.others {
        // Whoever uses another key has begun with it at any counter.
        let mut tried = std::iter::once(here).chain(counters(here));
        if tried.any(|counter| trial(policy, key, counter).is_some()) {
            return *hypothesis;
        }
    }
    if let Some(hypothesis) = keys.current.iter().find_map(|key| other_form(kind, packet, &keys.policy, key, here)) {
        return hypothesis;
    }
    match appearance(kind, packet) {
        Appearance::Plain => Hypothesis::Plain,
        Appearance::Encrypted | Appearance::Unclear => Hypothesis::Unknown,
    }
}

/// Counters beside the expected one, nearest first.
fn counters(here: u32) -> impl Iterator<Item = u32> {
    let near = [here.checked_add(1), here.checked_sub(1), here.checked_add(2), here.checked_sub(2)];
    near.into_iter().flatten().chain((here > 2).then_some(0))
}

fn rollover(here: u32, theirs: u32) -> Hypothesis {
    match i64::from(theirs) - i64::from(here) {
        // Also where it is near: a peer that began anew is the usual case.
        _ if theirs == 0 && here != 0 => Hypothesis::RolloverCounterRestarted,
        offset => Hypothesis::RolloverCounter { offset: i8::try_from(offset).unwrap_or(i8::MAX) },
    }
}

/// The rollover counter with which the packet verifies under that key. For SRTCP, which carries its index, the expected
/// one counts as found.
fn opens(kind: Kind, packet: &[u8], policy: &Policy, key: &MasterKey, counter: u32) -> Option<u32> {
    let policy = Policy { roc_on_rekey: RocPolicy::Keep, ..policy.clone() };
    let mut inbound = Inbound::new(policy, std::slice::from_ref(key)).ok()?;
    let mut buffer = packet.to_vec();
    let len = buffer.len();
    match kind {
        Kind::Rtp => {
            inbound.set_rollover_counter(rtp::RtpPacket::parse(packet)?.ssrc(), counter);
            let opened = inbound.unprotect_rtp(&mut buffer, len).ok()?;
            u32::try_from(opened.index >> 16).ok()
        }
        Kind::Rtcp => inbound.unprotect_rtcp(&mut buffer, len).ok().map(|_| counter),
    }
}

/// The same key in another form: without its MKI, with one that was not agreed, or under another profile.
fn other_form(kind: Kind, packet: &[u8], policy: &Policy, key: &MasterKey, counter: u32) -> Option<Hypothesis> {
    let verifies = |policy: &Policy, key: &MasterKey| opens(kind, packet, policy, key, counter).is_some();
    let bare = MasterKey::new(policy.profile, key.key(), key.salt()).ok()?;
    if !key.mki().is_empty() && verifies(policy, &bare) {
        return Some(Hypothesis::MkiMissing);
    }
    if key.mki().is_empty()
        && let Some(length) = (1..=4).find(|&length| {
            mki_of(kind, packet, policy.profile, length)
                .and_then(|mki| bare.clone().with_mki(mki).ok())
                .is_some_and(|key| verifies(policy, &key))
        })
    {
        return Some(Hypothesis::MkiUnexpected { length: length as u8 });
    }
    Profile::all().filter(|&profile| profile != policy.profile).find_map(|profile| {
        let other = under(profile, key)?;
        let policy = Policy { profile, ..policy.clone() };
        let policy = Policy { authenticate_rtp: true, ..policy };
        verifies(&policy, &other).then_some(Hypothesis::OtherProfile(profile))
    })
}

/// Where the MKI would stand (RFC 3711 §3.1, §3.4; RFC 7714 §8.2, §9.2).
fn mki_of(kind: Kind, packet: &[u8], profile: Profile, length: usize) -> Option<&[u8]> {
    let behind = match kind {
        _ if profile.is_aead() => 0,
        Kind::Rtp => profile.rtp_tag_len(),
        Kind::Rtcp => profile.rtcp_tag_len(),
    };
    let end = packet.len().checked_sub(behind)?;
    packet.get(end.checked_sub(length)?..end)
}

/// The same secret for a profile with a key of the same length; a salt that is too long is cut, one too short padded
/// with zeros (RFC 7714 §11).
fn under(profile: Profile, key: &MasterKey) -> Option<MasterKey> {
    let mut salt = [0; 14];
    for (to, from) in salt.iter_mut().zip(key.salt()) {
        *to = *from;
    }
    let mki = key.mki();
    MasterKey::new(profile, key.key(), salt.get(..profile.salt_len())?).ok()?.with_mki(mki).ok()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Appearance {
    Plain,
    Encrypted,
    Unclear,
}

/// What a packet looks like from outside.
fn appearance(kind: Kind, packet: &[u8]) -> Appearance {
    match kind {
        // The first header is never encrypted; what follows it makes sense only in the clear.
        Kind::Rtcp if RtcpCompound::parse(packet).is_some() => Appearance::Plain,
        Kind::Rtcp => Appearance::Encrypted,
        Kind::Rtp => match rtp::RtpPacket::parse(packet) {
            Some(packet) => voice(packet.payload_type(), packet.payload()),
            None => Appearance::Unclear,
        },
    }
}

/// Samples of G.711 or G.722 come in whole 5 ms of 40 bytes, and speech and silence use few of the 256 values;
/// a tag breaks the first, and encryption the second.
fn voice(payload_type: u8, payload: &[u8]) -> Appearance {
    /// Milliseconds of five, in bytes.
    const FRAME: usize = 40;
    const TAGS: [usize; 3] = [4, 10, 16];
    if !matches!(payload_type, 0 | 8 | 9) || payload.len() < FRAME {
        return Appearance::Unclear;
    }
    let tagged = TAGS.iter().any(|&tag| payload.len().checked_sub(tag).is_some_and(|len| len.is_multiple_of(FRAME)));
    let looks_random = distinct(payload) * 100 >= expected_distinct(payload.len()) * 85;
    match (payload.len().is_multiple_of(FRAME), tagged) {
        (true, _) => Appearance::Plain,
        (false, true) if looks_random => Appearance::Encrypted,
        _ => Appearance::Unclear,
    }
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for &byte in bytes {
        if let Some(seen) = seen.get_mut(usize::from(byte)) {
            *seen = true;
        }
    }
    seen.iter().filter(|&&seen| seen).count()
}

/// Of so many random bytes, on average: 256 (1 − (255/256)ⁿ).
fn expected_distinct(len: usize) -> usize {
    (256.0 * (1.0 - (255.0_f64 / 256.0).powi(i32::try_from(len).unwrap_or(i32::MAX)))) as usize
}
