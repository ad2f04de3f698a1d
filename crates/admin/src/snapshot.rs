//! What `/metrics` prints, as plain numbers. Everything counts from the start of the process unless it says otherwise.

use control::{Counters, VerdictCounts};

/// All of it, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Version of the program.
    pub version: &'static str,
    /// Backend that moves media: `mmsg`, `xdp` or `sim`.
    pub backend: &'static str,
    /// When the process started, in seconds since 1970.
    pub started: f64,
    /// The process.
    pub process: ProcessSnapshot,
    /// Calls and what becomes of them.
    pub session: SessionSnapshot,
    /// The ng protocol.
    pub ng: NgSnapshot,
    /// SIP; `None` where it is off.
    pub sip: Option<SipSnapshot>,
    /// The media half, worker by worker.
    pub workers: Vec<WorkerSnapshot>,
    /// Of a process that only moves media: what the signalling half counts is left out.
    pub media_only: bool,
    /// Where the halves are two processes: the other one is connected.
    pub linked: Option<bool>,
}

/// A number under the values of one or more labels. The label names are the metric's; the values come from closed sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled<const LABELS: usize> {
    /// Values of the labels.
    pub labels: [&'static str; LABELS],
    /// The number.
    pub count: u64,
}

/// What operators do to the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessSnapshot {
    /// New calls are refused.
    pub draining: bool,
    /// The configuration could be read when it was read last.
    pub reload_successful: bool,
    /// When it could be read last, in seconds since 1970.
    pub reloaded: f64,
}

/// Calls and what becomes of them.
#[derive(Clone, Debug, Default)]
pub struct SessionSnapshot {
    /// Calls that exist.
    pub calls: u64,
    /// Calls made.
    pub calls_started: u64,
    /// Calls ended, by cause.
    pub calls_ended: Vec<Labelled<1>>,
    /// Offers and answers refused, by cause.
    pub refused: Vec<Labelled<1>>,
    /// Transports that exist.
    pub transports: u64,
    /// Media ports that are open or being opened.
    pub ports_in_use: u64,
    /// Transports keyed from signalling, by suite.
    pub sdes: Vec<Labelled<1>>,
    /// DTLS handshakes ended, by result (`completed`, `failed`) and reason (of a failure; else `none`).
    pub dtls_handshakes: Vec<Labelled<2>>,
    /// What ICE came to, by event (`nominated`, `consent_lost`).
    pub ice: Vec<Labelled<1>>,
    /// Transports whose peer was learnt from a packet.
    pub latched: u64,
    /// Master keys at 90 % of their lifetime.
    pub keys_nearly_spent: u64,
    /// Ports that could not be bound, by cause.
    pub bind_failures: Vec<Labelled<1>>,
}

/// The ng protocol.
#[derive(Clone, Debug, Default)]
pub struct NgSnapshot {
    /// Commands answered, by command and result.
    pub commands: Vec<Labelled<2>>,
    /// Repeated cookies, answered from the cache or together with the first.
    pub retransmissions: u64,
    /// Datagrams without a readable cookie, dropped.
    pub malformed: u64,
    /// Replies in the cache.
    pub cached: u64,
}

/// SIP: the back-to-back user agent.
#[derive(Clone, Debug, Default)]
pub struct SipSnapshot {
    /// Calls that exist.
    pub calls: u64,
    /// Contacts that users have registered.
    pub contacts: u64,
    /// Calls that came in.
    pub calls_received: u64,
    /// Of these, answered.
    pub calls_answered: u64,
    /// Callers' final responses that were no 2xx, by status code; challenges are left out.
    pub failures: Vec<(u16, u64)>,
    /// Registrations that were accepted.
    pub registrations: u64,
    /// Requests that were challenged.
    pub challenges: u64,
    /// Logins that were accepted, by algorithm.
    pub logins: Vec<(String, u64)>,
    /// Wrong credentials, by fault.
    pub rejected_credentials: Vec<Labelled<1>>,
    /// Requests of sources that are barred for wrong passwords.
    pub barred: u64,
    /// SDES keys over signalling that others can read, by what became of them.
    pub cleartext_keys: Vec<Labelled<1>>,
    /// Calls between sips and signalling without TLS, by what became of them.
    pub sips: Vec<Labelled<1>>,
    /// Offers inside of calls that were refused.
    pub refused_offers: u64,
    /// Calls refused for their number.
    pub overload: u64,
    /// Calls refused because a `user` or a `trunk` had as many as it may have.
    pub limited: Vec<Labelled<1>>,
    /// Calls that rang as long as a call may, unanswered.
    pub ring_timeouts: u64,
    /// Offers with new keys, because one was nearly spent.
    pub rekeyings: u64,
    /// Connections at this moment, those in their handshake included, by transport.
    pub connections: Vec<Labelled<1>>,
    /// Messages, by transport and by `in` or `out`.
    pub messages: Vec<Labelled<2>>,
    /// Messages of ours that could not be sent, by transport.
    pub send_failures: Vec<Labelled<1>>,
    /// What the transports refused, dropped or closed, by reason.
    pub refusals: Vec<Labelled<1>>,
    /// Bodies with S/MIME, by what was done and how it came out.
    pub smime: Vec<Labelled<2>>,
}

/// One worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerSnapshot {
    /// Its number.
    pub worker: usize,
    /// Datagrams received, by their end.
    pub verdicts: VerdictCounts,
    /// RTP received and authenticated.
    pub rtp_in: Counters,
    /// RTCP received and authenticated.
    pub rtcp_in: Counters,
    /// RTP sent.
    pub rtp_out: Counters,
    /// RTCP sent.
    pub rtcp_out: Counters,
    /// Datagrams of another protocol received from the peer.
    pub datagrams_in: Counters,
    /// Datagrams of another protocol sent.
    pub datagrams_out: Counters,
    /// STUN responses sent.
    pub stun_out: u64,
    /// DTLS datagrams sent.
    pub dtls_out: u64,
    /// Datagrams that the network did not take.
    pub send_failures: u64,
    /// Datagrams that found a queue of the worker full.
    pub queue_full: u64,
    /// Streams whose sequence numbers were re-based.
    pub rebased: u64,
    /// Calls of this worker.
    pub calls: u64,
    /// Datagrams per receive.
    pub receive_batches: Histogram,
    /// Receive and send system calls.
    pub system_calls: u64,
    /// Seconds spent working, not waiting.
    pub busy_seconds: f64,
}

/// Observations by size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bound (inclusive) of each bucket, rising, with the observations in that bucket alone.
    pub buckets: Vec<(f64, u64)>,
    /// Observations above the last bound.
    pub above: u64,
    /// Sum of all observations.
    pub sum: f64,
}
