//! Copies of packets that await examination: a few at a time, in buffers made beforehand.

use std::time::{Duration, Instant};

use srtp::Kind;

use crate::examine::Origin;

/// Packets that may wait.
const WAITING: usize = 8;
/// Longer ones are not examined.
const LONGEST: usize = 1500;
/// Packets of one transport in a second.
const PER_TRANSPORT: u8 = 3;
/// Packets of a whole shard in a second: what an attacker can cause.
const PER_SHARD: u8 = 50;
/// What the allowances are for.
const SECOND: Duration = Duration::from_secs(1);

/// Copies of packets that await examination.
pub(crate) struct Samples {
    /// The first `waiting` of them are in use.
    places: Vec<Sample>,
    waiting: usize,
    allowance: Allowance,
}

/// One packet.
pub(crate) struct Sample {
    pub(crate) origin: Origin,
    pub(crate) kind: Kind,
    buffer: Vec<u8>,
}

/// A number of packets in each second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Allowance {
    since: Option<Instant>,
    used: u8,
}

impl Allowance {
    fn take(&mut self, now: Instant, most: u8) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND) {
            *self = Self { since: Some(now), used: 0 };
        }
        let granted = self.used < most;
        self.used += u8::from(granted);
        granted
    }
}

impl Default for Samples {
    fn default() -> Self {
        let place =
            || Sample { origin: Origin { slot: 0, serial: 0 }, kind: Kind::Rtp, buffer: Vec::with_capacity(LONGEST) };
        Self { places: (0..WAITING).map(|_| place()).collect(), waiting: 0, allowance: Allowance::default() }
    }
}

impl Samples {
    /// Copies a packet, if it may be examined. Nothing is allocated.
    pub(crate) fn offer(&mut self, now: Instant, origin: Origin, allowance: &mut Allowance, kind: Kind, packet: &[u8]) {
        let Some(place) = self.places.get_mut(self.waiting).filter(|_| packet.len() <= LONGEST) else { return };
        if !allowance.take(now, PER_TRANSPORT) || !self.allowance.take(now, PER_SHARD) {
            return;
        }
        place.origin = origin;
        place.kind = kind;
        place.buffer.clear();
        place.buffer.extend_from_slice(packet);
        self.waiting += 1;
    }

    /// One that waits, the latest first.
    pub(crate) fn take(&mut self) -> Option<&Sample> {
        self.waiting = self.waiting.checked_sub(1)?;
        self.places.get(self.waiting)
    }
}

impl Sample {
    pub(crate) fn packet(&self) -> &[u8] {
        &self.buffer
    }
}
