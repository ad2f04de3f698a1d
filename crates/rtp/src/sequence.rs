//! Sequence numbers of one source: validity, loss and jitter (RFC 3550 A.1, A.3, A.8).

use std::time::Instant;

/// In-order packets before a source is valid.
const MIN_SEQUENTIAL: u8 = 2;
/// A gap of this many packets or more is a jump.
const MAX_DROPOUT: u16 = 3000;
/// A packet this many behind the highest is late, not a jump.
const MAX_MISORDER: u16 = 100;

/// Follows the sequence numbers of one SSRC.
///
/// ```text
///  new() ─► probation ─(2 in order)─► valid ─(far away)─► valid, jumped ─(the next after it)─► valid, counted anew
///  trusted() ────────────────────────►
/// ```
///
/// A source that authenticates needs no probation: for it there is [`SequenceTracker::update_index`], which takes the
/// extended index that SRTP has verified and refuses nothing.
#[derive(Clone, Debug)]
pub struct SequenceTracker {
    /// In-order packets still wanted; 0 when valid.
    probation: u8,
    /// Extended number of the first packet counted. `None` until there is one.
    base: Option<u64>,
    /// Highest extended number seen.
    highest: u64,
    /// The number that would follow a jump; a second packet there restarts the count.
    after_jump: Option<u16>,
    /// During probation: the number that would be in order.
    wanted: Option<u16>,
    received: u64,
    restarts: u32,
    expected_prior: u64,
    received_prior: u64,
    timing: Option<Timing>,
}

/// What became of one sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// The source is not valid yet.
    Probation,
    /// In order, after a gap below 3000, at most 100 late, or a duplicate.
    Accepted {
        /// Rollovers and sequence number: `cycles << 16 | sequence number`.
        index: u64,
    },
    /// Late, and from before number zero of the first cycle: there is no index for it.
    BeforeStart,
    /// Too far from the rest to be believed. If its successor comes next, the source has restarted.
    Jumped,
    /// Second in order after a jump: the source has restarted and everything is counted anew. Cycles start at zero
    /// again, so indices repeat.
    Restarted {
        /// As with [`Arrival::Accepted`].
        index: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Timing {
    epoch: Instant,
    clock_rate: u32,
    transit: u32,
    /// Sixteen times the jitter, as in A.8.
    scaled_jitter: u64,
}

impl Default for SequenceTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl SequenceTracker {
    /// For a source that must show two packets in order first (RFC 3550 A.1).
    pub fn new() -> Self {
        Self {
            probation: MIN_SEQUENTIAL,
            base: None,
            highest: 0,
            after_jump: None,
            wanted: None,
            received: 0,
            restarts: 0,
            expected_prior: 0,
            received_prior: 0,
            timing: None,
        }
    }

    /// For a source whose first packet counts: one that was authenticated.
    pub fn trusted() -> Self {
        Self { probation: 0, ..Self::new() }
    }

    /// Takes in the next packet's sequence number (RFC 3550 A.1).
    pub fn update(&mut self, sequence_number: u16) -> Arrival {
        if self.probation > 0 {
            return self.probe(sequence_number);
        }
        let Some(base) = self.base else {
            self.restart(sequence_number);
            return self.accept(u64::from(sequence_number));
        };
        let ahead = sequence_number.wrapping_sub(self.highest as u16);
        if ahead < MAX_DROPOUT {
            return self.accept(self.highest.saturating_add(u64::from(ahead)));
        }
        let behind = ahead.wrapping_neg();
        if behind <= MAX_MISORDER {
            self.received += 1;
            return match self.highest.checked_sub(u64::from(behind)) {
                // The first packet was itself late: the count begins at its predecessor.
                Some(index) => {
                    self.base = Some(base.min(index));
                    Arrival::Accepted { index }
                }
                None => Arrival::BeforeStart,
            };
        }
        if self.after_jump == Some(sequence_number) {
            self.restart(sequence_number);
            self.restarts = self.restarts.saturating_add(1);
            self.accept(u64::from(sequence_number));
            return Arrival::Restarted { index: u64::from(sequence_number) };
        }
        self.after_jump = Some(sequence_number.wrapping_add(1));
        Arrival::Jumped
    }

    /// Takes in a packet whose extended index is known to be true, since it was authenticated with it. Nothing is
    /// refused, however far it jumps.
    pub fn update_index(&mut self, index: u64) {
        self.probation = 0;
        self.after_jump = None;
        self.base = Some(self.base.map_or(index, |base| base.min(index)));
        self.highest = self.highest.max(index);
        self.received += 1;
    }

    /// Takes in when the packet came, for the jitter (RFC 3550 A.8). `timestamp` is the packet's, in units of
    /// `clock_rate` per second; a rate of zero (unknown) is passed over, a new rate begins anew.
    pub fn update_timing(&mut self, arrival: Instant, timestamp: u32, clock_rate: u32) {
        if clock_rate == 0 {
            return;
        }
        match &mut self.timing {
            Some(timing) if timing.clock_rate == clock_rate => timing.update(arrival, timestamp),
            _ => self.timing = Some(Timing::new(arrival, timestamp, clock_rate)),
        }
    }

    /// True once the source has shown enough packets in order.
    pub fn is_valid(&self) -> bool {
        self.probation == 0 && self.base.is_some()
    }

    /// Highest sequence number with its cycles, as reports carry it (RFC 3550 §6.4.1).
    pub fn extended_highest(&self) -> u32 {
        self.highest as u32
    }

    /// Highest sequence number with all its cycles.
    pub fn highest_index(&self) -> u64 {
        self.highest
    }

    /// Packets counted, late and double ones too.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that the numbers seen span (RFC 3550 A.3).
    pub fn expected(&self) -> u64 {
        self.base.map_or(0, |base| self.highest.saturating_sub(base).saturating_add(1))
    }

    /// Expected less received; below zero with duplicates (RFC 3550 A.3).
    pub fn lost(&self) -> i64 {
        self.expected().wrapping_sub(self.received) as i64
    }

    /// [`SequenceTracker::lost`] as a report carries it: clamped to 24 bits with sign (RFC 3550 A.3).
    pub fn cumulative_lost(&self) -> i32 {
        self.lost().clamp(-0x80_0000, 0x7f_ffff) as i32
    }

    /// Share of packets lost since the last call, in 1/256 (RFC 3550 A.3).
    pub fn take_fraction_lost(&mut self) -> u8 {
        let expected = self.expected().saturating_sub(self.expected_prior);
        let received = self.received.saturating_sub(self.received_prior);
        self.expected_prior = self.expected();
        self.received_prior = self.received;
        let lost = expected.saturating_sub(received);
        lost.saturating_mul(256).checked_div(expected).unwrap_or(0).min(255) as u8
    }

    /// Interarrival jitter in timestamp units (RFC 3550 A.8).
    pub fn jitter(&self) -> u32 {
        self.timing.map_or(0, |timing| (timing.scaled_jitter >> 4) as u32)
    }

    /// Times the source has restarted.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    fn probe(&mut self, sequence_number: u16) -> Arrival {
        let in_order = self.wanted == Some(sequence_number);
        self.wanted = Some(sequence_number.wrapping_add(1));
        self.probation = if in_order { self.probation - 1 } else { MIN_SEQUENTIAL - 1 };
        if self.probation > 0 {
            return Arrival::Probation;
        }
        self.restart(sequence_number);
        self.accept(u64::from(sequence_number))
    }

    fn restart(&mut self, sequence_number: u16) {
        self.base = Some(u64::from(sequence_number));
        self.highest = u64::from(sequence_number);
        self.after_jump = None;
        self.received = 0;
        self.expected_prior = 0;
        self.received_prior = 0;
    }

    fn accept(&mut self, index: u64) -> Arrival {
        self.highest = index;
        self.received += 1;
        Arrival::Accepted { index }
    }
}

