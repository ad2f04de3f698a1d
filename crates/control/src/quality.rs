//! How well a stream arrives, measured on its packets.

use std::time::Duration;

/// Losses of a stream by their pattern. A packet is lost when it has not come before the 32nd after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossRuns {
    /// Packets that should have come, lost ones included.
    pub expected: u64,
    /// Packets that were lost.
    pub lost: u64,
    /// Runs of lost packets.
    pub runs: u64,
    /// Packets of the longest run.
    pub longest_run: u64,
    /// Bursts: two or more losses with fewer than 16 packets received between neighbours (RFC 3611 §4.7.2).
    pub bursts: u64,
    /// Losses that lie in bursts; the others are isolated.
    pub lost_in_bursts: u64,
}

/// Quality of a stream over its life, from samples of five seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Samples so far; seconds without packets make none.
    pub samples: u32,
    /// Over all samples.
    pub average: QualitySample,
    /// The latest.
    pub latest: QualitySample,
    /// The one with the lowest MOS.
    pub lowest: QualitySample,
    /// The one with the highest MOS.
    pub highest: QualitySample,
}

/// Quality over one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QualitySample {
    /// Since its end.
    pub age: Duration,
    /// Mean opinion score by a short E-model, in hundredths: 100 to 450.
    pub mos: u16,
    /// Packets lost, in hundredths of a percent.
    pub loss: u16,
    /// Interarrival jitter at its end (RFC 3550 A.8).
    pub jitter: Duration,
    /// Of the leg that the stream came in on. `None`: no RTCP has told.
    pub round_trip: Option<Duration>,
}
