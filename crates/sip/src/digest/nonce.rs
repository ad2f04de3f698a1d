//! Nonces that need no memory until they are used, and the window of their counts (RFC 7616 §3.3, §3.4.4).

use crate::tokens::Tokens;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const MAC_LEN: usize = 16;

/// Issue time in milliseconds since the start (8 bytes) and a random part (8 bytes).
type Stamp = [u8; 16];

/// Makes nonces: a stamp, and a MAC over stamp and scope (the realm, and the client's network where it is to be bound to that) under a
/// secret that lives as long as two lifetimes of a nonce. The client's port is not part of it: behind NAT it changes.
pub(super) struct NonceMint {
    start: Instant,
    lifetime: Duration,
    tokens: Tokens,
    /// Of this period and of the one before it.
    secrets: [(u128, Zeroizing<[u8; 32]>); 2],
    windows: Windows,
}

/// How old a nonce is and whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NonceState {
    Fresh(Stamp),
    Expired,
    Foreign,
}

impl NonceMint {
    pub(super) fn new(now: Instant, lifetime: Duration, max_nonces: usize, seed: [u8; 32]) -> Self {
        let mut tokens = Tokens::new(seed);
        let secret = Zeroizing::new(tokens.seed());
        Self {
            start: now,
            lifetime: lifetime.max(Duration::from_secs(1)),
            secrets: [(0, secret.clone()), (0, secret)],
            tokens,
            windows: Windows { max: max_nonces.max(1), ..Windows::default() },
        }
    }

    pub(super) fn issue(&mut self, now: Instant, realm: &str) -> String {
        self.rotate(now);
        let mut stamp = [0; 16];
        let millis = u64::try_from(self.age_of_start(now).as_millis()).unwrap_or(u64::MAX);
        let (time, random) = stamp.split_at_mut(8);
        time.copy_from_slice(&millis.to_be_bytes());
        random.copy_from_slice(&self.tokens.below(u64::MAX).to_be_bytes());
        let mac = mac(&self.secrets[0].1, &stamp, realm);
        URL_SAFE_NO_PAD.encode([stamp.as_slice(), mac.as_slice()].concat())
    }

    pub(super) fn inspect(&mut self, now: Instant, realm: &str, nonce: &str) -> NonceState {
        self.rotate(now);
        let Some((stamp, theirs)) = decode(nonce) else { return NonceState::Foreign };
        let issued = self.start + Duration::from_millis(issue_millis(&stamp));
        let period = (issued - self.start).as_nanos() / self.lifetime.as_nanos();
        // Both are compared so that nothing shows which secret was used.
        let genuine = self.secrets.iter().fold(false, |genuine, (of, secret)| {
            let equal = bool::from(mac(secret, &stamp, realm).ct_eq(&theirs));
            genuine | (equal & (*of == period))
        });
        if !genuine {
            // The secret of an old nonce is gone, so that it cannot be told from a foreign one.
            return NonceState::Foreign;
        }
        if now.saturating_duration_since(issued) > self.lifetime {
            NonceState::Expired
        } else {
            NonceState::Fresh(stamp)
        }
    }

    /// Whether this count may be used with this nonce. Nothing is remembered yet.
    pub(super) fn is_unused(&self, stamp: Stamp, nc: u32) -> bool {
        match self.windows.by_stamp.get(&stamp) {
            Some(window) => window.is_unused(nc),
            // Evicted ones are gone with all that are not younger.
            None => nc > 0 && self.windows.evicted.is_none_or(|evicted| stamp > evicted),
        }
    }

    /// Remembers a count, once the response has been verified.
    pub(super) fn commit(&mut self, now: Instant, stamp: Stamp, nc: u32) {
        let oldest = now.checked_sub(self.lifetime).unwrap_or(self.start);
        let oldest = oldest.saturating_duration_since(self.start).as_millis();
        self.windows.commit(stamp, nc, u64::try_from(oldest).unwrap_or(u64::MAX));
    }

    fn age_of_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    fn rotate(&mut self, now: Instant) {
        let period = self.age_of_start(now).as_nanos() / self.lifetime.as_nanos();
        if period > self.secrets[0].0 {
            let fresh = (period, Zeroizing::new(self.tokens.seed()));
            self.secrets[1] = std::mem::replace(&mut self.secrets[0], fresh);
        }
    }
}

fn mac(secret: &[u8; 32], stamp: &Stamp, realm: &str) -> [u8; MAC_LEN] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(stamp);
    mac.update(realm.as_bytes());
    let full = mac.finalize().into_bytes();
    let mut short = [0; MAC_LEN];
    short.copy_from_slice(full.get(..MAC_LEN).unwrap_or(&[0; MAC_LEN]));
    short
}

fn decode(nonce: &str) -> Option<(Stamp, [u8; MAC_LEN])> {
    // The length is checked first: what is decoded is bounded.
    if nonce.len() != 43 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
    let (stamp, mac) = bytes.split_at_checked(16)?;
    let stamp: Stamp = stamp.try_into().ok()?;
    // Beyond a century it is not ours, and the sum with the start could overflow.
    (issue_millis(&stamp) < 1 << 42).then_some(())?;
    Some((stamp, mac.try_into().ok()?))
}

