//! What is kept per SSRC, in both directions, with fixed bounds.

use std::time::{Duration, Instant};

use control::{Counters, LossRuns, StreamStatistics};
use prefetch::prefetch;
use rtp::{ExtendedIndex, LossPattern, RtpPacket, SequenceTracker};

use crate::quality::Sampler;
use crate::rebase::{Rebase, Source};
use crate::reported::Reported;

/// A stream that was silent this long makes room for another one when there are too many.
const SILENT: Duration = Duration::from_secs(30);

/// SSRCs of one transport and direction that are kept.
pub(crate) const MAX_STREAMS: usize = 64;

/// One stream is the rule: no room for more is made until a second one comes.
fn push_frugally<T>(streams: &mut Vec<T>, stream: T) {
    if streams.is_empty() {
        streams.reserve_exact(1);
    }
    streams.push(stream);
}

/// What was last seen of a stream.
#[derive(Clone, Copy, Default)]
pub(crate) struct Last {
    payload_type: u8,
    sequence_number: u16,
    timestamp: u32,
}

impl Last {
    fn of(packet: &RtpPacket<'_>) -> Self {
        Self {
            payload_type: packet.payload_type(),
            sequence_number: packet.sequence_number(),
            timestamp: packet.timestamp(),
        }
    }
}

/// A stream that comes in. Made only when a packet of it has authenticated or, on a plain leg, came from the peer. What
/// every packet needs comes first.
#[repr(C)]
pub(crate) struct StreamIn {
    ssrc: u32,
    /// The route it was found to belong to.
    pub(crate) bound: Option<usize>,
    /// Names this run of sequence numbers: the stream's place in the order of creation, and how often it began anew.
    epoch: (u32, u32),
    pub(crate) tracker: SequenceTracker,
    counters: Counters,
    last: Last,
    clock: Clock,
    pattern: LossPattern,
    heard: Instant,
    sampler: Sampler,
    /// What was reported of it, where the reports are ours.
    pub(crate) reported: Reported,
}

/// The streams that come in on one transport.
#[derive(Default)]
pub(crate) struct StreamsIn {
    streams: Vec<StreamIn>,
    /// Where the last look-up ended: packets of one stream come in rows.
    recent: usize,
    created: u32,
}

impl StreamsIn {
    /// The stream of `ssrc`, made with `tracker` where there was none. `None`: there are too many. Streams
    /// that never became valid and such as have fallen silent make room for others.
    pub(crate) fn of(
        &mut self,
        now: Instant,
        ssrc: u32,
        tracker: impl FnOnce() -> SequenceTracker,
    ) -> Option<&mut StreamIn> {
        let position = self.position(ssrc).or_else(|| self.insert(now, ssrc, tracker()))?;
        self.recent = position;
        self.streams.get_mut(position)
    }

    /// Asks for the memory of the stream that came last.
    pub(crate) fn prefetch(&self) {
        self.streams.get(self.recent).into_iter().for_each(|stream| prefetch(stream, StreamIn::HEAD));
    }

    /// The stream of `ssrc`.
    pub(crate) fn find(&self, ssrc: u32) -> Option<&StreamIn> {
        self.streams.iter().find(|stream| stream.ssrc == ssrc)
    }

    /// As [`Self::find`].
    pub(crate) fn find_mut(&mut self, ssrc: u32) -> Option<&mut StreamIn> {
        self.streams.iter_mut().find(|stream| stream.ssrc == ssrc)
    }

    /// When a packet of any stream was accepted last.
    pub(crate) fn heard(&self) -> Option<Instant> {
        let counted = self.streams.iter().filter(|stream| stream.counters.packets > 0);
        counted.map(|stream| stream.heard).max()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Rewrites every binding after the routes have changed.
    pub(crate) fn rebind(&mut self, to: impl Fn(usize) -> Option<usize>) {
        for stream in &mut self.streams {
            stream.bound = stream.bound.and_then(&to);
        }
    }

    /// Forgets all: another keying, other streams. Epochs go on, so that egress indices do not repeat.
    pub(crate) fn begin_anew(&mut self, trusted: bool) {
        for stream in &mut self.streams {
            stream.begin_anew();
            if !trusted {
                stream.tracker = SequenceTracker::new();
            }
        }
    }

    pub(crate) fn statistics(&self, now: Instant) -> Vec<StreamStatistics> {
        self.streams.iter().filter(|stream| stream.counters.packets > 0).map(|stream| stream.statistics(now)).collect()
    }

    fn position(&self, ssrc: u32) -> Option<usize> {
        if self.streams.get(self.recent).is_some_and(|stream| stream.ssrc == ssrc) {
            return Some(self.recent);
        }
        self.streams.iter().position(|stream| stream.ssrc == ssrc)
    }

    fn insert(&mut self, now: Instant, ssrc: u32, tracker: SequenceTracker) -> Option<usize> {
        let stream = StreamIn {
            ssrc,
            tracker,
            epoch: (self.created, 0),
            bound: None,
            counters: Counters::default(),
            last: Last::default(),
            clock: Clock::default(),
            pattern: LossPattern::default(),
            sampler: Sampler::default(),
            heard: now,
            reported: Reported::default(),
        };
        self.created = self.created.wrapping_add(1);
        if self.streams.len() < MAX_STREAMS {
            push_frugally(&mut self.streams, stream);
            return Some(self.streams.len() - 1);
        }
        let idle =
            |stream: &StreamIn| stream.counters.packets == 0 || now.saturating_duration_since(stream.heard) >= SILENT;
        let candidates = self.streams.iter().enumerate().filter(|(_, stream)| idle(stream));
        let (position, _) = candidates.min_by_key(|(_, stream)| stream.heard)?;
        if let Some(place) = self.streams.get_mut(position) {
            *place = stream;
        }
        Some(position)
    }
}

impl StreamIn {
    /// Bytes that every packet needs.
    const HEAD: usize = std::mem::offset_of!(Self, sampler) + Sampler::HEAD;

