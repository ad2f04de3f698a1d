//! Samples of a stream's quality, every five seconds in which it flows.

use std::time::{Duration, Instant};

use control::{Quality, QualitySample};
use rtp::LossPattern;
use rtp::quality::{Codec, Impairment, burst_ratio, mean_opinion_score, rating};

/// What one sample covers.
const STRETCH: Duration = Duration::from_secs(5);

/// A stream that was silent for longer than this begins a new stretch: what lies between is a pause, not bad quality.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes the samples of one stream.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Sampler {
    heard: Option<Instant>,
    stretch: Option<Stretch>,
    history: Option<History>,
}

/// What was counted when the stretch began.
struct Stretch {
    since: Instant,
    expected: u64,
    lost: u64,
    runs: u64,
}

struct History {
    samples: u32,
    sums: Sums,
    latest: Sample,
    lowest: Sample,
    highest: Sample,
}

#[derive(Default)]
struct Sums {
    mos: u64,
    loss: u64,
    jitter: Duration,
    round_trip: Duration,
    round_trips: u32,
}

#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    mos: u16,
    loss: u16,
    jitter: Duration,
    round_trip: Option<Duration>,
}

impl Sampler {
    /// Bytes that every packet needs.
    pub(crate) const HEAD: usize = std::mem::offset_of!(Self, history);

    /// True when the stretch is full, or none has begun.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let paused = self.heard.is_some_and(|heard| now.saturating_duration_since(heard) > PAUSE);
        self.heard = Some(now);
        if paused {
            self.stretch = None;
        }
        self.stretch.as_ref().is_none_or(|stretch| now.saturating_duration_since(stretch.since) >= STRETCH)
    }

    /// Ends the stretch with a sample, and begins the next one.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        pattern: &LossPattern,
        jitter: Duration,
        round_trip: Option<Duration>,
        payload_type: u8,
    ) {
        let next = Stretch { since: now, expected: pattern.expected(), lost: pattern.lost(), runs: pattern.runs() };
        let Some(before) = self.stretch.replace(next) else { return };
        let expected = pattern.expected().saturating_sub(before.expected);
        let lost = pattern.lost().saturating_sub(before.lost);
        if expected == 0 {
            return;
        }
        let share = lost as f64 / expected as f64;
        let impairment = Impairment {
            loss: share,
            burst_ratio: burst_ratio(lost, pattern.runs().saturating_sub(before.runs), expected),
            jitter,
            round_trip: round_trip.unwrap_or_default(),
        };
        let score = mean_opinion_score(rating(&impairment, Codec::of_payload_type(payload_type)));
        let sample = Sample {
            at: now,
            mos: (score * 100.0).round() as u16,
            loss: (share * 10_000.0).round() as u16,
            jitter,
            round_trip,
        };
        match &mut self.history {
            Some(history) => history.add(sample),
            None => self.history = Some(History::new(sample)),
        }
    }

    /// As of now. `None` before the first sample.
    pub(crate) fn quality(&self, now: Instant) -> Option<Quality> {
        let history = self.history.as_ref()?;
        Some(Quality {
            samples: history.samples,
            average: history.average(now),
            latest: history.latest.told(now),
            lowest: history.lowest.told(now),
            highest: history.highest.told(now),
        })
    }
}

impl History {
    fn new(sample: Sample) -> Self {
        let mut history = Self { samples: 0, sums: Sums::default(), latest: sample, lowest: sample, highest: sample };
        history.add(sample);
        history
    }

    fn add(&mut self, sample: Sample) {
        self.samples = self.samples.saturating_add(1);
        self.sums.mos += u64::from(sample.mos);
        self.sums.loss += u64::from(sample.loss);
        self.sums.jitter += sample.jitter;
        if let Some(round_trip) = sample.round_trip {
            self.sums.round_trip += round_trip;
            self.sums.round_trips += 1;
        }
        self.latest = sample;
        if sample.mos < self.lowest.mos {
            self.lowest = sample;
        }
        if sample.mos > self.highest.mos {
            self.highest = sample;
        }
    }

    fn average(&self, now: Instant) -> QualitySample {
        let samples = u64::from(self.samples.max(1));
        QualitySample {
            age: now.saturating_duration_since(self.latest.at),
            mos: (self.sums.mos / samples) as u16,
            loss: (self.sums.loss / samples) as u16,
            jitter: self.sums.jitter / self.samples.max(1),
            round_trip: self.sums.round_trip.checked_div(self.sums.round_trips),
        }
    }
}

impl Sample {
    fn told(&self, now: Instant) -> QualitySample {
        QualitySample {
            age: now.saturating_duration_since(self.at),
            mos: self.mos,
            loss: self.loss,
            jitter: self.jitter,
            round_trip: self.round_trip,
        }
    }
}
