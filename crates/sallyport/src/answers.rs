//! What the admin listener shows, made from what the parts know.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use admin::{
    Address, CallDetail, CallSummary, Calls, Histogram, Labelled, LegDetail, NgSnapshot, ProcessSnapshot,
    SectionDetail, SessionSnapshot, Snapshot, StreamDetail, TransportDetail, WorkerSnapshot,
};
use control::{BindFailure, Component, Event, Profile, SecuredBy, TransportEvent, TransportFailure};
use explain::Signalling;
use ng::{CommandName, CommandResult};
use pump::{BATCH_BUCKETS, WorkerReport};
use session::{
    CallReport, CallView, EndReason, KeyingKind, LegView, SectionView, Session, StreamReport, TransportView,
};

/// Events counted by kind. Every kind that can occur is there from the start, so that rates begin at zero.
pub(crate) struct Tallies {
    ended: BTreeMap<&'static str, u64>,
    sdes: BTreeMap<&'static str, u64>,
    handshakes_completed: u64,
    handshakes_failed: BTreeMap<&'static str, u64>,
    ice: BTreeMap<&'static str, u64>,
    bind_failures: BTreeMap<&'static str, u64>,
    latched: u64,
    keys_nearly_spent: u64,
}

impl Default for Tallies {
    fn default() -> Self {
        Self {
            ended: EndReason::ALL.map(|reason| (reason.label(), 0)).into(),
            sdes: Profile::all().filter(|profile| !profile.is_null()).map(|profile| (profile.sdes_name(), 0)).collect(),
            handshakes_completed: 0,
            handshakes_failed: TransportFailure::ALL.map(|failure| (failure.label(), 0)).into(),
            ice: [NOMINATED, CONSENT_LOST].map(|event| (event, 0)).into(),
            bind_failures: [IN_USE, NOT_AVAILABLE, EXHAUSTED, OTHER].map(|cause| (cause, 0)).into(),
            latched: 0,
            keys_nearly_spent: 0,
        }
    }
}

const NOMINATED: &str = "nominated";
const CONSENT_LOST: &str = "consent_lost";

const IN_USE: &str = "in_use";
const NOT_AVAILABLE: &str = "address_not_available";
const EXHAUSTED: &str = "exhausted";
const OTHER: &str = "other";

impl Tallies {
    pub(crate) fn count(&mut self, event: &Event) {
        match event {
            Event::Refused { cause, .. } => *self.bind_failures.entry(bind_failure(cause)).or_default() += 1,
            Event::Transport { event, .. } => self.count_transport(event),
            _ => {}
        }
    }

    pub(crate) fn count_end(&mut self, reason: EndReason) {
        *self.ended.entry(reason.label()).or_default() += 1;
    }

    fn count_transport(&mut self, event: &TransportEvent) {
        match event {
            TransportEvent::Nominated { .. } => *self.ice.entry(NOMINATED).or_default() += 1,
            TransportEvent::ConsentLost => *self.ice.entry(CONSENT_LOST).or_default() += 1,
            TransportEvent::Secured(SecuredBy::Sdes { outbound, .. }) => {
                *self.sdes.entry(outbound.sdes_name()).or_default() += 1;
            }
            TransportEvent::Secured(SecuredBy::Dtls { .. }) => self.handshakes_completed += 1,
            TransportEvent::Latched { .. } => self.latched += 1,
            TransportEvent::Failed(failure) => *self.handshakes_failed.entry(failure.label()).or_default() += 1,
            TransportEvent::KeyNearlySpent { .. } => self.keys_nearly_spent += 1,
        }
    }
}

fn bind_failure(cause: &BindFailure) -> &'static str {
    match cause {
        BindFailure::InUse => IN_USE,
        BindFailure::AddressNotAvailable => NOT_AVAILABLE,
        BindFailure::Exhausted(_) => EXHAUSTED,
        BindFailure::Other(_) => OTHER,
    }
}