    /// Takes in an accepted packet. `round_trip`: what RTCP has told of the peer that sent it.
    pub(crate) fn count(
        &mut self,
        now: Instant,
        index: u64,
        packet: &RtpPacket<'_>,
        bytes: usize,
        round_trip: Option<Duration>,
    ) {
        self.counters.count(bytes);
        self.last = Last::of(packet);
        self.heard = now;
        let rate = self.clock.rate(now, packet);
        self.tracker.update_timing(now, packet.timestamp(), rate);
        self.pattern.update(index);
        if self.sampler.is_due(now) {
            self.sampler.take(now, &self.pattern, self.jitter(), round_trip, packet.payload_type());
        }
    }

    fn jitter(&self) -> Duration {
        match self.clock.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(1).saturating_mul(self.tracker.jitter()) / rate,
        }
    }

    /// Names this run of sequence numbers.
    pub(crate) fn epoch(&self) -> (u32, u32) {
        self.epoch
    }

    /// Another run of sequence numbers begins.
    pub(crate) fn restart(&mut self) {
        self.epoch.1 = self.epoch.1.wrapping_add(1);
        self.pattern.restart();
    }

    /// The source begins anew: loss and jitter are counted afresh.
    pub(crate) fn begin_anew(&mut self) {
        self.restart();
        self.tracker = SequenceTracker::trusted();
        self.clock = Clock::default();
    }

    fn statistics(&self, now: Instant) -> StreamStatistics {
        StreamStatistics {
            ssrc: self.ssrc,
            rtp: self.counters,
            payload_type: self.last.payload_type,
            sequence_number: self.last.sequence_number,
            timestamp: self.last.timestamp,
            rollover_counter: ExtendedIndex::from_u64(self.tracker.highest_index())
                .map_or(0, ExtendedIndex::rollover_counter),
            lost: self.tracker.lost(),
            jitter: self.tracker.jitter(),
            clock_rate: self.clock.rate,
            loss_runs: LossRuns {
                expected: self.pattern.expected(),
                lost: self.pattern.lost(),
                runs: self.pattern.runs(),
                longest_run: self.pattern.longest_run(),
                bursts: self.pattern.bursts(),
                lost_in_bursts: self.pattern.lost_in_bursts(),
            },
            quality: self.sampler.quality(now),
        }
    }
}

/// The rate of a payload type's clock: known for static types (RFC 3551 §6), measured for the others.
#[derive(Default)]
struct Clock {
    payload_type: Option<u8>,
    rate: u32,
    first: Option<(Instant, u32)>,
}

/// Rates in use (RFC 3551, RFC 7587).
const RATES: [u32; 8] = [8_000, 11_025, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000];
/// A rate is measured over at least this long.
const MEASURED_OVER: Duration = Duration::from_secs(2);

impl Clock {
    /// Units a second; 0 while it is not known.
    fn rate(&mut self, now: Instant, packet: &RtpPacket<'_>) -> u32 {
        if self.payload_type == Some(packet.payload_type()) && self.rate != 0 {
            return self.rate;
        }
        if self.payload_type != Some(packet.payload_type()) {
            *self = Self {
                payload_type: Some(packet.payload_type()),
                rate: static_rate(packet.payload_type()),
                first: None,
            };
        } else if let Some((began, timestamp)) = self.first {
            let elapsed = now.saturating_duration_since(began);
            if elapsed >= MEASURED_OVER {
                let units = u128::from(packet.timestamp().wrapping_sub(timestamp));
                let measured = units * 1_000_000 / elapsed.as_micros().max(1);
                let distance = |rate: u32| measured.abs_diff(u128::from(rate));
                let nearest = RATES.into_iter().min_by_key(|&rate| distance(rate));
                self.rate = nearest.filter(|&rate| distance(rate) * 20 < u128::from(rate)).unwrap_or(0);
                self.first = None;
            }
        }
        if self.first.is_none() {
            self.first = Some((now, packet.timestamp()));
        }
        self.rate
    }
}

