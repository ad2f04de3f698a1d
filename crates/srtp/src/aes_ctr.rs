//! AES in counter mode over a precomputed key schedule.

use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc, Block};
use ctr::CtrCore;
use ctr::flavors::{Ctr32BE, Ctr128BE};

/// An encryption key schedule, by reference: each is as large as its key size wants, and lies where its owner keeps it.
#[derive(Clone, Copy)]
pub(crate) enum Aes<'a> {
    Bits128(&'a Aes128Enc),
    Bits192(&'a Aes192Enc),
    Bits256(&'a Aes256Enc),
}

/// An encryption key schedule of one size; wiped when dropped.
pub(crate) trait Schedule: KeyInit {
    /// For use.
    fn aes(&self) -> Aes<'_>;
}

impl Schedule for Aes128Enc {
    #[inline]
    fn aes(&self) -> Aes<'_> {
        Aes::Bits128(self)
    }
}

impl Schedule for Aes192Enc {
    #[inline]
    fn aes(&self) -> Aes<'_> {
        Aes::Bits192(self)
    }
}

impl Schedule for Aes256Enc {
    #[inline]
    fn aes(&self) -> Aes<'_> {
        Aes::Bits256(self)
    }
}

macro_rules! each {
    ($self:expr, $aes:ident => $body:expr) => {
        match $self {
            Aes::Bits128($aes) => $body,
            Aes::Bits192($aes) => $body,
            Aes::Bits256($aes) => $body,
        }
    };
}

impl Aes<'_> {
    #[inline]
    pub(crate) fn encrypt_block(self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        each!(self, aes => aes.encrypt_block(&mut block));
        block.into()
    }

    /// XORs the keystream that starts at counter block `iv` into `data`; the counter is the whole block (RFC 3711 §4.1.1:
    /// its low 16 bits start at 0, so that up to 2^16 blocks touch nothing above them).
    #[inline]
    pub(crate) fn xor_128(self, iv: [u8; 16], data: &mut [u8]) {
        each!(self, aes => CtrCore::<_, Ctr128BE>::inner_iv_init(aes, &iv.into()).apply_keystream_partial(data.into()));
    }

    /// As [`Self::xor_128`], with a counter of 32 bits (GCM).
    #[inline]
    pub(crate) fn xor_32(self, iv: [u8; 16], data: &mut [u8]) {
        each!(self, aes => CtrCore::<_, Ctr32BE>::inner_iv_init(aes, &iv.into()).apply_keystream_partial(data.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    /// RFC 3711 B.2 and RFC 6188 §7.1, §7.3: the keystream of SSRC 0, index 0.
    #[test]
    fn keystreams_of_rfc_3711_and_rfc_6188() {
        let table = [
            (
                "2B7E151628AED2A6ABF7158809CF4F3C",
                "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0",
            ),
            (
                "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
                "92bdd28a93c3f52511c677d08b5515a49da71b2378a854f67050756ded165bac63c4868b7096d88421b563b8c94c9a31",
            ),
            (
                "eab234764e517b2d3d160d587d8c86219740f65f99b6bcf7",
                "35096cba4610028dc1b57503804ce37c5de986291dcce161d5165ec4568f5c9a",
            ),
        ];
        let iv: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
        fn keystream<S: Schedule>(key: &[u8], iv: [u8; 16], len: usize) -> Vec<u8> {
            let mut data = vec![0; len];
            S::new_from_slice(key).unwrap().aes().xor_128(iv, &mut data);
            data
        }
        for (key, expected) in table {
            let (key, expected) = (hex(key), hex(expected));
            let data = match key.len() {
                16 => keystream::<Aes128Enc>(&key, iv, expected.len()),
                24 => keystream::<Aes192Enc>(&key, iv, expected.len()),
                _ => keystream::<Aes256Enc>(&key, iv, expected.len()),
            };
            assert_eq!(data, expected);
        }
    }
}
