//! The one source of randomness: keys, passwords and port choices are drawn from a seeded ChaCha.

use std::num::NonZeroU32;

use control::{Credentials, MasterKey, Profile};
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use zeroize::Zeroize;

/// Longest key and salt of any profile, in bytes.
const MAX_KEY: usize = 32;
const MAX_SALT: usize = 14;

pub(crate) struct Secrets {
    rng: ChaCha20Rng,
}

impl Secrets {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { rng: ChaCha20Rng::from_seed(seed) }
    }

    /// A number below `bound`, which is not 0. The bias is below 2^-40 for any number of ports.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.rng.next_u64() % (bound.max(1) as u64)) as usize
    }

    pub(crate) fn master_key(&mut self, profile: Profile) -> MasterKey {
        let (mut key, mut salt) = ([0; MAX_KEY], [0; MAX_SALT]);
        self.rng.fill_bytes(&mut key);
        self.rng.fill_bytes(&mut salt);
        let (key_part, salt_part) = (key.get(..profile.key_len()), salt.get(..profile.salt_len()));
        let master = MasterKey::new(profile, key_part.unwrap_or_default(), salt_part.unwrap_or_default());
        key.zeroize();
        salt.zeroize();
        master.expect("no profile has a longer key or salt")
    }

    pub(crate) fn credentials(&mut self) -> Credentials {
        let mut random = [0; 24];
        self.rng.fill_bytes(&mut random);
        let credentials = Credentials::generate(&random);
        random.zeroize();
        credentials
    }

    /// 32 hexadecimal digits: a `tls-id` (RFC 8842 §4 wants 20 to 255 characters of which these are some).
    pub(crate) fn tls_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64())
    }

    /// What SSRCs of ours differ by from those of a peer that hears itself.
    pub(crate) fn ssrc_mask(&mut self) -> NonZeroU32 {
        NonZeroU32::new(self.rng.next_u64() as u32).unwrap_or(NonZeroU32::MAX)
    }

    /// A CNAME of 96 random bits (RFC 7022 §4.2): 16 of 64 letters.
    pub(crate) fn cname(&mut self) -> String {
        self.credentials().pwd.chars().take(16).collect()
    }

    /// A decimal number of at most 18 digits, as `o=` carries it.
    pub(crate) fn session_id(&mut self) -> u64 {
        self.rng.next_u64() >> 5
    }
}