pub(crate) fn snapshot(
    now: Instant,
    session: &Session,
    ng: &ng::Server,
    workers: &[WorkerReport],
    tallies: &Tallies,
) -> Snapshot {
    let statistics = session.statistics(now);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(statistics.uptime);
    let failed =
        tallies.handshakes_failed.iter().map(|(&reason, &count)| Labelled { labels: ["failed", reason], count });
    let completed = Labelled { labels: ["completed", "none"], count: tallies.handshakes_completed };
    Snapshot {
        version: env!("CARGO_PKG_VERSION"),
        backend: workers.first().map_or("none", |worker| worker.backend),
        started: started.as_secs_f64(),
        process: ProcessSnapshot::default(),
        session: SessionSnapshot {
            calls: statistics.calls,
            calls_started: statistics.calls_total,
            calls_ended: labelled(&tallies.ended),
            refused: refused(&statistics.refusals, ng),
            transports: statistics.transports,
            ports_in_use: session.ports_in_use() as u64,
            sdes: labelled(&tallies.sdes),
            dtls_handshakes: std::iter::once(completed).chain(failed).collect(),
            ice: labelled(&tallies.ice),
            latched: tallies.latched,
            keys_nearly_spent: tallies.keys_nearly_spent,
            bind_failures: labelled(&tallies.bind_failures),
        },
        ng: ng_snapshot(ng),
        workers: workers.iter().map(worker_snapshot).collect(),
        ..Snapshot::default()
    }
}

/// By the session and in front of it.
fn refused(session: &BTreeMap<&'static str, u64>, ng: &ng::Server) -> Vec<Labelled<1>> {
    let faults = ng.counters().faults().map(|(label, count)| Labelled { labels: [label], count });
    labelled(session).into_iter().chain(faults).collect()
}

fn labelled(counts: &BTreeMap<&'static str, u64>) -> Vec<Labelled<1>> {
    counts.iter().map(|(&label, &count)| Labelled { labels: [label], count }).collect()
}

fn ng_snapshot(ng: &ng::Server) -> NgSnapshot {
    let counters = ng.counters();
    let usual = |command: CommandName, result: CommandResult| match command {
        CommandName::Ping => result == CommandResult::Pong,
        CommandName::Malformed | CommandName::Unrecognized | CommandName::Unsupported => result == CommandResult::Error,
        _ => matches!(result, CommandResult::Ok | CommandResult::Error),
    };
    let commands = counters.iter().filter(|&(command, result, count)| count > 0 || usual(command, result));
    NgSnapshot {
        commands: commands
            .map(|(command, result, count)| Labelled { labels: [command.label(), result.label()], count })
            .collect(),
        retransmissions: counters.retransmissions,
        malformed: counters.malformed,
        cached: ng.cached() as u64,
    }
}

pub(crate) fn worker_snapshot(report: &WorkerReport) -> WorkerSnapshot {
    let counters = &report.counters;
    let shard = &counters.shard;
    let buckets = BATCH_BUCKETS.iter().zip(counters.batch_sizes);
    WorkerSnapshot {
        worker: report.worker.0.into(),
        verdicts: shard.verdicts.clone(),
        rtp_in: shard.rtp_in,
        rtcp_in: shard.rtcp_in,
        rtp_out: shard.rtp_out,
        rtcp_out: shard.rtcp_out,
        datagrams_in: shard.datagrams_in,
        datagrams_out: shard.datagrams_out,
        stun_out: shard.stun_out,
        dtls_out: shard.dtls_out,
        send_failures: counters.send_failures,
        queue_full: shard.transmit_dropped,
        rebased: shard.rebased,
        calls: counters.calls,
        receive_batches: Histogram {
            buckets: buckets.map(|(&bound, count)| (bound as f64, count)).collect(),
            above: 0,
            sum: counters.received as f64,
        },
        system_calls: counters.system_calls,
        busy_seconds: counters.busy_nanoseconds as f64 / 1e9,
    }
}

pub(crate) fn calls(session: &Session) -> Calls {
    /// Of a list that an operator reads.
    const MAX_LISTED: usize = 1000;
    let calls = session.calls();
    Calls {
        total: calls.len(),
        calls: calls
            .iter()
            .take(MAX_LISTED)
            .map(|call| CallSummary {
                id: call.call_id.clone(),
                age_seconds: seconds_since(call.created),
                state: call.state.name(),
                legs: call.legs,
                downgraded: call.downgraded,
            })
            .collect(),
    }
}