fn issue_millis(stamp: &Stamp) -> u64 {
    let mut millis = [0; 8];
    millis.copy_from_slice(stamp.split_at(8).0);
    u64::from_be_bytes(millis)
}

/// The counts that were used, of at most `max` nonces. When it is full the oldest nonce goes, and with it the right to use any
/// nonce of that age: its client is told that the nonce is stale.
#[derive(Default)]
struct Windows {
    max: usize,
    by_stamp: HashMap<Stamp, Window>,
    /// In order of issue.
    order: BTreeMap<Stamp, ()>,
    evicted: Option<Stamp>,
}

impl Windows {
    fn commit(&mut self, stamp: Stamp, nc: u32, oldest_millis: u64) {
        while let Some((&first, ())) = self.order.first_key_value() {
            let expired = issue_millis(&first) < oldest_millis;
            let full = self.by_stamp.len() >= self.max && !self.by_stamp.contains_key(&stamp);
            if !expired && !full {
                break;
            }
            self.order.pop_first();
            self.by_stamp.remove(&first);
            if !expired {
                self.evicted = self.evicted.max(Some(first));
            }
        }
        self.by_stamp.entry(stamp).or_default().commit(nc);
        self.order.insert(stamp, ());
    }
}

/// The last 64 counts of one nonce: requests of one client may overtake one another.
#[derive(Default)]
struct Window {
    highest: u32,
    /// Bit n: `highest - n` was used.
    used: u64,
}

impl Window {
    fn is_unused(&self, nc: u32) -> bool {
        match self.highest.checked_sub(nc) {
            _ if nc == 0 => false,
            None => true,
            Some(back) => back < 64 && self.used >> back & 1 == 0,
        }
    }

    fn commit(&mut self, nc: u32) {
        match nc.checked_sub(self.highest) {
            Some(ahead) => {
                self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
                self.highest = nc;
            }
            None => self.used |= 1u64.checked_shl(self.highest - nc).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mint(now: Instant, max: usize) -> NonceMint {
        NonceMint::new(now, Duration::from_secs(60), max, [3; 32])
    }

    fn fresh(mint: &mut NonceMint, now: Instant, nonce: &str) -> Stamp {
        match mint.inspect(now, "r", nonce) {
            NonceState::Fresh(stamp) => stamp,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start")]
    fn a_nonce_is_good_for_its_lifetime_in_its_realm() {
        let now = Instant::now();
        let mut mint = mint(now, 10);
        let after = |seconds| now + Duration::from_secs(seconds);
        let nonce = mint.issue(after(50), "r");
        assert!(!nonce.contains(['"', '\\', '=']));
        fresh(&mut mint, after(110), &nonce);
        assert_eq!(mint.inspect(after(111), "r", &nonce), NonceState::Expired);
        assert_eq!(mint.inspect(after(111), "s", &nonce), NonceState::Foreign);
        assert_eq!(mint.inspect(after(180), "r", &nonce), NonceState::Foreign);
        let mut forged = nonce.clone().into_bytes();
        forged[30] ^= 1;
        assert_eq!(mint.inspect(after(50), "r", &String::from_utf8(forged).unwrap()), NonceState::Foreign);
        for odd in ["", "x", &"A".repeat(43), &"_".repeat(43), &"\u{e4}".repeat(22)] {
            assert_eq!(mint.inspect(after(50), "r", odd), NonceState::Foreign);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start")]
    fn each_count_is_good_once_within_64() {
        let now = Instant::now();
        let mut mint = mint(now, 10);
        let nonce = mint.issue(now, "r");
        let stamp = fresh(&mut mint, now, &nonce);
        assert!(!mint.is_unused(stamp, 0));
        for nc in [1, 3, 2, 70, 7, 69] {
            assert!(mint.is_unused(stamp, nc), "{nc}");
            mint.commit(now, stamp, nc);
            assert!(!mint.is_unused(stamp, nc), "{nc}");
        }
        // 70 - 64 = 6 is out of the window, used or not.
        assert!(!mint.is_unused(stamp, 6) && !mint.is_unused(stamp, 5) && mint.is_unused(stamp, 8));
        mint.commit(now, stamp, u32::MAX);
        assert!(!mint.is_unused(stamp, 71) && mint.is_unused(stamp, u32::MAX - 63));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start")]
    fn memory_is_bounded_and_an_evicted_nonce_is_not_fresh_again() {
        let start = Instant::now();
        let mut mint = mint(start, 3);
        let stamps: Vec<_> = (0..5)
            .map(|number| {
                let now = start + Duration::from_millis(number);
                let nonce = mint.issue(now, "r");
                fresh(&mut mint, now, &nonce)
            })
            .collect();
        for &stamp in &stamps {
            mint.commit(start, stamp, 1);
        }
        assert_eq!(mint.windows.by_stamp.len(), 3);
        assert!(!mint.is_unused(stamps[0], 2) && !mint.is_unused(stamps[1], 2) && mint.is_unused(stamps[2], 2));
        // Expired ones go without a trace.
        let later = start + Duration::from_secs(61);
        let nonce = mint.issue(later, "r");
        let stamp = fresh(&mut mint, later, &nonce);
        mint.commit(later, stamp, 1);
        assert_eq!(mint.windows.by_stamp.len(), 1);
    }
}