fn static_rate(payload_type: u8) -> u32 {
    match payload_type {
        0 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 13 | 15 | 18 => 8_000,
        6 => 16_000,
        10 | 11 => 44_100,
        16 => 11_025,
        14 | 25 | 26 | 28 | 31..=34 => 90_000,
        _ => 0,
    }
}

/// A stream that leaves.
#[derive(Clone)]
pub(crate) struct StreamOut {
    ssrc: u32,
    pub(crate) rebase: Rebase,
    /// Slot of the transport that feeds it.
    pub(crate) from: usize,
    counters: Counters,
    /// Bytes of payload sent.
    octets: u64,
    last: Last,
    /// Of a stream that goes back to its sender in the clear: the newest packet that did.
    returned: Option<(Source, u64)>,
}

/// The streams that leave on one transport. None is forgotten while the key lives: its indices must not repeat.
#[derive(Clone, Default)]
pub(crate) struct StreamsOut {
    streams: Vec<StreamOut>,
    recent: usize,
}

impl StreamsOut {
    /// The stream of `ssrc`, made where there was none. `None`: there are too many.
    pub(crate) fn of(&mut self, ssrc: u32, source: Source, index: u64, from: usize) -> Option<&mut StreamOut> {
        let position = if self.streams.get(self.recent).is_some_and(|stream| stream.ssrc == ssrc) {
            self.recent
        } else if let Some(position) = self.position(ssrc) {
            position
        } else if self.streams.len() < MAX_STREAMS {
            let rebase = Rebase::new(source, index);
            let (counters, last) = (Counters::default(), Last::default());
            let stream = StreamOut { ssrc, rebase, from, counters, octets: 0, last, returned: None };
            push_frugally(&mut self.streams, stream);
            self.streams.len() - 1
        } else {
            return None;
        };
        self.recent = position;
        self.streams.get_mut(position)
    }

    /// Asks for the memory of the stream that left last.
    pub(crate) fn prefetch(&self) {
        self.streams.get(self.recent).into_iter().for_each(|stream| prefetch(stream, usize::MAX));
    }

    pub(crate) fn find(&self, ssrc: u32) -> Option<&StreamOut> {
        self.streams.iter().find(|stream| stream.ssrc == ssrc)
    }

    /// Takes in a packet that has left: its header, its length on the wire, and that of its payload.
    pub(crate) fn count(&mut self, packet: &RtpPacket<'_>, bytes: usize, octets: usize) {
        let recent = self.streams.get(self.recent).is_some_and(|stream| stream.ssrc == packet.ssrc());
        let position = if recent { Some(self.recent) } else { self.position(packet.ssrc()) };
        if let Some(stream) = position.and_then(|position| self.streams.get_mut(position)) {
            stream.counters.count(bytes);
            stream.octets += octets as u64;
            stream.last = Last::of(packet);
        }
    }

    fn position(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ssrc == ssrc)
    }

    /// Packets and payload bytes that have left under this SSRC.
    pub(crate) fn sent(&self, ssrc: u32) -> Counters {
        let sent = |stream: &StreamOut| Counters { packets: stream.counters.packets, bytes: stream.octets };
        self.find(ssrc).map(sent).unwrap_or_default()
    }

    /// True when some stream's reports need translation.
    pub(crate) fn translates(&self) -> bool {
        self.streams.iter().any(|stream| stream.rebase.is_shifted())
    }

    /// A new key in a new context of the peer's: every rollover counter begins at 0. Frees the table when it is half
    /// full, since none of the former indices matters any more.
    pub(crate) fn restart(&mut self) {
        if self.streams.len() > MAX_STREAMS / 2 {
            self.streams.clear();
        }
        self.streams.iter_mut().for_each(|stream| stream.rebase.restart());
    }

    pub(crate) fn statistics(&self) -> Vec<StreamStatistics> {
        self.streams.iter().filter(|stream| stream.counters.packets > 0).map(StreamOut::statistics).collect()
    }
}

impl StreamOut {
    /// Whether a packet in the clear may go back to its sender: no older one has, and not this one. Two that send
    /// everything back to each other would not come to an end otherwise.
    pub(crate) fn returns(&mut self, source: Source, index: u64) -> bool {
        let is_newer = self.returned.is_none_or(|(before, newest)| before != source || index > newest);
        if is_newer {
            self.returned = Some((source, index));
        }
        is_newer
    }

    fn statistics(&self) -> StreamStatistics {
        StreamStatistics {
            ssrc: self.ssrc,
            rtp: self.counters,
            payload_type: self.last.payload_type,
            sequence_number: self.last.sequence_number,
            timestamp: self.last.timestamp,
            rollover_counter: self.rebase.rollover_counter(),
            lost: 0,
            jitter: 0,
            clock_rate: 0,
            loss_runs: LossRuns::default(),
            quality: None,
        }
    }
}
