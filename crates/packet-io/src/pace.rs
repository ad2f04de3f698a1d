//! When to let datagrams gather before they are fetched.
//!
//! At tens of thousands of packets a second that arrive one by one, waking up costs more than everything else: 5 µs a
//! packet when each wakes the worker, 2 µs when it looks once in half a millisecond. So at a high rate the worker wakes
//! at intervals, never more often than packets fill a batch; at a low rate every packet wakes it at once. When dealing
//! with the packets takes as long as the interval, there is no pause: the queue itself forms the batch.

use std::time::{Duration, Instant};

use datagram::BATCH_CAPACITY;

/// The rate is taken over at least this long, so it follows a change within as much.
const WINDOW: Duration = Duration::from_millis(10);

/// A pause that gathers fewer packets than this is not worth its delay.
const WORTHWHILE: f64 = 4.0;

/// A timer that is due this soon costs more than it saves.
const SHORTEST: Duration = Duration::from_micros(20);

pub(crate) struct Pace {
    longest: Duration,
    window_start: Instant,
    window_packets: usize,
    /// Packets per second.
    rate: f64,
    /// When the last pause ended.
    paused_until: Instant,
}

impl Pace {
    /// A pause is at most `longest`; zero turns pauses off.
    pub(crate) fn new(longest: Duration, now: Instant) -> Self {
        Self { longest, window_start: now, window_packets: 0, rate: 0.0, paused_until: now }
    }

    /// True when [`Pace::pause`] never asks for one, so that no clock need be read for it.
    pub(crate) fn is_off(&self) -> bool {
        self.longest.is_zero()
    }

    pub(crate) fn count(&mut self, packets: usize) {
        self.window_packets += packets;
    }

    /// How long to pause before the next look. The caller pauses.
    pub(crate) fn pause(&mut self, now: Instant) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.window_start);
        if elapsed >= WINDOW {
            self.rate = self.window_packets as f64 / elapsed.as_secs_f64();
            self.window_start = now;
            self.window_packets = 0;
        }
        if self.rate * self.longest.as_secs_f64() < WORTHWHILE {
            return None;
        }
        let fills = Duration::from_secs_f64(BATCH_CAPACITY as f64 / self.rate);
        let due = self.paused_until + self.longest.min(fills);
        let pause = due.saturating_duration_since(now);
        if pause < SHORTEST {
            self.paused_until = now;
            return None;
        }
        self.paused_until = due;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(500);

    /// A worker that needs `cost` per packet, while one arrives every `gap`, for a second. Returns the share of its looks
    /// that were preceded by a pause, once the rate is known, and the longest pause.
    fn run(gap: Duration, cost: Duration) -> (f64, Duration) {
        let start = Instant::now();
        let mut now = start;
        let mut pace = Pace::new(LONGEST, now);
        let (mut looks, mut pauses, mut longest, mut fetched) = (0u32, 0u32, Duration::ZERO, 0u32);
        while now < start + Duration::from_secs(1) {
            let known = u32::from(now > start + 2 * WINDOW);
            looks += known;
            if let Some(pause) = pace.pause(now) {
                pauses += known;
                longest = longest.max(pause);
                now += pause;
            }
            now = now.max(start + gap * (fetched + 1));
            let arrived = ((now - start).as_nanos() / gap.as_nanos()) as u32;
            let batch = (arrived - fetched).min(BATCH_CAPACITY as u32);
            pace.count(batch as usize);
            fetched += batch;
            now += cost * batch;
        }
        (f64::from(pauses) / f64::from(looks), longest)
    }

    #[test]
    fn a_quiet_worker_never_pauses() {
        let (share, _) = run(Duration::from_micros(200), Duration::from_micros(2));
        assert_eq!(share, 0.0);
    }

    #[test]
    fn a_busy_worker_pauses_before_nearly_every_look_and_never_longer_than_allowed() {
        let (share, longest) = run(Duration::from_micros(20), Duration::from_micros(2));
        assert!(share > 0.9, "{share}");
        assert!(longest <= LONGEST, "{longest:?}");
    }

    #[test]
    fn a_fast_stream_is_fetched_when_it_fills_a_batch() {
        let (share, longest) = run(Duration::from_nanos(2500), Duration::from_nanos(500));
        assert!(share > 0.9, "{share}");
        assert!(longest <= Duration::from_micros(160), "{longest:?}");
    }

    #[test]
    fn an_overloaded_worker_does_not_pause() {
        let (share, _) = run(Duration::from_micros(2), Duration::from_micros(3));
        assert!(share < 0.05, "{share}");
    }

    #[test]
    fn pauses_end_when_the_rate_falls() {
        let start = Instant::now();
        let mut pace = Pace::new(LONGEST, start);
        pace.count(1000);
        let busy = start + Duration::from_millis(10);
        assert!(pace.pause(busy).is_some() || pace.pause(busy + SHORTEST).is_some());
        pace.count(1);
        assert_eq!(pace.pause(busy + Duration::from_millis(20)), None);
    }
}
