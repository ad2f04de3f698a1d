//! What the pump knows of a call.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Component, Diagnosis, LegId, LossRuns, Quality, SecuredBy, TransportFailure, TransportId, Verdict};

/// Packets and bytes. Bytes count the UDP payload, without UDP and IP headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Counters {
    /// Counts one packet.
    pub fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// Packets by verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictCounts([u64; Verdict::ALL.len()]);

impl Default for VerdictCounts {
    fn default() -> Self {
        Self([0; Verdict::ALL.len()])
    }
}

impl VerdictCounts {
    /// Counts one packet.
    pub fn count(&mut self, verdict: Verdict) {
        self.0[verdict.index()] += 1;
    }

    /// How many ended this way.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.0[verdict.index()]
    }

    /// Every verdict with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Verdict, u64)> + '_ {
        Verdict::ALL.iter().map(|&verdict| (verdict, self.of(verdict)))
    }

    /// The counts in the order of [`Verdict::ALL`], for those who copy them elsewhere and back.
    pub fn as_mut_slice(&mut self) -> &mut [u64] {
        &mut self.0
    }

    /// Packets that were not accepted.
    pub fn dropped(&self) -> u64 {
        self.iter().filter(|(verdict, _)| !verdict.is_accepted()).map(|(_, count)| count).sum()
    }
}

/// A call as its worker sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallStatistics {
    /// Every transport.
    pub transports: Vec<TransportStatistics>,
}

/// A transport as its worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportStatistics {
    /// Its name.
    pub id: TransportId,
    /// Its leg.
    pub leg: LegId,
    /// What it carries.
    pub component: Component,
    /// The bound address.
    pub local: SocketAddr,
    /// Where we send. `None`: nowhere yet.
    pub remote: Option<SocketAddr>,
    /// ICE.
    pub ice: IceState,
    /// Keys.
    pub keying: KeyingState,
    /// RTP received and authenticated.
    pub rtp_in: Counters,
    /// RTCP received and authenticated.
    pub rtcp_in: Counters,
    /// RTP sent.
    pub rtp_out: Counters,
    /// RTCP sent.
    pub rtcp_out: Counters,
    /// Datagrams of another protocol, received from the peer.
    pub datagrams_in: Counters,
    /// Datagrams of another protocol, sent.
    pub datagrams_out: Counters,
    /// Everything received, by its end.
    pub verdicts: VerdictCounts,
    /// Since the last authenticated packet. `None`: there was none.
    pub last_packet_age: Option<Duration>,
    /// What it receives, by SSRC.
    pub streams_in: Vec<StreamStatistics>,
    /// What it sends, by SSRC.
    pub streams_out: Vec<StreamStatistics>,
    /// What was noticed beside.
    pub diagnosis: Diagnosis,
}

/// RTP packets of one SSRC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatistics {
    /// The SSRC.
    pub ssrc: u32,
    /// RTP packets and bytes.
    pub rtp: Counters,
    /// Of the last packet.
    pub payload_type: u8,
    /// Of the last packet.
    pub sequence_number: u16,
    /// Of the last packet.
    pub timestamp: u32,
    /// Rollovers so far.
    pub rollover_counter: u32,
    /// Expected less received (RFC 3550 A.3); below zero with duplicates.
    pub lost: i64,
    /// Interarrival jitter (RFC 3550 A.8), in timestamp units.
    pub jitter: u32,
    /// Timestamp units a second; 0 while it is not known, and of what is sent.
    pub clock_rate: u32,
    /// Losses by their pattern; of what is sent, none are counted.
    pub loss_runs: LossRuns,
    /// `None` before the first sample, and of what is sent.
    pub quality: Option<Quality>,
}

/// Where ICE stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceState {
    /// No ICE on this transport.
    Off,
    /// No valid check yet.
    Waiting,
    /// Checked, not nominated.
    Validated,
    /// A pair is in use.
    Nominated,
    /// 30 s without a check or an authenticated packet.
    ConsentLost,
}

/// Where the keys stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyingState {
    /// Plain RTP.
    Plain,
    /// No keys from signalling yet.
    Pending,
    /// In a handshake.
    Handshake(DtlsState),
    /// Keyed.
    Secured(SecuredBy),
    /// Given up.
    Failed(TransportFailure),
    /// The parties key each other; we hold no keys.
    PassThrough,
}

/// Where a handshake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsState {
    /// The answer has not fixed the role.
    AwaitingRole,
    /// No path to the peer yet.
    AwaitingPath,
    /// Flights go to and fro.
    InProgress,
}
