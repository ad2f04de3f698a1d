//! How well a stream arrives.

use std::time::Duration;

use control::{StreamStatistics, TransportStatistics};
use rtp::quality::{Codec, Impairment, burst_ratio, mean_opinion_score, rating};
use serde::Serialize;

/// How well a stream arrives, measured here on its packets; the round trip is what RTCP tells of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamQuality {
    /// The SSRC.
    pub ssrc: u32,
    /// Of the latest packet.
    pub payload_type: u8,
    /// RTP packets.
    pub packets: u64,
    /// RTP bytes.
    pub bytes: u64,
    /// Packets lost.
    pub lost: u64,
    /// Of the packets expected.
    pub loss_percent: f64,
    /// Runs of lost packets.
    pub loss_runs: u64,
    /// Packets of the longest run.
    pub longest_run: u64,
    /// Two or more losses close together (RFC 3611 §4.7.2).
    pub bursts: u64,
    /// Interarrival jitter (RFC 3550 A.8). `None`: the clock's rate is not known.
    pub jitter_ms: Option<f64>,
    /// Of the leg that it comes in on. `None`: no RTCP tells.
    pub round_trip_ms: Option<f64>,
    /// Mean opinion score over its life, by a short E-model; an upper bound.
    pub mos: f64,
    /// The lowest of any five seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos_lowest: Option<f64>,
}

impl StreamQuality {
    /// Of one stream that comes in on `transport`.
    pub fn of(transport: &TransportStatistics, stream: &StreamStatistics) -> Self {
        let runs = &stream.loss_runs;
        let jitter = match stream.clock_rate {
            0 => None,
            rate => Some(Duration::from_secs(1).saturating_mul(stream.jitter) / rate),
        };
        let share = if runs.expected == 0 { 0.0 } else { runs.lost as f64 / runs.expected as f64 };
        let round_trip = transport.diagnosis.round_trip;
        let impairment = Impairment {
            loss: share,
            burst_ratio: burst_ratio(runs.lost, runs.runs, runs.expected),
            jitter: jitter.unwrap_or_default(),
            round_trip: round_trip.unwrap_or_default(),
        };
        let mos = mean_opinion_score(rating(&impairment, Codec::of_payload_type(stream.payload_type)));
        Self {
            ssrc: stream.ssrc,
            payload_type: stream.payload_type,
            packets: stream.rtp.packets,
            bytes: stream.rtp.bytes,
            lost: runs.lost,
            loss_percent: hundredths(share * 100.0),
            loss_runs: runs.runs,
            longest_run: runs.longest_run,
            bursts: runs.bursts,
            jitter_ms: jitter.map(milliseconds),
            round_trip_ms: round_trip.map(milliseconds),
            mos: hundredths(mos),
            mos_lowest: stream.quality.map(|quality| f64::from(quality.lowest.mos) / 100.0),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    hundredths(duration.as_secs_f64() * 1000.0)
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
