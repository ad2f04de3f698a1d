//! The time from here to a peer and back, by RTCP that passes through (RFC 3550 §6.4.1).
//!
//! A sender report that leaves on a transport is remembered by the middle of its NTP timestamp. When the peer's report
//! block names it, the time since, less what the peer kept it, is the round trip of this leg.

use std::time::{Duration, Instant};

use rtp::RtcpCompound;

/// Reports remembered: those of a few streams, of which the latest is the one that is answered.
const REMEMBERED: usize = 4;

/// No path takes this long: a larger figure comes from a wrong clock or a wrong report.
const LONGEST: Duration = Duration::from_secs(10);

/// The round trip of one transport.
#[derive(Default)]
pub(crate) struct RoundTrip {
    /// Made when the first RTCP leaves: many ports carry none.
    sent: Option<Box<[Option<SenderReport>; REMEMBERED]>>,
    next: u8,
    latest: Option<Duration>,
}

#[derive(Clone, Copy)]
struct SenderReport {
    ssrc: u32,
    /// Bits 16 to 47 of the NTP timestamp.
    middle: u32,
    at: Instant,
}

impl RoundTrip {
    /// What the latest report told.
    pub(crate) fn latest(&self) -> Option<Duration> {
        self.latest
    }

    /// Takes in RTCP that is about to leave, not encrypted yet.
    pub(crate) fn sending(&mut self, now: Instant, bytes: &[u8]) {
        let Some(compound) = RtcpCompound::parse(bytes) else { return };
        let sent = self.sent.get_or_insert_default();
        for packet in compound.packets() {
            if let (Some(information), Some(ssrc)) = (packet.sender_information(), packet.sender_ssrc())
                && let Some(place) = sent.get_mut(usize::from(self.next))
            {
                *place = Some(SenderReport { ssrc, middle: (information.ntp_timestamp >> 16) as u32, at: now });
                self.next = (self.next + 1) % REMEMBERED as u8;
            }
        }
    }

    /// Takes in an authentic report of the peer.
    pub(crate) fn received(&mut self, now: Instant, compound: RtcpCompound<'_>) {
        for block in compound.packets().flat_map(|packet| packet.report_blocks()).filter(|block| block.last_sr != 0) {
            let answered = |report: &&SenderReport| report.ssrc == block.ssrc && report.middle == block.last_sr;
            let Some(report) = self.sent.iter().flat_map(|sent| sent.iter().flatten()).find(answered) else { continue };
            let kept = Duration::from_nanos(u64::from(block.delay_since_last_sr) * 1_000_000_000 / 65_536);
            let round_trip = now.saturating_duration_since(report.at).checked_sub(kept);
            if let Some(round_trip) = round_trip.filter(|round_trip| *round_trip <= LONGEST) {
                self.latest = Some(round_trip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender_report(ssrc: u32, ntp: u64) -> Vec<u8> {
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend(ssrc.to_be_bytes());
        packet.extend(ntp.to_be_bytes());
        packet.extend([0; 12]);
        packet
    }

    fn receiver_report(about: u32, last_sr: u32, delay: u32) -> Vec<u8> {
        let mut packet = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
        packet.extend(about.to_be_bytes());
        packet.extend([0; 12]);
        packet.extend(last_sr.to_be_bytes());
        packet.extend(delay.to_be_bytes());
        packet
    }

    // RFC 3550 §6.4.1, figure 2: LSR = b705:2000, A = b710:8000, DLSR = 0005:4000, delay 0006:2000 (6.125 s).
    #[test]
    #[allow(clippy::disallowed_methods)]
    fn figure_2_of_rfc_3550() {
        let start = Instant::now();
        let mut leg = RoundTrip::default();
        leg.sending(start, &sender_report(7, 0xb44d_b705_2000_0000));
        // A - LSR = 000b:6000.
        let back = start + Duration::from_millis(11_375);
        let report = receiver_report(7, 0xb705_2000, 0x0005_4000);
        leg.received(back, RtcpCompound::parse(&report).unwrap());
        assert_eq!(leg.latest(), Some(Duration::from_millis(6_125)));
        // Of another stream, of another report, or kept longer than it was away: nothing is learnt.
        for (about, last_sr, delay) in [(8, 0xb705_2000, 0), (7, 0xb705_2001, 0), (7, 0, 0), (7, 0xb705_2000, u32::MAX)]
        {
            let report = receiver_report(about, last_sr, delay);
            leg.received(back, RtcpCompound::parse(&report).unwrap());
            assert_eq!(leg.latest(), Some(Duration::from_millis(6_125)));
        }
    }
}
