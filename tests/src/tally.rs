//! What left one endpoint and what arrived at the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One direction of a call. Clones share it: the sender writes one side, the receiver the other.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Packets>>);

#[derive(Default)]
struct Packets {
    hears_strangers: bool,
    sent: HashMap<u16, (Instant, Vec<u8>)>,
    delays: Vec<Duration>,
    arrived: HashMap<u16, u32>,
    altered: u32,
    unknown: u32,
    payloads: Vec<u8>,
}

/// How one direction went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Packets sent.
    pub sent: usize,
    /// Different packets that arrived, authentic and with the payload that was sent.
    pub arrived: usize,
    /// Packets that arrived more than once.
    pub duplicated: usize,
    /// Packets that arrived authentic but with another payload, or that nobody had sent.
    pub altered: usize,
    /// Mean difference of successive delays.
    pub jitter: Duration,
    /// Median delay from one endpoint's socket to the other's.
    pub delay_p50: Duration,
    /// Its 99th percentile.
    pub delay_p99: Duration,
}

impl Summary {
    /// Packets that never arrived.
    pub fn lost(&self) -> usize {
        self.sent - self.arrived
    }

    /// True when every packet arrived once, as it was sent.
    pub fn is_perfect(&self) -> bool {
        self.sent > 0 && self.lost() == 0 && self.duplicated == 0 && self.altered == 0
    }
}

impl Tally {
    /// A tally of a direction whose sender does not note what it sends, as a browser's: it keeps what arrives.
    pub fn hearing_strangers() -> Self {
        let tally = Self::default();
        tally.packets().hears_strangers = true;
        tally
    }

    /// Notes a packet that leaves.
    pub fn sent(&self, sequence_number: u16, payload: &[u8]) {
        self.packets().sent.insert(sequence_number, (Instant::now(), payload.to_vec()));
    }

    /// Notes a packet that arrived and was authentic.
    pub fn arrived(&self, sequence_number: u16, payload: &[u8]) {
        let now = Instant::now();
        let mut packets = self.packets();
        if packets.hears_strangers {
            packets.payloads.extend_from_slice(payload);
            return;
        }
        let Some((left, original)) = packets.sent.get(&sequence_number) else {
            packets.unknown += 1;
            return;
        };
        let (delay, is_same) = (now - *left, original == payload);
        if !is_same {
            packets.altered += 1;
            return;
        }
        *packets.arrived.entry(sequence_number).or_default() += 1;
        packets.delays.push(delay);
        packets.payloads.extend_from_slice(payload);
    }

    /// Packets sent and different packets arrived, so far.
    pub fn progress(&self) -> (usize, usize) {
        let packets = self.packets();
        (packets.sent.len(), packets.arrived.len())
    }

    /// Everything that was heard, in order of arrival.
    pub fn heard(&self) -> Vec<u8> {
        self.packets().payloads.clone()
    }

    /// How it went.
    pub fn summary(&self) -> Summary {
        let packets = self.packets();
        let mut delays = packets.delays.clone();
        let steps = delays.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
        let jitter = steps.sum::<Duration>().checked_div(delays.len().saturating_sub(1) as u32).unwrap_or_default();
        delays.sort();
        let percentile = |share: f64| match delays.len() {
            0 => Duration::ZERO,
            count => delays[((count - 1) as f64 * share) as usize],
        };
        Summary {
            sent: packets.sent.len(),
            arrived: packets.arrived.len(),
            duplicated: packets.arrived.values().filter(|&&times| times > 1).count(),
            altered: (packets.altered + packets.unknown) as usize,
            jitter,
            delay_p50: percentile(0.50),
            delay_p99: percentile(0.99),
        }
    }

    fn packets(&self) -> std::sync::MutexGuard<'_, Packets> {
        self.0.lock().expect("nobody panics while holding the tally")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_counts_only_when_it_was_sent_with_that_payload() {
        let tally = Tally::default();
        tally.sent(1, b"one");
        tally.sent(2, b"two");
        tally.sent(3, b"three");
        tally.arrived(1, b"one");
        tally.arrived(1, b"one");
        tally.arrived(2, b"TWO");
        tally.arrived(9, b"nine");
        let summary = tally.summary();
        assert_eq!((summary.sent, summary.arrived, summary.lost()), (3, 1, 2));
        assert_eq!((summary.duplicated, summary.altered), (1, 2));
        assert!(!summary.is_perfect());
    }
}
