//! AES-GCM in two halves, so that a packet can be authenticated without being decrypted.

use ghash::universal_hash::UniversalHash;
use ghash::{Block, GHash};

use crate::aes_ctr::{Aes, Schedule};

/// Bytes of the tag (RFC 7714 §13.2).
pub(crate) const TAG: usize = 16;

/// A GCM key: AES schedule and hash key. Wiped when dropped.
pub(crate) struct Gcm<S> {
    schedule: S,
    ghash: GHash,
}

/// A GCM key, by reference.
#[derive(Clone, Copy)]
pub(crate) struct GcmKey<'a> {
    aes: Aes<'a>,
    ghash: &'a GHash,
}

/// One packet to authenticate: `clear` and `suffix` are associated data, `sealed` is ciphertext.
#[derive(Clone, Copy)]
pub(crate) struct GcmLane<'a> {
    pub(crate) key: GcmKey<'a>,
    pub(crate) iv: [u8; 12],
    pub(crate) clear: &'a [u8],
    /// SRTCP's E bit and index, which follow the packet's clear part in the associated data (RFC 7714 §9.2, §9.3).
    pub(crate) suffix: Option<[u8; 4]>,
    pub(crate) sealed: &'a [u8],
}

impl<S: Schedule> Gcm<S> {
    /// `None`: the key is not of the schedule's length.
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        let schedule = S::new_from_slice(key).ok()?;
        let mut hash_key = schedule.aes().encrypt_block([0; 16]);
        let ghash = GHash::new(&hash_key.into());
        zeroize::Zeroize::zeroize(&mut hash_key);
        Some(Self { schedule, ghash })
    }

    #[inline]
    pub(crate) fn key(&self) -> GcmKey<'_> {
        GcmKey { aes: self.schedule.aes(), ghash: &self.ghash }
    }
}

impl GcmKey<'_> {
    /// Encrypts or decrypts `data`.
    #[inline]
    pub(crate) fn xor(self, iv: [u8; 12], data: &mut [u8]) {
        self.aes.xor_32(counter_block(iv, 2), data);
    }
}

impl GcmLane<'_> {
    /// The tag that belongs to the packet.
    #[inline]
    pub(crate) fn tag(&self) -> [u8; TAG] {
        let mut hash = self.key.ghash.clone();
        let mut clear_len = self.clear.len();
        match self.suffix {
            None => hash.update_padded(self.clear),
            Some(suffix) => {
                let (blocks, rest) = self.clear.as_chunks::<16>();
                for block in blocks {
                    hash.update(&[Block::from(*block)]);
                }
                let mut tail = [0u8; 32];
                for (to, from) in tail.iter_mut().zip(rest.iter().chain(&suffix)) {
                    *to = *from;
                }
                let used = rest.len() + suffix.len();
                hash.update_padded(tail.get(..used).unwrap_or_default());
                clear_len += suffix.len();
            }
        }
        hash.update_padded(self.sealed);
        let lengths = ((clear_len as u128 * 8) << 64) | (self.sealed.len() as u128 * 8);
        hash.update(&[Block::from(lengths.to_be_bytes())]);
        let mask = u128::from_be_bytes(self.key.aes.encrypt_block(counter_block(self.iv, 1)));
        let hashed: [u8; 16] = hash.finalize().into();
        (u128::from_be_bytes(hashed) ^ mask).to_be_bytes()
    }
}

/// Counter 1 masks the tag, the data starts at 2 (NIST SP 800-38D §7.1).
#[inline]
fn counter_block(iv: [u8; 12], counter: u32) -> [u8; 16] {
    let mut block = [0; 16];
    for (to, from) in block.iter_mut().zip(iv.into_iter().chain(counter.to_be_bytes())) {
        *to = from;
    }
    block
}

/// The tags of several packets: `tags` gets one per lane, in order.
#[inline]
pub(crate) fn tag_all(lanes: &[GcmLane<'_>], tags: &mut [[u8; TAG]]) {
    for (lane, tag) in lanes.iter().zip(tags) {
        *tag = lane.tag();
    }
}
