//! What was reported of a stream that comes in, where we report as an end of the session (RFC 3550 §6.4).

use control::Counters;
use rtp::SequenceTracker;
use rtp::rtcp::{ReportBlock, SenderInformation};

/// What was reported last.
#[derive(Default)]
pub(crate) struct Reported {
    /// The sender's report that it answered, by its timestamps.
    answered: Option<(u64, u32)>,
    /// Packets that we had sent by then, and by the report before.
    sent: [u64; 2],
}

impl Reported {
    /// What to say of the stream `ssrc` in answer to its sender's own report, and of what we send ourselves if we do: `sent`
    /// is the whole of it. `None`: this report has been answered.
    pub(crate) fn answer(
        &mut self,
        ssrc: u32,
        heard: SenderInformation,
        tracker: &mut SequenceTracker,
        sent: Counters,
    ) -> Option<(Option<SenderInformation>, ReportBlock)> {
        let timestamps = (heard.ntp_timestamp, heard.rtp_timestamp);
        // Two that answer each other's reports would not come to an end otherwise.
        if self.answered.replace(timestamps) == Some(timestamps) {
            return None;
        }
        // RFC 3550 §6.4: a sender report is of one who has sent since the last report or the one before.
        let [last, before] = self.sent;
        self.sent = [sent.packets, last];
        let sends = sent.packets > before;
        let block = ReportBlock {
            ssrc,
            fraction_lost: tracker.take_fraction_lost(),
            cumulative_lost: tracker.cumulative_lost(),
            highest_sequence_number: tracker.extended_highest(),
            jitter: tracker.jitter(),
            last_sr: (heard.ntp_timestamp >> 16) as u32,
            // It is answered at once.
            delay_since_last_sr: 0,
        };
        // What goes back was sampled by the sender's clock, and keeps its timestamps: so does the moment that they stand for.
        let sender = SenderInformation { packets: sent.packets as u32, octets: sent.bytes as u32, ..heard };
        Some((sends.then_some(sender), block))
    }
}
