//! Sends a train of frames at a rate, and tells what arrived.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::stream::{OUTER_HEADERS, Stream, Train};
use crate::sys::{self, FrameRing, FrameSender};

/// A schedule that has fallen behind by this much is put off, so that no heap of packets makes up for it.
const TOLERANCE: Duration = Duration::from_millis(1);

/// Above the relays'.
const PRIORITY: u8 = 2;

/// How long to wait for what is missing, and for what nobody expects.
const PATIENCE: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_millis(6);

/// How packets follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Load {
    /// This many at once, then a pause: as a network card hands them over under load. The generator shares the relay's
    /// processor and goes first, as an interrupt would.
    Bursts(usize),
    /// One by one, evenly, from another processor.
    Paced,
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Bursts(size) => format!("bursts of {size}"),
            Self::Paced => "paced".into(),
        }
    }
}

/// The processors that matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    pub(crate) relay: usize,
    pub(crate) other: usize,
}

/// When frames were sent.
pub(crate) struct Sent {
    /// Nanoseconds since 1970, by burst.
    times: Vec<u64>,
    burst: usize,
    /// In the calls that sent, the relays' receiving softirqs included.
    pub(crate) spent: Duration,
    pub(crate) frames: usize,
}

/// Sends all frames, this many a second.
pub(crate) fn send(
    sender: &FrameSender,
    train: &Train,
    load: Load,
    rate: f64,
    processors: Processors,
) -> anyhow::Result<Sent> {
    std::thread::scope(|scope| {
        let job = scope.spawn(|| {
            run_on(match load {
                Load::Bursts(_) => processors.relay,
                Load::Paced => processors.other,
            })?;
            sys::set_priority(Some(PRIORITY))?;
            drive(sender, train, load, rate)
        });
        job.join().map_err(|_| anyhow::anyhow!("the generator panicked"))?
    })
}

fn drive(sender: &FrameSender, train: &Train, load: Load, rate: f64) -> anyhow::Result<Sent> {
    let burst = match load {
        Load::Bursts(size) => size.min(sys::MAX_BURST),
        Load::Paced => 1,
    };
    let mut sent = Sent { times: Vec::new(), burst, spent: Duration::ZERO, frames: 0 };
    let gap = Duration::from_secs_f64(burst as f64 / rate);
    let mut due = Instant::now();
    for from in (0..train.len()).step_by(burst) {
        let mut now = Instant::now();
        while now < due {
            if load != Load::Paced {
                std::thread::sleep(due - now);
            }
            now = Instant::now();
        }
        due = if now > due + TOLERANCE { now } else { due } + gap;
        sent.times.push(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64);
        let start = Instant::now();
        sent.frames += sender.send(train.frames(from).take(burst))?;
        sent.spent += start.elapsed();
    }
    Ok(sent)
}

/// Restricts the calling thread, and what it starts, to one processor.
pub(crate) fn run_on(processor: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("setting the processor")
}

/// What arrived.
#[derive(Default, Clone, Debug)]
pub(crate) struct Arrived {
    /// Authentic, as they were sent, each once.
    pub(crate) authentic: usize,
    /// From a relay's media port, but not that.
    pub(crate) rejected: usize,
    /// Nanoseconds on the way, sorted.
    pub(crate) delays: Vec<u64>,
}

impl Arrived {
    /// The delay that this share of the packets do not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let at = (self.delays.len().saturating_sub(1) as f64 * share).round() as usize;
        Duration::from_nanos(self.delays.get(at).copied().unwrap_or(0))
    }
}

/// Waits until as many media packets have arrived as were sent and no more come, or until nothing can be expected. Only
/// they count: the last words of handshakes may be on the way, too.
pub(crate) fn await_all(ring: &FrameRing, count: usize) {
    let mut last_arrival = Instant::now();
    let (mut seen, mut media) = (0, 0);
    while last_arrival.elapsed() < if media < count { PATIENCE } else { QUIET } {
        std::thread::sleep(Duration::from_millis(2));
        let (more, of_media) = ring.peek_from(seen, is_media);
        if more > 0 {
            seen += more;
            media += of_media;
            last_arrival = Instant::now();
        }
    }
}

/// Whether a frame carries RTP or RTCP (RFC 7983).
fn is_media(frame: &[u8]) -> bool {
    parse(frame).and_then(|(_, _, datagram)| datagram.first()).is_some_and(|first| (128..192).contains(first))
}

/// Authenticates what has arrived. An error: the ring was too small, and nothing can be said.
pub(crate) fn tally(
    ring: &mut FrameRing,
    streams: &mut [Stream],
    train: &Train,
    sent: &Sent,
) -> anyhow::Result<Arrived> {
    let by_departure: HashMap<u16, usize> =
        streams.iter().enumerate().map(|(number, stream)| (stream.departure, number)).collect();
    let mut arrived = Arrived::default();
    ring.drain(|time, frame| {
        let Some((from, to, datagram)) = parse(frame) else { return };
        let Some(&stream) = by_departure.get(&from.port()) else { return };
        let known = (to == streams[stream].arrival).then(|| streams[stream].accept(datagram)).flatten();
        let Some(number) = known.and_then(|sequence_number| train.number(stream, sequence_number)) else {
            arrived.rejected += 1;
            return;
        };
        arrived.authentic += 1;
        arrived.delays.push(time.saturating_sub(sent.times[number / sent.burst]));
    });
    arrived.delays.sort_unstable();
    anyhow::ensure!(ring.overflow()? == 0, "the sink's ring was too small");
    Ok(arrived)
}

/// Source, destination and payload of a UDP datagram over IPv4.
fn parse(frame: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4, &[u8])> {
    let headers: &[u8; OUTER_HEADERS] = frame.first_chunk()?;
    let (version, protocol) = (headers[14], headers[23]);
    if version != 0x45 || protocol != 17 {
        return None;
    }
    let address = |at: usize, port: usize| {
        let ip = Ipv4Addr::new(headers[at], headers[at + 1], headers[at + 2], headers[at + 3]);
        SocketAddrV4::new(ip, u16::from_be_bytes([headers[port], headers[port + 1]]))
    };
    let length = usize::from(u16::from_be_bytes([headers[38], headers[39]]));
    Some((address(26, 34), address(30, 36), frame.get(OUTER_HEADERS..34 + length)?))
}
