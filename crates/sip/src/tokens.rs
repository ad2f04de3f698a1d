//! Tags, branches and Call-IDs, drawn from a seeded ChaCha.

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};

pub(crate) struct Tokens {
    rng: ChaCha20Rng,
}

impl Tokens {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { rng: ChaCha20Rng::from_seed(seed) }
    }

    /// 96 random bits: nobody guesses a tag or a branch (RFC 3261 §19.3 asks for 32).
    pub(crate) fn token(&mut self) -> String {
        let mut bytes = [0; 12];
        self.rng.fill_bytes(&mut bytes);
        hex(&bytes)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
