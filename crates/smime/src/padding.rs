//! What RSA encryption puts around a key (RFC 8017 §7). Taking it off runs in the same time whatever the block holds, and has
//! no error: where the padding is wrong the other key comes out (RFC 3218 §2.3.2, and RFC 8017 §7.2.2's note).

use der::asn1::ObjectIdentifier;
use sha2::Digest;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::oid;

/// The digests of OAEP. None of their uses here needs resistance to collisions, and SHA-1 is the default (RFC 8017 §B.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OaepHash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl OaepHash {
    pub(crate) fn of(oid: ObjectIdentifier) -> Option<Self> {
        match oid {
            oid::SHA1 => Some(Self::Sha1),
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(bytes).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(bytes).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(bytes).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(bytes).to_vec(),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// MGF1 (RFC 8017 §B.2.1), combined with the bytes that it masks.
    fn mask(self, seed: &[u8], masked: &mut [u8]) {
        for (counter, piece) in (0u32..).zip(masked.chunks_mut(self.len())) {
            let mask = Zeroizing::new(self.digest(&[seed, &counter.to_be_bytes()].concat()));
            piece.iter_mut().zip(mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
        }
    }
}

/// The parameters of RSAES-OAEP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Oaep<'a> {
    pub(crate) hash: OaepHash,
    pub(crate) mask: OaepHash,
    pub(crate) label: &'a [u8],
}

impl Oaep<'_> {
    /// EME-OAEP encoding (RFC 8017 §7.1.1) of a key for a modulus of `length` bytes. `None` if it does not fit, or if the
    /// seed is not as long as the digest.
    pub(crate) fn pad(&self, key: &[u8], seed: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let hash_len = self.hash.len();
        let zeros = length.checked_sub(2 * hash_len + 2 + key.len()).filter(|_| seed.len() == hash_len)?;
        let mut data = self.hash.digest(self.label);
        data.resize(hash_len + zeros, 0);
        data.push(1);
        data.extend_from_slice(key);
        let mut data = Zeroizing::new(data);
        let mut seed = Zeroizing::new(seed.to_vec());
        self.mask.mask(&seed, &mut data);
        self.mask.mask(&data, &mut seed);
        Some(Zeroizing::new([&[0], seed.as_slice(), data.as_slice()].concat()))
    }

    /// EME-OAEP decoding (RFC 8017 §7.1.2): the key of the other's length, or the other.
    pub(crate) fn unpad(&self, block: &[u8], other: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        let hash_len = self.hash.len();
        // Only the length of the modulus decides here, which is public.
        let Some(zeros) = block.len().checked_sub(2 * hash_len + 2 + other.len()) else { return other };
        let Some((first, rest)) = block.split_first() else { return other };
        let Some((seed, data)) = rest.split_at_checked(hash_len) else { return other };
        let mut seed = Zeroizing::new(seed.to_vec());
        let mut data = Zeroizing::new(data.to_vec());
        self.mask.mask(&data, &mut seed);
        self.mask.mask(&seed, &mut data);
        let mut expected = self.hash.digest(self.label);
        expected.resize(hash_len + zeros, 0);
        expected.push(1);
        let Some((start, key)) = data.split_at_checked(expected.len()) else { return other };
        let right = first.ct_eq(&0) & start.ct_eq(&expected);
        choose(right, key, other)
    }
}

/// EME-PKCS1-v1_5 decoding (RFC 8017 §7.2.2): the key of the other's length, or the other.
pub(crate) fn unpad_pkcs1(block: &[u8], other: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    // Eight bytes of padding at least, between 0, 2 and 0.
    let Some(at) = block.len().checked_sub(other.len()).filter(|at| *at >= 11) else { return other };
    let (start, key) = block.split_at(at);
    let mut right = Choice::from(1);
    for (index, byte) in start.iter().enumerate() {
        right &= match index {
            0 => byte.ct_eq(&0),
            1 => byte.ct_eq(&2),
            _ if index + 1 == at => byte.ct_eq(&0),
            _ => !byte.ct_eq(&0),
        };
    }
    choose(right, key, other)
}

fn choose(right: Choice, key: &[u8], mut other: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    other.iter_mut().zip(key).for_each(|(other, key)| other.conditional_assign(key, right));
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = *b"sixteen byte key";

    fn other() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(vec![0xEE; 16])
    }

    #[test]
    fn every_fault_of_pkcs1_padding_gives_the_other_key() {
        let block = [&[0, 2][..], &[0xAA; 237], &[0], &KEY].concat();
        assert_eq!(*unpad_pkcs1(&block, other()), KEY);
        for (at, value) in [(0, 1), (1, 1), (2, 0), (100, 0), (238, 0), (239, 1)] {
            let mut faulty = block.clone();
            faulty[at] = value;
            assert_eq!(unpad_pkcs1(&faulty, other()), other(), "{value} at {at}");
        }
        // A key of another length has its zero elsewhere.
        let longer = [&[0, 2][..], &[0xAA; 221], &[0], &[7; 32]].concat();
        assert_eq!(unpad_pkcs1(&longer, other()), other());
        assert_eq!(unpad_pkcs1(&[0, 2, 0], other()), other());
    }

    #[test]
    fn every_fault_of_oaep_padding_gives_the_other_key() {
        for hash in [OaepHash::Sha1, OaepHash::Sha256, OaepHash::Sha384, OaepHash::Sha512] {
            let oaep = Oaep { hash, mask: OaepHash::Sha256, label: b"label" };
            let block = oaep.pad(&KEY, &vec![0x5A; hash.len()], 256).unwrap();
            assert_eq!(block.len(), 256);
            assert_eq!(*oaep.unpad(&block, other()), KEY);
            for at in 0..256 {
                let mut faulty = block.to_vec();
                faulty[at] ^= 1;
                let found = oaep.unpad(&faulty, other());
                assert_eq!(found, other(), "{hash:?} at {at}");
            }
            assert_eq!(Oaep { label: b"", ..oaep }.unpad(&block, other()), other());
            assert!(oaep.pad(&KEY, &[0; 3], 256).is_none() && oaep.pad(&[0; 250], &vec![0; hash.len()], 256).is_none());
        }
    }
}
