//! Rows: what a packet costs each relay, by kind of call and kind of load.

use std::time::Duration;

use anyhow::Context;

use crate::account;
use crate::call::{self, Near};
use crate::relays::{Kind, Programs, Relay};
use crate::stream::{CM80, GCM128, Stream, Suite, Train};
use crate::sys::{FrameRing, FrameSender};
use crate::traffic::{self, Load, Processors};

/// Packets of every stream before the measured ones: they are latched on, and make what is made once.
const WARM_UP_ROUNDS: usize = 5;
/// A repetition with a loss is discarded and made again, this often: other work on the machine can cause one.
const ATTEMPTS: usize = 3;

/// Everything that a measurement uses.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) processors: Processors,
    pub(crate) sender: FrameSender,
    pub(crate) ring: FrameRing,
    pub(crate) calls: u16,
    pub(crate) burst: usize,
    /// Packets a second, of all streams.
    pub(crate) burst_rate: f64,
    pub(crate) paced_rate: f64,
    pub(crate) duration: Duration,
    pub(crate) repetitions: usize,
}

/// Kinds of calls: how the caller's leg is keyed, and the callee's.
pub(crate) const PAIRINGS: [(Near, Suite); 3] =
    [(Near::Plain, CM80), (Near::Plain, GCM128), (Near::Sdes(GCM128), CM80)];

pub(crate) fn pairing_name((near, far): (Near, Suite)) -> String {
    match near {
        Near::Plain => format!("plain to {}", far.short),
        Near::Sdes(suite) => format!("{} to {}", suite.short, far.short),
    }
}

/// One repetition on one relay.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) sent: usize,
    pub(crate) authentic: usize,
    pub(crate) rejected: usize,
    /// Nanoseconds of all its threads, by authentic packet.
    pub(crate) relay: f64,
    /// Nanoseconds of receiving softirq by packet: what the generator's sending costs more than when the relay's
    /// interface drops the frames.
    pub(crate) softirq: f64,
    pub(crate) median_delay: Duration,
    pub(crate) late_delay: Duration,
    /// Datagrams by receive batch, and system calls by datagram; of Sallyport only.
    pub(crate) batch: Option<f64>,
    pub(crate) system_calls: Option<f64>,
}

impl Sample {
    pub(crate) fn is_whole(&self) -> bool {
        self.authentic == self.sent && self.rejected == 0
    }
}

/// A row on one relay.
pub(crate) struct Outcome {
    /// Without loss.
    pub(crate) samples: Vec<Sample>,
    /// With loss.
    pub(crate) discarded: Vec<Sample>,
    pub(crate) is_void: bool,
}

/// A row on both.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) load: Load,
    pub(crate) sallyport: Outcome,
    pub(crate) rtpengine: Outcome,
}

/// A relay with calls.
struct Side {
    relay: Relay,
    streams: Vec<Stream>,
    outcome: Outcome,
}

impl Bench {
    /// Measures the rows of one pairing.
    pub(crate) fn rows(&mut self, pairing: (Near, Suite)) -> anyhow::Result<Vec<Row>> {
        let mut sides = Vec::new();
        for kind in [Kind::Sallyport, Kind::Rtpengine] {
            let mut relay = Relay::start(kind, &self.programs, self.processors)?;
            let placed = (0..self.calls).map(|number| call::place(&mut relay.ng, number, pairing.0, pairing.1));
            let calls = placed.collect::<anyhow::Result<Vec<_>>>().with_context(|| kind.name())?;
            let streams = calls.into_iter().map(|call| call.forward).collect();
            let outcome = Outcome { samples: Vec::new(), discarded: Vec::new(), is_void: false };
            sides.push(Side { relay, streams, outcome });
        }
        let mut rows = Vec::new();
        for load in [Load::Bursts(self.burst), Load::Paced] {
            for _ in 0..self.repetitions {
                for side in &mut sides {
                    self.repeat(load, side)?;
                }
            }
            let mut outcomes = sides.iter_mut().map(|side| {
                let empty = Outcome { samples: Vec::new(), discarded: Vec::new(), is_void: false };
                std::mem::replace(&mut side.outcome, empty)
            });
            let (Some(sallyport), Some(rtpengine)) = (outcomes.next(), outcomes.next()) else { continue };
            rows.push(Row { name: pairing_name(pairing), load, sallyport, rtpengine });
        }
        Ok(rows)
    }

    fn repeat(&mut self, load: Load, side: &mut Side) -> anyhow::Result<()> {
        for attempt in 1..=ATTEMPTS {
            let sample = self.sample(load, side)?;
            let is_whole = sample.is_whole();
            eprintln!(
                "{} {}: {:.0} ns a packet, {} of {} authentic{}",
                side.relay.kind.name(),
                load.name(),
                sample.relay,
                sample.authentic,
                sample.sent,
                if is_whole { String::new() } else { format!(", discarded {}", side.relay.dropped()) },
            );
            if is_whole {
                side.outcome.samples.push(sample);
                return Ok(());
            }
            side.outcome.discarded.push(sample);
            side.outcome.is_void |= attempt == ATTEMPTS;
        }
        Ok(())
    }

    fn sample(&mut self, load: Load, side: &mut Side) -> anyhow::Result<Sample> {
        let rate = match load {
            Load::Bursts(_) => self.burst_rate,
            Load::Paced => self.paced_rate,
        };
        let warm_up = Train::make(&mut side.streams, WARM_UP_ROUNDS)?;
        let sent = traffic::send(&self.sender, &warm_up, load, rate.min(20_000.0), self.processors)?;
        traffic::await_all(&self.ring, sent.frames);
        traffic::tally(&mut self.ring, &mut side.streams, &warm_up, &sent)?;

        let rounds = (rate * self.duration.as_secs_f64() / side.streams.len() as f64).ceil() as usize;
        let mut train = Train::make(&mut side.streams, rounds)?;
        train.address(false);
        let base = traffic::send(&self.sender, &train, load, rate, self.processors)?;
        train.address(true);

        let counters = side.relay.counters()?;
        let before = account::run_time(side.relay.process)?;
        let sent = traffic::send(&self.sender, &train, load, rate, self.processors)?;
        traffic::await_all(&self.ring, sent.frames);
        let run_time = account::run_time(side.relay.process)? - before;
        let arrived = traffic::tally(&mut self.ring, &mut side.streams, &train, &sent)?;
        let after = side.relay.counters()?;

        let packets = arrived.authentic.max(1) as f64;
        let spent = |sent: &traffic::Sent| sent.spent.as_nanos() as f64 / sent.frames.max(1) as f64;
        let (mut batch, mut system_calls) = (None, None);
        if let (Some(before), Some(after)) = (counters, after) {
            let datagrams = (after.datagrams - before.datagrams).max(1.0);
            batch = Some(datagrams / (after.batches - before.batches).max(1.0));
            system_calls = Some((after.system_calls - before.system_calls) / datagrams);
        }
        Ok(Sample {
            sent: sent.frames,
            authentic: arrived.authentic,
            rejected: arrived.rejected,
            relay: run_time as f64 / packets,
            softirq: spent(&sent) - spent(&base),
            median_delay: arrived.quantile(0.5),
            late_delay: arrived.quantile(0.99),
            batch,
            system_calls,
        })
    }
}
