//! What a packet and a call cost Sallyport, beside rtpengine, driven by the same packets in the same run.
//!
//! Two network namespaces and a pair of virtual interfaces between them; a generator that makes its packets with
//! webrtc-srtp and sends whole frames; two relays in processes of their own, pinned to one processor; and a sink that
//! keeps what arrives in a ring of memory, and authenticates all of it with webrtc-srtp after the run, so that it takes
//! no time from the relays and shares no code with Sallyport. See benches/README.md.

mod account;
mod call;
mod handshakes;
#[path = "../host.rs"]
mod host;
mod memory;
mod network;
mod relays;
mod report;
mod rows;
mod stream;
mod sys;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;

use crate::memory::Measured;
use crate::network::Network;
use crate::relays::{Kind, Programs};
use crate::rows::Bench;
use crate::sys::{FrameRing, FrameSender};
use crate::traffic::Processors;

/// Drives Sallyport and rtpengine with the same packets and prints what a packet and a call cost each. Needs root, and
/// two processors.
#[derive(Parser, Debug)]
struct Arguments {
    /// Sallyport's program.
    #[arg(long, value_name = "FILE")]
    sallyport: PathBuf,
    /// rtpengine's program; Debian's, unless given.
    #[arg(long, value_name = "FILE")]
    rtpengine: Option<PathBuf>,
    /// Few calls and short runs: checks that nothing is lost and that the figures are possible.
    #[arg(long)]
    smoke: bool,
    /// Fail unless every row takes at most half of rtpengine's time, and a DTLS to SDES call at most 32 KiB.
    #[arg(long)]
    check: bool,
    /// Write the report to this file, too.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Calls in each row.
    #[arg(long, default_value_t = 1000)]
    calls: u16,
    /// Packets in a burst; at most 64.
    #[arg(long, default_value_t = 32)]
    burst: usize,
    /// Packets a second in bursts.
    #[arg(long, default_value_t = 50_000.0)]
    burst_rate: f64,
    /// Packets a second of each stream when paced.
    #[arg(long, default_value_t = 50.0)]
    paced_rate: f64,
    /// Seconds of a repetition.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Repetitions of each row.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Only rows of calls with this in their names, as "plain".
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Number of calls between which memory is compared.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], default_values_t = [1000, 4000])]
    memory_calls: Vec<u16>,
    /// Leave the memory out.
    #[arg(long)]
    no_memory: bool,
}

impl Arguments {
    fn shrink(&mut self) {
        self.calls = 20;
        self.burst = 8;
        self.burst_rate = 4000.0;
        self.seconds = 0.4;
        self.repetitions = 1;
        self.memory_calls = vec![10, 30];
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("relay-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let mut arguments = Arguments::parse();
    if arguments.smoke {
        arguments.shrink();
    }
    let programs = Programs {
        sallyport: arguments.sallyport.clone(),
        rtpengine: arguments.rtpengine.clone().map_or_else(relays::find_rtpengine, Ok)?,
    };
    let processors = processors()?;
    let network = Network::make()?;
    host::raise_descriptor_limit()?;
    let paced_rate = arguments.paced_rate * f64::from(arguments.calls);
    let most = arguments.burst_rate.max(paced_rate) * arguments.seconds * 1.1;
    let (sender, ring) = network.in_far(|| {
        let sender = FrameSender::open(network.interface).context("a packet socket")?;
        // Room also for what memory is measured with.
        Ok((sender, FrameRing::open(network.interface, most as usize + 40_000).context("a packet ring")?))
    })?;
    let mut bench = Bench {
        programs,
        processors,
        sender,
        ring,
        calls: arguments.calls,
        burst: arguments.burst,
        burst_rate: arguments.burst_rate,
        paced_rate,
        duration: Duration::from_secs_f64(arguments.seconds),
        repetitions: arguments.repetitions,
    };
    let load = host::load_average();
    let mut rows = Vec::new();
    for pairing in rows::PAIRINGS {
        let name = rows::pairing_name(pairing);
        if arguments.only.as_ref().is_none_or(|only| name.contains(only)) {
            rows.append(&mut bench.rows(pairing).with_context(|| name)?);
        }
    }
    let mut memory = Vec::new();
    if !arguments.no_memory {
        let [from, to] = arguments.memory_calls[..] else { bail!("--memory-calls takes two numbers") };
        for (kind, measured) in [
            (Kind::Sallyport, Measured::PlainToSdes),
            (Kind::Rtpengine, Measured::PlainToSdes),
            (Kind::Sallyport, Measured::DtlsToSdes),
        ] {
            memory.push(bench.memory(&network, kind, measured, (from, to))?);
        }
    }
    let report = report::print(&bench, &rows, &memory, &load)?;
    host::say(&report);
    if let Some(path) = arguments.output {
        std::fs::write(&path, &report).with_context(|| path.display().to_string())?;
    }
    let mut complaints = report::absurdities(&rows, &memory);
    if arguments.check {
        complaints.append(&mut report::shortfalls(&rows, &memory));
    }
    complaints.iter().for_each(|complaint| eprintln!("relay-bench: {complaint}"));
    Ok(complaints.is_empty())
}

/// The relays get the last processor that we may use, everything else the first.
fn processors() -> anyhow::Result<Processors> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
    let allowed: Vec<usize> =
        (0..nix::sched::CpuSet::count()).filter(|&number| set.is_set(number).unwrap_or(false)).collect();
    match allowed[..] {
        [other, .., relay] => Ok(Processors { relay, other }),
        _ => bail!("two processors are needed: one for the relays and one for the rest"),
    }
}
