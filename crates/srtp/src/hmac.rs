//! HMAC-SHA1 with the key's two blocks compressed beforehand.

use sha1::block_api::compress;
use zeroize::Zeroize;

/// Bytes of a whole HMAC-SHA1.
pub(crate) const DIGEST: usize = 20;
/// Bytes of SHA-1's block.
const BLOCK: usize = 64;
/// SHA-1's initial state (FIPS 180-4 §5.3.1).
const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// A keyed HMAC-SHA1: the states after the inner and the outer key block. Wiped when dropped.
pub(crate) struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

/// One message to authenticate: `message` followed by `suffix`.
#[derive(Clone, Copy)]
pub(crate) struct MacLane<'a> {
    pub(crate) key: &'a HmacSha1,
    pub(crate) message: &'a [u8],
    /// The ROC (SRTP) or E bit and index (SRTCP).
    pub(crate) suffix: [u8; 4],
}

impl HmacSha1 {
    /// `key` is at most a block long, as SRTP's 20 bytes are.
    pub(crate) fn new(key: &[u8; DIGEST]) -> Self {
        let state_after = |pad: u8| {
            let mut block = [pad; BLOCK];
            for (to, from) in block.iter_mut().zip(key) {
                *to ^= from;
            }
            let mut state = INITIAL;
            compress(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self { inner: state_after(0x36), outer: state_after(0x5c) }
    }
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl MacLane<'_> {
    /// The whole HMAC; SRTP sends its first 4 or 10 bytes.
    #[inline]
    pub(crate) fn digest(&self) -> [u8; DIGEST] {
        let mut state = self.key.inner;
        let (blocks, rest) = self.message.as_chunks::<BLOCK>();
        compress(&mut state, blocks);

        // What is left, the suffix, the end mark and the length in bits fill one block or two.
        let mut tail = [[0u8; BLOCK]; 2];
        let used = rest.len() + self.suffix.len();
        {
            let flat = tail.as_flattened_mut();
            if let Some((head, after)) = flat.split_at_mut_checked(rest.len()) {
                head.copy_from_slice(rest);
                for (to, from) in after.iter_mut().zip(self.suffix.iter().chain(&[0x80])) {
                    *to = *from;
                }
            }
        }
        let bits = ((BLOCK + self.message.len() + self.suffix.len()) as u64).wrapping_mul(8).to_be_bytes();
        let [first, second] = &mut tail;
        if used + 9 <= BLOCK {
            first[BLOCK - 8..].copy_from_slice(&bits);
            compress(&mut state, std::slice::from_ref(first));
        } else {
            second[BLOCK - 8..].copy_from_slice(&bits);
            compress(&mut state, &tail);
        }

        let mut block = [0u8; BLOCK];
        write_words(&mut block, state);
        block[DIGEST] = 0x80;
        block[BLOCK - 8..].copy_from_slice(&(((BLOCK + DIGEST) * 8) as u64).to_be_bytes());
        let mut state = self.key.outer;
        compress(&mut state, &[block]);
        let mut digest = [0; DIGEST];
        write_words(&mut digest, state);
        digest
    }
}

#[inline]
fn write_words(to: &mut [u8], words: [u32; 5]) {
    for (bytes, word) in to.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
}

/// Authenticates several messages: `digests` gets one per lane, in order.
///
/// The lanes are independent and may be of any length and key, so that a kernel with several lanes side by side can
/// take the place of the loop.
#[inline]
pub(crate) fn digest_all(lanes: &[MacLane<'_>], digests: &mut [[u8; DIGEST]]) {
    for (lane, digest) in lanes.iter().zip(digests) {
        *digest = lane.digest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// RFC 2202 §3, test 1: key 20 x 0b, data "Hi There"; its last four bytes are the suffix here.
    #[test]
    fn rfc_2202_test_1() {
        let key = HmacSha1::new(&[0x0b; 20]);
        let lane = MacLane { key: &key, message: b"Hi T", suffix: *b"here" };
        assert_eq!(lane.digest().to_vec(), hex("b617318655057264e28bc0b6fb378c8ef146be00"));
    }

    /// Lengths around the block boundary agree with an independent implementation of HMAC.
    #[test]
    fn every_length_agrees_with_the_reference() {
        use sha1::Digest;
        let key_bytes: [u8; 20] = std::array::from_fn(|i| i as u8 * 11);
        let key = HmacSha1::new(&key_bytes);
        let message: Vec<u8> = (0..300).map(|i| i as u8).collect();
        for len in 0..message.len() {
            let suffix = [1, 2, 3, len as u8];
            let pad =
                |byte: u8| -> Vec<u8> { (0..64).map(|i| key_bytes.get(i).copied().unwrap_or(0) ^ byte).collect() };
            let inner =
                sha1::Sha1::new().chain_update(pad(0x36)).chain_update(&message[..len]).chain_update(suffix).finalize();
            let outer = sha1::Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
            assert_eq!(MacLane { key: &key, message: &message[..len], suffix }.digest()[..], outer[..], "{len}");
        }
    }
}