/// What signalling knows, with what the worker has counted. `None` for the latter: the worker did not say.
pub(crate) fn call(view: &CallView, report: Option<&CallReport>, signalling: Option<&Signalling>) -> CallDetail {
    let explanation = explain::explain(view, report.and_then(|report| report.statistics.as_ref()));
    let medias = report.into_iter().flat_map(|report| &report.tags).flat_map(|tag| &tag.medias);
    let counted: BTreeMap<SocketAddr, &StreamReport> =
        medias.flat_map(|media| &media.streams).map(|stream| (stream.local, stream)).collect();
    let streams = report.into_iter().flat_map(|report| &report.ssrcs);
    CallDetail {
        id: view.summary.call_id.clone(),
        age_seconds: seconds_since(view.summary.created),
        state: view.summary.state.name(),
        worker: view.summary.worker.0,
        legs: view.legs.iter().map(|leg| leg_detail(leg, &counted)).collect(),
        streams: streams
            .map(|(&ssrc, stream)| StreamDetail {
                ssrc,
                packets: stream.packets,
                bytes: stream.bytes,
                lost: stream.cumulative_loss,
                jitter: stream.jitter,
            })
            .collect(),
        ledger: view.ledger.iter().map(|entry| format!("{}: {}", entry.tag, entry.note)).collect(),
        text: signalling.map_or(explanation.to_string(), |signalling| format!("{explanation}\n{signalling}")),
        sip: signalling.map(|own| serde_json::to_value(own).unwrap_or_default()).unwrap_or_default(),
        // Only strings, numbers and lists: nothing that JSON could not hold.
        explanation: serde_json::to_value(&explanation).unwrap_or_default(),
    }
}

fn leg_detail(leg: &LegView, counted: &BTreeMap<SocketAddr, &StreamReport>) -> LegDetail {
    LegDetail {
        tag: leg.tag.clone(),
        label: leg.label.clone(),
        active: leg.active,
        sections: leg.sections.iter().map(|section| section_detail(section, counted)).collect(),
    }
}

fn section_detail(section: &SectionView, counted: &BTreeMap<SocketAddr, &StreamReport>) -> SectionDetail {
    let transports = section.transports.iter();
    SectionDetail {
        index: section.index + 1,
        media: section.kind.clone(),
        protocol: section.protocol.clone(),
        transports: transports
            .map(|transport| transport_detail(transport, section.keying, counted.get(&transport.local).copied()))
            .collect(),
    }
}

fn transport_detail(view: &TransportView, keying: KeyingKind, counted: Option<&StreamReport>) -> TransportDetail {
    let (profile, verified) = match &view.secured_by {
        Some(SecuredBy::Sdes { outbound, .. }) => (Some(outbound.sdes_name()), None),
        Some(SecuredBy::Dtls { profile, version, hash, .. }) => {
            (Some(profile.sdes_name()), Some(format!("{version}, {} fingerprint matches", hash.name())))
        }
        None => (None, None),
    };
    let (received, sent) = counted.map(|stream| (stream.received, stream.sent)).unwrap_or_default();
    TransportDetail {
        component: match view.component {
            Component::Rtp => "rtp",
            Component::Rtcp => "rtcp",
            Component::Muxed => "muxed",
            Component::Datagrams => "datagrams",
        },
        local: Some(Address(view.local)),
        signalled: view.signalled.map(Address),
        remote: view.remote.map(Address),
        ice: view.ice,
        keying: keying.name(),
        profile,
        verified,
        failure: view.failure.map(|failure| failure.to_string()),
        packets_in: received.packets,
        bytes_in: received.bytes,
        rejected: received.errors,
        packets_out: sent.packets,
        bytes_out: sent.bytes,
        last_packet_seconds: counted.and_then(|stream| stream.last_packet).map(seconds_since),
    }
}

fn seconds_since(moment: SystemTime) -> f64 {
    SystemTime::now().duration_since(moment).unwrap_or_default().as_secs_f64()
}
