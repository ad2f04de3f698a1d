//! What a call costs in memory.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::account::Memory;
use crate::call::{self, Call, Near};
use crate::handshakes::Callers;
use crate::network::Network;
use crate::relays::{Kind, Relay};
use crate::rows::Bench;
use crate::stream::{CM80, Stream, Train};
use crate::traffic::{self, Load};

/// Packets of every stream: enough for all that a running call keeps.
const ROUNDS: usize = 4;
/// Packets a second, of all streams.
const RATE: f64 = 10_000.0;
/// For buffers of signalling to be given back.
const SETTLE: Duration = Duration::from_millis(500);

/// Kinds of calls whose memory is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Measured {
    PlainToSdes,
    DtlsToSdes,
}

/// Bytes that a call adds.
pub(crate) struct PerCall {
    pub(crate) kind: Kind,
    pub(crate) measured: Measured,
    pub(crate) from: u16,
    pub(crate) to: u16,
    pub(crate) resident: f64,
    pub(crate) sockets: f64,
}

impl PerCall {
    pub(crate) fn total(&self) -> f64 {
        self.resident + self.sockets
    }
}

impl Bench {
    /// Takes one relay from `from` calls to `to`, with media both ways in each, and compares.
    pub(crate) fn memory(
        &mut self,
        network: &Network,
        kind: Kind,
        measured: Measured,
        (from, to): (u16, u16),
    ) -> anyhow::Result<PerCall> {
        let mut relay = Relay::start(kind, &self.programs, self.processors)?;
        let callers = Callers::new(network)?;
        let mut at = [Memory::default(); 2];
        for (numbers, memory) in [0..from, from..to].into_iter().zip(&mut at) {
            let calls = match measured {
                Measured::PlainToSdes => numbers
                    .map(|number| call::place(&mut relay.ng, number, Near::Plain, CM80))
                    .collect::<anyhow::Result<Vec<_>>>(),
                Measured::DtlsToSdes => {
                    let last = f64::from(numbers.end);
                    let calls = callers.place(&mut relay.ng, numbers, CM80);
                    await_keys(&relay, last)?;
                    calls
                }
            };
            self.exercise(calls.with_context(|| kind.name())?, &relay)?;
            std::thread::sleep(SETTLE);
            *memory = Memory::of(relay.process)?;
        }
        let calls = f64::from(to - from);
        let grown = |of: fn(&Memory) -> u64| (of(&at[1]) as f64 - of(&at[0]) as f64) / calls;
        Ok(PerCall {
            kind,
            measured,
            from,
            to,
            resident: grown(|memory| memory.resident),
            sockets: grown(|memory| memory.sockets),
        })
    }

    /// Media in both directions, all of which must arrive but for the first: in the clear, a source is on probation
    /// (RFC 3550 A.1) until its second packet.
    fn exercise(&mut self, calls: Vec<Call>, relay: &Relay) -> anyhow::Result<()> {
        let (forward, backward): (Vec<Stream>, Vec<Stream>) =
            calls.into_iter().map(|call| (call.forward, call.backward)).unzip();
        for (direction, mut streams) in [("forward", forward), ("backward", backward)] {
            let mut pass = |rounds| {
                let train = Train::make(&mut streams, rounds)?;
                let sent = traffic::send(&self.sender, &train, Load::Bursts(8), RATE, self.processors)?;
                traffic::await_all(&self.ring, sent.frames);
                anyhow::Ok((traffic::tally(&mut self.ring, &mut streams, &train, &sent)?, train))
            };
            pass(1)?;
            let (arrived, train) = pass(ROUNDS)?;
            ensure!(
                arrived.authentic == train.len(),
                "{} {direction}: {} of {} packets arrived, {} of them not authentic; {}",
                relay.kind.name(),
                arrived.authentic + arrived.rejected,
                train.len(),
                arrived.rejected,
                relay.dropped(),
            );
        }
        Ok(())
    }
}

/// Waits until the relay, too, has the keys of as many handshakes.
fn await_keys(relay: &Relay, count: f64) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while relay.counters()?.is_none_or(|counters| counters.handshakes < count) {
        ensure!(Instant::now() < deadline, "the relay did not complete {count} handshakes");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