impl Timing {
    fn new(arrival: Instant, timestamp: u32, clock_rate: u32) -> Self {
        Self { epoch: arrival, clock_rate, transit: 0u32.wrapping_sub(timestamp), scaled_jitter: 0 }
    }

    fn update(&mut self, arrival: Instant, timestamp: u32) {
        let elapsed = arrival.saturating_duration_since(self.epoch).as_nanos();
        // The timestamp's circle: only the lower 32 bits matter.
        let arrival = (elapsed * u128::from(self.clock_rate) / 1_000_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        let difference = u64::from((transit.wrapping_sub(self.transit) as i32).unsigned_abs());
        self.transit = transit;
        // A.8 in integers: J += |D| - (J + 8) / 16, with J scaled by 16.
        self.scaled_jitter = (self.scaled_jitter + difference).saturating_sub((self.scaled_jitter + 8) >> 4);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the first moment of the test's own clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn accepted(index: u64) -> Arrival {
        Arrival::Accepted { index }
    }

    fn valid_at(sequence_number: u16) -> SequenceTracker {
        let mut tracker = SequenceTracker::trusted();
        assert_eq!(tracker.update(sequence_number), accepted(sequence_number.into()));
        tracker
    }

    #[test]
    fn a_source_is_valid_after_two_packets_in_order() {
        let mut tracker = SequenceTracker::new();
        for out_of_order in [10, 12, 14, 500] {
            assert_eq!(tracker.update(out_of_order), Arrival::Probation);
            assert!(!tracker.is_valid());
        }
        assert_eq!(tracker.update(501), accepted(501));
        assert!(tracker.is_valid());
        assert_eq!((tracker.expected(), tracker.received(), tracker.lost()), (1, 1, 0));
    }

    #[test]
    fn probation_crosses_the_wrap() {
        let mut tracker = SequenceTracker::new();
        assert_eq!(tracker.update(65535), Arrival::Probation);
        assert_eq!(tracker.update(0), accepted(0));
    }

    #[test]
    fn gaps_are_loss_and_late_packets_take_it_back() {
        let mut tracker = valid_at(100);
        assert_eq!(tracker.update(104), accepted(104));
        assert_eq!(tracker.lost(), 3);
        assert_eq!(tracker.update(102), accepted(102));
        assert_eq!(tracker.update(101), accepted(101));
        assert_eq!(tracker.update(103), accepted(103));
        assert_eq!(tracker.lost(), 0);
        assert_eq!(tracker.update(103), accepted(103));
        assert_eq!(tracker.lost(), -1);
        assert_eq!(tracker.extended_highest(), 104);
    }

    #[test]
    fn a_wrap_under_loss_counts_a_cycle() {
        let mut tracker = valid_at(65000);
        assert_eq!(tracker.update(65530), accepted(65530));
        assert_eq!(tracker.update(5), accepted(0x1_0005));
        assert_eq!(tracker.update(65533), accepted(65533));
        assert_eq!(tracker.update(6), accepted(0x1_0006));
        assert_eq!(tracker.extended_highest(), 0x1_0006);
    }

    #[test]
    fn dropout_and_misorder_have_the_bounds_of_rfc_3550() {
        assert_eq!(valid_at(10_000).update(12_999), accepted(12_999));
        assert_eq!(valid_at(10_000).update(13_000), Arrival::Jumped);
        assert_eq!(valid_at(10_000).update(9_900), accepted(9_900));
        assert_eq!(valid_at(10_000).update(9_899), Arrival::Jumped);
    }

    #[test]
    fn one_far_packet_changes_nothing_and_two_in_order_restart() {
        let mut tracker = valid_at(10);
        assert_eq!(tracker.update(40_000), Arrival::Jumped);
        assert_eq!(tracker.update(11), accepted(11));
        assert_eq!((tracker.expected(), tracker.received()), (2, 2));
        assert_eq!(tracker.update(50_000), Arrival::Jumped);
        assert_eq!(tracker.update(50_001), Arrival::Restarted { index: 50_001 });
        assert_eq!((tracker.expected(), tracker.received(), tracker.restarts()), (1, 1, 1));
        assert_eq!(tracker.update(50_002), accepted(50_002));
    }

    #[test]
    fn a_late_packet_from_before_zero_has_no_index() {
        let mut tracker = valid_at(1);
        assert_eq!(tracker.update(0), accepted(0));
        assert_eq!(tracker.update(65535), Arrival::BeforeStart);
    }

    #[test]
    fn indices_that_srtp_verified_may_jump() {
        let mut tracker = SequenceTracker::trusted();
        tracker.update_index(0x2_0001);
        tracker.update_index(0x2_fff0);
        tracker.update_index(0x2_0000);
        assert!(tracker.is_valid());
        assert_eq!(tracker.highest_index(), 0x2_fff0);
        assert_eq!(tracker.expected(), 0xfff1);
        assert_eq!(tracker.lost(), 0xfff1 - 3);
    }

    #[test]
    fn the_fraction_lost_is_that_of_the_interval() {
        let mut tracker = valid_at(0);
        for sequence_number in [1, 2, 3, 5, 6, 7] {
            tracker.update(sequence_number);
        }
        assert_eq!(tracker.take_fraction_lost(), 32); // 1 of 8
        assert_eq!(tracker.take_fraction_lost(), 0);
        tracker.update(8);
        tracker.update(8);
        assert_eq!(tracker.take_fraction_lost(), 0); // duplicates do not make it negative
        tracker.update(2000);
        assert_eq!(tracker.take_fraction_lost(), 255);
    }

    #[test]
    fn the_loss_of_a_report_is_clamped_to_24_bits() {
        let mut tracker = SequenceTracker::trusted();
        tracker.update_index(0);
        tracker.update_index(1 << 30);
        assert_eq!(tracker.cumulative_lost(), 0x7f_ffff);
    }

    #[test]
    fn steady_packets_have_no_jitter() {
        let start = start();
        let mut tracker = SequenceTracker::trusted();
        for packet in 0..50u32 {
            let arrival = start + Duration::from_millis(20) * packet;
            tracker.update_timing(arrival, 0xffff_ff00u32.wrapping_add(160 * packet), 8000);
        }
        assert_eq!(tracker.jitter(), 0);
    }

    #[test]
    fn jitter_follows_the_integer_code_of_a_8() {
        // Transit differences of 80, 80 and 160 units at 8 kHz. By hand, scaled by 16:
        // 0 + 80 - (0+8)/16 = 80; 80 + 80 - (80+8)/16 = 155; 155 + 160 - (155+8)/16 = 305; 305 / 16 = 19.
        let start = start();
        let mut tracker = SequenceTracker::trusted();
        for (millis, timestamp) in [(0, 0), (30, 160), (40, 320), (80, 480)] {
            tracker.update_timing(start + Duration::from_millis(millis), timestamp, 8000);
        }
        assert_eq!(tracker.jitter(), 19);
    }

    #[test]
    fn an_unknown_clock_rate_is_passed_over() {
        let mut tracker = SequenceTracker::trusted();
        tracker.update_timing(start(), 1, 0);
        assert_eq!(tracker.jitter(), 0);
    }
}
